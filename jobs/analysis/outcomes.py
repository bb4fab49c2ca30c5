"""How trials ended: counts of states, failures and warnings, and the label-free signals of finished trials."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, NoReturn

import pyarrow as pa

from core.config import plugins
from core.config.schema import nearest
from core.errors import UserError
from core.evaluation.health import OK
from jobs.analysis.intervals import mean
from jobs.analysis.scores import metric_name
from jobs.results.header import FINISHED
from jobs.results.names import METRIC, PARAM
from jobs.results.reader import column_cells

HEALTH = "health."
LOST = frozenset({"DIVERGED", "OUT_OF_MEMORY", "TIMEOUT"})
"""Why training fails by what it was asked to do, not by the machine that did it."""

_NAMED = 5
"""So many configurations are named in a sentence."""

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Trouble:
    """One failure or warning code, and the trials that have it.

    Attributes:
        code: Such as `DIVERGED` or `EMPTY_CLUSTERS`.
        trials: Number of trials with it.
        configurations: Number of configurations of these trials.
        example: The full message of the first of them.
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
        failures: Why trials failed, the most frequent code first.
        warnings: Warnings of finished trials, the most frequent code first.
        imported: Number of rows imported from a user's own table, which conclus did not run.
        lost: Number of finished trials, stopped by a rule of `health`, that count as failed in training; see `lost`.
    """

    statuses: Counter[str]
    failures: tuple[Trouble, ...]
    warnings: tuple[Trouble, ...]
    imported: int
    lost: int


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
        lost=sum(gone and status in FINISHED for gone, (*_, status, _) in zip(lost(table), rows, strict=True)),
    )


_CODE = 60
"""The most characters of a code: a stranger's row may have any text in its place."""
COLUMNS = ("reason", "verdict")
"""The columns that `codes` reads."""


def reason_code(text: str) -> str:
    """The code of a message: `EMPTY_CLUSTERS` for `EMPTY_CLUSTERS=2`, `COLLAPSED` for `COLLAPSED@12: Most …`."""
    code = text.partition(":")[0].partition("=")[0].partition("@")[0]
    return code if len(code) <= _CODE else f"{code[:_CODE]}…"


def codes(table: pa.Table) -> list[frozenset[str]]:
    """The codes of each row's verdict, which `conclus health` tells, too; of a row without one, those of its reason."""
    verdicts, reasons = column_cells(table, "verdict"), column_cells(table, "reason")
    texts = [verdict or reason or "" for verdict, reason in zip(verdicts, reasons, strict=True)]
    known = {text: frozenset(map(reason_code, text.split("; "))) - {"", OK} for text in {*texts}}
    return [known[text] for text in texts]


def having(table: pa.Table, code: str) -> list[bool]:
    """For each row, whether a warning of this code is among its reasons."""
    reasons = _reasons(table)
    known = {reason: code in map(reason_code, reason.split("; ")) for reason in {*reasons}}
    return [known[reason] for reason in reasons]


def lost(table: pa.Table) -> list[bool]:
    """For each row, whether its training failed: an outcome of its configuration, which counts as the worst one.

    A trial that diverges, needs more memory than it has, finishes no epoch in time, or is stopped by a rule of
    `health`, tells something of its configuration: to leave it out would favour whatever fails with its worst seeds.
    This is the composite outcome of ICH E9(R1) (2019). The death of a machine, a full disk, an interruption or an error
    of a program are not of the configuration: such a value is missing. A trial that a search stopped because it was
    behind, or that a person stopped, has the value of the epoch that it reached.

    Args:
        table: Rows from `read_results`, one per trial, with `reason`; without that column no row is lost.
    """
    return [
        _is_lost(status, reason) for status, reason in zip(table["status"].to_pylist(), _reasons(table), strict=True)
    ]


def by_seed(
    table: pa.Table, column: str, statuses: Collection[str] = FINISHED
) -> dict[tuple[str, str], dict[int, float]]:
    """The finite values of a column by (study, configuration) and by seed, of trials with one of `statuses`.

    Trials whose training failed have none; see `lost_seeds`.
    """
    found: dict[tuple[str, str], dict[int, float]] = {}
    columns = (table[name].to_pylist() for name in ("study", "config_key", "seed", "status", column))
    for study, config_key, seed, status, value, is_lost in zip(*columns, lost(table), strict=True):
        if status in statuses and not is_lost and value is not None and isfinite(value):
            found.setdefault((study, config_key), {})[seed] = value
    return found


def lost_seeds(table: pa.Table) -> dict[Key, set[int]]:
    """By (study, configuration), the seeds that are `lost`."""
    found: dict[Key, set[int]] = {}
    columns = (table[name].to_pylist() for name in ("study", "config_key", "seed"))
    for study, config_key, seed, is_lost in zip(*columns, lost(table), strict=True):
        if is_lost:
            found.setdefault((study, config_key), set()).add(seed)
    return found


def composite(
    values: Sequence[Mapping[int, float]], seeds: Sequence[Collection[int]], *, maximise: bool
) -> list[dict[int, float]]:
    """The values by seed of each configuration, with the worst value of all for each lost seed.

    Args:
        values: The values of the seeds that ended.
        seeds: The lost seeds of each configuration.
        maximise: Whether larger is better.
    """
    every = [value for one in values for value in one.values()]
    worst = (min if maximise else max)(every, default=0.0)
    return [{**dict.fromkeys(gone, worst), **one} for one, gone in zip(values, seeds, strict=True)]


def lost_notes(table: pa.Table, without: Collection[Key], constant: Mapping[str, Any]) -> list[str]:
    """Sentences on the trials that failed, by code: those that are lost, and those whose values are missing.

    Args:
        table: The rows.
        without: The configurations that have no value; those that lost a seed are named.
        constant: The value of each parameter, by dotted key, that the other configurations share.
    """
    rows = zip(lost(table), table["status"].to_pylist(), _reasons(table), strict=True)
    codes = [(gone, reason_code(why) or "no reason") for gone, status, why in rows if gone or status == "failed"]
    notes: list[str] = []
    if gone := Counter(code for is_lost, code in codes if is_lost):
        notes.append(
            f"Failed in training: {_counted(gone)}. In the order and the signs they count as the worst value of all; "
            "means and n are of the other seeds."
        )
    if named := _named(table, without, constant):
        notes.append(f"Without a mean, as they have no other seeds: {named}.")
    if missing := Counter(code for is_lost, code in codes if not is_lost):
        notes.append(f"Failed for other reasons, so their values are missing: {_counted(missing)}.")
    return notes


def _named(table: pa.Table, wanted: Collection[Key], constant: Mapping[str, Any]) -> str:
    """The wanted configurations that lost a seed, by their parameters; at most a few of them."""
    found = sorted(set(wanted) & lost_seeds(table).keys())
    if not found:
        return ""
    names = [name.removeprefix(PARAM) for name in table.column_names if name.startswith(PARAM)]
    rows = {
        key: row
        for row, key in enumerate(zip(table["study"].to_pylist(), table["config_key"].to_pylist(), strict=True))
    }
    told: list[str] = []
    for key in found[:_NAMED]:
        values = {name: table[f"{PARAM}{name}"][rows[key]].as_py() for name in names}
        own = {name: value for name, value in values.items() if value is not None and value != constant.get(name)}
        told.append(" ".join(f"{name}={value}" for name, value in own.items()) or key[1])
    return "; ".join(told) + (f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else "")


def _counted(codes: Counter[str]) -> str:
    return ", ".join(f"{code} in {count}" for code, count in sorted(codes.items()))


def _reasons(table: pa.Table) -> list[str]:
    return (
        [reason or "" for reason in table["reason"].to_pylist()]
        if "reason" in table.column_names
        else [""] * table.num_rows
    )


def _is_lost(status: str, reason: str) -> bool:
    # Only a stop by `health` names the epoch in which the rule was met, as `COLLAPSED@12: …`.
    by_rule = status == "stopped" and "@" in reason.partition(":")[0]
    return by_rule or (status in {"failed", "stopped"} and reason_code(reason) in LOST)


@dataclass(frozen=True, slots=True)
class TopicQuality:
    """How coherent the topics of one configuration are.

    Attributes:
        method: Its method's name, as a row tells it.
        group: Its data and number of topics; only equal groups are compared.
        npmi: The mean over its seeds.
        n: The number of seeds.
    """

    method: str
    group: tuple[Any, ...]
    npmi: float
    n: int


def below_baseline(found: Mapping[Key, TopicQuality]) -> dict[Key, str]:
    """For each configuration of a method with epochs whose topics are no better than those of the best baseline: why.

    Args:
        found: By configuration. Names of methods that conclus does not have are those of no baseline.
    """
    best: dict[tuple[Any, ...], TopicQuality] = {}
    for one in found.values():
        if isfinite(one.npmi) and _declared(one.method, "baseline", default=False) is True:
            best[one.group] = max(best.get(one.group, one), one, key=lambda other: other.npmi)
    told: dict[Key, str] = {}
    for key, one in found.items():
        known = best.get(one.group)
        is_neural = "epochs" not in _declared(one.method, "unused", default=())
        if known and is_neural and one.method != known.method and not one.npmi > known.npmi:  # NaN, too
            few = ", too few seeds to tell" if min(one.n, known.n) < 2 else ""
            told[key] = f"BELOW_BASELINE: npmi {one.npmi:.3f}, {known.method} has {known.npmi:.3f}{few}"
    return told


def _declared(method: str, attribute: str, *, default: Any) -> Any:
    """What the class of a method declares; the default for a name that is none of an installed method."""
    if method not in plugins.names("methods"):
        return default
    try:
        return plugins.constant("methods", method, attribute, default)
    except UserError:
        return default


def signals(table: pa.Table) -> dict[str, dict[Key, float]]:
    """Each label-free signal's mean over each configuration's finished trials; signals without spread are left out."""
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


class NoValueError(UserError):
    """No finished trial has a value of the metric."""


def refuse_without_value(table: pa.Table, metric: str, columns: Iterable[str] = ()) -> NoReturn:
    """Says that no finished trial has a value of a metric, and what to do about it.

    Args:
        table: The trials, one row each.
        metric: The metric.
        columns: All columns of the results, to suggest another metric, where the table does not have all.

    Raises:
        NoValueError: Always.
    """
    ended = Counter(table["status"].to_pylist())
    run = ended["running"]
    if not any(ended[status] for status in FINISHED):
        if run:
            raise NoValueError(f"No finished trial has a value of {metric!r} yet: wait for one.")
        raise NoValueError(f"No trial has a value of {metric!r}: all have failed, and `conclus logs` tells why.")
    scores = {one for one in (*table.column_names, *columns) if one.startswith((METRIC, HEALTH))}
    there = {metric_name(one) for one in scores if one not in table.column_names or _has_value(table, one)}
    raise NoValueError(
        f"No finished trial has a value of {metric!r}: {'wait for one, or ' if run else ''}name another metric"
        + (f", such as {nearest(metric, there)}." if there else ".")
    )


def _has_value(table: pa.Table, column: str) -> bool:
    """Whether a finished trial has one."""
    pairs = zip(table["status"].to_pylist(), table[column].to_pylist(), strict=True)
    return any(status in FINISHED and value is not None and isfinite(value) for status, value in pairs)
