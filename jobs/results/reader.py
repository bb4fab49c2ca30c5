"""Reads results of any number of folders and machines as one table, one row per trial."""

import os
import warnings
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from core.config.schema import did_you_mean
from core.data.told import told
from core.errors import UserError
from jobs.results import peek, storage
from jobs.results.file_rows import HISTORY_COLUMN, PROTOCOL_COLUMN, Columns, FileRows, read_file
from jobs.results.header import FINISHED, preference
from jobs.results.identity import PROTOCOL
from jobs.results.layout import PART, is_rows, misnamed_folders, row_files, study_folders, study_name
from jobs.results.misfit import misfit, misfit_of_types
from jobs.results.names import PARAM, spellings
from jobs.results.schema import IDENTITY, text_column
from jobs.results.storage import REQUESTS, File, Place, Remote
from jobs.results.where import Where

_THREADS = min(8, os.cpu_count() or 1)
_RELISTINGS = 5
_TOGETHER = 200
"""Files whose rows are held as tables of their own: one of a single row takes some 350 KB."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The result of reading.

    Attributes:
        table: The rows.
        skipped: Files that are damaged or foreign, each with the reason, as whole sentences.
        columns: All columns of all files, also those that were not read.
        notes: Other remarks on the files, as whole sentences.
        unmatched: What in the expression fits no row, if none is left for it.
    """

    table: pa.Table
    skipped: list[str]
    columns: list[str]
    notes: list[str]
    unmatched: str = ""

    def need_rows(self) -> "Loaded":
        """Returns itself if there are rows.

        Raises:
            UserError: There is no row.
        """
        if not self.table.num_rows:
            why = self.unmatched or "look at --where and --study, or wait for the first one to start."
            raise UserError(f"No trial matches: {why}")
        return self


def read_results(
    paths: str | Sequence[str],
    *,
    attempts: bool = False,
    history: bool = False,
    columns: Sequence[str] | None = None,
    where: str = "",
) -> pa.Table:
    """The trials of one or several results folders, one row each, ordered by study, configuration and seed.

    Args:
        paths: Results folders, `study=…` folders or single Parquet files.
        attempts: Return every attempt instead of the one that counts for its trial.
        history: Also read the column `history`, which has most of the bytes.
        columns: Names or patterns (`param.*`) of the columns to read; those that identify a trial are always read.
        where: An expression such as `learning_rate < 1e-3 and method.name == 'cc'`.

    Returns:
        A table; a column that a file does not have is null in its rows, one that none has is left out with a warning.
        Damaged or foreign files are left out with a warning.

    Raises:
        UserError: A path holds no results, or `where` is wrong.
    """
    loaded = load(paths, attempts=attempts, history=history, columns=columns, where=where)
    there = {*loaded.columns, *loaded.table.column_names}
    exact = [] if columns is None else [one for one in columns if not {*one} & {*"*?["}]
    missing = [f"No file has a column {one!r}{did_you_mean(one, there) or '.'}" for one in exact if one not in there]
    for sentence in [*loaded.notes, *loaded.skipped, *missing]:
        warnings.warn(sentence, stacklevel=2)
    return loaded.table


def load(
    paths: str | Place | Sequence[str | Place],
    *,
    attempts: bool = False,
    history: bool = False,
    columns: Sequence[str] | None = None,
    where: str = "",
    studies: Collection[str] = (),
    lighten: Callable[[pa.Table], pa.Table] = lambda rows: rows,
) -> Loaded:
    """Like `read_results`, but returns the skipped files too; only `studies` are read if any are named.

    A place is given as it is, never as its text, which lacks the query that says where an object store is. `lighten`
    takes the rows of a few files, each attempt a row, and returns them without what is not needed of all.

    Raises:
        UserError: As in `read_results`.
    """
    condition = Where(where) if where else None
    named = [way for name in condition.names for way in spellings(name)] if condition else []
    choice = Columns(columns, named, history=history)
    paths = [paths] if isinstance(paths, str | Path | Remote) else paths
    reading = _Reading(choice, lighten)
    _read_all(paths, studies, reading)
    misnamed = [sentence for path in paths for sentence in misnamed_folders(path)]
    table, why = _ordered(reading.rows(), attempts=attempts), ""
    if studies:
        table = take(table, [row for row, name in enumerate(table["study"].to_pylist()) if name in studies])
    if condition and table.num_rows:
        # A history is a list of thousands, which no expression can mean, and is not read where nobody asked for it.
        names = [name for name in reading.columns if name != HISTORY_COLUMN]
        every, table = table, _filtered(table, condition, names)
        why = "" if table.num_rows else condition.unmatched(names, lambda name: every[name].unique().to_pylist())
    return Loaded(table, [*misnamed, *reading.skipped], reading.columns, reading.notes, why)


def together(tables: Sequence[pa.Table]) -> pa.Table:
    """The rows of tables that were read at different times, each attempt once, in the reader's order."""
    return _ordered(_union(list(tables)), attempts=True)


def values_by_epoch(results: str, study: str, metric: str, contents: Collection[str]) -> list[list[tuple[int, float]]]:
    """The (epoch, value) pairs of a metric or label-free signal, in order, for each finished trial of a study.

    Trials of another protocol, and of plug-ins of other contents, are left out.

    Args:
        results: The results folder; if it does not have the study, the list is empty.
        study: The study's name.
        metric: The name without a prefix, such as `nmi` or `label_free`.
        contents: The accepted values of `plug_ins_json`; a missing value counts as `{}`.
    """
    wanted = [HISTORY_COLUMN, PROTOCOL_COLUMN, "plug_ins_json"]
    try:
        table = load([results], history=True, columns=wanted, studies=[study]).table
    except UserError:
        return []
    names = {metric, f"health.{metric}"}
    return [
        [(step["epoch"], step["value"]) for step in row["history"] if step["metric"] in names]
        for row in table.select([name for name in ("status", *wanted) if name in table.column_names]).to_pylist()
        if row["status"] in FINISHED
        and row.get(PROTOCOL_COLUMN, PROTOCOL) == PROTOCOL
        and (row.get("plug_ins_json") or "{}") in contents
    ]


def read_files(paths: Sequence[File], study: str) -> Loaded:
    """Every row and column of the given files of one study, which must have a header of conclus.

    Raises:
        FileNotFoundError: One of the files is gone.
    """
    reading = _Reading(Columns(None, [], history=True))
    if not reading.add([(path, study) for path in paths]):
        raise FileNotFoundError(paths[0])
    return Loaded(reading.rows(), reading.skipped, reading.columns, reading.notes)


class _Reading:
    """Reads files a few at a time: as a table of its own, the one row of a file takes many times its bytes."""

    def __init__(self, choice: Columns, lighten: Callable[[pa.Table], pa.Table] = lambda rows: rows) -> None:
        self._choice, self._lighten = choice, lighten
        self._known: set[str] = set()
        self._tables: list[pa.Table] = []
        self._names: set[str] = set()
        self._damaged: list[str] = []
        self._foreign: list[str] = []
        self._told: list[str] = []
        self._unsealed = 0
        self._origin = ""

    def add(self, files: Sequence[tuple[File, str]]) -> bool:
        """Reads those of the files that are not read yet; returns whether all of them were there."""
        self._origin = _origin(files)
        new = [one for one in files if str(one[0]) not in self._known]
        threads = REQUESTS if any(isinstance(file, Remote) for file, _ in new) else _THREADS
        with ThreadPoolExecutor(threads) as pool:
            gone = done = 0
            for batch in _batches(new):
                gone += len(batch) - self._add(batch, list(pool.map(self._file, batch)))
                done += len(batch)
                told("reading files of results", done, len(new))
        return not gone

    def rows(self) -> pa.Table:
        """All rows; it can be asked once, and nothing but what it returns holds them then."""
        tables, self._tables = self._tables, []
        pool = pa.default_memory_pool()
        pool.release_unused()  # What was needed to read; by itself it is kept for later.
        table = _union(tables or [self._choice.nothing()])
        del tables
        pool.release_unused()
        return table

    @property
    def columns(self) -> list[str]:
        """The names of all columns of the files."""
        return sorted(self._names)

    @property
    def skipped(self) -> list[str]:
        """Files that are damaged or foreign, each with the reason, as whole sentences."""
        return [*self._damaged, *self._foreign]

    @property
    def notes(self) -> list[str]:
        """Other remarks on the files, as whole sentences."""
        return [*peek.without_digest(self._unsealed, self._origin), *self._told]

    def _file(self, file: tuple[File, str]) -> FileRows | str | None:
        try:
            return read_file(*file, self._choice)
        except FileNotFoundError:
            return None

    def _add(self, files: Sequence[tuple[File, str]], found: Sequence[FileRows | str | None]) -> int:
        """Adds what was read of some files; returns how many of them were there."""
        there = [str(file) for (file, _), one in zip(files, found, strict=True) if one is not None]
        self._known.update(there)
        self._damaged += [one for one in found if isinstance(one, str)]
        table, whole, foreign = _together([one for one in found if isinstance(one, FileRows)], self._choice)
        self._tables.append(self._lighten(table))
        self._foreign += foreign
        self._names.update(*{one.names for one in whole})
        self._told += [one.note for one in whole if one.note]
        self._unsealed += sum(not one.is_sealed for one in whole)
        return len(there)


def _batches(files: Sequence[tuple[File, str]]) -> Iterator[Sequence[tuple[File, str]]]:
    """The files of single rows many at a time; those of many rows one by one, since each takes some 50 MB to read."""
    parts = [one for one in files if storage.name_of(one[0]).startswith(PART)]
    single = [one for one in files if not storage.name_of(one[0]).startswith(PART)]
    for some, count in ((single, _TOGETHER), (parts, 1)):
        yield from (some[start : start + count] for start in range(0, len(some), count))


def _read_all(paths: Sequence[str | Place], studies: Collection[str], reading: _Reading) -> None:
    """Reads every file; if one is gone, compaction has moved its row, and the folders are listed again for its part."""
    for _ in range(_RELISTINGS):
        if reading.add([item for path in paths for item in _listed(path, studies)]):
            return
    places = ", ".join(str(storage.at(path)) for path in paths)
    raise UserError(f"The results in {places} change faster than they can be read: try again.")


def _together(read: Sequence[FileRows], choice: Columns) -> tuple[pa.Table, Sequence[FileRows], list[str]]:
    """The rows of some files, those files, and a sentence for each that conclus would not write so.

    All are checked together first; checking them one by one takes a fifth of the reading time. Types are checked
    before any value is converted, because a converted value could pass.
    """
    try:
        table = _concatenated([file.table for file in read] or [choice.nothing()])
        if not misfit(table):
            return table, read, []
    except pa.ArrowException:
        pass
    wrong = {file.path: why for file in read if (why := misfit_of_types(file.table.schema))}
    whole = [file for file in read if file.path not in wrong]
    table = _union([file.table for file in whole] or [choice.nothing()])
    if misfit(table):
        wrong |= {file.path: why for file in whole if (why := misfit(file.table))}
        whole = [file for file in whole if file.path not in wrong]
        table = _union([file.table for file in whole] or [choice.nothing()])
    sentences = [f"{path} is skipped: it is not as conclus writes it ({why})." for path, why in wrong.items()]
    return table, whole, sentences


def _origin(files: Sequence[tuple[File, str]]) -> str:
    """The name of the files for a sentence on all of them."""
    return str(files[0][0]) if len(files) == 1 else f"{len(files)} files of results"


def _listed(path: str | Place, studies: Collection[str]) -> list[tuple[File, str]]:
    """The files of one path, each with the study of its folder; the study is empty for a file given directly."""
    place = storage.at(path)
    if is_rows(path):
        return [(place if isinstance(place, Remote) else str(place), "")]
    return [(file, study_name(folder)) for folder in study_folders(path, studies) for file in row_files(folder)]


def _union(tables: list[pa.Table]) -> pa.Table:
    try:
        return _concatenated(tables)
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return _concatenated(_same_types(tables))


def _concatenated(tables: list[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables, promote_options="permissive").combine_chunks()


def _same_types(tables: list[pa.Table]) -> list[pa.Table]:
    """The tables with a parameter as text everywhere if it is a number in one and a word in another."""
    kinds: dict[str, set[pa.DataType]] = {}
    for table in tables:
        for field in table.schema:
            kinds.setdefault(field.name, set()).add(field.type)
    mixed = {name for name, types in kinds.items() if len(types) > 1 and name.startswith(PARAM)}
    return [_as_text(table, mixed) for table in tables]


def _as_text(table: pa.Table, names: set[str]) -> pa.Table:
    for name in names & set(table.column_names):
        table = table.set_column(table.column_names.index(name), name, text_column(table[name]))
    return table


def _ordered(table: pa.Table, *, attempts: bool) -> pa.Table:
    """The sorted rows, one per trial or one per attempt: an interrupted compaction leaves copies."""
    study, trial, config, seed, attempt, status = (table[name].to_pylist() for name in IDENTITY)
    chosen: dict[tuple[str, ...], int] = {}
    for row in range(table.num_rows):
        key = (study[row], trial[row], attempt[row]) if attempts else (study[row], trial[row])
        other = chosen.setdefault(key, row)
        if preference(status[row], attempt[row]) < preference(status[other], attempt[other]):
            chosen[key] = row
    place = list(zip(study, config, seed, trial, attempt, strict=True))
    return take(table, sorted(chosen.values(), key=place.__getitem__))


def _filtered(table: pa.Table, condition: Where, names: list[str]) -> pa.Table:
    matches = condition.matcher(names)
    used = condition.columns(names)
    columns = [table[name].to_pylist() for name in used]
    wanted = (matches(dict(zip(used, row, strict=True))) for row in _rows(columns, table.num_rows))
    return take(table, [row for row, is_wanted in enumerate(wanted) if is_wanted])


def _rows(columns: list[list[Any]], count: int) -> Iterable[tuple[Any, ...]]:
    return zip(*columns, strict=True) if columns else [()] * count


def take(table: pa.Table, rows: list[int]) -> pa.Table:
    """These rows of a table, in this order."""
    if rows == [*range(table.num_rows)]:
        return table
    # Not pa.array(rows): it imports pandas to check for a series, which takes 0.2 s.
    return table.take(pa.Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(array("q", rows))]))


def column_cells(table: pa.Table, name: str) -> list[Any]:
    """The values of a column, one per row; None in each where the table has no such column."""
    return table[name].to_pylist() if name in table.column_names else [None] * table.num_rows
