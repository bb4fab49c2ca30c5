"""Runs of the local stores of trackers, as a table that is understood like any other, and their histories."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.errors import UserError, counted
from core.seal import canonical_json
from jobs.ledger.cells import Number
from jobs.ledger.columns import ReadColumn
from jobs.ledger.names import NOTE, SECONDS, target
from jobs.ledger.read import Content
from jobs.ledger.table import Table, TextRow
from jobs.results.names import METRIC
from jobs.results.schema import Attempt

MOST_RUNS = 20_000
"""Of one store."""
MOST_POINTS = 2_000
"""Of one metric of one run; of more, every second, third, … and the last are kept."""
LARGEST = 256 * 2**20
"""The most bytes of one file of a store."""
_METRICS = "metrics."
_RAYS_OWN = ("time_total_s", "timestamp")
"""Times that Ray Tune adds to each report."""
_LAST_STEP = 2**31 - 1


@dataclass(slots=True)
class StoredRun:
    """A run of a tracker.

    Attributes:
        id: the tracker's own.
        study: the study, experiment or project that it is of; empty if the store names none.
        goals: of a study's objectives, `max` or `min` by the metric's name; the first is what it is about.
        renamed: the names of objectives in their study, by the names that they have here, if these differ.
        left_out: user attributes that are not kept, since an objective or a parameter has the name.
        is_final: whether its last reports are its result; not of a run of Optuna that was pruned or failed.
        name: what people see, or empty.
        status: the tracker's word, such as `FINISHED`.
        started: seconds since 1970, or None.
        seconds: how long it took, or None.
        params: parameters by name, nested mappings with dots.
        metrics: last values by name.
        history: `(step, seconds since the start, metric, value)`.
    """

    id: str
    name: str = ""
    status: str = ""
    started: float | None = None
    seconds: float | None = None
    params: dict[str, Any] = field(default_factory=dict[str, Any])
    metrics: dict[str, float] = field(default_factory=dict[str, float])
    history: list[tuple[int, float, str, float]] = field(default_factory=list[tuple[int, float, str, float]])
    study: str = ""
    goals: dict[str, str] = field(default_factory=dict[str, str])
    renamed: dict[str, str] = field(default_factory=dict[str, str])
    left_out: set[str] = field(default_factory=set[str])
    is_final: bool = True


def by_study(runs: Sequence[StoredRun]) -> dict[str, list[StoredRun]]:
    """The runs of each study of a store, by its name there."""
    found: dict[str, list[StoredRun]] = {}
    for run in runs:
        found.setdefault(run.study, []).append(run)
    return found


def selection(runs: Sequence[StoredRun], columns: Sequence[ReadColumn]) -> dict[str, Any]:
    """What a study of these runs ranks by, in the form of `_study.json`; empty if its store names no objective.

    Of several objectives the first ranks, and all make the Pareto front.
    """
    goals = next((run.goals for run in runs if run.goals), {})
    meant = {column.header: column.target.key for column in columns if column.target.key.startswith(METRIC)}
    found = {name: meant.get(f"{_METRICS}{name}") for name in goals}
    named = {key.removeprefix(METRIC): goals[name] for name, key in found.items() if key}
    if not named:
        return {}
    first = next(iter(named))
    return {"metric": first, "mode": named[first]} | ({"metrics": [*named], "modes": named} if len(named) > 1 else {})


def is_metric(name: str, value: Any) -> bool:
    """Whether a value that a run reported is an outcome: a number whose name does not tell of the run itself."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return not name.startswith(("_", "conclus.")) and name not in _RAYS_OWN and target(name).key != NOTE


@lru_cache(maxsize=1024)
def is_outcome(name: str) -> bool:
    """Whether a metric of this name is none of the columns that tell of the run, such as `seconds`."""
    return target(f"{_METRICS}{' '.join(name.split())}").key.removeprefix(METRIC) not in {"", SECONDS}


def flat(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested parameters with dotted names; those whose names begin with `_` are the tracker's own."""
    found: dict[str, Any] = {}
    for key, value in params.items():
        if isinstance(value, dict) and value:
            found |= flat(value, f"{prefix}{key}.")
        elif not str(key).startswith("_"):
            found[f"{prefix}{key}"] = value
    return found


def content(path: Path, runs: Sequence[StoredRun]) -> Content:
    """The runs as a file with one table, one row for each, whose line is its number.

    Raises:
        UserError: there is no run, or there are too many.
    """
    if not runs or len(runs) > MOST_RUNS:
        what = f"{len(runs):,} runs, more than {MOST_RUNS:,}" if runs else "no run"
        raise UserError(f"{path} has {what}.")
    params = list(dict.fromkeys(name for one in runs for name in one.params))
    metrics = [one for one in dict.fromkeys(name for one in runs for name in _last(one)) if is_outcome(one)]
    about = ("run_id", "run_name", "status", "start_time", "seconds")
    header = (*about, *(f"params.{one}" for one in params), *(f"{_METRICS}{one}" for one in metrics))
    rows: list[TextRow] = []
    for number, run in enumerate(runs, 1):
        last = _last(run)
        own = (run.id, run.name, run.status, _moment(run.started), _text(run.seconds))
        values = [*(_text(run.params.get(one)) for one in params), *(_text(last.get(one)) for one in metrics)]
        rows.append(TextRow(number, (*own, *values)))
    digest = hashlib.sha256(canonical_json([one.cells for one in rows]).encode()).hexdigest()[:16]
    name = path.resolve().name
    return Content(name, digest, [Table(name, TextRow(0, header), tuple(rows))], frozenset())


def with_histories(rows: Sequence[Attempt], runs: Sequence[StoredRun], columns: Sequence[ReadColumn]) -> list[Attempt]:
    """The rows with the histories of their runs, under the names and in the units of their metrics."""
    meant: dict[str, tuple[str, float]] = {}
    for column in columns:
        if column.target.key.startswith(METRIC) and column.header.startswith(_METRICS):
            name = column.target.key.removeprefix(METRIC)
            meant[column.header.removeprefix(_METRICS)] = name, _factor(column)
    return [_with_history(row, runs[int(row.env["line"]) - 1], meant) for row in rows]


def notes(runs: Sequence[StoredRun]) -> list[str]:
    """Sentences on what is not kept of the runs, or is kept under another name."""
    renamed = {own: name for one in runs for own, name in one.renamed.items()}
    told = [f"The objective {name} is kept as {own}: {name} is how long a run took." for own, name in renamed.items()]
    for name, count in Counter(name for one in runs for name in one.left_out).items():
        has = "an objective or a parameter has that name"
        told.append(f"The user attribute {name} of {counted(count, 'run')} is left out: {has}.")
    lost = [name for name in dict.fromkeys(name for one in runs for name in _last(one)) if not is_outcome(name)]
    told += [f"The metric {name} is left out: {name} is how long a run took." for name in lost]
    return [*told, *_thinned_note(runs)]


def _thinned_note(runs: Sequence[StoredRun]) -> list[str]:
    long = sum(len(one.history) > MOST_POINTS * max(1, len({name for _, _, name, _ in one.history})) for one in runs)
    return [f"Of each metric at most {MOST_POINTS:,} steps are kept, in {counted(long, 'run')}."] if long else []


def _last(run: StoredRun) -> dict[str, float]:
    """The last values: those of the history, unless the tracker says others."""
    return {name: value for _, _, name, value in run.history if run.is_final or name not in run.goals} | run.metrics


def _with_history(row: Attempt, run: StoredRun, meant: Mapping[str, tuple[str, float]]) -> Attempt:
    by_name: dict[str, list[tuple[int, float, str, float]]] = {}
    for step, seconds, name, value in run.history:
        if name in meant and 0 <= step <= _LAST_STEP:
            own, factor = meant[name]
            by_name.setdefault(own, []).append((step, seconds, own, value * factor))
    kept = [one for points in by_name.values() for one in _thinned(points)]
    history = sorted(kept, key=lambda one: one[0])
    return replace(row, history=history, epochs_done=history[-1][0] if history else 0)


def _thinned(points: list[tuple[int, float, str, float]]) -> list[tuple[int, float, str, float]]:
    step = -(-len(points) // MOST_POINTS)
    return points[::-1][::step][::-1]  # The last one stays.


def _factor(column: ReadColumn) -> float:
    """What the numbers of a column were multiplied by: .01 for percent."""
    for text, value in zip(column.texts, column.values, strict=True):
        if text and isinstance(value, Number) and float(text):
            return float(f"{value.value / float(text):.6g}")
    return 1.0


def _moment(seconds: float | None) -> str:
    try:
        return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(sep=" ")
    except (ValueError, OverflowError, OSError):
        return ""


def _text(value: Any) -> str:
    """A cell; what no table can hold, such as an infinite number, is blank."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, str):
        return " ".join(value.split())
    return repr(value) if isinstance(value, int | float) else json.dumps(value)
