"""The part of the page on the effect of each parameter, from matched pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from core.errors import counted
from jobs.analysis.effect import Effect, PairedDifference
from jobs.analysis.intervals import FEWEST
from jobs.charts import effect, scatter
from jobs.present.effect import differences_sheet, labels
from jobs.present.leaderboard import Sheet
from jobs.present.tables import Column
from jobs.report import pieces, svg
from jobs.report.contents import Contents
from jobs.report.markup import Markup, join, tag
from jobs.report.svg import Scale

_WIDTH = 150.0
_ROWS = 12
_DRAWN = "95 % interval"
_EXPLAINED = """\
The compared trials are equal in everything else, also in seed and data. Triangle: better. Cross: worse. Circle: no
difference shown. Intervals are corrected for one parameter's comparisons (Bonferroni): a difference is shown where its
interval leaves out 0, the dotted line. All tables share one scale.
In the drawings, a thin line is one setting of the other parameters. The thick line is the mean of all settings that
have every value. Where the values are words, dots and diamonds stand for these lines, as words have no order. Without
diamonds, dots are trials whose other settings differ too, so they cannot be compared directly."""
_MARKS = {"better": "triangle", "worse": "worse"}


def effects(contents: Contents) -> Markup | None:
    """For every parameter that varies, a drawing of the metric over it and a table of its differences.

    Of several data sets, their options are left out: nobody varied these by themselves, and no score is compared.
    """
    trials = contents.trials
    found = [one for one in contents.effects if trials is None or not trials.goes_with_data(one.key)]
    if not found:
        return None
    keys = [one.key for one in found]
    names = own.by_key(keys) if (own := contents.labels.own) else labels(keys)
    places = _common_scale(found)
    explained = pieces.note(_EXPLAINED)
    return join([explained, *(_effect(one, names[one.key], places, contents) for one in found)])


def _common_scale(found: Sequence[Effect]) -> Scale:
    """A scale around zero for every mean difference; intervals are shown up to twice the largest one."""
    estimates = [one.estimate for each in found for one in each.differences if one.estimate]
    furthest = max((abs(one.mean) for one in estimates), default=0.0)
    ends = [abs(one.mean) + (one.half_width or 0.0) for one in estimates]
    reach = min(max(ends, default=0.0), 2 * furthest) or 1.0
    return svg.over([-reach, reach], 6, _WIDTH - 6)


def _effect(one: Effect, name: str, places: Scale, contents: Contents) -> Markup:
    if one.refusal:
        body = pieces.note(one.refusal)
    else:
        drawing = pieces.drawing(effect.draw(one, contents.labels)) if one.slices else _scatter(one, contents)
        body = tag("div", pieces.figure("", "", drawing), _differences(one, name, places), class_="pair")
    return join([tag("h3", name), body])


def _scatter(one: Effect, contents: Contents) -> Markup:
    """The trials of each data set, for a parameter without matched pairs."""
    found = [
        pieces.drawing(drawn[one.key])
        for _, board in contents.first
        if one.key in board.entries[0].params
        for drawn in [scatter.by_parameters(board, contents.by_configuration, [one.key], names=contents.labels)]
    ]
    return join(found) if found else pieces.note("No two trials are equal in everything else.")


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
