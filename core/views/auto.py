"""Chooses a family by the samples: `multiview` for several modalities, `words` for documents, else by shape.

By shape that is `image`, `affine` for tiny images, and `neighbours` for vectors. Each has its defaults.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from core.config import plugins
from core.data.modalities import Modality
from core.data.source import Samples, SampleSource
from core.training.chosen import are_shares, views_for
from core.training.method import Batch, first_argument
from core.training.method import Views as Base


class Views(Base):
    """Samples of one modality are chosen for by shape: (channels, height, width) is an image, (features,) a vector.

    Images with sides below 16 pixels use `affine`, since crops leave too little of them. `image` also mirrors images,
    which suits natural images.
    """

    any_shape: ClassVar[bool] = True
    by_modality: ClassVar[bool] = True

    def __init__(self, modalities: tuple[Modality, ...]) -> None:
        self._modalities = modalities
        self._choose(documents=False)

    def prepare(self, samples: Samples) -> None:
        """Prepares the chosen family, which for documents is another: of their small weights noise leaves nothing."""
        if isinstance(samples, SampleSource) and are_shares(samples.stored):
            self._choose(documents=True)
        self.chosen.prepare(samples)

    def _choose(self, *, documents: bool) -> None:
        first, *others = self._modalities
        family = plugins.load("views", views_for([one.shape for one in self._modalities], documents=documents).name)
        self.chosen: Base = family(first_argument(family, first.shape, self._modalities if others else ()))
        self.informed = self.chosen.informed

    def signals(self) -> dict[str, float]:
        """Those of the chosen family."""
        return self.chosen.signals()

    def __call__(self, batch: Batch) -> Tensor:
        """The chosen family's ordinary view."""
        return self.chosen(batch)

    def weak(self, batch: Batch) -> Tensor:
        """The chosen family's weak view."""
        return self.chosen.weak(batch)

    def strong(self, batch: Batch) -> Tensor:
        """The chosen family's strong view."""
        return self.chosen.strong(batch)
