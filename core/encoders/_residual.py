"""Residual networks: the blocks, the stems for small, medium and large images, and the network that they make.

References: He et al., "Deep Residual Learning for Image Recognition" (CVPR 2016), table 1, whose stem is `large`; the
small stem is that of Chen et al., "SimCLR" (ICML 2020), appendix B.9, for CIFAR-10; the medium one is that of Van
Gansbeke et al., "SCAN" (ECCV 2020), for STL-10, with the pooling of the large one. A block of three convolutions has
its stride in the second, as in torchvision ("ResNet v1.5").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from core.errors import UserError
from core.training.method import Encoder

Stem = Literal["auto", "small", "medium", "large"]

# The smallest side of images for each stem: below it, the last blocks would have nothing but border.
_LEAST = {"small": 8, "medium": 16, "large": 32}
# From so many pixels of the smaller side `auto` takes these stems.
_MEDIUM, _LARGE = 64, 160


class ResNet(Encoder):
    """A stem, four stages of residual blocks, all but the first of which halve the sides, and the mean over pixels."""

    gains_from_bf16 = True

    def __init__(
        self, name: str, sample_shape: tuple[int, ...], stem: Stem, blocks: Sequence[int], *, bottleneck: bool = False
    ) -> None:
        """The layers.

        Args:
            name: the encoder's, for messages.
            sample_shape: (channels, height, width).
            stem: `small` keeps the sides, `medium` divides them by 2, `large` by 4.
            blocks: the number of blocks of each stage.
            bottleneck: blocks of three convolutions, whose output is four times as wide.

        Raises:
            UserError: the samples are not images, or too small for the stem.
        """
        super().__init__()
        if stem == "auto":
            smaller = min(sample_shape[1:], default=0)
            stem = "small" if smaller < _MEDIUM else "medium" if smaller < _LARGE else "large"
        least = _LEAST[stem]
        if len(sample_shape) != 3 or min(sample_shape[1:]) < least:
            raise UserError(
                f"the encoder {name!r} with `stem: {stem}` needs images of shape (channels, height, width) with "
                f"sides of at least {least} pixels, not {sample_shape}: use `stem: small` for small images and the "
                "encoder 'mlp' for vectors, or give the data the option `shape`"
            )
        layers, channels = _stem(stem, sample_shape[0]), 64
        for stage, count in enumerate(blocks):
            inner = 64 * 2**stage
            width = 4 * inner if bottleneck else inner
            for place in range(count):
                stride = 2 if stage and not place else 1
                layers.append(Residual(channels, inner, width, stride=stride))
                channels = width
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.dim = channels
        self._initialise()
        self.to(memory_format=torch.channels_last)

    def forward(self, samples: Tensor) -> Tensor:
        """Features (n, dim) of samples (n, channels, height, width)."""
        return self.layers(samples.contiguous(memory_format=torch.channels_last))

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class Residual(nn.Module):
    """Two convolutions of 3 x 3, or three of 1 x 1, 3 x 3 and 1 x 1 where `width` is not `inner`, and a shortcut.

    `stride` divides the sides.
    """

    def __init__(self, channels: int, inner: int, width: int, *, stride: int = 1) -> None:
        super().__init__()
        if width == inner:
            layers = [*_activated(channels, inner, stride=stride), *_convolution(inner, width)]
        else:
            layers = [
                *_activated(channels, inner, kernel=1),
                *_activated(inner, inner, stride=stride),
                *_convolution(inner, width, kernel=1),
            ]
        self.inner = nn.Sequential(*layers)
        same = stride == 1 and channels == width
        self.past = nn.Identity() if same else nn.Sequential(*_convolution(channels, width, kernel=1, stride=stride))

    def forward(self, images: Tensor) -> Tensor:
        """Shape (n, channels, height, width) to (n, width, height / stride, width / stride)."""
        return (self.inner(images) + self.past(images)).relu_()


def _convolution(channels: int, width: int, *, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(width)]


def _activated(channels: int, width: int, *, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    return [*_convolution(channels, width, kernel=kernel, stride=stride), nn.ReLU(inplace=True)]


def _stem(kind: str, channels: int) -> list[nn.Module]:
    pooling = [nn.MaxPool2d(3, stride=2, padding=1)] if kind != "small" else []
    kernel, stride = (7, 2) if kind == "large" else (3, 1)
    return [*_activated(channels, 64, kernel=kernel, stride=stride), *pooling]
