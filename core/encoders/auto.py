"""Chooses an encoder by the samples: `multiview` for several modalities, `convnet` for images, else `mlp`."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from core.config import plugins
from core.config.schema import PositiveInt
from core.data.modalities import Modality
from core.training.chosen import encoder_for
from core.training.method import Encoder as Base
from core.training.method import first_argument


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
        name = encoder_for([one.shape for one in modalities]).name
        encoder = plugins.load("encoders", name)
        options = {"widths": widths} if name == "mlp" else {}
        self.chosen: Base = encoder(first_argument(encoder, first.shape, modalities if others else ()), **options)
        self.dim, self.notes = self.chosen.dim, self.chosen.notes

    def forward(self, samples: Tensor) -> Tensor:
        """Features (n, dim) of samples (n, *sample_shape)."""
        return self.chosen(samples)
