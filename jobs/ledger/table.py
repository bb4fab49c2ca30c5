"""A table as it stands in a file: cells of text, each with its line, and the words above it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.errors import UserError

SECTION = "section"
"""The name of the heading that is a title of the document, not a `name: value` line."""


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
        rows: What is below, blank rows included.
        headings: What is said above it, since the table before.
    """

    source: str
    header: TextRow
    rows: tuple[TextRow, ...]
    headings: tuple[Heading, ...] = ()


@dataclass(frozen=True, slots=True)
class RawColumn:
    """One column of all tables that are imported together.

    Attributes:
        header: Its name as it stands in the file.
        cells: One per row.
        lines: Where each of them stands.
        is_heading: Whether it comes from lines above the tables.
    """

    header: str
    cells: tuple[str, ...]
    lines: tuple[int, ...]
    is_heading: bool = False

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """Each cell with its line."""
        return zip(self.lines, self.cells, strict=True)


def columns(tables: Sequence[Table]) -> list[RawColumn]:
    """The columns of tables that have the same header, one below the other, with their headings as columns.

    Blank rows are left out, and so are columns without a name that hold nothing. Section titles become a column
    where they differ.

    Raises:
        UserError: A row has another number of cells than the header, a column that holds something has no name, two
            have the same, or there is no row.
    """
    for table in tables:
        _check(table)
    rows = [(table, row) for table in tables for row in table.rows if not row.is_blank]
    first = tables[0]
    if not rows:
        raise UserError(f"{first.source}:{first.header.number}: the table has no row that holds anything.")
    numbers = tuple(row.number for _, row in rows)
    own = [
        RawColumn(name, tuple(row.cells[i] for _, row in rows), numbers)
        for i, name in enumerate(first.header.cells)
        if name
    ]
    above = [_heading_column(name, rows) for name in _heading_names(tables)]
    return own + [column for column in above if column.header != SECTION or len(set(column.cells)) > 1]


def _check(table: Table) -> None:
    header, wanted = table.header, len(table.header.cells)
    for row in table.rows:
        if len(row.cells) != wanted:
            raise UserError(
                f"{table.source}:{row.number}: the row has {len(row.cells)} cells and the header (line "
                f"{header.number}) has {wanted}: write one cell per column."
            )
    for i, name in enumerate(header.cells):
        filled = [row for row in table.rows if row.cells[i]]
        # pandas writes its index without a name.
        is_index = i == 0 and [row.cells[0] for row in filled] == [str(n) for n in range(len(filled))]
        if not name and filled and not is_index:
            raise UserError(
                f"{table.source}:{filled[0].number}: the cell {filled[0].cells[i]!r} stands in column {i + 1}, which "
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
                    f"{table.source}:{heading.line}: {heading.name!r} is said above the table and is a column of it "
                    f"(line {table.header.number}) as well: keep one."
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
