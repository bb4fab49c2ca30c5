"""For data of several modalities: a view of a sample is some of its modalities, with noise and dropped features.

Reference: Zhang et al., "Unsupervised Multimodal Clustering for Semantics Discovery in Multimodal Utterances" (ACL
2024), where text stays and sound or video is left out; here none is chosen by hand.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from core.config.schema import Fraction, NonNegativeFloat
from core.data.modalities import Modality
from core.data.source import Samples
from core.training.method import Batch
from core.training.method import Views as Base

_MEASURED = 4096


class Views(Base):
    """The ordinary view keeps a random subset, the weak view all modalities, the strong view a single one.

    At least one that the sample has is kept; the numbers of the others become NaN, which `encoders/multiview` takes
    for missing. All views have noise and dropped features.
    """

    any_shape: ClassVar[bool] = True
    by_modality: ClassVar[bool] = True

    def __init__(
        self,
        modalities: tuple[Modality, ...],
        *,
        keep: Fraction = 0.5,
        noise: NonNegativeFloat = 0.3,
        dropout: Fraction = 0.2,
    ) -> None:
        """The masks, the noise and the dropout.

        Args:
            modalities: of the data set.
            keep: with which probability a modality stays in an ordinary view; one that is drawn always stays.
            noise: standard deviation of Gaussian noise, as a share of the deviation of the modality's numbers.
            dropout: share of the features set to zero, their mean if they are standardised.
        """
        self.modalities = modalities
        self.keep, self.noise, self.dropout = keep, noise, dropout
        self.deviations = torch.ones(modalities[-1].stop)

    def prepare(self, samples: Samples) -> None:
        """Measures the deviation of each modality's numbers, over at most 4,096 samples spread over all."""
        step = -(-len(samples) // _MEASURED)
        rows = samples[torch.arange(0, len(samples), step, device=samples.device)].flatten(1)
        self.deviations = torch.ones(rows.shape[1], device=rows.device)
        for one in self.modalities:
            values = rows[:, one.place]
            variance = (values - values.nanmean(dim=0)).square().nanmean()
            self.deviations[one.place] = variance.sqrt().nan_to_num(nan=0.0)

    def __call__(self, batch: Batch) -> Tensor:
        """Some of the modalities of each sample, shape (n, *sample_shape)."""
        return self._masked(batch, self.keep)

    def weak(self, batch: Batch) -> Tensor:
        """All modalities of each sample, shape (n, *sample_shape)."""
        return self._changed(batch)

    def strong(self, batch: Batch) -> Tensor:
        """One modality of each sample, shape (n, *sample_shape)."""
        return self._masked(batch, 0.0)

    def _changed(self, batch: Batch) -> Tensor:
        """The samples with noise and dropped features; what is missing stays missing."""
        samples, generator = batch.samples, batch.views
        drawn = torch.empty_like(samples).normal_(generator=generator)
        noisy = drawn.mul_(self.noise * self.deviations.view(samples.shape[1:])).add_(samples)
        return noisy.mul_(torch.empty_like(samples).uniform_(generator=generator) >= self.dropout)

    def _masked(self, batch: Batch, keep: float) -> Tensor:
        view = self._changed(batch)
        if len(self.modalities) == 1:
            return view
        present = torch.stack([~view[:, one.place].isnan().all(dim=1) for one in self.modalities], dim=1)
        drawn = torch.empty(present.shape, device=view.device).uniform_(generator=batch.views)
        # The present one with the smallest number always stays, and so does each one that is drawn.
        drawn = drawn.masked_fill(~present, 2)
        kept = (drawn < keep) | (drawn == drawn.min(dim=1, keepdim=True).values)
        for one, stays in zip(self.modalities, kept.unbind(1), strict=True):
            view[:, one.place].masked_fill_(~stays[:, None], torch.nan)
        return view
