"""What the live page shows of studies, as plain data for JSON: made anew when their files change."""

from __future__ import annotations

import time
from dataclasses import asdict
from math import isfinite
from typing import TYPE_CHECKING, Any

from core.errors import UserError
from jobs.analysis.intervals import fixed
from jobs.analysis.scores import metric_column, metric_name, within_trial
from jobs.health.status import Trial
from jobs.live import courses, ends
from jobs.live.following import Following
from jobs.present.status import summary
from jobs.present.tables import cell_text, duration
from jobs.present.visible import bounded, one_line
from jobs.results.layout import study_name
from jobs.results.reader import column_cells

if TYPE_CHECKING:
    import pyarrow as pa

    from jobs.health.status import StudyStatus
    from jobs.results.storage import Place

_TRIALS = 50
"""The page shows so many trials that run, or may go on."""
_ENDED = 20
_WIDTH = 1000


class Watched:
    """One study.

    Attributes:
        folder: Its folder.
        name: Its name.
        is_over: Whether all its trials have ended, or the run that was seen to work on it.
        is_left: Whether trials are left, and nothing runs them.
    """

    def __init__(self, folder: Place) -> None:
        self.folder, self.name = folder, study_name(folder)
        self.is_over = self.is_left = False
        self._following = Following(folder)
        self._behind: courses.Behind | None = None
        self._band: courses.Band | None = None
        self._ended: tuple[int, list[dict[str, Any]]] = (-1, [])
        self._was_run = False

    @property
    def changes(self) -> int:
        """How often its rows have changed."""
        return self._following.changes

    def look(self) -> dict[str, Any]:
        """The study as its files tell it now."""
        found = self._following.look()
        self._was_run = self._was_run or found.count("running") > 0
        all_ended = ends.is_over(found)
        self.is_over = all_ended or (self._was_run and self._following.is_free)
        self.is_left = not all_ended and not ends.is_run(self._following, found)
        self._behind = self._behind or courses.Behind(within_trial(found.metric))
        if self.changes != self._ended[0]:
            self._ended = self.changes, _ended(self._following.rows.loaded().table, found.metric)
        return self._told(found)

    def advice(self, results: str) -> str:
        """What to do about trials that are left, and that nothing runs; empty if none are.

        Args:
            results: The results folder, as it was given.
        """
        return ends.advice(results, self._following, self._following.look()) if self.is_left else ""

    def look_behind(self) -> bool:
        """Reads some of the finished trials' courses; returns whether there was any to read."""
        if self._behind is None or not self._behind.look(self._following.rows.closed):
            return False
        self._band = self._behind.band()
        return True

    def _told(self, found: StudyStatus) -> dict[str, Any]:
        head, *about = summary(found, _WIDTH)
        # Failed ones are among those that ended; of the others those come first that run.
        open_ = [one for one in sorted(found.begun, key=lambda one: one.state != "running") if one.state != "failed"]
        shown = [self._trial(one, found.metric) for one in open_[:_TRIALS]]
        return {
            "study": one_line(self.name),
            "id": self.name,
            "headline": head,
            "about": [line.strip() for line in about],
            "metric": metric_name(within_trial(found.metric)),
            "planned": found.planned,
            "done": found.done,
            "over": self.is_over,
            "runs": found.count("running") > 0,
            "trials": shown,
            "more": len(open_) - len(shown),
            "ended": self._ended[1],
            "band": asdict(self._band) if self._band else None,
            "warnings": [bounded(one_line(one)) for one in found.warnings[:_ENDED]],
        }

    def _trial(self, one: Trial, metric: str) -> dict[str, Any]:
        course = courses.running(self._following.folder, one.trial_key, one.attempt_id, within_trial(metric))
        left = "" if one.seconds_left is None else duration(one.seconds_left)
        return {
            "key": one_line(one.trial_key),
            "seed": one.seed,
            "state": one.state,
            "epoch": one.epoch,
            "epochs": one.epochs,
            "loss": "" if one.loss is None else cell_text(one.loss),
            "value": "" if one.value is None else fixed(one.value),
            "left": left,
            "verdict": bounded(one_line(one.verdict)),
            "course": course,
        }


def _ended(table: pa.Table, metric: str) -> list[dict[str, Any]]:
    """The trials that ended last, the latest first."""
    rows = [row for row, status in enumerate(table["status"].to_pylist()) if status in {"ok", "stopped", "failed"}]
    started, seconds = (table[name].to_pylist() for name in ("started", "seconds"))
    ends = {row: started[row].timestamp() + (seconds[row] or 0.0) for row in rows if started[row]}
    last = sorted(ends, key=lambda row: ends[row], reverse=True)[:_ENDED]
    values = _values(table, metric)
    return [
        {
            "key": one_line(table["trial_key"][row].as_py()),
            "seed": table["seed"][row].as_py(),
            "status": table["status"][row].as_py(),
            "value": "" if (value := values[row]) is None or not isfinite(value) else fixed(value),
            "seconds": duration(seconds[row] or 0.0),
            "at": time.strftime("%H:%M:%S", time.localtime(ends[row])),
            "reason": bounded(one_line(table["reason"][row].as_py() or "")),
        }
        for row in last
    ]


def _values(table: pa.Table, metric: str) -> list[float | None]:
    """The metric of each row; None where there is none, as of the consensus, which no file has."""
    try:
        return column_cells(table, metric_column(table.column_names, metric))
    except UserError:
        return [None] * table.num_rows
