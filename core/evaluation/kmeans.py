"""K-means on features, the reference for every cluster head; also with clusters of equal size.

References: clusters of given sizes: Bradley, Bennett and Demiriz, "Constrained k-means clustering" (MSR-TR-2000-65);
their assignment by scaling a matrix: Cuturi, "Sinkhorn distances" (NeurIPS 2013).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

Matrix = NDArray[np.float32]

# If there are more rows, the starts of k-means are tried on so many of them.
SAMPLE = 20_000
# If there are more rows, k-means ends after so many passes over all of them: it began near its end.
LARGE, _LARGE_MOVES = 200_000, 10
# Up to so many clusters all starts that are asked for are made. More clusters, more of which are found by each start.
_FEW, _STARTS = 100, 3
# Rows of distances in memory at once.
_ROWS = 1 << 12

# For clusters of equal size: the softness of assignments, as a share of the mean squared distance to a centroid, and
# the corrections of sizes between two moves of the centroids. With sharper assignments each start ends in another
# local minimum.
_SOFTNESS = 0.3
_CORRECTIONS = 10
# The distances from which the sizes are corrected, 256 MiB: 67,000 rows at 1,000 clusters.
_CORRECTED = 1 << 26
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
    and only the best one continues with all rows. With more than 100 clusters there are at most 3 starts; with more
    than 200,000 rows, the sample has at least 100 rows per cluster, and 10 passes over all rows are the most. It runs
    in one thread: the sum of floats then has one order, and the same seed gives the same bits.
    """
    from sklearn.cluster import KMeans

    if centroids is None:
        sample = _sampled(features, n_clusters, seed)
        if sample is not features:
            centroids = kmeans(sample, n_clusters, seed=seed, starts=starts).centroids
    begin: Any = "k-means++" if centroids is None else centroids
    runs: Any = _runs(starts, n_clusters) if centroids is None else 1
    passes = 300 if len(features) <= LARGE else _LARGE_MOVES
    model: Any = KMeans(n_clusters, init=begin, n_init=runs, max_iter=passes, random_state=seed)
    with _threads().limit(limits=1):
        model.fit(features)
    return KMeansResult(model.labels_.astype(np.int64), model.cluster_centers_, np.zeros(n_clusters, np.float32))


def runs(features: Matrix, n_clusters: int, count: int, *, seed: int) -> Iterator[NDArray[np.int64]]:
    """The labels (n,) of so many runs of k-means on features (n, dim), each from one start of its own.

    The centroids are those of the random sample on which `kmeans` tries its starts.
    """
    sample = _sampled(features, n_clusters, seed)
    for run in range(count):
        found = kmeans(sample, n_clusters, seed=(seed + run) % 2**32)
        yield found.labels if sample is features else nearest(features, found.centroids)


def balanced_kmeans(
    features: Matrix, n_clusters: int, *, seed: int, starts: int = 1, begin: KMeansResult | None = None
) -> KMeansResult:
    """K-means on features (n, dim) with clusters of nearly equal size, from k-means++; the best of `starts` is kept.

    With `begin`, it starts from the centroids and offsets of an earlier result.

    The soft assignments have equal sizes; the sizes of the labels differ by a few per cent if clusters touch. The
    random sample, the number of starts and the one thread are as in `kmeans`.
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
        # From k-means of free size it would end where that did: with two clusters as one, and one as two.
        begins: Any = [
            kmeans_plusplus(sample, n_clusters, random_state=random)[0] for _ in range(_runs(starts, n_clusters))
        ]
        found = [_sized(sample, centroids, free, equal) for centroids in begins]
        best = min(found, key=lambda one: inertia(sample, one))
        return best if sample is features else _sized(features, best.centroids, best.offsets, equal)


def _runs(starts: int, n_clusters: int) -> int:
    return starts if n_clusters <= _FEW else min(starts, _STARTS)


def inertia(features: Matrix, found: KMeansResult) -> float:
    """The mean squared distance of features (n, dim) to the centroids of their clusters."""
    sums = [np.square(features[rows] - found.centroids[found.labels[rows]]).sum() for rows in blocks(len(features))]
    return float(np.sum(sums, dtype=np.float64)) / len(features)


def of_sizes(features: Matrix, centroids: Matrix, offsets: Matrix, sizes: Matrix) -> KMeansResult:
    """K-means on features (n, dim) from centroids and offsets, with clusters in the proportion of sizes (K,)."""
    with _threads().limit(limits=1):
        return _sized(features, centroids, offsets, (sizes.sum() / sizes.clip(min=1)).astype(np.float32))


def _sized(features: Matrix, centroids: Matrix, offsets: Matrix, parts: Matrix) -> KMeansResult:
    """Corrects offsets and moves centroids in turns until fewer than one label in a thousand changes.

    A cluster has one of so many `parts` (K,) of the samples: K of K parts are equal sizes. The offsets are corrected
    on random rows, as many as make 256 MiB of distances.
    """
    n, k = len(features), len(centroids)
    some = _drawn(features, _CORRECTED // k, seed=0)
    labels = np.full(n, -1)
    for move in range(_MOVES if n <= LARGE else _LARGE_MOVES):
        if move > 0:
            sizes = np.bincount(labels, minlength=k)[:, None]
            # The centroid of an empty cluster does not move.
            means: Any = sums_of(features, labels, k) / sizes.clip(min=1)
            centroids = np.where(sizes > 0, means.astype(np.float32), centroids)
        offsets = _corrected([_distances(some[rows], centroids) for rows in blocks(len(some))], offsets, parts)
        before = labels
        labels = np.concatenate(
            [(_distances(features[rows], centroids) - offsets[:, None]).argmin(axis=0) for rows in blocks(n)]
        )
        if (labels != before).mean() < 1e-3:
            break
    return KMeansResult(labels, centroids, offsets)


def _corrected(distances: list[Matrix], offsets: Matrix, parts: Matrix) -> Matrix:
    """The offsets (K,) with which soft assignments have the sizes; from blocks of squared distances, (K, rows)."""
    from scipy.special import softmax

    n = sum(one.shape[1] for one in distances)
    softness = max(_SOFTNESS * sum(float(one.min(axis=0).sum()) for one in distances) / n, 1e-12)
    found: Any = offsets
    for _ in range(_CORRECTIONS):
        shares = sum(softmax((found[:, None] - one) / softness, axis=0).sum(axis=1) for one in distances) / n
        found = found - softness * np.log(shares * parts + 1e-9)
    return found.astype(np.float32)


def _distances(rows: Matrix, centroids: Matrix) -> Matrix:
    """Squared distances (K, rows): one row per cluster, since sums over few columns are slow."""
    lengths = np.einsum("ij,ij->i", rows, rows) + np.einsum("ij,ij->i", centroids, centroids)[:, None]
    return (lengths - 2 * centroids @ rows.T).clip(min=0)


def sums_of(rows: Matrix, labels: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """The sum of the rows (n, dim) of each of `count` labels (n,), (count, dim)."""
    from scipy.sparse import csr_array

    sums = np.zeros((count, rows.shape[1]))
    for part in blocks(len(rows)):
        m = len(labels[part])
        members: Any = csr_array((np.ones(m, np.float32), labels[part], np.arange(m + 1)), shape=(m, count))
        sums += members.T @ rows[part]
    return sums


def blocks(n: int) -> Iterator[slice]:
    """The n rows in blocks of 4,096, so that arrays of rows and clusters stay small."""
    return (slice(start, start + _ROWS) for start in range(0, n, _ROWS))


def _sampled(features: Matrix, n_clusters: int, seed: int) -> Matrix:
    """The rows that the starts are tried on: all rows or a random sample."""
    return _drawn(features, max(SAMPLE, (10 if len(features) <= LARGE else 100) * n_clusters), seed)


def _drawn(features: Matrix, count: int, seed: int) -> Matrix:
    """So many random rows; all if there are no more."""
    if len(features) <= count:
        return features
    return features[np.random.default_rng(seed).choice(len(features), count, replace=False)]


def nearest(features: Matrix, centroids: Matrix) -> NDArray[np.int64]:
    """The nearest of the centroids (K, dim) for each row of features (n, dim), shape (n,)."""
    half = np.square(centroids).sum(axis=1) / 2
    return np.concatenate([(features[rows] @ centroids.T - half).argmax(axis=1) for rows in blocks(len(features))])


@lru_cache(maxsize=1)
def _threads() -> ThreadpoolController:
    """Cached, since a search through all loaded libraries takes milliseconds."""
    return ThreadpoolController()
