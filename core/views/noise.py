"""Gaussian noise and feature dropout, for vectors."""

from __future__ import annotations

import torch
from torch import Tensor

from core.config.schema import Fraction, NonNegativeFloat
from core.training.method import Batch
from core.training.method import Views as Base


class Views(Base):
    """Adds noise to all features and sets some to zero, which is their mean if they are standardised."""

    def __init__(
        self, sample_shape: tuple[int, ...], *, noise: NonNegativeFloat = 0.3, dropout: Fraction = 0.2
    ) -> None:
        """The noise and the dropout.

        Args:
            sample_shape: any shape.
            noise: standard deviation of Gaussian noise, in the samples' units (standard deviations if they are
                standardised).
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
