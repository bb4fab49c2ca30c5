"""ResNet-18 with 512 features, 11 million parameters: the stem `small` is for images below 64 pixels.

References: He et al., "Deep Residual Learning for Image Recognition" (CVPR 2016), table 1; the small stem is that
of Chen et al., "SimCLR" (ICML 2020), appendix B.9, for CIFAR-10.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from core.errors import UserError
from core.training.method import Encoder as Base


class Encoder(Base):
    """Eight residual blocks of two convolutions, then the mean over pixels."""

    gains_from_bf16 = True

    def __init__(self, sample_shape: tuple[int, ...], *, stem: Literal["small", "large"] = "small") -> None:
        """The layers.

        Args:
            sample_shape: (channels, height, width).
            stem: `small` begins with a convolution of 3 x 3 pixels and keeps the sides; `large` begins with 7 x 7 and
                pooling, which divides the sides by 4.

        Raises:
            UserError: the samples are not images of at least 8 x 8 (`large`: 32 x 32) pixels.
        """
        super().__init__()
        least = 8 if stem == "small" else 32
        if len(sample_shape) != 3 or min(sample_shape[1:]) < least:
            raise UserError(
                f"the encoder 'resnet18' with `stem: {stem}` needs images of shape (channels, height, width) with "
                f"sides of at least {least} pixels, not {sample_shape}: use `stem: small` for small images and the "
                "encoder 'mlp' for vectors, or give the data the option `shape`"
            )
        self.layers = nn.Sequential(
            *(_small_stem if stem == "small" else _large_stem)(sample_shape[0]),
            *(Residual(64, 64), Residual(64, 64)),
            *(Residual(64, 128, stride=2), Residual(128, 128)),
            *(Residual(128, 256, stride=2), Residual(256, 256)),
            *(Residual(256, 512, stride=2), Residual(512, 512)),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.dim = 512
        self._initialise()
        self.to(memory_format=torch.channels_last)

    def forward(self, samples: Tensor) -> Tensor:
        """Features (n, 512) of samples (n, channels, height, width)."""
        return self.layers(samples.contiguous(memory_format=torch.channels_last))

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class Residual(nn.Module):
    """Two convolutions of 3 x 3 and a shortcut past them; `stride` divides the sides."""

    def __init__(self, channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            *_convolution(channels, width, stride=stride),
            nn.ReLU(inplace=True),
            *_convolution(width, width),
        )
        same = stride == 1 and channels == width
        self.past = nn.Identity() if same else nn.Sequential(*_convolution(channels, width, kernel=1, stride=stride))

    def forward(self, images: Tensor) -> Tensor:
        """Shape (n, channels, height, width) to (n, width, height / stride, width / stride)."""
        return (self.inner(images) + self.past(images)).relu_()


def _convolution(channels: int, width: int, *, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(width)]


def _small_stem(channels: int) -> list[nn.Module]:
    return [*_convolution(channels, 64), nn.ReLU(inplace=True)]


def _large_stem(channels: int) -> list[nn.Module]:
    pool = nn.MaxPool2d(3, stride=2, padding=1)
    return [*_convolution(channels, 64, kernel=7, stride=2), nn.ReLU(inplace=True), pool]
