"""For data of several modalities: a view of a sample is some of its modalities, with noise and dropped features.

Reference: Zhang et al., "Unsupervised Multimodal Clustering for Semantics Discovery in Multimodal Utterances" (ACL
2024), where text stays and sound or video is left out; here none is chosen by hand.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from core.config.schema import Fraction, NonNegativeFloat, NonNegativeInt
from core.data.modalities import Modality
from core.data.source import Samples
from core.evaluation.components import vectors
from core.evaluation.nearest import nearest
from core.training.method import Batch
from core.training.method import Views as Base

# Samples on which deviations are measured.
_MEASURED = 4096


class Views(Base):
    """The ordinary view keeps a random subset, the weak view all modalities, the strong view a single one.

    At least one that the sample has is kept; the numbers of the others become NaN, which `encoders/multiview` takes
    for missing. Ordinary and strong views are of the sample or of one of its nearest neighbours, weak views of the
    sample itself. All views have noise and dropped features.
    """

    any_shape: ClassVar[bool] = True
    by_modality: ClassVar[bool] = True
    samples: Samples
    sources: Tensor
    """The samples that the views of a sample are drawn from, itself first, (n, 1 + neighbours)."""

    def __init__(
        self,
        modalities: tuple[Modality, ...],
        *,
        keep: Fraction = 0.8,
        neighbours: NonNegativeInt | None = None,
        noise: NonNegativeFloat = 0.1,
        dropout: Fraction = 0.1,
        weights: Literal["rank", "none"] = "rank",
    ) -> None:
        """The masks, the neighbours, the noise and the dropout.

        The defaults were chosen with labels in sight, on scene15, that of `neighbours` also on meld_da and landuse21.

        Args:
            modalities: of the data set.
            keep: with which probability a modality stays in an ordinary view; one that is drawn always stays.
            neighbours: number of nearest samples, by cosine of whole rows, of which views are drawn too; 0: none. By
                default one in 300 of the samples, but at least 10 and at most 50.
            noise: standard deviation of Gaussian noise, as a share of the deviation of the modality's numbers.
            dropout: share of the features set to zero, their mean if they are standardised.
            weights: what a modality counts in the search for neighbours: as much variance as it has dimensions that
                matter, by the participation ratio of its covariance (`rank`), or what its numbers have (`none`).
        """
        self.modalities = modalities
        self.keep, self.neighbours, self.noise, self.dropout = keep, neighbours, noise, dropout
        self.weights = weights

    def prepare(self, samples: Samples) -> None:
        """Finds the neighbours of each sample, and measures the deviation of each modality's numbers.

        Deviations are measured on at most 4,096 samples.
        """
        self.samples = samples
        itself = torch.arange(len(samples), device=samples.device)[:, None]
        rows = samples[itself[:: -(-len(samples) // _MEASURED), 0]].flatten(1)
        searched = vectors(samples)
        # Vectors that are components of all numbers have no parts to weigh.
        if self.weights == "rank" and len(self.modalities) > 1 and searched.shape[1] == rows.shape[1]:
            searched = _weighted(samples[:].flatten(1), rows, self.modalities)
        count = min(max(len(samples) // 300, 10), 50) if self.neighbours is None else self.neighbours
        near = torch.from_numpy(nearest(searched, count).rows)
        self.sources = torch.cat([itself, near.to(itself.device)], dim=1)
        self.deviations = torch.ones(rows.shape[1], device=rows.device)
        for one in self.modalities:
            values = rows[:, one.place]
            variance = (values - values.nanmean(dim=0)).square().nanmean()
            self.deviations[one.place] = variance.sqrt().nan_to_num(nan=0.0)

    def __call__(self, batch: Batch) -> Tensor:
        """Some of the modalities of each sample or of a neighbour, shape (n, *sample_shape)."""
        return self._masked(batch, self.keep)

    def weak(self, batch: Batch) -> Tensor:
        """All modalities of each sample, shape (n, *sample_shape)."""
        return self._changed(batch.samples, batch.views)

    def strong(self, batch: Batch) -> Tensor:
        """One modality of each sample or of a neighbour, shape (n, *sample_shape)."""
        return self._masked(batch, 0.0)

    def _changed(self, samples: Tensor, generator: torch.Generator) -> Tensor:
        """The samples with noise and dropped features; what is missing stays missing."""
        drawn = torch.empty_like(samples).normal_(generator=generator)
        noisy = drawn.mul_(self.noise * self.deviations.view(samples.shape[1:])).add_(samples)
        return noisy.mul_(torch.empty_like(samples).uniform_(generator=generator) >= self.dropout)

    def _masked(self, batch: Batch, keep: float) -> Tensor:
        generator, drawn_of = batch.views, self.sources[batch.rows]
        column = torch.randint(drawn_of.shape[1], batch.rows.shape, generator=generator, device=drawn_of.device)
        samples = batch.samples
        if drawn_of.shape[1] > 1:
            others = self.samples[drawn_of.gather(1, column[:, None]).squeeze(1)]
            samples = torch.where((column > 0).view(-1, *[1] * (samples.dim() - 1)), others, samples)
        view = self._changed(samples, generator)
        if len(self.modalities) == 1:
            return view
        present = torch.stack([~view[:, one.place].isnan().all(dim=1) for one in self.modalities], dim=1)
        drawn = torch.empty(present.shape, device=view.device).uniform_(generator=generator)
        # The present one with the smallest number always stays, and so does each one that is drawn.
        drawn = drawn.masked_fill(~present, 2)
        kept = (drawn < keep) | (drawn == drawn.min(dim=1, keepdim=True).values)
        for one, stays in zip(self.modalities, kept.unbind(1), strict=True):
            view[:, one.place].masked_fill_(~stays[:, None], torch.nan)
        return view


def _weighted(samples: Tensor, rows: Tensor, modalities: tuple[Modality, ...]) -> Tensor:
    """The samples (n, numbers), each modality centred, its total variance the rank of its covariance; NaN becomes 0.

    The rank is the participation ratio (trace C)^2 / trace C^2 of the covariance C of `rows`, which may be NaN: the
    number of dimensions if all have the same variance, 1 if a single one has any. What is missing is the mean.
    """
    found: list[Tensor] = []
    for one in modalities:
        values = rows[:, one.place].float()
        mean = values.nanmean(dim=0).nan_to_num()
        values = (values - mean).nan_to_num()
        # C and the matrix of inner products have the same trace and the same sum of squares.
        products = values.t() @ values if values.shape[1] <= len(values) else values @ values.t()
        variance = products.trace() / len(values)
        rank = products.trace().square() / products.square().sum().clamp_min(1e-30)
        centred = (samples[:, one.place].float() - mean).nan_to_num()
        found.append(centred * (rank / variance.clamp_min(1e-30)).sqrt())
    return torch.cat(found, dim=1)
