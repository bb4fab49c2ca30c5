"""Clusters of samples as they are given: communities of a graph of shared neighbours, in several scalings at once.

No one scaling of numbers suits all data: cosines leave out how large a sample is, rare large numbers drown others.
Here each scaling has a graph of nearest neighbours, in which an edge weighs as much as its ends have neighbours in
common. The graphs are added: neighbours by chance share few others, so a scaling that does not suit the data has little
weight. Then the clusters that were found say which directions tell them apart (a linear discriminant analysis), and
the graph of neighbours in these directions is added too.

References: shared neighbours: Jarvis and Patrick, "Clustering using a similarity measure based on shared near
neighbors" (IEEE Trans. Comput. 1973); several graphs at once: Wang et al., "Similarity network fusion" (Nature Methods
2014); clusters and directions in turns: Ding and Li, "Adaptive dimension reduction using discriminant analysis and
k-means clustering" (ICML 2007).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.evaluation import graph
from core.evaluation.assignment import centres_of
from core.evaluation.kmeans import Matrix, unit_rows
from core.evaluation.label_free import one_thread
from core.evaluation.nearest import nearest

# Neighbours of a sample in each scaling.
NEIGHBOURS = 15
# The most samples that have all scalings; more have four of them.
_ALL_SCALINGS = 5000
# So few numbers have no angles and no directions that say more than they do, and these join rings and moons to others.
# Chosen with labels in sight on scikit-learn's rings, moons and blobs.
_FEW = 3
# The most principal axes of a scaling, and of the samples in which directions are looked for.
_AXES, _DIRECTIONS = 100, 50
# The share of the covariances of axes that is left out: estimates of many of them from few samples are poor.
_SHRUNK = 0.5
# How often directions are learned from the clusters.
ROUNDS = 3
# How much a learned graph weighs, as a share of all scalings together.
_LEARNED = 3 / 7


@dataclass(frozen=True, eq=False)
class SharedNeighbours:
    """The graph of samples (m,).

    Attributes:
        graph: weights of the edges, symmetric, (m, m) in scipy's compressed rows.
        places: the samples on the principal axes of their ranks, (m, up to 50).
    """

    graph: Any
    places: Matrix

    @classmethod
    def of(cls, rows: Matrix) -> SharedNeighbours:
        """The graph of rows (m, numbers), at least 2; its time grows with the square of m."""
        with one_thread():
            ranks = _normal_ranks(rows)
            found: Any = sum(_shared(scaled) for scaled in _scalings(rows, ranks))
            found.sort_indices()  # Leiden does it in place, and the order decides how sums round.
            return cls(found, _axes(ranks, _DIRECTIONS))

    def joined(self, rows: Matrix) -> SharedNeighbours:
        """The graph with that of the neighbours among other rows (m, numbers) of the samples, such as features."""
        with one_thread():
            return SharedNeighbours(self._with(_shared(rows, learned=True)), self.places)

    def clusters(self, n_clusters: int, *, seed: int, rounds: int = ROUNDS) -> NDArray[np.int64]:
        """The clusters (m,) of the samples, from 0.

        Args:
            n_clusters: how many there are, at most m; equal samples may be in several.
            seed: of Leiden.
            rounds: how often directions are learned from the clusters, if samples have more than 3 numbers.
        """
        found = self._divided(self.graph, n_clusters, seed)
        learns = 1 < n_clusters < len(found) and self.places.shape[1] > _FEW
        for _ in range(rounds if learns else 0):
            with one_thread():
                joined = self._with(_shared(_discriminants(self.places, found), learned=True))
            found = self._divided(joined, n_clusters, seed)
        return found

    def _with(self, learned: Any) -> Any:
        """The graph with a learned one."""
        return (self.graph + _LEARNED * self.graph.sum() / learned.sum() * learned).tocsr()

    def _divided(self, weights: Any, n_clusters: int, seed: int) -> NDArray[np.int64]:
        return graph.united(self.places, graph.divided(weights, n_clusters, seed=seed), n_clusters)

    def agreement(self, labels: NDArray[np.int64]) -> float:
        """How much more weight lies within clusters (m,) than by chance, 1 at most; 0 for one cluster.

        Reference:
            Newman, "Mixing patterns in networks" (Physical Review E 2003), the coefficient of assortativity.
        """
        if labels.min() == labels.max():
            return 0.0
        degrees = self.graph.sum(axis=1, dtype=np.float64)
        ends = np.repeat(np.arange(len(labels)), np.diff(self.graph.indptr))
        inner = self.graph.data[labels[ends] == labels[self.graph.indices]].sum(dtype=np.float64)
        chance = np.square(np.bincount(labels, degrees) / degrees.sum()).sum()
        return float((inner / degrees.sum() - chance) / (1 - chance))


def _scalings(rows: Matrix, ranks: Matrix) -> Iterator[Matrix]:
    """The rows (m, numbers) in several scalings, each on its principal axes, (m, up to 100)."""
    plain = _axes(rows, _AXES)
    # Each axis divided by the root of its deviation: between plain axes and axes of equal variance.
    halved = plain / np.sqrt(np.maximum(plain.std(axis=0), 1e-6 * (plain.std() or 1)))
    angles = rows.shape[1] > _FEW
    if angles:
        yield _axes(unit_rows(rows), _AXES)
    yield plain
    if angles:
        yield unit_rows(_axes(ranks, _AXES))
    yield halved
    if len(rows) <= _ALL_SCALINGS:
        yield _axes(ranks, _AXES)
        yield _axes(np.sign(rows) * np.sqrt(np.abs(rows)), _AXES)
        if angles:
            yield unit_rows(_axes(rows, _DIRECTIONS))


def _normal_ranks(rows: Matrix) -> Matrix:
    """Each number's rank in its column as a quantile of the normal distribution, (m, numbers)."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    ranks: Any = rankdata(rows, axis=0)
    return ndtri((ranks - 0.5) / len(rows)).astype(np.float32)


def _axes(rows: Matrix, most: int) -> Matrix:
    """The rows (m, numbers), centred, on up to `most` principal axes."""
    centred = rows - rows.mean(axis=0)
    if rows.shape[1] <= most:
        return centred
    from sklearn.decomposition import PCA

    count = min(most, len(rows) - 1)
    solver = "covariance_eigh" if rows.shape[1] <= len(rows) else "full"
    analysis: Any = PCA(count, svd_solver=solver)
    with np.errstate(invalid="ignore"):  # PCA divides by the variance, which may be none.
        return analysis.fit_transform(centred).astype(np.float32)


def _shared(rows: Matrix, *, learned: bool = False) -> Any:
    """The graph of nearest neighbours of rows (m, numbers), (m, m); an edge weighs the share of common neighbours.

    The share is that of all neighbours of its two ends, who count among their own. The neighbours in rows that were not
    learned are those of all trials of a machine.
    """
    from scipy.sparse import csr_array, eye_array

    neighbours = nearest(rows, NEIGHBOURS, metric="euclidean", shared=not learned).rows
    m, each = neighbours.shape
    one_way = csr_array(
        (np.ones(m * each, np.float32), neighbours.ravel(), np.arange(0, m * each + 1, each)), shape=(m, m)
    )
    own = one_way + eye_array(m)
    either = one_way + one_way.T
    either.data[:] = 1
    common = either.multiply(own @ own.T).tocsr()
    common.data /= 2 * (each + 1) - common.data
    return common


def _discriminants(places: Matrix, labels: NDArray[np.int64]) -> Matrix:
    """The places (m, axes) in the directions that tell clusters (m,) apart, of about equal variance within clusters."""
    from scipy.linalg import eigh

    count = int(labels.max()) + 1
    centred = places - places.mean(axis=0)
    apart = centred - centres_of(centred, labels, count)[labels]
    within, total = (one.T.astype(np.float64) @ one / len(one) for one in (apart, centred))
    variances = within.diagonal()
    # Of an axis without variance within clusters nothing but rounding is known.
    least = 1e-6 * total.trace() / len(total) or 1.0
    shrunk = (1 - _SHRUNK) * within + _SHRUNK * np.diag(variances) + least * np.eye(len(within))
    most = min(len(within), count - 1)
    _, directions = eigh(total - within, shrunk, subset_by_index=(len(within) - most, len(within) - 1))
    return (centred @ directions).astype(np.float32)
