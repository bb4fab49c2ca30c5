"""The exact test of whether a share differs between groups: Fisher's, as Freeman and Halton gave it for any number.

Given are how many trials each group has, and how many of all trials have a code. If the groups do not matter, each
choice of as many trials is as likely as any other. The p-value is the probability of all tables that are at most as
likely as the one that was seen.

Reference: G. H. Freeman and J. H. Halton, Note on an exact treatment of contingency, goodness of fit and other problems
of significance, Biometrika 38 (1951).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

MOST_TABLES = 100_000
"""As many tables are counted one by one; beyond, `DRAWS` of them are drawn at random."""
DRAWS = 20_000
_EQUAL = 1e-7
"""Logarithms of probabilities that differ by less are equal: they are sums of rounded numbers."""

Vector = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Exact:
    """The result of the test.

    Attributes:
        p: The probability, if the groups do not matter, of a table at most as likely as the one that was seen.
        least: The smallest p-value that any table of these margins can have.
        is_drawn: Whether both come from tables drawn at random: then p is at least 1 / (`DRAWS` + 1).
    """

    p: float
    least: float
    is_drawn: bool


def freeman_halton(having: Sequence[int], sizes: Sequence[int]) -> Exact:
    """The exact test of one share in several groups.

    Args:
        having: For each group, how many of its trials have the code.
        sizes: For each group, how many trials it has; at least 1.

    Raises:
        ValueError: There is no group, or one has a count below 0 or above its size.
    """
    seen, groups = np.asarray(having, np.int64), np.asarray(sizes, np.int64)
    if not len(groups) or len(seen) != len(groups) or (seen < 0).any() or (seen > groups).any() or (groups < 1).any():
        raise ValueError(f"{having} of {sizes} are no counts of groups")
    if 2 * seen.sum() > groups.sum():
        seen = groups - seen  # The trials without the code: their tables are as likely, and have fewer counts.
    total = int(seen.sum())
    own = float(sum(_log_binomial(int(size))[count] for size, count in zip(groups, seen, strict=True)))
    if _number_of_tables(groups, total) <= MOST_TABLES:
        logs = _all_tables(groups, total)
        weights = np.exp(logs - logs.max())
        return Exact(_tail(logs, weights, own), _tail(logs, weights, float(logs.min())), is_drawn=False)
    # The same input gives the same p-value.
    drawn = np.random.default_rng(0).multivariate_hypergeometric(groups, total, DRAWS, method="marginals")
    logs = np.sum([_log_binomial(int(size))[column] for size, column in zip(groups, drawn.T, strict=True)], axis=0)
    extreme = int((logs <= own + _EQUAL).sum())
    return Exact((extreme + 1) / (DRAWS + 1), 1 / (DRAWS + 1), is_drawn=True)


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Holm's p-values: each at most `alpha` where his procedure rejects at the family-wise level `alpha`.

    Reference: S. Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6 (1979).
    """
    found, largest = [1.0] * len(p_values), 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, p_values[index] * (len(p_values) - place)))
        found[index] = largest
    return found


def _log_binomial(size: int) -> Vector:
    """The logarithms of the binomial coefficients of `size` over 0 … `size`, shape (size + 1,)."""
    counts = np.arange(size + 1)
    return np.asarray(gammaln(size + 1) - gammaln(counts + 1) - gammaln(size - counts + 1), np.float64)


def _number_of_tables(groups: Counts, total: int) -> int:
    """How many tables have these margins, or one more than `MOST_TABLES` if there are more."""
    ways = np.ones(1, np.int64)
    for size in groups:
        # All counts from 0 to the group's size: sums over a window of that length.
        sums = np.concatenate([[0], np.cumsum(np.pad(ways, (0, min(int(size), total))))])
        ends = np.arange(1, min(len(sums) - 1, total + 1) + 1)
        ways = np.minimum(sums[ends] - sums[np.maximum(ends - int(size) - 1, 0)], MOST_TABLES + 1)
    return int(ways[total])


def _all_tables(groups: Counts, total: int) -> Vector:
    """The logarithm of the weight of each table with these margins, but for a constant."""
    *small, last = np.sort(groups).tolist()
    sums, logs = np.zeros(1, np.int64), np.zeros(1)
    left = int(groups.sum())
    for size in small:
        left -= size
        ways = _log_binomial(size)[: total + 1]
        sums = np.add.outer(sums, np.arange(len(ways))).ravel()
        logs = np.add.outer(logs, ways).ravel()
        # What the groups to come can still fill.
        possible = (sums <= total) & (sums + left >= total)
        sums, logs = sums[possible], logs[possible]
    return np.asarray(logs + _log_binomial(last)[total - sums], np.float64)


def _tail(logs: Vector, weights: Vector, bound: float) -> float:
    return min(1.0, float(weights[logs <= bound + _EQUAL].sum() / weights.sum()))
