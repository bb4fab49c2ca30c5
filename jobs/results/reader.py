"""Reads results of any number of folders and machines as one table, one row per trial."""

import fnmatch
import os
import warnings
from array import array
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import UserError
from jobs.results import peek, storage
from jobs.results.header import FINISHED, Header, preference
from jobs.results.identity import PROTOCOL, protocol_of
from jobs.results.layout import is_rows, misnamed_folders, row_files, study_folders, study_name
from jobs.results.misfit import misfit, misfit_of_types
from jobs.results.names import PARAM
from jobs.results.schema import FIXED, HISTORY, IDENTITY, text_column
from jobs.results.storage import REQUESTS, File, Place, Remote
from jobs.results.where import Where

_THREADS = min(8, os.cpu_count() or 1)
_RELISTINGS = 5
_MOST_VALUES = 2**26
"""In the lists of one column of a file: a compacted one of long histories holds some 4 million."""
HISTORY_COLUMN = "history"
PROTOCOL_COLUMN = "protocol"
_KEY_PARTS = ("config_key", "data_hash", "params_json")


@dataclass(frozen=True, slots=True)
class Loaded:
    """The result of reading.

    Attributes:
        table: The rows.
        skipped: Files that are damaged or foreign, each with the reason, as whole sentences.
        columns: All columns of all files, also those that were not read.
        notes: Other remarks on the files, as whole sentences.
    """

    table: pa.Table
    skipped: list[str]
    columns: list[str]
    notes: list[str]

    def need_rows(self) -> "Loaded":
        """Returns itself if there are rows.

        Raises:
            UserError: There is no row.
        """
        if not self.table.num_rows:
            raise UserError("No trial matches: look at --where and --study, or wait for the first one to start.")
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
        A table; a column that a file does not have is null in its rows. Damaged or foreign files are left out with a
        warning.

    Raises:
        UserError: A path holds no results, or `where` is wrong.
    """
    loaded = load(paths, attempts=attempts, history=history, columns=columns, where=where)
    for sentence in [*loaded.notes, *loaded.skipped]:
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
) -> Loaded:
    """Like `read_results`, but returns the skipped files too; only `studies` are read if any are named.

    A place is given as it is, never as its text, which lacks the query that says where an object store is.

    Raises:
        UserError: As in `read_results`.
    """
    condition = Where(where) if where else None
    choice = _Choice(columns, condition.names if condition else [], history=history)
    paths = [paths] if isinstance(paths, str | Path | Remote) else paths
    found = _read_all(paths, studies, choice)
    misnamed = [sentence for path in paths for sentence in misnamed_folders(path)]
    table = _ordered(found.table, attempts=attempts)
    if studies:
        table = take(table, [row for row, name in enumerate(table["study"].to_pylist()) if name in studies])
    if condition and table.num_rows:
        # A history is a list of thousands, which no expression can mean, and is not read where nobody asked for it.
        table = _filtered(table, condition, [name for name in found.columns if name != HISTORY_COLUMN])
    return Loaded(table, [*misnamed, *found.skipped], found.columns, found.notes)


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
    return _read([(path, study) for path in paths], _Choice(None, [], history=True))


@dataclass(frozen=True, slots=True)
class _File:
    path: File
    names: tuple[str, ...]
    table: pa.Table
    is_sealed: bool
    note: str


class _Choice:
    """Chooses which columns of a file to read; computed once per set of columns, not once per file."""

    def __init__(self, columns: Sequence[str] | None, names: Sequence[str], *, history: bool) -> None:
        self._patterns = None if columns is None else [*IDENTITY, *columns, *names, *(f"*.{n}" for n in names)]
        self._history = history
        self._known: dict[tuple[str, ...], list[str]] = {}

    def of(self, names: tuple[str, ...]) -> list[str]:
        if names not in self._known:
            self._known[names] = [name for name in names if self._wants(name)]
        return self._known[names]

    def nothing(self) -> pa.Table:
        """An empty table with the chosen ones of the columns that every file has."""
        schema = FIXED.append(pa.field(HISTORY_COLUMN, HISTORY))
        return schema.empty_table().select(self.of(tuple(schema.names)))

    def _wants(self, name: str) -> bool:
        if name == HISTORY_COLUMN:
            return self._history
        return self._patterns is None or any(fnmatch.fnmatchcase(name, pattern) for pattern in self._patterns)


def _read_all(paths: Sequence[str | Place], studies: Collection[str], choice: _Choice) -> Loaded:
    """Reads every file; if one is gone, compaction has moved its row, and the folders are listed again."""
    for _ in range(_RELISTINGS):
        try:
            return _read([item for path in paths for item in _listed(path, studies)], choice)
        except FileNotFoundError:
            continue
    places = ", ".join(str(storage.at(path)) for path in paths)
    raise UserError(f"The results in {places} change faster than they can be read: try again.")


def _read(files: Sequence[tuple[File, str]], choice: _Choice) -> Loaded:
    is_remote = any(isinstance(file, Remote) for file, _ in files)
    with ThreadPoolExecutor(REQUESTS if is_remote else _THREADS) as pool:
        results = list(pool.map(lambda file: _read_file(file[0], file[1], choice), files))
    read = [result for result in results if isinstance(result, _File)]
    skipped = [result for result in results if isinstance(result, str)]
    table, whole, foreign = _together(read, choice)
    names = {name for names in {file.names for file in whole} for name in names}
    notes = peek.without_digest(sum(not file.is_sealed for file in whole), _origin(files))
    notes += [file.note for file in whole if file.note]
    return Loaded(table, [*skipped, *foreign], sorted(names), notes)


def _together(read: Sequence[_File], choice: _Choice) -> tuple[pa.Table, Sequence[_File], list[str]]:
    """The rows of all files, those files, and a sentence for each that conclus would not write so.

    All files are checked together first; checking them one by one takes a fifth of the reading time. Types are checked
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


def _read_file(path: File, study: str, choice: _Choice) -> _File | str:
    """The file's rows, or a sentence on why it is skipped; a file in a study's folder must have a header."""
    try:
        content, header = peek.checked(path)
    except ValueError as error:
        return str(error)
    if header is None and study:
        return peek.foreign(path)
    try:
        with pq.ParquetFile(pa.BufferReader(content)) as file:
            # Before anything is unpacked: equal rows without end take no space in a file.
            if why := _too_much(file.metadata, header):
                return f"{path} is skipped: {why}."
            return _parsed(path, file, study, header, choice)
    except (pa.ArrowException, OSError) as error:
        return f"{path} is skipped: it is torn, not Parquet or not readable ({str(error).splitlines()[0]})."


def _parsed(path: File, file: pq.ParquetFile, study: str, header: Header | None, choice: _Choice) -> _File | str:
    """The rows, with a column for their study if only the folder or the header names it."""
    inside = tuple(file.schema_arrow.names)
    known = study or (header.study if header else "")
    names = inside if "study" in inside or not known else ("study", *inside)
    if not set(IDENTITY) <= set(names):
        return f"{path} is skipped: it was not written by conclus (it lacks columns that every row has)."
    wanted = choice.of(names)
    table = file.read([name for name in wanted if name in inside], use_threads=False)
    if len(names) > len(inside):
        table = table.add_column(0, "study", _repeated(known, table.num_rows))
    if PROTOCOL_COLUMN not in inside and set(_KEY_PARTS) <= set(inside):
        names = (*names, PROTOCOL_COLUMN)
        if choice.of((PROTOCOL_COLUMN,)):
            table = table.append_column(PROTOCOL_COLUMN, _protocols(file.read(_KEY_PARTS, use_threads=False)))
    note = peek.renamed(path, header) if header and study else ""
    return _File(path, names, table, bool(header and header.is_sealed), note)


def _too_much(about: pq.FileMetaData, header: Header | None) -> str:
    """Why a file would unpack to more than its header says; empty where it would not."""
    groups = [about.row_group(i) for i in range(about.num_row_groups)]
    rows = sum(group.num_rows for group in groups)
    if header is not None and not rows == about.num_rows == len(header.rows):
        return f"it holds {rows:,} rows, and its header tells of {len(header.rows):,}"
    # The rows bound the values of all columns but of those that hold lists.
    lists = [i for i in range(about.num_columns) if about.schema.column(i).max_repetition_level]
    values = max((sum(group.column(i).num_values for group in groups) for i in lists), default=0)
    return f"it has {values:,} values in lists, more than {_MOST_VALUES:,}" if values > _MOST_VALUES else ""


def _protocols(parts: pa.Table) -> pa.Array:
    """The protocol of each row of a file whose rows do not tell it."""
    found = array("i", map(protocol_of, *(parts[name].to_pylist() for name in _KEY_PARTS)))
    # Not pa.array: see take.
    return pa.Array.from_buffers(pa.int32(), len(found), [None, pa.py_buffer(found)])


def _repeated(text: str, count: int) -> pa.Array:
    # Not pa.array or pa.repeat: see take.
    content = text.encode()
    offsets = array("i", range(0, len(content) * count + 1, len(content)))
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(content * count))


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
    # Not pa.array(rows): it imports pandas to check for a series, which takes 0.2 s.
    return table.take(pa.Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(array("q", rows))]))


def column_cells(table: pa.Table, name: str) -> list[Any]:
    """The values of a column, one per row; None in each where the table has no such column."""
    return table[name].to_pylist() if name in table.column_names else [None] * table.num_rows
