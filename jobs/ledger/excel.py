"""Excel workbooks by openpyxl, from the extra `conclus[import]`."""

from __future__ import annotations

import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

from core.errors import UserError
from jobs.ledger.table import Line, Table


def tables(path: Path, sheet: str | None) -> list[Table]:
    """The table on the named sheet, or on the first.

    Raises:
        UserError: openpyxl is missing, this is no workbook, there is no such sheet, cells are merged, or a formula
            has no stored value.
    """
    values = _sheet(path, sheet, formulas=False)
    formulas = _sheet(path, sheet, formulas=True)
    if values.merged_cells.ranges:
        first = next(iter(sorted(map(str, values.merged_cells.ranges))))
        raise UserError(f"{path.name}: the cells {first} are merged: write one value per cell.")
    pairs = zip(values.iter_rows(), formulas.iter_rows(), strict=True)
    rows = [_line(at, cells, sources, path.name) for at, (cells, sources) in enumerate(pairs, 1)]
    start = next((i for i, row in enumerate(rows) if not row.is_blank), None)
    return [] if start is None else [Table(path.name, rows[start], tuple(rows[start + 1 :]))]


def _sheet(path: Path, name: str | None, *, formulas: bool) -> Any:
    try:
        import openpyxl
    except ImportError as error:
        raise UserError("Reading Excel files needs openpyxl: pip install 'conclus[import]'.") from error
    try:
        book = openpyxl.load_workbook(path, data_only=not formulas)
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise UserError(f"{path.name} is no Excel workbook ({error}): save it again as .xlsx, or as CSV.") from error
    names = [one.title for one in book.worksheets]
    if not names or (name is not None and name not in names):
        raise UserError(f"{path.name} has no sheet {name or 'with cells'!r}; there are: {', '.join(names) or 'none'}.")
    return book[name or names[0]]


def _line(number: int, cells: Any, sources: Any, name: str) -> Line:
    texts: list[str] = []
    for cell, source in zip(cells, sources, strict=True):
        if source.data_type == "f" and cell.value is None:
            raise UserError(f"{name}:{number}: the formula in {cell.coordinate} has no stored value: save it in Excel.")
        if cell.data_type == "e":
            raise UserError(f"{name}:{number}: {cell.coordinate} holds the error {cell.value}: mend or empty it.")
        texts.append(_text(cell.value, cell.number_format))
    return Line(number, tuple(texts))


def _text(value: Any, number_format: str) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, int | float) and not isinstance(value, bool) and "%" in number_format:
        # Shown as 84.3 %, stored as 0.843: the sign makes clear which of the two the number is.
        return f"{value * 100:.15g}%"
    return " ".join(str(value).split())
