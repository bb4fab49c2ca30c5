"""Decides whether a study continues after a stage, from the best configurations of this and the previous stage.

`at_least` and `at_most` ask for a bound and not for a mean: the best mean of many configurations is above a threshold
by luck alone. The bound of each configuration is Student's one-sided 95 % bound, corrected over all configurations of
the stage (Bonferroni), so it holds for all of them together, and for the one that happens to be best too. Its variance
is its own or, where that is larger, the moderated one: its own drawn towards those of the others as far as they agree.

Reference: G. K. Smyth, Linear models and empirical Bayes methods for assessing differential expression in microarray
experiments, Stat. Appl. Genet. Mol. Biol. 3 (2004), sections 3 and 6.2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
import pyarrow as pa

from core.errors import counted
from jobs.analysis import intervals, outcomes, student
from jobs.analysis.estimates import collapsed
from jobs.analysis.intervals import ALPHA, half_width, mean, variance
from jobs.analysis.ties import leads
from jobs.analysis.trials import Vector

ScoresBySeed = Mapping[int, float]
"""The values of one configuration by seed."""

_LEAST_VARIANCE = 1e-30
"""Stands for no variance at all, which has no logarithm."""
_EQUAL = 1e-12
"""A bound that is nearer to the threshold reaches it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a gate is open, and the reason with its numbers, in one line."""

    is_open: bool
    why: str


def of_all(verdicts: Sequence[tuple[str, Verdict]]) -> Verdict:
    """One verdict from those of all data sets, under their names: each has to be open."""
    if len(verdicts) == 1:
        return verdicts[0][1]
    told = [(name, one) for name, one in verdicts if not one.is_open] or verdicts
    return Verdict(is_open=told is verdicts, why="; ".join(f"{name}: {one.why}" for name, one in told))


def with_lost(
    table: pa.Table, column: str, *, maximise: bool, threshold: float | None
) -> tuple[dict[tuple[str, str], dict[int, float]], int]:
    """The values by (study, configuration) and by seed, in which a trial whose training failed has the worst one.

    That is the worst of all values, or the threshold where that is worse. A configuration of which all trials failed
    has no values. See `outcomes.lost`.

    Args:
        table: Rows from `read_results`, one per trial.
        column: The metric's column.
        maximise: Whether larger is better.
        threshold: The value that a configuration has to reach, if there is one.

    Returns:
        The values, and the number of those trials.
    """
    found, lost = outcomes.by_seed(table, column), outcomes.lost_seeds(table)
    for key, seeds in lost.items():
        for seed in seeds:
            found.get(key, {}).pop(seed, None)
    found = {key: cell for key, cell in found.items() if cell}
    known = [value for cell in found.values() for value in cell.values()]
    known += [] if threshold is None else [threshold]
    told = [(found[key], seed) for key, seeds in lost.items() if key in found for seed in seeds]
    for cell, seed in told:
        cell[seed] = min(known) if maximise else max(known)
    return found, len(told)


def reaches(
    metric: str, now: Sequence[ScoresBySeed], *, at_least: float | None, at_most: float | None, of_mean: bool = False
) -> Verdict:
    """Whether a configuration reaches a threshold of a metric by more than luck; see `lower_bounds`.

    Args:
        metric: Its name, for the message.
        now: The configurations.
        at_least: The smallest value that passes; larger is then better.
        at_most: The largest value that passes; smaller is then better. Exactly one of the two is given.
        of_mean: Whether the largest mean is compared, without a bound. Then many configurations reach a threshold that
            all of them truly miss: 8 configurations with 3 seeds, one standard deviation below it, do so in .31 of
            studies.
    """
    if not now:
        return _without_value(metric)
    sign, threshold, wanted = _condition(at_least, at_most)
    cells = [{seed: sign * value for seed, value in cell.items()} for cell in now]
    best = max(cells, key=lambda cell: mean(list(cell.values())))
    if of_mean:
        value = mean(list(best.values()))
        told, is_open = f"{metric} {_shown(best, sign)}", value >= sign * threshold
        return Verdict(is_open=is_open, why=f"{told}, {'and' if is_open else 'but'} {wanted} is wanted")
    repeated = [cell for cell in cells if len(cell) > 1]
    if not repeated:
        why = f"{metric} {_shown(best, sign)}: one seed has no interval, so it cannot show {wanted}: give more seeds"
        return Verdict(is_open=False, why=f"{why}, or mean: true")
    bounds = lower_bounds(repeated)
    bound, surest = max(zip(bounds, repeated, strict=True), key=lambda one: one[0])
    # A bound of values without any spread is the value itself, but for rounding.
    is_open = bound >= sign * threshold - _EQUAL * max(1.0, abs(threshold))
    number = intervals.plus_minus(round(sign * bound, 12) + 0.0, None)
    side, count = "above" if sign > 0 else "below", len(repeated)
    over = f", corrected for {count} configurations" if count > 1 else ""
    told = f"{metric} {_shown(surest, sign)}, {side} {number} (95 %{over})"
    if among := sum(n > 0 for n in collapsed(cells, maximise=True)):
        told += f"; seeds collapsed in {counted(among, 'configuration')}, which this bound does not allow for"
    return Verdict(is_open=is_open, why=f"{told}, {'and' if is_open else 'but'} {wanted} is wanted")


def lower_bounds(cells: Sequence[ScoresBySeed]) -> list[float]:
    """A lower bound of each configuration's true mean; all of them hold together in 95 % of studies.

    In simulated studies whose configurations all lie exactly at a threshold, some bound is above it in at most .06 of
    them with equal noise; with a quarter of the configurations at 3 times the noise in up to .10 (3 seeds).

    Args:
        cells: Two or more values of each configuration, by seed.
    """
    values = [list(cell.values()) for cell in cells]
    floor = max(_LEAST_VARIANCE, intervals.rounding(intervals.resolution(value for one in values for value in one)))
    own = np.array([max(floor, variance(one)) for one in values])
    freedoms = np.array([len(one) - 1.0 for one in values])
    shared, more = moderated(own, freedoms)
    # Where seeds act alike on all configurations, these are as good as one: its own quantile is the least.
    pairs = list(zip(more.tolist(), freedoms.tolist(), strict=True))
    known = {pair: _factor(*pair, len(cells)) for pair in set(pairs)}
    factors = np.array([known[pair] for pair in pairs])
    means = np.array([mean(one) for one in values])
    return (means - factors * np.sqrt(np.maximum(own, shared) / (freedoms + 1))).tolist()


def _factor(shared: float, own: float, count: int) -> float:
    """How many standard errors a bound lies below its mean, by the degrees of freedom of both variances."""
    return max(student.quantile(1 - ALPHA / count, shared), student.quantile(1 - ALPHA, own))


def moderated(variances: Vector, freedoms: Vector) -> tuple[Vector, Vector]:
    """Each variance drawn towards the others, with its degrees of freedom (Smyth 2004, section 6.2).

    True variances are taken as draws from a scaled inverse chi-squared distribution. Its two parameters are fitted to
    the mean and the spread of the logarithms of the variances. Where these differ by no more than chance, the variances
    are one; where they differ much, each one stays as it is.

    Args:
        variances: Sample variances above 0, shape (n,).
        freedoms: The degrees of freedom of each, shape (n,).
    """
    if len(variances) == 1:
        return variances, freedoms
    from scipy.special import digamma, polygamma

    half = freedoms / 2
    logs = np.log(variances) - digamma(half) + np.log(half)
    excess = float(logs.var(ddof=1) - polygamma(1, half).mean())
    if excess <= 0:
        total = freedoms.sum()
        return np.full_like(variances, variances @ freedoms / total), np.full_like(freedoms, total)
    prior = 2 * _inverse_trigamma(excess)
    centre = math.exp(logs.mean() + float(digamma(prior / 2)) - math.log(prior / 2))
    drawn = (prior * centre + freedoms * variances) / (prior + freedoms)
    return drawn, np.minimum(freedoms.sum(), prior + freedoms)


def _inverse_trigamma(value: float) -> float:
    """The number whose trigamma function is `value`, by Newton's method (Smyth 2004, appendix)."""
    from scipy.special import polygamma

    found = 0.5 + 1 / value
    for _ in range(50):
        now = float(polygamma(1, found))
        step = now * (1 - now / value) / float(polygamma(2, found))
        found += step
        if abs(step) < 1e-8 * found:
            break
    return found


def improves(metric: str, now: Sequence[ScoresBySeed], before: Sequence[ScoresBySeed], *, maximise: bool) -> Verdict:
    """Whether the best of these configurations beats the best of the previous ones by more than its interval.

    The interval accounts for picking the best out of many; see `jobs.analysis.ties`.

    Args:
        metric: Its name, for the message.
        now: The new configurations.
        before: The previous ones.
        maximise: Whether larger is better.
    """
    if not now or not before:
        return _without_value(metric)
    reference, sign = _best(before, maximise=maximise), -1.0 if maximise else 1.0
    told = f"{metric} {_shown(_best(now, maximise=maximise))} after {_shown(reference)}"
    repeated = [cell for cell in now if len(cell) > 1]
    if len(reference) < 2 or not repeated:
        return Verdict(is_open=False, why=f"{told}: one seed cannot show an improvement")
    # The sort is stable and the reference comes first, so an equal configuration is no improvement.
    order = sorted([reference, *repeated], key=lambda cell: sign * mean(list(cell.values())))
    place = next(i for i, cell in enumerate(order) if cell is reference)
    lead = leads(order, maximise=maximise)[place or 1]
    gap = intervals.plus_minus(lead.gap if place else -lead.gap, lead.half_width if isfinite(lead.half_width) else None)
    if place and lead.is_sure:
        return Verdict(is_open=True, why=f"{told}: better by {gap}")
    return Verdict(is_open=False, why=f"{told}: {gap} is no significant improvement")


def _condition(at_least: float | None, at_most: float | None) -> tuple[float, float, str]:
    """The sign that makes larger better, the threshold, and the condition in words."""
    if at_most is not None:
        return -1.0, at_most, f"at most {at_most:g}"
    if at_least is None:
        raise ValueError("one of at_least and at_most is needed")
    return 1.0, at_least, f"at least {at_least:g}"


def _without_value(metric: str) -> Verdict:
    return Verdict(is_open=False, why=f"no configuration has a value of {metric}")


def _best(cells: Sequence[ScoresBySeed], *, maximise: bool) -> ScoresBySeed:
    return (max if maximise else min)(cells, key=lambda cell: mean(list(cell.values())))


def _shown(cell: ScoresBySeed, sign: float = 1.0) -> str:
    values = [sign * value for value in cell.values()]
    return intervals.plus_minus(mean(values), half_width(values))
