"""One linear layer, for embeddings that are already nearly good; samples of any shape are flattened."""

from __future__ import annotations

import math
from typing import ClassVar

from torch import Tensor, nn

from core.config.schema import PositiveInt
from core.training.method import Encoder as Base


class Encoder(Base):
    """A linear layer with a bias."""

    any_shape: ClassVar[bool] = True

    def __init__(self, sample_shape: tuple[int, ...], *, dim: PositiveInt = 256) -> None:
        """The layer.

        Args:
            sample_shape: any shape.
            dim: number of features.
        """
        super().__init__()
        self.layer = nn.Linear(math.prod(sample_shape), dim)
        self.dim = dim

    def forward(self, samples: Tensor) -> Tensor:
        """Features (n, dim) of samples (n, *sample_shape)."""
        return self.layer(samples.flatten(1))
