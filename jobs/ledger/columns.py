"""Interprets the columns of a table: finds what each one means and reads every cell, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.data.told import told
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
class ReadColumn:
    """One column after reading.

    Attributes:
        header: Its name in the file.
        target: The column of the results that it becomes.
        values: One per row: `Number`, `Moment`, text, or None for a blank.
        texts: The cells as written in the file.
        read_as: How the cells were read, in a word or two.
        notes: Sentences on cells that were left empty.
        questions: Questions that the user must answer before the column can be imported.
    """

    header: str
    target: Target
    values: tuple[Any, ...]
    texts: tuple[str, ...]
    read_as: str
    notes: tuple[str, ...] = ()
    questions: tuple[Question, ...] = ()


def understand(raw: Sequence[RawColumn], source: str, answers: Answers) -> list[ReadColumn]:
    """Reads every cell of every column.

    Args:
        raw: The columns of the table.
        source: The file's name, for messages.
        answers: The user's answers, which take precedence over the names of columns.

    Raises:
        UserError: Cells cannot be read (one line of message per cell, with its line number), no column is known, or
            two columns have the same meaning.
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
    columns: list[ReadColumn] = []
    for place, column in enumerate(raw):
        told("reading columns", place, len(raw))
        read = _Reader(column, targets[column.header], source, mistakes, answers, beside).read(comma=comma)
        columns.append(read)
    if mistakes:
        more = len(mistakes) - _SHOWN_MISTAKES
        raise UserError(*mistakes[:_SHOWN_MISTAKES], *([f"… and {more} more."] if more > 0 else []))
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
                f"import one as a note: --map '{header}=note'."
            )
        taken[found.key] = header
    if not any(one.known and one.key not in _TEXTS for one in targets.values()):
        raise UserError(
            f"{source}: none of the columns {', '.join(headers)} is known: say what they are, such as "
            f"--map '{headers[0]}=learning_rate'."
        )
    return targets


def _first_wins(targets: dict[str, Target], mapping: Mapping[str, str]) -> None:
    """If a tracker writes one time in several columns (`date` and `timestamp`), keeps one; the others become notes."""
    for header in list(targets):
        others = [one for one, found in targets.items() if one != header and found.key == names.STARTED]
        if header not in mapping and targets[header].key == names.STARTED and others and names.is_spare(header):
            targets[header] = Target(names.NOTE)


def _in_percent(raw: Sequence[RawColumn], targets: Mapping[str, Target], *, comma: bool) -> str:
    """A column of shares with a number above 1 and no `%`, and that number: the table seems to be in percent."""
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
    """Reads one column and adds its mistakes to a list shared by all columns."""

    def __init__(  # noqa: PLR0917 (shared by all columns of a table)
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

    def read(self, *, comma: bool) -> ReadColumn:
        key = self.target.key
        if key in _TEXTS:
            values, read_as = [None if is_blank(text) else text for text in self.raw.cells], "text"
        elif key == names.STARTED and self._is_length(comma=comma):
            self._ask("holds no dates: is it how long the run took?", "--map", ("seconds", "minutes", "hours", "note"))
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
        return ReadColumn(self.raw.header, self.target, found, self.raw.cells, read_as, tuple(self.notes), asked)

    def _ask(self, what: str, option: str, words: Sequence[str], *, whole: bool = False) -> None:
        prefix = "" if whole else f"{self.raw.header}="
        self.questions.append(Question(f"{self.source}: {self.raw.header} {what}", option, prefix, tuple(words)))

    def _ask_what(self, *, comma: bool) -> None:
        """Asks what an unknown column means; names from headings above the table are parameters and are not asked."""
        if self.target.known or self.raw.is_heading:
            return
        filled = [text for text in self.raw.cells if not is_blank(text)]
        if self._has_numbers(comma=comma) or any(map(_is_time, filled)):
            what = "holds numbers and its name is not known: is it a parameter or an outcome?"
            self._ask(what, "--map", (PARAMETER, OUTCOME, names.NOTE, names.IGNORE))
        elif len(filled) > 1 and len(set(filled)) == len(filled) == len(self.raw.cells):
            what = "holds a different text in every row: is it a parameter, or a note on the run?"
            self._ask(what, "--map", (PARAMETER, names.NOTE, names.IGNORE))

    def _is_length(self, *, comma: bool) -> bool:
        """Whether a column called `time` holds durations instead of dates."""
        filled = [text for text in self.raw.cells if not is_blank(text)]
        return bool(filled) and all(
            not _is_moment(text) and (_is_number(text, comma=comma) or is_duration(text)) for text in filled
        )

    def _status(self, line: int, text: str) -> tuple[str, str] | None:
        try:
            return trackers.status(text)
        except ValueError as error:
            self._complain(line, f"{error}; --map '{self.raw.header}=note' imports it as a note")
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
        """Whether any cell is a number; then the others must be numbers too."""
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
            self._complain(line, f"{error}, like the column's other cells")
            return None
        whole = self.target.key.startswith(METRIC) or found is None or (found.spread is None and found.low is None)
        if not whole:
            self._complain(line, f"{text!r} is not a single number, as a parameter must be")
        return found

    def _without_brackets(self, one: Number) -> Number:
        """The number with its bracketed part treated as the user said: kept as the spread, or dropped."""
        if not one.in_brackets or self.answers.brackets == "spread":
            return one
        if self.answers.brackets == "ignore":
            return Number(one.value, percent=one.percent)
        if not any(asked.option == "--brackets" for asked in self.questions):
            what = f"has two numbers in a cell ({one.value:g} and {one.spread:g}): is the one in brackets the spread?"
            self._ask(what, "--brackets", ("spread", "ignore"), whole=True)
        return one

    def _factor(self, found: Sequence[Number | None]) -> tuple[float, str]:
        """The factor for the numbers, and how they were read: `percent`, `fraction` or `number`."""
        there = [(line, one) for line, one in zip(self.raw.lines, found, strict=True) if one is not None]
        signs = {one.percent for _, one in there}
        if len(signs) > 1:
            line = next(line for line, one in there if one.percent != there[0][1].percent)
            self._complain(line, "some cells have % and others do not: write all in the same way")
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
            what = f"is above 1, but line {small[0]} is not: percent or fraction?"
            self._ask_unit(f"{self.source}:{large[0]}: {self.raw.header}: {what}")
        elif small and self.beside:
            what = f"is at most 1 (line {small[0]}), but {self.beside} is above 1: percent or fraction?"
            self._ask_unit(f"{self.source}:{small[0]}: {self.raw.header} {what}")
        return (0.01, "percent") if large or (self.beside and not small) else (1.0, "fraction")

    def _ask_unit(self, text: str) -> None:
        self.questions.append(Question(text, "--unit", f"{self.raw.header}=", ("percent", "fraction")))

    def _check(self, values: Sequence[Number | None]) -> None:
        for line, text, one in zip(self.raw.lines, self.raw.cells, values, strict=True):
            if one is None:
                continue
            if _is_share(self.target.key) and abs(one.value) > 1:
                self._complain(line, f"{text!r} is not a share: it is above 1, or above 100 %")
            if self.target.key == names.SEED and not (one.value.is_integer() and 0 <= one.value < 2**31):
                self._complain(line, f"{text!r} is not a seed: a whole number from 0 to {2**31 - 1} is needed")


def _is_share(key: str) -> bool:
    """Whether the values are between -1 and 1 by definition."""
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
