"""Reads Excel workbooks with openpyxl, from the extra `conclus[import]`."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from core.errors import UserError
from jobs.ledger.table import Table, TextRow

_MOST_BYTES = 128 * 2**20
_MOST_CELLS = 2_000_000
_OLD = b"\xd0\xcf\x11\xe0"
"""The first bytes of workbooks that are not zip files: those of Excel before 2007, and those with a password."""
# Parts of a number format that are not format signs: quoted and escaped text, padding, colours.
_LITERAL = re.compile(r'"[^"]*"|\\.|_.|\*.|\[[^\]]*\]')
# XML elements from which openpyxl builds cells, with their last column and row.
_REACH = re.compile(
    rb"""<(?:\w+:)?(?:c|row|mergeCell|hyperlink)\s(?:[^>]*\s)?(?:r|ref)=["'](?:[A-Za-z]+\d+:)?([A-Za-z]{0,4})(\d{1,9})["']"""
)
_TAG = 4096
"""An upper bound on the bytes of an element's name and attributes."""


def tables(path: Path, sheet: str | None) -> list[Table]:
    """The table on the named sheet, or on the first.

    Raises:
        UserError: openpyxl or defusedxml is missing, the file is not a workbook or too large after unpacking, there is
            no such sheet, cells are merged, or a formula has no stored value.
    """
    _check(path)
    values = _sheet(path, sheet, formulas=False)
    formulas = _sheet(path, sheet, formulas=True)
    if values.merged_cells.ranges:
        first = next(iter(sorted(map(str, values.merged_cells.ranges))))
        raise UserError(f"{path.name}: the cells {first} are merged: write one value per cell.")
    pairs = zip(values.iter_rows(), formulas.iter_rows(), strict=True)
    rows = [_line(at, cells, sources, path.name) for at, (cells, sources) in enumerate(pairs, 1)]
    start = next((i for i, row in enumerate(rows) if not row.is_blank), None)
    return [] if start is None else [Table(path.name, rows[start], tuple(rows[start + 1 :]))]


def _check(path: Path) -> None:
    """Checks the unpacked size and the extent of the cells: a small file can hold gigabytes, or one cell far away."""
    if path.read_bytes()[:4] == _OLD:
        raise UserError(
            f"{path.name} was written by Excel before 2007 or has a password: save it again as .xlsx without a "
            "password, or as CSV."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            size = 0
            for part in archive.infolist():
                size = _measure(archive, part, path.name, size)
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        zlib.error,
        NotImplementedError,
        RuntimeError,
        OSError,
        EOFError,
    ) as error:
        raise _no_workbook(path, error) from error


def _measure(archive: zipfile.ZipFile, part: zipfile.ZipInfo, name: str, size: int) -> int:
    """Unpacks the part piece by piece, because its header may lie about its size, and checks the extent of the cells.

    Returns:
        The bytes of all parts so far.
    """
    rows, columns, tail = 0, 0, b""
    with archive.open(part) as stream:
        while piece := stream.read(2**20):
            size += len(piece)
            if size > _MOST_BYTES:
                raise UserError(f"{name} unpacks to more than {_MOST_BYTES >> 20} MiB: save the sheet as CSV.")
            for column, row in _REACH.findall(tail + piece):
                rows, columns = max(rows, int(row)), max(columns, _column(column))
            tail = piece[-_TAG:]
            _bound(rows, columns, name)
    return size


def _bound(rows: int, columns: int, name: str) -> None:
    if rows * columns > _MOST_CELLS:
        raise UserError(
            f"{name}: its cells reach to row {rows} and column {columns}, more than {_MOST_CELLS} cells: copy the "
            "table into a new workbook, or save it as CSV."
        )


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters.upper():
        number = number * 26 + letter - 64
    return number


def _no_workbook(path: Path, error: Exception) -> UserError:
    told = " ".join(str(error).split())[:200] or type(error).__name__
    return UserError(f"{path.name} is not an Excel workbook ({told}): save it again as .xlsx, or as CSV.")


def _sheet(path: Path, name: str | None, *, formulas: bool) -> Any:
    try:
        import openpyxl
        from defusedxml.common import DefusedXmlException
    except ImportError as error:
        raise UserError(
            "Excel files need openpyxl and defusedxml: uv sync --extra import --inexact --no-dev"
        ) from error
    from openpyxl.xml import DEFUSEDXML

    if not DEFUSEDXML:
        raise UserError("openpyxl does not use defusedxml: unset OPENPYXL_DEFUSEDXML.")
    try:
        book = openpyxl.load_workbook(io.BytesIO(path.read_bytes()), data_only=not formulas)
    except DefusedXmlException as error:
        raise UserError(f"{path.name} defines XML entities, which no Excel workbook does: it is not read.") from error
    except Exception as error:  # openpyxl raises whatever a damaged part leads to
        raise _no_workbook(path, error) from error
    names = [one.title for one in book.worksheets]
    if not names or (name is not None and name not in names):
        raise UserError(f"{path.name} has no sheet {name or 'with cells'!r}; there are: {', '.join(names) or 'none'}.")
    found = book[name or names[0]]
    _bound(found.max_row, found.max_column, path.name)
    return found


def _line(number: int, cells: Any, sources: Any, name: str) -> TextRow:
    texts: list[str] = []
    for cell, source in zip(cells, sources, strict=True):
        if source.data_type == "f" and cell.value is None:
            raise UserError(f"{name}:{number}: the formula in {cell.coordinate} has no stored value: save it in Excel.")
        if cell.data_type == "e":
            raise UserError(f"{name}:{number}: {cell.coordinate} holds the error {cell.value}: correct or empty it.")
        texts.append(_text(cell.value, cell.number_format))
    return TextRow(number, tuple(texts))


def _text(value: Any, number_format: str) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="auto")
    if isinstance(value, timedelta):
        return f"{value.days} days {timedelta(seconds=value.seconds, microseconds=value.microseconds)}"
    if isinstance(value, int | float) and not isinstance(value, bool) and "%" in number_format:
        # 84.3 % is stored as 0.843 if the % is a format sign, and as 84.3 if it is literal text of the format.
        return f"{value * 100:.15g}%" if "%" in _LITERAL.sub("", number_format) else f"{value:.15g}%"
    return " ".join(str(value).split())
