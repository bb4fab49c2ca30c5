"""What the clusters of one trial hold, in numbers: typical samples, classes, features, and a map of the samples."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core.data.dataset import UNLABELLED
from core.evaluation.metrics import contingency

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_AT_ONCE = 1 << 22
"""Numbers of samples that are dense in memory at a time: 32 MiB."""
_DIMENSIONS = 50
"""Numbers per sample that UMAP is given: more are projected by PCA first, as scikit-learn advises of t-SNE."""


class Samples(Protocol):
    """Samples of which some rows are read at a time: an array, or one in stored form."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, features), or (n, channels, height, width)."""
        ...

    def __getitem__(self, rows: Any, /) -> NDArray[Any]:
        """Some rows, dense."""
        ...


@dataclass(frozen=True, slots=True)
class Confusion:
    """Clusters against classes, over the samples that have a label.

    Attributes:
        counts: Samples by class and cluster, (classes, clusters), in the order of `classes` and `clusters`.
        classes: All classes that have samples: those with a cluster of their own first.
        clusters: All clusters that have samples: in place i the one of class i, then those without a class.
        matched: How many classes have a cluster of their own, and so how many clusters have a class.
        unlabelled: The number of samples without a label.
    """

    counts: Ints
    classes: Ints
    clusters: Ints
    matched: int
    unlabelled: int

    @property
    def accuracy(self) -> float:
        """The share of labelled samples that lie in the cluster of their class: `acc` of the scores."""
        return float(np.trace(self.counts[: self.matched, : self.matched]) / self.counts.sum())

    @property
    def recalls(self) -> Floats:
        """For each class, the share of its samples in its cluster; 0 for a class without one."""
        found = np.zeros(len(self.classes))
        found[: self.matched] = np.diag(self.counts)[: self.matched]
        return found / self.counts.sum(axis=1)


@dataclass(frozen=True, slots=True)
class FeatureDifference:
    """A feature of one cluster against all other samples.

    Attributes:
        feature: Its place among the features.
        effect: The standardised mean difference.
        inside: The feature's mean in the cluster.
        outside: Its mean in all other samples.
    """

    feature: int
    effect: float
    inside: float
    outside: float


@dataclass(frozen=True, slots=True)
class Map:
    """Samples on a plane.

    Attributes:
        rows: Which samples, (m,), in ascending order.
        places: Where each of them lies, (m, 2).
        method: `UMAP` or `PCA`.
        explained: The share of the variance that the two axes of a PCA explain; None for UMAP.
    """

    rows: Ints
    places: Floats
    method: str
    explained: float | None


def nearest(members: Ints, distances: Floats, probabilities: Floats, most: int) -> Ints:
    """The samples of a cluster that are nearest to its centre, the nearest first; of unknown distance the surest.

    Args:
        members: The rows of the cluster's samples.
        distances: Of all samples to the centres of their clusters, (n,), NaN where unknown.
        probabilities: Of the clusters of all samples, (n,), NaN where unknown.
        most: How many, at most.
    """
    return members[np.lexsort((members, -probabilities[members], distances[members]))][:most]


def least_sure(members: Ints, distances: Floats, probabilities: Floats, most: int) -> Ints:
    """The samples of a cluster with the lowest probability of it, or of unknown probability the farthest ones.

    Args:
        members: As for `nearest`.
        distances: As for `nearest`.
        probabilities: As for `nearest`.
        most: How many, at most.
    """
    return members[np.lexsort((members, -distances[members], probabilities[members]))][:most]


def confusion(clusters: Ints, labels: Ints) -> Confusion | None:
    """Clusters against classes, matched one to one so that most samples lie in the cluster of their class.

    The matching is the Hungarian method's (Kuhn 1955), as for `acc`. With more clusters than classes some have no
    class, with fewer some classes have no cluster.

    Args:
        clusters: The cluster of each sample, (n,), from 0.
        labels: The class of each, (n,), from 0, `UNLABELLED` for none.

    Returns:
        None if no sample has a label.
    """
    from scipy.optimize import linear_sum_assignment

    known = labels != UNLABELLED
    if not known.any():
        return None
    table = contingency(clusters[known], labels[known]).T.astype(np.int64)
    classes, groups = np.flatnonzero(table.sum(axis=1)), np.unique(clusters)
    counts = np.zeros((len(classes), int(groups.max()) + 1), np.int64)
    counts[:, : table.shape[1]] = table[classes]
    counts = counts[:, groups]
    own, theirs = linear_sum_assignment(counts, maximize=True)
    down, across = _first(own, len(classes)), _first(theirs, len(groups))
    return Confusion(counts[np.ix_(down, across)], classes[down], groups[across], len(own), int((~known).sum()))


def _first(chosen: Ints, n: int) -> Ints:
    """The chosen ones of n places in their order, then the others."""
    return np.concatenate([chosen, np.setdiff1d(np.arange(n), chosen)])


def differing(
    samples: Samples, clusters: Ints, most: int, *, only_more: bool = False
) -> dict[int, list[FeatureDifference]]:
    """For each cluster the features that differ most between it and all other samples.

    The measure is the standardised mean difference, (mean inside - mean outside) / sqrt((var inside + var outside) / 2)
    (Austin, "An Introduction to Propensity Score Methods", Multivariate Behavioral Research 2011, with variances of the
    whole groups). Where both variances are 0, the deviation of all samples is the unit. It does not change when a
    feature is scaled.

    Args:
        samples: (n, features).
        clusters: The cluster of each, (n,).
        most: How many features of each cluster, at most; those without a difference are left out.
        only_more: Whether only features count that a cluster has more of, as of words: most are absent from it.

    Returns:
        The features by cluster, the largest difference first; empty for a single cluster, which has no others.
    """
    groups, places = np.unique(clusters, return_inverse=True)
    # Large offsets would cost digits of the squares; a difference stays the same when a sample is subtracted from all.
    start = np.asarray(samples[:1], np.float64)[0]
    sizes, sums, squares = _moments(samples, start, places, len(groups))
    found: dict[int, list[FeatureDifference]] = {}
    n = len(clusters)
    overall = np.sqrt(_variances(squares.sum(axis=0), sums.sum(axis=0), n))
    for place, group in enumerate(groups if len(groups) > 1 else ()):
        rest = n - sizes[place]
        inside, outside = sums[place] / sizes[place], (sums.sum(axis=0) - sums[place]) / rest
        spread = _variances(squares[place], sums[place], sizes[place])
        spread += _variances(squares.sum(axis=0) - squares[place], sums.sum(axis=0) - sums[place], rest)
        unit = np.sqrt(spread / 2)
        unit = np.where(unit > 1e-6 * overall, unit, overall)
        effects = np.divide(inside - outside, unit, out=np.zeros_like(inside), where=unit > 0)
        effects = np.maximum(effects, 0) if only_more else effects
        order = np.argsort(-np.abs(effects), kind="stable")[:most]
        found[int(group)] = [
            FeatureDifference(int(i), float(effects[i]), float(start[i] + inside[i]), float(start[i] + outside[i]))
            for i in order
            if effects[i]
        ]
    return found


def _moments(samples: Samples, start: Floats, places: Ints, n_groups: int) -> tuple[Ints, Floats, Floats]:
    """For each group its size, and the sums and the sums of squares of its samples less `start`, read in chunks."""
    width = samples.shape[1]
    sums, squares = np.zeros((n_groups, width)), np.zeros((n_groups, width))
    for rows in _chunks(len(places), width):
        block = np.asarray(samples[rows], np.float64) - start
        for group in np.unique(places[rows]):
            own = block[places[rows] == group]
            sums[group] += own.sum(axis=0)
            squares[group] += np.square(own).sum(axis=0)
    return np.bincount(places, minlength=n_groups), sums, squares


def _variances(squares: Floats, sums: Floats, n: int) -> Floats:
    return np.maximum(squares / n - np.square(sums / n), 0)


def _chunks(n: int, width: int) -> Iterator[slice]:
    step = max(_AT_ONCE // width, 1)
    return (slice(start, start + step) for start in range(0, n, step))


def drawn(clusters: Ints, most: int, seed: int = 0) -> Ints:
    """The rows of at most so many samples, drawn at random without regard to their clusters, in ascending order."""
    n = len(clusters)
    return np.arange(n) if n <= most else np.sort(np.random.default_rng(seed).choice(n, most, replace=False))


def has_umap() -> bool:
    """Whether umap-learn is installed."""
    return find_spec("umap") is not None


def project(vectors: NDArray[Any], rows: Ints, *, by_umap: bool) -> Map:
    """A map of samples; the same samples give the same map.

    Args:
        vectors: Their numbers, (m, …).
        rows: Which samples they are, (m,).
        by_umap: By UMAP (McInnes et al., arXiv 1802.03426; 15 neighbours, or fewer of fewer samples); else by PCA.
    """
    from sklearn.decomposition import PCA

    flat = np.ascontiguousarray(np.asarray(vectors).reshape(len(rows), -1), np.float32)
    by_umap = by_umap and len(rows) > 3
    wanted = min(_DIMENSIONS if by_umap else 2, *flat.shape)
    projection = PCA(wanted, svd_solver="auto", random_state=0)
    varies = bool(np.ptp(flat, axis=0).any())
    reduced = projection.fit_transform(flat) if varies else np.zeros((len(rows), wanted))
    if by_umap:
        return Map(rows, _umap(reduced if flat.shape[1] > _DIMENSIONS else flat), "UMAP", None)
    places = np.zeros((len(rows), 2))
    places[:, : reduced.shape[1]] = reduced
    return Map(rows, places, "PCA", float(projection.explained_variance_ratio_[:2].sum()) if varies else 1.0)


def _umap(vectors: NDArray[Any]) -> Floats:
    with warnings.catch_warnings():
        # It warns that TensorFlow is missing, that one seed means one core, and of samples without neighbours.
        warnings.simplefilter("ignore")
        from umap import UMAP

        model = UMAP(n_neighbors=min(15, len(vectors) - 1), random_state=0, n_jobs=1)
        return np.asarray(model.fit_transform(vectors), np.float64)


def members_of(clusters: Ints, wanted: Sequence[int]) -> dict[int, Ints]:
    """The rows of the samples of each wanted cluster."""
    return {cluster: np.flatnonzero(clusters == cluster) for cluster in wanted}
