"""Points along a line: the trials of each configuration, and a label-free signal of all configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from core.errors import counted
from jobs.analysis.leaderboard import Leaderboard
from jobs.charts.configurations import Key, describe, key
from jobs.charts.look import (
    ACCENT,
    CROWD,
    INK,
    KEPT,
    OTHER,
    ROW,
    SOFT,
    TELL,
    MarkKind,
    broken,
    by_legend,
    declared,
    kinds,
    opacity,
    picked,
    row_axis,
    rows,
    step,
)
from jobs.charts.runs import ChartedTrial
from jobs.present import tables
from jobs.present.names import USUAL, ShownNames

MOST = 40
"""The most configurations whose seeds are drawn."""
_STEP = 20
_SEEDS = {
    "ok": MarkKind("a seed", ACCENT, "circle"),
    "collapsed": MarkKind("a collapsed seed", OTHER, "triangle-down"),
}
_SIGNALS = {"best": MarkKind("best", ACCENT, "diamond"), "other": MarkKind("other", SOFT, "circle")}


def seeds(
    board: Leaderboard, found: Mapping[Key, Sequence[ChartedTrial]], start: int = 0, names: ShownNames = USUAL
) -> dict[str, Any]:
    """The trials of the first configurations as points, with their mean as a line; collapsed ones are marked.

    Args:
        board: The leaderboard.
        found: The trials with a value, of each configuration.
        start: Its first configuration has the number after this one among those that the page links.
        names: How metrics, parameters, methods and data sets are called.
    """
    some = [entry for entry in board.entries if found.get(key(entry))][:MOST]
    told = [f"#{entry.rank} {describe(entry, board, names)}" for entry in some]
    labels, name = broken(told, ROW), names.metric(board.metric)
    points = [
        {
            "name": label,
            "value": one.value,
            "kind": "collapsed" if one.is_collapsed else "ok",
            "c": start + entry.rank,
            "told": [
                line,
                f"trial {one.trial}",
                f"seed {tables.cell_text(one.seed)}",
                f"{name} {one.value:.4g}",
            ]
            + ["COLLAPSED"] * one.is_collapsed,
        }
        for label, line, entry in zip(labels, told, some, strict=True)
        for one in found[key(entry)]
    ]
    means = [{"name": label, "value": entry.score.mean} for label, entry in zip(labels, some, strict=True)]
    collapsed = sum(one["kind"] == "collapsed" for one in points)
    words = (
        f"{name} of {counted(len(points), 'trial')} of {counted(len(some), 'configuration')}, {collapsed} collapsed."
    )
    return _strips(points, means, _SEEDS, (name, labels), words)


def signal(
    of: str, values: Mapping[Key, float], board: Leaderboard | None, start: int = 0, names: ShownNames = USUAL
) -> dict[str, Any]:
    """A label-free signal: a point for the mean of each configuration; the best configuration is marked."""
    name = names.metric(of)
    numbers = {key(entry): entry.rank for entry in board.entries} if board else {}
    points = [
        {
            "name": "",
            "value": value,
            "kind": "best" if numbers.get(one) == 1 else "other",
            "c": start + numbers[one] if one in numbers else 0,
            "told": [f"#{numbers[one]}" if one in numbers else one[0], f"{name} {value:.4g}"],
        }
        for one, value in values.items()
    ]
    points.sort(key=lambda one: one["kind"] == "best")
    return _strips(points, [], _SIGNALS, (name, [""]), f"{name}: {counted(len(values), 'configuration')}.")


def _strips(
    points: Sequence[dict[str, Any]],
    means: Sequence[dict[str, Any]],
    marks: Mapping[str, MarkKind],
    titles: tuple[str, list[str]],
    words: str,
) -> dict[str, Any]:
    """Points in rows.

    Args:
        points: Each with the name of its row, value, kind, number and lines for the pointer.
        means: A short line in a row, each with name and value.
        marks: The kinds.
        titles: Of the axis of values, and the names of the rows from the top.
        words: The text alternative of the chart.
    """
    title, names = titles
    there = {one["kind"] for one in points}
    axis = row_axis(domain=False) if len(names) > 1 else None
    x = alt.X("value:Q", title=title, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5))
    y = alt.Y("name:N", sort=names, title=None, axis=axis)
    base = alt.Chart(rows([{**one, "kind": marks[one["kind"]].words} for one in points])).encode(x=x, y=y)
    chosen = by_legend("kind")
    drawn = base.mark_point(size=34, strokeWidth=1.3, aria=False).encode(
        tooltip=TELL,
        opacity=opacity(0.75, KEPT, *([chosen] if len(there) > 1 else [])),
        **kinds(marks, there, legend=len(names) > 1),
    )
    drawn = drawn.add_params(chosen) if len(there) > 1 else drawn
    layers = [drawn]
    if means:
        tick = alt.Chart(rows(means)).mark_tick(color=INK, thickness=2, size=14, aria=False)
        layers.insert(0, tick.encode(x=x, y=y))
    return declared(layers, max(step(names, _STEP) * len(names), 30), words, picked(), crowd=len(points) > CROWD)
