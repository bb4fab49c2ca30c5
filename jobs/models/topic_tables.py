"""The topics of a trial as tables and sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from core.errors import counted
from jobs.models.topics import AGAIN, COMPARED, Topic, TrialTopics
from jobs.present.effect import paragraphs
from jobs.present.leaderboard import Sheet
from jobs.present.tables import Column, cell_text, display_width
from jobs.present.visible import one_line

DOCUMENTS = "Documents in which a topic is strongest"
_NARROWEST = 20
"""Columns of the terminal that the top words get at least."""


def topics_text(found: TrialTopics, fmt: str, width: int | None, top: int) -> str:
    """The topics for people, in `table`, `markdown` or `latex`.

    Args:
        found: The trial's topics.
        fmt: The format.
        width: Characters per line of the terminal; only `table` uses it.
        top: The most words of a topic.
    """
    sheet = topics_sheet(found, top, width if fmt == "table" else None)
    blocks = [headline(found), sheet.render(fmt, width), *notes(found)]
    if found.documents:
        blocks += [f"{DOCUMENTS}:", documents_sheet(found, width if fmt == "table" else None).render(fmt, width)]
    return paragraphs(blocks, fmt, width)


def documents_sheet(found: TrialTopics, width: int | None) -> Sheet:
    """A row for each document of a topic, with its first words; where those cannot be read, a row for each topic."""
    columns = [Column("topic"), Column("document" if found.texts else "documents", right=False)]
    if not found.texts:
        return Sheet(columns, [[one.number, ", ".join(one.documents)] for one in found.topics if one.documents])
    rows: list[list[Any]] = [[topic.number, one] for topic in found.topics for one in topic.documents]
    taken = len("topic") + 4 + max(len("document"), *(display_width(cell_text(one)) for _, one in rows))
    left = None if width is None else max(width - taken, _NARROWEST)
    return Sheet(
        [*columns, Column("begins with", right=False)],
        [[*row, _beginning(found.texts.get(row[1], ""), left)] for row in rows],
    )


def machine_sheet(found: TrialTopics, fmt: str, top: int) -> Sheet:
    """A row for each topic with every number, for `csv` and `json`; json has the words and documents as lists."""
    names = ("study", "trial_key", "seed", "topic", "npmi", "stability", "again", "other_seeds", "documents")
    trial = [found.row["study"], found.row["trial_key"], found.row["seed"]]
    rows: list[list[Any]] = []
    for topic in found.topics:
        numbers = [topic.number, topic.coherence, topic.stability, topic.again, found.others, topic.size]
        rows.append([*trial, *numbers, *(_nested if fmt == "json" else _flat)(topic, top, found.texts)])
    return Sheet(
        [Column(name) for name in (*names, "words", *(() if fmt == "json" else ("weights",)), "strongest")], rows
    )


def headline(found: TrialTopics) -> str:
    """The trial, and by what it was chosen."""
    trial = f"{counted(len(found.topics), 'topic')} of trial {found.row['trial_key']}, seed {found.row['seed']}"
    return f"{trial}{f', {found.why}' if found.why else ''}."


def topics_sheet(found: TrialTopics, top: int, width: int | None) -> Sheet:
    """A row for each topic; words that do not fit in a line of the terminal follow in rows without numbers."""
    columns = [Column("topic"), Column("npmi", strong=True), Column("stable"), Column("again"), Column("docs")]
    rows: list[list[Any]] = [
        [
            topic.number,
            None if topic.coherence is None else f"{topic.coherence:.3f}",
            None if topic.stability is None else f"{topic.stability:.2f}",
            None if topic.again is None else f"{topic.again} of {found.others}",
            topic.size,
        ]
        for topic in found.topics
    ]
    if not found.others:
        columns, rows = [*columns[:2], columns[-1]], [[*row[:2], row[-1]] for row in rows]
    taken = sum(max(len(column.name), *(len(str(row[i])) for row in rows)) + 2 for i, column in enumerate(columns))
    left = None if width is None else max(width - taken, _NARROWEST)
    lines: list[list[Any]] = []
    for topic, row in zip(found.topics, rows, strict=True):
        first, *others = _wrapped([one_line(word) for word, _ in topic.words[:top]], left)
        lines += [[*row, first], *([*[None] * len(row), other] for other in others)]
    return Sheet([*columns, Column("top words", right=False)], lines)


def notes(found: TrialTopics) -> list[str]:
    """What the columns mean, and what the topics were scored on."""
    told = ["npmi: of the top 10 words. docs: training documents in which the topic is the strongest."]
    if found.others:
        several = found.others > 1
        which = f"each of the {found.others} other seeds" if several else "the other seed"
        told.append(
            f"stable: the mean share of a topic's top {COMPARED} words that its match in {which} has. again: "
            f"{'in how many of them' if several else '1 of 1 if'} at least {COMPARED * AGAIN:.0f} of the {COMPARED} "
            "words come again."
        )
    else:
        told.append("One seed: which topics come again is not known. More seeds tell it.")
    return [*told, *([f"Scored on {found.scored_on}."] if found.scored_on else [])]


def _wrapped(words: Sequence[str], width: int | None) -> list[str]:
    """The words with commas between, in as many lines as they need; one line without a width."""
    lines: list[str] = []
    for place, word in enumerate(words):
        shown = word if place == len(words) - 1 else f"{word},"
        longer = f"{lines[-1]} {shown}" if lines else shown
        if lines and (width is None or display_width(longer) <= width):
            lines[-1] = longer
        else:
            # Two columns for each character, as a Chinese one takes.
            lines.append(shown if width is None or display_width(shown) <= width else f"{shown[: width // 2]}…")
    return lines or [""]


def _beginning(text: str, width: int | None) -> str:
    """As many of the words of a text as fit in a line; cut marks follow if some do not."""
    shown = [one_line(word) for word in text.split()]
    if width is None:
        return " ".join(shown)
    line = ""
    for place, word in enumerate(shown):
        longer = f"{line} {word}" if line else word
        if display_width(longer) + (2 if place < len(shown) - 1 else 0) > width:
            return f"{line} …" if line else f"{word[: width // 2]}…"
        line = longer
    return line


def _flat(topic: Topic, top: int, _: Mapping[str, str]) -> list[Any]:
    words = topic.words[:top]
    return [
        ", ".join(word for word, _ in words),
        " ".join(repr(weight) for _, weight in words),
        ", ".join(topic.documents),
    ]


def _nested(topic: Topic, top: int, texts: Mapping[str, str]) -> list[Any]:
    words = [{"word": word, "weight": weight if isfinite(weight) else None} for word, weight in topic.words[:top]]
    return [words, [{"id": one, "text": texts.get(one)} for one in topic.documents]]
