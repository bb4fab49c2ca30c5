"""SQLite databases of MLflow and Optuna, opened to be read alone; nothing that they define is run at length."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from core.errors import UserError
from jobs.ledger.runs import StoredRun

_SECONDS = 120.0
"""The longest that reading one may take: views in it could be slow for ever."""
_MOST_ROWS = 20_000_000


def is_database(path: Path) -> bool:
    """Whether a path is the file of an SQLite database."""
    try:
        with path.open("rb") as file:
            return file.read(16) == b"SQLite format 3\0"
    except OSError:
        return False


@contextlib.contextmanager
def opened(path: Path) -> Generator[sqlite3.Connection]:
    """A database to be read.

    Raises:
        UserError: it is damaged, has not the tables that are asked for, or takes too long.
    """
    end = time.monotonic() + _SECONDS
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)) as database:
            database.execute("PRAGMA trusted_schema = OFF")
            database.set_progress_handler(lambda: time.monotonic() > end, 100_000)
            yield database
    except sqlite3.Error as error:
        raise UserError(f"{path}: the database cannot be read: {error}.") from error


def rows(database: sqlite3.Connection, query: str) -> Iterator[tuple[Any, ...]]:
    """The rows of a query.

    Raises:
        UserError: there are too many.
    """
    for count, row in enumerate(database.execute(query)):
        if count >= _MOST_ROWS:
            raise UserError(f"the database has more than {_MOST_ROWS:,} rows.")
        yield row


def mlflow_runs(path: Path) -> list[StoredRun]:
    """The runs of MLflow's database that are not deleted."""
    with opened(path) as database:
        found: dict[str, StoredRun] = {}
        began: dict[str, int] = {}
        about = (
            "SELECT run_uuid, runs.name, status, start_time, end_time, experiments.name FROM runs "
            "LEFT JOIN experiments USING (experiment_id) WHERE runs.lifecycle_stage = 'active'"
        )
        for key, name, status, start, end, experiment in rows(database, about):
            took = None if start is None or end is None else (end - start) / 1000
            found[key] = StoredRun(key, name or "", status or "", None if start is None else start / 1000, took)
            found[key].study = experiment or ""
            began[key] = start or 0
        for key, name, value in rows(database, "SELECT run_uuid, key, value FROM params"):
            if key in found:
                found[key].params[name] = value
        steps = "SELECT run_uuid, step, timestamp, key, value FROM metrics WHERE is_nan = 0 ORDER BY step, timestamp"
        for key, step, at, name, value in rows(database, steps):
            if key in found:
                found[key].history.append((int(step), max(0.0, (at - began[key]) / 1000), name, float(value)))
    return list(found.values())
