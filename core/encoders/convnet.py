"""A small convolutional network, 0.24 million parameters, for images of 8 x 8 pixels and more (best from 28 x 28)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.config.schema import PositiveInt
from core.errors import UserError
from core.training.method import Encoder as Base

# The smallest side with which the third convolution gets 6 x 6 pixels.
_LARGE = 21


class Encoder(Base):
    """Four blocks of convolution, batch norm and ReLU; all but the last halve the sides. Then the mean over pixels."""

    gains_from_bf16 = True

    def __init__(self, sample_shape: tuple[int, ...], *, dim: PositiveInt = 128) -> None:
        """The layers.

        Args:
            sample_shape: (channels, height, width).
            dim: number of features.

        Raises:
            UserError: the samples are not images of at least 8 x 8 pixels.
        """
        super().__init__()
        if len(sample_shape) != 3 or min(sample_shape[1:]) < 8:
            raise UserError(
                "the encoder 'convnet' needs images of shape (channels, height, width) with sides of at least 8 "
                f"pixels, not {sample_shape}: use the encoder 'mlp', or give the data the option `shape`"
            )
        # Layers with many pixels take most of the time. A convolution of one channel at full size is as slow as all
        # others together, and one of 32 channels at half size with pooling does four times the work of one with a
        # stride. Padding would give the third one 7 x 7 instead of 5 x 5 pixels (for 28 x 28); small images need it.
        border = 1 if min(sample_shape[1:]) < _LARGE else 0
        layers = [
            *_block(sample_shape[0], 32, kernel=5, stride=2, border=2),
            *_block(32, 64, stride=2),
            *_block(64, 128, border=border, pool=True),
            *_block(128, dim),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        ]
        self.layers = nn.Sequential(*layers).to(memory_format=torch.channels_last)
        self.dim = dim

    def forward(self, samples: Tensor) -> Tensor:
        """Features (n, dim) of samples (n, channels, height, width)."""
        return self.layers(samples.contiguous(memory_format=torch.channels_last))


def _block(
    channels: int, width: int, *, kernel: int = 3, stride: int = 1, border: int = 1, pool: bool = False
) -> list[nn.Module]:
    # The batch norm's shift makes the convolution's bias redundant.
    convolution = nn.Conv2d(channels, width, kernel, stride, border, bias=False)
    # Pooling and ReLU give the same result in either order; ReLU after pooling has a quarter of the work.
    pooling = [nn.MaxPool2d(2, ceil_mode=True)] if pool else []
    return [convolution, nn.BatchNorm2d(width), *pooling, nn.ReLU(inplace=True)]
