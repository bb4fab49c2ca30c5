"""Advice for the next study: extend, refine or fix the range of each parameter, or run more seeds.

`advise(trials, mode, margin)` judges the parameters by matched comparisons of every value with the best one:

- the best is at an edge of the range and its neighbour is worse: `extend` beyond that edge;
- the best is inside and values on both sides are worse: `refine` around it;
- all values that are not worse are within the margin: `fix` at the best, or at one that takes a tenth less time;
- otherwise it is `noisy`: run enough seeds to show a difference of the margin with 80 % power;
- or `open`, where more seeds are no remedy.

The best value is picked by the same trials, so a test made for two values that were chosen beforehand calls others
worse too often. Therefore every pair of values counts as a comparison, and those of all parameters are corrected
together (Bonferroni): if no values differ, any is called worse in at most 5 of 100 studies. The intervals are corrected
likewise: a value is worse where its interval leaves out 0. A value that is worse by
less than the margin does not count as worse. All this holds for the configurations that were run.

Values drawn at random have no matched pairs. For them a parabola is fitted, together with all other parameters, and
its slopes at both edges decide; they are corrected with the pairs.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from jobs.analysis import student
from jobs.analysis.effect import PairedDifference, all_pairs, compare, judged
from jobs.analysis.importance import FEWEST_FREEDOM
from jobs.analysis.intervals import ALPHA, Estimate, quantile
from jobs.analysis.scores import is_loss, rescales_loss
from jobs.analysis.trials import GRID, Factor, Means, Trials, Vector, basis, log_spaced

MOST_SEEDS = 10
_CHEAPER = 0.9
_POWER = 0.8
_STEP = 10.0
"""The largest factor by which a range is extended or refined in one step."""
_MANY = 200  # With so many seeds, Student's quantiles are the normal ones.


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do about one parameter.

    Attributes:
        key: Its dotted key.
        kind: `extend`, `refine`, `fix`, `noisy`, `open` or `keep`.
        values: Values for the next study: a list to try, or the two ends of a range (`is_range`).
        why: The reason, one sentence.
        seeds: For `noisy`, the number of seeds needed.
        is_range: Whether `values` are the ends of a continuous range.
        is_log: Whether the values are spaced by ratios.
    """

    key: str
    kind: str
    values: tuple[Any, ...]
    why: str
    seeds: int = 0
    is_range: bool = False
    is_log: bool = False


def advise(trials: Trials, mode: str, margin: float) -> list[Advice]:
    """The advice for every parameter that varies, except those of the data set.

    Args:
        trials: From `jobs.analysis.trials.gather`.
        mode: `max` or `min`, whichever is better.
        margin: A difference of the metric that is too small to care about.
    """
    keys = [key for key in trials.factors if not key.startswith("data.")]
    kept = {key: one for key in keys if (one := _not_judged(trials, trials.factors[key]))}
    open_ = [trials.factors[key] for key in keys if key not in kept]
    fits = {one.key: _Parabola(trials, one, mode) for one in open_ if _is_range(one)}
    pairs = {one.key: all_pairs(trials, one.key, mode) for one in open_ if not _is_range(one)}
    count = sum(2 * fit.is_known for fit in fits.values())
    count += sum(_p(one) is not None for ones in pairs.values() for one in ones)
    rule = _Rule(mode, margin, max(1, count))
    advice = {key: _along(trials.factors[key], fit, rule) for key, fit in fits.items()}
    corrected = {key: [judged(one, rule.comparisons, mode) for one in ones] for key, ones in pairs.items()}
    advice |= {key: _among(trials, trials.factors[key], ones, rule) for key, ones in corrected.items()}
    return [kept[key] if key in kept else advice[key] for key in keys]


def decide(trials: Trials, key: str, mode: str, margin: float) -> Advice:
    """The advice of `advise` for one parameter, by its key."""
    return next(one for one in advise(trials, mode, margin) if one.key == key)


def _not_judged(trials: Trials, factor: Factor) -> Advice | None:
    """The advice for a parameter that the metric cannot judge."""
    if is_loss(trials.column) and rescales_loss(factor.key, trials.plug_ins):
        return Advice(factor.key, "keep", factor.levels, "it can rescale the loss, so the loss cannot judge it")
    if len(factor.levels) < 2:
        return Advice(factor.key, "keep", factor.levels, "only some trials have it, all with the same value")
    return None


def _is_range(factor: Factor) -> bool:
    return factor.is_number and len(factor.levels) > GRID


def _p(one: PairedDifference) -> float | None:
    return one.estimate.p if one.estimate else None


# Values of a grid


class _Rule(NamedTuple):
    """How pairs are judged: by `max` or `min`, with a margin, and so many comparisons corrected together."""

    mode: str
    margin: float
    comparisons: int


def _among(trials: Trials, factor: Factor, pairs: Sequence[PairedDifference], rule: _Rule) -> Advice:
    """The advice from the comparisons of every pair of the parameter's values."""
    steps = compare(trials, factor.key, rule.mode)
    unknown = [one for one in steps if _p(one) is None]
    if unknown:
        one = unknown[0]
        few = f"{one.n} pair{'s' * (one.n != 1)} of trials equal in everything else"
        why = f"{_shown(one.low)} and {_shown(one.high)} have only {few}, too few to judge"
        return Advice(factor.key, "keep", factor.levels, why, is_log=log_spaced(factor.levels))
    best = _best(factor, steps, rule.mode)
    rivals = _Rivals([_from(best, one) for one in pairs if best in {one.low, one.high}], rule.mode, rule.margin)
    return _judge(trials, factor, best, rivals, rule)


def _from(best: Any, one: PairedDifference) -> PairedDifference:
    """The comparison of the other value with the best one."""
    if one.low == best:
        return one
    lows = {"low": best, "mean_low": one.mean_high, "wins": one.losses}
    highs = {"high": one.low, "mean_high": one.mean_low, "losses": one.wins}
    verdict = {"better": "worse", "worse": "better"}.get(one.verdict, one.verdict)
    estimate = one.estimate and replace(one.estimate, mean=-one.estimate.mean)
    return replace(one, **lows, **highs, estimate=estimate, verdict=verdict)


class _Rivals:
    """How the other values compare with the best one: worse by more than the margin, close, or open."""

    def __init__(self, differences: Sequence[PairedDifference], mode: str, margin: float) -> None:
        self.sign = -1.0 if mode == "max" else 1.0
        self.differences = differences
        # Values are fixed only if all are close or worse, so these intervals need no correction for their number.
        self.close = {
            one.high for one in differences if one.estimate and _largest_difference(one.estimate.among(1)) <= margin
        }
        self.worse = {one.high for one in differences if one.verdict == "worse"} - self.close
        self.open = [one.high for one in differences if one.high not in self.worse | self.close]

    def gain(self, value: Any) -> str:
        """How much better the best is than `value`, with the interval."""
        one = next(one for one in self.differences if one.high == value)
        if one.estimate is None or one.estimate.half_width is None:
            return f"{one.n} pairs"
        return f"{self.sign * one.estimate.mean:+.3g} ±{one.estimate.half_width:.2g}"


def _largest_difference(estimate: Estimate) -> float:
    """The largest absolute difference inside the interval."""
    return math.inf if estimate.half_width is None else abs(estimate.mean) + estimate.half_width


def _best(factor: Factor, steps: Sequence[PairedDifference], mode: str) -> Any:
    """The best value by the mean matched differences."""
    gains = [one.estimate.mean if one.estimate else 0.0 for one in steps]
    if factor.is_number:
        heights = dict(zip(factor.levels, np.cumsum([0.0, *gains]).tolist(), strict=True))
    else:
        heights = {steps[0].low: 0.0, **{one.high: gain for one, gain in zip(steps, gains, strict=True)}}
    return (max if mode == "max" else min)(heights, key=heights.__getitem__)


def _judge(trials: Trials, factor: Factor, best: Any, rivals: _Rivals, rule: _Rule) -> Advice:
    levels, place = factor.levels, factor.levels.index(best)
    broken = _broken(trials, factor)
    if factor.is_number and (moved := _extended_or_refined(factor, place, rivals, broken)):
        return moved
    if not rivals.open:
        return _fixed(trials, factor, best, rivals, rule.margin)
    kept = tuple(level for level in levels if level == best or level not in rivals.worse)
    variance, count = _variance(trials, factor, best, rivals.open), len(levels)
    needed = _seeds_needed(variance, count, rule)
    told = ", ".join(f"{_shown(best)} against {_shown(level)} {rivals.gain(level)}" for level in rivals.open[:2])
    told += f" (corrected for {rule.comparisons} comparisons)" if rule.comparisons > 1 else ""
    told += f"; worse and left out: {_listed(rivals.worse)}" if rivals.worse else ""
    if needed <= len(trials.seeds.levels):
        why = (
            f"no difference shown: {told}; its effect may differ between configurations or seeds (conclus interaction)"
        )
        return Advice(factor.key, "open", kept, why, is_log=log_spaced(levels))
    why = f"too noisy: {told}; about {needed} seeds can show a difference of {rule.margin:g}"
    if needed > MOST_SEEDS:
        why += f", the {MOST_SEEDS} that are proposed one of {_least(MOST_SEEDS, variance, count, rule):.2g}"
    return Advice(factor.key, "noisy", kept, why, seeds=needed, is_log=log_spaced(levels))


def _broken(trials: Trials, factor: Factor) -> set[Any]:
    """The values with which every trial collapsed or diverged: how much worse they are tells no direction."""
    if trials.broken is None:
        return set()
    return {level for place, level in enumerate(factor.levels) if trials.broken[factor.codes == place].all()}


def _extended_or_refined(factor: Factor, place: int, rivals: _Rivals, broken: Collection[Any]) -> Advice | None:
    """The advice `extend` or `refine`, if either applies; a range is not extended away from a value that broke."""
    levels, is_log = factor.levels, log_spaced(factor.levels)
    best, last = levels[place], len(levels) - 1
    if place in {0, last}:
        neighbour = levels[1 if place == 0 else last - 1]
        if neighbour not in rivals.worse or neighbour in broken:
            return None
        end, step = ("lower", levels[0:2]) if place == 0 else ("upper", levels[-2:])
        why = f"the best, {_shown(best)}, is the {end} end, {rivals.gain(neighbour)} over {_shown(neighbour)}"
        return Advice(
            factor.key, "extend", (best, *_values_beyond(step, place == 0, is_log=is_log)), why, is_log=is_log
        )
    below, above = levels[:place], levels[place + 1 :]
    if not (rivals.worse.intersection(below) and rivals.worse.intersection(above)):
        return None
    middle = (_near(best, below[-1], is_log=is_log), best, _near(best, above[0], is_log=is_log))
    gains = f"{rivals.gain(below[-1])} and {rivals.gain(above[0])} over its neighbours"
    why = f"the best, {_shown(best)}, lies inside, {gains}"
    return Advice(factor.key, "refine", middle, why, is_log=is_log)


def _values_beyond(step: Sequence[float], downward: bool, *, is_log: bool) -> tuple[float, float]:
    """Two more values beyond an edge with the spacing of the last step, by a factor of `_STEP` at most."""
    low, high = step
    if is_log:
        factor = min(high / low, _STEP)
        return (low / factor, low / factor**2) if downward else (high * factor, high * factor**2)
    return (2 * low - high, 3 * low - 2 * high) if downward else (2 * high - low, 3 * high - 2 * low)


def _near(best: float, other: float, *, is_log: bool) -> float:
    """The middle between the best value and a worse one, away from the best by a factor of `_STEP` at most."""
    if not is_log:
        return (best + other) / 2
    return best * min(max(math.sqrt(other / best), 1 / _STEP), _STEP)


def _fixed(trials: Trials, factor: Factor, best: Any, rivals: _Rivals, margin: float) -> Advice:
    chosen = _cheapest(trials, factor, [best, *sorted(rivals.close, key=str)])
    if not rivals.close:
        why = f"every other value is worse than {_shown(best)}"
        if broken := _broken(trials, factor) - {best}:
            why += f"; {_listed(broken)} collapsed or diverged in every trial, which tells no direction"
    elif all(one.estimate and one.ties == one.n for one in rivals.differences):
        chosen = best
        why = "no effect: all pairs of trials are equal to the last digit"
    elif chosen == best:
        why = f"flat: within {margin:g} of the best, {_shown(best)}: {_listed(rivals.close)}"
    else:
        why = f"flat: {_shown(chosen)} is within {margin:g} of the best, {_shown(best)}, and takes less time"
    return Advice(factor.key, "fix", (chosen,), why)


def _cheapest(trials: Trials, factor: Factor, candidates: Sequence[Any]) -> Any:
    """The first candidate, or the fastest one if its trials take over a tenth less time."""
    times = {one: trials.seconds[factor.codes == factor.levels.index(one)].mean() for one in candidates}
    cheapest = min(candidates, key=lambda one: times[one] if np.isfinite(times[one]) else math.inf)
    return cheapest if times[cheapest] < _CHEAPER * times[candidates[0]] else candidates[0]


def _seeds_needed(variance: float, levels: int, rule: _Rule) -> int:
    """Seeds per configuration that show a difference of the margin with 80 % power.

    It is that of Student's test of the mean paired difference, by the noise of the seeds and with their degrees of
    freedom (as in `effect`: of all values together, or with two seeds one), at an error of 5 % over all comparisons.
    """
    normal = NormalDist().inv_cdf(1 - ALPHA / (2 * rule.comparisons)) + NormalDist().inv_cdf(_POWER)
    seeds = max(2, math.ceil((normal / rule.margin) ** 2 * variance))
    # Student's quantiles are above the normal ones, so no fewer seeds are enough.
    while seeds < _MANY and _least(seeds, variance, levels, rule) > rule.margin:
        seeds += 1
    return seeds


def _least(seeds: int, variance: float, levels: int, rule: _Rule) -> float:
    """The smallest difference that so many seeds show with 80 % power."""
    freedom = (levels - 1) * (seeds - 1) if seeds > 2 else 1
    factors = student.quantile(1 - ALPHA / (2 * rule.comparisons), freedom) + student.quantile(_POWER, freedom)
    return factors * math.sqrt(variance / seeds)


def _variance(trials: Trials, factor: Factor, best: Any, rivals: Collection[Any]) -> float:
    """The variance of the mean paired difference with one seed, by the noise of the seeds."""
    means = Means.of(trials)
    noise = means.noise if means.noise is not None else float(means.values.var(ddof=1))
    configurations = trials.groups([factor.key], seeds=False)
    at = {level: set(configurations[factor.codes == factor.levels.index(level)].tolist()) for level in (best, *rivals)}
    return 2 * noise / max(1, min(len(at[best] & at[rival]) for rival in rivals))


# Values drawn from a range


def _along(factor: Factor, fit: "_Parabola", rule: _Rule) -> Advice:
    """The advice from a fitted parabola and the intervals of its slopes at both ends."""
    ends = (factor.levels[0], factor.levels[-1])

    def advice(kind: str, points: Sequence[float], why: str) -> Advice:
        values = tuple(fit.value(point) for point in points)
        return Advice(factor.key, kind, values, why, is_range=len(values) == 2, is_log=fit.is_log)

    if not fit.is_known:
        return Advice(factor.key, "keep", ends, "too few configurations to judge", is_range=True, is_log=fit.is_log)
    top = fit.top()
    if fit.reach() <= rule.margin:
        return advice("fix", (top,), f"flat: over its whole range it changes the metric by less than {rule.margin:g}")
    (down, down_half), (up, up_half) = (fit.slope(end, rule.comparisons) for end in (-1.0, 1.0))
    is_better_below, is_worse_below = down < -down_half, down > down_half
    is_better_above, is_worse_above = up > up_half, up < -up_half
    beyond = fit.beyond()
    if is_better_above and not is_better_below:
        why = f"still better at the upper end ({up:+.3g} ±{up_half:.2g} per half range)"
        return advice("extend", (0.0, beyond), why)
    if is_better_below and not is_better_above:
        why = f"still better at the lower end ({-down:+.3g} ±{down_half:.2g} per half range)"
        return advice("extend", (-beyond, 0.0), why)
    if is_worse_below and is_worse_above:
        return advice("refine", (top - 0.5, top + 0.5), f"best inside, about {fit.value(top):.3g}; both ends are worse")
    return Advice(factor.key, "open", ends, "too noisy to tell a direction", is_range=True, is_log=fit.is_log)


class _Parabola:
    """`b1 u + b2 u²`, fitted by least squares with all other parameters; `u` is -1 to 1 over the parameter's range."""

    def __init__(self, trials: Trials, factor: Factor, mode: str) -> None:
        means = Means.of(trials)
        self.is_log, sign = log_spaced(factor.levels), 1.0 if mode == "max" else -1.0
        there = means.factors[factor.key].codes >= 0
        scale = self._scaled(np.array(factor.levels, np.float64))
        self.low, self.high = float(scale[0]), float(scale[-1])
        u = 2 * (scale[means.factors[factor.key].codes[there]] - self.low) / (self.high - self.low) - 1
        others = [basis(one)[there] for key, one in means.factors.items() if key != factor.key]
        design = np.concatenate([np.stack([u, u**2, np.ones_like(u)], axis=1), *others], axis=1)
        values = means.values[there]
        inverse = np.linalg.pinv(design.T @ design, hermitian=True)
        coefficients = inverse @ design.T @ values
        self.freedom = len(values) - int(np.linalg.matrix_rank(design))
        residual = float(((values - design @ coefficients) ** 2).sum())
        self.shape = sign * coefficients[:2]
        self.covariance = inverse[:2, :2] * residual / max(1, self.freedom)

    @property
    def is_known(self) -> bool:
        """Whether enough configurations are there to judge."""
        return self.freedom >= FEWEST_FREEDOM

    def slope(self, u: float, comparisons: int) -> tuple[float, float]:
        """How fast the metric improves at `u`, and half the interval of that slope, as one of so many comparisons."""
        return self._linear(np.array([1.0, 2 * u]), comparisons)

    def beyond(self) -> float:
        """How far to extend: by half the range, but at most by a factor of `_STEP`."""
        return min(2.0, 1.0 + 2 * math.log(_STEP) / (self.high - self.low)) if self.is_log else 2.0

    def top(self) -> float:
        """Where in the range the metric is best."""
        first, second = self.shape.tolist()
        candidates = [-1.0, 1.0, *([min(1.0, max(-1.0, -first / (2 * second)))] if second < 0 else [])]
        return max(candidates, key=lambda u: first * u + second * u * u)

    def reach(self) -> float:
        """The largest difference between the ends and the middle that the intervals allow."""
        pairs = pairwise((-1.0, 0.0, 1.0, -1.0))
        found = [self._linear(np.array([b - a, b * b - a * a]), 1) for a, b in pairs]
        return max(abs(mean) + half for mean, half in found)

    def value(self, u: float) -> float:
        """The parameter's value at `u`."""
        scaled = self.low + (u + 1) / 2 * (self.high - self.low)
        return math.exp(scaled) if self.is_log else scaled

    def _scaled(self, values: Vector) -> Vector:
        return np.log(values) if self.is_log else values

    def _linear(self, weights: Vector, comparisons: int) -> tuple[float, float]:
        error = math.sqrt(max(0.0, float(weights @ self.covariance @ weights)))
        return float(weights @ self.shape), quantile(max(1, self.freedom), comparisons) * error


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _listed(values: set[Any]) -> str:
    return ", ".join(_shown(value) for value in sorted(values, key=str))
