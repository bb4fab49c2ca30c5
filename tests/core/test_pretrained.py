"""Encoders of timm and torchvision: the library's own features, weights from files, and what is refused."""

import pickle
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from core.config import plugins
from core.errors import UserError
from core.estimator import ContrastiveClustering

torch.set_num_threads(1)

SMALL = {"timm": "test_resnet", "torchvision": "shufflenet_v2_x0_5"}
# Mean and deviation of each channel, as the libraries document them for these models.
NORMAL = {"timm": ((0.5,) * 3, (0.5,) * 3), "torchvision": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))}


@pytest.fixture(scope="module", autouse=True)
def _libraries():
    """They take seconds to import, so no process does that but the one that runs this file."""
    globals().update(
        timm=pytest.importorskip("timm"),
        models=pytest.importorskip("torchvision.models"),
        safetensors=pytest.importorskip("safetensors.torch"),
    )


def whole(library, name, classes=1000):
    """A model with its classifier and random weights, in evaluation mode, with running statistics of its own."""
    torch.manual_seed(1)
    make = timm.create_model if library == "timm" else models.get_model
    more = {"init_weights": False} if name == "googlenet" else {}
    model = make(name, num_classes=classes, **more).train()
    with torch.no_grad():
        model(torch.rand(4, 3, 64, 64))
    return model.eval()


def own_features(library, model, images):
    """What the library itself calls the features of normalised images."""
    mean, deviation = (torch.tensor(one).view(3, 1, 1) for one in NORMAL[library])
    images = (images - mean) / deviation
    if library == "timm":
        return model.forward_head(model.forward_features(images), pre_logits=True)
    model.fc = torch.nn.Identity()
    return model(images)


def built(library, shape=(3, 64, 64), **options):
    return plugins.load("encoders", library)(shape, **{"model": SMALL.get(library)} | options)


def written(folder, model, form="pt"):
    file = folder / f"weights.{form}"
    if form == "safetensors":
        safetensors.save_file(model.state_dict(), file)
    else:
        torch.save(model.state_dict(), file)
    return str(file)


@pytest.mark.parametrize("library", SMALL)
@pytest.mark.parametrize("form", ["pt", "safetensors"])
@pytest.mark.parametrize("classes", [1000, 7])
def test_features_are_those_of_the_library_bit_for_bit(library, form, classes, tmp_path):
    model = whole(library, SMALL[library], classes)
    encoder = built(library, weights=written(tmp_path, model, form)).eval()
    images = torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        found, expected = encoder(images), own_features(library, model, images)
    assert expected.std() > 1e-4
    assert torch.equal(found, expected)
    assert found.shape == (3, encoder.dim)


@pytest.mark.parametrize("around", ["state_dict", "model"])
def test_weights_may_lie_in_what_a_training_script_wrote(around, tmp_path):
    model = whole("torchvision", SMALL["torchvision"])
    file = tmp_path / "weights.pth"
    torch.save({around: model.state_dict(), "epoch": 7}, file)
    encoder = built("torchvision", weights=str(file))
    assert torch.equal(encoder.model.conv1[0].weight, model.conv1[0].weight)


def test_weights_may_come_with_an_installed_package(tmp_path, monkeypatch):
    package = tmp_path / "shipping_weights"
    (package / "files").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    model = whole("torchvision", SMALL["torchvision"])
    written(package / "files", model)
    monkeypatch.syspath_prepend(tmp_path)
    encoder = built("torchvision", weights="shipping_weights:files/weights.pt")
    assert torch.equal(encoder.model.conv1[0].weight, model.conv1[0].weight)
    with pytest.raises(UserError, match="leads out of the package"):
        built("torchvision", weights="shipping_weights:../x.pt")


def test_one_channel_is_repeated_and_said(tmp_path):
    file = written(tmp_path, whole("timm", SMALL["timm"]))
    images = torch.rand(2, 1, 64, 64)
    grey, colour = (built("timm", (channels, 64, 64), weights=file).eval() for channels in (1, 3))
    with torch.no_grad():
        assert torch.equal(grey(images), colour(images.expand(-1, 3, -1, -1)))
    assert any("one channel is repeated" in one for one in grey.notes)
    assert not any("repeated" in one for one in colour.notes)


def test_what_was_done_is_said(tmp_path):
    (random, normalised) = built("torchvision").notes
    assert "its weights are random" in random
    assert "normalised by its mean (0.485, 0.456, 0.406) and deviation (0.229, 0.224, 0.225)" in normalised
    file = written(tmp_path, whole("torchvision", SMALL["torchvision"]))
    assert built("torchvision", weights=file).notes == (normalised,)


def test_positions_of_a_transformer_are_resampled_to_another_size(tmp_path):
    file = tmp_path / "vit.pt"
    torch.save(timm.create_model("test_vit").state_dict(), file)
    encoder = built("timm", (3, 96, 64), model="test_vit", weights=str(file))
    assert encoder(torch.rand(2, 3, 96, 64)).shape == (2, encoder.dim)
    assert any("resampled from 160 x 160" in one for one in encoder.notes)


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "googlenet", "efficientnet_b0"])
def test_nothing_in_a_model_draws_from_the_global_generator(name, tmp_path):
    """Dropout, stochastic depth and classifiers in the middle are gone, also with weights that have the latter."""
    with torch.random.fork_rng():
        model = whole("torchvision", name)
    encoder = built("torchvision", model=name, weights=written(tmp_path, model)).train()
    images = torch.rand(3, 3, 64, 64)
    before = torch.random.get_rng_state()
    first, second = encoder(images), encoder(images)
    assert torch.equal(first, second)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_frozen_model_is_never_trained_and_hands_its_own_features_on():
    encoder = built("timm", frozen=True).train()
    assert not any(one.requires_grad for one in encoder.parameters())
    before = {name: one.clone() for name, one in encoder.state_dict().items()}
    encoder(torch.rand(4, 3, 64, 64))
    assert all(torch.equal(before[name], one) for name, one in encoder.state_dict().items())
    vectors = torch.rand(4, 9)
    heads = built("timm", (9,), frozen=True)
    assert heads.dim == 9
    assert torch.equal(heads(vectors), vectors)


@pytest.mark.parametrize(
    ("library", "shape", "options", "words"),
    [
        ("timm", (3, 64, 64), {"model": "test_resnett"}, r"no model of timm; did you mean 'test_resnet'\?.* in all\)"),
        ("torchvision", (3, 64, 64), {"model": "resnet81"}, r"no model of torchvision; did you mean 'resnet\d+'\?"),
        ("timm", (3, 64, 64), {"model": "hf-hub:timm/x"}, "no model of timm.*Nothing is downloaded"),
        ("timm", (3, 64, 64), {"model": "test_resnet.no"}, "leave out what follows the dot"),
        ("timm", (64,), {}, "needs images of 3 channels, or 1, .* not samples of shape .64,.: use the encoder 'mlp'"),
        ("timm", (4, 64, 64), {}, "any number of channels, as 'resnet18'"),
        ("timm", (3, 100, 100), {"model": "test_vit"}, "160 x 160 pixels .or sides that are multiples of 16.*`size: 1"),
        ("torchvision", (3, 96, 96), {"model": "vit_b_16"}, "channels, or 1, and 224 x 224 pixels, .*`size: 224`"),
        ("torchvision", (3, 32, 32), {"model": "alexnet"}, "at least 63 x 63 pixels"),
        ("torchvision", (3, 64, 64), {"weights": "none.pt"}, "there is no file none.pt: give the path"),
        ("torchvision", (3, 64, 64), {"weights": "a\0b"}, "there is no file"),
        ("torchvision", (3, 64, 64), {"weights": "nowhere:x.pt"}, "the package nowhere is not installed"),
    ],
)
def test_what_cannot_be_used_is_told_with_what_would_be_right(library, shape, options, words):
    # Without memory for weights, as `conclus plan` looks at them.
    with pytest.raises(UserError, match=words) as error, torch.device("meta"):
        built(library, shape, **options)
    assert len(error.value.lines) == 1


@pytest.mark.parametrize("library", SMALL)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_weights_of_another_model_are_refused(library, device, tmp_path):
    file = tmp_path / "weights.pt"
    torch.save(torch.nn.Linear(3, 4).state_dict(), file)
    with pytest.raises(UserError, match=f"does not hold the weights of {SMALL[library]}"), torch.device(device):
        built(library, weights=str(file))


class Evil:
    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return (open, (str(self.folder / "ran"), "w"))


def test_no_code_in_a_file_of_weights_is_run(tmp_path):
    file = tmp_path / "weights.pt"
    torch.save({"conv1.0.weight": Evil(tmp_path)}, file)
    with pytest.raises(UserError, match="cannot be read"):
        built("torchvision", weights=str(file))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"PK\3\4 cut", b"text\n", b"\x08\0\0\0\0\0\0\0{}      "])
@pytest.mark.parametrize("form", ["pt", "safetensors"])
def test_files_that_are_no_weights_are_refused(content, form, tmp_path):
    file = tmp_path / f"weights.{form}"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"cannot be read|does not hold the weights"):
        built("torchvision", weights=str(file))


@pytest.mark.parametrize("library", SMALL)
def test_a_library_that_is_missing_is_told_with_what_installs_it(library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UserError, match=rf"'{library}' needs {library} .*: uv sync --extra vision --inexact --no-dev"):
        built(library)


def test_an_estimator_needs_the_file_for_training_alone(tmp_path):
    file = Path(written(tmp_path, whole("torchvision", SMALL["torchvision"])))
    images = np.random.default_rng(0).random((24, 3 * 32 * 32), np.float32)
    options = {"model": SMALL["torchvision"], "weights": str(file)}
    shape = {"image_shape": (3, 32, 32), "batch_size": 12, "epochs": 1, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of clusters that are empty after one epoch.
        made = ContrastiveClustering(2, method="cc", encoder="torchvision", encoder_options=options, **shape).fit(
            images
        )
    file.unlink()
    again = pickle.loads(pickle.dumps(made))
    assert np.array_equal(again.predict(images), made.labels_)


def test_classes_of_every_architecture_of_torchvision_are_left_out():
    """One of each kind: what stays is what the last layer is given."""
    expected = {"alexnet": 4096, "densenet121": 1024, "squeezenet1_1": 512, "mnasnet0_5": 1280, "resnet18": 512}
    with torch.device("meta"):
        found = {name: built("torchvision", (3, 96, 96), model=name).dim for name in expected}
    assert found == expected
