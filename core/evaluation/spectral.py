"""Spectral clustering of features: clusters are what few edges of a graph of neighbours leave, of whatever size.

Reference: Ng, Jordan and Weiss, "On spectral clustering: analysis and an algorithm" (NeurIPS 2001).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.evaluation import graph, kmeans
from core.evaluation.kmeans import KMeansResult, Matrix
from core.evaluation.label_free import one_thread
from core.evaluation.nearest import nearest

# Neighbours of a sample in the graph, by cosine.
NEIGHBOURS = 30
# Sizes are very unequal if the clusters count for less than this share of their number, by (sum s)^2 / sum s^2. On
# three data sets with classes of 1:1 to 6:1 they count for 0.7 to 0.97, on one with 29:1 for 0.2 to 0.5.
_LEAST_COUNT = 0.6


def unequal_clusters(features: Matrix, n_clusters: int, *, seed: int) -> KMeansResult | None:
    """The clusters of the graph of the 30 nearest neighbours, if their sizes are very unequal; else None.

    K-means finds the clusters among the first `n_clusters` eigenvectors of the graph, rows of length 1. The result has
    centroids and offsets of clusters of the features in these sizes. With more than 20,000 rows, the graph is that of a
    random sample of so many.

    Args:
        features: (n, dim), rows of length 1.
        n_clusters: how many clusters; None is returned if there are not more rows.
        seed: draws the sample and the starts of k-means.
    """
    rows = features
    if len(rows) > kmeans.SAMPLE:
        rows = features[np.random.default_rng(seed).choice(len(rows), kmeans.SAMPLE, replace=False)]
    if len(rows) <= n_clusters + 1:
        return None
    labels = clusters(rows, n_clusters, seed=seed)
    sizes = np.bincount(labels, minlength=n_clusters).astype(np.float32)
    if np.square(sizes.sum()) >= _LEAST_COUNT * n_clusters * np.square(sizes).sum():
        return None
    centroids = (kmeans.sums_of(rows, labels, n_clusters) / sizes.clip(min=1)[:, None]).astype(np.float32)
    return kmeans.of_sizes(features, centroids, np.zeros(n_clusters, np.float32), sizes)


def clusters(rows: Matrix, n_clusters: int, *, seed: int, neighbours: int = NEIGHBOURS) -> NDArray[np.int64]:
    """The clusters (n,) that k-means finds among the first eigenvectors of the graph of neighbours, rows of length 1.

    Args:
        rows: (n, dim), of length 1 for neighbours by cosine; n is above `n_clusters` + 1.
        n_clusters: how many clusters.
        seed: draws the starts of k-means.
        neighbours: how many each sample has.
    """
    with one_thread():
        places = kmeans.unit_rows(_eigenvectors(nearest(rows, neighbours, metric="euclidean").rows, n_clusters))
    return kmeans.kmeans(places, n_clusters, seed=seed, starts=10).labels


def _eigenvectors(neighbours: NDArray[np.int32], count: int) -> Matrix:
    """The first eigenvectors of the normalised graph, (n, count); a tenth of the mean degree is added to each degree.

    Without what is added, a few samples apart from the others would be a cluster.
    """
    from scipy.sparse import diags_array
    from scipy.sparse.linalg import eigsh

    n, edges = len(neighbours), graph.edges(neighbours)
    degrees = edges.sum(axis=1)
    scale: Any = diags_array(1 / np.sqrt(degrees + 0.1 * degrees.mean()))
    found: Any = eigsh(scale @ edges @ scale, k=count, which="LA", v0=np.random.default_rng(0).normal(size=n))
    return found[1].astype(np.float32)
