"""Chooses a family by the samples' shape: `image`, `affine` for tiny images, `noise` for vectors; with defaults."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from core.data.source import Samples
from core.training.method import Batch
from core.training.method import Views as Base
from core.views import affine, image, noise


class Views(Base):
    """Chosen by shape: (channels, height, width) is an image, (features,) is a vector.

    Images with sides below 16 pixels use `affine`, since crops leave too little of them. `image` also mirrors images,
    which suits natural images.
    """

    any_shape: ClassVar[bool] = True

    def __init__(self, sample_shape: tuple[int, ...]) -> None:
        self.chosen = _family(sample_shape)(sample_shape)

    def prepare(self, samples: Samples) -> None:
        """Prepares the chosen family."""
        self.chosen.prepare(samples)

    def __call__(self, batch: Batch) -> Tensor:
        """The chosen family's ordinary view."""
        return self.chosen(batch)

    def weak(self, batch: Batch) -> Tensor:
        """The chosen family's weak view."""
        return self.chosen.weak(batch)

    def strong(self, batch: Batch) -> Tensor:
        """The chosen family's strong view."""
        return self.chosen.strong(batch)


def _family(sample_shape: tuple[int, ...]) -> type[image.Views | affine.Views | noise.Views]:
    if len(sample_shape) != 3:
        return noise.Views
    return image.Views if min(sample_shape[1:]) >= 16 else affine.Views
