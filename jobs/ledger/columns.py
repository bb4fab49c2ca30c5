"""Columns understood: what each becomes, and every cell read, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import UserError
from jobs.analysis.scores import uses_labels
from jobs.ledger import names
from jobs.ledger.cells import Moment, Number, has_decimal_comma, is_blank, moment, number
from jobs.ledger.names import METRIC, PARAM, Target
from jobs.ledger.table import RawColumn

_SHOWN_MISTAKES = 10
_TEXTS = frozenset({names.NOTE, names.IGNORE})


@dataclass(frozen=True, slots=True)
class Column:
    """One column, read.

    Attributes:
        header: Its name in the file.
        target: What it becomes.
        values: One per row: `Number`, `Moment`, text, or None for a blank.
        texts: The cells as they stand in the file.
        read_as: How they were understood, in a word or two.
        notes: Sentences on cells that were left empty.
    """

    header: str
    target: Target
    values: tuple[Any, ...]
    texts: tuple[str, ...]
    read_as: str
    notes: tuple[str, ...] = ()


def understand(raw: Sequence[RawColumn], source: str, mapping: Mapping[str, str]) -> list[Column]:
    """Read every cell of every column.

    Args:
        raw: The columns of the table.
        source: The file's name, for messages.
        mapping: Header to what it shall become, over what its name says.

    Raises:
        UserError: One line for each cell that cannot be read, with its line; or a name that means nothing, or two
            columns that mean the same.
    """
    targets = _targets(raw, source, mapping)
    cells = [
        (f"{source}:{line}", text)
        for column in raw
        for line, text in column
        if targets[column.header].key not in _TEXTS
    ]
    try:
        comma = has_decimal_comma(cells)
    except ValueError as error:
        raise UserError(str(error)) from error
    mistakes: list[str] = []
    columns = [_Reader(column, targets[column.header], source, mistakes).read(comma=comma) for column in raw]
    if mistakes:
        more = len(mistakes) - _SHOWN_MISTAKES
        raise UserError("\n".join([*mistakes[:_SHOWN_MISTAKES], *([f"… and {more} more."] if more > 0 else [])]))
    return columns


def _targets(raw: Sequence[RawColumn], source: str, mapping: Mapping[str, str]) -> dict[str, Target]:
    headers = [column.header for column in raw]
    for header in mapping:
        if header not in headers:
            raise UserError(f"--map {header}=…: {source} has no column {header!r}; there are: {', '.join(headers)}.")
    targets = {one: names.wanted(mapping[one], one) if one in mapping else names.target(one) for one in headers}
    taken: dict[str, str] = {}
    for header, found in targets.items():
        if found.key in taken and found.key not in _TEXTS:
            raise UserError(
                f"{source}: the columns {taken[found.key]!r} and {header!r} both mean {found.key}: "
                f"set one apart, such as --map '{header}=note'."
            )
        taken[found.key] = header
    if not any(one.known and one.key not in _TEXTS for one in targets.values()):
        raise UserError(
            f"{source}: no column is known among {', '.join(headers)}: say what they are, such as "
            f"--map '{headers[0]}=learning_rate'."
        )
    return targets


class _Reader:
    """Reads one column; its mistakes join those of the others."""

    def __init__(self, raw: RawColumn, target: Target, source: str, mistakes: list[str]) -> None:
        self.raw = raw
        self.target = target
        self.source = source
        self.mistakes = mistakes
        self.notes: list[str] = []

    def read(self, *, comma: bool) -> Column:
        key = self.target.key
        if key in _TEXTS:
            values, read_as = [None if is_blank(text) else text for text in self.raw.cells], "text"
        elif key == names.STARTED:
            values, read_as = self._moments(), "date"
        elif key.startswith(PARAM) and not self._has_numbers(comma=comma):
            values = [None if is_blank(text) else names.house_word(key, text) for text in self.raw.cells]
            read_as = "words"
        else:
            values, read_as = self._numbers(comma=comma)
        read_as = read_as if any(value is not None for value in values) else "blank"
        return Column(self.raw.header, self.target, tuple(values), self.raw.cells, read_as, tuple(self.notes))

    def _complain(self, line: int, what: str) -> None:
        self.mistakes.append(f"{self.source}:{line}: {self.raw.header}: {what}.")

    def _has_numbers(self, *, comma: bool) -> bool:
        """Whether any cell is a number: the others must be numbers then, too."""
        return any(_is_number(text, comma=comma) for text in self.raw.cells if not is_blank(text))

    def _moments(self) -> list[Moment | None]:
        return [self._moment(line, text) for line, text in self.raw]

    def _moment(self, line: int, text: str) -> Moment | None:
        try:
            return moment(text)
        except ValueError as error:
            if self.raw.is_heading:
                self.notes.append(f"{self.source}:{line}: {error}: left empty.")
            else:
                self._complain(line, str(error))
            return None

    def _numbers(self, *, comma: bool) -> tuple[list[Number | None], str]:
        found = [self._number(line, text, comma=comma) for line, text in self.raw]
        factor, read_as = self._factor(found)
        if self.target.scale != 1:
            factor, read_as = factor * self.target.scale, f"times {self.target.scale:g}"
        values = [one if one is None or factor == 1 else one.scaled(factor) for one in found]
        self._check(values)
        ranges = sum(one is not None and one.low is not None for one in values)
        spreads = sum(one is not None and one.spread is not None for one in values)
        read_as += f", {spreads} with spread" if spreads else ""
        return values, read_as + (f", {ranges} range{'s' * (ranges > 1)} (middle)" if ranges else "")

    def _number(self, line: int, text: str, *, comma: bool) -> Number | None:
        try:
            found = number(text, comma=comma)
        except ValueError as error:
            self._complain(line, f"{error}, as the column's other cells are")
            return None
        whole = self.target.key.startswith(METRIC) or found is None or (found.spread is None and found.low is None)
        if not whole:
            self._complain(line, f"{text!r} is no single number, which a parameter must be")
        return found

    def _factor(self, found: Sequence[Number | None]) -> tuple[float, str]:
        """What the numbers are to be multiplied by, and what that makes them."""
        there = [(line, one) for line, one in zip(self.raw.lines, found, strict=True) if one is not None]
        signs = {one.percent for _, one in there}
        if len(signs) > 1:
            line = next(line for line, one in there if one.percent != there[0][1].percent)
            self._complain(line, "some cells have % and others not: write all in one way")
            return 0.01, "percent"
        if signs == {True} or (self.target.percent and there):
            return 0.01, "percent"
        if not _is_share(self.target.key):
            return 1.0, "number"
        large = [line for line, one in there if abs(one.value) > 1]
        small = [line for line, one in there if 0 < abs(one.value) <= 1]
        if large and small:
            self._complain(
                large[0],
                f"is above 1, and line {small[0]} is not: percent or fraction? Write {self.raw.header} (%) as the "
                "name if all are percent",
            )
        return (0.01, "percent") if large else (1.0, "fraction")

    def _check(self, values: Sequence[Number | None]) -> None:
        for line, text, one in zip(self.raw.lines, self.raw.cells, values, strict=True):
            if one is None:
                continue
            if _is_share(self.target.key) and abs(one.value) > 1:
                self._complain(line, f"{text!r} is no share: it lies above 1, and above 100 %")
            if self.target.key == names.SEED and not (one.value.is_integer() and 0 <= one.value < 2**31):
                self._complain(line, f"{text!r} is no seed: a whole number from 0 to {2**31 - 1} is needed")


def _is_share(key: str) -> bool:
    """Whether the values lie between -1 and 1 by definition."""
    return key.startswith(METRIC) and (uses_labels(key) or key == "metric.f1")


def _is_number(text: str, *, comma: bool) -> bool:
    try:
        return number(text, comma=comma) is not None
    except ValueError:
        return False
