"""Reads the rows of one file of results, after checking that it is whole and that conclus could have written it."""

import fnmatch
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.results import peek
from jobs.results.header import Header
from jobs.results.identity import protocol_of
from jobs.results.schema import FIXED, HISTORY, IDENTITY
from jobs.results.storage import File

_MOST_VALUES = 2**26
"""In the lists of one column of a file: a compacted one of long histories holds some 4 million."""
HISTORY_COLUMN = "history"
PROTOCOL_COLUMN = "protocol"
_KEY_PARTS = ("config_key", "data_hash", "params_json")


@dataclass(frozen=True, slots=True)
class FileRows:
    """The chosen columns of a file's rows, the names of all its columns, and what is to be told of it."""

    path: File
    names: tuple[str, ...]
    table: pa.Table
    is_sealed: bool
    note: str


class Columns:
    """Chooses which columns of a file to read; computed once per set of columns, not once per file."""

    def __init__(self, columns: Sequence[str] | None, names: Sequence[str], *, history: bool) -> None:
        self._patterns = None if columns is None else [*IDENTITY, *columns, *names, *(f"*.{n}" for n in names)]
        self._history = history
        self._known: dict[tuple[str, ...], list[str]] = {}

    def of(self, names: tuple[str, ...]) -> list[str]:
        """The chosen ones of these columns."""
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


def read_file(path: File, study: str, choice: Columns) -> FileRows | str:
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


def _parsed(path: File, file: pq.ParquetFile, study: str, header: Header | None, choice: Columns) -> FileRows | str:
    """The rows, with a column for their study if only the folder or the header names it."""
    inside = tuple(file.schema_arrow.names)
    known = study or (header.study if header else "")
    names = inside if "study" in inside or not known else ("study", *inside)
    if not set(IDENTITY) <= set(names):
        return f"{path} is skipped: it was not written by conclus (it lacks columns that every row has)."
    wanted = choice.of(names)
    # Arrow's threads would let go of `content` when they please: at the end of Python that aborts the process.
    table = file.read([name for name in wanted if name in inside], use_threads=False)
    if len(names) > len(inside):
        table = table.add_column(0, "study", _repeated(known, table.num_rows))
    if PROTOCOL_COLUMN not in inside and set(_KEY_PARTS) <= set(inside):
        names = (*names, PROTOCOL_COLUMN)
        if choice.of((PROTOCOL_COLUMN,)):
            table = table.append_column(PROTOCOL_COLUMN, _protocols(file.read(_KEY_PARTS, use_threads=False)))
    note = peek.renamed(path, header) if header and study else ""
    return FileRows(path, names, table, bool(header and header.is_sealed), note)


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
