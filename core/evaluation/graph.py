"""The graph of nearest neighbours of the samples, and its communities.

Reference: Traag, Waltman and van Eck, "From Louvain to Leiden: guaranteeing well-connected communities" (Scientific
Reports 2019); Newman and Girvan, "Finding and evaluating community structure in networks" (Physical Review E 2004) for
modularity.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.evaluation.kmeans import Matrix

# Rows of distances in memory at once: 1024 x 20,000 floats are 80 MB.
_CHUNK = 1024
# Between these resolutions the number of communities goes from 1 to far more than people ask for.
_LOWEST, _HIGHEST, _STEPS = 1e-3, 1e3, 40


def nearest(rows: Matrix, count: int) -> NDArray[np.int64]:
    """The places of the `count` nearest other rows of each, by Euclidean distance, (n, count) in no order.

    Of rows of length 1 they are the nearest by cosine. With fewer rows, all others are neighbours. Time grows with the
    square of n.
    """
    count = min(count, len(rows) - 1)
    lengths = np.einsum("ij,ij->i", rows, rows)
    found: list[NDArray[np.int64]] = []
    for start in range(0, len(rows), _CHUNK):
        distances = lengths - 2 * (rows[start : start + _CHUNK] @ rows.T)
        np.fill_diagonal(distances[:, start:], np.inf)
        found.append(np.argpartition(distances, count - 1, axis=1)[:, :count])
    return np.concatenate(found)


def edges(neighbours: NDArray[np.int64]) -> Any:
    """The symmetric matrix (n, n) in scipy's compressed rows: 2 where two rows are neighbours of each other, else 1."""
    from scipy.sparse import csr_array

    n, each = neighbours.shape
    one_way = csr_array((np.ones(n * each), neighbours.ravel(), np.arange(0, n * each + 1, each)), shape=(n, n))
    return one_way + one_way.T


def communities(neighbours: NDArray[np.int64], n_clusters: int, *, seed: int) -> NDArray[np.int64]:
    """The communities (n,) that Leiden finds at the resolution at which there are `n_clusters` of them.

    The resolution is found by bisection. Where no resolution gives this number, the nearest one below counts, so that
    some clusters are empty.

    Args:
        neighbours: from `nearest`.
        n_clusters: how many communities are wanted.
        seed: of Leiden.
    """
    import graspologic_native

    leiden: Any = vars(graspologic_native)["leiden"]
    upper: Any = edges(neighbours)
    rows, columns = upper.nonzero()
    kept = rows < columns
    pairs = [
        (str(a), str(b), weight)
        for a, b, weight in zip(rows[kept].tolist(), columns[kept].tolist(), upper.data[kept].tolist(), strict=True)
    ]
    low, high = _LOWEST, _HIGHEST
    best = np.zeros(len(neighbours), np.int64)
    for _ in range(_STEPS):
        middle = math.sqrt(low * high)
        _, found = leiden(
            edges=pairs,
            starting_communities=None,
            resolution=middle,
            randomness=0.001,
            iterations=2,
            use_modularity=True,
            seed=seed,
            trials=1,
        )
        labels = np.array([found[str(place)] for place in range(len(neighbours))])
        count = len(np.unique(labels))
        if count <= n_clusters and count > best.max():
            best = np.unique(labels, return_inverse=True)[1]
        if count == n_clusters:
            break
        low, high = (middle, high) if count < n_clusters else (low, middle)
    return best


def modularity(neighbours: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """The share of edges inside clusters, less that expected by chance for the degrees of the samples."""
    from scipy.sparse import csr_array

    both = edges(neighbours)
    degrees, total = both.sum(axis=1), both.sum()
    n = len(labels)
    members: Any = csr_array((np.ones(n), (np.arange(n), labels)))
    inside = (members.T @ both @ members).diagonal().sum() / total
    return float(inside - ((members.T @ degrees / total) ** 2).sum())
