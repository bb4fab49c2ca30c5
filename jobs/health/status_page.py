"""The numbers of the status page of one trial; `jobs.present.status_page` puts them into words.

All come from the trial's row, from the other rows of the store, and, for the length of texts, from the data. What these
do not tell is None or empty, and the page says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import median
from typing import Any

import pyarrow as pa

from core.config.schema import nearest
from core.errors import UserError
from core.evaluation.health import Course
from core.evaluation.rules import RULES, Rule
from core.evaluation.trend import EPSILON, FEWEST
from jobs.analysis import apart, data_sets
from jobs.analysis.outcomes import HEALTH
from jobs.analysis.pareto import NO_AIMS, Aims, ranked
from jobs.analysis.samples import METHOD, best_row
from jobs.analysis.scores import LABEL_FREE, metric_name, uses_labels, within_trial
from jobs.health import courses
from jobs.health.changes import AdviceOnCode, advices
from jobs.health.courses import Judged, judged
from jobs.health.curves import curve_metrics
from jobs.health.forecast import Forecast, TooFew, expected, pasts
from jobs.health.settings import factors
from jobs.results.header import FINISHED
from jobs.results.names import METRIC
from jobs.results.reader import take

COLUMNS = courses.COLUMNS
"""What is read of the store beside the histories."""
_STEPS = 4
"""So many epochs ahead of a running trial, or of the past of a finished one, are in its trajectory."""
STEADY = 3
"""Scored epochs: with fewer there are not two changes to compare."""
EQUAL = 0.0005
"""Scores that differ by no more are equal: they are shown with three decimals."""
_MOST = 8
"""Data sets that are compared, and trials that are better than this one and are told."""

Series = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Compared:
    """The finished trials of the store on one data set.

    Attributes:
        data: its name.
        is_own: whether it is that of the page's trial.
        imbalance: of its classes, the largest divided by the smallest; None if unknown.
        trials: their number.
        low: their lowest score.
        middle: the median.
        high: the highest.
    """

    data: str
    is_own: bool
    imbalance: float | None
    trials: int
    low: float
    middle: float
    high: float


@dataclass(frozen=True)
class Better:
    """A better finished trial of the same study and data.

    Attributes:
        trial_key: its key.
        score: its last score.
        other: what is another value in it: (key, own value, its value).
    """

    trial_key: str
    score: float
    other: tuple[tuple[str, Any, Any], ...]


@dataclass(frozen=True)
class Place:
    """How many other trials are worse, as good but for `EQUAL`, and better."""

    lower: int
    equal: int
    higher: int

    @property
    def others(self) -> int:
        """All of them."""
        return self.lower + self.equal + self.higher


@dataclass(frozen=True)
class Words:
    """The texts of a data set, split at blanks.

    Attributes:
        mean: words a text.
        texts: the number of texts.
    """

    mean: float
    texts: int


@dataclass(frozen=True, kw_only=True)
class StatusPage:
    """What a status page tells.

    Attributes:
        trial: the trial, judged.
        course: its course.
        data: the name of its data set.
        metric: the score that the page is about, without a prefix.
        maximise: whether a larger score is better.
        scores: the score, as (epoch, value).
        words: the texts' length; or why it is unknown, as a sentence's part.
        rules: the rules of the findings, in the same order.
        advice: for each finding, what to change.
        compared: the data sets of the store with finished trials, this trial's first.
        place: the other finished trials on the same data, by how their score at their end compares with this one's now.
        reached: the score that the trial has ended with, or is expected to end with; None if that is unknown.
        better: finished trials of the same study with a better score than that, the best first.
        ahead: the forecasts of a running trial, by epoch; or why there is none.
    """

    trial: Judged
    course: Course
    data: str
    metric: str
    maximise: bool
    scores: Series
    words: Words | str
    rules: tuple[Rule, ...]
    advice: tuple[AdviceOnCode, ...]
    compared: tuple[Compared, ...]
    place: Place
    reached: float | None
    better: tuple[Better, ...]
    ahead: tuple[Forecast, ...] | TooFew

    @property
    def last(self) -> float | None:
        """The last score; None without one."""
        return self.scores[-1][1] if self.scores else None

    @property
    def best(self) -> tuple[int, float] | None:
        """The epoch of the best score, the first of equal ones, and the score; None without one."""
        sign = 1 if self.maximise else -1
        return max(self.scores, key=lambda one: (sign * one[1], -one[0]), default=None)

    @property
    def is_near_best(self) -> bool:
        """Whether the last score is the best one but for a difference that counts as none."""
        return self.best is not None and self.last is not None and abs(self.best[1] - self.last) <= EPSILON

    def number(self, name: str) -> float | None:
        """The last value of a signal, or of a number on the course; None if unknown."""
        value = self.trial.numbers.get(name, self.course.at(name, self.course.last))
        return float(value) if isinstance(value, int | float) and isfinite(value) else None

    @property
    def scored(self) -> int:
        """The scored epochs from which trend, stability, rises and falls are told."""
        return sum(map(isfinite, self.course.values(self.trial.score)))

    @property
    def trend(self) -> str | None:
        """What the score does; None with too few scored epochs."""
        name = self.trial.numbers.get("performance_trend") if self.scored >= FEWEST else None
        return str(name) if name else None

    @property
    def steady(self) -> float | None:
        """How stable the score is, 0..1; None with too few scored epochs."""
        return self.number("stability_score") if self.scored >= STEADY else None

    @property
    def passed(self) -> tuple[tuple[int, float], ...]:
        """Of the scored epochs at most `_STEPS` evenly spread ones, with the last."""
        count = min(_STEPS, len(self.scores))
        return tuple(self.scores[round((place + 1) * len(self.scores) / count) - 1] for place in range(count))


@dataclass(frozen=True)
class PageTrial:
    """The trial of a page, and the score that the page is about.

    Attributes:
        place: its row.
        metric: the score, without a prefix.
        maximise: whether a larger score is better.
        of: how many trials it is the best of; 0 if it was named.
        data_sets: on how many data sets these were trained.
    """

    place: int
    metric: str
    maximise: bool
    of: int
    data_sets: int = 1


def choose(
    table: pa.Table, metric: str, *, maximise: bool, key: str | None, named: bool, aims: Aims = NO_AIMS
) -> PageTrial:
    """The trial with this key, or else the best one: of the finished ones, or else of those that have a score.

    Args:
        table: rows of the store with `COLUMNS`, one per trial.
        metric: the metric by which trials are ranked; without labels, the label-free score stands in for one that
            needs them.
        maximise: whether a larger value of it is better.
        key: the whole key of a trial, or None.
        named: whether the user named the metric: then no other stands in for it.
        aims: the constraints of the study; what breaks one is not the best.

    Raises:
        UserError: several studies have the trial, or no trial has a value of the metric.
    """
    metric = within_trial(metric)
    if named:
        _check_known(table, metric)
    places = [row for row, one in enumerate(table["trial_key"].to_pylist()) if key in {None, one}]
    has_scores, has_others = (any(_end(table, row, one) is not None for row in places) for one in (metric, LABEL_FREE))
    # Where no epoch is scored yet, labels are not known to be missing.
    if uses_labels(metric) and not named and has_others and not has_scores:
        metric, maximise = LABEL_FREE, True
    if key is not None:
        if len(places) > 1:
            raise UserError(f"Several studies have the trial {key}: name one with --study.")
        return PageTrial(places[0], metric, maximise, 0)
    if len(places) == 1:
        return PageTrial(places[0], metric, maximise, 0)
    statuses, of_ranked = table["status"].to_pylist(), ranked(table, aims)
    ends = {row: _end(table, row, metric) for row in places}
    scored = [row for row, end in ends.items() if end is not None and of_ranked[row]]
    scored = [row for row in scored if statuses[row] in FINISHED] or scored
    best = best_row({row: ends[row] for row in scored}, table["attempt_id"].to_pylist(), maximise=maximise)
    if best is None:
        raise UserError(f"No trial has a value of {metric!r} yet: name one with --trial.")
    hashes = table["data_hash"].to_pylist()
    return PageTrial(best, metric, maximise, len(scored), len({hashes[row] for row in scored}))


def _check_known(table: pa.Table, metric: str) -> None:
    """Refuses a metric that no row has, unless none has any."""
    known = {
        name for name in table.column_names if name.startswith((METRIC, HEALTH)) and table[name].null_count < len(table)
    }
    known = {metric_name(name) for name in known} | {metric_name(name) for name in curve_metrics(table)}
    if known and metric not in known:
        raise UserError(f"No trial has a value of {metric!r}: there are {nearest(metric, known)}.")


def status_page(table: pa.Table, place: int, metric: str, *, maximise: bool, words: Words | str) -> StatusPage:
    """The numbers of the page of the trial in one row.

    Args:
        table: rows of the store with `COLUMNS` and histories, one per trial.
        place: the trial's row.
        metric: a score or signal, without a prefix.
        maximise: whether a larger score is better.
        words: the length of the data's texts, or why it is unknown.
    """
    table, place = _alike(table, place)
    trials = judged(table, metric if maximise else "")
    own, course = trials[place], courses.courses(take(table, [place]))[0]
    known = [one for one in trials if one.is_known or one is own]
    called = data_sets.names(table, found := data_sets.of_rows(table))
    names = [called[one] for one in found]
    ends = [_end(table, row, metric) if one.status in FINISHED else None for row, one in enumerate(trials)]
    rules = {rule.code: rule for rule in RULES}
    scores = [(epoch, value) for epoch, value in course.get(metric) if isfinite(value)]
    others = [end for i, end in enumerate(ends) if end is not None and i != place and trials[i].data == own.data]
    sign = 1 if maximise else -1
    ahead = _ahead(table, own, metric)
    reached = ahead[-1].value if isinstance(ahead, tuple) and ahead else ends[place]
    return StatusPage(
        trial=own,
        course=course,
        data=names[place],
        metric=metric_name(metric),
        maximise=maximise,
        scores=scores,
        words=words,
        rules=tuple(rules[one.code] for one in own.findings),
        advice=advices(known, known.index(own), [(one, rules[one.code]) for one in own.findings], _MOST),
        compared=_compared(trials, names, ends, place),
        place=_place([sign * end for end in others], sign * scores[-1][1]) if scores else Place(0, 0, 0),
        reached=reached,
        better=() if reached is None else _better(trials, ends, place, (reached, sign)),
        ahead=ahead,
    )


def _place(others: Sequence[float], own: float) -> Place:
    lower, higher = (sum(sign * (end - own) > EQUAL for end in others) for sign in (-1, 1))
    return Place(lower, len(others) - lower - higher, higher)


def _alike(table: pa.Table, place: int) -> tuple[pa.Table, int]:
    """The rows of the trial's protocol; all stay if the trial is itself of another one."""
    key = (table["study"][place].as_py(), table["trial_key"][place].as_py())
    present, _ = apart.split(table)
    keys = list(zip(present["study"].to_pylist(), present["trial_key"].to_pylist(), strict=True))
    return (present, keys.index(key)) if key in keys else (table, place)


def _end(table: pa.Table, row: int, metric: str) -> float | None:
    for column in (f"{METRIC}{metric}", f"{HEALTH}{metric}"):
        if column in table.column_names:
            value = table[column][row].as_py()
            if value is not None and isfinite(value):
                return float(value)
    return None


def _compared(
    trials: Sequence[Judged], names: Sequence[str], ends: Sequence[float | None], place: int
) -> tuple[Compared, ...]:
    """One entry for each data set, by content; the trial's own one is first, then those with the most trials."""
    found: list[Compared] = []
    for data in dict.fromkeys(one.data for one in trials):
        rows = [row for row, one in enumerate(trials) if one.data == data and ends[row] is not None]
        if not rows:
            continue
        values = [end for row in rows if (end := ends[row]) is not None]
        known = [value for row in rows if isinstance(value := trials[row].numbers.get("imbalance_true"), int | float)]
        is_own = data == trials[place].data
        found.append(
            Compared(
                names[rows[0]],
                is_own,
                known[-1] if known else None,
                len(rows),
                min(values),
                median(values),
                max(values),
            )
        )
    return tuple(sorted(found, key=lambda one: (not one.is_own, -one.trials, one.data))[:_MOST])


def _better(
    trials: Sequence[Judged], ends: Sequence[float | None], place: int, least: tuple[float, int]
) -> tuple[Better, ...]:
    """The better finished trials of the study and data that have another value of some parameter, the best first."""
    own, (reached, sign) = trials[place], least
    found: list[Better] = []
    alike = [one for one in trials if one.study == own.study and one.data == own.data]
    keys = sorted(factors(alike).keys() - {"data.path"}, key=lambda key: (key != METHOD, key))
    for row, one in enumerate(trials):
        end = ends[row]
        if row == place or end is None or one.study != own.study or one.data != own.data:
            continue
        other = tuple(
            (key, own.params.get(key), one.params.get(key))
            for key in keys
            if own.params.get(key) != one.params.get(key)
        )
        if other and sign * (end - reached) > EQUAL:
            found.append(Better(one.trial_key, end, other))
    return tuple(sorted(found, key=lambda one: (-sign * one.score, one.trial_key))[:_MOST])


def _ahead(table: pa.Table, own: Judged, metric: str) -> tuple[Forecast, ...] | TooFew:
    if own.status in FINISHED or own.status == "failed":
        return ()
    known = pasts(table, metric)
    course = known.pop((own.study, own.trial_key), None)
    if course is None:
        return TooFew(metric, 0, 0, is_scored=False)
    now = round(course.at[-1] * course.epochs)
    left = course.epochs - now
    epochs = sorted({now + round(left * step / _STEPS) for step in range(1, _STEPS + 1)} - {now})
    found = [expected(course, list(known.values()), metric, epoch) for epoch in epochs]
    refused = next((one for one in found if isinstance(one, TooFew)), None)
    return refused or tuple(one for one in found if isinstance(one, Forecast))
