"""Configurations or trials by two numbers: the Pareto front, scores by the consensus, scores by a parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import altair as alt

from core.errors import counted
from jobs.analysis.intervals import mean
from jobs.analysis.leaderboard import Entry, Leaderboard
from jobs.analysis.scores import CONSENSUS
from jobs.charts.axis import Axis, axis
from jobs.charts.configurations import Key, describe, key, parameter_names, told, verdict
from jobs.charts.look import (
    ACCENT,
    CROWD,
    GREEN,
    INK,
    KEPT,
    OTHER,
    PURPLE,
    SOFT,
    TELL,
    VERDICTS,
    MarkKind,
    by_legend,
    declared,
    kinds,
    opacity,
    picked,
    rows,
)
from jobs.charts.runs import ChartedTrial
from jobs.present.leaderboard import params_sheet
from jobs.present.names import USUAL, ShownNames

_HEIGHT = 210
_NAMED = 8
_Place = tuple[Literal["left", "right"], int, int]
_Box = tuple[float, float, float, float]
_BESIDE: tuple[_Place, ...] = (("left", 7, -5), ("right", -7, -5), ("left", 7, 8), ("right", -7, 8))
"""Where a name may stand beside its mark: its alignment, and how far it is from the mark, in pixels."""
_WIDTH = 320
"""About the pixels across a drawing."""
_LETTER = (6, 12)
"""About the width and the height of a letter, in pixels."""
FRONT = {
    "yes": MarkKind("on the Pareto front", GREEN, "square"),
    "tied": MarkKind("not shown to be off it", OTHER, "circle"),
    "unknown": MarkKind("too few seeds to tell", SOFT, "circle", is_filled=False),
    "no": MarkKind("shown to be off it", VERDICTS["worse"].colour, VERDICTS["worse"].shape),
    "broken": MarkKind("breaks a constraint", PURPLE, "triangle-up"),
}
"""The marks of a Pareto front."""
_TRIAL = {"trial": MarkKind("trial", ACCENT, "circle")}


def fronts(board: Leaderboard, start: int = 0, names: ShownNames = USUAL) -> dict[str, dict[str, Any]]:
    """For each other metric of the Pareto front, the means of the first one by it; those on the front are named.

    Args:
        board: The leaderboard, with the aims of its study.
        start: Its first configuration has the number after this one among those that the page links.
        names: How metrics, parameters, methods and data sets are called.
    """
    metrics = [*board.aims.metrics]
    called = {name: names.metric(name) for name in metrics}
    lines = told(board, names)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in metrics[1:]}
    for entry, kind in ((one, _front(one)) for one in (*board.entries, *board.infeasible)):
        values = entry.standing.values
        if not kind or not all(values.get(one) for one in metrics):
            continue
        is_broken = kind == "broken"
        means = {name: mean(values[name]) for name in metrics}
        more = [f"{called[name]} {means[name]:.4g}" for name in metrics]
        for name in metrics[1:]:
            found[name].append(
                {
                    "x": means[name],
                    "y": means[metrics[0]],
                    "kind": kind,
                    "c": 0 if is_broken else start + entry.rank,
                    # What breaks a constraint has no rank, so its parameters name it.
                    "name": describe(entry, board, names) if is_broken else f"#{entry.rank}",
                    "told": [describe(entry, board, names) if is_broken else lines[entry.rank - 1][0], *more],
                }
            )
    return {
        name: _scatter(
            points,
            FRONT,
            (called[name], called[metrics[0]]),
            f"{called[metrics[0]]} by {called[name]}, the means of {len(points)} configurations.",
            named={"yes", "broken"},
        )
        for name, points in found.items()
        if points
    }


def _front(entry: Entry) -> str:
    return "broken" if entry.standing.feasible is False else entry.standing.front


def consensus(board: Leaderboard, start: int = 0, names: ShownNames = USUAL) -> dict[str, Any] | None:
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
        for entry, lines in zip(board.entries, told(board, names), strict=True)
        if CONSENSUS in entry.secondary
    ]
    if len(points) < 2:
        return None
    name = names.metric(board.metric)
    words = f"{name} by the consensus of label-free criteria, {len(points)} configurations."
    return _scatter(points, VERDICTS, ("consensus of the label-free criteria", name), words, named={"best"})


def by_parameters(
    board: Leaderboard,
    found: Mapping[Key, Sequence[ChartedTrial]],
    keys: Sequence[str],
    start: int = 0,
    *,
    brush: bool = False,
    names: ShownNames = USUAL,
) -> dict[str, dict[str, Any]]:
    """The metric of each trial by its value of a parameter: a chart for each parameter, all of the same rows.

    Args:
        board: The leaderboard.
        found: The trials with a value, of each configuration.
        keys: The dotted keys of parameters that vary.
        start: Its first configuration has the number after this one among those that the page links.
        brush: Whether dragging picks configurations in all linked charts.
        names: How metrics, parameters, methods and data sets are called.
    """
    columns, called = params_sheet(board, names), parameter_names(board, names)
    axes = {one: axis(columns[one][0]) for one in keys}
    name = names.metric(board.metric)
    points = [
        {
            **{f"x{i}": axes[one].cell(columns[one][0][row]) for i, one in enumerate(keys)},
            "y": float(f"{run.value:.5g}"),
            "kind": "trial",
            "c": start + entry.rank,
            "told": [f"trial {run.trial} (#{entry.rank})", f"{name} {run.value:.4g}", f"seed {run.seed}", *params],
        }
        for row, (entry, params) in enumerate(zip(board.entries, _params(columns, called), strict=True))
        for run in found.get(key(entry), ())
        if run.value is not None
    ]
    return {
        one: _scatter(
            points,
            _TRIAL,
            (called[one], name),
            f"{name} by {called[one]}: {counted(len(points), 'trial')}.",
            along=(f"x{i}", axes[one]),
            brush=brush,
        )
        for i, one in enumerate(keys)
    }


def _params(columns: Mapping[str, tuple[list[Any], list[str]]], names: Mapping[str, str]) -> list[list[str]]:
    """For each configuration, its parameters in words."""
    return [
        [f"{names[one]} {text}" for one, text in zip(columns, texts, strict=True)]
        for texts in zip(*(texts for _, texts in columns.values()), strict=True)
    ]


def _scatter(
    points: Sequence[dict[str, Any]],
    marks: Mapping[str, MarkKind],
    titles: tuple[str, str],
    words: str,
    *,
    named: frozenset[str] | set[str] = frozenset(),
    along: tuple[str, Axis] | None = None,
    brush: bool = False,
) -> dict[str, Any]:
    """A mark for each point; the first ones of the kinds `named` have their names beside them."""
    there = {one["kind"] for one in points}
    # The best lie above the others.
    data = [{**one, "kind": marks[one["kind"]].words} for one in reversed(points)]
    number = alt.X("x:Q", title=titles[0], scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5, grid=False))
    base = alt.Chart(rows(data)).encode(
        x=along[1].across(along[0], titles[0]) if along else number,
        y=alt.Y("y:Q", title=titles[1], scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5)),
    )
    chosen = by_legend("kind")
    drawn = base.mark_point(size=40 if len(points) <= 100 else 18, strokeWidth=1.4, aria=False).encode(
        tooltip=TELL, opacity=opacity(0.8, KEPT, *([chosen] if len(there) > 1 else [])), **kinds(marks, there)
    )
    drawn = drawn.add_params(chosen) if len(there) > 1 else drawn
    drawn = drawn.add_params(alt.selection_interval(name="brush", encodings=["x", "y"])) if brush else drawn
    layers = [drawn]
    for (align, dx, dy), names in _labels(points, [one for one in points if one["kind"] in named][:_NAMED]).items():
        beside = alt.Chart(rows(names)).mark_text(align=align, dx=dx, dy=dy, fontSize=10.5, color=INK, aria=False)
        layers.append(beside.encode(x=alt.X("x:Q"), y=alt.Y("y:Q"), text=alt.Text("name:N")))
    return declared(layers, _HEIGHT, words, picked(), crowd=len(points) > CROWD)


def _labels(
    points: Sequence[Mapping[str, Any]], named: Sequence[Mapping[str, Any]]
) -> dict[_Place, list[dict[str, Any]]]:
    """The names of points by where they stand beside their marks, of `_BESIDE`, so that none is over another one.

    Each stands where it is over the fewest marks. One that has no free place is left out: the pointer tells it.
    """
    if not named:
        return {}
    xs, ys = _pixels([one["x"] for one in points], _WIDTH), _pixels([-one["y"] for one in points], _HEIGHT)
    marks = [(x - 4, y - 4, x + 4, y + 4) for x, y in zip(xs, ys, strict=True)]
    pixels = {id(one): (x, y) for one, x, y in zip(points, xs, ys, strict=True)}
    taken: list[_Box] = []
    found: dict[_Place, list[dict[str, Any]]] = {}
    for one in named:
        boxes = {place: _box(pixels[id(one)], place, len(one["name"])) for place in _BESIDE}
        free = [place for place, box in boxes.items() if not any(_meet(box, other) for other in taken)]
        if not free:
            continue
        best = min(free, key=lambda place: _covered(boxes[place], marks))
        taken.append(boxes[best])
        found.setdefault(best, []).append({name: one[name] for name in ("x", "y", "name")})
    return found


def _pixels(values: Sequence[float], room: int) -> list[float]:
    low, high = min(values), max(values)
    return [room * (one - low) / (high - low) if high > low else room / 2 for one in values]


def _box(at: tuple[float, float], place: _Place, letters: int) -> _Box:
    (x, y), (align, dx, dy), (wide, tall) = at, place, _LETTER
    start = x + dx - (letters * wide if align == "right" else 0)
    return start, y + dy - tall / 2, start + letters * wide, y + dy + tall / 2


def _meet(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _covered(box: _Box, marks: Sequence[_Box]) -> int:
    """How many marks a name would cover, and whether it would leave the drawing."""
    return sum(_meet(box, one) for one in marks) + (box[0] < 0 or box[2] > _WIDTH)
