"""Configurations or trials by two numbers: the Pareto front, scores by the consensus, scores by a parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from jobs.analysis.intervals import mean
from jobs.analysis.leaderboard import Entry, Leaderboard
from jobs.analysis.scores import CONSENSUS, metric_name
from jobs.analysis.trials import Trials
from jobs.charts.axis import Axis, axis
from jobs.charts.configurations import Key, describe, told, verdict
from jobs.charts.look import (
    ACCENT,
    GREEN,
    INK,
    KEPT,
    OTHER,
    PURPLE,
    SOFT,
    TELL,
    VERDICTS,
    Kind,
    by_legend,
    declared,
    kinds,
    opacity,
    picked,
    rows,
)
from jobs.present import tables
from jobs.present.effect import labels

_HEIGHT = 210
_NAMED = 8
FRONT = {
    "yes": Kind("on the Pareto front", GREEN, "square"),
    "tied": Kind("not shown to be off it", OTHER, "circle"),
    "unknown": Kind("too few seeds to tell", SOFT, "circle", is_filled=False),
    "no": Kind("shown to be off it", VERDICTS["worse"].colour, VERDICTS["worse"].shape),
    "broken": Kind("breaks a constraint", PURPLE, "triangle-up"),
}
"""The marks of a Pareto front."""
_TRIAL = {"trial": Kind("trial", ACCENT, "circle")}


def fronts(board: Leaderboard, start: int = 0) -> dict[str, dict[str, Any]]:
    """For each other metric of the Pareto front, the means of the first one by it; those on the front are named.

    Args:
        board: The leaderboard, with the aims of its study.
        start: Its first configuration has the number after this one among those that the page links.
    """
    names = [*board.aims.metrics]
    lines = told(board)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names[1:]}
    for entry, kind in ((one, _front(one)) for one in (*board.entries, *board.infeasible)):
        values = entry.standing.values
        if not kind or not all(values.get(one) for one in names):
            continue
        is_broken = kind == "broken"
        means = {name: mean(values[name]) for name in names}
        more = [f"{metric_name(name)} {means[name]:.4g}" for name in names]
        for name in names[1:]:
            found[name].append(
                {
                    "x": means[name],
                    "y": means[names[0]],
                    "kind": kind,
                    "c": 0 if is_broken else start + entry.rank,
                    # What breaks a constraint has no rank, so its parameters name it.
                    "name": describe(entry, board) if is_broken else f"#{entry.rank}",
                    "told": [describe(entry, board) if is_broken else lines[entry.rank - 1][0], *more],
                }
            )
    return {
        name: _scatter(
            points,
            FRONT,
            (metric_name(name), metric_name(names[0])),
            f"{metric_name(names[0])} by {metric_name(name)}, the means of {len(points)} configurations.",
            named={"yes", "broken"},
        )
        for name, points in found.items()
        if points
    }


def _front(entry: Entry) -> str:
    return "broken" if entry.standing.feasible is False else entry.standing.front


def consensus(board: Leaderboard, start: int = 0) -> dict[str, Any] | None:
    """The ranking metric by the consensus of label-free criteria; None with fewer than two configurations."""
    points = [
        {
            "x": entry.secondary[CONSENSUS].mean,
            "y": entry.score.mean,
            "kind": verdict(entry),
            "c": start + entry.rank,
            "name": f"#{entry.rank}",
            "told": [*lines, f"consensus {entry.secondary[CONSENSUS].mean:.3g}"],
        }
        for entry, lines in zip(board.entries, told(board), strict=True)
        if CONSENSUS in entry.secondary
    ]
    if len(points) < 2:
        return None
    name = metric_name(board.metric)
    words = f"{name} by the consensus of label-free criteria, {len(points)} configurations."
    return _scatter(points, VERDICTS, ("consensus of the label-free criteria", name), words, named={"best"})


def trials(
    key: str, found: Trials, keys: Sequence[tuple[Key, str]], ranks: Mapping[Key, int], *, brush: bool = False
) -> dict[str, Any]:
    """The metric of each trial by its value of a parameter.

    Args:
        key: The dotted key of the parameter.
        found: The trials.
        keys: For each trial, its configuration and its own key.
        ranks: The number of each configuration among those that the page links.
        brush: Whether dragging picks configurations in all linked charts.
    """
    factor = found.factors[key]
    names = labels(found.factors)
    along = axis([factor.levels[code] for code in factor.codes if code >= 0])
    name = metric_name(found.column)
    cells = {
        one: [tables.cell_text(level) for level in tables.numbers(each.levels)] for one, each in found.factors.items()
    }
    points = [
        {
            "x": along.cell(factor.levels[code]),
            "y": float(value),
            "kind": "trial",
            "c": ranks.get(configuration, 0),
            "told": [
                f"trial {trial}",
                f"{name} {value:.4g}",
                f"seed {tables.cell_text(found.seeds.levels[found.seeds.codes[row]])}",
                *(
                    f"{names[one]} {cells[one][each.codes[row]]}"
                    for one, each in found.factors.items()
                    if each.codes[row] >= 0
                ),
            ],
        }
        for row, (code, value, (configuration, trial)) in enumerate(zip(factor.codes, found.values, keys, strict=True))
        if code >= 0
    ]
    words = f"{name} by {names[key]}: {len(points)} trials."
    return _scatter(points, _TRIAL, (names[key], name), words, along=along, brush=brush)


def _scatter(
    points: Sequence[dict[str, Any]],
    marks: Mapping[str, Kind],
    titles: tuple[str, str],
    words: str,
    *,
    named: frozenset[str] | set[str] = frozenset(),
    along: Axis | None = None,
    brush: bool = False,
) -> dict[str, Any]:
    """A mark for each point; the first ones of the kinds `named` have their names beside them."""
    there = {one["kind"] for one in points}
    # The best lie above the others.
    data = [{**one, "kind": marks[one["kind"]].words} for one in reversed(points)]
    number = alt.X("x:Q", title=titles[0], scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5, grid=False))
    base = alt.Chart(rows(data)).encode(
        x=along.across("x", titles[0]) if along else number,
        y=alt.Y("y:Q", title=titles[1], scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5)),
    )
    chosen = by_legend("kind")
    drawn = base.mark_point(size=40 if len(points) <= 100 else 18, strokeWidth=1.4, aria=False).encode(
        tooltip=TELL, opacity=opacity(0.8, KEPT, *([chosen] if len(there) > 1 else [])), **kinds(marks, there)
    )
    drawn = drawn.add_params(chosen) if len(there) > 1 else drawn
    drawn = drawn.add_params(alt.selection_interval(name="brush", encodings=["x", "y"])) if brush else drawn
    layers = [drawn]
    names = [{"x": one["x"], "y": one["y"], "name": one["name"]} for one in points if one["kind"] in named][:_NAMED]
    if names:
        beside = alt.Chart(rows(names)).mark_text(align="left", dx=7, dy=-5, fontSize=10.5, color=INK, aria=False)
        layers.append(beside.encode(x="x:Q", y="y:Q", text="name:N"))
    return declared(layers, _HEIGHT, words, picked())
