"""The columns of the store, with types that no value can change."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from core.seal import canonical_json
from jobs.results.header import STATUSES, HeaderRow, encode

HISTORY = pa.list_(
    pa.field(
        "element",
        pa.struct(
            [
                pa.field("epoch", pa.int32()),
                pa.field("t", pa.float64()),
                pa.field("metric", pa.string()),
                pa.field("value", pa.float64()),
            ]
        ),
    )
)
FIXED = pa.schema(
    [
        pa.field("study", pa.string()),
        pa.field("trial_key", pa.string()),
        pa.field("config_key", pa.string()),
        pa.field("seed", pa.int64()),
        pa.field("attempt_id", pa.string()),
        pa.field("status", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("source", pa.string()),
        pa.field("started", pa.timestamp("us", tz="UTC")),
        pa.field("seconds", pa.float64()),
        pa.field("epochs_done", pa.int32()),
        pa.field("host", pa.string()),
        pa.field("ray_trial_id", pa.string()),
        pa.field("device", pa.string()),
        pa.field("precision", pa.string()),
        pa.field("params_json", pa.string()),
        pa.field("code_hash", pa.string()),
        pa.field("data_hash", pa.string()),
        pa.field("env_hash", pa.string()),
        pa.field("env_json", pa.string()),
        pa.field("best_metric", pa.string()),
        pa.field("best_epoch", pa.int32()),
        pa.field("label_free_epoch", pa.int32()),
        pa.field("cluster_sizes", pa.list_(pa.field("element", pa.int32()))),
        pa.field("probe_labels", pa.list_(pa.field("element", pa.int16()))),
    ]
)
IDENTITY = ("study", "trial_key", "config_key", "seed", "attempt_id", "status")


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One run of one trial, in plain Python values.

    Attributes:
        seed: What the trial's random numbers start from; negative, and no other trial's, where it is not known.
        status: `running`, `ok`, `stopped` (ended early on purpose) or `failed`.
        reason: A code for why it was stopped or failed, else empty.
        source: `run`, or `import` for a row that came from a person's own table.
        started: When it began; without a time zone it is taken as UTC.
        seconds: Wall time so far, in seconds.
        device: `cpu`, or the name of the graphics card that it trained on.
        precision: `f32` or `bf16`, whichever `auto` came to; empty where nothing was trained.
        params: The flattened configuration, dotted keys to scalars, None or lists.
        env: Versions of what it ran with; of an imported row its file, its line and the notes that stood in it.
        best_metric: Name of the metric that chose `best_epoch`.
        label_free_epoch: The epoch with the highest `health["label_free"]`.
        cluster_sizes: Items per cluster at the last epoch.
        probe_labels: Clusters of the data set's subsample at the last epoch, below 2,000.
        metrics: Scores and losses of the last epoch.
        best: The same at `best_epoch`.
        history: `(epoch, seconds since the start, metric, value)` for all epochs.
    """

    study: str
    trial_key: str
    config_key: str
    seed: int
    attempt_id: str
    status: str = "running"
    reason: str = ""
    source: str = "run"
    started: datetime | None = None
    seconds: float | None = None
    epochs_done: int = 0
    host: str = ""
    ray_trial_id: str = ""
    device: str = ""
    precision: str = ""
    params: dict[str, Any] = field(default_factory=dict[str, Any])
    code_hash: str = ""
    data_hash: str = ""
    env_hash: str = ""
    env: dict[str, str] = field(default_factory=dict[str, str])
    best_metric: str = ""
    best_epoch: int | None = None
    label_free_epoch: int | None = None
    cluster_sizes: list[int] | None = None
    probe_labels: list[int] | None = None
    metrics: dict[str, float] = field(default_factory=dict[str, float])
    best: dict[str, float] = field(default_factory=dict[str, float])
    health: dict[str, float] = field(default_factory=dict[str, float])
    history: list[tuple[int, float, str, float]] = field(default_factory=list[tuple[int, float, str, float]])


def to_table(attempts: Sequence[Attempt]) -> pa.Table:
    """The attempts as rows of the store, one each, in the given order.

    Raises:
        ValueError: A status is none of `STATUSES`.
    """
    _check(attempts)
    columns = {name: _fixed(name, attempts) for name in FIXED.names}
    columns |= _params([attempt.params for attempt in attempts])
    columns |= _numbers("metric", [attempt.metrics for attempt in attempts])
    columns |= _numbers("best", [attempt.best for attempt in attempts])
    columns |= _numbers("health", [attempt.health for attempt in attempts])
    columns["history"] = pa.array([_history(attempt) for attempt in attempts], HISTORY)
    return pa.table(columns)


def text_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A `param.` column of any type as strings, spelled as `to_table` spells a column of mixed types."""
    return pa.chunked_array([pa.array([_text(value) for value in column.to_pylist()], pa.string())])


def misfit(table: pa.Table) -> str:
    """What of a table's columns is not as conclus writes them, in a few words; empty where nothing is."""
    for column in table.schema:
        if not _fits(column.type, _wanted(column.name)):
            return f"{column.name} is {column.type}"
    for name in IDENTITY:
        if table[name].null_count:
            return f"{name} lacks values"
    try:
        table.validate(full=True)  # Text that is none is found here, not where it is printed.
    except pa.ArrowInvalid as error:
        return str(error).splitlines()[0]
    return ""


def _wanted(name: str) -> pa.DataType | None:
    if name == "history":
        return HISTORY
    if name.startswith(("metric.", "best.", "health.")):
        return pa.float64()
    return FIXED.field(name).type if name in FIXED.names else None


def _fits(found: pa.DataType, wanted: pa.DataType | None) -> bool:
    """Whether values of one type can stand in a column of the other: numbers of another width, or none at all."""
    if wanted is None:
        return not pa.types.is_nested(found)
    if found == wanted or pa.types.is_null(found):
        return True
    kinds = (pa.types.is_integer, pa.types.is_floating)
    return any(is_kind(found) and is_kind(wanted) for is_kind in kinds)


def header(table: pa.Table, study: str) -> bytes:
    """What `peek` reads from the footer: version, study, and key, attempt and status of each row."""
    columns = [table[name].to_pylist() for name in HeaderRow._fields]
    return encode(map(HeaderRow, *columns), study)


def _check(attempts: Sequence[Attempt]) -> None:
    for attempt in attempts:
        if attempt.status not in STATUSES:
            raise ValueError(f"status {attempt.status!r} of {attempt.trial_key} is none of {STATUSES}")


def _fixed(name: str, attempts: Sequence[Attempt]) -> pa.Array:
    derived = {"params_json": "params", "env_json": "env"}
    values: list[Any] = [getattr(attempt, derived.get(name, name)) for attempt in attempts]
    if name in derived:
        values = [canonical_json(value) for value in values]
    if name == "started":
        values = [_utc(value) for value in values]
    return pa.array(values, FIXED.field(name).type)


def _utc(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _numbers(kind: str, rows: Sequence[dict[str, float]]) -> dict[str, pa.Array]:
    return {f"{kind}.{name}": pa.array([_number(row.get(name)) for row in rows], pa.float64()) for name in _keys(rows)}


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def _params(rows: Sequence[dict[str, Any]]) -> dict[str, pa.Array]:
    columns = {f"param.{name}": _param([row.get(name) for row in rows]) for name in _keys(rows)}
    # A column of nulls has no type of its own, and any guess would clash with another file's: leave it out.
    return {name: column for name, column in columns.items() if column.null_count < len(column)}


def _param(values: list[Any]) -> pa.Array:
    cells = [_cell(value) for value in values]
    kinds = {type(cell) for cell in cells if cell is not None}
    if kinds == {bool}:
        return pa.array(cells, pa.bool_())
    if kinds == {float}:
        return pa.array(cells, pa.float64())
    return pa.array([_text(cell) for cell in cells], pa.string())


def _cell(value: Any) -> bool | float | str | None:
    """Every number is a float: files with 1 and 0.1 in one column were silently misread by DuckDB."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return float(value)
    return canonical_json(value)


def _text(cell: bool | float | str | None) -> str | None:
    return cell if cell is None or isinstance(cell, str) else json.dumps(cell)


def _keys(rows: Iterable[dict[str, Any]]) -> list[str]:
    return sorted({name for row in rows for name in row})


def _history(attempt: Attempt) -> list[dict[str, Any]]:
    return [
        {"epoch": epoch, "t": float(t), "metric": metric, "value": float(value)}
        for epoch, t, metric, value in attempt.history
    ]
