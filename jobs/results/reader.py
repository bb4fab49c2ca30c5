"""Read results of any number of folders and machines as one table, one row per trial."""

import fnmatch
import os
import warnings
from array import array
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import UserError
from jobs.results import peek, storage
from jobs.results.header import FINISHED, Header, preference
from jobs.results.layout import misnamed_folders, row_files, study_folders, study_name
from jobs.results.names import PARAM
from jobs.results.schema import FIXED, HISTORY, IDENTITY, misfit, misfit_of_types, text_column
from jobs.results.storage import REQUESTS, File, Remote
from jobs.results.where import Where

_THREADS = min(8, os.cpu_count() or 1)
_RELISTINGS = 5
_MOST_VALUES = 2**26
"""In the lists of one column of a file: a compacted one of long histories holds some 4 million."""
HISTORY_COLUMN = "history"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What reading found.

    Attributes:
        table: The rows.
        skipped: Files that are damaged or not ours, each with the reason, as whole sentences.
        columns: All columns that any of the files has, also those that were not read.
        notes: What else is to be told of the files, as whole sentences.
    """

    table: pa.Table
    skipped: list[str]
    columns: list[str]
    notes: list[str]

    def need_rows(self) -> "Loaded":
        """The same.

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
        attempts: Every attempt instead of the one that stands for its trial.
        history: Also the column `history`, which is most of the bytes.
        columns: Names or patterns (`param.*`) of the columns to read; what identifies a trial always comes.
        where: An expression such as `learning_rate < 1e-3 and method.name == 'cc'`.

    Returns:
        A table; a column that some files lack is null there. Files that are damaged or foreign are left out with
        a warning.

    Raises:
        UserError: A path holds no results, or `where` is wrong.
    """
    loaded = load(paths, attempts=attempts, history=history, columns=columns, where=where)
    for sentence in [*loaded.notes, *loaded.skipped]:
        warnings.warn(sentence, stacklevel=2)
    return loaded.table


def load(
    paths: str | Sequence[str],
    *,
    attempts: bool = False,
    history: bool = False,
    columns: Sequence[str] | None = None,
    where: str = "",
    studies: Collection[str] = (),
) -> Loaded:
    """What `read_results` reads, with the skipped files as a list; only `studies` if any are named.

    Raises:
        UserError: As `read_results`.
    """
    condition = Where(where) if where else None
    choice = _Choice(columns, condition.names if condition else [], history=history)
    paths = [paths] if isinstance(paths, str) else paths
    found = _read_all(paths, studies, choice)
    misnamed = [sentence for path in paths for sentence in misnamed_folders(path)]
    table = _ordered(found.table, attempts=attempts)
    if studies:
        table = _take(table, [row for row, name in enumerate(table["study"].to_pylist()) if name in studies])
    if condition and table.num_rows:
        table = _filtered(table, condition, found.columns)
    return Loaded(table, [*misnamed, *found.skipped], found.columns, found.notes)


def values_by_epoch(results: str, study: str, metric: str) -> list[list[tuple[int, float]]]:
    """For each finished trial of a study the (epoch, value) pairs of a metric or label-free signal, in order.

    Args:
        results: The results folder; one without the study has no trials.
        study: Its name.
        metric: The bare name, `nmi` or `label_free`.
    """
    try:
        table = load([results], history=True, columns=[HISTORY_COLUMN], studies=[study]).table
    except UserError:
        return []
    names = {metric, f"health.{metric}"}
    return [
        [(step["epoch"], step["value"]) for step in row["history"] if step["metric"] in names]
        for row in table.select(["status", HISTORY_COLUMN]).to_pylist()
        if row["status"] in FINISHED
    ]


def read_files(paths: Sequence[File], study: str) -> Loaded:
    """Every row and column of the given files of one study, which must bear our header.

    Raises:
        FileNotFoundError: One of them is gone.
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
    """Which of a file's columns to read; worked out once per set of columns, not once per file."""

    def __init__(self, columns: Sequence[str] | None, names: Sequence[str], *, history: bool) -> None:
        self._patterns = None if columns is None else [*IDENTITY, *columns, *names, *(f"*.{n}" for n in names)]
        self._history = history
        self._known: dict[tuple[str, ...], list[str]] = {}

    def of(self, names: tuple[str, ...]) -> list[str]:
        if names not in self._known:
            self._known[names] = [name for name in names if self._wants(name)]
        return self._known[names]

    def nothing(self) -> pa.Table:
        """No rows of the columns that every file has, as far as they are chosen."""
        schema = FIXED.append(pa.field(HISTORY_COLUMN, HISTORY))
        return schema.empty_table().select(self.of(tuple(schema.names)))

    def _wants(self, name: str) -> bool:
        if name == HISTORY_COLUMN:
            return self._history
        return self._patterns is None or any(fnmatch.fnmatchcase(name, pattern) for pattern in self._patterns)


def _read_all(paths: Sequence[str], studies: Collection[str], choice: _Choice) -> Loaded:
    """Read every file; when one is gone, compaction has moved its row, and the folders are listed again."""
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
    """The rows of all files, those files, and a sentence for each that is not as conclus writes one.

    All are checked at once first: one by one it would cost a fifth of the time that reading takes. Types are checked
    before anything is made of values: what was text by then would pass.
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
    """What a sentence about all of the files calls them."""
    return str(files[0][0]) if len(files) == 1 else f"{len(files)} files of results"


def _listed(path: str, studies: Collection[str]) -> list[tuple[File, str]]:
    """The files of one path, each with the study whose folder it lies in; none for a file that is named by itself."""
    place = storage.at(path)
    if storage.is_file(place):
        return [(place if isinstance(place, Remote) else str(place), "")]
    return [(file, study_name(folder)) for folder in study_folders(path, studies) for file in row_files(folder)]


def _read_file(path: File, study: str, choice: _Choice) -> _File | str:
    """The file's rows, or the sentence that says why it is skipped; one of a study's folder must bear our header."""
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
    """The rows, with their study where only the folder, or for a file by itself the header, says it."""
    inside = tuple(file.schema_arrow.names)
    known = study or (header.study if header else "")
    names = inside if "study" in inside or not known else ("study", *inside)
    if not set(IDENTITY) <= set(names):
        return f"{path} is skipped: it was not written by conclus (it lacks columns that every row has)."
    wanted = choice.of(names)
    table = file.read([name for name in wanted if name in inside], use_threads=False)
    if len(names) > len(inside):
        table = table.add_column(0, "study", _repeated(known, table.num_rows))
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


def _repeated(text: str, count: int) -> pa.Array:
    # Not pa.array or pa.repeat: see _take.
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
    """A parameter that is a number here and a word there becomes text everywhere."""
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
    """Rows in their order, one per trial, or one per attempt: compaction that was cut short leaves copies."""
    study, trial, config, seed, attempt, status = (table[name].to_pylist() for name in IDENTITY)
    chosen: dict[tuple[str, ...], int] = {}
    for row in range(table.num_rows):
        key = (study[row], trial[row], attempt[row]) if attempts else (study[row], trial[row])
        other = chosen.setdefault(key, row)
        if preference(status[row], attempt[row]) < preference(status[other], attempt[other]):
            chosen[key] = row
    place = list(zip(study, config, seed, trial, attempt, strict=True))
    return _take(table, sorted(chosen.values(), key=place.__getitem__))


def _filtered(table: pa.Table, condition: Where, names: list[str]) -> pa.Table:
    matches = condition.matcher(names)
    used = condition.columns(names)
    columns = [table[name].to_pylist() for name in used]
    wanted = (matches(dict(zip(used, row, strict=True))) for row in _rows(columns, table.num_rows))
    return _take(table, [row for row, is_wanted in enumerate(wanted) if is_wanted])


def _rows(columns: list[list[Any]], count: int) -> Iterable[tuple[Any, ...]]:
    return zip(*columns, strict=True) if columns else [()] * count


def _take(table: pa.Table, rows: list[int]) -> pa.Table:
    # Not pa.array(rows): that imports pandas to see whether it was given a series, 0.2 s for nothing.
    return table.take(pa.Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(array("q", rows))]))
