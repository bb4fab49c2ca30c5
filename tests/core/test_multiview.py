"""Several modalities in training: the encoder and the views that know of them, and methods on them."""

import io
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config.schema import Mistakes
from core.config.trial import read_trial, to_mapping
from core.data.dataset import Dataset
from core.data.modalities import Modality, side_by_side
from core.encoders.multiview import Encoder
from core.errors import UserError
from core.training.export import SavedModel, blueprint, embed, rebuilt
from core.training.fit import fit
from core.training.method import Batch
from core.views import auto, multiview, neighbours
from core.views.multiview import Views

torch.set_num_threads(1)
KINDS = {
    "one": side_by_side({"text": (6,)}),
    "two": side_by_side({"text": (6,), "sound": (4, 3)}),
    "six": side_by_side({f"view{place}": (place + 1,) for place in range(6)}),
}


def rows(modalities, n=8, seed=0) -> torch.Tensor:
    return torch.randn(n, modalities[-1].stop, generator=torch.Generator().manual_seed(seed))


def encoder(modalities, **options) -> Encoder:
    torch.manual_seed(0)
    return Encoder(modalities, base_dim=12, hidden=(8,), **options)


def batch(samples, seed=0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return Batch(samples, torch.arange(len(samples)), generator, generator)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), kind=st.sampled_from(sorted(KINDS)), pooling=st.sampled_from(["mean", "last"]))
def test_whatever_is_missing_features_and_gradients_are_finite(data, kind, pooling):
    modalities = KINDS[kind]
    samples = rows(modalities, n=4)
    for row in range(4):
        for start in data.draw(st.lists(st.sampled_from(range(modalities[-1].stop)), max_size=4)):
            samples[row, start:] = torch.nan
    made = encoder(modalities, pooling=pooling).train()
    features = made(samples)
    assert features.shape == (4, 12)
    assert torch.isfinite(features).all()
    features.square().sum().backward()
    assert all(torch.isfinite(one.grad).all() for one in made.parameters())
    with torch.inference_mode():
        assert torch.isfinite(made.eval()(samples)).all()


def test_a_missing_modality_is_a_vector_that_starts_at_zero_and_takes_no_notice_of_others():
    modalities = KINDS["six"]
    made = encoder(modalities).eval()
    samples = rows(modalities, n=2)
    samples[:, modalities[3].place] = torch.nan
    assert not made.absent.any()
    before = made(samples)
    with torch.no_grad():
        made.absent[2] = 5.0
        assert torch.equal(made(samples), before)
        made.absent[3] = 5.0
        assert not torch.isclose(made(samples), before).all(dim=1).any()


def test_samples_without_any_modality_are_all_the_same():
    made = encoder(KINDS["two"]).eval()
    found = made(torch.full((3, 18), torch.nan))
    assert torch.equal(found, made.fusion(torch.zeros(3, 24)))


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_steps_after_the_end_of_a_sequence_change_nothing(pooling):
    """A sequence of two steps in room for two and in room for five gives the same features."""
    torch.manual_seed(1)
    short = Encoder((Modality("sound", 0, (2, 3)),), base_dim=8, pooling=pooling).eval()
    long = Encoder((Modality("sound", 0, (5, 3)),), base_dim=8, pooling=pooling).eval()
    long.load_state_dict(short.state_dict())
    samples = torch.randn(4, 6)
    padded = torch.cat([samples, torch.full((4, 9), torch.nan)], dim=1)
    torch.testing.assert_close(long(padded), short(samples))


def test_the_order_of_steps_counts():
    made = Encoder((Modality("sound", 0, (3, 2)),), base_dim=8).eval()
    samples = torch.randn(2, 3, 2)
    assert not torch.allclose(made(samples), made(samples.flip(1)), atol=1e-3)


def test_the_mean_looks_at_all_steps_and_the_last_at_the_last_that_is_there():
    samples = torch.randn(1, 4, 3)
    samples[0, 3] = torch.nan
    alone = Encoder((Modality("sound", 0, (4, 3)),), base_dim=8, pooling="last").eval()
    layer = alone.projections[0]
    expected = layer.layer(layer.projection(samples[:, :3]) + layer.places[:3])[:, -1]
    torch.testing.assert_close(layer(samples.nan_to_num(), samples.isnan().any(dim=2)), expected)


@pytest.mark.parametrize("width", [5, 6, 7, 16])
def test_any_width_has_heads(width):
    made = Encoder((Modality("sound", 0, (4, 3)), Modality("text", 12, (2,))), base_dim=width)
    assert made(torch.randn(2, 14)).shape == (2, width)


def test_dropout_goes_on_from_the_state_and_leaves_the_mean():
    made = encoder(KINDS["two"], dropout=0.5).train()
    state = {name: one.clone() for name, one in made.state_dict().items()}
    numbers = torch.ones(200, 100)
    torch.manual_seed(5)
    first, second = made._dropped(numbers), made._dropped(numbers)
    assert set(first.unique().tolist()) == {0.0, 2.0}
    assert abs(float(first.mean()) - 1) < 0.05
    assert not torch.equal(first, second)
    made.load_state_dict(state)
    torch.manual_seed(6)
    assert torch.equal(made._dropped(numbers), first)
    assert torch.equal(made.eval()._dropped(numbers), numbers)


def ready(samples, modalities, **options) -> Views:
    views = Views(modalities, **options)
    views.prepare(samples)
    return views


def present(view, modalities) -> torch.Tensor:
    return torch.stack([~view[:, one.place].isnan().any(dim=1) for one in modalities], dim=1)


@settings(max_examples=25, deadline=None)
@given(keep=st.sampled_from([0.0, 0.3, 1.0]), kind=st.sampled_from(sorted(KINDS)), seed=st.integers(0, 99))
def test_a_view_keeps_whole_modalities_that_the_sample_has_and_at_least_one(keep, kind, seed):
    modalities = KINDS[kind]
    samples = rows(modalities, n=40)
    generator = torch.Generator().manual_seed(seed)
    for one in modalities:
        samples[torch.rand(40, generator=generator) < 0.4, one.place] = torch.nan
    had = present(samples, modalities)
    views = ready(samples, modalities, keep=keep, neighbours=0, noise=0.0, dropout=0.0)
    for draw, most in ((views, None), (views.weak, None), (views.strong, 1)):
        view = draw(batch(samples, seed))
        kept = present(view, modalities)
        assert not (kept & ~had).any()
        assert torch.equal(kept.any(dim=1), had.any(dim=1))
        assert most is None or len(modalities) == 1 or kept.sum(dim=1).max() <= most
        places = ~view.isnan()
        assert torch.equal(view[places], samples[places])
    assert torch.equal(present(views.weak(batch(samples)), modalities), had)


def test_each_modality_is_kept_as_often_as_the_option_says():
    modalities = KINDS["six"]
    samples = rows(modalities, n=4000)
    views = ready(samples, modalities, keep=0.5, neighbours=0)
    kept = present(views(batch(samples)), modalities).float()
    # One of the six always stays: the share is a little more than a half, by the chance that none is drawn.
    assert (kept.mean(dim=0) - 0.5 - 0.5**6 / 6).abs().max() < 0.03
    alone = present(views.strong(batch(samples)), modalities).float()
    assert (alone.mean(dim=0) - 1 / 6).abs().max() < 0.03


def test_noise_is_a_share_of_the_deviation_of_the_modality_and_dropout_one_of_the_features():
    """The data set `multiview` makes the numbers of a wide view small: the same noise for all would drown them."""
    modalities = side_by_side({"small": (3,), "large": (3,)})
    samples = rows(modalities, n=3000) * torch.tensor([0.01] * 3 + [5.0] * 3) + 7
    samples[:100, :3] = torch.nan
    views = ready(samples, modalities, noise=0.5, dropout=0.25)
    view = views.weak(batch(samples))
    assert abs(float((view == 0).float().mean()) - 0.25) < 0.02
    changes = (view - samples).masked_fill((view == 0) | view.isnan(), torch.nan)
    for one, deviation in zip(modalities, (0.01, 5.0), strict=True):
        found = changes[:, one.place]
        assert float(found[~found.isnan()].std()) == pytest.approx(deviation / 2, rel=0.05)


def test_views_are_drawn_from_a_sample_and_its_nearest_ones_alike():
    """Eight groups of six in eight directions: the five neighbours of a sample are the others of its group."""
    modalities = side_by_side({"a": (4,), "b": (4,)})
    groups = torch.arange(48) % 8
    samples = 10 * torch.eye(8)[groups] + 0.01 * rows(modalities, n=48)
    views = ready(samples, modalities, keep=1.0, neighbours=5, noise=0.0, dropout=0.0)
    seen = torch.zeros(48, 48, dtype=torch.int64)
    for seed in range(200):
        found = views(batch(samples, seed))
        assert torch.equal(views.weak(batch(samples, seed)), samples)
        seen[torch.arange(48), torch.cdist(found, samples).argmin(dim=1)] += 1
    assert torch.equal(seen > 0, groups[:, None] == groups)
    assert seen[seen > 0].min() > 10


def test_modalities_count_by_their_rank_in_the_search_for_neighbours():
    """One modality tells eight groups apart in eight dimensions; the other is large noise along a single one."""
    modalities = side_by_side({"groups": (8,), "noise": (5,)})
    groups = torch.arange(400) % 8
    samples = 0.2 * rows(modalities, n=400) + 3
    samples[:, :8] += torch.eye(8)[groups]
    samples[:, 8:] += 20 * torch.randn(400, 1, generator=torch.Generator().manual_seed(1)) * torch.arange(1, 6)
    samples[:20, 8:] = torch.nan

    def right(weights) -> float:
        near = ready(samples, modalities, neighbours=10, weights=weights).sources[:, 1:]
        return float((groups[near] == groups[:, None]).float().mean())

    assert right("none") < 0.3
    assert right("rank") > 0.8


@pytest.mark.parametrize("n", [3, 50])
def test_the_variance_of_a_weighted_modality_is_the_participation_ratio_of_its_covariance(n):
    modalities = side_by_side({"a": (4,), "b": (6,)})
    samples = (rows(modalities, n=n) * torch.tensor([1.0, 2, 3, 4, 9, 1, 1, 1, 1, 1]) - 5).double()
    found = multiview._weighted(samples, samples, modalities)
    for one in modalities:
        covariance = np.cov(samples[:, one.place].numpy().T, bias=True)
        expected = np.trace(covariance) ** 2 / np.square(covariance).sum()
        assert float(found[:, one.place].var(dim=0, correction=0).sum()) == pytest.approx(expected, rel=1e-4)


def test_a_constant_modality_and_one_that_all_lack_count_nothing():
    modalities = side_by_side({"a": (4,), "constant": (3,), "absent": (2,)})
    samples = rows(modalities, n=30)
    samples[:, 4:7], samples[:, 7:] = 5, torch.nan
    found = multiview._weighted(samples, samples, modalities)
    assert torch.isfinite(found).all()
    assert not found[:, 4:].any()


def test_the_sources_are_the_sample_and_its_neighbours():
    views = ready(rows(KINDS["two"], n=200), KINDS["two"], neighbours=4)
    itself, near = views.sources[:, 0], views.sources[:, 1:]
    assert torch.equal(itself, torch.arange(200))
    assert near.shape == (200, 4)
    assert not (near == itself[:, None]).any()


def test_auto_takes_them_for_several_modalities_and_shapes_for_one():
    assert isinstance(auto.Views(KINDS["two"]).chosen, Views)
    assert isinstance(auto.Views(KINDS["one"]).chosen, neighbours.Views)


def dataset(kind="two", n=120, *, missing=True) -> Dataset:
    """Four clusters, which each modality tells apart; a fifth of each one is missing, and of three samples all."""
    modalities, random = KINDS[kind], np.random.default_rng(0)
    labels = np.arange(n) % 4
    samples = 3 * random.normal(size=(4, modalities[-1].stop))[labels] + random.normal(size=(n, modalities[-1].stop))
    if missing:
        for one in modalities:
            samples[random.random(n) < 0.2, one.place] = np.nan
        samples[:3] = np.nan
    return Dataset(
        name="views",
        samples=samples.astype(np.float32),
        labels=labels,
        class_names=("a", "b", "c", "d"),
        fingerprint=f"{kind}{missing}",
        modalities=modalities,
    )


def config(**values):
    mistakes = Mistakes()
    small = {"encoder": {"name": "multiview", "base_dim": 16, "hidden": [32]}, "epochs": 6, "batch_size": 40}
    read = read_trial(small | values, (), mistakes)
    assert not mistakes.found
    return read


@pytest.mark.parametrize("kind", ["two", "six"])
@pytest.mark.parametrize("method", ["conclus", "cc", "tcl", "umc", "sccl", "propos"])
def test_methods_take_several_modalities_with_missing_ones(method, kind):
    *_, last = fit(config(method=method, evaluation={"every": 3}), dataset(kind), seed=0)
    assert all(math.isfinite(one) for one in (*last.metrics.values(), *last.health.values()))


@pytest.mark.parametrize("method", ["conclus", "umc"])
def test_missing_modalities_do_not_hide_clusters_that_anyone_sees(method):
    *_, last = fit(config(method=method, epochs=20, evaluation={"every": 20}), dataset("six", n=400), seed=0)
    assert last.metrics["nmi"] > 0.85


@pytest.mark.parametrize("method", ["conclus", "umc", "propos"])
def test_a_saved_model_has_its_modalities_again(method):
    trial, data = config(method=method), dataset()
    *_, last = fit(trial, data, seed=0)
    state = last.state()
    saved = SavedModel.of(state)
    plan = blueprint(to_mapping(trial), data, 4)
    again, places = rebuilt(plan, saved.weights_file(), saved.rest_file(), "cpu")
    found = embed(again, places, data.samples, "cpu")
    assert np.isfinite(found.vectors).all()
    assert np.array_equal(found.assignment.clusters, last.scores.assignment.clusters)
    assert io.BytesIO(saved.weights_file()).getbuffer()


def test_a_description_with_modalities_of_other_samples_is_refused():
    trial, data = config(), dataset()
    *_, last = fit(trial, data, seed=0)
    saved = SavedModel.of(last.state())
    plan = blueprint(to_mapping(trial), data, 4) | {"modalities": [{"name": "text", "shape": [7]}]}
    with pytest.raises(UserError, match="modalities in the description of the model"):
        rebuilt(plan, saved.weights_file(), saved.rest_file(), "cpu")


@pytest.mark.parametrize("views", ["auto", "multiview"])
def test_an_encoder_of_whole_rows_is_refused_where_views_leave_modalities_out(views):
    words = f"mlp takes whole rows, and the views {views} leave out some of the 2 modalities of views: use the encoder "
    words += "multiview, or the views noise"
    with pytest.raises(UserError, match=words):
        next(fit(config(encoder="mlp", views=views), dataset(missing=False), seed=0))


def test_an_encoder_of_whole_rows_takes_complete_ones_with_views_of_whole_rows():
    *_, last = fit(config(encoder="mlp", views="noise"), dataset(missing=False), seed=0)
    assert math.isfinite(last.metrics["loss"])
