"""For data sets with changed copies of each sample (texts with words left out): a view is one of the copies.

References: Wei and Zou, "EDA" (EMNLP 2019): words left out and exchanged; Zhang et al., "SCCL" (NAACL 2021), which
contrasts such copies of short texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from core.config.schema import Fraction, NonNegativeInt
from core.data.source import Samples
from core.errors import UserError
from core.evaluation.nearest import Search
from core.training.method import Batch
from core.training.method import Views as Base
from core.views.neighbours import neighbours_of


class Views(Base):
    """The ordinary view of a sample is a copy of it or of one of its neighbours; its weak view is the sample itself."""

    variants: Tensor
    near: Tensor
    """The nearest other samples, of whose copies a sample's views are drawn too, (n, neighbours)."""

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        *,
        neighbours: NonNegativeInt = 20,
        dropout: Fraction = 0.1,
        search: Literal["auto", "exact", "cells"] = "auto",
    ) -> None:
        """The neighbours and the dropout.

        Args:
            sample_shape: (features,).
            neighbours: number of nearest neighbours of a sample, by cosine, whose copies are used too; 0: only its own.
            dropout: share of the features set to zero.
            search: how neighbours are found: `exact`, in time that grows with the square of the samples; `cells`, among
                the samples of the nearest cells of a k-means; `auto`: exact up to 50,000 samples.

        Raises:
            UserError: the samples are not vectors.
        """
        if len(sample_shape) != 1:
            raise UserError(f"views 'variants' need vectors of shape (features,), not {sample_shape}")
        self.neighbours = neighbours
        self.dropout = dropout
        self.search: Search = search

    def attach(self, arrays: Mapping[str, Tensor]) -> None:
        """Keeps the array `variants`, shape (n, copies, features).

        Raises:
            UserError: the data set has no such array.
        """
        if "variants" not in arrays:
            raise UserError(
                "views 'variants' need a data set with variants, such as "
                "`data: {name: text, path: FILE, scale: none, variants: 4}`"
            )
        self.variants = arrays["variants"]

    def prepare(self, samples: Samples) -> None:
        """Finds the neighbours of every sample, by cosine."""
        self.near, self.found = neighbours_of(samples, self.neighbours, self.search)

    def signals(self) -> dict[str, float]:
        """The recall of the search for neighbours, unless it was exact."""
        return self.found

    def __call__(self, batch: Batch) -> Tensor:
        """A random copy of each sample or of a neighbour, with some features set to zero."""
        sources = torch.cat([batch.rows[:, None], self.near[batch.rows]], dim=1)  # the sample itself first
        source = sources.gather(1, _drawn(sources.shape[1], batch)[:, None]).squeeze(1)
        return self._dropped(self.variants[source, _drawn(self.variants.shape[1], batch)], batch.views)

    def weak(self, batch: Batch) -> Tensor:
        """The samples, with some features set to zero."""
        return self._dropped(batch.samples, batch.views)

    def _dropped(self, samples: Tensor, generator: torch.Generator) -> Tensor:
        kept = torch.empty_like(samples).uniform_(generator=generator) >= self.dropout
        return samples * kept


def _drawn(count: int, batch: Batch) -> Tensor:
    """A random number below `count` for each sample of the batch."""
    return torch.randint(count, batch.rows.shape, generator=batch.views, device=batch.rows.device)
