"""For data sets with changed copies of each sample (texts with words left out): a view is one of the copies.

References: Wei and Zou, "EDA" (EMNLP 2019): words left out and exchanged; Zhang et al., "SCCL" (NAACL 2021), which
contrasts such copies of short texts.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from core.config.schema import Fraction, NonNegativeInt
from core.data.source import Samples
from core.errors import UserError
from core.evaluation.components import vectors
from core.training.method import Batch
from core.training.method import Views as Base
from core.views.neighbours import nearest


class Views(Base):
    """The ordinary view of a sample is a copy of it or of one of its neighbours; its weak view is the sample itself."""

    variants: Tensor
    sources: Tensor
    """The samples from whose copies a sample's views are drawn, shape (n, 1 + neighbours): itself first."""

    def __init__(
        self, sample_shape: tuple[int, ...], *, neighbours: NonNegativeInt = 20, dropout: Fraction = 0.1
    ) -> None:
        """The neighbours and the dropout.

        Args:
            sample_shape: (features,).
            neighbours: number of nearest neighbours of a sample, by cosine, whose copies are used too; 0: only its own.
            dropout: share of the features set to zero.

        Raises:
            UserError: the samples are not vectors.
        """
        if len(sample_shape) != 1:
            raise UserError(f"views 'variants' need vectors of shape (features,), not {sample_shape}")
        self.neighbours = neighbours
        self.dropout = dropout

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
        """Finds the neighbours of every sample, by cosine; see `core.evaluation.components` for very many numbers."""
        itself = torch.arange(len(samples), device=samples.device)[:, None]
        near = nearest(vectors(samples), min(self.neighbours, len(samples) - 1))
        self.sources = torch.cat([itself, near], dim=1)

    def __call__(self, batch: Batch) -> Tensor:
        """A random copy of each sample or of a neighbour, with some features set to zero."""
        source = self.sources[batch.rows, self._drawn(self.sources, batch)]
        return self._dropped(self.variants[source, self._drawn(self.variants, batch)], batch.views)

    def weak(self, batch: Batch) -> Tensor:
        """The samples, with some features set to zero."""
        return self._dropped(batch.samples, batch.views)

    def _drawn(self, array: Tensor, batch: Batch) -> Tensor:
        """A random index into the second dimension for each sample of the batch."""
        return torch.randint(array.shape[1], batch.rows.shape, generator=batch.views, device=batch.rows.device)

    def _dropped(self, samples: Tensor, generator: torch.Generator) -> Tensor:
        kept = torch.empty_like(samples).uniform_(generator=generator) >= self.dropout
        return samples * kept
