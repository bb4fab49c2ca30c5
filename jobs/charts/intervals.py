"""Means with their 95 % intervals, one below the other: the leaderboard, differences of values, shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from jobs.charts.look import (
    GREEN,
    INK,
    ROW,
    SOFT,
    TELL,
    MarkKind,
    broken,
    by_legend,
    declared,
    kinds,
    opacity,
    row_axis,
    rows,
    step,
)

_STEP = 24


@dataclass(frozen=True, slots=True)
class Row:
    """One mean.

    Attributes:
        name: Before the row.
        kind: The key of its mark.
        mean: The mean; None if it is unknown.
        low, high: The ends of its interval; None without one.
        text: Above the mark, or in place of it where the mean is unknown.
        told: Lines where the pointer is.
    """

    name: str
    kind: str
    mean: float | None
    low: float | None
    high: float | None
    text: str = ""
    told: Sequence[str] = ()


def intervals(
    found: Sequence[Row],
    marks: Mapping[str, MarkKind],
    title: str,
    words: str,
    *,
    zero: bool = False,
    shares: bool = False,
) -> dict[str, Any]:
    """A mark for each mean, with its interval as a line.

    Args:
        found: From the top.
        marks: The marks by key.
        title: Of the axis.
        words: The text alternative of the chart.
        zero: Whether a dotted line stands at zero.
        shares: Whether values are shares of a whole, from 0 to 1, drawn as bars in per cent.
    """
    names = broken([one.name for one in found], ROW)
    data = [
        {
            "name": name,
            "kind": marks[one.kind].words,
            "mean": one.mean,
            "low": one.mean if one.low is None else one.low,
            "high": one.mean if one.high is None else one.high,
            "text": one.text,
            "told": list(one.told),
        }
        for name, one in zip(names, found, strict=True)
    ]
    scale = alt.Scale(domain=[0, 1]) if shares else alt.Scale(zero=False)
    x = alt.X("mean:Q", title=title, scale=scale, axis=alt.Axis(format="%") if shares else alt.Axis(tickCount=6))
    y = alt.Y("name:N", sort=names, title=None, axis=row_axis())
    known = alt.Chart(rows([one for one in data if one["mean"] is not None])).encode(x=x, y=y)
    layers: list[alt.Chart] = []
    if zero:
        line = alt.Chart(rows([{"mean": 0.0}])).mark_rule(color=SOFT, strokeDash=[2, 3], aria=False)
        layers.append(line.encode(x=x))
    if shares:
        layers.append(known.mark_bar(height=10, color=GREEN, opacity=0.3, aria=False))
    there = {one.kind for one in found if one.mean is not None}
    chosen = by_legend("kind")
    seen = opacity(1, chosen) if len(there) > 1 else alt.OpacityValue(1)
    reach = known.mark_rule(color=SOFT, strokeWidth=2, strokeCap="round", aria=False)
    layers.append(reach.encode(x=alt.X("low:Q", title=title, scale=scale), x2=alt.X2("high:Q"), opacity=seen))
    points = known.mark_point(size=55, strokeWidth=1.5, aria=False)
    points = points.encode(tooltip=TELL, opacity=seen, **kinds(marks, there))
    layers.append(points.add_params(chosen) if len(there) > 1 else points)
    said = [one for one in data if one["text"]]
    if said:
        above = alt.Chart(rows([one for one in said if one["mean"] is not None])).mark_text(dy=-9, fontSize=10)
        layers.append(above.encode(x=x, y=y, text=alt.Text("text:N"), color=alt.ColorValue(INK)))
        # In the middle of the drawing: zero may be at its edge, where the names of the rows stand.
        beside = alt.Chart(rows([one for one in said if one["mean"] is None])).mark_text(fontSize=10.5, aria=False)
        layers.append(
            beside.encode(
                x=alt.XValue(alt.ExprRef("width / 2")), y=y, text=alt.Text("text:N"), color=alt.ColorValue(SOFT)
            )
        )
    return declared(layers, max(step(names, _STEP) * len(data), 2 * _STEP), words)
