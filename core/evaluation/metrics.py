"""Scores of a clustering against classes, all from one contingency table.

Definitions follow the deep-clustering field: ACC is the Hungarian one-to-one matching (OA is its name in remote
sensing, and the same number), "F" is Fowlkes-Mallows, NMI has the arithmetic mean of both entropies in its
denominator (scikit-learn's default since 0.22).
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
Table = NDArray[np.float64]
_COUNTS = 2**20  # The most counts of pairs of labellings at once.


def contingency(predicted: Labels, true: Labels) -> Table:
    """Counts n_ij of cluster i and class j, shape (clusters, classes); ids start at 0 and may have gaps.

    Raises:
        ValueError: the arrays differ in length, or are empty.
    """
    if len(predicted) != len(true) or len(true) == 0:
        raise ValueError(f"labels of equal, non-zero length are needed, got {len(predicted)} and {len(true)}")
    classes = int(true.max()) + 1
    flat = np.bincount(predicted * classes + true, minlength=(int(predicted.max()) + 1) * classes)
    return flat.reshape(-1, classes).astype(np.float64)


def scores(predicted: Labels, true: Labels) -> dict[str, float]:
    """All scores by name except `ami`; see the functions below."""
    table = contingency(predicted, true)
    matched = match(table)
    return {
        "acc": (accuracy := float(np.trace(matched) / table.sum())),
        "oa": accuracy,
        "nmi": nmi(table),
        "ari": ari(table),
        "fmi": fmi(table),
        "pair_f1": pair_f1(table),
        "macro_f1": macro_f1(matched),
        "balanced_acc": balanced_accuracy(matched),
        "kappa": kappa(matched),
        "purity": float(table.max(axis=1).sum() / table.sum()),
    }


def match(table: Table) -> Table:
    """The table made square, with its rows reordered so that the diagonal holds the best one-to-one matching.

    Rows and columns without a partner are matched with zeros, so surplus clusters count as errors. If several
    matchings are best, the scores of single classes (`macro_f1`, `balanced_acc`, `kappa`) use the first one found.
    """
    # Imported here, so that jobs.analysis, which needs no matching, starts without scipy.
    from scipy.optimize import linear_sum_assignment

    size = max(table.shape)
    square = np.zeros((size, size))
    square[: table.shape[0], : table.shape[1]] = table
    rows, columns = linear_sum_assignment(square, maximize=True)
    return square[rows[np.argsort(columns)]]


def _entropy(counts: NDArray[np.float64]) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def mutual_information(table: Table) -> float:
    """I(cluster; class) in nats, never below 0."""
    n = table.sum()
    rows, columns = np.nonzero(table)
    joint = table[rows, columns]
    expected = table.sum(axis=1)[rows] * table.sum(axis=0)[columns]
    return max(0.0, float((joint / n * (np.log(joint * n) - np.log(expected))).sum()))


def nmi(table: Table) -> float:
    """Mutual information divided by the arithmetic mean of both entropies; 1 if both have only one group."""
    entropies = _entropy(table.sum(axis=1)) + _entropy(table.sum(axis=0))
    return 1.0 if entropies == 0 else mutual_information(table) / (entropies / 2)


def ami(predicted: Labels, true: Labels) -> float:
    """Mutual information adjusted for chance (scikit-learn's; arithmetic mean)."""
    from sklearn.metrics import adjusted_mutual_info_score

    with warnings.catch_warnings():
        # scikit-learn warns of many classes with few samples; here these are ordinary clusters.
        warnings.simplefilter("ignore", UserWarning)
        return float(adjusted_mutual_info_score(true, predicted))


def _pairs(table: Table) -> tuple[float, float, float, float]:
    """The numbers of pairs that are together in both groupings, in the clustering and in the classes; and all pairs."""
    both, clusters, classes = (
        float((counts * (counts - 1)).sum() / 2) for counts in (table, table.sum(axis=1), table.sum(axis=0))
    )
    n = float(table.sum())
    return both, clusters, classes, n * (n - 1) / 2


def ari(table: Table, *, trivial: float = 1.0) -> float:
    """Adjusted Rand index (Hubert and Arabie); `trivial` if both groupings are trivial and equal."""
    both, clusters, classes, total = _pairs(table)
    expected = clusters * classes / total if total else 0.0
    highest = (clusters + classes) / 2
    return trivial if highest == expected else (both - expected) / (highest - expected)


def agreements(labellings: NDArray[Any]) -> NDArray[np.float64]:
    """The adjusted Rand index (Hubert and Arabie) of each pair of labellings (…, n, m), as matrices (…, n, n).

    It is NaN in the diagonal, and 0 if both have a single cluster. The usual value for two single clusters is 1. Here
    it is 0, because a model that puts everything into one cluster must not count as stable.
    """
    *places, count, length = labellings.shape
    found, flat = np.full((*places, count, count), np.nan), labellings.reshape(-1, length)
    size, ends = 1 + int(labellings.max()), np.triu_indices(count, 1)
    first, second = ((np.arange(0, len(flat), count)[:, None] + one).ravel() for one in ends)
    step = max(1, _COUNTS // max(size**2, length))
    blocks = [slice(start, start + step) for start in range(0, len(first), step)]
    pairs = [_of_pairs(flat[first[block]], flat[second[block]], size) for block in blocks]
    found[..., *ends] = found[..., *ends[::-1]] = np.concatenate([np.empty(0), *pairs]).reshape(*places, -1)
    return found


def _of_pairs(first: NDArray[Any], second: NDArray[Any], size: int) -> NDArray[np.float64]:
    """The agreement of each labelling (k, m) with the one in its place, of clusters below `size`."""
    codes = (np.arange(len(first))[:, None] * size + first) * size + second
    tables = np.bincount(codes.ravel(), minlength=len(first) * size**2).reshape(len(first), size, size)
    both, clusters, classes = (
        (counts * (counts - 1)).reshape(len(first), -1).sum(axis=1) / 2
        for counts in (tables, tables.sum(axis=2), tables.sum(axis=1))
    )
    expected = clusters * classes / max(1, first.shape[1] * (first.shape[1] - 1) / 2)
    highest = (clusters + classes) / 2
    is_trivial = highest == expected
    return np.where(is_trivial, 0.0, (both - expected) / np.where(is_trivial, 1.0, highest - expected))


def fmi(table: Table) -> float:
    """Fowlkes-Mallows index, the "F" of the contrastive-clustering field; 0 if no pair is together in both."""
    both, clusters, classes, _ = _pairs(table)
    return both / math.sqrt(clusters * classes) if both else 0.0


def pair_f1(table: Table) -> float:
    """F1 over pairs of samples; 0 if no pair is together in both."""
    both, clusters, classes, _ = _pairs(table)
    return 2 * both / (clusters + classes) if both else 0.0


def _recalls(matched: Table) -> NDArray[np.float64]:
    present = matched.sum(axis=0) > 0
    return np.diag(matched)[present] / matched.sum(axis=0)[present]


def balanced_accuracy(matched: Table) -> float:
    """Mean recall of the classes after matching (remote sensing: AA)."""
    return float(_recalls(matched).mean())


def macro_f1(matched: Table) -> float:
    """Mean F1 of the classes after matching, over classes or clusters that have samples."""
    totals = matched.sum(axis=0) + matched.sum(axis=1)
    return float((2 * np.diag(matched)[totals > 0] / totals[totals > 0]).mean())


def kappa(matched: Table) -> float:
    """Cohen's kappa after matching; NaN, as in scikit-learn, if there is only one group and it is matched.

    Kappa is (observed - expected) / (1 - expected); it is 0 / 0 if chance is always right. A 1 there would rank above
    every other trial; NaN is stored as it is, and rankings ignore it.
    """
    n = matched.sum()
    observed = float(np.trace(matched)) / n
    expected = float(matched.sum(axis=0) @ matched.sum(axis=1)) / n**2
    return math.nan if expected == 1 else (observed - expected) / (1 - expected)


def cluster_sizes(predicted: Labels, n_clusters: int) -> Labels:
    """Samples per cluster, shape (n_clusters,)."""
    return np.bincount(predicted, minlength=n_clusters)
