"""The drawings of a report: ranks, parallel coordinates, learning curves, signals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jobs.analysis.intervals import mean
from jobs.analysis.leaderboard import Entry, Leaderboard
from jobs.analysis.scores import CONSENSUS, metric_name
from jobs.health.curves import Curve
from jobs.present.leaderboard import params_sheet
from jobs.report import scale, svg
from jobs.report.markup import Markup, join, tag
from jobs.report.scale import Scale

Key = tuple[str, str]
Curves = Mapping[Key, Curve]

_STYLES = ("best", "tied", "square", "triangle")
"""Marks of the first configurations' curves; the style sheet has a colour and a dash pattern for each."""
_PANEL = (380.0, 250.0)
_CROWD = 100
"""With more configurations than this, their lines are drawn fainter."""
_BACKGROUND = 16
"""The most points of a faint background line."""


def key(entry: Entry) -> Key:
    """The key of a configuration: its study and its `config_key`."""
    return entry.study, entry.config_key


def verdict(entry: Entry) -> str:
    """The mark of a configuration compared with the best: `best`, `tied`, `worse` or `unknown`."""
    if entry.rank == 1:
        return "best"
    return {True: "tied", False: "worse", None: "unknown"}[entry.tied]


# Beside the rows of the leaderboard


def interval_scale(board: Leaderboard, width: float) -> Scale:
    """A scale from the lowest to the highest trial; intervals of few seeds may reach far beyond and are cut."""
    ends = [end for entry in board.entries for end in (entry.minimum, entry.maximum)]
    return scale.over(ends, 6, width - 6)


def interval(entry: Entry, best: Entry, places: Scale, width: float) -> Markup:
    """One row's mean and 95 % interval, drawn over the best one's interval as a strip."""
    height = 20.0
    left, right = _ends(best, places)
    parts = [
        tag("rect", class_="strip", x=left, y=0.0, width=right - left, height=height),
        _whisker(entry, places, height / 2),
        svg.mark(verdict(entry), places.place(entry.score.mean), height / 2),
    ]
    return svg.inline(width, height, parts)


def _ends(entry: Entry, places: Scale) -> tuple[float, float]:
    score = entry.score
    ends = [places.place(score.mean if one is None else one) for one in (score.low, score.high)]
    return max(ends[0], places.start - 6), min(ends[1], places.end + 6)


def _whisker(entry: Entry, places: Scale, y: float) -> Markup | None:
    if entry.score.half_width is None:
        return None
    left, right = _ends(entry, places)
    return svg.line([(left, y), (right, y)], "whisker")


# Parallel coordinates


def parallel(board: Leaderboard) -> Markup:
    """Each configuration as a line from its parameters to its score."""
    columns = params_sheet(board)
    gap, top, bottom = min(max(900 / len(columns), 130.0), 230.0), 52.0, 340.0
    width = gap * len(columns) + 150
    xs = [70 + gap * i for i in range(len(columns) + 1)]
    score = scale.over([entry.score.mean for entry in board.entries], bottom, top, margin=0.02)
    axes = [
        scale.axis(values, bottom - 14, top + 14, dict(zip(values, texts, strict=True)))
        for values, texts in columns.values()
    ]
    heights = [_spread(one, values, score) for one, (values, _) in zip(axes, columns.values(), strict=True)]
    heights.append([score.place(entry.score.mean) for entry in board.entries])
    lines = [
        _configuration(entry, list(zip(xs, ys, strict=True)), score, crowded=len(board.entries) > _CROWD)
        for entry, *ys in zip(board.entries, *heights, strict=True)
    ]
    labels = [
        _vertical(x, name, one.labels, (top, bottom), raised=i % 2)
        for i, (x, name, one) in enumerate(zip(xs, columns, axes, strict=False))
    ]
    ticks = [(score.place(value), scale.short(value)) for value in score.ticks()]
    name = metric_name(board.metric)
    labels.append(_vertical(xs[-1], name, ticks, (top, bottom), raised=len(columns) % 2, side=1))
    title = f"Parallel coordinates: {len(board.entries)} configurations from their parameters to {name}."
    return svg.drawing(width, bottom + 20, title, reversed(lines), labels, class_="chart parallel", wide=True)


def _spread(one: scale.Axis, values: Sequence[Any], score: Scale) -> list[float]:
    """Positions on an axis; with few values, lines through the same value are spread, the better ones above."""
    if len(one.places) > scale.FEW:
        return [one.places[value] for value in values]
    room = 0.6 * min((score.start - score.end) / max(len(one.places), 1), 60.0)
    found = [0.0] * len(values)
    for value, place in one.places.items():
        rows = [i for i, other in enumerate(values) if other == value and (other is None) == (value is None)]
        for position, row in enumerate(rows):
            found[row] = place + room * ((position + 0.5) / len(rows) - 0.5)
    return found


def _configuration(entry: Entry, points: Sequence[svg.Point], score: Scale, *, crowded: bool) -> Markup:
    share = (score.start - points[-1][1]) / (score.start - score.end)
    kind = verdict(entry)
    strength = 0.05 + 0.7 * share**6 if crowded else 0.2 + 0.6 * share
    opacity = None if kind == "best" else f"{strength:.2f}"
    return join(
        [
            svg.line(points, f"run {kind}", data_c=str(entry.rank), stroke_opacity=opacity),
            svg.mark("best", *points[-1]) if kind == "best" else None,
        ]
    )


def _vertical(
    x: float, name: str, labels: Iterable[tuple[float, str]], ends: tuple[float, float], *, raised: int, side: int = -1
) -> Markup:
    """A vertical axis with its values at the left (-1) or the right (1); `raised` names leave room for others."""
    anchor = "end" if side < 0 else "start"
    return join(
        [
            tag("path", class_="axis", d=f"M{x:.0f} {ends[0]:.0f}V{ends[1]:.0f}"),
            svg.text(x, ends[0] - 14 - 17 * raised, name, "middle", "label"),
            *(svg.text(x + 8 * side, y + 4, value, anchor, "tick halo") for y, value in labels),
        ]
    )


# Learning curves


def overview(curves: Curves, board: Leaderboard, metric: str) -> Markup:
    """The mean curves of all configurations; the first ones of the leaderboard are marked."""
    order = [entry for entry in board.entries if key(entry) in curves]
    shown = [curves[key(entry)] for entry in order]
    x, y = _panel_scales(shown, [value for one in shown for value in one.means])
    many = [
        svg.line(_points(one.epochs, one.means, x, y, _BACKGROUND), "many", data_c=str(entry.rank))
        for entry, one in zip(order, shown, strict=True)
    ]
    first = list(zip(order, shown, _STYLES, strict=False))
    title = f"Learning curves, {metric}: the mean over the seeds of {len(order)} configurations."
    faint = f"--faint-line:{0.3 if len(order) <= _CROWD else 0.07}"
    return svg.drawing(*_PANEL, title, _axes(x, y), tag("g", many, style=faint), _first(first, x, y))


def _first(first: Sequence[tuple[Entry, Curve, str]], x: Scale, y: Scale) -> list[Markup]:
    """The lines of the first configurations, each ending in a mark and the rank."""
    lines = [svg.line(_points(one.epochs, one.means, x, y), f"curve {style}") for _, one, style in reversed(first)]
    ends = [(x.place(one.epochs[-1]), y.place(one.means[-1])) for _, one, _ in first]
    labels = svg.apart([y_end for _, y_end in ends], 13, y.start - 4)
    marks = [
        join([svg.mark(style, *end), svg.text(end[0] + 8, label + 4, f"#{entry.rank}", class_="tick")])
        for (entry, _, style), end, label in zip(first, ends, labels, strict=True)
    ]
    return [*lines, *marks]


def seeds(curve: Curve, reference: Curve, name: str, metric: str, bounds: Sequence[float]) -> Markup:
    """One configuration: its seeds, their mean with the 95 % band, and the best one's mean as a dotted line."""
    x, y = _panel_scales([curve, reference], bounds)
    parts = [svg.line(_points(reference.epochs, reference.means, x, y), "reference")] if curve != reference else []
    if curve.half_widths:
        parts.append(svg.band(*_band(curve, x, y)))
    parts += [svg.line(_points(curve.epochs, values, x, y), "seed") for _, values in curve.seeds]
    parts.append(svg.line(_points(curve.epochs, curve.means, x, y), "curve best"))
    n = len(curve.seeds)
    title = f"{name}: {metric} of {n} {'seed' if n == 1 else 'seeds'}, their mean and its 95 % interval."
    return svg.drawing(*_PANEL, title, _axes(x, y), parts)


def seed_bounds(curves: Iterable[Curve]) -> list[float]:
    """The lowest and the highest value of all seeds, for a common scale of several drawings."""
    values = [value for one in curves for _, row in one.seeds for value in row]
    return [min(values), max(values)]


def _band(curve: Curve, x: Scale, y: Scale) -> tuple[list[svg.Point], list[svg.Point]]:
    """Both edges of the band, cut off at the limits of the drawing."""
    edges: list[list[svg.Point]] = []
    for sign in (1, -1):
        values = [mean + sign * half for mean, half in zip(curve.means, curve.half_widths, strict=True)]
        cut = [min(max(value, y.low), y.high) for value in values]
        edges.append(_points(curve.epochs, cut, x, y))
    return edges[0], edges[1]


def _panel_scales(shown: Sequence[Curve], values: Sequence[float]) -> tuple[Scale, Scale]:
    width, height = _PANEL
    epochs = [epoch for one in shown for epoch in (one.epochs[0], one.epochs[-1])]
    x = scale.over([*epochs], 52, width - 34, margin=0.02)
    return x, scale.over(values, height - 42, 12)


def _axes(x: Scale, y: Scale) -> Markup:
    return join([svg.y_axis(y, x.start, x.end), svg.x_axis(x, y.start, "epoch")])


def _points(
    epochs: Sequence[int], values: Sequence[float], x: Scale, y: Scale, most: int | None = None
) -> list[svg.Point]:
    n = len(epochs)
    rows = range(n) if most is None or n <= most else [round(i * (n - 1) / (most - 1)) for i in range(most)]
    return [(x.place(epochs[row]), y.place(values[row])) for row in rows]


# Distributions


def signal(name: str, values: Mapping[Key, float], board: Leaderboard | None) -> Markup:
    """A label-free signal: a dot for the mean of each configuration, and a mark for the best configuration."""
    width, y = 340.0, 26.0
    x = scale.over(values.values(), 14, width - 14)
    found = [(x.place(value), y + 5 * (i % 3 - 1)) for i, value in enumerate(values.values())]
    best = values.get(key(board.entries[0])) if board else None
    marks = [] if best is None else [svg.mark("best", x.place(best), y)]
    ticks = [(x.place(value), scale.short(value)) for value in x.ticks(4)]
    return svg.drawing(
        width,
        62,
        f"{name}: {len(values)} configurations.",
        tag("path", class_="axis", d=f"M{x.start:.0f} 40H{x.end:.0f}"),
        [svg.text(place, 55, value, "middle", "tick") for place, value in ticks],
        svg.dots(found),
        marks,
    )


FRONT = {
    "square": "on the Pareto front",
    "tied": "not shown to be off it (disc), or too few seeds to show it (ring)",
    "worse": "shown to be off it",
    "triangle": "breaks a constraint",
}
"""The marks of `pareto` and what they mean."""
_FRONT_MARKS = {"yes": "square", "tied": "tied", "unknown": "unknown", "no": "worse"}
_RANKS = 8
FrontPoints = list[tuple[Entry, str, tuple[float, float]]]
"""Configurations with their mark, and the means of another metric of the Pareto front and of the first one."""


def front_points(board: Leaderboard) -> dict[str, FrontPoints]:
    """For each other metric of the Pareto front, the configurations."""
    names = [*board.aims.metrics]
    found: dict[str, FrontPoints] = {name: [] for name in names[1:]}
    for entry in (*board.entries, *board.infeasible):
        kind = "triangle" if entry.standing.feasible is False else _FRONT_MARKS.get(entry.standing.front)
        values = entry.standing.values
        for name in names[1:] if kind and all(values.get(one) for one in names) else ():
            found[name].append((entry, str(kind), (mean(values[name]), mean(values[names[0]]))))
    return {name: points for name, points in found.items() if points}


def pareto(found: FrontPoints, names: tuple[str, str]) -> Markup:
    """The configurations by two metrics of the Pareto front; the first ones on it have their ranks."""
    width, height = _PANEL
    x = scale.over([place[0] for _, _, place in found], 52, width - 24)
    y = scale.over([place[1] for _, _, place in found], height - 42, 12)
    drawn = [(entry, kind, (x.place(place[0]), y.place(place[1]))) for entry, kind, place in found]
    labelled = [(entry, at) for entry, kind, at in drawn if kind == "square"][:_RANKS]
    return svg.drawing(
        width,
        height,
        f"{names[1]} by {names[0]}, the means of {len(found)} configurations.",
        svg.y_axis(y, x.start, x.end),
        svg.x_axis(x, y.start, names[0]),
        [svg.mark(kind, *at) for _, kind, at in reversed(drawn)],
        [svg.text(at[0] + 7, at[1] - 5, f"#{entry.rank}", class_="tick") for entry, at in labelled],
    )


def against_consensus(board: Leaderboard) -> Markup | None:
    """The ranking metric against the consensus of label-free criteria, one dot per configuration."""
    known = [entry for entry in board.entries if CONSENSUS in entry.secondary]
    if len(known) < 3:
        return None
    width, height = _PANEL
    x = scale.over([entry.secondary[CONSENSUS].mean for entry in known], 52, width - 20)
    y = scale.over([entry.score.mean for entry in known], height - 42, 12)
    points = {entry.rank: (x.place(entry.secondary[CONSENSUS].mean), y.place(entry.score.mean)) for entry in known}
    name = metric_name(board.metric)
    return svg.drawing(
        width,
        height,
        f"Consensus of label-free criteria and {name}, {len(known)} configurations.",
        svg.y_axis(y, x.start, x.end),
        svg.x_axis(x, y.start, "consensus"),
        svg.dots(points.values()),
        [svg.mark("best", *points[1]), svg.text(points[1][0] - 9, points[1][1] + 4, "#1", "end", "tick")]
        if 1 in points
        else None,
    )
