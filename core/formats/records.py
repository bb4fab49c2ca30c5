"""Opens a file of rows as an Arrow table (Parquet, Feather, Arrow, JSON Lines, Excel), and reads a column of texts."""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from core.data.columns import is_label_name, label_key, listed
from core.data.dataset import damage, fault, user_path
from core.errors import UserError, counted
from core.formats.text_tables import head_of, is_header, is_missing, is_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from numpy.typing import NDArray

# An object of a JSON Lines file must fit into a block; one of an image or a long text takes some megabytes.
_BLOCK = 1 << 26
# What stays the same when it is read as a whole number of 64 bits.
_WHOLE = re.compile(r"0|-?[1-9]\d{0,17}")
# Cells of a sheet: more take minutes to read, and a gigabyte.
_MOST_CELLS = 5_000_000
_EMPTY = "it is empty: there must be one row per sample, below a row that names the columns"
_INSTALL = "uv sync --extra import --inexact --no-dev"


def read_records(file: Path, sheet: str | None = None) -> Any:
    """Reads a whole file as a pyarrow table.

    Args:
        file: it ends in one of `SUFFIXES`.
        sheet: of a workbook, the sheet that is read; None for the only one with cells.

    Raises:
        UserError: openpyxl is not installed, or a workbook is damaged or has several sheets.
        ValueError, OSError: the file is damaged (pyarrow's errors among them).
    """
    suffix = file.suffix.lower()
    table = _sheet(file, sheet, file.stat().st_mtime_ns) if suffix == ".xlsx" else _READERS[suffix](file)
    # Arrow itself follows damaged offsets wherever they lead, and takes texts of any encoding for UTF-8.
    table.validate(full=True)
    return _plain(table)


def _parquet(file: Path) -> Any:
    from pyarrow import parquet

    # Not `read_table`: it takes `key=value` in the names of folders for columns.
    with parquet.ParquetFile(file) as source:
        return source.read()


def _arrow(file: Path) -> Any:
    """A file in Arrow's IPC format, which Feather is since version 2, or a stream of it."""
    import pyarrow as pa

    with pa.OSFile(str(file)) as source:
        start = source.read(6)
        source.seek(0)
        if start[:4] == b"FEA1":
            raise fault(
                file, "it is in Feather's old format, version 1: save it again as Feather of version 2 or Parquet"
            )
        reader = pa.ipc.open_file(source) if start == b"ARROW1" else pa.ipc.open_stream(source)
        return reader.read_all()


def _json_lines(file: Path) -> Any:
    from pyarrow import json

    return json.read_json(file, read_options=json.ReadOptions(block_size=_BLOCK))


_READERS: dict[str, Callable[[Path], Any]] = {
    ".parquet": _parquet,
    ".feather": _arrow,
    ".arrow": _arrow,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
}
SUFFIXES = (*_READERS, ".xlsx")
_OF_TEXTS = (*SUFFIXES, ".csv", ".tsv")


def _plain(table: Any) -> Any:
    """The table with its texts in one of the usual types: polars writes views of strings, also as categories."""
    import pyarrow as pa
    from pyarrow import types

    for place, field in enumerate(table.schema):
        column = table.column(place)
        if types.is_string_view(field.type):
            table = table.set_column(place, field.name, column.cast(pa.large_string()))
        elif types.is_dictionary(field.type) and types.is_string_view(field.type.value_type):
            chunks = [
                pa.DictionaryArray.from_arrays(one.indices, one.dictionary.cast(pa.large_string()))
                for one in column.chunks
            ]
            kind = pa.dictionary(field.type.index_type, pa.large_string())
            table = table.set_column(place, field.name, pa.chunked_array(chunks, kind))
    return table


@lru_cache(maxsize=1)
def _sheet(file: Path, name: str | None, _changed_ns: int) -> Any:
    """The cells of a sheet; what a formula gave when the workbook was saved stands for the formula.

    It takes seconds for 100,000 cells, and a data set needs it twice: to look for copies of the labels, and to read.
    """
    try:
        import openpyxl
    except ImportError as error:
        raise fault(file, f"Excel workbooks need openpyxl, which is not installed: {_INSTALL}") from error
    content = file.read_bytes()
    try:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        sheets = {one.title: one for one in book.worksheets}
        chosen = _chosen(file, sheets, name)
        sheets[chosen].reset_dimensions()  # Some programs write wrong ones, and openpyxl would stop there.
        rows = _bounded(file, sheets[chosen].iter_rows(values_only=True))
        if any(value is None for row in rows for value in row):
            _check_formulas(file, rows, openpyxl.load_workbook(io.BytesIO(content), read_only=True)[chosen])
    except UserError:
        raise
    except Exception as error:  # openpyxl raises whatever a damaged part leads to
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        what = f"it cannot be read as .xlsx ({reason}): it may be cut short, have a password, or be of another format"
        raise fault(file, what) from error
    return _table(file, rows)


def _bounded(file: Path, rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The rows, up to a number of cells: a small workbook may hold any number of equal ones."""
    found, cells = list[tuple[Any, ...]](), 0
    for row in rows:
        cells += len(row)
        if cells > _MOST_CELLS:
            raise fault(file, f"the sheet has more than {_MOST_CELLS:,} cells: save it as .csv or .parquet")
        found.append(row)
    return found


def _chosen(file: Path, sheets: dict[str, Any], name: str | None) -> str:
    """The sheet that is named, or the only one with a value in it."""
    if name is not None:
        if name not in sheets:
            raise fault(file, f"`sheet: {name}` is none of its sheets: {listed(sheets)}")
        return name
    full = [title for title, sheet in sheets.items() if any(_filled(row) for row in sheet.iter_rows(values_only=True))]
    if not full:
        raise fault(file, _EMPTY)
    if len(full) > 1:
        said = f"several sheets have cells: {listed(full)}; name one (`sheet: {full[0]}` of the data set `file`)"
        raise fault(file, said)
    return full[0]


def _filled(row: tuple[Any, ...]) -> bool:
    return any(value is not None for value in row)


def _check_formulas(file: Path, rows: list[tuple[Any, ...]], formulas: Any) -> None:
    """Refuses an empty value where the same sheet has a formula."""
    formulas.reset_dimensions()
    for values, cells in zip(rows, formulas.iter_rows(), strict=True):
        for value, cell in zip(values, cells, strict=True):
            if value is None and cell.data_type == "f":
                what = f"the formula in {cell.coordinate} has no stored value: open the workbook in Excel and save it"
                raise fault(file, what)


def _table(file: Path, rows: list[tuple[Any, ...]]) -> Any:
    """The rows with a value in them as a table; the first of them names the columns, and empty columns are no part."""
    import pyarrow as pa

    rows = [row for row in rows if _filled(row)]
    width = max((len(row) for row in rows), default=0)
    padded = (row + (None,) * (width - len(row)) for row in rows)
    columns = [column for column in zip(*padded, strict=True) if _filled(column)]
    lines = [["" if value is None else str(value) for value in line] for line in zip(*columns, strict=True)][:2]
    if len(lines) < 2:
        raise fault(file, _EMPTY)
    if not is_header(*lines) or "" in lines[0][1:]:
        said = ", ".join(lines[0][:3]) + (", …" if len(lines[0]) > 3 else "")
        raise fault(
            file, f"its first row ({said}) does not name each column: write a row of names there, and none above"
        )
    names = [name.strip() for name in lines[0]]
    return pa.Table.from_arrays([_column(column[1:]) for column in columns], names)


def _column(values: tuple[Any, ...]) -> Any:
    import pyarrow as pa

    kinds = {type(value) for value in values} - {type(None)}
    if kinds == {str} and all(value is None or is_number(value) or is_missing(value) for value in values):
        # Numbers that were typed into cells of text.
        found = [None if value is None or is_missing(value) else value for value in values]
        # As floats, long ids would become equal.
        whole = all(one is None or _WHOLE.fullmatch(one) for one in found)
        return pa.array([None if one is None else int(one) if whole else float(one) for one in found])
    if len(kinds) > 1:
        as_one = float if kinds <= {int, float} else str
        values = tuple(None if value is None else as_one(value) for value in values)
    return pa.array(values)


@dataclass(frozen=True, eq=False)
class Texts:
    """What was read from a file of texts.

    Attributes:
        texts: one a row, none of them empty where that is refused.
        labels: (n,) as they stand in the file; None where there are none.
        label_name: the column of the labels.
        left_out: the other columns, each with the reason.
        notes: what else was decided while reading, in sentences.
    """

    texts: list[str]
    labels: NDArray[Any] | None
    label_name: str
    left_out: tuple[str, ...]
    notes: tuple[str, ...] = ()


def texts_file(path: str) -> Path:
    """The file at a path that a user wrote.

    Raises:
        UserError: it is no file of a known format.
    """
    file = user_path(path)
    if file.suffix.lower() not in _OF_TEXTS or not file.is_file():
        raise fault(path, f"it is not a file of texts: known formats are {', '.join(_OF_TEXTS)}")
    return file


def read_texts(file: Path, text: str, labels: str | None, *, allow_empty: bool = False) -> Texts:
    """Reads a column of texts and that of the labels.

    Args:
        file: of rows, as `texts_file` takes it, with names of columns.
        text: the column of the texts.
        labels: as for `core.data.columns.label_key`.
        allow_empty: whether a text may be missing; it is then empty.

    Raises:
        UserError: the file is damaged, a column is not there or not of texts, a text is missing.
    """
    table, notes = _with_texts(file, text)
    names: list[str] = table.column_names
    if names.count(text) != 1:
        raise fault(file, f"`text` must name one of its columns, and none is {text!r}: {listed(names)}")
    found = label_key(file, [name for name in names if name != text], labels)
    others = [name for name in names if name not in {text, found}]
    return Texts(
        _texts(file, table[text], allow_empty=allow_empty),
        None if found is None else _labels(table[found]),
        found or "",
        tuple(f"{name or 'a column without a name'} ({_reason(name)})" for name in others),
        notes,
    )


def _reason(name: str) -> str:
    return f"a label by its name; `labels: {name}` scores by it" if is_label_name(name) else "beside the texts"


def _with_texts(file: Path, text: str) -> tuple[Any, tuple[str, ...]]:
    from pyarrow import csv, string

    try:
        if file.suffix.lower() in SUFFIXES:
            return read_records(file), ()
        head = head_of(file, ".")
        options = {**head.options(), "read_options": csv.ReadOptions(encoding=head.encoding)}
        options["convert_options"] = csv.ConvertOptions(column_types={text: string()}, strings_can_be_null=False)
        return csv.read_csv(file, **options), head.notes
    except damage() as error:
        reason = " ".join(str(error).split())[:200]
        raise fault(file, f"it cannot be read ({reason}): it may be cut short, or of another format") from error


def _texts(file: Path, column: Any, *, allow_empty: bool) -> list[str]:
    from pyarrow import types

    kind = column.type.value_type if types.is_dictionary(column.type) else column.type
    if str(kind) not in {"string", "large_string", "string_view"}:
        raise fault(file, f"the column of the texts is of type {column.type}: name a column of texts with `text`")
    texts: list[str | None] = column.to_pylist()
    empty = [row for row, one in enumerate(texts, 1) if one is None or not one.strip()]
    if empty and not allow_empty:
        raise fault(
            file, f"the text of row {empty[0]} (counted from 1) is missing, {len(empty)} in all: drop such rows"
        )
    if len(texts) < 2:
        raise fault(file, f"it holds {counted(len(texts), 'text')}, but clustering needs at least 2")
    return [one or "" for one in texts]


def _labels(column: Any) -> NDArray[Any]:
    import numpy as np

    values = column.to_pylist()
    if column.null_count and not any(isinstance(one, str) for one in values):
        values = [math.nan if one is None else one for one in values]
    return np.asarray(values, dtype=object) if any(isinstance(one, str) for one in values) else np.asarray(values)
