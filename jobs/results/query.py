"""SQL over results: DuckDB reads the reader's tables, so the same rule decides which attempt counts for a trial."""

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from core.errors import UserError
from jobs.results.names import resolve
from jobs.results.reader import HISTORY_COLUMN, load

VIEWS = ("trials", "attempts", "history")
"""The views: one row per trial; per attempt; per trial, epoch and metric."""

_LOCKED = (
    "set enable_external_access = false",
    "set python_enable_replacements = false",
    "set errors_as_json = true",
    "set lock_configuration = true",
)
"""Settings after which a query can read only the views: no files, network, extensions or Python variables."""
_TRIAL = ("study", "trial_key", "config_key", "seed", "attempt_id", "status")


_DOTTED = re.compile(r"(?:param|metric|best|mean5|health)(?:\.\w+)+")
"""Columns of ours without their quotes; DuckDB takes the part before the dot for a table."""


_NAME = re.compile(r"\w+(?:\.\w+)*")


class Answer(NamedTuple):
    """The result of a query.

    Attributes:
        table: Its rows.
        skipped: Files of the results that are damaged or foreign, as whole sentences.
    """

    table: pa.Table
    skipped: list[str]


def query(paths: Sequence[str], text: str) -> Answer:
    """Runs one `select` over the views `trials`, `attempts` and `history` of results folders.

    Only the views named in the text are read.

    Raises:
        UserError: duckdb is missing, there are no results, the text is not a single query, or it has a mistake, whose
            position is named.
    """
    duckdb = _duckdb()
    tables, skipped = _views(paths, text)
    # A separate session in memory, so that nothing it writes is kept.
    with duckdb.connect(":memory:") as connection:
        for name, table in tables.items():
            connection.register(name, table)
        for setting in _LOCKED:
            connection.execute(setting)
        try:
            _check(connection.extract_statements(text))
            return Answer(connection.sql(text).to_arrow_table(), skipped)
        except duckdb.Error as error:
            columns = [name for table in tables.values() for name in table.column_names]
            raise UserError(_sentence(_fault(connection, text, error), text, columns)) from error


def history_table(table: pa.Table) -> pa.Table:
    """One row per trial, epoch and metric, from rows that contain their histories."""
    import pyarrow.compute as pc

    nested = table[HISTORY_COLUMN].combine_chunks()
    owners = pc.call_function("list_parent_indices", [nested])
    leaves = nested.flatten()
    columns: dict[str, Any] = {name: table[name].take(owners) for name in _TRIAL}
    return pa.table(columns | {field.name: leaves.field(i) for i, field in enumerate(leaves.type)})


def values(column: pa.ChunkedArray) -> list[Any]:
    """The values of a column of an answer as Python holds them; where it cannot, their text as DuckDB writes it.

    Python has no infinite time, none after the year 9999 and none to the nanosecond.
    """
    if getattr(column.type, "unit", None) != "ns":
        try:
            return column.to_pylist()
        except (OverflowError, ValueError):
            pass
    with _duckdb().connect(":memory:") as connection:
        connection.register("answer", pa.table({"value": column}))
        rows: list[tuple[Any]] = connection.sql("select value::varchar from answer").fetchall()
    return [text for (text,) in rows]


def _duckdb() -> Any:
    try:
        import duckdb
    except ImportError as error:
        raise UserError("SQL needs duckdb: uv sync --extra sql --inexact --no-dev") from error
    return duckdb


def _views(paths: Sequence[str], text: str) -> tuple[dict[str, pa.Table], list[str]]:
    """The views named in the text; without any, the trials, so that `show tables` shows something."""
    named = [name for name in VIEWS if re.search(rf"\b{name}\b", text, re.IGNORECASE)] or ["trials"]
    loaded = {name: load(paths, attempts=name == "attempts", **_choice(name)) for name in named}
    tables = {name: history_table(one.table) if name == "history" else one.table for name, one in loaded.items()}
    first = next(iter(loaded.values()))
    return tables, [*first.notes, *first.skipped]


def _choice(name: str) -> dict[str, Any]:
    return {"history": True, "columns": ()} if name == "history" else {}


def _check(statements: Sequence[Any]) -> None:
    if len(statements) != 1:
        raise UserError(f"The query holds {len(statements)} statements: write one select.")
    kind = statements[0].type.name
    # DuckDB treats a pivot as several statements.
    if kind not in {"SELECT", "EXPLAIN", "MULTI"}:
        raise UserError(f"The query is a {kind.lower()}: results are only read, by a select over {', '.join(VIEWS)}.")


def _fault(connection: Any, text: str, error: Exception) -> str:
    """The error's message, with its position: `execute` gives it, `sql` does not."""
    try:
        connection.execute(text)
    except _duckdb().Error as again:
        return str(again)
    return str(error)


def _sentence(message: str, text: str, columns: Sequence[str]) -> str:
    """DuckDB's message on one line, with the position of the mistake; of a short name, the column that it means."""
    try:
        content = json.loads(message[message.index("{") :])
    except ValueError:
        return f"SQL: {' '.join(message.split())}"
    said = " ".join(content["exception_message"].split()).replace("Candidate bindings:", "There are:")
    if "position" not in content:
        return f"SQL: {said}"
    before = text.encode()[: int(content["position"])].decode(errors="ignore")
    if dotted := _DOTTED.match(text, len(before)):
        said = f'a column whose name has a dot stands in double quotes: "{dotted[0]}"'
    elif (word := _NAME.match(text, len(before))) and (column := _meant(word[0], columns)):
        said = f'there is no column {word[0]}; write "{column}"'
    line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
    return f"SQL, line {line}, column {column}: {said}"


def _meant(name: str, columns: Sequence[str]) -> str:
    """The column that a short name means elsewhere; empty if there is none, or it is one."""
    try:
        found = resolve(name, columns)
    except UserError:
        return ""
    return "" if found == name else found
