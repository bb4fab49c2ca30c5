"""Label-free criteria of a clustering, on a fixed subsample of the data.

Models are chosen without labels by these criteria. `Subsample` measures in the input space, which is the same for all
models of a data set, so its values can be compared between models. A silhouette in a model's own features cannot: a
model that pulls its features together scores well whatever it groups (Wang and Ye, "Deep Clustering Evaluation", arXiv
2403.14830). So use the `silhouette` of features to watch one model, and never to rank several.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from core.data.modalities import filled
from core.data.stored import Stored

SUBSAMPLE = 2000
NEIGHBOURS = 10
# Columns per block: a block of images takes a few tens of megabytes.
_BLOCK = 4096

Labels = NDArray[np.int64]
Matrix = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Subsample:
    """At most 2,000 samples, the same for all trials of a data set, and their distances in the input space.

    Attributes:
        rows: their rows in the data set, ascending, shape (m,).
        distances: Euclidean distances up to a common factor, shape (m, m); 16 MB for 2,000.
        neighbours: pairs of a sample and one of its 10 nearest others, as places in the subsample, shape (2, pairs);
            10 pairs per sample, or more if several others have the tenth's distance.
    """

    rows: Labels
    distances: Matrix
    neighbours: Labels

    @classmethod
    def of(cls, samples: NDArray[np.float32] | Stored) -> Subsample:
        """The subsample of samples (n, *sample_shape); this takes a tenth of a second for 784 features."""
        rows = subsample_rows(len(samples))
        return cls._among(rows, samples.take(rows) if isinstance(samples, Stored) else filled(samples[rows]))

    @classmethod
    def of_documents(cls, samples: Stored) -> Subsample:
        """The subsample of documents (n, words), a sparse matrix without a scaling, each divided by its length.

        Weights that sum to 1 are small in long documents. These are then near the mean of all, and the nearest of most
        others: on 20 Newsgroups one document in a hundred made up three quarters of all neighbours.
        """
        from sklearn.preprocessing import normalize

        rows = subsample_rows(len(samples))
        return cls._among(rows, replace(samples, values=normalize(samples.raw(rows)), rows=None))

    @classmethod
    def _among(cls, rows: Labels, points: Matrix | Stored) -> Subsample:
        distances = euclidean(points)
        return cls(rows, distances, _nearest(distances))

    def criteria(self, labels: Labels) -> dict[str, float]:
        """`raw_silhouette` (-1..1) and `knn_consistency` (0..1) of the subsample's labels (m,).

        For one cluster the first is absent, and the second is 0: that neighbours share the only cluster says nothing.
        Few clusters have a high consistency, so it compares no numbers of clusters. One sample has neither. Both mean
        little if distances in the input space mean little, as for photographs with many pixels.
        """
        found = {"raw_silhouette": silhouette(self.distances, labels)}
        if self.neighbours.size:
            shared = np.equal(*labels[self.neighbours]).mean() if np.ptp(labels) else 0.0
            found["knn_consistency"] = float(shared)
        return {name: value for name, value in found.items() if value is not None}


def subsample_rows(n_samples: int) -> Labels:
    """The rows of the subsample, (m,); they depend only on the number of samples, so that trials can be compared."""
    if n_samples <= SUBSAMPLE:
        return np.arange(n_samples)
    return np.sort(np.random.default_rng(0).permutation(n_samples)[:SUBSAMPLE])


def feature_criteria(features: Matrix, labels: Labels) -> dict[str, float]:
    """`silhouette` of labels (m,) in unit-length features (m, dim), and `feature_std`.

    `feature_std` is the mean standard deviation of the dimensions times the root of dim: 1 for features all over the
    sphere, 0 for a model that maps everything to one point. The silhouette is absent for one cluster. It is measured
    in the model's own space, so it cannot be compared between models.
    """
    found = {
        "silhouette": silhouette(euclidean(features), labels),
        "feature_std": float(features.std(axis=0).mean()) * features.shape[1] ** 0.5,
    }
    return {name: value for name, value in found.items() if value is not None}


def label_free(found: Mapping[str, float]) -> float | None:
    """One number for an epoch: the mean of up to four criteria, each in 0..1; None if there is none of them.

    They are the raw silhouette (as (s + 1) / 2), the agreement of head and k-means, the consistency of neighbours and
    the mutual information. It compares the epochs of one trial; different trials are better compared by ranks, see
    `jobs.analysis.selection`.
    """
    names = ("head_kmeans_nmi", "knn_consistency", "mutual_information")
    values = [found[name] for name in names if name in found]
    if "raw_silhouette" in found:
        values.append((found["raw_silhouette"] + 1) / 2)
    return sum(values) / len(values) if values else None


def silhouette(distances: Matrix, labels: Labels) -> float | None:
    """The mean silhouette of labels (m,) under distances (m, m), in -1..1; None for one cluster.

    A sample alone in its cluster counts 0, as in Rousseeuw, "Silhouettes" (J. Comput. Appl. Math. 20, 1987).
    """
    _, labels, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        return None
    with one_thread():
        sums = distances @ (labels[:, None] == np.arange(len(sizes))).astype(np.float32)
    rows = np.arange(len(labels))
    own = sums[rows, labels] / np.maximum(sizes[labels] - 1, 1)
    means = sums / sizes
    means[rows, labels] = np.inf
    other = means.min(axis=1)
    widths = (other - own) / np.maximum(np.maximum(own, other), np.finfo(np.float32).tiny)
    return float(np.where(sizes[labels] > 1, widths, 0.0).mean())


def euclidean(points: Matrix | Stored) -> Matrix:
    """Distances between all points (m, …), shape (m, m), in units of the largest coordinate of the centred points.

    They come from inner products of centred points, so float32 is exact enough even if all points are nearly equal.
    """
    m = len(points)
    gram = np.zeros((m, m), np.float32)
    largest = max(float(np.abs(block).max()) for block, _ in centred(points))
    with one_thread():
        for block, _ in centred(points):
            unit = block / max(largest, np.finfo(np.float32).tiny)
            gram += unit @ unit.T
    squares = gram.diagonal().copy()
    gram *= -2
    gram += squares[:, None]
    gram += squares
    np.maximum(gram, 0, out=gram)
    np.fill_diagonal(gram, 0)
    return np.sqrt(gram, out=gram)


def centred(points: Matrix | Stored) -> Iterator[tuple[Matrix, Matrix]]:
    """Points (m, …) as vectors less their mean, some columns at a time, (m, up to 4,096); and that mean.

    All numbers of 2,000 large images as floats, and again less their mean, would be half a gigabyte.
    """
    flat = points if isinstance(points, Stored) else points.reshape(len(points), -1)
    for start in range(0, math.prod(points.shape[1:]), _BLOCK):
        part = slice(start, start + _BLOCK)
        block = flat.columns(part) if isinstance(flat, Stored) else flat[:, part]
        mean = block.mean(axis=0, dtype=np.float64).astype(np.float32)
        yield block - mean, mean


def one_thread() -> AbstractContextManager[object]:
    """Limits matrix products to one thread: sums of floats then have one order, and a seed gives the same bits."""
    return _threads().limit(limits=1)


@lru_cache(maxsize=1)
def _threads() -> ThreadpoolController:
    """Cached, since a search through all loaded libraries takes milliseconds."""
    return ThreadpoolController()


def _nearest(distances: Matrix) -> Labels:
    """Pairs of a sample and one of its nearest others, from distances (m, m), shape (2, pairs)."""
    m = len(distances)
    count = min(NEIGHBOURS, m - 1)
    if count < 1:
        return np.empty((2, 0), np.int64)
    others = distances.copy()
    np.fill_diagonal(others, np.inf)
    # A partition of values, not of places: it is twice as fast, and keeps all ties.
    farthest = np.partition(others, count - 1, axis=1)[:, count - 1]
    return np.stack(np.nonzero(others <= farthest[:, None]))
