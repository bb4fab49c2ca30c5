"""Decides whether a study continues after a stage, from the best configurations of this and the previous stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from jobs.analysis import intervals
from jobs.analysis.intervals import half_width, mean
from jobs.analysis.ties import leads

ScoresBySeed = Mapping[int, float]
"""The values of one configuration by seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a gate is open, and the reason with its numbers, in one line."""

    is_open: bool
    why: str


def reaches(metric: str, now: Sequence[ScoresBySeed], *, at_least: float | None, at_most: float | None) -> Verdict:
    """Whether the best configuration's mean of a metric reaches a threshold.

    Args:
        metric: Its name, for the message.
        now: The configurations.
        at_least: The smallest mean that passes; larger is then better.
        at_most: The largest mean that passes; smaller is then better.
    """
    if not now:
        return _without_value(metric)
    best = _best(now, maximise=at_most is None)
    value = mean(list(best.values()))
    is_open = (at_least is None or value >= at_least) and (at_most is None or value <= at_most)
    wanted = f"at most {at_most:g}" if at_most is not None else f"at least {at_least:g}"
    return Verdict(is_open=is_open, why=f"{metric} {_shown(best)}, {'and' if is_open else 'but'} {wanted} is wanted")


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


def _without_value(metric: str) -> Verdict:
    return Verdict(is_open=False, why=f"no configuration has a value of {metric}")


def _best(cells: Sequence[ScoresBySeed], *, maximise: bool) -> ScoresBySeed:
    return (max if maximise else min)(cells, key=lambda cell: mean(list(cell.values())))


def _shown(cell: ScoresBySeed) -> str:
    values = list(cell.values())
    return intervals.plus_minus(mean(values), half_width(values))
