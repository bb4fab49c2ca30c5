"""Rows of results as the courses of trials, judged by the rules of `core.evaluation.health`.

What rows of earlier versions lack is left out of a course. Nothing in a row is trusted: names and texts are data.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from core.evaluation.health import Course, Finding, judge, judged_score, summary
from core.evaluation.rules import NOTICES
from jobs.analysis import apart
from jobs.analysis.outcomes import HEALTH, reason_code
from jobs.results.header import STATUSES
from jobs.results.names import METRIC, PARAM
from jobs.results.reader import HISTORY_COLUMN
from jobs.results.schema import LONGEST

COLUMNS = (
    *("reason", "seconds", "epochs_done", "data_hash", "cluster_sizes", "params_json"),
    *apart.COLUMNS,
    *(f"{PARAM}*", f"{METRIC}*", f"{HEALTH}*"),
)
"""What `judged` reads beside the history and what identifies a trial."""
OK = "OK"
UNKNOWN = "unknown"
"""The verdict on a trial of which neither a history nor a signal is known, as of an imported row."""
_CODE = re.compile(r"[A-Z][A-Z_]{1,39}")
_SAVED = f"{HEALTH}seconds_saved"
_LARGEST = 2**31 - 1

Series = dict[str, list[tuple[int, float]]]


@dataclass(frozen=True, slots=True)
class Judged:
    """One trial, its numbers in short, and what is wrong with its course.

    Attributes:
        study: The name of its study.
        trial_key: Its key.
        config_key: The key of its configuration.
        seed: Its seed; negative if unknown.
        status: `running`, `ok`, `stopped` or `failed`.
        reason: As in its row.
        data: The data by content hash, or by study for rows without a hash.
        params: The dotted keys and the values of its parameters; a key without a value is left out.
        epochs: Number of epochs planned; None if unknown.
        epochs_done: Number of epochs trained.
        seconds: Wall seconds of the trial; None if unknown.
        findings: What the rules found, in their order.
        score: The score whose trend and stability are among the numbers; empty without any.
        numbers: `summary` of its course.
        is_known: Whether it has a course at all.
        saved_seconds: What `health: {stop: …}` saved: the epochs left, as long as those that were trained; None if it
            did not stop the trial.
    """

    study: str
    trial_key: str
    config_key: str
    seed: int
    status: str
    reason: str
    data: str
    params: Mapping[str, Any]
    epochs: int | None
    epochs_done: int
    seconds: float | None
    findings: tuple[Finding, ...]
    score: str
    numbers: Mapping[str, float | str]
    is_known: bool
    saved_seconds: float | None

    @property
    def has_ended(self) -> bool:
        """Whether the trial is over, in whichever way."""
        return self.status in STATUSES[:3]

    @property
    def failure(self) -> str:
        """The code of the reason for which it failed; empty if it did not fail, or if a finding has the code."""
        if self.status != "failed":
            return ""
        code = reason_code(self.reason)
        code = code if _CODE.fullmatch(code) else "FAILED"
        return "" if code in {one.code for one in self.findings} else code

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of all findings, and of a failure, none twice."""
        return tuple(dict.fromkeys([*(one.code for one in self.findings), *([self.failure] if self.failure else [])]))

    @property
    def faults(self) -> tuple[str, ...]:
        """The codes without those that are no fault of the trial."""
        return tuple(code for code in self.codes if code not in NOTICES)

    @property
    def verdict(self) -> str:
        """`OK`, `unknown`, or what was found: `COLLAPSED@12; EMPTY_CLUSTERS=3`."""
        labels = [*(one.label for one in self.findings), *([self.failure] if self.failure else [])]
        return "; ".join(labels) or (OK if self.is_known else UNKNOWN)


def judged(table: pa.Table, metric: str = "", *, with_numbers: bool = True) -> list[Judged]:
    """Every row of a table with its verdict, in the table's order.

    The time grows with the number of entries in the histories; no more than one row's are unpacked at a time.

    Args:
        table: Rows from `jobs.results.reader`, one per trial, with `COLUMNS` and histories.
        metric: The score by which trials are ranked, where larger is better; see `judged_score`.
        with_numbers: Whether to find `Judged.numbers`, which takes most of the time of a trial that is well.
    """
    return [_judged(row, series, metric, with_numbers=with_numbers) for row, series in _rows(table)]


def courses(table: pa.Table) -> list[Course]:
    """The course of every row, in the table's order; see `judged`."""
    return [_course(row, series) for row, series in _rows(table)]


def _rows(table: pa.Table) -> Iterator[tuple[dict[str, Any], Series]]:
    table = apart.with_contents(table) if "plug_ins_json" in table.column_names else table
    # Arrow loads pandas to convert times, which nothing here needs.
    used = [one.name for one in table.schema if one.name != HISTORY_COLUMN and not pa.types.is_temporal(one.type)]
    others = table.select(used)
    for row, series in zip(_dicts(others), _histories(table), strict=True):
        yield row, series or _last(row)


def _dicts(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=256):
        yield from batch.to_pylist()


def _histories(table: pa.Table) -> Iterator[Series]:
    """Each row's history by name, ascending by epoch; of several values of an epoch, the last counts."""
    if HISTORY_COLUMN not in table.column_names or not table.num_rows:
        yield from ({} for _ in range(table.num_rows))
        return
    history = table[HISTORY_COLUMN].combine_chunks()
    # As in jobs.health.curves: other ways to numpy import pandas.
    lengths = np.bincount(np.from_dlpack(history.value_parent_indices()), minlength=len(history))
    ends = np.concatenate([[0], np.cumsum(lengths)])
    items = history.flatten()
    names = items.field("metric").dictionary_encode()
    known = [_name(one) for one in names.dictionary.to_pylist()]
    columns = (names.indices, items.field("epoch"), items.field("value"))
    places, epochs, values = (np.from_dlpack(one) for one in columns)
    for start, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        yield _series(known, places[start:end], epochs[start:end], values[start:end])


def _name(stored: str) -> str:
    """The name of a series, empty for what is none: a parameter that a population changed."""
    return "" if stored.startswith("hp.") else stored.removeprefix(HEALTH)


def _series(known: list[str], places: np.ndarray, epochs: np.ndarray, values: np.ndarray) -> Series:
    if not len(places):
        return {}
    order = np.lexsort((epochs, places))  # It keeps the order of equal ones.
    places, epochs, values = places[order], epochs[order], values[order]
    is_last = np.ones(len(places), bool)
    is_last[:-1] = (places[1:] != places[:-1]) | (epochs[1:] != epochs[:-1])
    places, epochs, values = places[is_last], epochs[is_last], values[is_last]
    starts = np.flatnonzero(np.diff(places, prepend=-1))
    found: Series = {}
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(places)], strict=True):
        if name := known[int(places[start])]:
            found[name] = list(zip(epochs[start:end].tolist(), values[start:end].tolist(), strict=True))
    return found


def _last(row: Mapping[str, Any]) -> Series:
    """Of a row without a history, the numbers of its last epoch."""
    epoch = row.get("epochs_done") or 0
    found = {
        name.removeprefix(METRIC).removeprefix(HEALTH): [(epoch, value)]
        for name, value in row.items()
        if name.startswith((METRIC, HEALTH)) and value is not None
    }
    return found if any(name.startswith(HEALTH) and value is not None for name, value in row.items()) else {}


def _course(row: Mapping[str, Any], series: Series) -> Course:
    sizes = row.get("cluster_sizes") or ()
    return Course(
        series=series,
        n_clusters=_whole(row.get(f"{PARAM}n_clusters")) or len(sizes),
        n_samples=sum(sizes),
        batch_size=_whole(row.get(f"{PARAM}batch_size")) or 0,
        epochs=_whole(row.get(f"{PARAM}epochs")) or 0,
        # One that was stopped, or that failed, has not come to its last epoch.
        ended=row["status"] == STATUSES[0],
    )


def _judged(row: Mapping[str, Any], series: Series, metric: str, *, with_numbers: bool) -> Judged:
    course, saved = _course(row, series), row.get(_SAVED)
    findings = judge(course)
    params = {
        name.removeprefix(PARAM): value
        for name, value in row.items()
        # The content of a data set counts, not its path on each machine.
        if name.startswith(PARAM) and value is not None and name != f"{PARAM}data.path"
    }
    return Judged(
        study=row["study"],
        trial_key=row["trial_key"],
        config_key=row["config_key"],
        seed=row["seed"],
        status=row["status"],
        reason=row.get("reason") or "",
        data=row.get("data_hash") or f"study {row['study']}",
        params=params,
        epochs=_whole(row.get(f"{PARAM}epochs")),
        epochs_done=row.get("epochs_done") or 0,
        seconds=row.get("seconds"),
        findings=findings,
        score=judged_score(course, metric),
        numbers=summary(course, metric, findings) if with_numbers else {},
        is_known=bool(series),
        saved_seconds=saved if saved is not None and row["status"] == "stopped" and 0 <= saved <= LONGEST else None,
    )


def _whole(value: Any) -> int | None:
    """A count of a row; None for what is none."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if is_number and 1 <= value <= _LARGEST else None
