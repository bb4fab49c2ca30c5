"""Chooses an encoder by the samples: `multiview` for several modalities, `convnet` for images, else `mlp`."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from core.config.schema import PositiveInt
from core.data.modalities import Modality
from core.encoders import convnet, mlp, multiview
from core.training.method import Encoder as Base

# Smaller images are vectors to it, as they are in `core.views.auto`.
_LEAST_SIDE = 16


class Encoder(Base):
    """Images are those with sides of at least 16 pixels. The chosen encoder has its defaults."""

    any_shape: ClassVar[bool] = True
    by_modality: ClassVar[bool] = True

    def __init__(self, modalities: tuple[Modality, ...], *, widths: tuple[PositiveInt, ...] = (512, 512, 256)) -> None:
        """The chosen encoder.

        Args:
            modalities: of the data set.
            widths: widths of the layers of `mlp`; the others do not use them.
        """
        super().__init__()
        first, *others = modalities
        if others:
            self.chosen: Base = multiview.Encoder(modalities)
        elif len(first.shape) == 3 and min(first.shape[1:]) >= _LEAST_SIDE:
            self.chosen = convnet.Encoder(first.shape)
        else:
            self.chosen = mlp.Encoder(first.shape, widths=widths)
        self.dim, self.notes = self.chosen.dim, self.chosen.notes

    def forward(self, samples: Tensor) -> Tensor:
        """Features (n, dim) of samples (n, *sample_shape)."""
        return self.chosen(samples)
