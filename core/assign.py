"""From features to clusters: k-means, the reference that every cluster head is held against."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class KMeansResult:
    """Labels (n,) and centroids (K, dim) of a k-means."""

    labels: NDArray[np.int64]
    centroids: Matrix


def unit_rows(features: Matrix) -> Matrix:
    """The rows at length 1, shape (n, dim): distances then are cosine distances; a zero row stays zero."""
    norms = np.sqrt(np.einsum("ij,ij->i", features, features))
    return features / np.maximum(norms, 1e-12)[:, None]


def kmeans(
    features: Matrix, n_clusters: int, *, seed: int, starts: int = 1, centroids: Matrix | None = None
) -> KMeansResult:
    """Lloyd's k-means on features (n, dim), from k-means++ (`starts` times, the best is kept) or from `centroids`.

    Runs in one thread: the sum of floats then has one order, and the same seed gives the same bits.
    """
    from sklearn.cluster import KMeans

    begin: Any = "k-means++" if centroids is None else centroids
    runs: Any = starts if centroids is None else 1
    model: Any = KMeans(n_clusters, init=begin, n_init=runs, random_state=seed)
    with _threads().limit(limits=1):
        model.fit(features)
    return KMeansResult(model.labels_.astype(np.int64), model.cluster_centers_)


@lru_cache(maxsize=1)
def _threads() -> ThreadpoolController:
    """Found once: looking through all loaded libraries costs milliseconds."""
    return ThreadpoolController()
