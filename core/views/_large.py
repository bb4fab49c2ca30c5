"""Crops and blur for images of many pixels: they look pixels up, where small images take matrix products.

A product of matrices takes time with the third power of the side, a lookup with the second. Both give the same crops to
rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

LARGE = 80
"""From this side on, lookups are faster."""
# A Gaussian's weights beyond three standard deviations, here of at most 2 pixels, do not matter.
_RADIUS = 6


def is_large(images: Tensor) -> bool:
    """Whether images (n, channels, height, width) are large."""
    return max(images.shape[2:]) >= LARGE


def cropped(images: Tensor, box: Tensor) -> Tensor:
    """Images (n, channels, height, width) resampled from boxes (4, n), as `core.views.image.draw_boxes` draws them.

    The result is bilinear, and the outermost pixels are repeated outside, as of `core.views.image.bilinear`.
    """
    top, left, height, width = box
    # The second axis becomes the first one, so that whole rows are copied for it, too.
    across = _resampled(images.transpose(2, 3), left, width)
    return _resampled(across.transpose(2, 3), top, height)


def _resampled(images: Tensor, start: Tensor, length: Tensor) -> Tensor:
    """Resamples the rows of images (n, channels, rows, columns) from intervals, shares of the side, each (n,)."""
    count, channels, size, width = images.shape
    pixels = torch.arange(size, device=images.device, dtype=images.dtype)
    source = (pixels + 0.5) * length[:, None] + (start * size - 0.5)[:, None]
    source.clamp_(0, size - 1)
    first = source.floor().clamp_(max=max(size - 2, 0))
    share = source - first
    second = first.long() + (1 if size > 1 else 0)
    offset = torch.arange(count * channels, device=images.device).view(count, channels, 1, 1) * size
    pairs = torch.stack([first.long(), second], dim=2)[:, None] + offset
    weights = torch.stack([1 - share, share], dim=2)[:, None].expand(count, channels, size, 2)
    # The sum of two weighted rows for each row: torch's fastest lookup, four times as fast as `index_select`.
    found = functional.embedding_bag(
        pairs.reshape(-1, 2), images.reshape(-1, width), mode="sum", per_sample_weights=weights.reshape(-1, 2)
    )
    return found.view_as(images)


def blurred(images: Tensor, deviation: Tensor) -> Tensor:
    """Images (n, channels, height, width) after Gaussians of standard deviations (n,), in 0.1..2 pixels.

    At the border the image is mirrored, as in torchvision.
    """
    count, channels = images.shape[:2]
    radius = min(_RADIUS, min(images.shape[2:]) - 1)
    places = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    weights = torch.softmax(places.square() / (-2 * deviation.square())[:, None], dim=1)
    kernels = weights[:, None].expand(-1, channels, -1).reshape(count * channels, 1, 1, -1)
    wide = functional.pad(images, (radius,) * 4, mode="reflect").flatten(0, 1)[None]
    across = functional.conv2d(wide, kernels, groups=count * channels)
    return functional.conv2d(across, kernels.transpose(2, 3), groups=count * channels).view_as(images)
