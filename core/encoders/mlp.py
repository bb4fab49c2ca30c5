"""A multi-layer perceptron with batch normalisation, for vectors and small images."""

from __future__ import annotations

import itertools
import math
from typing import ClassVar

from torch import Tensor, nn

from core.config.schema import PositiveInt
from core.training.method import Encoder as Base


class Encoder(Base):
    """A linear layer, batch norm and ReLU for each width; samples of any shape are flattened."""

    any_shape: ClassVar[bool] = True

    def __init__(self, sample_shape: tuple[int, ...], *, widths: tuple[PositiveInt, ...] = (512, 512, 256)) -> None:
        """The layers.

        Args:
            sample_shape: any shape.
            widths: widths of the layers; the last is the number of features.
        """
        super().__init__()
        sizes = [math.prod(sample_shape), *widths]
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in itertools.pairwise(sizes):
            # The batch norm's shift makes the linear layer's bias redundant.
            layers += [nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)
        self.dim = sizes[-1]

    def forward(self, samples: Tensor) -> Tensor:
        """Features (n, dim) of samples (n, *sample_shape)."""
        return self.layers(samples)
