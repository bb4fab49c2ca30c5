"""The courses of a metric: of the trials that run, and what is known of the finished ones behind them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.errors import UserError
from jobs.health.curves import curve_metrics, points_by_row
from jobs.results import course
from jobs.results.header import FINISHED
from jobs.results.layout import TRIALS
from jobs.results.reader import HISTORY_COLUMN, load

if TYPE_CHECKING:
    import pyarrow as pa

    from jobs.results.storage import File, Place

POINTS = 60
"""The most epochs of a course that are sent: more than a drawing of some hundred pixels shows."""
_FEWEST = 3
"""Finished trials of which a band tells something."""
_TOGETHER = 200
_AT_ONCE = 50

Course = list[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Band:
    """The metric of the finished trials by epoch: a tenth of them is below `low`, and a tenth above `high`."""

    trials: int
    epochs: list[int]
    low: list[float]
    middle: list[float]
    high: list[float]


class Behind:
    """The courses of finished trials, read a few files at a time.

    Args:
        metric: A metric within a trial.
    """

    def __init__(self, metric: str) -> None:
        self._names = (metric, f"health.{metric}")
        self._read: set[File] = set()
        self._attempts: set[str] = set()
        self._epochs: list[np.ndarray] = []
        self._values: list[np.ndarray] = []

    def look(self, closed: Collection[File]) -> bool:
        """Reads some of these files, if any are new; returns whether it has read one."""
        new = sorted(set(closed) - self._read, key=str)
        some = new[:1] if new and "/compact/" in str(new[0]) else new[:_TOGETHER]
        if not some:
            return False
        self._read.update(some)
        try:
            load([*some], history=True, columns=[HISTORY_COLUMN], lighten=self._lightened)
        except UserError:  # Files were moved meanwhile: their rows come again in another one.
            self._read -= {*some}
            return False
        return True

    def band(self) -> Band | None:
        """What the courses say by epoch; None with fewer than `_FEWEST` trials."""
        if not self._epochs:
            return None
        epochs, values = np.concatenate(self._epochs), np.concatenate(self._values)
        order = np.argsort(epochs, kind="stable")
        each, starts = np.unique(epochs[order], return_index=True)
        groups = np.split(values[order], starts[1:])
        kept = [(int(epoch), group) for epoch, group in zip(each, groups, strict=True) if len(group) >= _FEWEST]
        if not kept:
            return None
        kept = [kept[place] for place in _evenly(len(kept))]
        low, middle, high = np.array([np.quantile(group, (0.1, 0.5, 0.9)) for _, group in kept]).T.tolist()
        return Band(len(self._epochs), [epoch for epoch, _ in kept], low, middle, high)

    def _lightened(self, rows: pa.Table) -> pa.Table:
        """Takes the courses of finished trials; returns the rows without them."""
        for start in range(0, rows.num_rows, _AT_ONCE):  # All of a file at once would take a hundred MB.
            self._take(rows.slice(start, _AT_ONCE))
        return rows.drop_columns([HISTORY_COLUMN])

    def _take(self, rows: pa.Table) -> None:
        ended = list(zip(rows["attempt_id"].to_pylist(), rows["status"].to_pylist(), strict=True))
        for row, points in _points(rows, self._names).items():
            attempt, status = ended[row]
            if status in FINISHED and attempt not in self._attempts and len(points) > 1:
                self._attempts.add(attempt)
                thin = [points[place] for place in _evenly(len(points))]
                self._epochs.append(np.array([epoch for epoch, _ in thin], np.int32))
                self._values.append(np.array([value for _, value in thin]))


def running(folder: Place, trial_key: str, attempt_id: str, metric: str) -> Course:
    """The course of a trial that runs: what its row has, and the epochs since then; empty if nothing is known."""
    found = dict(_in_row(folder, trial_key, attempt_id, metric))
    told = course.read(folder, trial_key, attempt_id)
    if told is not None and told.metric == metric:
        found |= {one.epoch: one.value for one in told.done if one.value is not None}
    points = sorted(found.items())
    return [points[place] for place in _evenly(len(points))]


def _in_row(folder: Place, trial_key: str, attempt_id: str, metric: str) -> Course:
    file = folder / TRIALS / f"{trial_key}.{attempt_id}.parquet"
    try:
        table = load(file, attempts=True, history=True, columns=[HISTORY_COLUMN]).table
    except UserError:
        return []
    return next(iter(_points(table, (metric, f"health.{metric}")).values()), [])


def _points(table: pa.Table, names: Collection[str]) -> dict[int, Course]:
    """By row the epochs and values of the first of these metrics that there is."""
    name = next((one for one in names if one in curve_metrics(table)), None)
    return {} if name is None else {row: sorted(one.items()) for row, one in points_by_row(table, name).items()}


def _evenly(count: int) -> list[int]:
    """At most `POINTS` of so many places, evenly spread, with the first and the last."""
    if count <= POINTS:
        return list(range(count))
    return [round(i * (count - 1) / (POINTS - 1)) for i in range(POINTS)]
