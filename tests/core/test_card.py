"""What only a graphics card can show of the core: methods, encoders and views train there the same each time;
methods are resumed exactly; what is computed is what the CPU computes; and the share that the probe proposes suffices.
"""

import pickle

import numpy as np
import pytest
import torch
from scipy import sparse

from core.config import plugins
from core.data import source, stored
from core.data.dataset import Dataset
from core.encoders.convnet import Encoder as Convnet
from core.estimator import ContrastiveClustering
from core.evaluation.clustering import predict
from core.evaluation.retrieval import ranks
from core.training import device, frozen
from core.training.footprint import measure
from core.training.method import Batch
from core.views import _large, image
from jobs.planning.forecast import card_share
from tests.core.test_encoders import NEEDED
from tests.core.test_methods import METHODS, STAGED, blobs, built, config, rows, straight_and_resumed

pytestmark = pytest.mark.gpu
CARD = "cuda"
VECTORS = tuple(
    name for name in plugins.names("encoders") if plugins.constant("encoders", name, "any_shape", default=False)
)
IMAGES = tuple(name for name in plugins.names("encoders") if name not in VECTORS)


@pytest.fixture(autouse=True)
def _prepared():
    """As a trial finds it: exact in f32, and repeatable."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic
    device.prepare(CARD, threads=1, share=1.0)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic = before


def images(n=96, channels=1, side=12) -> Dataset:
    """Four kinds of bright corners."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 4
    samples = rng.random((n, channels, side, side)).astype(np.float32) / 4
    for row, label in enumerate(labels):
        top, left = divmod(int(label), 2)
        samples[row, :, top * 6 : top * 6 + 6, left * 6 : left * 6 + 6] += 0.7
    return Dataset(f"corners {n} {channels} {side}", samples, labels.astype(np.int64), ("a", "b", "c", "d"), "corners")


def chosen(encoder):
    """An encoder with the options that it cannot be built without."""
    return {"name": encoder, **NEEDED.get(encoder, {})}


def twice(trial, data):
    """The rows of a trial on the card, seen to come a second time."""
    first = rows(trial, data, seed=5, device=CARD)
    assert rows(trial, data, seed=5, device=CARD) == first
    return first


@pytest.mark.parametrize("method", [*METHODS, *STAGED], ids=str)
def test_a_method_trains_the_same_each_time_and_is_resumed_after_any_epoch(method):
    straight = straight_and_resumed(method, CARD)
    assert rows(config(method), blobs(), seed=5, device=CARD) == straight


@pytest.mark.parametrize("encoder", IMAGES)
@pytest.mark.parametrize("precision", ["f32", "bf16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_train_the_same_each_time_in_both_precisions(encoder, precision, channels):
    trial = config("conclus", encoder=chosen(encoder), precision=precision, views="image", epochs=4)
    *_, (_, metrics, _, _) = twice(trial, images(channels=channels, side=16))
    assert np.isfinite(list(metrics.values())).all()


@pytest.mark.parametrize("encoder", VECTORS)
@pytest.mark.parametrize("views", ["noise", "tabular", "neighbours"])
def test_vectors_train_the_same_each_time_with_all_their_views(encoder, views):
    twice(config("conclus", encoder=encoder, views=views, epochs=4), blobs())


@pytest.mark.parametrize("side", [96, 224])
def test_large_images_are_viewed_the_same_each_time(side):
    twice(
        config("conclus", encoder=chosen("torchvision"), views="image", epochs=2), images(n=32, channels=3, side=side)
    )


@pytest.mark.parametrize("kind", ["__call__", "weak", "strong"])
@pytest.mark.parametrize("side", [28, 96, 224])
def test_views_of_images_are_those_of_the_cpu(kind, side):
    """For the same draws, which the card makes otherwise: they are those of the CPU here."""
    samples = torch.rand(6, 3, side, side)
    views = image.Views((3, side, side))
    drawn = image.draw_boxes(samples, 0.4, torch.Generator().manual_seed(0), flip=True)
    there, here = _large.cropped(samples, drawn), _large.cropped(samples.to(CARD), drawn.to(CARD))
    torch.testing.assert_close(here.cpu(), there, rtol=0, atol=1e-5)
    deviation = torch.linspace(0.1, 2, 6)
    there, here = _large.blurred(samples, deviation), _large.blurred(samples.to(CARD), deviation.to(CARD))
    torch.testing.assert_close(here.cpu(), there, rtol=0, atol=1e-5)
    generators = [torch.Generator(CARD).manual_seed(0) for _ in range(2)]
    batches = [Batch(samples.to(CARD), torch.arange(6, device=CARD), one, one) for one in generators]
    first, second = (getattr(views, kind)(one) for one in batches)
    assert torch.equal(first, second)


def test_vectors_of_a_frozen_encoder_are_those_of_the_cpu(tmp_path):
    timm = pytest.importorskip("timm")
    file = tmp_path / "weights.pt"
    torch.save(timm.create_model("test_vit").state_dict(), file)
    encoder = {"name": "timm", "model": "test_vit", "weights": str(file), "frozen": True}
    trial, data = config("conclus", encoder=encoder, epochs=2), images(channels=3, side=32)
    there, here = (frozen.encoded(trial, data, device) for device in ("cpu", CARD))
    assert here.fingerprint != there.fingerprint
    torch.testing.assert_close(torch.from_numpy(here.samples[:]), torch.from_numpy(there.samples[:]), rtol=0, atol=1e-3)
    twice(trial, here)


def test_small_images_are_moved_and_turned_the_same_each_time():
    twice(config("conclus", encoder="convnet", views="affine", epochs=4), images(side=12))


@pytest.mark.parametrize("method", METHODS)
def test_what_is_predicted_is_what_the_cpu_predicts(method):
    data = blobs()
    trained, samples, _ = built(method, data)
    there = predict(trained, samples)
    here = predict(trained.to(CARD), samples.to(CARD))
    torch.testing.assert_close(here.features, there.features, rtol=1e-4, atol=1e-5)
    if there.probabilities is not None:
        torch.testing.assert_close(here.probabilities, there.probabilities, rtol=1e-4, atol=1e-5)


def test_convolutions_are_those_of_the_cpu():
    """In f32 to rounding: TF32 would be off in the third digit."""
    torch.manual_seed(0)
    encoder, batch = Convnet((1, 28, 28)).eval(), torch.rand(64, 1, 28, 28)
    with torch.inference_mode():
        there = encoder(batch)
        here = encoder.to(CARD)(batch.to(CARD)).cpu()
    assert (here - there).abs().max() <= 2e-5 * there.abs().max()


def test_ranks_are_those_of_the_cpu():
    generator = torch.Generator().manual_seed(0)
    targets = torch.randn(500, 32, generator=generator)
    outputs = targets + torch.randn(500, 32, generator=generator)
    pairs = zip(ranks(outputs.to(CARD), targets.to(CARD)), ranks(outputs, targets), strict=True)
    # Neighbours closer than rounding may change places.
    assert all((here.cpu() == there).float().mean() > 0.99 for here, there in pairs)


def test_an_estimator_of_the_card_predicts_without_it():
    data = blobs(n=400)
    made = ContrastiveClustering(4, epochs=20, random_state=0, device=CARD).fit(data.samples)
    copied = pickle.loads(pickle.dumps(made)).set_params(device="cpu")
    assert (copied.predict(data.samples) == made.labels_).mean() > 0.99


@pytest.mark.parametrize("encoder", IMAGES)
def test_a_trial_runs_in_the_share_that_the_probe_proposes(encoder):
    """Beside a probe of its own size: what the probe held is given back first, as another process would have it."""
    trial = config("conclus", encoder=chosen(encoder), views="image", batch_size=64, epochs=6)
    data = images(n=256, channels=3, side=16)
    found = measure(trial, data, seed=0, device=CARD)
    assert device.CONTEXT_BYTES < found.gpu_bytes < found.gpu_total
    share = card_share(found.gpu_bytes, found.gpu_total, 64)
    assert share is not None
    assert share < 1
    device.prepare(CARD, threads=1, share=share)
    assert len(rows(trial, data, seed=0, device=CARD)) == 6


@pytest.mark.parametrize("share", [1.0, 0.0])
@pytest.mark.parametrize("kind", ["bytes", "sparse"])
def test_samples_in_stored_form_are_those_of_the_cpu_kept_on_the_card_or_copied_ahead(monkeypatch, kind, share):
    monkeypatch.setattr(source, "_OF_THE_CARD", share)
    rng = np.random.default_rng(0)
    values = rng.integers(0, 255, (300, 3, 8, 8), dtype=np.uint8)
    if kind == "sparse":
        values = sparse.csr_matrix(values.reshape(300, -1) * (rng.random((300, 192)) < 0.1)).astype(np.float32)
    held = stored.as_stored(values, "standard")
    there, here = (source.SampleSource(held, torch.device(one)) for one in (CARD, "cpu"))
    assert there.is_streamed == (kind == "sparse" or share == 0)
    parts = torch.randperm(300).split(64)
    read = zip(source.read_ahead(there, [one.to(CARD) for one in parts]), parts, strict=True)
    for found, rows_ in read:
        assert found.device.type == CARD
        torch.testing.assert_close(found.cpu(), here[rows_], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(torch.cat(list(there.split(70))).cpu(), here[:], rtol=1e-6, atol=1e-6)
