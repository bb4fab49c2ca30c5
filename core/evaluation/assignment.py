"""Each sample's cluster, how sure it is, the second-best cluster, and the distance to the cluster's centre."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.evaluation.kmeans import Matrix, blocks, sums_of


@dataclass(frozen=True)
class Assignment:
    """The clusters of n samples.

    Attributes:
        clusters: the cluster of each sample, (n,), from 0.
        probabilities: the probability of that cluster, (n,); None for a method without a cluster head.
        seconds: the second-best cluster, (n,): the one with the second-largest probability or, without a head, with
            the second-nearest centroid. None if there is one cluster only.
        distances: the Euclidean distance to the centre of the sample's cluster, (n,), from 0 to 2: between features of
            length 1. NaN if the centre is not known.
    """

    clusters: NDArray[np.int64]
    probabilities: NDArray[np.float32] | None
    seconds: NDArray[np.int64] | None
    distances: NDArray[np.float32]


def assigned(
    features: Matrix, clusters: NDArray[np.int64], centres: Matrix, probabilities: NDArray[np.float32] | None
) -> Assignment:
    """The assignment of samples to given clusters.

    Args:
        features: of length 1, (n, dim).
        clusters: the cluster of each sample, (n,).
        centres: of the clusters, (K, dim), see `centres_of`; without a head the k-means centroids.
        probabilities: of each cluster, (n, K); None without a head.
    """
    n, k = len(features), len(centres)
    best = None if probabilities is None else np.empty(n, np.float32)
    seconds = np.empty(n, np.int64) if k > 1 else None
    distances = np.empty(n, np.float32)
    for rows in blocks(n):
        chosen = clusters[rows]
        distances[rows] = np.linalg.norm(features[rows] - centres[chosen], axis=1)
        if probabilities is None:
            scores = features[rows] @ centres.T - np.square(centres).sum(axis=1) / 2
        else:
            scores = probabilities[rows].copy()
        places = np.arange(len(chosen)), chosen
        if best is not None:
            best[rows] = scores[places]
        if seconds is not None:
            scores[places] = -np.inf
            seconds[rows] = scores.argmax(axis=1)
    return Assignment(clusters, best, seconds, distances)


def centres_of(features: Matrix, clusters: NDArray[np.int64], n_clusters: int) -> Matrix:
    """The mean of each cluster's features (n, dim), shape (K, dim); NaN for a cluster without samples."""
    sums = sums_of(features, clusters, n_clusters)
    sizes = np.bincount(clusters, minlength=n_clusters)[:, None]
    return np.divide(sums, sizes, out=np.full_like(sums, np.nan), where=sizes > 0).astype(np.float32)
