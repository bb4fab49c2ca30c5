"""Turns a file into rows that are ready to be written, and a preview for the user."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core.data.columns import cut
from core.errors import UserError, counted
from jobs.ledger import entries, names, trackers
from jobs.ledger.cells import Moment, Number
from jobs.ledger.columns import ReadColumn, understand
from jobs.ledger.questions import Answers, Question
from jobs.ledger.read import Content, read, refuse_damaged
from jobs.ledger.rows import SourceFile, attempts
from jobs.ledger.table import IMAGE, Table, columns
from jobs.present.tables import display_width, numbers
from jobs.results.schema import Attempt

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_VALUES = 20
"""Columns of the terminal that the values of a column of the table get, if its name and its target leave them."""
_SHORTEST = 12
"""Characters of a name or a value that are shown in the narrowest terminal."""
_SAMPLES = 4
_PLAIN = ("number", "words", "text", "date")
"""Values of `read_as` that are obvious from a cell, so that the preview does not show them."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A file that was read and checked completely.

    Attributes:
        source: The file, and the line of each row.
        columns: Its columns after reading.
        notes: Sentences on what was left out, repaired or left empty.
        asked: Questions on its entries, besides those on its columns.
    """

    source: SourceFile
    columns: list[ReadColumn]
    notes: list[str]
    asked: list[Question] = field(default_factory=list[Question])

    @property
    def questions(self) -> list[Question]:
        """Questions that the user must answer before the rows can be imported."""
        found = {one.text: one for column in self.columns for one in column.questions}
        brackets = [one for one in found.values() if one.option == "--brackets"]
        return self.asked + [one for one in found.values() if one not in brackets[1:]]

    @property
    def lacks_year(self) -> bool:
        """Whether any date is written without its year."""
        return any(isinstance(one, Moment) and one.year is None for column in self.columns for one in column.values)

    def rows(self, study: str, year: int | None) -> list[Attempt]:
        """The rows of the study; see `jobs.ledger.rows.attempts`."""
        return attempts(self.columns, self.source, study, year)


def prepare(
    path: Path,
    *,
    mapping: Mapping[str, str] | None = None,
    answers: Answers | None = None,
    table: int | None = None,
    sheet: str | None = None,
    encoding: str = "utf-8",
) -> Prepared:
    """Reads and checks a file.

    Args:
        path: A Markdown, CSV, TSV, LaTeX, Excel or text file.
        mapping: The meaning of columns, by header.
        answers: All answers of the user, instead of `mapping` alone.
        table: The number of the table in the file, from 1; by default the first one with a known column. Tables with
            the same header are read with it.
        sheet: The sheet of a workbook.
        encoding: The encoding of a text file.

    Raises:
        UserError: Something is wrong; the message has one line per mistake with its line number.
    """
    return understood(read(path, sheet=sheet, encoding=encoding), answers or Answers(mapping or {}), table)


def understood(content: Content, answers: Answers, table: int | None = None) -> Prepared:
    """What a file that was read means; see `prepare`."""
    chosen = _chosen(content, table, answers.mapping)
    tables, asked = entries.with_further_runs(chosen, answers.below)
    raw = columns(tables)
    refuse_damaged(raw, content.name, chosen[0].header.number)
    found = entries.completed(raw, content.name, answers)
    read_columns = understand(found.columns, content.name, replace(answers, mapping=found.mapping))
    source = SourceFile(content.name, content.digest, raw[0].lines)
    notes = [*_notes(content, chosen, read_columns), *found.notes]
    return Prepared(source, read_columns, notes, [*asked, *found.questions])


def study_name(path: Path, name: str | None) -> str:
    """The study's name for the rows: the requested one, else one from the file's name.

    Raises:
        UserError: It is not a valid name of a study.
    """
    chosen = name or re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._")
    if not _NAME.fullmatch(chosen):
        raise UserError(f"{name or path.stem!r} cannot name a study: give --study: letters, digits, '.', '_' or '-'.")
    return chosen


def preview(prepared: Prepared, width: int) -> list[list[str]]:
    """For each column its name, its target, and as many of its different values as fit into a line."""
    targets = [cut(column.target.key, 40) + " (new)" * (not column.target.known) for column in prepared.columns]
    left = width - max(map(display_width, targets)) - 2 * len("  ") - _VALUES
    headers = [cut(column.header, max(_SHORTEST, min(left, 40))) for column in prepared.columns]
    named = list(zip(headers, targets, strict=True))
    room = width - sum(max(map(display_width, part)) + len("  ") for part in zip(*named, strict=True))
    shown = [_values_text(column, room) for column in prepared.columns]
    return [[*name, values] for name, values in zip(named, shown, strict=True)]


def _values_text(column: ReadColumn, room: int) -> str:
    cells = zip(column.texts, column.values, strict=True)
    found = {text: value for text, value in cells if text}
    # A machine's last digits are no more worth showing than elsewhere; what a person wrote is shorter.
    numeric = {text: one.value for text, one in found.items() if isinstance(one, Number) and _same(text, one.value)}
    exact = [text for text in numeric if len(text) > _SHORTEST]
    short = dict(zip(exact, numbers([numeric[text] for text in exact]), strict=True))
    samples = [short.get(text) or _sample(text, value, room) for text, value in found.items()]
    text = f"{column.read_as}: " if column.read_as not in _PLAIN else ""
    text += samples[0] if samples else ""
    for sample in samples[1:_SAMPLES]:
        if display_width(f"{text}, {sample}, …") > room:
            break
        text += f", {sample}"
    return text.strip(" :") + (", …" if len(samples) > 1 and not text.endswith(samples[-1]) else "")


def _sample(text: str, value: Any, room: int) -> str:
    """The cell, followed by an arrow and its value if that is a different number."""
    # Cut marks for further values need three columns.
    text = cut(text, max(_SHORTEST, min(24, room - 3)))
    if isinstance(value, Number) and not _same(text, value.value):
        return f"{text} → {value.value:.6g}"
    return text


def _same(text: str, value: float) -> bool:
    try:
        return float(text) == value
    except ValueError:
        return False


def _chosen(content: Content, number: int | None, mapping: Mapping[str, str]) -> list[Table]:
    tables = content.tables
    if number is not None and not 1 <= number <= len(tables):
        raise UserError(f"--table {number}: {content.name} has {counted(len(tables), 'table')}.")
    known = [one for one in tables if _is_known(one, mapping)]
    first = tables[number - 1] if number is not None else (known or tables)[0]
    return [one for one in tables if one.header.cells == first.header.cells]


def _is_known(table: Table, mapping: Mapping[str, str]) -> bool:
    heads = [head for head in table.header.cells if head]
    return any(head in mapping or (names.target(head).known and names.target(head).key != names.NOTE) for head in heads)


def _notes(content: Content, chosen: Sequence[Table], read_columns: Sequence[ReadColumn]) -> list[str]:
    skipped = [(i, one) for i, one in enumerate(content.tables, 1) if one not in chosen]
    blank = sum(row.is_blank for table in chosen for row in table.rows)
    notes = [f"{len(chosen)} tables with the same columns are read as one."] if len(chosen) > 1 else []
    notes += [f"Blank and left out: {_rows(blank)}."] if blank else []
    if repaired := sum(row.number in content.repaired for table in chosen for row in (table.header, *table.rows)):
        notes.append(f"Damaged by a wrong encoding, and repaired: {_rows(repaired)}, the header included.")
    if skipped:
        told = ", ".join(f"{i} (line {one.header.number})" for i, one in skipped)
        notes.append(f"Other tables of the file are left out; --table N reads one of them: {told}.")
    notes += [note for column in read_columns for note in column.notes]
    if any(_pictures(read_columns)):
        notes.append("Addresses of pictures are kept as notes; no picture is fetched or read.")
    return notes + _value_notes(read_columns)


def _value_notes(read_columns: Sequence[ReadColumn]) -> list[str]:
    ends = Counter(one for column in read_columns if column.target.key == names.STATUS for one in column.values)
    told = [f"{_rows(count)} {status} ({reason})" for (status, reason), count in sorted(ends.items()) if reason]
    notes = [f"Not counted as finished: {', '.join(told)}."] if told else []
    for column in read_columns:
        empty = sum(one is None for one in column.values)
        if column.target.key.startswith(names.PARAM) and empty:
            notes.append(f"{column.header} is blank in {_rows(empty)}: the parameter is taken as not given.")
    metrics = [column for column in read_columns if column.target.key.startswith(names.METRIC)]
    failures = Counter(reason for column in metrics for text in column.texts if (reason := trackers.failure(text)))
    scored = [any(values) for values in zip(*(column.values for column in metrics), strict=True)]
    shown = sum(not one and picture for one, picture in zip(scored, _pictures(read_columns), strict=bool(metrics)))
    bare = scored.count(False) - shown
    if not metrics:
        notes.append("No column is a score or a loss: the rows hold parameters only.")
    if failures:
        said = ", ".join(f"{reason} ({count})" for reason, count in sorted(failures.items()))
        notes.append(f"Cells of scores that say that the run failed have no value, and their rows are failed: {said}.")
    notes += [f"Without score or loss, but with a picture: {_rows(shown)}."] if shown else []
    if bare:
        end = "" if ends else ": imported as failed"
        notes.append(f"Without score or loss: {_rows(bare)}{end}.")
    seeds = [column for column in read_columns if column.target.key == names.SEED]
    unseeded = sum(one is None for one in seeds[0].values) if seeds else len(read_columns[0].values)
    if unseeded:
        notes.append(f"No seed is in {_rows(unseeded)}: each gets a negative number of its own in its place.")
    ranges = [one for column in metrics for one in column.values if one is not None and one.low is not None]
    spreads = [one for column in metrics for one in column.values if one is not None and one.spread is not None]
    if ranges:
        notes.append("The value of a range is its middle; its ends are kept as NAME_low and NAME_high.")
    if spreads:
        notes.append("A number after ± is kept as NAME_spread; it may be a deviation or an interval.")
    return notes


def _pictures(read_columns: Sequence[ReadColumn]) -> list[bool]:
    """Whether each row has the address of a picture."""
    found = [column.values for column in read_columns if column.header == IMAGE]
    return [value is not None for value in found[0]] if found else [False] * len(read_columns[0].values)


def _rows(count: int) -> str:
    return counted(count, "row")
