"""For vectors from a good encoder: a view of a sample is one of its nearest neighbours, with some dropout.

References: Van Gansbeke et al., "SCAN" (ECCV 2020); Adaloglou et al., "TEMI" (BMVC 2023): near samples mostly have the
same class.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from core.config.schema import Fraction, PositiveInt
from core.data.source import Samples
from core.errors import UserError
from core.evaluation.components import vectors
from core.evaluation.nearest import Search, nearest
from core.training.method import Batch
from core.training.method import Views as Base


class Views(Base):
    """The ordinary view of a sample is drawn from its neighbours; its weak view is the sample itself."""

    neighbours: Tensor
    data: Samples

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        *,
        count: PositiveInt = 20,
        dropout: Fraction = 0.1,
        search: Literal["auto", "exact", "cells"] = "auto",
    ) -> None:
        """The neighbours and the dropout.

        Args:
            sample_shape: (features,).
            count: number of nearest neighbours of a sample, by cosine, from which its views are drawn.
            dropout: share of the features set to zero.
            search: how neighbours are found: `exact`, in time that grows with the square of the samples; `cells`, among
                the samples of the nearest cells of a k-means; `auto`: exact up to 50,000 samples.

        Raises:
            UserError: the samples are not vectors.
        """
        if len(sample_shape) != 1:
            raise UserError(f"views 'neighbours' need vectors of shape (features,), not {sample_shape}")
        self.count = count
        self.dropout = dropout
        self.search: Search = search

    def prepare(self, samples: Samples) -> None:
        """Finds the neighbours of every sample, by cosine."""
        self.data = samples
        self.neighbours, self.found = neighbours_of(samples, self.count, self.search)

    def signals(self) -> dict[str, float]:
        """The recall of the search for neighbours, unless it was exact."""
        return self.found

    def __call__(self, batch: Batch) -> Tensor:
        """One of the neighbours of each sample, with some features set to zero."""
        column = torch.randint(
            self.neighbours.shape[1], (len(batch.rows),), generator=batch.views, device=batch.rows.device
        )
        return self._dropped(self.data[self.neighbours[batch.rows, column].long()], batch.views)

    def weak(self, batch: Batch) -> Tensor:
        """The samples, with some features set to zero."""
        return self._dropped(batch.samples, batch.views)

    def _dropped(self, samples: Tensor, generator: torch.Generator) -> Tensor:
        kept = torch.empty_like(samples).uniform_(generator=generator) >= self.dropout
        return samples * kept


def neighbours_of(samples: Samples, count: int, search: Search) -> tuple[Tensor, dict[str, float]]:
    """The rows of the nearest other samples by cosine, nearest first, (n, count), on the samples' device; signals.

    See `core.evaluation.components` for samples of very many numbers. The signal is `neighbour_recall`, of a search
    that is not exact.
    """
    found = nearest(vectors(samples), count, search=search)
    signals = {} if found.recall is None else {"neighbour_recall": found.recall}
    return torch.from_numpy(found.rows).to(samples.device), signals
