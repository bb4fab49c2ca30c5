"""The part of the page on the health of trials: verdicts, codes by setting, courses, failures and warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jobs.analysis.outcomes import Trouble
from jobs.charts import strips
from jobs.charts.configurations import describe, key
from jobs.charts.courses import courses
from jobs.health.courses import Course, Judged
from jobs.present.health import (
    codes_sheet,
    headline,
    notes,
    ordered,
    settings_sheet,
    settings_words,
    telling,
    trials_sheet,
)
from jobs.present.leaderboard import Sheet
from jobs.present.tables import Column
from jobs.report import pieces
from jobs.report.contents import LISTED, Contents
from jobs.report.markup import Markup, join, tag

_TESTS = 40
"""The most codes by parameter that are listed, those with the smallest p-values first."""
_DRAWN = (
    ("label_free", ("label_free",), False),
    ("cluster sizes", ("cluster_size_max", "cluster_size_min"), True),
    ("effective rank", ("effective_rank",), False),
)
"""Title, signals and whether the axis is logarithmic. A cluster without a sample has no place on a logarithmic axis."""
_WORDS = {"label_free": "label free score"}


def health(contents: Contents) -> Markup:
    """How the trials ended, their verdicts, which settings die of what, and the courses of some."""
    ended = contents.outcomes
    states = " · ".join(f"{n:,} {name}" for name, n in sorted(ended.statuses.items()))
    parts: list[Markup | None] = [tag("p", f"Trials: {states}."), _verdicts(contents), _settings(contents)]
    parts += [_courses(contents.courses), _trials(contents)]
    parts += _trouble_table("Failed", ended.failures, "No trial failed.")
    parts += _trouble_table("Warnings of finished trials", ended.warnings, "No finished trial has a warning.")
    parts.append(_signals(contents))
    return join(parts)


def _verdicts(contents: Contents) -> Markup | None:
    if contents.health is None:
        return None
    sheet = codes_sheet(contents.health)
    table = pieces.sheet_table(sheet, "Verdicts", wrap=[sheet.columns[-1].name])
    told = [headline(contents.health), *notes(contents.health)]
    return join([tag("h3", "Verdicts"), map(pieces.note, told), table])


def _settings(contents: Contents) -> Markup | None:
    if contents.health is None:
        return None
    found = contents.health.settings
    shown = found.found[:_TESTS]
    hidden = len(found.found) - len(shown)
    parts: list[Markup] = [tag("h3", "Which settings die of what"), pieces.note(settings_words(found))]
    if shown:
        # Sorted, a row would lose the code and the parameter that stand above it.
        parts.append(pieces.sheet_table(settings_sheet(shown), "Codes by setting", sortable=False))
    parts += [pieces.note(f"{hidden:,} more tests have larger p-values: conclus health lists them.")] if hidden else []
    return join(parts)


def _trials(contents: Contents) -> Markup | None:
    if contents.health is None:
        return None
    trials: list[Judged] = ordered(contents.health.trials)
    shown = trials[:LISTED]
    table = pieces.sheet_table(trials_sheet(shown, telling(contents.health, shown)), "Trials by verdict")
    hidden = len(trials) - len(shown)
    more = [pieces.note(f"{hidden:,} more trials: conclus health --format csv lists all.")] if hidden else []
    return join([tag("h3", "Trials"), table, more])


def _courses(found: Mapping[str, Course]) -> Markup | None:
    """Charts of the signals that at least one of the trials has."""
    figures: list[Markup] = []
    for title, signals, log in _DRAWN:
        lines = {
            name: {signal: one.get(signal) for signal in signals if one.get(signal)} for name, one in found.items()
        }
        if not any(lines.values()):
            continue
        words = f"The course of {title} over the epochs, of {', '.join(name for name, one in lines.items() if one)}."
        chart = courses(lines, _WORDS.get(title, title), words, log=log)
        figures.append(pieces.figure(title, "", pieces.drawing(chart)))
    if not figures:
        return None
    told = pieces.note("The best trial, and some with codes, of each kind one.")
    return join([tag("h3", "Courses"), told, tag("div", figures, class_="maps")])


def _signals(contents: Contents) -> Markup | None:
    if not contents.signals:
        return None
    named = (
        f" The diamond is #1, {describe(contents.board.entries[0], contents.board, contents.labels)}."
        if contents.board
        else ""
    )
    first = {key(entry): entry.rank for _, board in contents.first for entry in board.entries}
    drawings = [
        pieces.figure(
            contents.labels.metric(name),
            "",
            pieces.drawing(strips.signal(name, some, contents.board, names=contents.labels)),
        )
        for name, values in contents.signals.items()
        if (some := {one: value for one, value in values.items() if one in first or not first})
    ]
    return join(
        [
            tag("h3", "Label-free signals"),
            pieces.note("One dot for each configuration: the mean over its seeds at the last epoch.", named),
            pieces.panels(drawings),
        ]
    )


def _trouble_table(title: str, found: Sequence[Trouble], none: str) -> list[Markup]:
    heading = tag("h3", title)
    if not found:
        return [heading, pieces.note(none)]
    columns = [
        Column("code", right=False),
        Column("trials"),
        Column("configurations"),
        Column("message of the first", right=False),
    ]
    rows = [[one.code, one.trials, one.configurations, one.example] for one in found]
    return [heading, pieces.sheet_table(Sheet(columns, rows), title, wrap=[columns[-1].name])]
