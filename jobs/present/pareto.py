"""The columns of a leaderboard on the Pareto front and the constraints of its study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jobs.analysis.estimates import Score, score
from jobs.analysis.leaderboard import Entry, Leaderboard
from jobs.analysis.scores import bounds, metric_name
from jobs.present.tables import Column

_FRONT = {"yes": "yes", "tied": "=", "unknown": "?", "no": "", "": ""}


def goals(board: Leaderboard, entries: Sequence[Entry]) -> dict[str, list[Score | None]]:
    """The metrics of the front by the name to show, without the one that ranks; None where an entry has no value."""
    names = [name for name in board.aims.metrics if metric_name(name) != metric_name(board.metric)]
    found = {name: [entry.standing.values.get(name) for entry in entries] for name in names}
    return {
        metric_name(name): [score(one, bounds(name)) if one else None for one in values]
        for name, values in found.items()
    }


def columns(
    board: Leaderboard, entries: Sequence[Entry], called: Callable[[str], str]
) -> list[tuple[Column, list[Any]]]:
    """The columns for people: the metrics of the front by their names, and whether a configuration is on it."""
    if not board.aims.metrics:
        return []
    told = [
        (Column(called(name), right=False), [one.text if one else "" for one in scores])
        for name, scores in goals(board, entries).items()
    ]
    return [*told, (Column("front", right=False), [_FRONT[entry.standing.front] for entry in entries])]


def exact_columns(board: Leaderboard, entries: Sequence[Entry]) -> list[tuple[Column, list[Any]]]:
    """The columns for CSV and JSON, where there are constraints or a front."""
    found: list[tuple[Column, list[Any]]] = []
    if board.aims.limits:
        found.append((Column("feasible"), [entry.standing.feasible for entry in entries]))
    if board.aims.metrics:
        found.append((Column("front"), [entry.standing.front or None for entry in entries]))
    return found
