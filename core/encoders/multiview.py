"""For data of several modalities: a projection of each one, and a fusion that knows which are missing.

Reference: Zhang et al., "Unsupervised Multimodal Clustering for Semantics Discovery in Multimodal Utterances" (ACL
2024): linear projections, a transformer for sequences, GELU, dropout and a linear layer. There a missing modality is a
vector of zeros, which here learns.
"""

from __future__ import annotations

import itertools
import math
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.config.schema import Fraction, PositiveInt
from core.data.modalities import Modality
from core.training.method import Encoder as Base

# As in the paper, if the width can be divided by it.
_HEADS = 8


class Encoder(Base):
    """Each modality becomes `base_dim` numbers; all of them together become as many features.

    A modality that a sample lacks (a number of it is NaN) is a vector of its own, which starts at zero and is learned.
    So is that of a sample without any modality; features and gradients are always finite.
    """

    any_shape: ClassVar[bool] = True
    by_modality: ClassVar[bool] = True
    draws: Tensor

    def __init__(
        self,
        modalities: tuple[Modality, ...],
        *,
        base_dim: PositiveInt = 256,
        hidden: tuple[PositiveInt, ...] = (512,),
        dropout: Fraction = 0.1,
        pooling: Literal["mean", "last"] = "mean",
    ) -> None:
        """The projections and the fusion.

        Args:
            modalities: of the data set; images are flattened.
            base_dim: width of each modality's projection, and the number of features.
            hidden: widths of layers (with batch norm and ReLU) before the projection of a modality that is a vector;
                none: a linear projection, as in the paper.
            dropout: share of the numbers that training drops before the fusion.
            pooling: what a sequence becomes after the transformer: the mean of its steps, or its last step.
        """
        super().__init__()
        self.modalities = modalities
        self.dim = base_dim
        self.dropout = dropout
        self.projections = nn.ModuleList(
            _Sequence(one.shape, base_dim, pooling) if _is_sequence(one) else _vector(one, hidden, base_dim)
            for one in modalities
        )
        self.absent = nn.Parameter(torch.zeros(len(modalities), base_dim))
        self.fusion = nn.Linear(len(modalities) * base_dim, base_dim)
        # Dropout counts its draws in the state: what torch's global generator draws could not be resumed.
        self.register_buffer("draws", torch.randint(2**62, ()))

    def forward(self, samples: Tensor) -> Tensor:
        """Features (n, dim) of samples: rows (n, numbers), or (n, *shape) of data of a single modality."""
        rows = samples.flatten(1)
        parts: list[Tensor] = []
        for one, projection, absent in zip(self.modalities, self.projections, self.absent, strict=True):
            values = rows[:, one.place]
            if _is_sequence(one):
                values = values.unflatten(1, one.shape)
            missing = values.isnan().any(dim=-1)
            values = values.masked_fill(missing[..., None], 0)
            if _is_sequence(one):
                parts.append(torch.where(missing.all(dim=1)[:, None], absent, projection(values, missing)))
            else:
                parts.append(torch.where(missing[:, None], absent, projection(values)))
        return self.fusion(self._dropped(functional.gelu(torch.cat(parts, dim=1))))

    def _dropped(self, numbers: Tensor) -> Tensor:
        """The numbers (n, width), in training some of them set to zero and the others made larger for it."""
        if not self.training or self.dropout == 0:
            return numbers
        generator = torch.Generator(numbers.device).manual_seed(int(self.draws))
        self.draws += 1
        kept = torch.empty_like(numbers).uniform_(generator=generator) >= self.dropout
        return numbers * kept / (1 - self.dropout or 1)


class _Sequence(nn.Module):
    """A sequence of vectors through one layer of a transformer; steps that are missing are not looked at."""

    def __init__(self, shape: tuple[int, ...], width: int, pooling: str) -> None:
        super().__init__()
        steps, features = shape
        self.pooling = pooling
        # The places are added to numbers of their own size, whatever the scale of the features.
        self.projection = nn.Sequential(nn.Linear(features, width), nn.LayerNorm(width))
        self.layer = nn.TransformerEncoderLayer(
            width, math.gcd(_HEADS, width), dim_feedforward=2 * width, dropout=0.0, batch_first=True
        )
        self.register_buffer("places", _places(steps, width), persistent=False)

    places: Tensor

    def forward(self, values: Tensor, missing: Tensor) -> Tensor:
        """The sequences (n, steps, features) as vectors (n, width); anything finite for one without steps."""
        # The softmax over no step at all is not a number: an empty sequence is seen as one step of zeros.
        missing = missing.clone()
        missing[:, 0] &= ~missing.all(dim=1)
        found = self.layer(self.projection(values) + self.places, src_key_padding_mask=missing)
        present = ~missing[..., None]
        if self.pooling == "mean":
            return (found * present).sum(dim=1) / present.sum(dim=1)
        steps = torch.arange(values.shape[1], device=values.device)
        last = steps.expand_as(missing).masked_fill(missing, -1).argmax(dim=1)
        return found[torch.arange(len(found), device=found.device), last]


def _is_sequence(modality: Modality) -> bool:
    return len(modality.shape) == 2


def _vector(modality: Modality, hidden: tuple[int, ...], width: int) -> nn.Sequential:
    """The layers of a modality that is a vector; an image is flattened."""
    sizes = [math.prod(modality.shape), *hidden]
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], width))


def _places(steps: int, width: int) -> Tensor:
    """Sines and cosines of the places of steps, (steps, width), as in "Attention Is All You Need" (2017)."""
    angles = torch.arange(steps)[:, None] / 10_000 ** (torch.arange(0, width, 2) / width)
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)[:, :width]
