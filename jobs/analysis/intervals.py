"""What a few seeds allow to be said about a mean, and about which of two means is larger."""

import math
from collections.abc import Mapping, Sequence

from scipy.special import stdtr, stdtrit

CONFIDENCE = 0.95
ALPHA = 0.05


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean of one or more values."""
    return math.fsum(values) / len(values)


def variance(values: Sequence[float]) -> float:
    """The sample variance of two or more values (the statistics module's is exact and 20 times slower)."""
    centre = mean(values)
    return math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1)


def half_width(values: Sequence[float]) -> float | None:
    """Half the 95 % t-interval of the mean, in the unit of the values; None for fewer than two."""
    n = len(values)
    if n < 2:
        return None
    quantile = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2))
    return quantile * math.sqrt(variance(values) / n)


def better_p(best: Mapping[int, float], other: Mapping[int, float], *, maximise: bool) -> float | None:
    """The one-sided p-value of "best and other are equal" against "best is better".

    Over two or more shared seeds the test is Student's, of the differences seed by seed; otherwise Welch's.

    Args:
        best: Seed to value.
        other: Seed to value.
        maximise: Whether larger is better.

    Returns:
        The p-value, or None where one side has too few values to know its spread.
    """
    sign = 1.0 if maximise else -1.0
    shared = sorted(best.keys() & other.keys())
    if len(shared) >= 2:
        return _paired([sign * (best[seed] - other[seed]) for seed in shared])
    if min(len(best), len(other)) < 2:
        return None
    return _welch([sign * value for value in best.values()], [sign * value for value in other.values()])


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


def _paired(differences: list[float]) -> float:
    n = len(differences)
    return _upper_tail(mean(differences), variance(differences) / n, n - 1)


def _welch(best: list[float], other: list[float]) -> float:
    parts = [variance(values) / len(values) for values in (best, other)]
    squared_error = sum(parts)
    if squared_error == 0:
        return _upper_tail(mean(best) - mean(other), 0, 1)
    weights = [part**2 / (len(values) - 1) for part, values in zip(parts, (best, other), strict=True)]
    return _upper_tail(mean(best) - mean(other), squared_error, squared_error**2 / sum(weights))


def _upper_tail(difference: float, squared_error: float, freedom: float) -> float:
    if squared_error == 0:
        # Without any spread the difference is either nothing or certain.
        return 0.0 if difference > 0 else 1.0
    return float(stdtr(freedom, -difference / math.sqrt(squared_error)))
