"""How trials ended: states, failures and warnings by their codes, and the label-free signals of those that finished."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite

import pyarrow as pa

from jobs.analysis.intervals import mean
from jobs.results.header import FINISHED

HEALTH = "health."

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Trouble:
    """One code, and whom it befell.

    Attributes:
        code: Such as `DIVERGED` or `EMPTY_CLUSTERS`.
        trials: How many trials.
        configurations: Of how many configurations.
        example: What the first of them said, whole.
    """

    code: str
    trials: int
    configurations: int
    example: str


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How the trials of a table ended.

    Attributes:
        statuses: Trials by status.
        failures: Why trials failed, the most frequent first.
        warnings: What finished trials said of themselves, likewise.
        imported: Rows from a person's own table: nobody saw them run.
    """

    statuses: Counter[str]
    failures: tuple[Trouble, ...]
    warnings: tuple[Trouble, ...]
    imported: int


def outcomes(table: pa.Table) -> Outcomes:
    """Counts states and reasons.

    Args:
        table: Rows from `read_results`, one per trial, with `reason` and `source`.
    """
    names = ("study", "config_key", "status", "reason")
    rows = list(zip(*(table[name].to_pylist() for name in names), strict=True))
    failed = [(key, study, reason or "") for study, key, status, reason in rows if status == "failed"]
    warned = [
        (key, study, one)
        for study, key, status, reason in rows
        if status in FINISHED and reason
        for one in reason.split("; ")
    ]
    return Outcomes(
        statuses=Counter(status for *_, status, _ in rows),
        failures=_troubles(failed),
        warnings=_troubles(warned),
        imported=table["source"].to_pylist().count("import"),
    )


def reason_code(text: str) -> str:
    """`EMPTY_CLUSTERS` of `EMPTY_CLUSTERS=2`, `DIVERGED` of `DIVERGED: three steps in a row …`."""
    return text.partition(":")[0].partition("=")[0]


def signals(table: pa.Table) -> dict[str, dict[Key, float]]:
    """Each label-free signal's mean over the finished trials of each configuration, where not all are the same."""
    cells = list(zip(*(table[name].to_pylist() for name in ("study", "config_key", "status")), strict=True))
    names = [name for name in table.column_names if name.startswith(HEALTH)]
    found = {name.removeprefix(HEALTH): _cell_means(cells, table[name].to_pylist()) for name in names}
    return {name: values for name, values in found.items() if len(set(values.values())) > 1}


def _cell_means(cells: Iterable[tuple[str, str, str]], values: Iterable[float | None]) -> dict[Key, float]:
    there: dict[Key, list[float]] = {}
    for (study, config_key, status), value in zip(cells, values, strict=True):
        if status in FINISHED and value is not None and isfinite(value):
            there.setdefault((study, config_key), []).append(value)
    return {key: mean(found) for key, found in there.items()}


def _troubles(found: Iterable[tuple[str, str, str]]) -> tuple[Trouble, ...]:
    by_code: dict[str, list[tuple[str, str, str]]] = {}
    for one in found:
        by_code.setdefault(reason_code(one[2]) or "no reason given", []).append(one)
    troubles = [Trouble(code, len(ones), len({one[:2] for one in ones}), ones[0][2]) for code, ones in by_code.items()]
    return tuple(sorted(troubles, key=lambda one: (-one.trials, one.code)))
