"""The part of the page on topics: those of the best trial, and the courses of their scores over all trials."""

from __future__ import annotations

import re
from collections.abc import Mapping

from core.errors import counted
from jobs.health.courses import Course
from jobs.models.topic_tables import DOCUMENTS, documents_sheet, headline, notes, topics_sheet
from jobs.models.topics import TrialTopics
from jobs.report import pieces
from jobs.report.contents import Contents
from jobs.report.markup import Markup, join, tag

_TOP = 10
_LOSSES = "loss"
_PARTS = 6
"""The most parts of a loss that are drawn."""
_PART = re.compile(r"loss_(?!share)[a-z0-9_]{1,40}")


def topics(contents: Contents) -> Markup | None:
    """The topics of one trial as a table, and the curves of all; None without topic models."""
    found = contents.topics
    parts: list[Markup | None] = []
    if isinstance(found, TrialTopics):
        table = pieces.sheet_table(topics_sheet(found, _TOP, None), "Topics", wrap=["top words"])
        parts = [tag("p", headline(found)), table, *map(pieces.note, notes(found)), _documents(found)]
    elif found:
        parts = [pieces.note(found)]
    parts.append(_courses(contents.topic_courses))
    return join(parts) if any(parts) else None


def _documents(found: TrialTopics) -> Markup | None:
    if not found.documents:
        return None
    table = pieces.sheet_table(documents_sheet(found, None), DOCUMENTS, wrap=["begins with"], sortable=False)
    return tag("details", tag("summary", DOCUMENTS), table)


def _drawn(found: Mapping[str, Course]) -> dict[str, list[str]]:
    """The titles of the charts that at least one trial has values for, each with the names of its signals."""
    # A name in a history may be anything; it becomes the title of a chart.
    kinds = {frozenset(filter(_PART.fullmatch, one.series)) for one in found.values() if one.get(_LOSSES)}
    losses = sorted({name for names in kinds for name in names})[:_PARTS]
    wanted = {
        "npmi": ["npmi"],
        "topic diversity": ["topic_diversity"],
        # Losses of other parts have another scale: an axis for both would tell nothing.
        **({_LOSSES: [_LOSSES]} if len(kinds) == 1 else {}),
        **{name: [name] for name in losses},
        "critic gap": ["critic_gap"],
    }
    return {title: names for title, names in wanted.items() if any(one.get(names[0]) for one in found.values())}


def _courses(found: Mapping[str, Course]) -> Markup | None:
    from jobs.charts.courses import courses

    figures: list[Markup] = []
    for title, names in _drawn(found).items():
        lines = {trial: {name: one.get(name) for name in names if one.get(name)} for trial, one in found.items()}
        words = f"The course of {title} over the epochs, of {counted(sum(map(bool, lines.values())), 'trial')}."
        figures.append(pieces.figure(title, "", pieces.drawing(courses(lines, title, words))))
    if not figures:
        return None
    told = pieces.note(
        f"{counted(len(found), 'trial')}, the first of the leaderboard first; the number is the rank of the "
        "configuration. A method that learns at once is a point."
    )
    return join([tag("h3", "Scores of topics over the epochs"), told, tag("div", figures, class_="maps")])
