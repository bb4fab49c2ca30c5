"""Gaussian noise and feature dropout, for vectors."""

from __future__ import annotations

import torch
from torch import Tensor

from core.method import Batch
from core.method import Views as Base
from core.schema import Fraction, NonNegativeFloat


class Views(Base):
    """Adds noise to every feature and sets some to zero: their mean, where features are standardised."""

    def __init__(
        self, sample_shape: tuple[int, ...], *, noise: NonNegativeFloat = 0.3, dropout: Fraction = 0.2
    ) -> None:
        """The range of the views that are drawn.

        Args:
            sample_shape: shape of one sample.
            noise: standard deviation, in the samples' units (standard deviations where they are standardised).
            dropout: share of the features set to zero.
        """
        del sample_shape
        self.noise = noise
        self.dropout = dropout

    def __call__(self, batch: Batch) -> Tensor:
        """A random view of each sample, shape (n, *sample_shape)."""
        samples, generator = batch.samples, batch.views
        noisy = torch.empty_like(samples).normal_(generator=generator).mul_(self.noise).add_(samples)
        kept = torch.empty_like(samples).uniform_(generator=generator) >= self.dropout
        return noisy.mul_(kept)
