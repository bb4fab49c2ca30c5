"""Whether a score rises, falls or stays, how much it jumps, and how often it rose and fell, from its course.

References: Mann, "Nonparametric Tests Against Trend" (Econometrica 13, 1945); Kendall, "Rank Correlation Methods"
(1948), for the variance with ties; Sen, "Estimates of the Regression Coefficient Based on Kendall's Tau" (JASA 63,
1968).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

WINDOW = 10
"""The last scored epochs of which trend and stability are."""
FEWEST = 5
"""With fewer values the test cannot reach `SIGNIFICANT`, so the trend is unknown."""
SIGNIFICANT = 0.05
"""The p-value from which on a trend counts as none."""
EPSILON = 0.005
"""A score that changes by no more has neither improved nor degraded."""

Course = NDArray[np.float64]


@dataclass(frozen=True)
class Trend:
    """The trend of a score of which larger is better.

    Attributes:
        name: what the score does; `unknown` for fewer than `FEWEST` values.
        slope: Theil-Sen: the median slope of all pairs, in units of the score per value; 0 for fewer than two values.
        p: the two-sided p-value of the Mann-Kendall test. Neighbouring epochs depend on each other, so it is smaller
            than the true one.
        n: the number of values.
    """

    name: Literal["improving", "plateau", "declining", "unknown"]
    slope: float
    p: float
    n: int


def trend(values: Sequence[float]) -> Trend:
    """The trend of the last `WINDOW` finite values of a score; a plateau if p >= .05."""
    last = _finite(values)[-WINDOW:]
    n = len(last)
    if n < 2:
        return Trend("unknown", 0.0, 1.0, n)
    earlier, later = np.triu_indices(n, 1)
    rises = last[later] - last[earlier]
    slope = float(np.median(rises / (later - earlier)))
    p = _p_value(int(np.sign(rises).sum()), last)
    if n < FEWEST:
        return Trend("unknown", slope, p, n)
    if p >= SIGNIFICANT or slope == 0:
        return Trend("plateau", slope, p, n)
    return Trend("improving" if slope > 0 else "declining", slope, p, n)


def stability(values: Sequence[float]) -> float | None:
    """How steady the last `WINDOW` finite values of a score are, in 0..1; None for fewer than three.

    It is 1 - mean |d - median(d)| over the changes d from value to value, and 0 at least. A constant course has 1, and
    so has one that rises by the same step each time. It is in units of the score, not relative to the score's spread:
    .95 says that the score jumps by .05 on average. A relative measure would call a course that is constant but for
    rounding unstable.
    """
    steps = np.diff(_finite(values)[-WINDOW:])
    if len(steps) < 2:
        return None  # A single change is equal to the median of all changes.
    return max(0.0, 1.0 - float(np.abs(steps - np.median(steps)).mean()))


def changes(values: Sequence[float]) -> tuple[int, int]:
    """How often the finite values of a score rose, and how often they fell, by more than `EPSILON`."""
    steps = np.diff(_finite(values))
    return int((steps > EPSILON).sum()), int((steps < -EPSILON).sum())


def _finite(values: Sequence[float]) -> Course:
    found = np.asarray(values, np.float64)
    return found[np.isfinite(found)]


def _p_value(s: int, values: Course) -> float:
    """The two-sided p-value of Mann-Kendall's S: exact without ties, else the normal one with ties corrected."""
    n, ties = len(values), np.unique(values, return_counts=True)[1].astype(np.float64)
    if ties.max() == 1:
        return _exact(s, n)
    variance = (n * (n - 1) * (2 * n + 5) - float((ties * (ties - 1) * (2 * ties + 5)).sum())) / 18
    if variance <= 0:
        return 1.0  # All values are equal.
    z = max(0, abs(s) - 1) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2))


def _exact(s: int, n: int) -> float:
    """P(|S| >= |s|) over all n! orders; S is n(n-1)/2 minus twice the number of inversions."""
    counts = np.ones(1)
    for k in range(2, n + 1):
        counts = np.convolve(counts, np.ones(k))
    found = n * (n - 1) // 2 - 2 * np.arange(len(counts))
    return float(counts[np.abs(found) >= abs(s)].sum() / counts.sum())
