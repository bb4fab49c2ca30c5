"""Leaves out some words of each document, for documents as points on the simplex of the words' weights."""

from __future__ import annotations

import torch
from torch import Tensor

from core.config.schema import Fraction
from core.training.method import Batch
from core.training.method import Views as Base

# How often a weak and a strong view leave out words, in ordinary views.
_WEAK, _STRONG = 0.5, 2.0


class Views(Base):
    """A word is left out with all its weight, and the other weights grow to the old sum. No document loses all words.

    Weak views leave out words half as often, strong views twice as often.
    """

    informed = True

    def __init__(self, sample_shape: tuple[int, ...], *, dropout: Fraction = 0.3) -> None:
        """The dropout.

        Args:
            sample_shape: (words,).
            dropout: the share of a document's words that an ordinary view leaves out.
        """
        del sample_shape
        self.dropout = dropout

    def __call__(self, batch: Batch) -> Tensor:
        """An ordinary view of each document, (n, words)."""
        return self._drawn(batch, self.dropout)

    def weak(self, batch: Batch) -> Tensor:
        """A view with more of the words, (n, words)."""
        return self._drawn(batch, 1 - (1 - self.dropout) ** _WEAK)

    def strong(self, batch: Batch) -> Tensor:
        """A view with fewer of the words, (n, words)."""
        return self._drawn(batch, 1 - (1 - self.dropout) ** _STRONG)

    @staticmethod
    def _drawn(batch: Batch, share: float) -> Tensor:
        samples = batch.samples
        view = samples * (torch.empty_like(samples).uniform_(generator=batch.views) >= share)
        before, after = samples.sum(1, keepdim=True), view.sum(1, keepdim=True)
        return torch.where(after > 0, view * (before / after), samples)
