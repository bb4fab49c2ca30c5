"""The columns of the results, with types that do not depend on the values."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from core.data.told import told
from core.seal import canonical_json
from jobs.results.header import STATUSES, HeaderRow, encode
from jobs.results.identity import PROTOCOL


def _list_of(**fields: pa.DataType) -> pa.DataType:
    return pa.list_(pa.field("element", pa.struct([pa.field(name, kind) for name, kind in fields.items()])))


HISTORY = _list_of(epoch=pa.int32(), t=pa.float64(), metric=pa.string(), value=pa.float64())
_MANY = 1000
RECENT = 5
"""Reports of a metric whose mean is `mean5.<name>`."""
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
        pa.field("own_seconds", pa.float64()),
        pa.field("epochs_done", pa.int32()),
        pa.field("continued_from", pa.string()),
        pa.field("host", pa.string()),
        pa.field("by", pa.string()),
        pa.field("gpu", pa.float64()),
        pa.field("ray_trial_id", pa.string()),
        pa.field("device", pa.string()),
        pa.field("precision", pa.string()),
        pa.field("chosen_encoder", pa.string()),
        pa.field("chosen_views", pa.string()),
        pa.field("params_json", pa.string()),
        pa.field("protocol", pa.int32()),
        pa.field("plug_ins_json", pa.string()),
        pa.field("code_hash", pa.string()),
        pa.field("data_hash", pa.string()),
        pa.field("env_hash", pa.string()),
        pa.field("env_json", pa.string()),
        pa.field("best_metric", pa.string()),
        pa.field("best_epoch", pa.int32()),
        pa.field("label_free_epoch", pa.int32()),
        pa.field("verdict", pa.string()),
        pa.field("performance_trend", pa.string()),
        pa.field("cluster_sizes", pa.list_(pa.field("element", pa.int32()))),
        pa.field("probe_labels", pa.list_(pa.field("element", pa.int16()))),
        pa.field("topics", _list_of(topic=pa.int32(), word=pa.string(), weight=pa.float64())),
        pa.field("topic_coherence", pa.list_(pa.field("element", pa.float64()))),
        pa.field("topic_documents", _list_of(topic=pa.int32(), id=pa.string())),
        pa.field("topic_scored_on", pa.string()),
    ]
)
MOST_TOPICS = 2000
"""Of one trial. The words and documents of further topics are not stored."""
MOST_OF_TOPICS = {"topics": 20 * MOST_TOPICS, "topic_coherence": MOST_TOPICS, "topic_documents": 3 * MOST_TOPICS}
"""Words, values and documents of all topics of one trial: conclus keeps 15 words and 3 documents of each."""
LONGEST_WORD = 1000
"""The most characters of a word, or of a document's id, of a topic; longer ones are stored cut."""
LARGEST = 1e100
"""Of a finite number in a row: sums of the squares of as many as there may be stay finite. Beyond it is infinity."""
LONGEST = 1e10
"""Seconds of a trial: some 300 years."""
MOST_GPUS = 1e6
"""Of one trial."""
YEARS = datetime(1970, 1, 1, tzinfo=UTC), datetime(2262, 1, 1, tzinfo=UTC)
"""Between them begins every trial: what nanoseconds since 1970 hold, in which pandas keeps time."""
ELSEWHERE = "RESUMED_ELSEWHERE"
"""The code in the reason of a trial that went on on another device: a rerun need not give the same row."""
IDENTITY = ("study", "trial_key", "config_key", "seed", "attempt_id", "status")


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One run of one trial, in plain Python values.

    Attributes:
        seed: The seed of the trial's random numbers; a unique negative number if unknown.
        status: `running`, `ok`, `stopped` (ended early on purpose) or `failed`.
        reason: A code for why it was stopped or failed, else empty.
        source: `run`, or `import` for a row from a user's own table.
        started: When it began; without a time zone it counts as UTC. Before 1970 and after 2261 it is not stored.
        seconds: Wall seconds of training and scoring so far, with those of the attempts that it continues. Not stored
            if it is not a duration.
        own_seconds: Wall seconds of this attempt alone, from its start to its last epoch, reading of data included. So
            their sum over attempts counts nothing twice. Not stored if it is not a duration.
        continued_from: The finished trial of fewer epochs from whose state it went on, and the epoch, as
            `4f1c…:60`; else empty.
        by: The user name of whoever ran it; empty if unknown.
        gpu: The share of a GPU that it held, from `resources.gpu`; 0 on the CPU.
        device: `cpu`, or the name of the GPU that trained it.
        precision: `f32` or `bf16`, as chosen by `auto`; empty if nothing was trained.
        chosen_encoder: The encoder that `auto` came to; empty if the study names one, or nothing was trained.
        chosen_views: The same of the views.
        params: The flattened configuration, dotted keys to scalars, None or lists.
        protocol: The protocol by which its key was made; 0 for an imported row, whose key comes from its values alone.
        plug_ins: The `name` and file `sha256` of each plug-in that is not part of conclus, by dotted key.
        env: Versions of Python and packages; for an imported row, its file, line and notes.
        best_metric: Name of the metric that chose `best_epoch`.
        label_free_epoch: The epoch with the highest `health["label_free"]`.
        verdict: `OK`, or the codes of `core.evaluation.health.judge` joined by "; "; empty if it was not judged.
        performance_trend: `improving`, `plateau` or `declining`; empty with fewer than five scored epochs.
        cluster_sizes: Items per cluster at the last epoch.
        probe_labels: Clusters of the data set's subsample at the last epoch, each below 2,000.
        topics: `(topic, word, weight)` of a topic model's last scoring, topic by topic, the heaviest word first.
        topic_coherence: Of each topic, NPMI of its top 10 words.
        topic_documents: `(topic, id)` of the documents in which each topic is strongest.
        topic_scored_on: What the topics were scored on, for people; empty if there are none.
        metrics: Scores and losses of the last epoch; values beyond `LARGEST` are stored as infinite.
        best: Scores and losses at `best_epoch`.
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
    own_seconds: float | None = None
    epochs_done: int = 0
    continued_from: str = ""
    host: str = ""
    by: str = ""
    gpu: float | None = None
    ray_trial_id: str = ""
    device: str = ""
    precision: str = ""
    chosen_encoder: str = ""
    chosen_views: str = ""
    params: dict[str, Any] = field(default_factory=dict[str, Any])
    protocol: int = PROTOCOL
    plug_ins: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    code_hash: str = ""
    data_hash: str = ""
    env_hash: str = ""
    env: dict[str, str] = field(default_factory=dict[str, str])
    best_metric: str = ""
    best_epoch: int | None = None
    label_free_epoch: int | None = None
    verdict: str = ""
    performance_trend: str = ""
    cluster_sizes: list[int] | None = None
    probe_labels: list[int] | None = None
    topics: list[tuple[int, str, float]] | None = None
    topic_coherence: list[float] | None = None
    topic_documents: list[tuple[int, str]] | None = None
    topic_scored_on: str = ""
    metrics: dict[str, float] = field(default_factory=dict[str, float])
    best: dict[str, float] = field(default_factory=dict[str, float])
    health: dict[str, float] = field(default_factory=dict[str, float])
    history: list[tuple[int, float, str, float]] = field(default_factory=list[tuple[int, float, str, float]])

    @property
    def recent(self) -> dict[str, float]:
        """The mean of the last five reports of each score and loss, or of all if there are fewer.

        Scores move from one scoring to the next, so the last value alone is partly luck.
        """
        reported: dict[str, list[float]] = {name: [] for name in self.metrics}
        for _, _, name, value in self.history:
            if name in reported:
                reported[name].append(value)
        last = {name: values[-RECENT:] for name, values in reported.items() if values}
        return {name: sum(values) / len(values) for name, values in last.items()}


def to_table(attempts: Sequence[Attempt]) -> pa.Table:
    """The attempts as rows of results, one each, in the given order.

    Raises:
        ValueError: A status is not one of `STATUSES`.
    """
    _check(attempts)
    columns: dict[str, pa.Array] = {}
    for name in FIXED.names:
        _tell("writing rows", len(columns), len(FIXED.names), attempts)
        columns[name] = _fixed(name, attempts)
    columns |= _params([attempt.params for attempt in attempts])
    columns |= _numbers("metric", [attempt.metrics for attempt in attempts])
    columns |= _numbers("best", [attempt.best for attempt in attempts])
    columns |= _numbers("mean5", [attempt.recent for attempt in attempts])
    columns |= _numbers("health", [attempt.health for attempt in attempts])
    histories: list[Any] = []
    for attempt in attempts:
        _tell("writing histories", len(histories), len(attempts), attempts)
        histories.append(_history(attempt))
    columns["history"] = pa.array(histories, HISTORY)
    return pa.table(columns)


def _tell(work: str, done: int, total: int, attempts: Sequence[Attempt]) -> None:
    """Tells how far an import is; the one row of a trial is nothing to tell of."""
    if len(attempts) >= _MANY:
        told(work, done, total)


def text_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A `param.` column of any type as strings, in the spelling of `to_table` for mixed types."""
    return pa.chunked_array([pa.array([_text(value) for value in column.to_pylist()], pa.string())])


def header(table: pa.Table, study: str) -> bytes:
    """The header for `peek`: version, study, and key, attempt and status of each row."""
    columns = [table[name].to_pylist() for name in HeaderRow._fields]
    return encode(map(HeaderRow, *columns), study)


def _check(attempts: Sequence[Attempt]) -> None:
    for attempt in attempts:
        if attempt.status not in STATUSES:
            raise ValueError(f"status {attempt.status!r} of {attempt.trial_key} is none of {STATUSES}")


def _fixed(name: str, attempts: Sequence[Attempt]) -> pa.Array:
    derived = {"params_json": "params", "plug_ins_json": "plug_ins", "env_json": "env"}
    values: list[Any] = [getattr(attempt, derived.get(name, name)) for attempt in attempts]
    if name in derived:
        values = [canonical_json(value) for value in values]
    if name == "started":
        values = [_utc(value) for value in values]
    if name in {"seconds", "own_seconds"}:
        values = [value if value is not None and 0 <= value <= LONGEST else None for value in values]
    if name in {"topics", "topic_documents"}:
        values = [
            value and [_of_topic(one) for one in value if one[0] < MOST_TOPICS][: MOST_OF_TOPICS[name]]
            for value in values
        ]
    if name == "topic_coherence":
        values = [value and [_summable(one) for one in value[:MOST_TOPICS]] for value in values]
    return pa.array(values, FIXED.field(name).type)


def _of_topic(entry: tuple[int, str, float] | tuple[int, str]) -> tuple[Any, ...]:
    number, text, *weight = entry
    return (number, text[:LONGEST_WORD], *map(_summable, weight))


def _utc(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    # A year 1 in a far zone would be none in UTC: nothing is converted before it is compared.
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return aware.astimezone(UTC) if YEARS[0] <= aware < YEARS[1] else None


def _numbers(kind: str, rows: Sequence[dict[str, float]]) -> dict[str, pa.Array]:
    return {f"{kind}.{name}": pa.array([_number(row.get(name)) for row in rows], pa.float64()) for name in _keys(rows)}


def _number(value: float | None) -> float | None:
    return None if value is None else _summable(float(value))


def _summable(value: float) -> float:
    return math.copysign(math.inf, value) if abs(value) > LARGEST else value


def contradicted(params: Mapping[str, Any], cells: Mapping[str, Any]) -> list[str]:
    """The parameters of which a row's columns and its `params_json` tell different values.

    Args:
        params: What `params_json` holds.
        cells: The values of the columns by dotted key, without `param.`.
    """
    told = {name: _cell(params.get(name)) for name in {*params, *cells}}
    return sorted(name for name, one in told.items() if cells.get(name) not in (one, _text(one)))


def _params(rows: Sequence[dict[str, Any]]) -> dict[str, pa.Array]:
    columns = {f"param.{name}": _param([row.get(name) for row in rows]) for name in _keys(rows)}
    # A column of nulls is left out: it has no type, and a guess could differ from another file's type.
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
    """The value to store; every number becomes a float: DuckDB misreads files with 1 and 0.1 in one column.

    A number that cannot be used in calculations becomes text.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return float(value) if abs(value) <= LARGEST else json.dumps(value)
    return canonical_json(value)


def _text(cell: bool | float | str | None) -> str | None:
    return cell if cell is None or isinstance(cell, str) else json.dumps(cell)


def _keys(rows: Iterable[dict[str, Any]]) -> list[str]:
    return sorted({name for row in rows for name in row})


def _history(attempt: Attempt) -> list[dict[str, Any]]:
    return [
        {"epoch": epoch, "t": _summable(float(t)), "metric": metric, "value": _summable(float(value))}
        for epoch, t, metric, value in attempt.history
    ]
