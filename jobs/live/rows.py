"""Follows the rows of a study: files of finished trials are read once, others when they are rewritten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from core.errors import UserError
from jobs.results import storage
from jobs.results.layout import row_files
from jobs.results.reader import Loaded, load, take, together
from jobs.results.storage import File, Place

_TABLES = 20
"""So many tables of a look each are held apart; then they become one."""
_ENDING = ".parquet"
_RUNS = "running"


@dataclass(frozen=True, slots=True)
class _Open:
    """A file that may be rewritten: of a trial that runs, or damaged."""

    version: object
    table: pa.Table
    skipped: list[str]


class FollowedRows:
    """The attempts of a study, as its files are now.

    Args:
        folder: The study's folder.
        columns: The columns to keep.

    Attributes:
        closed: The files that are not read again: all their attempts have ended.
    """

    def __init__(self, folder: Place, columns: Sequence[str]) -> None:
        self.folder, self._columns = folder, columns
        self.closed: set[File] = set()
        self._open: dict[File, _Open] = {}
        self._tables: list[pa.Table] = []
        self._notes: list[str] = []
        self._names: set[str] = set()

    def look(self) -> bool:
        """Reads what is new; returns whether anything is."""
        there = row_files(self.folder)
        gone = self._open.keys() - {*there}
        for file in gone:
            del self._open[file]
        self.closed &= {*there}
        versions = {file: _version(file) for file in there if file not in self.closed}
        new = {file: one for file, one in versions.items() if one is not None and not self._knows(file, one)}
        if not new:
            return bool(gone)
        try:
            self._read(new)
        except UserError:  # A file went while this looked: its row is in another one, which the next look finds.
            return bool(gone)
        return True

    def loaded(self) -> Loaded:
        """All attempts, as `jobs.results.reader.load` gives them."""
        if len(self._tables) > _TABLES:
            self._tables = [together(self._tables)]
        tables = [*self._tables, *(one.table for one in self._open.values())]
        table = together(tables) if tables else load([], attempts=True, columns=self._columns).table
        skipped = [sentence for one in self._open.values() for sentence in one.skipped]
        return Loaded(table, skipped, sorted(self._names), [*dict.fromkeys(self._notes)])

    def _knows(self, file: File, version: object) -> bool:
        return file in self._open and self._open[file].version == version

    def _read(self, new: Mapping[File, object]) -> None:
        loaded = load([*new], attempts=True, columns=self._columns)
        self._names.update(loaded.columns)
        self._notes += loaded.notes
        table = loaded.table
        identity = zip(*(table[name].to_pylist() for name in ("trial_key", "attempt_id", "status")), strict=True)
        running = {
            f"{key}.{attempt}": row for row, (key, attempt, status) in enumerate(identity) if status == "running"
        }
        held: set[int] = set()
        for file, version in new.items():
            name = storage.name_of(file).removesuffix(_ENDING)
            told = [one for one in loaded.skipped if one.startswith(f"{file} ")]
            rows = [running[name]] if name in running else []
            self._open.pop(file, None)
            if rows or told:
                self._open[file] = _Open(version, take(table, rows), told)
                held.update(rows)
            else:
                self.closed.add(file)
        # A part that conclus wrote has no rows of trials that run; what another program put there is kept as it is.
        if ended := sorted({*range(table.num_rows)} - held):
            self._tables.append(take(table, ended))


def _version(file: File) -> object | None:
    try:
        return storage.version(file)
    except FileNotFoundError:
        return None
