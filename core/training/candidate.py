"""A clustering of the samples as they are given, which a trained one has to surpass."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.data.source import Samples
from core.evaluation import kmeans
from core.evaluation.clustering import CHUNK
from core.evaluation.components import principal_axes
from core.evaluation.label_free import subsample_rows
from core.evaluation.shared_neighbours import SharedNeighbours

# The most samples among which clusters are looked for; of more, so many are drawn, and the others follow the nearest.
MOST = 20_000
# The principal axes on which samples are compared with those, and on which samples of more than 1,000 numbers are given
# to the search for clusters.
_AXES, _GIVEN, _LONG = 100, 256, 1000
# The nearest samples whose clusters a sample takes; one that is as good as at the same place decides alone.
_VOTES, _SAME = 5, 1e-5
# Where as many samples are kept as can be, the nearest are looked for in groups of so many, which divides that number.
_GROUP = 125
# Samples whose votes are counted at once.
_COUNTED = 1 << 14


class Candidate(nn.Module):
    """The clusters of `core.evaluation.shared_neighbours` in the input, for any sample.

    It keeps up to 20,000 samples with their clusters; a sample has the cluster of the nearest ones, weighted by their
    nearness. Everything is a buffer, and so part of a method's state.
    """

    mean: Tensor
    axes: Tensor
    places: Tensor
    clusters: Tensor

    def __init__(self, n_samples: int, sample_shape: tuple[int, ...], n_clusters: int) -> None:
        """Without clusters; `find` fills it.

        Args:
            n_samples: of the training.
            sample_shape: of a sample.
            n_clusters: how many clusters.
        """
        super().__init__()
        numbers, kept = math.prod(sample_shape), min(n_samples, MOST)
        axes = min(_AXES, numbers, len(subsample_rows(n_samples)))
        self.n_clusters = n_clusters
        self.register_buffer("mean", torch.zeros(numbers))
        self.register_buffer("axes", torch.zeros(numbers, axes))
        self.register_buffer("places", torch.zeros(kept, axes))
        self.register_buffer("clusters", torch.zeros(kept, dtype=torch.int64))
        self._graph: SharedNeighbours | None = None
        self._voters: tuple[Tensor, Tensor] | None = None

    def find(self, samples: Samples, *, seed: int) -> None:
        """Finds the clusters of all samples (n, *sample_shape); its time grows with the square of n, up to 20,000."""
        self._voters = None
        mean, axes = principal_axes(samples, _AXES)
        self.mean.copy_(mean)
        self.axes.copy_(axes)
        self.places.copy_(torch.cat([self._placed(samples[rows]) for rows in self._rows(samples).split(CHUNK)]))
        if self.n_clusters > 1:
            self._divide(self._of(samples), seed)

    def join(self, samples: Samples, features: Tensor, *, seed: int) -> None:
        """Finds the clusters again, in the graph of the neighbours in the input and in the features (n, dim)."""
        if self.n_clusters > 1:
            rows = kmeans.unit_rows(features[self._rows(samples).cpu()].numpy())
            self._divide(self._of(samples).joined(rows), seed)

    def _divide(self, graph: SharedNeighbours, seed: int) -> None:
        found = graph.clusters(self.n_clusters, seed=seed % 2**32)
        self.clusters.copy_(torch.from_numpy(found))

    def agreement(self, samples: Samples, labels: NDArray[np.int64] | None = None) -> float:
        """How well clusters (n,) of all samples, or its own, agree with the neighbours in the input, 1 at most.

        See `core.evaluation.shared_neighbours.SharedNeighbours.agreement`.
        """
        found = self.clusters if labels is None else torch.from_numpy(labels)[self._rows(samples).cpu()]
        return self._of(samples).agreement(found.cpu().numpy())

    def forward(self, samples: Tensor) -> Tensor:
        """The probabilities (n, K) of samples (n, *sample_shape): that of the cluster; the others share the rest."""
        return self._probabilities(*self._nearest(samples))

    def of_all(self, samples: Samples) -> Tensor:
        """The probabilities (n, K) of all samples of the training, (n, *sample_shape), as `forward` gives them.

        The nearest samples are found once, which takes a minute for a million samples; later calls take them from
        memory.
        """
        if self._voters is None:
            # Filled in place: small arrays between the large ones of each part would keep the allocator from giving
            # those back, twenty megabytes each.
            shape, device = (len(samples), min(_VOTES, len(self.places))), self.places.device
            weights, rows = torch.empty(shape, device=device), torch.empty(shape, dtype=torch.int32, device=device)
            with torch.no_grad():
                for start in range(0, len(samples), CHUNK):
                    part = slice(start, start + CHUNK)
                    weights[part], rows[part] = self._nearest(samples[part])
            self._voters = weights, rows
        return self._probabilities(*self._voters)

    def _nearest(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """The weights and the numbers of the nearest of the samples that are kept, (n, up to 5) each."""
        squares = self.places.square().sum(dim=1)
        least = _SAME * float(squares.mean()) or 1.0
        weights, rows = list[Tensor](), list[Tensor]()
        for places in self._placed(samples).split(CHUNK):
            distances = places.square().sum(dim=1)[:, None] + squares
            distances.sub_(places @ self.places.t(), alpha=2)
            near = _smallest(distances, min(_VOTES, len(squares)))
            weights.append(1 / near[0].clamp_min(least))
            rows.append(near[1])
        return torch.cat(weights), torch.cat(rows)

    def _probabilities(self, weights: Tensor, rows: Tensor) -> Tensor:
        found = torch.empty(len(rows), self.n_clusters, device=rows.device)
        for start in range(0, len(rows), _COUNTED):
            part = slice(start, start + _COUNTED)
            votes = torch.zeros_like(found[part]).scatter_add_(1, self.clusters[rows[part]], weights[part])
            shares = votes / weights[part].sum(dim=1, keepdim=True)
            most = shares.clamp_max(1).max(dim=1, keepdim=True)  # sums of equal weights may round above 1
            rest = (1 - most.values) / max(self.n_clusters - 1, 1)
            found[part] = rest.expand_as(votes).scatter(1, most.indices, most.values)
        return found

    def _placed(self, samples: Tensor) -> Tensor:
        return (samples.flatten(1).float().nan_to_num() - self.mean) @ self.axes

    def _rows(self, samples: Samples) -> Tensor:
        """The rows of the samples that are kept, ascending; they depend on the number of samples alone."""
        n, kept = len(samples), len(self.places)
        chosen = np.arange(n) if kept == n else np.sort(np.random.default_rng(0).permutation(n)[:kept])
        return torch.from_numpy(chosen).to(samples.device)

    def _of(self, samples: Samples) -> SharedNeighbours:
        if self._graph is None:
            given = (samples[rows].flatten(1).float().nan_to_num() for rows in self._rows(samples).split(CHUNK))
            if len(self.mean) > _LONG:
                mean, axes = principal_axes(samples, _GIVEN)
                given = ((part - mean) @ axes for part in given)
            self._graph = SharedNeighbours.of(torch.cat(list(given)).cpu().numpy())
        return self._graph


def _smallest(distances: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The smallest distances of each row (n, m), ascending, and their places.

    The smallest lie in the groups with the smallest minima. Among these alone, topk takes a third of the time.
    """
    n, m = distances.shape
    if m < 100 * _GROUP or m % _GROUP:
        found = distances.topk(count, dim=1, largest=False)
        return found.values, found.indices
    grouped = distances.view(n, m // _GROUP, _GROUP)
    groups = grouped.amin(dim=2).topk(count, dim=1, largest=False).indices
    few = grouped.gather(1, groups[:, :, None].expand(-1, -1, _GROUP)).flatten(1)
    values, places = few.topk(count, dim=1, largest=False)
    return values, groups.gather(1, places // _GROUP) * _GROUP + places % _GROUP
