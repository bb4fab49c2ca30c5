"""Views: crops against torch's own resampling, exact flips, and how much each kind changes."""

import math

import pytest
import torch
from torch.nn import functional

from core.config import plugins
from core.errors import UserError
from core.training.method import Batch, first_argument
from core.views import _large, image, tabular

torch.set_num_threads(1)
SHAPES = {"image": (1, 28, 28), "affine": (1, 28, 28)}
# Large images take another way, see `core.views._large`; `image` is also tried with these.
EVERY = [(name, SHAPES.get(name, (12,))) for name in plugins.names("views")]
EVERY += [("image", (3, 96, 96)), ("image", (1, 84, 3))]


def made(shape, n=64, seed=0):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


def batch(samples, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Batch(samples, torch.arange(len(samples)), generator, generator)


def digits(n=512):
    data = plugins.load("datasets", "digits")()
    return torch.from_numpy(data.samples[:n])


def ready(module, samples, **options):
    views = module.Views(tuple(samples.shape[1:]), **options)
    views.prepare(samples)
    return views


def family(name, shape):
    found = plugins.load("views", name)
    return found(first_argument(found, shape))


def change(samples, view):
    return float((view - samples).square().mean())


@pytest.mark.parametrize(("name", "shape"), EVERY)
@pytest.mark.parametrize("kind", ["__call__", "weak", "strong"])
class TestEvery:
    def test_the_generator_alone_decides(self, name, shape, kind):
        samples = made(shape)
        views = family(name, shape)
        views.attach({"variants": torch.stack([samples, -samples], dim=1)})
        views.prepare(samples)
        kept = samples.clone()
        draw = getattr(views, kind)
        first = draw(batch(samples))
        torch.manual_seed(5)
        assert torch.equal(first, draw(batch(samples)))
        assert first.shape == samples.shape
        assert first.dtype == samples.dtype
        assert torch.isfinite(first).all()
        assert torch.equal(samples, kept)

    def test_views_go_on_from_where_the_generator_stood(self, name, shape, kind):
        samples = made(shape)
        views = family(name, shape)
        views.attach({"variants": torch.stack([samples, -samples], dim=1)})
        views.prepare(samples)
        draw, one = getattr(views, kind), batch(samples)
        draw(one)
        state = one.views.get_state()
        second = draw(one)
        one.views.set_state(state)
        assert torch.equal(second, draw(one))
        assert not torch.equal(second, draw(one))


class TestCrop:
    @pytest.mark.parametrize("shape", [(1, 28, 28), (3, 17, 32), (4, 8, 5)])
    @pytest.mark.parametrize("smallest", [0.01, 0.4, 1.0])
    def test_is_what_grid_sample_gives_on_the_same_box(self, shape, smallest):
        images = made(shape, n=200)
        top, left, height, width = image.draw_boxes(images, smallest, batch(images).views, flip=True)
        ours = image.resample(images, image.bilinear(top, height, shape[1]), image.bilinear(left, width, shape[2]))
        zero = torch.zeros_like(top)
        maps = torch.stack([width, zero, 2 * left + width - 1, zero, height, 2 * top + height - 1], 1).view(-1, 2, 3)
        grid = functional.affine_grid(maps, list(images.shape), align_corners=False)
        theirs = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)

    def test_is_what_interpolate_gives_inside_boxes_of_whole_pixels(self):
        images = made((2, 24, 24), n=1)
        for top, left, size in [(0, 0, 24), (3, 5, 12), (12, 16, 8), (1, 0, 18)]:
            start = torch.tensor([top / 24]), torch.tensor([left / 24])
            maps = [image.bilinear(one, torch.tensor([size / 24]), 24) for one in start]
            ours = image.resample(images, *maps)
            cut = images[:, :, top : top + size, left : left + size]
            theirs = functional.interpolate(cut, size=(24, 24), mode="bilinear", align_corners=False)
            # At its rim interpolate repeats the cut's last pixels, where ours sees the image go on.
            rim = math.ceil(24 / size)
            inside = (..., slice(rim, -rim), slice(rim, -rim))
            torch.testing.assert_close(ours[inside], theirs[inside], rtol=0, atol=1e-4)

    def test_of_the_whole_image_is_the_image_or_its_mirror(self):
        images = made((3, 9, 14))
        views = image.Views((3, 9, 14), crop=1.0, jitter=0.0, grey=0.0, blur=0.0)
        for view in (views(batch(images)), views.weak(batch(images))):
            # Colour matrices of ones and zeros round a little.
            same = (view - images).abs().amax((1, 2, 3)) < 1e-6
            mirrored = (view - images.flip(3)).abs().amax((1, 2, 3)) < 1e-6
            assert (same ^ mirrored).all()
            assert 10 < same.sum() < 54
        assert all(torch.equal(a, b) or torch.equal(a, b.flip(2)) for a, b in zip(view, images, strict=True))

    def test_flips_can_be_switched_off(self):
        images = made((1, 8, 8))
        views = image.Views((1, 8, 8), crop=1.0, flip=False, jitter=0.0, blur=0.0)
        assert torch.equal(views(batch(images)), images)

    @pytest.mark.parametrize("smallest", [0.2, 0.6, 0.95])
    def test_boxes_keep_to_their_ranges(self, smallest):
        images = torch.empty(20_000, 1, 1, 1)
        top, left, height, width = image.draw_boxes(images, smallest, batch(images).views, flip=False)
        area, ratio = width * height, width / height
        assert area.min() >= smallest - 1e-6
        assert area.min() < smallest + 0.01
        assert area.max() <= 1 + 1e-6
        assert abs(area.mean() - (1 + smallest) / 2) < 0.01
        assert ratio.max() <= 4 / 3 + 1e-5
        assert ratio.min() >= 3 / 4 - 1e-5
        for start, length in ((top, height), (left, width)):
            assert start.min() >= 0
            assert (start + length).max() <= 1 + 1e-6
            assert length.max() <= 1


class TestImage:
    def test_weak_changes_less_than_ordinary_than_strong(self):
        for samples in (digits(), functional.interpolate(digits(), scale_factor=3.5).repeat(1, 3, 1, 1)):
            views = ready(image, samples)
            weak, ordinary, strong = (
                sum(change(samples, draw(batch(samples, seed))) for seed in range(5))
                for draw in (views.weak, views, views.strong)
            )
            assert 0 < weak < ordinary < strong

    @pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-2.5, 4.0), (0.0, 255.0)])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_pixels_stay_in_the_range_of_the_data(self, low, high, channels):
        samples = low + (high - low) * made((channels, 12, 12))
        views = ready(image, samples, cutout=0.5)
        for view in (views(batch(samples)), views.weak(batch(samples)), views.strong(batch(samples))):
            assert view.min() >= low - 1e-4 * (high - low)
            assert view.max() <= high + 1e-4 * (high - low)

    def test_views_move_with_the_range(self):
        samples = made((3, 12, 12))
        samples[0, 0, 0, :2] = torch.tensor([0.0, 1.0])
        for kind in ("__call__", "weak", "strong"):
            plain = getattr(ready(image, samples, cutout=0.5), kind)(batch(samples))
            moved = getattr(ready(image, samples * 4 - 1, cutout=0.5), kind)(batch(samples * 4 - 1))
            # Thresholds may fall on the other side of a rounded value here and there.
            assert ((plain * 4 - 1 - moved).abs() < 1e-3).float().mean() > 0.999

    def test_colour_is_for_three_channels(self):
        only = {"crop": 1.0, "flip": False, "blur": 0.0, "jitter": 0.0}
        for channels in (1, 2, 4):
            samples = made((channels, 8, 8))
            assert torch.equal(image.Views((channels, 8, 8), grey=1.0, **only)(batch(samples)), samples)
            assert "saturation" not in image.Views((channels, 8, 8)).operations
        samples = made((3, 8, 8))
        grey = image.Views((3, 8, 8), grey=1.0, **only)(batch(samples))
        luma = torch.einsum("c,nchw->nhw", torch.tensor([0.299, 0.587, 0.114]), samples)
        torch.testing.assert_close(grey, luma[:, None].expand(-1, 3, -1, -1))

    def test_colour_matrices(self):
        grey = torch.full((3, 1), 0.3)
        factors = torch.tensor([0.0, 0.5, 1.0, 1.8])
        for matrices in (image.saturate(factors), image.turn_hue(factors)):
            torch.testing.assert_close(matrices @ grey, grey.expand(4, 3, 1))
        torch.testing.assert_close(image.saturate(factors)[2], torch.eye(3))
        red, green, blue = torch.eye(3)
        third = image.turn_hue(torch.tensor([math.tau / 3]))[0]
        torch.testing.assert_close(torch.stack([third @ red, third @ green]), torch.stack([green, blue]))

    def test_light_is_contrast_then_brightness(self):
        samples = made((1, 8, 8))
        views = image.Views((1, 8, 8), crop=1.0, flip=False, blur=0.0, jitter=0.3)
        view = views(batch(samples))
        same = (view == samples).all(3).all(2).all(1)
        assert 0 < same.sum() < 30
        # Where nothing is cut off, a view is a line over the original.
        inside = [i for i in range(64) if view[i].min() > 0 and view[i].max() < 1 and not same[i]]
        assert len(inside) > 5
        for i in inside:
            stacked = torch.stack([samples[i].flatten(), view[i].flatten()])
            assert torch.corrcoef(stacked)[0, 1] > 0.9999

    def test_blur_keeps_constants_and_means_and_is_a_gaussian(self):
        deviation = torch.tensor([0.01, 0.5, 1.0])
        maps = image.gaussian(deviation, 21)
        torch.testing.assert_close(maps.sum(2), torch.ones(3, 21))
        torch.testing.assert_close(maps[0], torch.eye(21), rtol=0, atol=1e-6)
        row = maps[2, 10]
        assert abs(float((row * (torch.arange(21) - 10).square()).sum().sqrt()) - 1) < 1e-3
        assert torch.equal(row, row.flip(0))

    def test_holes(self):
        images = torch.ones(400, 2, 20, 10)
        sides = torch.full((400,), 0.5)
        sides[0] = 0
        cut = image.cut_out(images, sides, -1.0, batch(images).views)
        assert torch.equal(cut[0], images[0])
        holes = (cut[1:] == -1).float().mean((1, 2, 3))
        assert torch.allclose(holes, torch.tensor(0.25), atol=0.08)
        assert torch.equal(cut[:, 0], cut[:, 1])
        assert len(cut[1:].flatten(1).unique(dim=0)) > 50

    def test_noise_has_its_deviation(self):
        samples = made((1, 30, 30))
        views = image.Views((1, 30, 30), crop=1.0, flip=False, blur=0.0, jitter=0.0, noise=0.2)
        assert abs(change(samples, views(batch(samples))) ** 0.5 - 0.2) < 0.01

    def test_strong_views_draw_two_to_four_operations(self):
        images = torch.empty(30_000, 1, 1, 1)
        views = image.Views((3, 8, 8))
        drawn = image.draw_operations(views.operations, images, batch(images).views)
        magnitudes = torch.stack([one / views.operations[name] for name, one in drawn.items()])
        counts = (magnitudes != 0).sum(0).bincount(minlength=5) / 30_000
        assert torch.allclose(counts, torch.tensor([0, 0, 1 / 3, 1 / 3, 1 / 3]), atol=0.02)
        each = (magnitudes != 0).float().mean(1)
        assert torch.allclose(each, torch.tensor(3 / len(drawn)), atol=0.02)
        sizes = magnitudes[magnitudes != 0].abs()
        assert sizes.min() >= 0.3
        assert sizes.max() <= 1 + 1e-6
        assert abs(float(magnitudes.sign().mean())) < 0.01

    def test_no_operation_changes_nothing_and_each_does_something(self):
        samples = digits(16)
        none = dict.fromkeys(image.Views((1, 8, 8)).operations, torch.zeros(16))
        torch.testing.assert_close(image.photometric(samples, none), samples)
        torch.testing.assert_close(image.moves(none), torch.eye(2, 3).expand(16, 2, 3))
        for name in ("brightness", "contrast", "sharpness", "solarise", "posterise"):
            one = none | {name: torch.full((16,), 0.4)}
            assert change(samples, image.photometric(samples, one)) > 1e-4
        for name in ("rotate", "shear_x", "shear_y", "shift_x", "shift_y"):
            assert not torch.equal(image.moves(none | {name: torch.full((16,), 0.4)}), image.moves(none))

    def test_grids_and_means_are_torchs(self):
        images = made((2, 7, 9), n=5)
        maps = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(1))
        theirs = functional.affine_grid(maps, list(images.shape), align_corners=False)
        torch.testing.assert_close(image.grid_of(maps, images), theirs, rtol=1e-4, atol=1e-5)
        means = functional.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
        torch.testing.assert_close(image.smoothed(images), means)


class TestLarge:
    """Images of 80 pixels and more: the same views by lookups instead of matrix products."""

    @pytest.mark.parametrize("shape", [(3, 96, 96), (1, 224, 224), (2, 96, 5), (1, 3, 90), (3, 1, 96)])
    @pytest.mark.parametrize("smallest", [0.01, 0.4, 1.0])
    def test_a_crop_is_that_of_the_matrices(self, shape, smallest):
        images = made(shape, n=12)
        box = image.draw_boxes(images, smallest, batch(images).views, flip=True)
        maps = [image.bilinear(*ends, size) for *ends, size in ((box[0], box[2], shape[1]), (box[1], box[3], shape[2]))]
        torch.testing.assert_close(_large.cropped(images, box), image.resample(images, *maps), rtol=0, atol=2e-5)

    @pytest.mark.parametrize("side", [96, 224])
    def test_blur_is_that_of_torchvision_of_three_deviations(self, side):
        torchvision = pytest.importorskip("torchvision.transforms.v2.functional")
        images, deviations = made((3, side, side), n=4), [0.1, 0.7, 1.4, 2.0]
        ours = _large.blurred(images, torch.tensor(deviations))
        for one, found, deviation in zip(images, ours, deviations, strict=True):
            theirs = torchvision.gaussian_blur(one, kernel_size=[13, 13], sigma=[deviation, deviation])
            torch.testing.assert_close(found, theirs, rtol=0, atol=1e-5)

    def test_blur_inside_is_that_of_the_matrices(self):
        images, deviation = made((1, 96, 96), n=3), torch.tensor([0.5, 1.0, 2.0])
        maps = image.gaussian(deviation, 96)
        inside = (..., slice(8, -8), slice(8, -8))
        ours, theirs = _large.blurred(images, deviation), image.resample(images, maps, maps)
        torch.testing.assert_close(ours[inside], theirs[inside], rtol=0, atol=3e-3)

    def test_the_share_of_blurred_views_is_the_option(self):
        images = made((1, 80, 80), n=300)
        only = {"crop": 1.0, "flip": False, "jitter": 0.0}
        sharp = image.Views((1, 80, 80), blur=0.0, **only)(batch(images))
        views = image.Views((1, 80, 80), blur=0.3, **only)(batch(images))
        torch.testing.assert_close(sharp, images, rtol=0, atol=1e-5)
        changed = (views - images).abs().amax((1, 2, 3)) > 0.01
        assert 0.2 < changed.float().mean() < 0.4

    def test_weak_changes_less_than_ordinary_than_strong(self):
        samples = functional.interpolate(digits(64), size=(96, 96)).repeat(1, 3, 1, 1)
        views = ready(image, samples)
        weak, ordinary, strong = (
            sum(change(samples, draw(batch(samples, seed))) for seed in range(3))
            for draw in (views.weak, views, views.strong)
        )
        assert 0 < weak < ordinary < strong

    def test_the_mean_of_neighbours_is_that_of_small_images(self):
        images = made((2, 81, 9), n=3)
        maps = [torch.ones(size, size).tril_(1).triu_(-1) for size in (81, 9)]
        maps = [(one / one.sum(1, keepdim=True)).expand(3, -1, -1) for one in maps]
        torch.testing.assert_close(image.smoothed(images), image.resample(images, *maps))


class TestTabular:
    def table(self, n=3000):
        return torch.randn(n, 8, generator=torch.Generator().manual_seed(3)) * torch.arange(1.0, 9)

    def test_weak_changes_less_than_ordinary_than_strong(self):
        samples = self.table()
        views = ready(tabular, samples, dropout=0.1)
        weak, ordinary, strong = (change(samples, draw(batch(samples))) for draw in (views.weak, views, views.strong))
        assert 0 < weak < ordinary < strong

    @pytest.mark.parametrize(("kind", "share"), [("weak", 1 - 0.64**0.5), ("__call__", 0.36), ("strong", 1 - 0.64**2)])
    def test_corruption_draws_each_feature_from_its_own_values(self, kind, share):
        samples = self.table()
        views = ready(tabular, samples, corruption=0.36, mixup=0.0, noise=0.0)
        view = getattr(views, kind)(batch(samples))
        assert abs(float((view != samples).float().mean()) - share) < 0.01
        for column in range(8):
            assert torch.isin(view[:, column], samples[:, column]).all()
        torch.testing.assert_close(view.std(0), samples.std(0), rtol=0.05, atol=0)
        # Values come one by one: a row that took two features from the same other sample is rare.
        assert len((view - samples).nonzero()[:, 0].unique()) > 2000

    def test_mix_up_lies_between_the_sample_and_another(self):
        samples = torch.cat([torch.zeros(500, 4), torch.ones(500, 4)])
        view = ready(tabular, samples, corruption=0.0, mixup=0.3, noise=0.0)(batch(samples[:500]))
        assert (view == view[:, :1]).all()
        assert view.min() == 0
        assert 0.25 < view.max() <= 0.3

    def test_noise_and_dropout(self):
        samples = torch.ones(2000, 10)
        only = {"corruption": 0.0, "mixup": 0.0}
        noisy = ready(tabular, samples, noise=0.5, **only)(batch(samples))
        assert abs(float((noisy - samples).std()) - 0.5) < 0.02
        dropped = ready(tabular, samples, noise=0.0, dropout=0.25, **only)(batch(samples))
        assert abs(float((dropped == 0).float().mean()) - 0.25) < 0.02
        assert ((dropped == 0) | (dropped == 1)).all()

    def test_with_nothing_to_do_views_are_the_samples(self):
        samples = self.table(50)
        views = ready(tabular, samples, corruption=0.0, mixup=0.0, noise=0.0)
        assert torch.equal(views.strong(batch(samples)), samples)


def test_samples_of_the_wrong_shape_are_refused_with_what_would_be_right():
    with pytest.raises(UserError, match=r"'image' need images .* not \(64,\): use the views 'tabular'"):
        image.Views((64,))
    with pytest.raises(UserError, match=r"'tabular' need vectors .* use the views 'image'"):
        tabular.Views((1, 8, 8))
