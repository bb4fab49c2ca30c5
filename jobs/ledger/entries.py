# ruff: noqa: RUF001 - the signs that people write: full-width
"""Reads a log whose entries are tables of one row: what sentences, names of runs and lines below a table say.

An example of such an entry, whose run is named after its date and its number of topics::

    **Time:** 2021-08-18-23-12
    **Log:** 20news_2021-08-18-23-12_topic100
    **Method:** set the learning rate of the generator to lr/100

    | batch size | learning rate |
    | ---------- | ------------- |
    | 256        | 1e-4          |
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from core.errors import UserError, counted
from jobs.ledger import names
from jobs.ledger.cells import Moment, is_blank, moment, number
from jobs.ledger.questions import Answers, Question
from jobs.ledger.table import BELOW, SECTION, Heading, RawColumn, Table
from jobs.results.names import PARAM

_LONGEST = 500
"""No setting is looked for beyond so many characters."""
_METHOD = f"{PARAM}method.name"
_CLAUSES = re.compile(r"[，,;；。]|\band\b")
_SET = re.compile(r"(.+?)\s*(?:为|[=:：]|\bto\b|\bis\b)\s*[:：=]?\s*([^\s:：=]+)")
# A name of a run: words, its date, and words with their number.
_RUN = re.compile(r"(?:\S*[/_-])?(?P<date>\d{4}-\d{2}-\d{2}(?:-\d{2}-\d{2})?)(?P<rest>(?:_[A-Za-z]+[\d.]+)*)/?")
_NUMBERED = re.compile(r"_([A-Za-z]+)([\d.]+)")
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?(?=[\s,，;；]|$)"
_PAIRS = re.compile(rf"([^\W\d_][^:：=,，;；\d]*?)\s*(?:[:：=]\s*({_NUMBER}|[^\s,，;；]+)|({_NUMBER}))")


@dataclass(frozen=True, slots=True)
class Completed:
    """The columns of a table after what its entries say in other places was added.

    Attributes:
        columns: The columns.
        mapping: The meaning of columns, by header: that of the user, and that of columns that were found here.
        questions: Questions on what contradicts itself.
        notes: Sentences on what was filled in.
    """

    columns: list[RawColumn]
    mapping: Mapping[str, str]
    questions: list[Question]
    notes: list[str]


def with_further_runs(tables: Sequence[Table], answer: str) -> tuple[list[Table], list[Question]]:
    """The tables, and a further one for each line below a table of one row that names a run of its own.

    Such a run has what the line says, and else the settings of the table above it, if the user says so.

    Args:
        tables: The tables that are imported.
        answer: `run`, `note` or empty; see `Answers.below`.
    """
    found: list[Table] = []
    questions: list[Question] = []
    for table in tables:
        lines = [one for one in table.below if one.name == BELOW and _names_a_run(one.value)]
        if not lines or answer == "note":
            found.append(table)
            continue
        found.append(replace(table, below=tuple(one for one in table.below if one not in lines)))
        found += [_further(table, line) for line in lines]
        if not answer and not questions:
            what = f"names a run of its own: is it a run with the other settings of line {table.rows[0].number}?"
            text = f"{table.source}:{lines[0].line}: the line {what}"
            questions.append(Question(text, "--below", "", ("run", "note")))
    return found, questions


def completed(raw: Sequence[RawColumn], source: str, answers: Answers) -> Completed:
    """Adds to the columns what sentences and names of runs above the tables say.

    A blank cell is filled. A cell that says something else is asked about.

    Args:
        raw: The columns of the tables.
        source: The file's name, for messages.
        answers: The user's answers.

    Raises:
        UserError: An answer is about a cell that is not there.
    """
    entries = _Entries(raw, source, answers)
    headings = [one for one in entries.columns.values() if one.is_heading]
    named = [one for one in headings if entries.key(one.header) in {names.NOTE, names.STARTED}]
    for column in headings:
        if entries.key(column.header) in {_METHOD, PARAM + SECTION}:
            entries.read_sentences(column)
    for column in named:
        entries.read_names(column)
    entries.fill_constants()
    return Completed(list(entries.columns.values()), entries.mapping, entries.questions, entries.notes())


def settings(text: str) -> Iterator[tuple[str, str, str]]:
    """What a sentence sets: the name as written, the key in the results, and the value."""
    for clause in map(str.strip, _CLAUSES.split(text[:_LONGEST])):
        if names.is_method(clause):
            yield "name", _METHOD, clause
        elif (said := _SET.fullmatch(clause)) and (named := names.named_at_end(said[1])):
            yield *named, said[2]
        elif (named := names.named_at_end(clause)) and (word := names.choice(named[1], clause)):
            yield *named, word


class _Entries:
    """The columns while they are completed."""

    def __init__(self, raw: Sequence[RawColumn], source: str, answers: Answers) -> None:
        self.columns = {column.header: column for column in raw}
        self.own = frozenset(self.columns)
        self.source = source
        self.answers = answers
        self.mapping = dict(answers.mapping)
        self.questions: list[Question] = []
        self.filled: Counter[str] = Counter()
        self.named: Counter[str] = Counter()
        self._correct()

    def key(self, header: str) -> str:
        """The column of the results that a column becomes."""
        mapped = self.mapping.get(header)
        return (names.target(header) if mapped is None else names.wanted(mapped, header)).key

    def read_sentences(self, column: RawColumn) -> None:
        """Reads settings from sentences; a column that has some holds no names and becomes a note."""
        found = [(at, *one) for at, text in enumerate(column.cells) for one in settings(text)]
        if all(key == _METHOD for _, _, key, _ in found) or column.header in self.answers.mapping:
            return
        self.mapping[column.header] = names.NOTE
        for at, name, key, value in found:
            self._say(at, key, value, f"{column.header}: {name}", column)

    def read_names(self, column: RawColumn) -> None:
        """Reads the method, the date and numbers from names of runs."""
        for at, text in enumerate(column.cells):
            found = _RUN.fullmatch(text[:_LONGEST])
            if found is None:
                continue
            if self.key(column.header) == names.STARTED:
                self.named[column.header] += text != found["date"]
            else:
                self._say(at, names.STARTED, found["date"], f"{column.header}: date", column)
            for word, value in _NUMBERED.findall(found["rest"]):
                if named := names.named_at_end(word) or names.named_at_end(f"{word}s"):
                    self._say(at, named[1], value, f"{column.header}: {word}", column)
            for method in filter(names.is_method, text.split("/")[:-1]):
                self._say(at, _METHOD, method, f"{column.header}: method", column)

    def fill_constants(self) -> None:
        """Fills in what the user says of all rows that do not say it."""
        for name, value in self.answers.constants.items():
            key = names.wanted(names.PARAMETER, name).key
            header = next((one for one in self.columns if self.key(one) == key), f"--set {name}")
            column = self.columns.setdefault(header, self._blank(header, key, next(iter(self.columns.values()))))
            cells = tuple(value if is_blank(text) else text for text in column.cells)
            self.columns[header] = replace(column, cells=cells)

    def notes(self) -> list[str]:
        """Sentences on what was read from names and sentences."""
        headings = [one for one in self.columns.values() if one.is_heading and self.key(one.header).startswith(PARAM)]
        blank = [(one.header, line) for one in headings for line, text in one if is_blank(text)]
        keys = ", ".join(dict.fromkeys(self.key(header).removeprefix(PARAM) for header, _ in blank))
        cells = [f", --cell '{line}:{header}=…' for one" for header, line in blank if header in self.own]
        gaps = [f"Not said by all entries: {keys}; --set says it for the rest{''.join(cells[:1])}."] if blank else []
        told = [f"{header} in {counted(count, 'row')}" for header, count in self.filled.items()]
        notes = [f"Blank, and filled in from names of runs and sentences: {', '.join(told)}."] if told else []
        for header, count in self.named.items():
            if count:
                notes.append(f"{header} is the name of a run in {counted(count, 'row')}: the date in it is taken.")
        return notes + gaps

    def _correct(self) -> None:
        """Writes into cells what the user says that they should say."""
        for place, value in self.answers.cells.items():
            line, _, header = place.partition(":")
            column = self.columns.get(header)
            if column is None or line not in map(str, column.lines):
                raise UserError(f"--cell {place}={value}: {self.source} has no cell of {header!r} in line {line}.")
            cells = tuple(value if str(at) == line else text for at, text in column)
            self.columns[header] = replace(column, cells=cells)

    def _say(self, at: int, key: str, value: str, name: str, origin: RawColumn) -> None:
        """Takes a value into the column of its key, unless a cell says something else."""
        header = next((one for one in self.columns if self.key(one) == key), name)
        column = self.columns.setdefault(header, self._blank(header, key, origin))
        line, text = column.lines[at], column.cells[at]
        if f"{line}:{header}" in self.answers.cells:
            return
        if is_blank(text):
            cells = (*column.cells[:at], value, *column.cells[at + 1 :])
            self.columns[header] = replace(column, cells=cells)
            self.filled.update([header] if header in self.own else [])
        elif not (_is_same_date if key == names.STARTED else _is_same)(text, value):
            self._ask(f"{line}:{header}=", text, value, f"{origin.header} (line {origin.lines[at]})")

    def _ask(self, prefix: str, text: str, value: str, where: str) -> None:
        if any(one.prefix == prefix for one in self.questions):
            return
        line, _, header = prefix.removesuffix("=").partition(":")
        what = f"{self.source}:{line}: {header} is {text!r}, but {where} says {value!r}: which is right?"
        first = "-" if _date(text) is None and _date(value) is not None else text
        leave = " (- leaves it empty)" if first == "-" else ""
        self.questions.append(Question(what + leave, "--cell", prefix, (value, first)))

    def _blank(self, header: str, key: str, like: RawColumn) -> RawColumn:
        if header not in self.columns:
            self.mapping.setdefault(header, key)
        return RawColumn(header, ("",) * len(like.cells), like.lines, is_heading=True)


def _names_a_run(text: str) -> bool:
    return any(_RUN.fullmatch(value) for _, value in _pairs(text))


def _pairs(text: str) -> list[tuple[str, str]]:
    """The names and values of a line such as `batch size: 1024, best 0.03, log: runs/2021-08-24_topic100`."""
    return [(name.strip(), value or bare) for name, value, bare in _PAIRS.findall(text[:_LONGEST])]


def _further(table: Table, line: Heading) -> Table:
    """The run that a line below a table tells of, as a table of its own."""
    said = dict(_pairs(line.value))
    row = table.rows[0]
    cells = tuple(_taken(said, head) or cell for head, cell in zip(table.header.cells, row.cells, strict=True))
    kept = (one for one in table.headings if names.target(one.name).key != names.STARTED)
    headings = tuple(Heading(one.name, _taken(said, one.name) or one.value, line.line) for one in kept)
    below = tuple(Heading(name, value, line.line) for name, value in said.items())
    return replace(table, rows=(replace(row, number=line.line, cells=cells),), headings=headings, below=below)


def _taken(said: dict[str, str], header: str) -> str:
    """The value that a line gives for a column, and no longer has afterwards; empty without one."""
    key = names.target(header).key
    for name in said:
        if name.lower() == header.lower() or (key != names.NOTE and names.target(name).key == key):
            return said.pop(name)
    return ""


def _is_same(text: str, value: str) -> bool:
    try:
        return number(text) == number(value)
    except ValueError:
        return text.lower() == value.lower()


def _is_same_date(text: str, value: str) -> bool:
    one, other = _date(text), _date(value)
    if one is None or other is None:
        return False
    return one.rest == other.rest and (one.year or other.year) == other.year


def _date(text: str) -> Moment | None:
    try:
        return moment(text)
    except ValueError:
        return None
