"""The part of the page on the effect of each parameter, from matched pairs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from core.errors import counted
from jobs.analysis.effect import Effect, PairedDifference
from jobs.analysis.intervals import FEWEST
from jobs.analysis.scores import metric_name
from jobs.analysis.trials import Trials
from jobs.present import tables
from jobs.present.effect import differences_sheet, labels
from jobs.present.leaderboard import Sheet
from jobs.present.tables import Column
from jobs.report import pieces, scale, svg
from jobs.report.markup import Markup, join, tag
from jobs.report.scale import Axis, Scale

_WIDTH = 150.0
_PANEL = (380.0, 220.0)
_ROWS = 12
_SLICES = 150
_DRAWN = "95 % interval"
_EXPLAINED = """\
The compared trials are equal in everything else, also in seed and data. Triangle: better. Cross: worse. Circle: no
difference shown. Intervals are corrected for one parameter's comparisons (Bonferroni): a difference is shown where its
interval leaves out 0, the dotted line. All tables share one scale.
In the drawings, a thin line is one setting of the other parameters. The thick line is the mean of all settings that
have every value. Where the values are words, dots and diamonds stand for these lines, as words have no order. Without
diamonds, dots are trials whose other settings differ too, so they cannot be compared directly."""
_MARKS = {"better": "triangle", "worse": "worse"}


def effects(found: Sequence[Effect], trials: Trials | None) -> Markup | None:
    """For every parameter that varies, a drawing of the metric over it and a table of its differences."""
    if not found or trials is None:
        return None
    names = labels([one.key for one in found])
    places = _common_scale(found)
    explained = pieces.note(_EXPLAINED)
    return join([explained, *(_effect(one, names[one.key], places, trials) for one in found)])


def _common_scale(found: Sequence[Effect]) -> Scale:
    """A scale around zero for every mean difference; intervals are shown up to twice the largest one."""
    estimates = [one.estimate for each in found for one in each.differences if one.estimate]
    furthest = max((abs(one.mean) for one in estimates), default=0.0)
    ends = [abs(one.mean) + (one.half_width or 0.0) for one in estimates]
    reach = min(max(ends, default=0.0), 2 * furthest) or 1.0
    return scale.over([-reach, reach], 6, _WIDTH - 6)


def _effect(one: Effect, name: str, places: Scale, trials: Trials) -> Markup:
    if one.refusal:
        body = pieces.note(one.refusal)
    else:
        drawing = slopes(one, name) if one.slices else scatter(one, name, trials)
        body = tag("div", pieces.figure("", "", drawing), _differences(one, name, places), class_="pair")
    return join([tag("h3", name), body])


def _differences(one: Effect, name: str, places: Scale) -> Markup:
    shown = [each for each in one.differences if each.estimate] if len(one.differences) > _ROWS else one.differences
    hidden = len(one.differences) - len(shown[:_ROWS])
    remark = (
        pieces.note(
            f"{counted(hidden, 'more comparison')} of its {len(one.levels):,} values: "
            f"fewer than {FEWEST} matched pairs, "
            "or no room here."
        )
        if hidden
        else None
    )
    if not shown:
        return tag("div", remark)
    sheet = _with_pictures(replace(one, differences=tuple(shown[:_ROWS])), places)
    return tag("div", pieces.sheet_table(sheet, f"Differences of {name}", wrap=["verdict"], sortable=False), remark)


def _with_pictures(one: Effect, places: Scale) -> Sheet:
    sheet = differences_sheet(one)
    at = 1 + next(i for i, column in enumerate(sheet.columns) if column.strong)
    columns = [*sheet.columns[:at], Column(_DRAWN, right=False), *sheet.columns[at:]]
    rows: list[list[Any]] = [
        [*row[:at], _whisker(each, places), *row[at:]] for row, each in zip(sheet.rows, one.differences, strict=True)
    ]
    return Sheet(columns, rows, sheet.bold)


def _whisker(one: PairedDifference, places: Scale) -> Markup:
    """The mean difference and its interval on the common scale, with a line at zero."""
    zero, y = places.place(0.0), 10.0
    parts = [svg.line([(zero, 0.0), (zero, 2 * y)], "zero")]
    if one.estimate:
        half = one.estimate.half_width or 0.0
        ends = [min(max(one.estimate.mean + sign * half, places.low), places.high) for sign in (-1, 1)]
        parts.append(svg.line([(places.place(end), y) for end in ends], "whisker"))
        parts.append(svg.mark(_MARKS.get(one.verdict, "unknown"), places.place(one.estimate.mean), y))
    return svg.inline(_WIDTH, 2 * y, parts)


def slopes(one: Effect, name: str) -> Markup:
    """The metric over the parameter: a thin line for each setting of the others, a thick line for the matched mean."""
    x, y = _scales(one, [point.mean for each in one.slices for point in each.points])
    joined = scale.is_numeric([level.value for level in one.levels])
    settings = [
        [(x.places[point.value], y.place(point.mean)) for point in each.points] for each in one.slices[:_SLICES]
    ]
    matched = [(level.value, level.matched) for level in one.levels if level.matched is not None]
    label = f"{metric_name(one.column)} along {name}: {counted(len(settings), 'setting')} of the others"
    label += f", and the mean over {counted(one.blocks, 'complete block')}." if matched else "."
    lines = [svg.line(points, "many") for points in settings]
    many = (
        tag("g", lines, style=f"--faint-line:{0.45 if len(lines) <= 30 else 0.15}")
        if joined
        else svg.dots([point for points in settings for point in points])
    )
    return svg.drawing(*_PANEL, label, _frame(x, y, name), many, _matched(matched, x.places, y, joined=joined))


def scatter(one: Effect, name: str, trials: Trials) -> Markup:
    """The metric of each trial by its value of the parameter, for a parameter without matched pairs."""
    factor = trials.factors[one.key]
    found = [(factor.levels[code], value) for code, value in zip(factor.codes, trials.values, strict=True) if code >= 0]
    x, y = _scales(one, [value for _, value in found])
    label = f"{metric_name(one.column)} by {name}: {counted(len(found), 'trial')}, whose other settings differ too."
    shift = itertools.cycle((0.0, -6.0, 6.0, -3.0, 3.0) if len(x.places) <= scale.FEW else (0.0,))
    dots = [(x.places[level] + move, y.place(float(value))) for (level, value), move in zip(found, shift, strict=False)]
    return svg.drawing(*_PANEL, label, _frame(x, y, name), svg.dots(dots))


def _scales(one: Effect, values: Sequence[float]) -> tuple[Axis, Scale]:
    levels = [level.value for level in one.levels]
    texts = dict(zip(levels, map(tables.cell_text, tables.numbers(levels)), strict=True))
    return scale.axis(levels, 78, _PANEL[0] - 34, texts), scale.over(values, _PANEL[1] - 42, 10)


def _frame(x: Axis, y: Scale, name: str) -> list[Markup]:
    width, height = _PANEL
    ticks = [svg.text(place, height - 26, value, "middle", "tick") for place, value in x.labels]
    return [svg.y_axis(y, 52, width - 18), *ticks, svg.text(width / 2 + 17, height - 8, name, "middle", "label")]


def _matched(found: Sequence[tuple[Any, float]], x: Mapping[Any, float], y: Scale, *, joined: bool) -> list[Markup]:
    points = [(x[value], y.place(mean)) for value, mean in found]
    line = [svg.line(points, "curve best")] if points and joined else []
    return [*line, *(svg.mark("best", *point) for point in points)]
