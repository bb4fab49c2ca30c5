"""K-means on features, the reference for every cluster head; also with clusters of equal size.

References: clusters of given sizes: Bradley, Bennett and Demiriz, "Constrained k-means clustering" (MSR-TR-2000-65);
their assignment by scaling a matrix: Cuturi, "Sinkhorn distances" (NeurIPS 2013).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

Matrix = NDArray[np.float32]

# If there are more rows, the starts of k-means are tried on so many of them.
SAMPLE = 20_000

# For clusters of equal size: the softness of assignments, as a share of the mean squared distance to a centroid, and
# the corrections of sizes between two moves of the centroids. With sharper assignments each start ends in another
# local minimum.
_SOFTNESS = 0.3
_CORRECTIONS = 10
_MOVES = 100


@dataclass(frozen=True)
class KMeansResult:
    """Labels (n,), centroids (K, dim) and offsets (K,) of a k-means.

    A row belongs to the cluster with the smallest squared distance less its offset; offsets are 0 if sizes are free.
    """

    labels: NDArray[np.int64]
    centroids: Matrix
    offsets: Matrix


def unit_rows(features: Matrix) -> Matrix:
    """The rows scaled to length 1, shape (n, dim), so that distances are cosine distances; a zero row stays zero."""
    norms = np.sqrt(np.einsum("ij,ij->i", features, features))
    return features / np.maximum(norms, 1e-12)[:, None]


def kmeans(
    features: Matrix, n_clusters: int, *, seed: int, starts: int = 1, centroids: Matrix | None = None
) -> KMeansResult:
    """Lloyd's k-means on features (n, dim), from k-means++ (`starts` times, the best is kept) or from `centroids`.

    With more than 20,000 rows (and more than 10 per cluster), the starts are tried on a random sample of so many rows,
    and only the best one continues with all rows. It runs in one thread: the sum of floats then has one order, and the
    same seed gives the same bits.
    """
    from sklearn.cluster import KMeans

    if centroids is None:
        sample = _sampled(features, n_clusters, seed)
        if sample is not features:
            centroids = kmeans(sample, n_clusters, seed=seed, starts=starts).centroids
    begin: Any = "k-means++" if centroids is None else centroids
    runs: Any = starts if centroids is None else 1
    model: Any = KMeans(n_clusters, init=begin, n_init=runs, random_state=seed)
    with _threads().limit(limits=1):
        model.fit(features)
    return KMeansResult(model.labels_.astype(np.int64), model.cluster_centers_, np.zeros(n_clusters, np.float32))


def balanced_kmeans(
    features: Matrix, n_clusters: int, *, seed: int, starts: int = 1, begin: KMeansResult | None = None
) -> KMeansResult:
    """K-means on features (n, dim) with clusters of nearly equal size, from k-means++; the best of `starts` is kept.

    With `begin`, it starts from the centroids and offsets of an earlier result.

    The soft assignments have equal sizes; the sizes of the labels differ by a few per cent if clusters touch. The
    random sample and the one thread are as in `kmeans`.
    """
    from sklearn.cluster import kmeans_plusplus
    from sklearn.utils import check_random_state

    equal = np.full(n_clusters, n_clusters, np.float32)
    if begin is not None:
        with _threads().limit(limits=1):
            return _sized(features, begin.centroids, begin.offsets, equal)
    sample, random = _sampled(features, n_clusters, seed), check_random_state(seed)
    free = np.zeros(n_clusters, np.float32)
    with _threads().limit(limits=1):
        begins: Any = [kmeans_plusplus(sample, n_clusters, random_state=random)[0] for _ in range(starts)]
        found = [_sized(sample, centroids, free, equal) for centroids in begins]
        best = min(found, key=lambda one: inertia(sample, one))
        return best if sample is features else _sized(features, best.centroids, best.offsets, equal)


def inertia(features: Matrix, found: KMeansResult) -> float:
    """The mean squared distance of features (n, dim) to the centroids of their clusters."""
    return float(np.square(features - found.centroids[found.labels]).sum(axis=1).mean())


def of_sizes(features: Matrix, centroids: Matrix, offsets: Matrix, sizes: Matrix) -> KMeansResult:
    """K-means on features (n, dim) from centroids and offsets, with clusters in the proportion of sizes (K,)."""
    with _threads().limit(limits=1):
        return _sized(features, centroids, offsets, (sizes.sum() / sizes.clip(min=1)).astype(np.float32))


def _sized(features: Matrix, centroids: Matrix, offsets: Matrix, parts: Matrix) -> KMeansResult:
    """Corrects offsets and moves centroids in turns until fewer than one label in a thousand changes.

    A cluster has one of so many `parts` (K,) of the samples: K of K parts are equal sizes.
    """
    from scipy.special import softmax

    clusters = np.arange(len(centroids))[:, None]
    lengths, labels = np.square(features).sum(axis=1), np.full(len(features), -1)
    for move in range(_MOVES):
        if move > 0:
            members = (labels == clusters).astype(features.dtype)
            sizes = members.sum(axis=1)[:, None]
            # The centroid of an empty cluster does not move.
            centroids = np.where(sizes > 0, members @ features / sizes.clip(min=1), centroids)
        # One row per cluster, since sums over few columns are slow.
        distances = (lengths + np.square(centroids).sum(axis=1)[:, None] - 2 * centroids @ features.T).clip(min=0)
        softness = max(_SOFTNESS * distances.min(axis=0).mean(), 1e-12)
        for _ in range(_CORRECTIONS):
            shares = softmax((offsets[:, None] - distances) / softness, axis=0).mean(axis=1)
            offsets = offsets - softness * np.log(shares * parts + 1e-9)
        before, labels = labels, (distances - offsets[:, None]).argmin(axis=0)
        if (labels != before).mean() < 1e-3:
            break
    return KMeansResult(labels, centroids, offsets)


def _sampled(features: Matrix, n_clusters: int, seed: int) -> Matrix:
    """The rows that the starts are tried on: all rows or a random sample."""
    tried = max(SAMPLE, 10 * n_clusters)
    if len(features) <= tried:
        return features
    return features[np.random.default_rng(seed).choice(len(features), tried, replace=False)]


def nearest(features: Matrix, centroids: Matrix) -> NDArray[np.int64]:
    """The nearest of the centroids (K, dim) for each row of features (n, dim), shape (n,)."""
    similarity = features @ centroids.T - np.square(centroids).sum(axis=1) / 2
    return similarity.argmax(axis=1)


@lru_cache(maxsize=1)
def _threads() -> ThreadpoolController:
    """Cached, since a search through all loaded libraries takes milliseconds."""
    return ThreadpoolController()
