"""Intervals and tests for means over a few seeds, and the correction for several tests."""

import math
from collections.abc import Iterable, Sequence
from functools import cache

from jobs.analysis import student

CONFIDENCE = 0.95
ALPHA = 0.05
_MOST_DIGITS = 4
"""Values with more decimals do not count as rounded."""
_EQUAL = 1e-9


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean of one or more values."""
    return math.fsum(values) / len(values)


def variance(values: Sequence[float]) -> float:
    """The sample variance of two or more values; `statistics.variance` is exact, but 20 times slower."""
    centre = mean(values)
    return math.fsum([(value - centre) ** 2 for value in values]) / (len(values) - 1)


@cache
def quantile(freedom: float) -> float:
    """Student's quantile for a two-sided interval, cached: many configurations have the same number of seeds."""
    return student.quantile((1 + CONFIDENCE) / 2, freedom)


def half_width(values: Sequence[float]) -> float | None:
    """Half the 95 % t-interval of the mean, in the unit of the values; None for fewer than two."""
    n = len(values)
    if n < 2:
        return None
    return quantile(n - 1) * math.sqrt(variance(values) / n)


def resolution(values: Iterable[float]) -> float:
    """The step between the values that their decimals allow: .01 for .84 and .9; 0 if they are not rounded.

    Whole numbers tell nothing of rounding: among them only, it is 0.
    """
    digits = 0
    for value in values:
        while digits <= _MOST_DIGITS and abs(round(value, digits) - value) > _EQUAL * max(1.0, abs(value)):
            digits += 1
        if digits > _MOST_DIGITS:
            return 0.0
    return 10.0**-digits if digits else 0.0


def rounding(step: float) -> float:
    """The variance that rounding to `step` adds to a value (Sheppard): no variance of rounded values is known below."""
    return step * step / 12


def paired_p(differences: Sequence[float]) -> float:
    """The two-sided p-value of Student's test that two or more paired differences have mean 0."""
    centre, error = mean(differences), math.sqrt(variance(differences) / len(differences))
    if error == 0:
        # With no spread at all, the difference is either zero or certain.
        return float(centre == 0)
    return 2 * student.upper(abs(centre) / error, len(differences) - 1)


def holm(p_values: Sequence[float], alpha: float = ALPHA) -> list[bool]:
    """Which hypotheses Holm's step-down procedure rejects at family-wise level `alpha`.

    Reference: S. Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6 (1979).
    """
    rejected = [False] * len(p_values)
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[index] > alpha / (len(p_values) - place):
            break
        rejected[index] = True
    return rejected


def plus_minus(mean: float, half_width: float | None) -> str:
    """A mean with its interval, to three decimals, or more if the interval is smaller than that."""
    decimals = _decimals(mean, half_width)
    interval = "" if half_width is None else f" ±{half_width:.{decimals}f}"
    return f"{mean:.{decimals}f}{interval}"


def _decimals(mean: float, half_width: float | None) -> int:
    if half_width is None or not 0 < half_width < 0.0005:
        return 3 if abs(mean) < 1000 else 1
    return min(6, 1 - math.floor(math.log10(half_width)))
