"""Estimates for configurations: the mean over seeds, the mean of one that was picked as best, and collapsed seeds."""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import median

import numpy as np
from numpy.typing import NDArray

from jobs.analysis import student
from jobs.analysis.intervals import (
    CONFIDENCE,
    decimals,
    fixed,
    half_width,
    mean,
    plus_minus,
    quantile,
    resolution,
    rounding,
    variance,
)
from jobs.analysis.ties import LARGEST

Cells = Sequence[Mapping[int, float]]
"""The values of each configuration by seed."""
COLLAPSED = (
    "Collapsed: seeds with the warning COLLAPSED, or the worse of two groups of seeds that are farther apart than "
    "normal noise puts those of 99 in 100 configurations. Mean and interval are of all seeds."
)
_NEAR = 0.25
"""An interval that reaches so far of the way to a bound of the score is made on the logit scale."""
_GAP = 4.0
"""Means so many standard errors below the next better one are of another kind, such as runs that learn nothing."""
_SHARES = (np.arange(200) + 0.5) / 200
"""The shares of noise in the spread of the means over which the estimate of the picked one is averaged."""
_OWN = 2
"""Degrees of freedom of the common variance in a configuration's own one, as in `jobs.analysis.ties`."""
_FALSE_ALARM = 0.01
_DRAWS = 150_000
_ROUNDS = 30
_EQUAL = 1e-6
_LEAST_SEEDS = 3
_DEGENERATE = 1e-3
"""Seeds with a variance so many times the median one hardly differ."""


@dataclass(frozen=True, slots=True)
class Score:
    """A mean over seeds.

    Attributes:
        mean: The mean.
        half_width: Half the 95 % t-interval of the mean; None for one seed.
        n: Number of seeds.
        low, high: The ends of the 95 % interval; None for one seed. They are those of the t-interval, unless it reaches
            near a bound of the score.
    """

    mean: float
    half_width: float | None
    n: int
    low: float | None
    high: float | None

    @property
    def is_even(self) -> bool:
        """Whether the interval reaches equally far on both sides, or there is none."""
        half = self.half_width or 0.0
        return (self.low, self.high) in {(None, None), (self.mean - half, self.mean + half)}

    @property
    def text(self) -> str:
        """The mean and its interval for people: `0.871 ±0.020`, or `0.968 -0.041 +0.018` near a bound."""
        if self.half_width is None or self.low is None or self.high is None or self.is_even:
            return plus_minus(self.mean, self.half_width)
        places = decimals(self.mean, min(self.mean - self.low, self.high - self.mean))
        down, up = fixed(self.mean - self.low, places), fixed(self.high - self.mean, places)
        return f"{fixed(self.mean, places)} -{down} +{up}"


def score(
    values: Sequence[float], bounds: tuple[float, float] = (-math.inf, math.inf), rounded: float | None = None
) -> Score:
    """The mean of one or more values with its interval.

    Scores near a bound have skewed noise, of which Student's interval covers the mean in 89 to 93 of 100 (Beta noise, 3
    to 10 seeds). So where it reaches a quarter of the way to a bound, the interval is Student's for the logit of the
    mean between the bounds, with the standard error by the delta method (94 to 95 of 100).

    Args:
        values: One per seed.
        bounds: The smallest and the largest value that the score can have; infinite for none.
        rounded: The variance that rounding adds to a value; None if it is to be seen from the values. Their variance is
            not taken to be below it, so three times .80 do not tell the mean to the last digit.
    """
    floor = rounding(resolution(values)) if rounded is None else rounded
    centre, half = mean(values), half_width(values, floor)
    if half is None:
        return Score(centre, None, len(values), None, None)
    to_low, to_high = centre - bounds[0], bounds[1] - centre
    nearest = min(to_low, to_high)
    if nearest == 0 and len(set(values)) == 1:  # Rounded values that are all at the bound: none lies beyond it.
        return Score(centre, half, len(values), max(centre - half, bounds[0]), min(centre + half, bounds[1]))
    if not 0 < nearest < math.inf or half <= _NEAR * nearest:
        return Score(centre, half, len(values), centre - half, centre + half)
    # The odds between the bounds change by this factor; without a bound on a side they are the distance to the other.
    factor = math.exp(min(half / to_low + half / to_high, 700.0))
    ends = (_at_odds(to_low, to_high, one) for one in (1 / factor, factor))
    low, high = (bounds[0] + one if math.isfinite(to_low) else bounds[1] - one for one in ends)
    return Score(centre, half, len(values), low, high)


def _at_odds(to_low: float, to_high: float, factor: float) -> float:
    """The distance from the low bound, or from the high one if there is no low one, at odds times a factor."""
    if not math.isfinite(to_high):
        return to_low * factor
    if not math.isfinite(to_low):
        return to_high / factor
    return (to_low + to_high) * to_low * factor / (to_low * factor + to_high)


@dataclass(frozen=True, slots=True)
class Picked:
    """The mean of a configuration that was picked by its own values, corrected for that.

    Attributes:
        mean: The estimate.
        low, high: The ends of its 95 % interval.
        competitors: Number of configurations that it was picked from, itself included.
        seen: The mean of its values, without the correction.
    """

    mean: float
    low: float
    high: float
    competitors: int
    seen: float

    @property
    def text(self) -> str:
        """The estimate with its interval for people: `0.871 (95 %: 0.852 to 0.890)`."""
        places = decimals(self.mean, (self.high - self.low) / 2)
        mean, low, high = (fixed(one, places) for one in (self.mean, self.low, self.high))
        return f"{mean} (95 %: {low} to {high})"

    @property
    def sentence(self) -> str:
        """The estimate for people, who see the mean of the same values beside it; its interval tells even the same."""
        picked = f"The best of {self.competitors} was picked by these values"
        if self.text == replace(self, mean=self.seen).text:
            return f"{picked}: with the noise of all, its mean is {self.text}."
        return f"{picked}, so on average its mean is too good: corrected, with the noise of all, it is {self.text}."


def shrunk(
    cells: Cells, *, maximise: bool, picked: int = 0, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> Picked | None:
    """The mean of the configuration that was picked as the best, without the luck by which it was picked.

    The best of 36 equal configurations with three seeds is 1.2 SD of the seeds above its true mean. So it is shrunk to
    the mean of all, by the share of noise in the spread of the means. As that share is not known, the estimate is
    Bayes' mean with every share from 0 to 1 taken as equally likely beforehand, which two configurations allow as well.
    What is left of the luck are at most .28 SD, for 2 to 36 equal configurations with three seeds. Configurations far
    below all better ones, such as those that learn nothing, do not count in that spread. As true means may have any
    distribution, the interval also holds what a simultaneous lower bound over all configurations allows (Sidak). What
    seeds add to all configurations alike widens it, and noise with a long tail on the better side lengthens its better
    half (`student.stretch`): of log-normal noise with a sigma of 1, it covers the mean in .95 and not in .90.

    References: M. J. Daniels, A prior for the variance in hierarchical models, Canad. J. Statist. 27 (1999): the
    uniform shrinkage prior. Z. Sidak, Rectangular confidence regions for the means of multivariate normal
    distributions, J. Amer. Statist. Assoc. 62 (1967).

    Args:
        cells: The configurations.
        maximise: Whether larger is better.
        picked: The place of the one that was picked.
        bounds: The smallest and the largest value that the score can have.

    Returns:
        None for fewer than two configurations, or if the seeds tell no noise: none has two, or they change nothing.
    """
    sign = 1.0 if maximise else -1.0
    noise = _noise(cells)
    if noise is None or len(cells) < 2:
        return None
    means = np.array([sign * noise.mean(cell) for cell in cells])
    best, count = float(means[picked]), len(cells[picked])
    own = noise.own(cells[picked])
    errors = noise.variance / np.array([len(cell) for cell in cells])
    group = _group(means, errors, picked)
    estimate, spread = _posterior(means[group], errors[group], int(np.flatnonzero(group == picked)[0]))
    # The noise of the one that was picked may be larger than the common one.
    factor = quantile(noise.freedom)
    half = factor * math.sqrt(spread * max(1.0, own / noise.variance))
    each = (1 - (1 - CONFIDENCE) / 2) ** (1 / len(cells))
    below = max(half, estimate - best + student.quantile(each, noise.freedom) * math.sqrt(own / count))
    above = half * student.stretch(factor, sign * noise.skewness, count)
    low, high = estimate - math.hypot(below, noise.seeds), estimate + math.hypot(above, noise.seeds)
    every = [value for cell in cells for value in cell.values()]
    if bounds[0] <= min(every) and max(every) <= bounds[1]:  # Else the score is of another scale than was declared.
        estimate, low, high = (sign * min(max(sign * one, bounds[0]), bounds[1]) for one in (estimate, low, high))
    ends = sorted((sign * low, sign * high))
    return Picked(sign * estimate, ends[0], ends[1], len(cells), mean([*cells[picked].values()]))


@dataclass(frozen=True, slots=True)
class _Noise:
    """The noise of the seeds.

    Attributes:
        variance: The variance of a value, without what its seed adds to all configurations alike.
        freedom: Its degrees of freedom.
        effects: What each seed adds to all configurations alike.
        seeds: Half the 95 % interval of the mean of these effects.
        skewness: The skewness of a value, without these effects.
    """

    variance: float
    freedom: int
    effects: Mapping[int, float]
    seeds: float
    skewness: float

    def mean(self, cell: Mapping[int, float]) -> float:
        """The mean of one configuration, without what its own seeds add to all alike."""
        return mean([value - self.effects.get(seed, 0.0) for seed, value in cell.items()])

    def own(self, cell: Mapping[int, float]) -> float:
        """The variance of one configuration, shrunk to the common one; not below that."""
        if len(cell) < 2:
            return self.variance
        free = len(cell) - 1
        found = variance([value - self.effects.get(seed, 0.0) for seed, value in cell.items()])
        return max(self.variance, (_OWN * self.variance + free * found) / (_OWN + free))


def _noise(cells: Cells) -> _Noise | None:
    """The noise by configuration and seed, in the additive model; a seed's effect is its median over configurations."""
    repeated = [cell for cell in cells if len(cell) > 1]
    uses = Counter(seed for cell in repeated for seed in cell)
    effects = _effects(repeated, {seed for seed, count in uses.items() if count > 1})
    freedom = uses.total() - sum(len(cell) > 1 for cell in cells) - max(0, len(effects) - 1)
    if freedom < 1:
        return None
    clean = [[value - effects.get(seed, 0.0) for seed, value in cell.items()] for cell in repeated]
    floor = rounding(resolution(value for cell in cells for value in cell.values()))
    common, skewness = max(_common(clean) / freedom, floor), student.skewness(clean)
    if not common:
        return None
    if not effects:
        return _Noise(common, freedom, effects, 0.0, skewness)
    between = max(0.0, variance(list(effects.values())) - common / mean([uses[seed] for seed in effects]))
    half = quantile(len(effects) - 1) * math.sqrt(between / len(effects))
    return _Noise(common, freedom, effects, half, skewness)


def _effects(cells: Cells, seeds: Collection[int]) -> dict[int, float]:
    """What each seed adds to all configurations, around 0; none for fewer than two seeds.

    Where configurations have other seeds each, their means hold the effects of these. So effects and means are found in
    turns (median polish, J. W. Tukey, Exploratory Data Analysis, 1977, with means of configurations).
    """
    if len(seeds) < 2:
        return {}
    effects = dict.fromkeys(seeds, 0.0)
    for _ in range(_ROUNDS):
        residuals: dict[int, list[float]] = {}
        for cell in cells:
            centre = mean([value - effects.get(seed, 0.0) for seed, value in cell.items()])
            for seed, value in cell.items():
                residuals.setdefault(seed, []).append(value - centre)
        found = {seed: median(residuals[seed]) for seed in seeds}
        level = mean([*found.values()])
        last, effects = effects, {seed: one - level for seed, one in found.items()}
        if max(abs(effects[seed] - last[seed]) for seed in seeds) <= _EQUAL * max(map(abs, effects.values())):
            break
    return effects


def _common(clean: Sequence[Sequence[float]]) -> float:
    """The sum of squares within configurations; very large ones count less, as in `ties.leads`."""
    found = [(variance(values), len(values) - 1) for values in clean]
    most = LARGEST * median(one for one, _ in found)
    return math.fsum((min(one, most) if most else one) * free for one, free in found)


def _group(means: NDArray[np.float64], errors: NDArray[np.float64], picked: int) -> NDArray[np.int64]:
    """The configurations, the picked one included, down to the first gap that is far larger than the noise."""
    order = np.argsort(-means, kind="stable")
    far = np.flatnonzero(-np.diff(means[order]) > _GAP * np.sqrt(np.maximum(errors[order][1:], errors[order][:-1])))
    group = order[: far[0] + 1] if len(far) else order
    return group if picked in group else order


def _posterior(means: NDArray[np.float64], errors: NDArray[np.float64], picked: int) -> tuple[float, float]:
    """The posterior mean and variance of one of the true means, given means with known squared errors."""
    if len(means) < 2:
        return float(means[picked]), float(errors[picked])
    between = (1 - _SHARES) / _SHARES / np.mean(1 / errors)
    weights = 1 / (between[:, None] + errors)
    total = weights.sum(axis=1)
    centres = weights @ means / total
    squares = (weights * (means - centres[:, None]) ** 2).sum(axis=1)
    likelihood = (np.log(weights).sum(axis=1) - np.log(total) - squares) / 2
    chances = np.exp(likelihood - likelihood.max())
    chances /= chances.sum()
    shares = errors[picked] * weights[:, picked]
    found = centres + (1 - shares) * (means[picked] - centres)
    variances = errors[picked] * (1 - shares) + shares**2 / total
    estimate = float(chances @ found)
    return estimate, float(chances @ (variances + (found - estimate) ** 2))


def collapsed(cells: Cells, *, maximise: bool) -> list[int]:
    """For each configuration, how many of its seeds form a worse group of their own; 0 where they are one group.

    Values are split at their largest gap. They are two groups if that gap is larger, in units of the noise within such
    groups, than in 99 % of configurations whose noise is normal. That noise is the common one of all configurations, or
    the configuration's own if that is larger. Configurations whose seeds hardly differ, such as those that learn
    nothing, tell nothing of the noise of others. Two seeds are never judged.

    Args:
        cells: The values of each configuration by seed.
        maximise: Whether larger is better.
    """
    is_noisy = _noisy(cells)
    sign = 1.0 if maximise else -1.0
    rows: dict[int, list[int]] = {}
    for place, cell in enumerate(cells):
        if is_noisy[place]:
            rows.setdefault(len(cell), []).append(place)
    if not rows:
        return [0] * len(cells)
    values = {n: np.sort([[sign * one for one in cells[i].values()] for i in of])[None] for n, of in rows.items()}
    least = rounding(resolution([value for cell in cells for value in cell.values()]))
    found, bound = _gaps(values, least), _largest_gap(tuple(sorted((n, len(of)) for n, of in rows.items())))
    told = [0] * len(cells)
    for n, of in rows.items():
        ratios, below = found[n]
        for place, ratio, count in zip(of, ratios[0].tolist(), below[0].tolist(), strict=True):
            told[place] = count if ratio > bound[n] else 0
    return told


def _noisy(cells: Cells) -> list[bool]:
    """Which configurations have seeds enough, and a spread that is not far below that of most others."""
    judged = [len(set(cell.values())) > 1 and len(cell) >= _LEAST_SEEDS for cell in cells]
    spreads = [variance([*cell.values()]) if one else 0.0 for cell, one in zip(cells, judged, strict=True)]
    least = _DEGENERATE * median([one for one in spreads if one] or [0.0])
    return [one > least for one in spreads]


def _gaps(
    values: Mapping[int, NDArray[np.float64]], least: float
) -> dict[int, tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """The largest gap of each configuration in units of the noise, and the number of values below it.

    Args:
        values: By number of seeds n, sorted values of shape (tables, configurations, n).
        least: The least variance.
    """
    parts = {n: _split(one) for n, one in values.items()}
    squares = sum(inside.sum(axis=1, keepdims=True) for _, inside, _ in parts.values())
    common = squares / sum(one.shape[1] * (n - 2) for n, one in values.items())
    found: dict[int, tuple[NDArray[np.float64], NDArray[np.int64]]] = {}
    for n, (gap, inside, below) in parts.items():
        noise = np.sqrt(np.maximum(np.maximum(common, inside / (n - 2)), least))
        with np.errstate(divide="ignore", invalid="ignore"):
            found[n] = np.where(gap > 0, gap / noise, 0.0), below
    return found


def _split(ordered: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """The largest gap of sorted values (last axis), the sum of squares within the two groups, and the lower's size."""
    gaps = np.diff(ordered, axis=-1)
    below = gaps.argmax(axis=-1) + 1
    n = ordered.shape[-1]
    is_low = np.arange(n) < below[..., None]
    low = (ordered * is_low).sum(-1) / below
    high = (ordered * ~is_low).sum(-1) / (n - below)
    inside = ((ordered - np.where(is_low, low[..., None], high[..., None])) ** 2).sum(-1)
    return gaps.max(-1), inside, below


@lru_cache(maxsize=256)
def _largest_gap(counts: tuple[tuple[int, int], ...]) -> dict[int, float]:
    """By number of seeds, the ratio that a gap exceeds in one of 100 configurations of normal noise.

    Args:
        counts: Pairs of a number of seeds and the number of configurations that have it.
    """
    total = sum(n * of for n, of in counts)
    rng = np.random.default_rng(0)
    tables = max(20, _DRAWS // total)
    draws = {n: np.sort(rng.standard_normal((tables, of, n)), axis=-1) for n, of in counts}
    return {n: float(np.quantile(ratios, 1 - _FALSE_ALARM)) for n, (ratios, _) in _gaps(draws, 0.0).items()}
