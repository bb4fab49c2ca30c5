"""Forecasts the score of a trial that still runs from the finished trials of the store, with a 90 % interval.

The centre is a weighted linear regression of what was still gained on the score so far and on its gain over the last
half of the way; finished trials of the same method and of the same data count more. Each finished trial is forecast in
the same way without its own group, and its error is divided by the errors of similar trials. The interval is the
quantile of these errors, in which every group weighs the same and one more group of unknown, infinite error stands for
the trial's own. So it is made for a trial of a group never seen before, if the groups are exchangeable. Coverage is
proven where errors come from data apart from those of the regression. Here each comes from a regression without its
group, as in the jackknife, and `benchmarks/forecast_end.py` measures coverage. References: Lee, Barber and Willett,
"Distribution-free inference with hierarchical data" (arXiv 2306.06342); Dunn, Wasserman and Ramdas, "Distribution-Free
Prediction Sets for Two-Layer Hierarchical Models" (JASA 118, 2023).

A trial is not forecast if all of these trials have ended before the epoch that it is in. What they do not have, such as
a batch size outside the range of theirs, is named: the interval does not allow for it.

The groups are the configurations of the trial's own study if at least `NEEDED` of them have finished, and else the
other studies. Trials that were ended early are not counted, as their end is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from jobs.analysis import apart
from jobs.analysis.intervals import fixed
from jobs.analysis.scores import default_mode, uses_labels
from jobs.health.curves import curve_metrics, points_by_row
from jobs.results.names import PARAM
from jobs.results.reader import HISTORY_COLUMN

COLUMNS = (HISTORY_COLUMN, "epochs_done", "data_hash", f"{PARAM}*", *apart.COLUMNS)
"""What is read of the store, beside what identifies a trial; the histories have to be asked for."""
LEVEL = 0.9
NEEDED = math.ceil(LEVEL / (1 - LEVEL) - 1e-9)
"""Groups: with fewer, the one of unknown error alone weighs more than the interval may miss."""
LIKE = 2.0
"""Trials of other lengths count if theirs is at most so many times the running one's, or a fraction."""
MOST = 2000
"""Finished trials that are looked at, evenly of the groups: time and memory grow with the square of their number."""
_OTHER = 0.2
"""The weight of a trial of another method, and of one of other data."""
_WIDTH = 0.5
"""Within so many standard deviations trials are similar."""
_FLOOR = 0.5
"""Share of the mean error in the error of similar trials: a few lucky ones do not make an interval of no width."""

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Forecast:
    """What a score is expected to be at a later epoch.

    Attributes:
        metric: the score, such as `nmi`.
        since: the scored epoch up to which the trial's course is known.
        last: the score there.
        epoch: the epoch of the forecast.
        value: the expected score.
        low: the lower end of the 90 % interval.
        high: its upper end.
        trials: the number of finished trials it comes from.
        groups: the number of their groups.
        by: what the groups are, `configuration` (of the same study) or `study`.
        unseen: the keys of the trial's parameters whose value none of these trials has; of a number, nor a value below
            and one above it.
    """

    metric: str
    since: int
    last: float
    epoch: int
    value: float
    low: float
    high: float
    trials: int
    groups: int
    by: str
    unseen: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The forecast, for a person."""
        other = f". They have other values of {', '.join(self.unseen)}, so it may be far off" if self.unseen else ""
        place = "configurations of its study" if self.by == "configuration" else "other studies"
        return (
            f"{self.metric} {fixed(self.value)} is expected in epoch {self.epoch}, 90 % interval {fixed(self.low)} to "
            f"{fixed(self.high)}, from {self.trials} finished trials of {self.groups} {place}{other}"
        )


@dataclass(frozen=True)
class TooFew:
    """Why there is no forecast: too few comparable trials have finished, or none got as far as the trial.

    Attributes:
        metric: the score.
        configurations: finished configurations of the trial's own study; `NEEDED` of them are enough.
        studies: other studies with finished trials; `NEEDED` of them are enough too.
        is_scored: whether the trial itself has a score to start from.
        longest: the epochs of the longest of them, if that is fewer than the trial already has; else 0.
    """

    metric: str
    configurations: int
    studies: int
    is_scored: bool = True
    longest: int = 0

    @property
    def sentence(self) -> str:
        """The reason, for a person."""
        if not self.is_scored:
            return f"no epoch of the trial has a {self.metric} yet"
        if self.longest:
            return f"no finished trial got so far: the longest comparable one has {self.longest} epochs"
        return (
            f"too few finished trials: {self.configurations} configurations of its study and {self.studies} other "
            f"studies have a comparable one, and a forecast needs {NEEDED} of either"
        )


@dataclass(frozen=True, eq=False)
class Past:
    """A trial's course.

    Attributes:
        study: its study.
        config_key: its configuration.
        method: the method's name.
        data: the hash of the data.
        epochs: the epochs it was to train.
        at: the scored epochs as shares of those, ascending.
        values: the score at each.
        is_whole: whether it has finished with a score in its last epoch.
        params: its parameters by dotted key.
    """

    study: str
    config_key: str
    method: str
    data: str
    epochs: int
    at: Vector
    values: Vector
    is_whole: bool
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def value(self, at: float) -> float:
        """The score at a share of the epochs, between two scored epochs on a straight line."""
        return float(np.interp(at, self.at, self.values))


def pasts(table: pa.Table, metric: str) -> dict[tuple[str, str], Past]:
    """The course of each trial that has any, by study and trial key; of trials of one protocol.

    Args:
        table: rows of the store with `COLUMNS`, one per trial.
        metric: the name of a score or signal, such as `nmi` or `label_free`.
    """
    table, _ = apart.split(table)
    name = next((one for one in (metric, f"health.{metric}") if one in curve_metrics(table)), None)
    if name is None or f"{PARAM}epochs" not in table.column_names:
        return {}
    rows = table.drop_columns([HISTORY_COLUMN]).to_pylist()
    courses = [(rows[row], sorted(found.items())) for row, found in points_by_row(table, name).items()]
    known = [(row, course, _epochs(row[f"{PARAM}epochs"])) for row, course in courses]
    return {(row["study"], row["trial_key"]): _past(row, course, n) for row, course, n in known if n >= course[-1][0]}


def _epochs(value: Any) -> int:
    """The number of epochs in a row, 0 if it is none: beside a stranger's text, all rows have texts there."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return 0
    return int(number) if 1 <= number < 2**31 else 0


def _past(row: dict[str, Any], course: list[tuple[int, float]], epochs: int) -> Past:
    return Past(
        study=row["study"],
        config_key=row["config_key"],
        method=str(row.get(f"{PARAM}method.name")),
        data=str(row.get("data_hash")),
        epochs=epochs,
        at=np.array([epoch / epochs for epoch, _ in course]),
        values=np.array([value for _, value in course]),
        is_whole=row["status"] == "ok" and course[-1][0] == epochs,
        params={
            name.removeprefix(PARAM): value
            for name, value in row.items()
            if name.startswith(PARAM) and name != f"{PARAM}data.path"
        },
    )


def forecast(table: pa.Table, metric: str, study: str, trial_key: str, epoch: int | None = None) -> Forecast | TooFew:
    """The forecast of a trial's score.

    Args:
        table: rows of the store with `COLUMNS`, one per trial; that of the trial among them.
        metric: the name of a score or signal, such as `nmi` or `label_free`.
        study: the trial's study.
        trial_key: its whole key.
        epoch: a later epoch; by default the trial's last one.
    """
    known = pasts(table, metric)
    own = known.pop((study, trial_key), None)
    return TooFew(metric, 0, 0, is_scored=False) if own is None else expected(own, list(known.values()), metric, epoch)


def expected(own: Past, others: Sequence[Past], metric: str, epoch: int | None = None) -> Forecast | TooFew:
    """The forecast of a course that has reached `own.at[-1]`, from the whole ones among others."""
    now, target = float(own.at[-1]), 1.0 if epoch is None else epoch / own.epochs
    usable = [one for one in others if one.is_whole and one.at[0] <= now and _is_like(one.epochs, own.epochs)]
    same = [one for one in usable if one.study == own.study and one.config_key != own.config_key]
    rest = [one for one in usable if one.study != own.study]
    configurations, studies = len({one.config_key for one in same}), len({one.study for one in rest})
    if configurations >= NEEDED:
        by, chosen = "configuration", _thinned([(one.config_key, one) for one in same])
    elif studies >= NEEDED:
        by, chosen = "study", _thinned([(one.study, one) for one in rest])
    else:
        return TooFew(metric, configurations, studies)
    groups, those = [group for group, _ in chosen], [one for _, one in chosen]
    if (longest := max(one.epochs for one in those)) < round(now * own.epochs):
        return TooFew(metric, configurations, studies, longest=longest)
    value, half = _interval(own, those, groups, (now, target))
    bottom, top = -math.inf, math.inf
    if uses_labels(metric) and default_mode(metric) == "max":
        bottom, top = min(0.0, *(float(one.values.min()) for one in (own, *those))), 1.0
    value = min(max(value, bottom), top)
    return Forecast(
        metric=metric,
        since=round(now * own.epochs),
        last=float(own.values[-1]),
        epoch=round(target * own.epochs),
        value=value,
        low=max(value - half, bottom),
        high=min(value + half, top),
        trials=len(chosen),
        groups=len(set(groups)),
        by=by,
        unseen=tuple(
            key for key in sorted(own.params) if _is_unseen(own.params[key], [x.params.get(key) for x in those])
        ),
    )


def _is_unseen(own: Any, others: Sequence[Any]) -> bool:
    if own in others:
        return False
    if not isinstance(own, int | float):
        return True
    numbers = [one for one in others if isinstance(one, int | float)]
    return not numbers or not min(numbers) <= own <= max(numbers)


def _thinned(courses: Sequence[tuple[str, Past]]) -> list[tuple[str, Past]]:
    """Of each group's courses at most its share of `MOST`, and at least one, evenly spread."""
    groups: dict[str, list[Past]] = {}
    for group, one in courses:
        groups.setdefault(group, []).append(one)
    most = max(1, MOST // len(groups))
    return [(group, one) for group, own in groups.items() for one in own[:: math.ceil(len(own) / most)]]


def _is_like(epochs: int, own: int) -> bool:
    return own / LIKE <= epochs <= own * LIKE


def _interval(
    own: Past, chosen: Sequence[Past], groups: Sequence[str], span: tuple[float, float]
) -> tuple[float, float]:
    """The expected score at the second share of the epochs, known up to the first, and half its interval."""
    now, target = span
    rows = [*chosen, own]  # The last row is the one to forecast: no other is forecast from it.
    values = np.array([one.value(now) for one in rows])
    gains = values - np.array([one.value(now / 2) for one in rows])
    still = np.array([one.value(target) for one in chosen]) - values[:-1]
    group = np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(group)
    weights = _likeness(rows)[:, :-1] / sizes[group]
    weights[:-1][group[:, None] == group] = 0.0
    places = np.stack([values, gains], axis=1)
    # As shares of the largest, no square leaves what a number can hold.
    places /= np.abs(places).max() or 1.0
    spread = places[:-1].std(axis=0)
    # Equal numbers have a spread of rounding alone.
    equal = spread <= 1e-9
    places = (places - places[:-1].mean(axis=0)) / np.where(equal, 1.0, spread)
    centres = _regressed(places, still, weights)
    errors = np.abs(still - centres[:-1])
    scales = _similar(places, errors, weights)
    scores = errors / scales[:-1]
    level = _quantile(scores, 1 / sizes[group] / (len(sizes) + 1))
    return float(values[-1] + centres[-1]), float(level * scales[-1])


def _likeness(rows: Sequence[Past]) -> Matrix:
    """How much each trial counts for each: 1 with the same method and data, and less for either that differs."""
    found = np.ones((len(rows), len(rows)))
    for names in ([one.method for one in rows], [one.data for one in rows]):
        codes = np.unique(names, return_inverse=True)[1]
        found *= np.where(codes[:, None] == codes, 1.0, _OTHER)
    return found


def _regressed(places: Matrix, still: Vector, weights: Matrix) -> Vector:
    """For each row of weights, the value at that row's place of the weighted regression of `still` on the places."""
    design = np.column_stack([np.ones(len(places)), places])
    known = design[:-1]
    products = weights @ (known[:, :, None] * known[:, None, :]).reshape(len(known), -1)
    ridge = 1e-2 * weights.sum(axis=1)[:, None, None] * np.diag([1e-6, 1.0, 1.0])
    slopes = np.linalg.solve(products.reshape(-1, 3, 3) + ridge, (weights @ (known * still[:, None]))[:, :, None])
    return (design[:, None, :] @ slopes)[:, 0, 0]


def _similar(places: Matrix, errors: Vector, weights: Matrix) -> Vector:
    """For each row of weights, the mean error of the trials near its place, with a share of the mean of all."""
    squares = ((places[:, None, :] - places[None, :-1, :]) ** 2).sum(axis=2)
    near = weights * np.exp(-squares / (2 * _WIDTH**2)) + 1e-12 * weights
    means = (near @ errors) / near.sum(axis=1), (weights @ errors) / weights.sum(axis=1)
    return np.maximum((1 - _FLOOR) * means[0] + _FLOOR * means[1], 1e-12)


def _quantile(scores: Vector, masses: Vector) -> float:
    """The least score with at least `LEVEL` of the mass at or below it."""
    order = np.argsort(scores)
    place = int(np.searchsorted(np.cumsum(masses[order]), LEVEL - 1e-9))
    return float(scores[order][place])
