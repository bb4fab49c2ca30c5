"""Intervals and tests for means over a few seeds, and the correction for several tests."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from jobs.analysis import student

if TYPE_CHECKING:
    from jobs.analysis.trials import Codes, Vector

CONFIDENCE = 0.95
ALPHA = 0.05
FEWEST = 3
"""The fewest pairs for which a difference is estimated."""
ENOUGH = 4
"""The fewest configurations for which they are a unit of replication."""
_MOST_DIGITS = 4
"""Values with more decimals do not count as rounded."""
_EQUAL = 1e-9
_LONG = 1e9


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean of one or more values."""
    return math.fsum(values) / len(values)


def variance(values: Sequence[float]) -> float:
    """The sample variance of two or more values; `statistics.variance` is exact, but 20 times slower."""
    centre = mean(values)
    return math.fsum([(value - centre) ** 2 for value in values]) / (len(values) - 1)


@cache
def quantile(freedom: float, comparisons: int = 1) -> float:
    """Student's quantile for a two-sided interval, cached: many configurations have the same number of seeds.

    Args:
        freedom: The degrees of freedom.
        comparisons: So many intervals hold together with 95 % (Bonferroni).
    """
    return student.quantile(1 - (1 - CONFIDENCE) / (2 * comparisons), freedom)


def half_width(values: Sequence[float], rounded: float = 0.0, comparisons: int = 1) -> float | None:
    """Half the 95 % t-interval of the mean, in the unit of the values; None for fewer than two.

    Args:
        values: Independent values.
        rounded: The variance that rounding adds to a value: their variance is not taken to be below it.
        comparisons: So many intervals hold together with 95 % (Bonferroni).
    """
    n = len(values)
    if n < 2:
        return None
    return quantile(n - 1, comparisons) * math.sqrt(max(variance(values), rounded) / n)


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


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean difference with its interval.

    Attributes:
        mean: The mean over configurations of each one's mean difference.
        half_width: Half its 95 % interval; None if its spread is unknown.
        p: The two-sided p-value of "there is no difference"; None if its spread is unknown.
        n: Number of pairs.
        configurations: Number of configurations of the other parameters that they belong to.
        unit: What is taken as independent in the widest interval: `configuration`, `seed` or `both`; empty without an
            interval.
        seeds: Number of seeds of the pairs.
        errors: For each unit, the squared error of the mean and its degrees of freedom.
    """

    mean: float
    half_width: float | None
    p: float | None
    n: int
    configurations: int
    unit: str
    seeds: int
    errors: tuple[tuple[str, float, float], ...] = ()

    @property
    def is_shown(self) -> bool:
        """Whether there is a difference, at an error of 5 %: just then the interval leaves out 0."""
        return self.p is not None and self.p <= ALPHA

    def among(self, comparisons: int) -> Estimate:
        """The estimate as one of so many: the 95 % intervals of all of them hold together (Bonferroni).

        Of several comparisons that were made, one is easily large by luck. The p-value is corrected likewise, so an
        interval that leaves out 0 and a difference that is shown are the same.
        """
        if not self.errors:
            return self
        judged = [(*_student(self.mean, square, freedom, comparisons), unit) for unit, square, freedom in self.errors]
        half, _, unit = max(judged)
        return replace(self, half_width=half, p=max(p for _, p, _ in judged), unit=unit)


@dataclass(frozen=True, slots=True)
class Spread:
    """How much the mean difference of one seed varies from seed to seed.

    Attributes:
        variance: Its variance, in the squared unit of the values.
        freedom: The degrees of freedom of that variance.
        noise: The share of the variance of a single pair that is in it: 1/n for n configurations.
    """

    variance: float
    freedom: float
    noise: float


def paired(
    differences: Vector,
    configurations: Codes,
    seeds: Codes | None = None,
    rounded: float | None = None,
    spread: Spread | None = None,
) -> Estimate | None:
    """The mean of matched differences with its 95 % interval; None for fewer than `FEWEST`.

    Each configuration counts once, however many seeds it has. Pairs of one configuration are not independent, and
    neither are pairs of one seed: a seed may favour one side in all configurations. So there is an error by
    configuration (for fewer than `ENOUGH` of them, from the scatter inside each), an error by seed, and, with enough
    configurations, an error in both ways (the sum of the two without what both count, by Cameron, Gelbach and Miller).
    Each has its own degrees of freedom. The widest interval and the largest p-value hold.

    Reference: A. C. Cameron, J. B. Gelbach and D. L. Miller, Robust inference with multiway clustering, J. Bus. Econ.
    Stat. 29 (2011).

    Args:
        differences: One per pair.
        configurations: For each pair, the number of its configuration of the other parameters (any integers).
        seeds: For each pair, its seed (any integers); None if no two pairs share one.
        rounded: The variance that rounding adds to a difference; None if it is to be seen from the differences.
        spread: The spread over seeds of all pairs of values of the parameter: with three or more seeds, it lends its
            degrees of freedom, as two are too few to show anything but large differences.
    """
    import numpy as np

    n = len(differences)
    if n < FEWEST:
        return None
    seeds = np.arange(n) if seeds is None else seeds
    weights, codes, means = _weights(differences, configurations)
    mean, groups, columns = float(means.mean()), len(means), len(np.unique(seeds))
    size = float(weights @ weights)
    if groups >= ENOUGH or groups == n:
        errors = [("configuration", float(means.var(ddof=1)) / groups, float(groups - 1))]
    elif n - groups >= 2:
        within = differences - means[codes]
        errors = [("seed", float(within @ within) / (n - groups) * size, float(n - groups))]
    else:
        return Estimate(mean, None, None, n, groups, "", columns)
    if own := seed_spread(differences, configurations, seeds):
        wider = _larger(own, spread) if spread and columns > 2 else own
        errors.append(("seed", wider.variance * size / own.noise, wider.freedom))
        if errors[0][0] == "configuration":
            (_, one, ones), (_, other, others) = errors
            shared = float(((weights * (differences - mean)) ** 2).sum()) * n / (n - 1)
            freedom = (one + other) ** 2 / (one**2 / ones + other**2 / others) if one + other > 0 else ones
            errors.append(("both", one + other - shared, freedom))
    floor = size * (2 * rounding(resolution(differences.tolist())) if rounded is None else rounded)
    known = tuple((unit, max(square, floor), freedom) for unit, square, freedom in errors)
    return Estimate(mean, None, None, n, groups, "", columns, known).among(1)


def _larger(own: Spread, pooled: Spread) -> Spread:
    """The larger variance of the two.

    A much larger variance of its own shows that the values differ in their noise, and that the pooled freedom is not
    its own: it is weighted by the squared ratio, as Satterthwaite weighs variances. In studies of 3 to 8 values and 3
    or 5 seeds, intervals covered .96 and more, with one value at 3 x the noise too, and .93 with a seed effect of 3 x
    the noise in one value alone.
    """
    if pooled.variance >= own.variance:
        return pooled
    weight = (pooled.variance / own.variance) ** 2
    return Spread(own.variance, own.freedom + weight * max(0.0, pooled.freedom - own.freedom), own.noise)


def seed_spread(differences: Vector, configurations: Codes, seeds: Codes) -> Spread | None:
    """The spread of matched differences over seeds; None for one seed, or where configurations have no seed in common.

    The expected sum of squares and its degrees of freedom (Satterthwaite) are exact for seeds of unequal weight.

    Args:
        differences: One per pair.
        configurations: For each pair, the number of its configuration of the other parameters (any integers).
        seeds: For each pair, its seed (any integers).
    """
    found = _Sums.of(differences[:, None], configurations, seeds)
    return None if found is None else found.spread(float((found.sums**2).sum()))


def seed_spreads(values: Vector, configurations: Codes, seeds: Codes) -> dict[tuple[int, int], Spread]:
    """The spread of every two columns' differences over seeds, as `seed_spread` of their common rows has it.

    Its sums are linear in the differences. So those of a column are made once for all columns that lack the same rows,
    and not for each pair.

    Args:
        values: (blocks, columns), NaN where a block has no value.
        configurations: For each block, the number of its configuration of the other parameters (any integers).
        seeds: For each block, its seed (any integers).

    Returns:
        By the two columns' places, the smaller first; without pairs of fewer than `FEWEST` common blocks, or without
        a spread.
    """
    import numpy as np

    patterns, pattern = np.unique(np.isfinite(values), axis=1, return_inverse=True)
    pattern = pattern.reshape(-1)  # numpy 2.0 keeps the axis.
    # Differences are the same, and those of large numbers lose no digits.
    values = values - np.nanmean(values, axis=1, keepdims=True)
    common = patterns.T.astype(np.float64) @ patterns
    found: dict[tuple[int, int], Spread] = {}
    for one, other in np.argwhere(np.triu(common >= FEWEST)).tolist():
        rows = patterns[:, one] & patterns[:, other]
        lows, highs = np.flatnonzero(pattern == one), np.flatnonzero(pattern == other)
        made = [_Sums.of(values[np.ix_(rows, columns)], configurations[rows], seeds[rows]) for columns in (lows, highs)]
        if made[0] is None or made[1] is None:
            continue
        first, second = made[0], made[1]
        for low, own in zip(lows.tolist(), first.sums.T, strict=True):
            kept = highs > low if one == other else highs >= 0
            squares = ((second.sums[:, kept] - own[:, None]) ** 2).sum(axis=0)
            for high, square in zip(highs[kept].tolist(), squares.tolist(), strict=True):
                found[min(low, high), max(low, high)] = first.spread(square)
    return found


@dataclass(frozen=True, slots=True)
class _Sums:
    """Weighted residuals of matched differences, summed by seed (seeds, columns), and what their squares measure."""

    sums: Vector
    trace: float
    freedom: float
    noise: float

    @classmethod
    def of(cls, differences: Vector, configurations: Codes, seeds: Codes) -> _Sums | None:
        """Of differences (pairs, columns); None as of `seed_spread`."""
        import numpy as np

        _, codes = np.unique(configurations, return_inverse=True)
        _, places = np.unique(seeds, return_inverse=True)
        counts = np.bincount(codes)
        weights = 1 / (len(counts) * counts[codes])
        means = _summed(codes, differences) / counts[:, None]
        if len(means) >= ENOUGH or len(means) == len(differences):
            # A sample of configurations: their own means scatter around one mean.
            codes, means = np.zeros_like(codes), means.mean(axis=0, keepdims=True)
        shares = np.zeros((len(means), int(places.max()) + 1))
        np.add.at(shares, (codes, places), weights)
        own = shares.sum(axis=0)
        # This matrix turns effects of seeds into the sums below; residuals are taken from the means of all seeds.
        to_sums = np.diag(own) - len(means) * shares.T @ shares
        squares = to_sums.T @ to_sums
        trace = float(np.trace(squares))
        if trace <= _EQUAL * float(own @ own):
            return None
        sums = _summed(places, weights[:, None] * (differences - means[codes]))
        freedom = trace**2 / float((squares**2).sum())
        return cls(sums, trace, freedom, float(weights @ weights) / float(own @ own))

    def spread(self, square: float) -> Spread:
        """The spread of differences whose sums have this sum of squares."""
        return Spread(square / self.trace, self.freedom, self.noise)


def _summed(codes: Codes, values: Vector) -> Vector:
    """The sums of the rows (n, columns) with each code, (codes, columns); equal columns have equal sums, to the bit."""
    import numpy as np

    found = np.zeros((int(codes.max()) + 1, values.shape[1]))
    np.add.at(found, codes, values)
    return found


class Pool:
    """The spread over seeds of all pairs of values of a parameter together.

    Args:
        spreads: Those of the pairs, by the places of their values.
    """

    def __init__(self, spreads: Mapping[tuple[int, int], Spread]) -> None:
        import numpy as np

        freedoms, variances, noises = (
            np.array([(one.freedom, one.variance, one.noise) for one in spreads.values()], np.float64).reshape(-1, 3).T
        )
        self._freedom = math.fsum(freedoms.tolist())
        self._values = len({place for pair in spreads for place in pair})
        # Most pairs have the same few shares of noise.
        self._noises, places = np.unique(noises, return_inverse=True)
        self._weighted = np.bincount(places, freedoms * variances)

    def beside(self, own: Spread) -> Spread:
        """The pooled spread as it would be with as few configurations as `own`, which is one of them, has.

        For k values that were all run with s seeds, it has (k - 1)(s - 1) degrees of freedom.
        """
        scales = (own.noise / self._noises).clip(min=1.0)
        return Spread(float(self._weighted @ scales) / self._freedom, 2 * self._freedom / self._values, own.noise)


def _weights(differences: Vector, configurations: Codes) -> tuple[Vector, Codes, Vector]:
    """The weight of each pair in the mean, and its configuration's place in the means of the configurations."""
    import numpy as np

    _, codes = np.unique(configurations, return_inverse=True)
    counts = np.bincount(codes)
    means = np.bincount(codes, differences) / counts
    return 1 / (len(counts) * counts[codes]), codes, means


def _student(mean: float, squared_error: float, freedom: float, comparisons: int = 1) -> tuple[float, float]:
    """Half the interval, and the two-sided p-value of "the mean is 0", as one of so many (Bonferroni)."""
    error = math.sqrt(squared_error)
    half = quantile(freedom, comparisons) * error
    # With no spread at all, the difference is either zero or certain.
    p = 2 * student.upper(abs(mean) / error, freedom) if error > 0 else float(mean == 0)
    return half, min(1.0, comparisons * p)


def paired_p(differences: Sequence[float], rounded: float = 0.0, comparisons: int = 1) -> float:
    """The two-sided p-value of Student's test that two or more paired differences have mean 0.

    Args:
        differences: Independent differences.
        rounded: The variance that rounding adds to a difference: their variance is not taken to be below it.
        comparisons: The p-value is corrected for so many (Bonferroni).
    """
    n = len(differences)
    return _student(mean(differences), max(variance(differences), rounded) / n, n - 1, comparisons)[1]


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
    places = decimals(mean, half_width)
    interval = "" if half_width is None else f" ±{fixed(half_width, places)}"
    return f"{fixed(mean, places)}{interval}"


def fixed(value: float, places: int = 3) -> str:
    """A number with so many decimals; what would be long, in scientific form: `1.234e+99`."""
    return f"{value:.{places}f}" if abs(value) < _LONG else f"{value:.3e}"


def decimals(mean: float, half_width: float | None) -> int:
    """How many decimals a mean is shown with: three, or more if its interval is smaller than that."""
    # What is left of a sum of equal values, such as 1e-17, is no interval.
    if half_width is None or not _EQUAL * max(1.0, abs(mean)) < half_width < 0.0005:
        return 3 if abs(mean) < 1000 else 1
    return min(6, 1 - math.floor(math.log10(half_width)))
