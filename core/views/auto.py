"""Chooses a family by the samples: `multiview` for several modalities, `words` for documents, else by shape.

By shape that is `image`, `affine` for tiny images, and `neighbours` for vectors. Each has its defaults.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from core.data.modalities import Modality
from core.data.source import Samples
from core.training.method import Batch
from core.training.method import Views as Base
from core.views import affine, image, multiview, neighbours, words


class Views(Base):
    """Samples of one modality are chosen for by shape: (channels, height, width) is an image, (features,) a vector.

    Images with sides below 16 pixels use `affine`, since crops leave too little of them. `image` also mirrors images,
    which suits natural images.
    """

    any_shape: ClassVar[bool] = True
    by_modality: ClassVar[bool] = True

    def __init__(self, modalities: tuple[Modality, ...]) -> None:
        self._choose(_family(modalities))

    def prepare(self, samples: Samples) -> None:
        """Prepares the chosen family, which for documents is another: of their small weights noise leaves nothing."""
        if words.are_shares(samples):
            self._choose(words.Views(tuple(samples.shape[1:])))
        self.chosen.prepare(samples)

    def _choose(self, family: Base) -> None:
        self.chosen, self.informed = family, family.informed

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


def _family(modalities: tuple[Modality, ...]) -> Base:
    first, *others = modalities
    if others:
        return multiview.Views(modalities)
    shape = first.shape
    if len(shape) != 3:
        return neighbours.Views(shape)
    return image.Views(shape) if min(shape[1:]) >= 16 else affine.Views(shape)
