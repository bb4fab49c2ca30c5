"""The family that fits the samples' shape: `affine` for images, `noise` for vectors, each with its defaults."""

from __future__ import annotations

import torch
from torch import Tensor

from core.views import affine, noise


class Views:
    """Chosen by shape: (channels, height, width) is an image, (features,) is a vector."""

    def __init__(self, sample_shape: tuple[int, ...]) -> None:
        family = affine.Views if len(sample_shape) == 3 else noise.Views
        self.chosen = family(sample_shape)

    def __call__(self, samples: Tensor, generator: torch.Generator) -> Tensor:
        """A random view of each sample: (n, *sample_shape) in and out."""
        return self.chosen(samples, generator)
