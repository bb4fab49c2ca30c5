"""How a study stands, from its result files alone: on a running study, on a copy of it, years later."""

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import pyarrow as pa

from core.errors import UserError
from jobs.analysis.leaderboard import Entry, leaderboard, wanted_columns
from jobs.results import records, storage
from jobs.results.header import FINISHED
from jobs.results.layout import STUDY_JSON, TRIALS, existing, study_name
from jobs.results.reader import load
from jobs.results.storage import Place

PATIENCE_SECONDS = 90.0
"""A running trial writes at least every 30 s once its epochs are shorter than that: three of these."""
_FIRST_EPOCH_SECONDS = 600.0
"""How long nothing is thought of a trial's silence where no epoch of the study has been timed yet."""
_LATEST = 20
_COLUMNS = ("reason", "started", "seconds", "epochs_done", "host", "param.epochs")


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial that has begun and is not done.

    Attributes:
        state: `running`, `silent` (its process may be dead), `interrupted` (it goes on where it was) or `failed`.
        epoch: The last one that was written.
        epochs: How many there are to be; None where it is not known.
        heard: Seconds since its file was last written; None where that file is gone.
        reason: Why it failed.
    """

    trial_key: str
    seed: int
    state: str
    epoch: int
    epochs: int | None
    seconds: float
    heard: float | None
    host: str
    reason: str


@dataclass(frozen=True, slots=True)
class StudyStatus:
    """One study.

    Attributes:
        planned: Trials of the last plan, or, where that is not there, those that have begun.
        done: Trials that ended well or were stopped early on purpose.
        missing: Trials that have not begun.
        begun: The others.
        metric: What the study is chosen by.
        best: The best configuration so far; None before the first.
        seconds_left: An estimate of the wall time, as long as something runs and one trial is done.
        warnings: Sentences on files that cannot be read.
        per_hour: Trials done per hour, by the last 20 of them, while something runs.
    """

    study: str
    planned: int
    done: int
    missing: int
    begun: tuple[Trial, ...]
    metric: str
    best: Entry | None
    seconds_left: float | None
    warnings: tuple[str, ...]
    per_hour: float | None = None

    def count(self, state: str) -> int:
        """How many trials are in that state."""
        return sum(one.state == state for one in self.begun)


def standing(folder: Place, *, ended: bool = False) -> StudyStatus:
    """Reads one `study=…` folder.

    Age is told by the files' own times, which `cp -p` and `rsync -a` keep.

    Args:
        folder: The study's.
        ended: Whether the caller knows that nothing runs it any more: a trial that was killed before it could write
            so is interrupted then, however young its file is.
    """
    plan, warnings = _plan(folder)
    select: dict[str, str | None] = plan.get("select") or {"metric": "nmi", "mode": "max"}
    metric, mode = select["metric"] or "nmi", select.get("mode") or "max"
    loaded = load([str(folder)], attempts=True, columns=[*_COLUMNS, *wanted_columns(metric)])
    attempts = _attempts(loaded.table)
    keys = [str(trial[0]) for trial in plan.get("trials") or () if trial]
    planned: int = plan.get("n_trials") or len(keys)
    # A search names its trials as it goes on: what has begun is what it has named.
    own = attempts if planned > len(keys) or not keys else {key: attempts[key] for key in keys if key in attempts}
    planned = max(planned, len(own))
    done = {key: good for key, rows in own.items() if (good := _good(rows))}
    slowest = _slowest(loaded.table)
    begun = tuple(_trial(folder, rows[-1], slowest, ended=ended) for key, rows in own.items() if key not in done)
    missing = planned - len(own)
    return StudyStatus(
        study=study_name(folder),
        planned=planned,
        done=len(done),
        missing=missing,
        begun=begun,
        metric=metric,
        best=_best(loaded.table, own, metric, mode),
        seconds_left=_left([row["seconds"] for row in done.values()], begun, missing),
        warnings=(*warnings, *loaded.notes, *loaded.skipped),
        per_hour=_per_hour(list(done.values()), begun),
    )


def _plan(folder: Place) -> tuple[dict[str, Any], list[str]]:
    """`_study.json`; nothing where it is not there, and of a damaged one what the copy of the study says instead."""
    path = existing(folder, STUDY_JSON)
    try:
        return records.read(path, records.STUDY), []
    except FileNotFoundError:
        return {}, []
    except records.RecordError as error:
        from jobs.study import snapshot  # Takes longer to import than all of the others, and is seldom asked.

        return {"select": snapshot.select(folder)}, [
            f"{path} is skipped: it is torn or not as conclus wrote it ({error.reason})."
        ]


def _attempts(table: pa.Table) -> dict[str, list[dict[str, Any]]]:
    """Every trial's attempts, the earliest first, each with the place of its row."""
    names = [name for name in ("trial_key", "attempt_id", "seed", "status", *_COLUMNS) if name in table.column_names]
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for place, row in enumerate(table.select(names).to_pylist()):
        found[row["trial_key"]].append({**row, "place": place})
    return {key: sorted(rows, key=lambda row: row["attempt_id"]) for key, rows in found.items()}


def _good(rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    return next((row for status in FINISHED for row in rows if row["status"] == status), None)


def _slowest(table: pa.Table) -> float | None:
    """Seconds of the study's slowest epoch so far, on a trial's average."""
    pairs = zip(table["seconds"].to_pylist(), table["epochs_done"].to_pylist(), strict=True)
    return max((seconds / epochs for seconds, epochs in pairs if seconds and epochs), default=None)


def _trial(folder: Place, row: Mapping[str, Any], slowest: float | None, *, ended: bool) -> Trial:
    heard = _heard(folder / TRIALS / f"{row['trial_key']}.{row['attempt_id']}.parquet")
    return Trial(
        trial_key=row["trial_key"],
        seed=row["seed"],
        state=_state(row, heard, slowest, ended=ended),
        epoch=row["epochs_done"] or 0,
        epochs=int(row["param.epochs"]) if row.get("param.epochs") else None,
        seconds=row["seconds"] or 0.0,
        heard=heard,
        host=row["host"] or "",
        reason=row["reason"] or "",
    )


def _heard(path: Place) -> float | None:
    moment = storage.modified(path)
    return None if moment is None else max(0.0, time.time() - moment)


def _state(row: Mapping[str, Any], heard: float | None, slowest: float | None, *, ended: bool) -> str:
    if row["status"] == "failed":
        return "failed"
    if ended or row["reason"] == "INTERRUPTED":
        return "interrupted"
    limit = _FIRST_EPOCH_SECONDS if slowest is None else max(PATIENCE_SECONDS, 3 * slowest)
    return "silent" if heard is not None and heard > limit else "running"


def _best(table: pa.Table, own: Mapping[str, Sequence[dict[str, Any]]], metric: str, mode: str) -> Entry | None:
    """The leaderboard's first, of one row per trial."""
    rows = [(_good(attempts) or attempts[-1])["place"] for attempts in own.values()]
    if not rows:
        return None
    try:
        # Not table.take: making an array of a list imports pandas.
        return leaderboard(pa.concat_tables([table.slice(row, 1) for row in rows]), metric, mode).entries[0]
    except UserError:
        return None


def _left(seconds: Sequence[float | None], begun: Sequence[Trial], missing: int) -> float | None:
    """Wall seconds until all is done: what is left to train, by the mean of the trials done, among those that run."""
    known = [one for one in seconds if one]
    states = Counter(one.state for one in begun)
    if not known or not states["running"]:
        return None
    rest = {state: [max(0.0, fmean(known) - one.seconds) for one in begun if one.state == state] for state in states}
    waiting = missing * fmean(known) + sum(rest.get("interrupted", [])) + sum(rest.get("silent", []))
    running = rest["running"]
    return max(*running, (sum(running) + waiting) / len(running))


def _per_hour(done: Sequence[Mapping[str, Any]], begun: Sequence[Trial]) -> float | None:
    """How fast trials come to their end; None while nothing runs or where it cannot be told."""
    known = [row for row in done if row["started"] and row["seconds"]]
    ends = sorted(row["started"].timestamp() + row["seconds"] for row in known)[-_LATEST:]
    if len(ends) < 2 or ends[-1] == ends[0] or not any(one.state == "running" for one in begun):
        return None
    return (len(ends) - 1) / (ends[-1] - ends[0]) * 3600
