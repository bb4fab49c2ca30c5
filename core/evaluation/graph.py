"""The graph of nearest neighbours of the samples, and its communities.

Reference: Traag, Waltman and van Eck, "From Louvain to Leiden: guaranteeing well-connected communities" (Scientific
Reports 2019); Reichardt and Bornholdt, "Statistical mechanics of community detection" (Physical Review E 2006) for the
resolution.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.evaluation.assignment import centres_of
from core.evaluation.kmeans import Matrix

# Between these resolutions the number of communities goes from the connected parts of the graph to about all samples;
# after so many steps they differ by a hundred-thousandth.
_LOWEST, _HIGHEST, _STEPS = 1e-3, 1e5, 20


def edges(neighbours: NDArray[np.int32]) -> Any:
    """The symmetric matrix (n, n) in scipy's compressed rows: 2 where two rows are neighbours of each other, else 1."""
    from scipy.sparse import csr_array

    n, each = neighbours.shape
    one_way = csr_array((np.ones(n * each), neighbours.ravel(), np.arange(0, n * each + 1, each)), shape=(n, n))
    return one_way + one_way.T


def communities(neighbours: NDArray[np.int32], n_clusters: int, *, seed: int) -> NDArray[np.int64]:
    """The communities (n,) of the graph of neighbours (n, count), from `core.evaluation.nearest`; see `divided`."""
    return divided(edges(neighbours), n_clusters, seed=seed)


def divided(graph: Any, n_clusters: int, *, seed: int) -> NDArray[np.int64]:
    """The communities (n,) that Leiden finds at the resolution at which there are `n_clusters` of them.

    The resolution is found by bisection. Where none gives this number, there are more: the fewest that were found above
    it, as where the graph has more parts than clusters are wanted.

    Args:
        graph: symmetric weights of edges, (n, n) in scipy's compressed rows.
        n_clusters: how many communities are wanted.
        seed: of Leiden.
    """
    graph.sort_indices()
    above = np.arange(graph.shape[0])
    low, high = _LOWEST, _HIGHEST
    for _ in range(_STEPS):
        middle = math.sqrt(low * high)
        labels = at_resolution(graph, middle, seed=seed)
        count = int(labels.max()) + 1
        if count == n_clusters:
            return labels
        if count > n_clusters:
            high, above = middle, min(above, labels, key=np.max)
        else:
            low = middle
    return above


def at_resolution(graph: Any, resolution: float, *, seed: int, trials: int = 1) -> NDArray[np.int64]:
    """The communities (n,) that Leiden finds in a graph (n, n) at a resolution, the best of `trials` runs, from 0."""
    import graspologic_native

    leiden: Any = vars(graspologic_native)["leiden_csr"]
    n = graph.shape[0]
    starts, ends = graph.indptr.astype(np.int64), graph.indices.astype(np.int32)
    weights = graph.data.astype(np.float64)
    _, found = leiden(starts, ends, weights, n, resolution=resolution, iterations=2, seed=seed, trials=trials)
    return np.unique([found[place] for place in range(n)], return_inverse=True)[1]


def united(rows: Matrix, labels: NDArray[np.int64], n_clusters: int) -> NDArray[np.int64]:
    """Communities (n,) of rows (n, numbers); those beyond `n_clusters` are united by Ward of their means."""
    count = int(labels.max()) + 1
    if count <= n_clusters:
        return labels
    from sklearn.cluster import AgglomerativeClustering

    model: Any = AgglomerativeClustering(n_clusters)
    return model.fit_predict(centres_of(rows, labels, count))[labels]
