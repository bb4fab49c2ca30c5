"""A table as written in a file: cells of text with their line numbers, and the headings above it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.errors import UserError

SECTION = "section"
"""The name of the heading that is a title of the document, not a `name: value` line."""
IMAGE, BELOW = "picture below", "text below"
"""The names of what stands below a table of one row: addresses of pictures, and lines of text."""


@dataclass(frozen=True, slots=True)
class TextRow:
    """One row.

    Attributes:
        number: Its line in the file, or its row in the sheet, from 1.
        cells: Its cells without markup.
    """

    number: int
    cells: tuple[str, ...]

    @property
    def is_blank(self) -> bool:
        """Whether no cell holds anything."""
        return not any(self.cells)


@dataclass(frozen=True, slots=True)
class Heading:
    """A `name: value` line above a table, or the title of its section."""

    name: str
    value: str
    line: int


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a file.

    Attributes:
        source: The file's name, for messages.
        header: The names of its columns.
        rows: The rows below it, with blank ones.
        headings: The headings between the previous table and this one.
        below: What stands below a table of one row, as `IMAGE` and `BELOW`; and values of the row that no column and
            no heading has.
    """

    source: str
    header: TextRow
    rows: tuple[TextRow, ...]
    headings: tuple[Heading, ...] = ()
    below: tuple[Heading, ...] = ()


@dataclass(frozen=True, slots=True)
class RawColumn:
    """One column of all tables that are imported together.

    Attributes:
        header: Its name in the file.
        cells: One per row.
        lines: The line number of each cell.
        is_heading: Whether it comes from headings above the tables.
    """

    header: str
    cells: tuple[str, ...]
    lines: tuple[int, ...]
    is_heading: bool = False

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """Each cell with its line."""
        return zip(self.lines, self.cells, strict=True)


def columns(tables: Sequence[Table]) -> list[RawColumn]:
    """The columns of several tables with the same header, joined, with their headings as further columns.

    Blank rows and empty columns without a name are left out. Section titles become a column if they differ.

    Raises:
        UserError: A row has another number of cells than the header, a column with content has no name, two columns
            have the same name, or there is no row.
    """
    for table in tables:
        _check(table)
    rows = [(table, row) for table in tables for row in table.rows if not row.is_blank]
    first = tables[0]
    if not rows:
        raise UserError(f"{first.source}:{first.header.number}: the table has no rows with content.")
    numbers = tuple(row.number for _, row in rows)
    own = [
        RawColumn(name, tuple(row.cells[i] for _, row in rows), numbers)
        for i, name in enumerate(first.header.cells)
        if name
    ]
    above = [_heading_column(name, rows) for name in _heading_names(tables)]
    above = [column for column in above if column.header != SECTION or len(set(column.cells)) > 1]
    below = [_below_column(name, rows) for name in dict.fromkeys(one.name for table in tables for one in table.below)]
    return own + above + below


def _check(table: Table) -> None:
    header, wanted = table.header, len(table.header.cells)
    for row in table.rows:
        if len(row.cells) != wanted:
            raise UserError(
                f"{table.source}:{row.number}: the row has {len(row.cells)} cells, but the header (line "
                f"{header.number}) has {wanted}: write one cell per column."
            )
    for i, name in enumerate(header.cells):
        filled = [row for row in table.rows if row.cells[i]]
        # pandas writes its index without a name.
        is_index = i == 0 and [row.cells[0] for row in filled] == [str(n) for n in range(len(filled))]
        if not name and filled and not is_index:
            raise UserError(
                f"{table.source}:{filled[0].number}: the cell {filled[0].cells[i]!r} is in column {i + 1}, which "
                f"has no name in the header (line {header.number}): name it."
            )
        if name and name in header.cells[:i]:
            raise UserError(f"{table.source}:{header.number}: two columns are named {name!r}: rename one.")


def _heading_names(tables: Sequence[Table]) -> list[str]:
    names: dict[str, None] = {}
    for table in tables:
        for heading in table.headings:
            if heading.name in table.header.cells:
                raise UserError(
                    f"{table.source}:{heading.line}: {heading.name!r} is given above the table and is also a column "
                    f"(line {table.header.number}): keep one of them."
                )
            names[heading.name] = None
    return list(names)


def _heading_column(name: str, rows: Sequence[tuple[Table, TextRow]]) -> RawColumn:
    found = [next((one for one in table.headings if one.name == name), None) for table, _ in rows]
    return RawColumn(
        name,
        tuple(one.value if one else "" for one in found),
        tuple(one.line if one else row.number for one, (_, row) in zip(found, rows, strict=True)),
        is_heading=True,
    )


def _below_column(name: str, rows: Sequence[tuple[Table, TextRow]]) -> RawColumn:
    found = [[one for one in table.below if one.name == name] for table, _ in rows]
    return RawColumn(
        name,
        tuple(" ".join(one.value for one in ones) for ones in found),
        tuple(ones[0].line if ones else row.number for ones, (_, row) in zip(found, rows, strict=True)),
    )
