"""Reads CSV and TSV files; the delimiter is found from the header."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Sequence

from core.errors import UserError
from jobs.ledger.table import Table, TextRow
from jobs.present.visible import csv_plain

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


def tables(lines: Sequence[str], source: str) -> list[Table]:
    """The table of a file, as a list of one.

    Raises:
        UserError: No delimiter fits the header, several fit it, or a quote is not closed.
    """
    delimiter = _delimiter(lines, source)
    reader = csv.reader((f"{line}\n" for line in lines), delimiter=delimiter, strict=True)
    rows: list[TextRow] = []
    start = 1
    try:
        for cells in reader:
            if cells:
                rows.append(TextRow(start, tuple(" ".join(csv_plain(cell).split()) for cell in cells)))
            start = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{source}:{start}: the quotes of this row do not match ({error}).") from error
    rows = list(itertools.dropwhile(lambda row: row.is_blank, rows))
    rows = [_padded(row, len(rows[0].cells)) for row in rows]
    return [Table(source, rows[0], tuple(rows[1:]))]


def _padded(row: TextRow, width: int) -> TextRow:
    """The row, or a row of `width` empty cells if it is blank."""
    return TextRow(row.number, ("",) * width) if row.is_blank else row


def _delimiter(lines: Sequence[str], source: str) -> str:
    at, header = next(((i, line) for i, line in enumerate(lines, 1) if line.strip()), (1, ""))
    counts = {one: len(next(csv.reader([header], delimiter=one), [])) for one in _DELIMITERS}
    most = max(counts.values())
    best = [one for one, count in counts.items() if count == most]
    if most < 2:
        raise UserError(f"{source}:{at}: the header has no comma, semicolon, tab or bar between columns.")
    if len(best) > 1:
        names = " and ".join(_DELIMITERS[one] for one in best)
        raise UserError(f"{source}:{at}: the header may be separated by {names}: quote names that contain one.")
    return best[0]
