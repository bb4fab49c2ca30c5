"""The family that fits the samples' shape: `affine` for images, `noise` for vectors, each with its defaults."""

from __future__ import annotations

from torch import Tensor

from core.method import Batch
from core.method import Views as Base
from core.views import affine, noise


class Views(Base):
    """Chosen by shape: (channels, height, width) is an image, (features,) is a vector."""

    def __init__(self, sample_shape: tuple[int, ...]) -> None:
        family = affine.Views if len(sample_shape) == 3 else noise.Views
        self.chosen = family(sample_shape)

    def prepare(self, samples: Tensor) -> None:
        """As the chosen family does."""
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
