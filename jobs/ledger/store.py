"""Writes imported rows to the results: all of them or none, and none twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.seal import seal_json
from jobs.results import records, storage
from jobs.results.layout import COMPACT, PREFIX, STUDY_JSON
from jobs.results.names import METRIC
from jobs.results.reader import load
from jobs.results.schema import Attempt, to_table
from jobs.results.writer import new_attempt_id, stored

_COLUMNS = ("source", "env_json", "status", "metric.*")


def new_rows(results: str, rows: Sequence[Attempt]) -> list[Attempt]:
    """The rows that their study does not have yet.

    Raises:
        UserError: A row was imported before with other values, or the file with another meaning of its columns.
    """
    known = _imported_rows(results, rows[0].study)
    fresh = [row for row in rows if row.trial_key not in known]
    for row in rows:
        if row.trial_key in known:
            _compare(row, known[row.trial_key], results)
    digest = rows[0].env["sha256"]
    if fresh and any(records.versions(one["env_json"]).get("sha256") == digest for one in known.values()):
        raise UserError(
            f"{rows[0].env['imported_from']} was imported into {_folder(results, rows[0].study)} before, with another "
            "meaning of its columns: give another --study, or delete that folder first."
        )
    return fresh


def write(results: str, rows: Sequence[Attempt]) -> None:
    """Writes the rows to one new file of their study, so that all of them are stored or none.

    Raises:
        UserError: The file cannot be written.
    """
    folder = _folder(results, rows[0].study)
    try:
        storage.put(folder / COMPACT / f"part-{new_attempt_id()}.parquet", stored(to_table(rows), rows[0].study))
    except OSError as error:
        raise UserError(f"{folder}: the rows cannot be written: {storage.reason(error)}.") from error


def write_selection(results: str, study: str, select: Mapping[str, Any]) -> None:
    """Keeps what an imported study ranks by, unless the study has a plan of its own.

    Raises:
        UserError: It cannot be written.
    """
    file = _folder(results, study) / STUDY_JSON
    if not select or file.exists():
        return
    try:
        storage.put(file, seal_json({"study": study, "select": dict(select)}))
    except OSError as error:
        raise UserError(f"{file} cannot be written: {storage.reason(error)}.") from error


def _folder(results: str, study: str) -> Path:
    return Path(results, f"{PREFIX}{study}")


def _imported_rows(results: str, study: str) -> dict[str, dict[str, Any]]:
    """The imported rows of the study by key."""
    folder = _folder(results, study)
    if not folder.is_dir():
        return {}
    table = load(folder, columns=_COLUMNS).table
    names = [name for name in table.column_names if name.startswith(METRIC)]
    wanted = table.select(
        ["trial_key", *(one for one in ("source", "env_json", "status") if one in table.column_names), *names]
    )
    return {row["trial_key"]: row for row in wanted.to_pylist() if row.get("source") == "import"}


def _compare(row: Attempt, stored: dict[str, Any], results: str) -> None:
    if stored.get("status", row.status) != row.status:
        raise UserError(
            f"{row.env['imported_from']}:{row.env['line']}: the run was imported as {stored['status']} before and is "
            f"{row.status} now: give another --study, or delete {_folder(results, row.study)} first."
        )
    then = {key.removeprefix(METRIC): value for key, value in stored.items() if key.startswith(METRIC)}
    for name in sorted(then.keys() | row.metrics.keys()):
        if then.get(name) != row.metrics.get(name):
            raise UserError(
                f"{row.env['imported_from']}:{row.env['line']}: {name} was imported as {_shown(then.get(name))} before "
                f"and is {_shown(row.metrics.get(name))} now: give another --study, or delete "
                f"{_folder(results, row.study)} first."
            )


def _shown(value: float | None) -> str:
    return "blank" if value is None else f"{value:.15g}"
