"""The state of a study, read from its result files alone, whether the study is running, finished or copied."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import pyarrow as pa

from core.errors import UserError
from core.evaluation.names import direction
from jobs.analysis import apart
from jobs.analysis.comparison import leaderboards
from jobs.analysis.leaderboard import Entry, wanted_columns
from jobs.analysis.pareto import Aims
from jobs.analysis.scores import CONSENSUS, metric_name
from jobs.analysis.selection import MixedError
from jobs.health.usage import COLUMNS as USAGE
from jobs.health.usage import Usage, usage
from jobs.results import course, lock, records, stops, storage
from jobs.results.header import FINISHED
from jobs.results.layout import STUDY_JSON, TRIALS, existing, study_name
from jobs.results.reader import Loaded, column_cells, load, take
from jobs.results.storage import Place

PATIENCE_SECONDS = 90.0
"""Three times 30 s, because a running trial with epochs under 30 s writes its file at least every 30 s."""
_FIRST_EPOCH_SECONDS = 600.0
"""How long a trial may write nothing before it counts as silent, while no epoch of the study has been timed."""
_LATEST = 20
_SAVED = "health.seconds_saved"
_COLUMNS = ("reason", "started", "seconds", "epochs_done", "host", "param.epochs", "verdict", _SAVED)


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial that has begun and is not done.

    Attributes:
        state: `running`, `silent` (its process may be dead), `interrupted` (it can be resumed) or `failed`.
        epoch: The last epoch known.
        epochs: Number of epochs planned; None if unknown.
        heard: Seconds since its files were last written; None if its row is gone.
        reason: Why it failed.
        verdict: What its health was when its file was last written: `OK` or codes; empty if unknown.
        loss: That of the last epoch of a running trial; None if unknown.
        value: The metric of its last scored epoch; None if unknown.
        seconds_left: Estimated wall time left of a running trial, scoring included; None before its first epoch.
        attempt_id: The attempt that it tells of.
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
    verdict: str = ""
    loss: float | None = None
    value: float | None = None
    seconds_left: float | None = None
    attempt_id: str = ""


@dataclass(frozen=True, slots=True)
class StudyStatus:
    """The state of one study.

    Attributes:
        planned: Number of trials in the last plan; without a plan, the number of trials that have begun.
        done: Number of trials that finished or were stopped early.
        missing: Number of trials that have not begun.
        begun: The trials that have begun and are not done.
        metric: The metric by which the study selects; see `jobs.analysis.selection.ranking_column`.
        best: The best configuration so far; None before the first result, and where there are several data sets.
        seconds_left: Estimated wall time left; None unless a trial is running, and has ended an epoch or one is done.
        warnings: Sentences on files that cannot be read.
        per_hour: Trials done per hour, from the last 20 of them; None unless a trial is running.
        used: The hours that all attempts in the study's folder took, by person.
        apart: Sentences on trials of another protocol or another content of a plug-in, and on trials that are not
            ranked together, without a full stop.
        stopped: The keys of the trials, among those done, that somebody stopped.
        hopeless: Number of the trials, among those done, that ended themselves by `health.stop`.
        saved: The seconds that their epochs left would have taken.
        bests: The best configuration of each data set that has a result, by the name of the data set.
        driver: The process that runs the study, as far as it is seen, while none of its trials runs.
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
    used: Usage
    per_hour: float | None = None
    apart: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    hopeless: int = 0
    saved: float = 0.0
    bests: tuple[tuple[str, Entry], ...] = ()
    driver: str = ""

    def count(self, state: str) -> int:
        """How many trials are in that state."""
        return sum(one.state == state for one in self.begun)


def columns(folder: Place) -> list[str]:
    """The columns that `standing` reads of a study's attempts."""
    metric, _, aims = _ranking(_plan(folder)[0])
    return [*_COLUMNS, *USAGE, *wanted_columns(metric, aims, alone=True)]


def standing(folder: Place, *, ended: bool = False, loaded: Loaded | None = None) -> StudyStatus:
    """Reads one `study=…` folder.

    The age of a file comes from its modification time, which `cp -p` and `rsync -a` keep.

    Args:
        folder: The study's folder.
        ended: Whether the caller knows that no process runs the study; else its lock may tell it. An unfinished trial
            then counts as interrupted, however recent its file is.
        loaded: The attempts with `columns`, where the caller has read them.
    """
    ended = ended or lock.is_free(folder)
    plan, warnings = _plan(folder)
    metric, mode, aims = _ranking(plan)
    loaded = loaded or load([folder], attempts=True, columns=columns(folder))
    table = loaded.table
    attempts = _Attempts(table)
    keys = [str(trial[0]) for trial in plan.pop("trials", None) or () if trial]
    planned: int = plan.get("n_trials") or len(keys)
    # A search algorithm adds trials while it runs, so its trials are those that have begun.
    one_each = take(table, [attempts.counting(key) for key in attempts.places])
    contents = plan.get("plug_ins") or {}
    own = [key for key in keys if key in attempts.places]
    if planned > len(keys) or not keys:
        own = [*dict.fromkeys([*own, *_belonging(one_each, contents)])]
    planned = max(planned, len(own))
    counting = {key: attempts.counting(key) for key in own}
    bests, metric, unranked = _bests(table, sorted(counting.values()), (metric, mode), aims)
    done = {key: place for key, place in counting.items() if attempts.status[place] in FINISHED}
    slowest = _slowest(table)
    ends = [attempts.places[key][-1] for key in own if key not in done]
    begun = tuple(_trial(folder, row, slowest, ended=ended) for row in _rows(table, ends))
    missing = planned - len(own)
    asked = stops.asked(folder)
    ended_early = {key: place for key, place in done.items() if attempts.status[place] == "stopped"}
    stopped = [key for key in ended_early if key in asked]
    all_saved, seconds = column_cells(table, _SAVED), column_cells(table, "seconds")
    saved = [all_saved[place] for place in ended_early.values() if all_saved[place] is not None]
    lengths = [seconds[place] for key, place in done.items() if key not in stopped]
    driver = "" if ended or any(one.state == "running" for one in begun) else lock.holder(folder)
    return StudyStatus(
        study=study_name(folder),
        planned=planned,
        done=len(done),
        missing=missing,
        begun=begun,
        metric=metric,
        best=bests[0][1] if len(bests) == 1 else None,
        seconds_left=_seconds_left(lengths, begun, missing),
        warnings=(*warnings, *loaded.notes, *loaded.skipped),
        used=usage(table),
        per_hour=_per_hour(table, list(done.values()), begun),
        apart=(*apart.told(one_each, contents, ()), *unranked),
        stopped=tuple(stopped),
        hopeless=len(saved),
        saved=sum(saved),
        bests=bests,
        driver=driver,
    )


def _plan(folder: Place) -> tuple[dict[str, Any], list[str]]:
    """The content of `_study.json`, empty if it is missing; if it is damaged, `select` comes from the study's copy."""
    path = existing(folder, STUDY_JSON)
    try:
        return records.read(path, records.STUDY), []
    except FileNotFoundError:
        return {}, []
    except records.RecordError as error:
        from jobs.study import snapshot  # Slow to import and rarely needed.

        return {"select": snapshot.select(folder)}, [f"{path} is skipped: it is torn or damaged ({error.reason})."]


def _ranking(plan: Mapping[str, Any]) -> tuple[str, str, Aims]:
    """The metric that the study selects by, whether larger is better, and its constraints."""
    select: dict[str, Any] = plan.get("select") or {"metric": "nmi", "mode": "max"}
    metric = select["metric"] or "nmi"
    return metric, select.get("mode") or direction(metric) or "max", Aims.of(select)


class _Attempts:
    """The attempts at each trial, by their rows in a table: what a row tells is looked up only where it is shown.

    Attributes:
        places: By trial key, the rows of its attempts, the earliest first.
        status: Of each row.
    """

    def __init__(self, table: pa.Table) -> None:
        self.status: list[str] = table["status"].to_pylist()
        ids: list[str] = table["attempt_id"].to_pylist()
        self.places: dict[str, list[int]] = {}
        for place, key in enumerate(table["trial_key"].to_pylist()):
            self.places.setdefault(key, []).append(place)
        for places in self.places.values():
            places.sort(key=ids.__getitem__)

    def counting(self, key: str) -> int:
        """The row of the attempt that counts for a trial."""
        places = self.places[key]
        done = (place for status in FINISHED for place in places if self.status[place] == status)
        return next(done, places[-1])


def _rows(table: pa.Table, places: list[int]) -> list[dict[str, Any]]:
    names = [name for name in ("trial_key", "attempt_id", "seed", "status", *_COLUMNS) if name in table.column_names]
    return take(table.select(names), places).to_pylist()


def _belonging(table: pa.Table, contents: apart.Contents) -> list[str]:
    """The keys of the trials that are not shown apart, from a table with one row per trial."""
    here, _ = apart.split(table)
    others = apart.other_contents(here, contents)
    return [key for row, key in enumerate(here["trial_key"].to_pylist()) if row not in others]


def _slowest(table: pa.Table) -> float | None:
    """Seconds per epoch of the study's slowest trial so far."""
    pairs = zip(table["seconds"].to_pylist(), table["epochs_done"].to_pylist(), strict=True)
    return max((seconds / epochs for seconds, epochs in pairs if seconds and epochs), default=None)


def _trial(folder: Place, row: Mapping[str, Any], slowest: float | None, *, ended: bool) -> Trial:
    heard = _seconds_since_write(folder / TRIALS / f"{row['trial_key']}.{row['attempt_id']}.parquet")
    told = course.read(folder, row["trial_key"], row["attempt_id"]) if row["status"] == "running" else None
    if told is not None and heard is not None:
        heard = min(heard, max(0.0, time.time() - told.written))
    one = Trial(
        trial_key=row["trial_key"],
        seed=row["seed"],
        state=_state(row, heard, slowest, ended=ended),
        epoch=row["epochs_done"] or 0,
        epochs=int(row["param.epochs"]) if row.get("param.epochs") else None,
        seconds=row["seconds"] or 0.0,
        heard=heard,
        host=row["host"] or "",
        reason=row["reason"] or "",
        verdict=row.get("verdict") or "",
        attempt_id=row["attempt_id"],
    )
    return _with(one, told)


def updated(folder: Place, one: Trial) -> Trial:
    """A running trial as its epochs tell it by now, without a look at its row."""
    told = course.read(folder, one.trial_key, one.attempt_id)
    return _with(one if told is None else replace(one, heard=max(0.0, time.time() - told.written)), told)


def _with(one: Trial, told: course.NotedCourse | None) -> Trial:
    """The trial with what its epochs tell beyond its row."""
    done = told.done if told else ()
    if done and done[-1].epoch >= one.epoch:
        one = replace(one, epoch=done[-1].epoch, seconds=done[-1].seconds, loss=done[-1].loss)
    value = next((each.value for each in reversed(done) if each.value is not None), one.value)
    left = one.seconds_left
    if one.state == "running" and one.epochs and one.epoch:
        left = max(0.0, (one.epochs - one.epoch) * one.seconds / one.epoch)
    return replace(one, value=value, seconds_left=left)


def _seconds_since_write(path: Place) -> float | None:
    moment = storage.modified(path)
    return None if moment is None else max(0.0, time.time() - moment)


def _state(row: Mapping[str, Any], heard: float | None, slowest: float | None, *, ended: bool) -> str:
    if row["status"] == "failed":
        return "failed"
    if ended or row["reason"] == "INTERRUPTED":
        return "interrupted"
    limit = _FIRST_EPOCH_SECONDS if slowest is None else max(PATIENCE_SECONDS, 3 * slowest)
    return "silent" if heard is not None and heard > limit else "running"


def _bests(
    table: pa.Table, rows: list[int], ranking: tuple[str, str], aims: Aims
) -> tuple[tuple[tuple[str, Entry], ...], str, list[str]]:
    """The first entry of each data set's leaderboard over one row per trial, the metric that ranks, and why none does.

    The sentence is of trials that will never be ranked together; nothing is said of those that have no value yet.
    """
    if not rows:
        return (), ranking[0], []
    try:
        found = leaderboards(take(table, rows), *ranking, aims)
    except MixedError as error:
        return (), ranking[0], [error.told(f"conclus aggregate {error.option}").removesuffix(".")]
    except UserError:
        return (), ranking[0], []
    metrics = {metric_name(board.metric) for _, board in found}
    metric = metrics.pop() if ranking[0] == CONSENSUS and len(metrics) == 1 else ranking[0]
    return tuple((name, board.entries[0]) for name, board in found), metric, []


def _seconds_left(seconds: Sequence[float | None], begun: Sequence[Trial], missing: int) -> float | None:
    """Wall seconds until all trials are done: the remaining training time, shared among the running trials."""
    running = [one for one in begun if one.state == "running"]
    known = [one for one in seconds if one] or [
        one.seconds + one.seconds_left for one in running if one.seconds_left is not None
    ]
    if not known or not running:
        return None
    rest = [max(0.0, fmean(known) - one.seconds) for one in begun if one.state in {"interrupted", "silent"}]
    # A trial's own speed tells more of it than the others' length.
    own = [max(0.0, fmean(known) - one.seconds) if (left := one.seconds_left) is None else left for one in running]
    return max(*own, (sum(own) + missing * fmean(known) + sum(rest)) / len(own))


def _per_hour(table: pa.Table, done: list[int], begun: Sequence[Trial]) -> float | None:
    """Trials done per hour; None if no trial is running or fewer than two are done."""
    if not any(one.state == "running" for one in begun):
        return None
    started, seconds = column_cells(table, "started"), column_cells(table, "seconds")
    known = [place for place in done if started[place] and seconds[place]]
    ends = sorted(started[place].timestamp() + seconds[place] for place in known)[-_LATEST:]
    if len(ends) < 2 or ends[-1] == ends[0]:
        return None
    return (len(ends) - 1) / (ends[-1] - ends[0]) * 3600
