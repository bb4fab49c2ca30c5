"""Every encoder: the shape it promises, gradients, and the same features whatever else is in the batch."""

import pytest
import torch

from core.config import plugins
from core.config.schema import Mistakes
from core.config.trial import read_trial
from core.data.modalities import side_by_side
from core.errors import UserError
from core.training.method import first_argument

torch.set_num_threads(1)
SHAPES = {
    "convnet": [(1, 28, 28), (3, 21, 32), (1, 20, 28), (3, 11, 8)],
    "resnet18": [(1, 8, 8), (3, 16, 12)],
    "resnet34": [(1, 8, 8)],
    "resnet50": [(3, 66, 64)],
    "timm": [(3, 32, 48), (1, 64, 64)],
    "torchvision": [(3, 32, 48), (1, 64, 64)],
}
# What an encoder cannot be built without.
NEEDED = {"timm": {"model": "test_vit"}, "torchvision": {"model": "shufflenet_v2_x0_5"}}
EVERY = [(name, shape) for name in plugins.names("encoders") for shape in SHAPES.get(name, [(6,), (1, 8, 8)])]


def built(name, shape, **options):
    torch.manual_seed(0)
    encoder = plugins.load("encoders", name)
    return encoder(first_argument(encoder, shape), **NEEDED.get(name, {}) | options)


@pytest.mark.parametrize(("name", "shape"), EVERY)
class TestEvery:
    def test_features_have_the_promised_shape_and_gradients_reach_all_parameters(self, name, shape):
        encoder = built(name, shape).train()
        samples = torch.rand(5, *shape)
        if name == "multiview":
            samples[0] = torch.nan  # what stands for a missing modality learns, too
        features = encoder(samples)
        assert features.shape == (5, encoder.dim)
        assert features.dtype == torch.float32
        parameters = list(encoder.parameters())
        if parameters:
            (features * torch.rand_like(features)).sum().backward()
        assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in parameters)

    def test_evaluation_depends_on_the_sample_alone_and_changes_nothing(self, name, shape):
        encoder = built(name, shape)
        samples = torch.rand(5, *shape)
        encoder.train()(samples)
        encoder.eval()
        before = {key: one.clone() for key, one in encoder.state_dict().items()}
        with torch.no_grad():
            together, again = encoder(samples), encoder(samples)
            alone = torch.cat([encoder(samples[i : i + 1]) for i in range(5)])
        assert torch.equal(together, again)
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
        assert all(torch.equal(before[key], one) for key, one in encoder.state_dict().items())

    def test_a_state_makes_another_the_same(self, name, shape):
        encoder = built(name, shape)
        encoder.train()(torch.rand(5, *shape))
        other = built(name, shape)
        other.load_state_dict(encoder.state_dict())
        samples = torch.rand(3, *shape)
        assert torch.equal(encoder.eval()(samples), other.eval()(samples))

    def test_the_samples_stay_as_they_are(self, name, shape):
        samples = torch.rand(4, *shape)
        kept = samples.clone()
        built(name, shape)(samples)
        assert torch.equal(samples, kept)


@pytest.mark.parametrize("name", ["convnet", "linear"])
def test_the_number_of_features_is_an_option(name):
    encoder = built(name, (1, 28, 28), dim=7)
    assert encoder.dim == 7
    assert encoder(torch.rand(2, 1, 28, 28)).shape == (2, 7)


@pytest.mark.parametrize(
    ("name", "shape", "options", "words"),
    [
        ("convnet", (64,), {}, r"'convnet' needs images .* not \(64,\): use the encoder 'mlp'"),
        ("convnet", (1, 7, 28), {}, "at least 8 pixels"),
        ("resnet18", (64,), {}, "'resnet18' with `stem: small` needs images"),
        ("resnet18", (3, 28, 28), {"stem": "large"}, "at least 32 pixels.*use `stem: small`"),
        ("resnet34", (64,), {}, "'resnet34' with `stem: small` needs images"),
        ("resnet50", (3, 12, 40), {"stem": "medium"}, "at least 16 pixels"),
    ],
)
def test_samples_that_an_encoder_cannot_take_are_named(name, shape, options, words):
    with pytest.raises(UserError, match=words):
        built(name, shape, **options)


def test_sizes_are_those_of_the_papers():
    def count(encoder):
        return sum(one.numel() for one in encoder.parameters())

    # torchvision's resnet18 has 11,689,512, of which 513,000 are its last layer.
    assert count(built("resnet18", (3, 64, 64), stem="large")) == 11_689_512 - 513_000
    assert built("resnet18", (3, 64, 64), stem="large").layers[:4](torch.rand(1, 3, 64, 64)).shape == (1, 64, 16, 16)
    assert built("resnet18", (3, 32, 32)).layers[:-2](torch.rand(2, 3, 32, 32)).shape == (2, 512, 4, 4)
    assert 200_000 < count(built("convnet", (1, 28, 28))) < 260_000
    assert not list(built("identity", (6,)).parameters())


BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}


@pytest.mark.parametrize("name", BLOCKS)
def test_a_large_stem_gives_what_torchvision_gives_with_the_same_weights(name):
    models = pytest.importorskip("torchvision.models")
    theirs, ours = models.get_model(name, weights=None), built(name, (3, 64, 64), stem="large")
    theirs.fc = torch.nn.Identity()
    # Both have the same layers in the same order, but ours has those of a shortcut after the other layers of its block.
    blocks = [block for stage in (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4) for block in stage]
    pairs = [*zip(ours.layers[:2], (theirs.conv1, theirs.bn1), strict=True)]
    for mine, block in zip(ours.layers[4:-2], blocks, strict=True):
        own = [one for one in mine.inner if not isinstance(one, torch.nn.ReLU)]
        inner = [one for key, one in block.named_children() if key[:-1] in {"conv", "bn"}]
        pairs += [*zip(own, inner, strict=True)]
        if block.downsample is not None:
            pairs += [*zip(mine.past, block.downsample, strict=True)]
    for mine, other in pairs:
        if isinstance(other, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(other.weight, 0.5, 1.5)
            torch.nn.init.uniform_(other.bias, -0.5, 0.5)
        mine.load_state_dict(other.state_dict())
    ours, theirs = ours.double(), theirs.double()
    samples = torch.rand(3, 3, 64, 64, dtype=torch.float64)
    for mode in (True, False):  # In training mode first: then the running statistics are others, too.
        expected = theirs.train(mode)(samples)
        assert expected.std() > 0.01
        torch.testing.assert_close(ours.train(mode)(samples), expected)
    count = [sum(one.numel() for one in each.parameters()) for each in (ours, theirs)]
    assert count[0] == count[1]


@pytest.mark.parametrize(("stem", "side"), [("small", 64), ("medium", 32), ("large", 16)])
def test_a_stem_divides_the_sides(stem, side):
    images = torch.rand(1, 3, 64, 64)
    for layer in built("resnet18", (3, 64, 64), stem=stem).layers:
        images = layer(images)
        if images.shape[1] == 64 and images.shape[2] == side:
            break
    assert images.shape == (1, 64, side, side)


@pytest.mark.parametrize(
    ("side", "stem"), [(8, "small"), (63, "small"), (64, "medium"), (159, "medium"), (160, "large")]
)
def test_an_automatic_stem_follows_the_smaller_side(side, stem):
    with torch.device("meta"):
        chosen, named = (built("resnet50", (3, side, side + 9), stem=one).layers for one in ("auto", stem))
    assert [str(one) for one in chosen[:5]] == [str(one) for one in named[:5]]
    assert plugins.options("encoders", "resnet18")[0].default == "small"  # Rows of before stay.


@pytest.mark.parametrize(
    ("side", "sides"), [(28, [14, 7, 5, 3]), (21, [11, 6, 4, 2]), (20, [10, 5, 5, 3]), (8, [4, 2, 2, 1])]
)
def test_only_large_images_lose_their_border(side, sides):
    images, found = torch.rand(2, 1, side, side), []
    for layer in built("convnet", (1, side, side)).layers:
        images = layer(images)
        if isinstance(layer, torch.nn.Conv2d | torch.nn.MaxPool2d):
            found.append(images.shape[2])
    assert found == [*sides, sides[-1]]


def test_pooling_before_relu_is_pooling_after_it():
    encoder = built("convnet", (1, 28, 28)).train()
    samples = torch.rand(6, 1, 28, 28)
    layers = list(encoder.layers)
    pools = [i for i, one in enumerate(layers) if isinstance(one, torch.nn.MaxPool2d)]
    assert pools
    for i in pools:
        layers[i], layers[i + 1] = torch.nn.ReLU(), layers[i]
    usual = torch.nn.Sequential(*layers)
    found = []
    for one in (encoder, usual):
        features = one(samples)
        encoder.zero_grad()
        (features * features.detach()).sum().backward()
        found.append([features.detach(), *(parameter.grad.clone() for parameter in encoder.parameters())])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)


AUTO = {
    "convnet": [(1, 28, 28), (3, 16, 40)],
    "mlp": [(6,), (1, 15, 40), (1, 8, 8), (5, 30)],
}


@pytest.mark.parametrize(("name", "shape"), [(name, shape) for name in AUTO for shape in AUTO[name]])
def test_the_automatic_encoder_is_chosen_by_the_shape(name, shape):
    chosen, named = built("auto", shape), built(name, shape)
    assert type(chosen.chosen) is type(named)
    assert (chosen.dim, chosen.notes) == (named.dim, named.notes)
    samples = torch.rand(4, *shape)
    assert torch.equal(chosen.eval()(samples), named.eval()(samples))


def test_the_automatic_encoder_knows_of_missing_modalities():
    parts = side_by_side({"sound": (4,), "picture": (1, 16, 16)})
    torch.manual_seed(0)
    chosen = plugins.load("encoders", "auto")(parts)
    assert type(chosen.chosen) is plugins.load("encoders", "multiview")
    samples = torch.rand(3, parts[-1].stop)
    samples[0, :4] = torch.nan
    assert torch.isfinite(chosen(samples)).all()


def test_widths_of_the_automatic_encoder_are_those_of_vectors():
    assert built("auto", (6,), widths=(8, 5)).dim == 5
    assert built("auto", (1, 28, 28), widths=(8, 5)).dim == built("convnet", (1, 28, 28)).dim


@pytest.mark.parametrize(
    ("options", "words"),
    [({"widths": (0,)}, "each item a whole number at least 1 is needed"), ({"width": (8,)}, "did you mean 'widths'")],
)
def test_wrong_options_of_the_automatic_encoder_are_told_in_words(options, words):
    mistakes = Mistakes()
    read_trial({"encoder": {"name": "auto", **options}}, (), mistakes)
    assert words in mistakes.found[0].text
