# ruff: noqa: N999 - the file's name is the command's
"""`conclus import`: imports a handwritten table or log of results, or what another tracker has."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.config.schema import nearest
from core.errors import UserError, counted
from jobs.present import options
from jobs.present.bar import preparing
from jobs.present.output import remark, say, width

if TYPE_CHECKING:
    from jobs.ledger.prepare import Prepared
    from jobs.ledger.questions import Answers, Question
    from jobs.ledger.runs import StoredRun
    from jobs.results.schema import Attempt

_MAP_HELP = (
    "What a column is: a known name (lr, nmi), parameter, outcome, param.NAME, metric.NAME, started, seconds, seed, "
    "status, note or ignore; repeatable."
)
_STUDY_HELP = (
    "The study that the rows become; of a store with several, the one to import.  "
    "[default: all, by their names there; of a table, the file's name]"
)
_SET_HELP = "A parameter of the rows that do not say it, such as method.name=tcl; repeatable."
_CELL_HELP = "What one cell should say; - empties it; repeatable."
_BELOW_HELP = "A line below a table that names a run of its own: that run, or a note on the table's run."
_UNIT_HELP = "What the scores, or those of one column, are written in; repeatable.  [default: asked for where unclear]"


@click.command("import")
@click.argument("words", nargs=-1, required=True, metavar="[wandb|mlflow|optuna|ray] PATH")
@options.results
@click.option("--study", "name", help=_STUDY_HELP)
@click.option("--map", "mapping", multiple=True, metavar="HEADER=NAME", help=_MAP_HELP)
@click.option("--unit", "units", multiple=True, metavar="[HEADER=]percent|fraction", help=_UNIT_HELP)
@click.option("--brackets", type=click.Choice(["spread", "ignore"]), help="What the second number of 79.5 (80.1) is.")
@click.option("--year", type=click.IntRange(1970, 2200), help="Of dates without one.  [default: asked for, or none]")
@click.option("--table", type=click.IntRange(min=1), help="Which table of FILE.  [default: the first that is known]")
@click.option("--sheet", help="The sheet of a workbook.  [default: its first]")
@click.option("--encoding", default="utf-8", show_default=True, help="That of a text file.")
@click.option("--set", "constants", multiple=True, metavar="KEY=VALUE", help=_SET_HELP)
@click.option("--cell", "cells", multiple=True, metavar="LINE:HEADER=TEXT", help=_CELL_HELP)
@click.option("--below", type=click.Choice(["run", "note"]), help=_BELOW_HELP)
@click.option("--yes", is_flag=True, help="Take the columns as they are understood; what is unclear must be said.")
def command(  # noqa: PLR0917 (click passes them by name)
    words: tuple[str, ...],
    results: str,
    name: str | None,
    mapping: tuple[str, ...],
    units: tuple[str, ...],
    brackets: str | None,
    year: int | None,
    table: int | None,
    sheet: str | None,
    encoding: str,
    constants: tuple[str, ...],
    cells: tuple[str, ...],
    below: str | None,
    yes: bool,
) -> None:
    """Import the rows of the table in a file (.md, .csv, .tsv, .tex, .xlsx, .txt) into the results.

    With the name of a tracker it imports its runs, with their states and histories: `wandb` the folder of offline runs,
    `mlflow` its folder or database, `optuna` its database or journal, `ray` a folder of Ray Tune experiments. Each
    study, experiment or project there becomes a study, and ranks by its first objective if it has one.

    Lines above and below a table of one row count as its columns, as in a log. It first shows what each column means,
    and asks if something is unclear. It imports all rows or none; importing the same file again adds nothing. Tables
    mark the rows as imported, because nobody has checked them.
    """
    from jobs.ledger import runs, store
    from jobs.ledger.questions import Answers

    kind, file = _place(words)
    answers = Answers(
        _pairs("--map", mapping, "HEADER=NAME, such as --map 'lr=learning_rate'"),
        _units(units),
        brackets or "",
        _pairs("--cell", cells, "LINE:HEADER=TEXT, such as --cell '12:lr=0.001'"),
        _pairs("--set", constants, "KEY=VALUE, such as --set method.name=tcl"),
        below or "",
    )
    asks = not yes and _may_ask()
    parts = _stored(kind, file, name, answers, asks) if kind else []
    if not kind:
        from jobs.ledger.prepare import prepare, study_name

        study = study_name(file, name)
        read = partial(prepare, file, table=table, sheet=sheet, encoding=encoding)
        parts = [_Part(study, [], _understood(lambda said: read(answers=said), answers, asks))]
    for part in parts:
        if kind:
            click.echo(part.heading)
        _show(part.prepared)
    if questions := dict.fromkeys(one.sentence for part in parts for one in part.prepared.questions):
        raise UserError(*questions)
    lacks_year = any(part.prepared.lacks_year for part in parts)
    year = _asked_year() if asks and year is None and lacks_year else year
    for part in parts:
        with preparing():
            part.rows = part.prepared.rows(part.study, year)
            if part.stored:
                part.rows = runs.with_histories(part.rows, part.stored, part.prepared.columns)
            part.new = store.new_rows(results, part.rows)
        remark(runs.notes(part.stored))
    if lacks_year and year is None:
        click.echo("The dates have no year: they stay empty (--year gives it), their text is kept.")
    _confirm(sum(len(part.rows) for part in parts), sum(len(part.new) for part in parts), results, yes=yes)
    for part in parts:
        if part.new:
            with preparing():
                store.write(results, part.new)
        store.write_selection(results, part.study, runs.selection(part.stored, part.prepared.columns))
        say(
            f"{counted(len(part.new), 'row', 'were')} imported into {results}/study={part.study}, "
            f"{len(part.rows) - len(part.new)} were there before."
        )


@dataclass(slots=True)
class _Part:
    """What becomes one study: the runs of a tracker, which a table has not, and the rows."""

    study: str
    stored: list[StoredRun]
    prepared: Prepared
    rows: list[Attempt] = field(default_factory=list["Attempt"])
    new: list[Attempt] = field(default_factory=list["Attempt"])

    @property
    def heading(self) -> str:
        """What was read of a tracker's study, with its objectives."""
        goals = next((run.goals for run in self.stored if run.goals), {})
        told = [f"{name}: the {'larger' if mode == 'max' else 'smaller'}, the better" for name, mode in goals.items()]
        first = " (the first of them ranks, all make the Pareto front)" if len(goals) > 1 else ""
        return "; ".join([f"Study {self.study}, {counted(len(self.stored), 'run')}", *told]) + f"{first}."


def _stored(kind: str, file: Path, name: str | None, answers: Answers, asks: bool) -> list[_Part]:
    """The studies of a tracker's store: the only one, under this name if there is one; of several the one of this name.

    Raises:
        UserError: There is no such study, or what is said is of no study.
    """
    from jobs.ledger import runs, stores
    from jobs.ledger.prepare import study_name, understood

    groups = runs.by_study(stores.read(kind, file))
    several = len(groups) > 1
    if several and answers.cells:
        raise UserError(f"--cell names a line of one study, and {file} has {len(groups)}: choose one with --study.")
    contents = {study: runs.content(file, some) for study, some in groups.items()} or {"": runs.content(file, [])}
    headers = {study: content.tables[0].header.cells for study, content in contents.items()}
    known = {header for some in headers.values() for header in some}
    names: dict[str, str] = {}
    for study in groups:
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", study).strip("-._")[:90]
        own = study_name(file.resolve(), (stem or None) if several or not name else name)
        names[study] = f"{own}-{len(names) + 1}" if own in names.values() else own
    wanted = [study for study in groups if not several or name in {None, study, names[study]}]
    if not wanted:
        raise UserError(f"--study {name}: {file} has no such study: there are {nearest(str(name), names.values())}.")
    parts: list[_Part] = []
    for study in wanted:
        others = known - {*headers[study]}  # What is said of a column that only another study has.
        own = replace(
            answers,
            mapping={key: one for key, one in answers.mapping.items() if key not in others},
            units={key: one for key, one in answers.units.items() if key not in others},
        )
        prepared = _understood(partial(understood, contents[study]), own, asks)
        parts.append(_Part(names[study], groups[study], prepared))
    return parts


def _understood(read: Callable[[Answers], Prepared], answers: Answers, asks: bool) -> Prepared:
    """What was read, after the questions that a person can be asked."""
    while True:
        with preparing():
            prepared = read(answers)
        if not prepared.questions or not asks:
            return prepared
        answers = _answered(answers, prepared.questions[0])


def _place(words: tuple[str, ...]) -> tuple[str, Path]:
    """The tracker, empty for a table, and the file or folder.

    Raises:
        UserError: the words are not these.
    """
    from jobs.ledger.stores import KINDS

    *kinds, place = words
    if len(kinds) > 1 or (kinds and kinds[0] not in KINDS):
        raise UserError(f"{' '.join(kinds)!r} is no tracker that can be read: {', '.join(KINDS)}, or a file alone.")
    path = Path(place)
    if kinds and path.suffix != ".csv":
        return kinds[0], path
    if path.is_dir():
        known = ", ".join(KINDS)
        raise UserError(f"{place} is a folder: say what wrote it ({known}), as in `conclus import mlflow {place}`.")
    return "", path  # An export as a table, too.


def _pairs(option: str, words: tuple[str, ...], form: str) -> dict[str, str]:
    pairs = [word.rpartition("=") for word in words]
    for word, (header, _, name) in zip(words, pairs, strict=True):
        if not header or not name:
            raise UserError(f"{option} {word!r} should be {form}.")
    return {header: name for header, _, name in pairs}


def _units(words: tuple[str, ...]) -> dict[str, str]:
    from jobs.ledger.questions import UNITS

    pairs = [word.rpartition("=") for word in words]
    for word, (_, _, unit) in zip(words, pairs, strict=True):
        if unit not in UNITS:
            raise UserError(f"--unit {word!r} should be percent or fraction, or HEADER=percent, such as 'ARI=percent'.")
    return {header: unit for header, _, unit in pairs}


def _answered(answers: Answers, question: Question) -> Answers:
    from jobs.present.visible import bounded

    asked = _folded(f"{bounded(question.text)} ({', '.join(question.answers)})", width() - len(": "))
    return answers.also(question, click.prompt(asked, type=click.Choice(question.answers), show_choices=False))


def _folded(text: str, columns: int) -> str:
    return textwrap.fill(text, columns, break_long_words=False, break_on_hyphens=False)


def _show(prepared: Prepared) -> None:
    from jobs.ledger.prepare import preview
    from jobs.present.tables import Column, render
    from jobs.present.visible import bounded

    columns = width()
    heads = [Column(head, right=False) for head in ("column", "becomes", "first values")]
    click.echo(render(heads, preview(prepared, columns), "table", width=columns), nl=False)
    for note in prepared.notes:
        click.echo(_folded(bounded(note), columns))


def _may_ask() -> bool:
    return sys.stdin.isatty()


def _asked_year() -> int | None:
    answer = click.prompt("The year of the dates (nothing: leave them empty)", default="", show_default=False)
    if answer and not (answer.isdecimal() and 1970 <= int(answer) <= 2200):
        raise UserError(f"{answer!r} is no year from 1970 to 2200.")
    return int(answer) if answer else None


def _confirm(rows: int, new: int, results: str, *, yes: bool) -> None:
    """Asks for confirmation, unless there is nothing to write or the answer was given.

    Raises:
        UserError: There is no terminal to ask on.
    """
    if yes or not new:
        return
    if not _may_ask():
        raise UserError("Nothing was written: look at the columns above, and say --yes if they are right.")
    if not click.confirm(f"Import {new} of {counted(rows, 'row')} into {results}?"):
        click.echo("Nothing was written.", err=True)
        sys.exit(1)
