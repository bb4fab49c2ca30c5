"""Scores of clusterings of fixed vectors without training, as a reference for trained methods.

The clusterings are k-means of the unit vectors, of their principal components (plain and whitened) and of vectors
averaged along the graph of nearest neighbours (Wu et al., "Simplifying Graph Convolutional Networks", 2019), and
spectral clustering of that graph.

Run: OMP_NUM_THREADS=1 uv run python benchmarks/frozen.py FILE.npz, with vectors `emb` (n, dim) and labels `label`. Each
line is the mean of three seeds. NMI and ACC use the labels, so the best line is an upper bound, not a possible choice.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import eigsh

from core.evaluation import kmeans, metrics
from core.evaluation.nearest import nearest

Matrix = NDArray[np.float32]
SEEDS = (0, 1, 2)


def principal(units: Matrix) -> Iterator[tuple[str, Matrix]]:
    """The first principal components, plain and whitened."""
    centred = units - units.mean(axis=0)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    for dim in (20, 50, 100, 200):
        scores = centred @ axes[:dim].T
        yield f"{dim} principal components", scores
        yield f"{dim} whitened", scores / values[:dim]


def graphs(units: Matrix, n_clusters: int) -> Iterator[tuple[str, Matrix]]:
    """Averages along the graph of nearest neighbours, and the first eigenvectors of its normalised adjacency."""
    n = len(units)
    found = nearest(units, 50).rows
    for count in (10, 20, 50):
        edges = np.repeat(np.arange(n), count), found[:, :count].ravel()
        directed: Any = sparse.csr_matrix((np.ones(n * count, np.float32), edges), shape=(n, n))
        graph = (directed + directed.T) / 2
        degrees = np.asarray(graph.sum(axis=1)).ravel()
        smooth = units
        for step in range(1, 9):
            smooth = (smooth + graph @ smooth / degrees[:, None]) / 2
            if step in {1, 2, 4, 8}:
                yield f"{step} averages over {count} nearest", smooth - smooth.mean(axis=0)
        scale = sparse.diags(degrees**-0.5)
        _, vectors = eigsh(scale @ graph @ scale, k=n_clusters, which="LA", v0=np.ones(n))
        yield f"spectral, {count} nearest", vectors.astype(np.float32)


def main() -> None:
    """Prints a line for each."""
    with np.load(sys.argv[1]) as file:
        vectors, labels = file["emb"].astype(np.float32), np.unique(file["label"], return_inverse=True)[1]
    n_clusters = int(labels.max()) + 1
    units = kmeans.unit_rows(vectors)
    for made in ([("unit vectors", units)], principal(units), graphs(units, n_clusters)):
        for name, features in made:
            rows = kmeans.unit_rows(np.ascontiguousarray(features, np.float32))
            found = [kmeans.kmeans(rows, n_clusters, seed=seed, starts=10).labels for seed in SEEDS]
            scores = [metrics.scores(one, labels) for one in found]
            acc, nmi = (fmean(score[name] for score in scores) for name in ("acc", "nmi"))
            print(f"{name:30}  ACC {acc:.3f}  NMI {nmi:.3f}", flush=True)


if __name__ == "__main__":
    main()
