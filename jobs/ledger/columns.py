"""Columns understood: what each becomes, and every cell read, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import UserError
from jobs.ledger import names, outcomes, trackers
from jobs.ledger.cells import Moment, Number, has_decimal_comma, is_blank, moment, number
from jobs.ledger.durations import duration, is_duration
from jobs.ledger.names import OUTCOME, PARAMETER, Target
from jobs.ledger.questions import Answers, Question
from jobs.ledger.table import RawColumn
from jobs.results.names import METRIC, PARAM

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
        questions: What a person must say before the column can be taken.
    """

    header: str
    target: Target
    values: tuple[Any, ...]
    texts: tuple[str, ...]
    read_as: str
    notes: tuple[str, ...] = ()
    questions: tuple[Question, ...] = ()


def understand(raw: Sequence[RawColumn], source: str, answers: Answers) -> list[Column]:
    """Read every cell of every column.

    Args:
        raw: The columns of the table.
        source: The file's name, for messages.
        answers: What a person said: of columns over what their names say.

    Raises:
        UserError: One line for each cell that cannot be read, with its line; or a name that means nothing, or two
            columns that mean the same.
    """
    targets = _targets(raw, source, answers.mapping)
    answers.check(targets, source)
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
    beside = _in_percent(raw, targets, comma=comma)
    columns = [
        _Reader(column, targets[column.header], source, mistakes, answers, beside).read(comma=comma) for column in raw
    ]
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
    _first_wins(targets, mapping)
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


def _first_wins(targets: dict[str, Target], mapping: Mapping[str, str]) -> None:
    """Of a tracker's columns for one moment (`date` and `timestamp`) the first is taken, the others are notes."""
    for header in list(targets):
        others = [one for one, found in targets.items() if one != header and found.key == names.STARTED]
        if header not in mapping and targets[header].key == names.STARTED and others and names.is_spare(header):
            targets[header] = Target(names.NOTE)


def _in_percent(raw: Sequence[RawColumn], targets: Mapping[str, Target], *, comma: bool) -> str:
    """A column of shares without a sign that holds numbers above 1, and one of them: the table is in percent."""
    for column in raw:
        target = targets[column.header]
        if not _is_share(target.key) or target.percent:
            continue
        for text in column.cells:
            found = number(text, comma=comma) if _is_number(text, comma=comma) else None
            if found is not None and not found.percent and abs(found.value) > 1:
                return f"{column.header} of {text}"
    return ""


class _Reader:
    """Reads one column; its mistakes join those of the others."""

    def __init__(  # noqa: PLR0917 (what all columns of a table share)
        self, raw: RawColumn, target: Target, source: str, mistakes: list[str], answers: Answers, beside: str
    ) -> None:
        self.raw = raw
        self.target = target
        self.source = source
        self.mistakes = mistakes
        self.answers = answers
        self.beside = beside
        self.notes: list[str] = []
        self.questions: list[Question] = []

    def read(self, *, comma: bool) -> Column:
        key = self.target.key
        if key in _TEXTS:
            values, read_as = [None if is_blank(text) else text for text in self.raw.cells], "text"
        elif key == names.STARTED and self._is_length(comma=comma):
            self._ask("holds no dates: how long the run took?", "--map", ("seconds", "minutes", "hours", "note"))
            values, read_as = list(self.raw.cells), "text"
        elif key == names.STARTED:
            values, read_as = self._moments(), "date"
        elif key == names.STATUS:
            values, read_as = [self._status(line, text) for line, text in self.raw], "ends"
        elif key == names.SECONDS and any(map(is_duration, self.raw.cells)):
            values, read_as = [self._duration(line, text) for line, text in self.raw], "durations"
        elif key.startswith(PARAM) and not self._has_numbers(comma=comma):
            values = [None if is_blank(text) else names.house_word(key, text) for text in self.raw.cells]
            read_as = "words"
        else:
            values, read_as = self._numbers(comma=comma)
        read_as = read_as if any(value is not None for value in values) else "blank"
        self._ask_what(comma=comma)
        found, asked = tuple(values), tuple(self.questions)
        return Column(self.raw.header, self.target, found, self.raw.cells, read_as, tuple(self.notes), asked)

    def _ask(self, what: str, option: str, words: Sequence[str], *, whole: bool = False) -> None:
        prefix = "" if whole else f"{self.raw.header}="
        self.questions.append(Question(f"{self.source}: {self.raw.header} {what}", option, prefix, tuple(words)))

    def _ask_what(self, *, comma: bool) -> None:
        """Nothing but its name says what a column is; what is said above a table is of its setting."""
        if self.target.known or self.raw.is_heading:
            return
        filled = [text for text in self.raw.cells if not is_blank(text)]
        if self._has_numbers(comma=comma) or any(map(_is_time, filled)):
            what = "holds numbers under a name that is not known: a parameter or an outcome?"
            self._ask(what, "--map", (PARAMETER, OUTCOME, names.NOTE, names.IGNORE))
        elif len(filled) > 1 and len(set(filled)) == len(filled) == len(self.raw.cells):
            what = "holds another text in every row: a parameter, or a note on the run?"
            self._ask(what, "--map", (PARAMETER, names.NOTE, names.IGNORE))

    def _is_length(self, *, comma: bool) -> bool:
        """Whether a column called `time` holds lengths of time, not moments."""
        filled = [text for text in self.raw.cells if not is_blank(text)]
        return bool(filled) and all(
            not _is_moment(text) and (_is_number(text, comma=comma) or is_duration(text)) for text in filled
        )

    def _status(self, line: int, text: str) -> tuple[str, str] | None:
        try:
            return trackers.status(text)
        except ValueError as error:
            self._complain(line, f"{error}; --map '{self.raw.header}=note' takes it as a note")
            return None

    def _duration(self, line: int, text: str) -> Number | None:
        if is_blank(text):
            return None
        try:
            return Number(duration(text))
        except ValueError as error:
            self._complain(line, str(error))
            return None

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
        found = [one and self._without_brackets(one) for one in found]
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
        if self.target.key.startswith(METRIC) and trackers.failure(text):
            return None
        try:
            found = number(text, comma=comma)
        except ValueError as error:
            self._complain(line, f"{error}, as the column's other cells are")
            return None
        whole = self.target.key.startswith(METRIC) or found is None or (found.spread is None and found.low is None)
        if not whole:
            self._complain(line, f"{text!r} is no single number, which a parameter must be")
        return found

    def _without_brackets(self, one: Number) -> Number:
        """What stands in brackets as the person says: the spread, or another number that is left out."""
        if not one.in_brackets or self.answers.brackets == "spread":
            return one
        if self.answers.brackets == "ignore":
            return Number(one.value, percent=one.percent)
        if not any(asked.option == "--brackets" for asked in self.questions):
            what = f"has two numbers in a cell ({one.value:g} and {one.spread:g}): is the one in brackets its spread?"
            self._ask(what, "--brackets", ("spread", "ignore"), whole=True)
        return one

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
        if unit := self.answers.unit(self.raw.header):
            return (0.01, unit) if unit == "percent" else (1.0, unit)
        large = [line for line, one in there if abs(one.value) > 1]
        small = [line for line, one in there if 0 < abs(one.value) <= 1]
        if large and small:
            what = f"is above 1, and line {small[0]} is not: percent or fraction?"
            self._ask_unit(f"{self.source}:{large[0]}: {self.raw.header}: {what}")
        elif small and self.beside:
            what = f"lies below 1 (line {small[0]}) beside {self.beside}: percent or fraction?"
            self._ask_unit(f"{self.source}:{small[0]}: {self.raw.header} {what}")
        return (0.01, "percent") if large or (self.beside and not small) else (1.0, "fraction")

    def _ask_unit(self, text: str) -> None:
        self.questions.append(Question(text, "--unit", f"{self.raw.header}=", ("percent", "fraction")))

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
    return key.startswith(METRIC) and outcomes.is_share(key.removeprefix(METRIC))


def _is_moment(text: str) -> bool:
    try:
        return moment(text) is not None
    except ValueError:
        return False


def _is_time(text: str) -> bool:
    return is_duration(text) or _is_moment(text)


def _is_number(text: str, *, comma: bool) -> bool:
    try:
        return number(text, comma=comma) is not None
    except ValueError:
        return False
