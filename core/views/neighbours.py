"""For vectors from a good encoder: a view of a sample is one of its nearest neighbours, with some dropout.

References: Van Gansbeke et al., "SCAN" (ECCV 2020); Adaloglou et al., "TEMI" (BMVC 2023): near samples mostly have the
same class.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from core.config.schema import Fraction, PositiveInt
from core.data.source import Samples
from core.errors import UserError
from core.evaluation.components import vectors
from core.training.method import Batch
from core.training.method import Views as Base

# Rows of similarities in memory at once: 1024 x 100,000 floats are 400 MB.
CHUNK = 1024


class Views(Base):
    """The ordinary view of a sample is drawn from its neighbours; its weak view is the sample itself."""

    neighbours: Tensor
    data: Samples

    def __init__(self, sample_shape: tuple[int, ...], *, count: PositiveInt = 20, dropout: Fraction = 0.1) -> None:
        """The neighbours and the dropout.

        Args:
            sample_shape: (features,).
            count: number of nearest neighbours of a sample, by cosine, from which its views are drawn.
            dropout: share of the features set to zero.

        Raises:
            UserError: the samples are not vectors.
        """
        if len(sample_shape) != 1:
            raise UserError(f"views 'neighbours' need vectors of shape (features,), not {sample_shape}")
        self.count = count
        self.dropout = dropout

    def prepare(self, samples: Samples) -> None:
        """Finds the neighbours of every sample, by cosine; see `core.evaluation.components` for very many numbers."""
        self.data = samples
        self.neighbours = nearest(vectors(samples), min(self.count, len(samples) - 1))

    def __call__(self, batch: Batch) -> Tensor:
        """One of the neighbours of each sample, with some features set to zero."""
        column = torch.randint(
            self.neighbours.shape[1], (len(batch.rows),), generator=batch.views, device=batch.rows.device
        )
        return self._dropped(self.data[self.neighbours[batch.rows, column]], batch.views)

    def weak(self, batch: Batch) -> Tensor:
        """The samples, with some features set to zero."""
        return self._dropped(batch.samples, batch.views)

    def _dropped(self, samples: Tensor, generator: torch.Generator) -> Tensor:
        kept = torch.empty_like(samples).uniform_(generator=generator) >= self.dropout
        return samples * kept


def nearest(samples: Tensor, count: int) -> Tensor:
    """The rows of the `count` nearest other samples of each, shape (n, count), by cosine, nearest first."""
    units = functional.normalize(samples.flatten(1), dim=1)
    found: list[Tensor] = []
    for start in range(0, len(units), CHUNK):
        similarity = units[start : start + CHUNK] @ units.t()
        similarity.diagonal(start).fill_(-2)
        found.append(similarity.topk(count).indices)
    return torch.cat(found)
