"""Every encoder: the shape it promises, gradients, and the same features whatever else is in the batch."""

import pytest
import torch

from core.config import plugins
from core.errors import UserError

torch.set_num_threads(1)
SHAPES = {"convnet": [(1, 28, 28), (3, 21, 32), (1, 20, 28), (3, 11, 8)], "resnet18": [(1, 8, 8), (3, 16, 12)]}
EVERY = [(name, shape) for name in plugins.names("encoders") for shape in SHAPES.get(name, [(6,), (1, 8, 8)])]


def built(name, shape, **options):
    torch.manual_seed(0)
    return plugins.load("encoders", name)(shape, **options)


@pytest.mark.parametrize(("name", "shape"), EVERY)
class TestEvery:
    def test_features_have_the_promised_shape_and_gradients_reach_all_parameters(self, name, shape):
        encoder = built(name, shape).train()
        features = encoder(torch.rand(5, *shape))
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
        other = plugins.load("encoders", name)(shape)
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
