"""Crops, flips, colour, blur and cut-out for images, a whole batch at a time; `strong` is like RandAugment.

A crop of a small image is two matrix products, one along each side. This is faster than a lookup of every pixel, and
blur and flip are part of the same two matrices. For images with a side of 80 pixels or more see `core.views._large`.

References: Chen et al., "SimCLR" (ICML 2020), appendix A; Cubuk et al., "RandAugment" (NeurIPS 2020); Li et al.,
"TCL" (IJCV 2022), whose views are a weak and a strong one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from core.config.schema import Fraction, NonNegativeFloat
from core.data.source import Samples
from core.errors import UserError
from core.training.method import Batch
from core.training.method import Views as Base
from core.views import _large

# Weak views keep at least this share of the area.
_WEAK = 0.6
# Sides of a box differ by at most this factor.
_RATIO = 4 / 3
_JITTERED = 0.8
_LUMA = (0.299, 0.587, 0.114)
# The operations of strong views with their largest magnitudes: degrees, shares of the size, changes of a factor from 1.
_OPERATIONS = {
    "rotate": 30.0,
    "shear_x": 0.3,
    "shear_y": 0.3,
    "shift_x": 0.3,
    "shift_y": 0.3,
    "brightness": 0.9,
    "contrast": 0.9,
    "sharpness": 0.9,
    "solarise": 0.8,
    "posterise": 1.0,
    "cutout": 0.5,
}
_SATURATION = {"saturation": 0.9}


class Views(Base):
    """The SimCLR family; pixels stay in the range of the data (0..1 before `prepare`), except with `noise`."""

    informed = True

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        *,
        crop: Fraction = 0.4,
        flip: bool = True,
        jitter: NonNegativeFloat = 0.8,
        grey: Fraction = 0.2,
        blur: Fraction = 0.5,
        cutout: Fraction = 0.0,
        noise: NonNegativeFloat = 0.0,
    ) -> None:
        """The ranges of ordinary views; weak views only crop and flip, strong views have ranges of their own.

        Args:
            sample_shape: (channels, height, width).
            crop: the smallest share of the area that a crop keeps, also in strong views.
            flip: whether half of the views are mirrored left to right.
            jitter: the largest change of brightness, contrast and (with three channels) saturation, as a share; hue
                changes by up to a quarter of it, in full turns. Eight in ten views are changed.
            grey: the share of views without colour (with three channels).
            blur: the share of views with Gaussian blur, of up to 2 pixels (less in images below 56 pixels).
            cutout: the side of the largest hole, as a share of the image's side.
            noise: standard deviation of Gaussian noise, as a share of the data's range.

        Raises:
            UserError: the samples are not images.
        """
        if len(sample_shape) != 3:
            raise UserError(
                f"views 'image' need images of shape (channels, height, width), not {sample_shape}: use the views "
                "'tabular' or 'noise', or give the data the option `shape`"
            )
        self.coloured = sample_shape[0] == 3
        self.operations = _OPERATIONS | (_SATURATION if self.coloured else {})
        self.crop, self.flip, self.jitter, self.grey = crop, flip, jitter, grey
        self.blur, self.cutout, self.noise = blur, cutout, noise
        self.low, self.high = 0.0, 1.0

    def prepare(self, samples: Samples) -> None:
        """Takes the smallest and the largest value of the data as black and white."""
        self.low, self.high = float(samples.min()), float(samples.max())

    def __call__(self, batch: Batch) -> Tensor:
        """An ordinary view of each image, shape (n, channels, height, width)."""
        generator = batch.views
        images = self._cropped_and_blurred(batch)
        if self.coloured:
            images = self._recoloured(images, generator)
        images = self._relit(images, generator)
        if self.cutout > 0:
            images = cut_out(images, self.cutout * _uniform(images, generator), self.low, generator)
        if self.noise > 0:
            noise = torch.empty_like(images).normal_(generator=generator)
            images = images.add_(noise, alpha=self.noise * (self.high - self.low))
        return images

    def weak(self, batch: Batch) -> Tensor:
        """A crop of at least 0.6 of the area of each image, half of them flipped; (n, channels, height, width)."""
        smallest = max(self.crop, _WEAK)
        if _large.is_large(batch.samples):
            return _large.cropped(batch.samples, self._box(batch, smallest))
        return resample(batch.samples, *self._maps(batch, smallest))

    def strong(self, batch: Batch) -> Tensor:
        """A crop of each image after two to four random operations; shape (n, channels, height, width)."""
        drawn = draw_operations(self.operations, batch.samples, batch.views)
        images = self._moved(batch, drawn).sub_(self.low).div_(self.high - self.low)
        images = photometric(images, drawn)
        images = cut_out(images, drawn["cutout"].abs(), 0.0, batch.views)
        return images.mul_(self.high - self.low).add_(self.low)

    def _cropped_and_blurred(self, batch: Batch) -> Tensor:
        samples, generator = batch.samples, batch.views
        if not _large.is_large(samples):
            tall, wide = self._maps(batch, self.crop)
            if self.blur > 0:
                tall, wide = self._blurred(samples, tall, wide, generator)
            return resample(samples, tall, wide)
        images = _large.cropped(samples, self._box(batch, self.crop))
        if self.blur > 0:
            deviation, chosen = self._blur(images, generator)
            rows = chosen.nonzero()[:, 0]
            images[rows] = _large.blurred(images[rows], deviation[rows])
        return images

    def _box(self, batch: Batch, smallest: float) -> Tensor:
        return draw_boxes(batch.samples, smallest, batch.views, flip=self.flip)

    def _maps(self, batch: Batch, smallest: float) -> tuple[Tensor, Tensor]:
        """The two matrices of a random crop: (n, height, height) and (n, width, width)."""
        top, left, height, width = self._box(batch, smallest)
        return bilinear(top, height, batch.samples.shape[2]), bilinear(left, width, batch.samples.shape[3])

    def _blurred(
        self, samples: Tensor, tall: Tensor, wide: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Blurs along both sides after the crop."""
        deviation, chosen = self._blur(samples, generator)
        # A Gaussian this narrow changes no pixel.
        deviation[~chosen] = 0.01
        down = gaussian(deviation, tall.shape[1])
        across = down if wide.shape == tall.shape else gaussian(deviation, wide.shape[1])
        return torch.bmm(down, tall), torch.bmm(across, wide)

    def _blur(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The standard deviation of each image's blur in pixels, and whether it is blurred, each (n,)."""
        largest = min(2.0, min(images.shape[2:]) / 28)
        deviation = 0.1 + (largest - 0.1) * _uniform(images, generator)
        return deviation, _uniform(images, generator) < self.blur

    def _recoloured(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Changes saturation, hue and grey-scale of (n, 3, height, width) by one matrix per image."""
        draw = torch.empty(2, len(images), device=images.device).uniform_(-1, 1, generator=generator)
        draw *= self._chosen(images, generator) * self.jitter
        saturation = (1 + draw[0]).clamp_(min=0)
        saturation *= _uniform(images, generator) >= self.grey
        matrices = saturate(saturation) @ turn_hue(draw[1] * (math.tau / 4))
        return (matrices @ images.flatten(2)).view_as(images)

    def _relit(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Changes contrast around each image's mean, then brightness relative to black, within the range."""
        draw = torch.empty(2, len(images), device=images.device).uniform_(-1, 1, generator=generator)
        draw *= self._chosen(images, generator) * self.jitter
        contrast, brightness = (1 + draw).clamp_(min=0).view(2, -1, 1, 1, 1)
        gain = contrast * brightness
        mean = images.mean((1, 2, 3), keepdim=True)
        offset = (1 - gain) * self.low + brightness * (1 - contrast) * (mean - self.low)
        return torch.addcmul(offset, images, gain).clamp_(self.low, self.high)

    def _chosen(self, images: Tensor, generator: torch.Generator) -> Tensor:
        return _uniform(images, generator) < _JITTERED

    def _moved(self, batch: Batch, drawn: dict[str, Tensor]) -> Tensor:
        """Crop, flip and all operations that move pixels as one affine map; black outside."""
        top, left, height, width = self._box(batch, self.crop)
        centre = torch.stack([2 * left + width - 1, 2 * top + height - 1], dim=1)
        maps = moves(drawn)
        maps = torch.cat([maps[:, :, :2] * torch.stack([width, height], 1)[:, :, None], maps[:, :, 2:]], dim=2)
        maps[:, :, 2] += centre
        # grid_sample fills with zeros, so black must be zero here.
        black = batch.samples - self.low
        return functional.grid_sample(black, grid_of(maps, black), align_corners=False).add_(self.low)


def _uniform(like: Tensor, generator: torch.Generator) -> Tensor:
    """A number in 0..1 for each of the n rows of `like`, shape (n,)."""
    return torch.rand(len(like), generator=generator, device=like.device)


def draw_boxes(images: Tensor, smallest: float, generator: torch.Generator, *, flip: bool) -> Tensor:
    """Random boxes inside the image, as shares of its sides.

    Args:
        images: (n, channels, height, width).
        smallest: the smallest share of the area; areas are uniform between it and 1.
        generator: the random generator.
        flip: whether half of the boxes are mirrored.

    Returns:
        Top, left, height and width, shape (4, n); for a mirrored box, the width is negative and `left` is its right
        edge.
    """
    draw = torch.rand(5, len(images), generator=generator, device=images.device)
    area = smallest + (1 - smallest) * draw[0]
    # The ratio of the sides is limited so that the box fits into the image with the drawn area.
    ratio = torch.exp((2 * draw[1] - 1) * (-area.log()).clamp_(max=math.log(_RATIO)))
    height, width = (area / ratio).sqrt_().clamp_(max=1), (area * ratio).sqrt_().clamp_(max=1)
    top, left = draw[2] * (1 - height), draw[3] * (1 - width)
    leftwards = (draw[4] < 0.5) & flip
    return torch.stack([top, torch.where(leftwards, left + width, left), height, torch.where(leftwards, -width, width)])


def bilinear(start: Tensor, length: Tensor, size: int) -> Tensor:
    """Matrices that resample `size` pixels from intervals, bilinear; the outermost pixels are repeated outside.

    Args:
        start: the starts of the intervals, as shares of the side, shape (n,).
        length: their lengths, shape (n,); a negative one runs backwards.
        size: pixels of the side, before and after.

    Returns:
        Shape (n, size, size): row i holds the weights of the source pixels for pixel i.
    """
    pixels = torch.arange(size, device=start.device, dtype=start.dtype)
    source = (pixels + 0.5) * length[:, None] + (start * size - 0.5)[:, None]
    return (1 - (source.clamp_(0, size - 1)[:, :, None] - pixels).abs_()).clamp_(min=0)


def gaussian(deviation: Tensor, size: int) -> Tensor:
    """Matrices (n, size, size) that blur by Gaussians of standard deviations (n,) in pixels; rows sum to 1."""
    pixels = torch.arange(size, device=deviation.device, dtype=deviation.dtype)
    squares = (pixels[:, None] - pixels).square_()
    # Weights below 1e-13 do not matter, but denormal numbers make products several times slower.
    exponents = (squares / (-2 * deviation.square())[:, None, None]).clamp_(min=-30)
    return torch.softmax(exponents, dim=2)


def resample(images: Tensor, tall: Tensor, wide: Tensor) -> Tensor:
    """Images (n, channels, height, width) after matrices (n, height, height) and (n, width, width) on their sides."""
    channels, height, width = images.shape[1:]
    across = torch.bmm(images.reshape(-1, channels * height, width), wide.transpose(1, 2)).view_as(images)
    if channels == 1:
        return torch.bmm(tall, across[:, 0])[:, None]
    return tall[:, None] @ across


def cut_out(images: Tensor, sides: Tensor, fill: float, generator: torch.Generator) -> Tensor:
    """Fills a random rectangle in each image; `sides` (n,) are its sides as shares of the image's; 0 fills nothing."""
    draw = torch.rand(2, len(images), generator=generator, device=images.device) * (1 - sides)
    height, width = images.shape[2:]
    rows, columns = _covered(draw[0], sides, height), _covered(draw[1], sides, width)
    return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], fill)


def _covered(start: Tensor, length: Tensor, size: int) -> Tensor:
    """A mask of the pixels whose centres lie in intervals, shape (n, size)."""
    centres = (torch.arange(size, device=start.device) + 0.5) / size - start[:, None]
    return (centres > 0) & (centres < length[:, None])


def saturate(factors: Tensor) -> Tensor:
    """Colour matrices (n, 3, 3) that keep the share `factors` (n,) of the colour: 0 is grey, 1 changes nothing."""
    factors = factors[:, None, None]
    eye, luma = torch.eye(3, device=factors.device), torch.tensor(_LUMA, device=factors.device)
    return factors * eye + (1 - factors) * luma.expand(3, 3)


def turn_hue(angles: Tensor) -> Tensor:
    """Colour matrices (n, 3, 3) that rotate colours around the grey axis by angles (n,) in radians."""
    angles = angles[:, None, None]
    eye = torch.eye(3, device=angles.device)
    cross = (eye.roll(1, 0) - eye.roll(-1, 0)) / math.sqrt(3)
    return angles.cos() * eye + (1 - angles.cos()) / 3 + angles.sin() * cross


def draw_operations(largest: dict[str, float], images: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """Draws two to four different operations for each image.

    Args:
        largest: the largest magnitude of each operation.
        images: (n, channels, height, width).
        generator: the random generator.

    Returns:
        The magnitude of each operation, shape (n,): of either sign, at least 0.3 of the largest, and 0 if the
        operation was not drawn.
    """
    shape = (len(images), len(largest))
    rank = torch.rand(shape, generator=generator, device=images.device).argsort(1).argsort(1)
    count = torch.randint(2, 5, (len(images), 1), generator=generator, device=images.device)
    draw = torch.empty(shape, device=images.device).uniform_(-1, 1, generator=generator)
    magnitude = draw.sign() * (0.3 + 0.7 * draw.abs()) * (rank < count)
    return {name: magnitude[:, i] * most for i, (name, most) in enumerate(largest.items())}


def moves(drawn: dict[str, Tensor]) -> Tensor:
    """Affine maps (n, 2, 3) of rotation, shear and shift, in the coordinates of `affine_grid`."""
    angle = drawn["rotate"].deg2rad()
    cos, sin, one = angle.cos(), angle.sin(), torch.ones_like(angle)
    turn = torch.stack([cos, -sin, sin, cos], dim=1).view(-1, 2, 2)
    shear = torch.stack([one, drawn["shear_x"], drawn["shear_y"], one], dim=1).view(-1, 2, 2)
    shift = torch.stack([2 * drawn["shift_x"], 2 * drawn["shift_y"]], dim=1)
    return torch.cat([turn @ shear, shift[:, :, None]], dim=2)


def grid_of(maps: Tensor, images: Tensor) -> Tensor:
    """The result of `affine_grid`, shape (n, height, width, 2), in half the time: without products of thin matrices."""
    height, width = images.shape[2:]
    down = ((torch.arange(height, device=images.device) + 0.5) * (2 / height) - 1)[:, None, None]
    right = ((torch.arange(width, device=images.device) + 0.5) * (2 / width) - 1)[:, None]
    across, along, shift = maps[:, None, None, :, :].unbind(4)
    return torch.addcmul(torch.addcmul(shift, along, down), across, right)


def smoothed(images: Tensor) -> Tensor:
    """The mean of each pixel and its neighbours, at most nine, shape (n, channels, height, width)."""
    if _large.is_large(images):
        return functional.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
    tall, wide = (torch.ones(size, size, device=images.device).tril_(1).triu_(-1) for size in images.shape[2:])
    tall, wide = (one / one.sum(1, keepdim=True) for one in (tall, wide))
    return resample(images, tall.expand(len(images), -1, -1), wide.expand(len(images), -1, -1))


def photometric(images: Tensor, drawn: dict[str, Tensor]) -> Tensor:
    """Images (n, channels, height, width) in 0..1 after the operations that change values; 0 changes nothing."""
    by = {name: one.view(-1, 1, 1, 1) for name, one in drawn.items()}
    if "saturation" in drawn:
        images = (saturate(1 + drawn["saturation"]) @ images.flatten(2)).view_as(images)
    mean = images.mean((1, 2, 3), keepdim=True)
    images = (mean + (images - mean) * (1 + by["contrast"])) * (1 + by["brightness"])
    images = (images + (images - smoothed(images)) * by["sharpness"]).clamp_(0, 1)
    images = torch.where(images > 1 - by["solarise"].abs(), 1 - images, images)
    steps = (1 + 4 * (1 - by["posterise"].abs())).round()
    return torch.where(by["posterise"] == 0, images, (images * steps).round() / steps)
