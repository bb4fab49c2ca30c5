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
        seconds: the second-best cluster, (n,): the one with the second-largest probability, of equal ones and without a
            head the one with the nearest centre. None if there is one cluster only.
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
        scores = _nearness(features[rows], centres) if probabilities is None else probabilities[rows].copy()
        places = np.arange(len(chosen)), chosen
        if best is not None:
            best[rows] = scores[places]
        if seconds is not None:
            scores[places] = -np.inf
            seconds[rows] = scores.argmax(axis=1)
            # A sure sample has no probability left for the others, and clusters of the input share what is left evenly.
            equal = scores == scores.max(axis=1, keepdims=True)
            tied = np.flatnonzero(equal.sum(axis=1) > 1)
            near = _nearness(features[rows][tied], centres)
            seconds[rows.start + tied] = np.where(equal[tied], near, -np.inf).argmax(axis=1)
    return Assignment(clusters, best, seconds, distances)


def _nearness(features: Matrix, centres: Matrix) -> Matrix:
    """Higher for a nearer one of the centres (K, dim), (n, K); lowest for those that are not known."""
    found = features @ centres.T - np.square(centres).sum(axis=1) / 2
    return np.nan_to_num(found, copy=False, nan=float(np.finfo(np.float32).min))


def centres_of(features: Matrix, clusters: NDArray[np.int64], n_clusters: int) -> Matrix:
    """The mean of each cluster's features (n, dim), shape (K, dim); NaN for a cluster without samples."""
    sums = sums_of(features, clusters, n_clusters)
    sizes = np.bincount(clusters, minlength=n_clusters)[:, None]
    return np.divide(sums, sizes, out=np.full_like(sums, np.nan), where=sizes > 0).astype(np.float32)
