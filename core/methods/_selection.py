"""The curriculum of UMC: which samples of each cluster lie densest, so that their pseudo-labels are trusted first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.evaluation.kmeans import Matrix

# The shares of a cluster that count as neighbours, of which the best is taken for each cluster.
NEIGHBOURS = np.arange(10, 31, 2) / 100
# A larger cluster is compared with so many of its samples, drawn at random.
LARGEST = 2000
# Rows of distances in memory at once.
_CHUNK = 1024


def select(
    features: Matrix, labels: NDArray[np.int64], n_clusters: int, *, share: float, least: int, seed: int
) -> NDArray[np.bool_]:
    """A mask (n,) of the densest samples of each cluster.

    Of a cluster of m samples, max(m · share, least) are taken, all if it has no more. The density of a sample is that
    of its nearest neighbours inside of the cluster. How many neighbours count is chosen for each cluster, so that the
    samples taken lie farthest from each other: the mean distance of each one to the nearest other one.

    A cluster of m samples takes m · min(m, 2,000) distances, n · 2,000 in all at most, of which 1,024 rows are held.

    Args:
        features: (n, dim).
        labels: the samples' clusters, (n,), from 0.
        n_clusters: how many clusters there are; they may be empty.
        share: of a cluster's samples that is taken, 0..1.
        least: how many samples of a cluster are taken at least.
        seed: draws the samples that a very large cluster is compared with.
    """
    chosen = np.zeros(len(labels), bool)
    random = np.random.default_rng(seed)
    for k in range(n_clusters):
        members = np.flatnonzero(labels == k)
        count = min(len(members), max(int(len(members) * share), least, 1))
        if count < len(members):
            members = members[_densest(features[members], count, random)]
        chosen[members] = True
    return chosen


def _densest(features: Matrix, count: int, random: np.random.Generator) -> NDArray[np.int64]:
    """The places of the `count` densest samples, for that number of neighbours which spreads them most."""
    # Sums of many distances differ in their last digits between equal samples: ties are broken by the place.
    candidates = [np.argsort(one.round(6), kind="stable")[:count] for one in _mean_distances(features, random)]
    spreads = [_spread(features[one], random) for one in candidates]
    return candidates[int(np.argmax(spreads))]


def _mean_distances(features: Matrix, random: np.random.Generator) -> NDArray[np.float64]:
    """The mean distance of each sample to its nearest ones, for each of `NEIGHBOURS`, shape (shares, m)."""
    others = _drawn(len(features), random)
    counts = np.maximum((len(others) * NEIGHBOURS).astype(int), 1)
    most = int(counts.max())
    found: list[NDArray[np.float64]] = []
    for start in range(0, len(features), _CHUNK):
        rows = np.arange(len(features))[start : start + _CHUNK]
        distances = _distances(features[rows], features[others])
        distances[rows[:, None] == others] = np.inf
        near = np.sort(np.partition(distances, most - 1, axis=1)[:, :most], axis=1)
        found.append((near.cumsum(axis=1, dtype=np.float64)[:, counts - 1] / counts).T)
    return np.concatenate(found, axis=1)


def _spread(features: Matrix, random: np.random.Generator) -> float:
    """The mean distance of a sample to the nearest other one; 0 for a single sample."""
    features = features[_drawn(len(features), random)]
    if len(features) < 2:
        return 0.0
    distances = _distances(features, features)
    np.fill_diagonal(distances, np.inf)
    return float(distances.min(axis=1).mean())


def _drawn(n: int, random: np.random.Generator) -> NDArray[np.int64]:
    """The places of all n samples, or of `LARGEST` random ones."""
    return np.arange(n) if n <= LARGEST else random.choice(n, LARGEST, replace=False)


def _distances(rows: Matrix, others: Matrix) -> Matrix:
    """Euclidean distances (n, m)."""
    squares = np.square(rows).sum(axis=1)[:, None] + np.square(others).sum(axis=1) - 2 * rows @ others.T
    return np.sqrt(squares.clip(min=0))
