"""Uses the flattened samples as features, without parameters: for embeddings that are already good."""

from __future__ import annotations

import math
from typing import ClassVar

from torch import Tensor

from core.training.method import Encoder as Base


class Encoder(Base):
    """Flattens samples; only the method's heads learn."""

    any_shape: ClassVar[bool] = True

    def __init__(self, sample_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.dim = math.prod(sample_shape)

    def forward(self, samples: Tensor) -> Tensor:
        """Features (n, dim) of samples (n, *sample_shape)."""
        return samples.flatten(1)
