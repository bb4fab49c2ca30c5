"""The number of clusters of samples without labels, with an interval.

Partitions of a graph of nearest neighbours from coarse to fine are judged by four criteria that look at different
things. The estimate is the median of three of them, or the silhouette's where groups are clearly apart. What was chosen
here (three of the criteria, and the two numbers that no source gives, `_EVIDENCE` and `NEIGHBOURS`) was chosen with the
classes of sixteen data sets in sight; docs/scores.md has what it finds on them.

References: communities: Traag, Waltman and van Eck, "From Louvain to Leiden" (Scientific Reports 2019); modularity:
Newman and Girvan (Physical Review E 2004); the likelihood of a partition behind it: Newman, "Equivalence between
modularity optimization and maximum likelihood methods for community detection" (Physical Review E 2016); halves that
predict each other: Tibshirani and Walther, "Cluster validation by prediction strength" (J. Comput. Graph. Stat. 2005)
and Lange, Roth, Braun and Buhmann, "Stability-based validation of clustering solutions" (Neural Computation 2004);
silhouette: Rousseeuw (J. Comput. Appl. Math. 1987), and Kaufman and Rousseeuw, "Finding Groups in Data" (1990).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.data.modalities import filled
from core.data.stored import Stored
from core.evaluation.graph import at_resolution, edges
from core.evaluation.label_free import one_thread, silhouette
from core.evaluation.metrics import contingency, mutual_information

Labels = NDArray[np.int64]
Matrix = NDArray[np.float32]

SAMPLE = 3000
"""At most so many samples are looked at, always the same ones."""
NEIGHBOURS = 15
# Neighbours in the other half that decide what a half predicts for a sample.
_VOTES = 5
_SPLITS = 3
# From a few communities to more than anyone wants, through 1. The parts that the graph has by itself are a lower bound
# whatever the resolution.
_RESOLUTIONS = 1.35 ** np.arange(-10, 13)
# Of the graph of all samples, the best of so many runs counts: one run more or less splits a community by luck.
_TRIALS = 3
# The partitions end where a community has fewer samples than this on average.
_LEAST_SIZE = 10
# The edges of one sample are not independent: neighbours of a sample are neighbours of each other. They count as so
# many that are.
_EVIDENCE = 3.0
# Below it, a silhouette shows no substantial structure (Kaufman and Rousseeuw 1990, p. 88).
_CLEAR = 0.25
# With fewer samples nothing is looked at.
_FEWEST = 4
# Numbers of each sample at once: 3,000 samples take 48 MiB.
_BLOCK = 4096


@dataclass(frozen=True)
class ClusterCount:
    """An estimated number of clusters.

    Attributes:
        count: the estimate; at least 2, unless there are fewer samples.
        low: the smallest number that a criterion, or a resample of it, finds.
        high: the largest one.
        criteria: what each criterion finds, by its name: `modularity`, `evidence`, `stability` and `silhouette`.
        reason: what decided, in a few words: how the criteria were put together.
    """

    count: int
    low: int
    high: int
    criteria: Mapping[str, int]
    reason: str

    def described(self) -> str:
        """For a person: `15 (between 12 and 20), the median of modularity 12, evidence 15 and stability 20`."""
        span = f" (between {self.low} and {self.high})" if self.low < self.high else ""
        return f"{self.count}{span}, {self.reason}"


def estimate_n_clusters(samples: Matrix | Stored) -> ClusterCount:
    """The number of clusters of samples, from at most 3,000 of them; no labels are used.

    Leiden finds communities of the graph of 15 nearest neighbours by cosine, at resolutions from coarse to fine. Of
    these partitions each criterion prefers one:

    - `modularity`: the one at resolution 1, which is Leiden's for the highest modularity. It favours few large
      communities where there are many small ones.
    - `evidence`: three times the nats that a partition tells of an edge, less the nats that its labels cost. The first
      is the likelihood behind modularity, in which the sizes of small communities count fully.
    - `stability`: communities of one random half predict those of the other: the information that the two partitions
      share beyond chance, times its share of their entropy. It favours many clusters where structure is continuous.
    - `silhouette`: the highest silhouette by cosine. If that is at least .25, groups are clearly apart, and it decides.
      Else it is not used, since it says little in many dimensions.

    The estimate is otherwise the median of the first three. It counts the groups of the input at one scale: classes
    that a person has in mind may join several of them or split one. It never finds a single cluster. It depends on the
    data only, not on a trial's seed.

    Args:
        samples: (n, …), any shape; rows are flattened and set to length 1, and what is missing counts as 0.
    """
    rows = np.random.default_rng(0).permutation(len(samples))[:SAMPLE]
    if (n := len(rows)) < _FEWEST:
        return ClusterCount(min(n, 2), min(n, 2), n, {}, f"since there are only {n} samples")
    cosines = _cosines(samples, rows)
    graph = _graph(cosines)
    ladder = list(_ladder(graph))
    counts = np.array([_count(one.labels) for one in ladder])
    distances = np.sqrt(np.maximum(2 - 2 * cosines, 0))
    widths = np.array([silhouette(distances, one.labels) or -1.0 for one in ladder])
    splits = [_Split.of(cosines, seed) for seed in range(_SPLITS)]
    reproduced = np.array([[split.reproduced(one.resolution) for one in ladder] for split in splits])

    def best(values: NDArray[np.float64]) -> int:
        return int(counts[values.argmax()])

    criteria = {
        "modularity": best(-np.abs(np.log([one.resolution for one in ladder]))),
        "evidence": best(np.array([_evidence(*_edge_shares(graph, one.labels), one.labels) for one in ladder])),
        "stability": best(reproduced.mean(axis=0)),
        "silhouette": best(widths),
    }
    used = [criteria[name] for name in ("modularity", "evidence", "stability")]
    found = [*used, *map(best, reproduced)]
    if widths.max() >= _CLEAR:
        count, reason = criteria["silhouette"], f"as groups are clearly apart (silhouette {widths.max():.2f})"
    else:
        said = "modularity {modularity}, evidence {evidence} and stability {stability}".format(**criteria)
        count, reason = int(np.median(used)), f"the median of {said}"
    return ClusterCount(count, min(count, *found), max(count, *found), criteria, reason)


def _cosines(samples: Matrix | Stored, rows: Labels) -> Matrix:
    """The cosines of some samples, (m, m); those of a row of zeros are 0."""
    if isinstance(samples, Stored):
        points = samples.take(rows)
        width = math.prod(points.shape[1:])
        blocks = (points.columns(slice(start, start + _BLOCK)) for start in range(0, width, _BLOCK))
    else:
        blocks = iter([filled(samples[rows].reshape(len(rows), -1))])
    gram = np.zeros((len(rows), len(rows)), np.float32)
    with one_thread():
        for block in blocks:
            gram += block @ block.T
    lengths = np.sqrt(np.maximum(gram.diagonal(), np.finfo(np.float32).tiny), dtype=np.float32)
    gram /= lengths[:, None]
    gram /= lengths
    return gram


def _nearest(cosines: Matrix, count: int) -> Labels:
    """The places of the `count` columns of largest cosine in each row, (rows, count)."""
    return np.argpartition(-cosines, count - 1, axis=1)[:, :count]


def _graph(cosines: Matrix) -> Any:
    """The graph of nearest neighbours of samples by their cosines (m, m), as sorted sparse rows."""
    others = cosines.copy()
    np.fill_diagonal(others, -np.inf)
    graph = edges(_nearest(others, min(NEIGHBOURS, max(2, len(others) // _FEWEST))).astype(np.int32))
    graph.sort_indices()
    return graph


@dataclass(frozen=True, eq=False)
class _Partition:
    """The communities (n,) of a graph at a resolution."""

    resolution: float
    labels: Labels


def _ladder(graph: Any) -> Iterator[_Partition]:
    """Partitions from coarse to fine, into two or more communities, and at most a tenth as many as there are samples.

    The first one is there in any case: a graph may have more parts than that.
    """
    began = False
    for resolution in _RESOLUTIONS:
        labels = at_resolution(graph, resolution, seed=0, trials=_TRIALS)
        count = _count(labels)
        if began and count > max(2, len(labels) // _LEAST_SIZE):
            return
        if count > 1:
            began = True
            yield _Partition(resolution, labels)


def _count(labels: Labels) -> int:
    return int(labels.max()) + 1


def _edge_shares(graph: Any, labels: Labels) -> tuple[float, float]:
    """The share of the edges' weight inside communities, and the share that degrees alone would put there."""
    rows = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
    total = graph.data.sum()
    inside = graph.data[labels[rows] == labels[graph.indices]].sum() / total
    degrees = np.bincount(labels[rows], graph.data) / total
    return float(inside), float(np.square(degrees).sum())


def _evidence(inside: float, expected: float, labels: Labels) -> float:
    """What a partition tells of `_EVIDENCE` edges a sample less what its labels cost, in nats.

    An edge is told of by the relative entropy of being inside a community to what degrees alone would give.
    """
    told = sum(
        share * math.log(share / chance) for share, chance in ((inside, expected), (1 - inside, 1 - expected)) if share
    )
    return _EVIDENCE * told - _entropy(np.bincount(labels))


def _entropy(sizes: NDArray[np.int64]) -> float:
    shares = sizes[sizes > 0] / sizes.sum()
    return float(-(shares * np.log(shares)).sum())


@dataclass(frozen=True, eq=False)
class _Split:
    """Two random halves of the samples.

    Attributes:
        graphs: of the samples of each half.
        voters: for each half, the places in it of the nearest to each sample of the other half, (m, 5).
    """

    graphs: tuple[Any, Any]
    voters: tuple[Labels, Labels]

    @classmethod
    def of(cls, cosines: Matrix, seed: int) -> _Split:
        """Halves of equal size; with an odd number of samples, one is in neither."""
        order = np.random.default_rng(seed).permutation(len(cosines))
        half = len(order) // 2
        first, second = order[:half], order[half : 2 * half]
        across = cosines[np.ix_(first, second)]
        votes = min(_VOTES, half)
        return cls(
            (_graph(cosines[np.ix_(first, first)]), _graph(cosines[np.ix_(second, second)])),
            (_nearest(across.T, votes), _nearest(across, votes)),
        )

    def reproduced(self, resolution: float) -> float:
        """The information that communities of one half share with those of the other, times its share of the entropy.

        Both are above chance (as in the adjusted mutual information), and the mean over the two directions.
        """
        one, other = (at_resolution(graph, resolution, seed=0) for graph in self.graphs)
        pairs = ((other, _majority(one[self.voters[0]])), (one, _majority(other[self.voters[1]])))
        return sum(_shared(own, predicted) for own, predicted in pairs) / 2


def _majority(votes: Labels) -> Labels:
    """The most frequent label of each row of votes (m, voters), the smallest of several, (m,)."""
    rows = np.arange(len(votes))[:, None]
    table = np.zeros((len(votes), int(votes.max()) + 1), np.int16)
    np.add.at(table, (rows, votes), 1)
    return table.argmax(axis=1)


def _shared(own: Labels, predicted: Labels) -> float:
    """Mutual information above chance, times its share of the mean entropy above chance; 0 for one community."""
    from sklearn.metrics.cluster import expected_mutual_information

    table = contingency(own, predicted)
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    chance = float(expected_mutual_information(table.astype(np.int64), len(own)))
    above = mutual_information(table) - chance
    most = (_entropy(np.bincount(own)) + _entropy(np.bincount(predicted))) / 2 - chance
    return above * max(above, 0.0) / most if most > 0 else 0.0
