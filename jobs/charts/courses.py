"""The course of a score or signal over the epochs: a line for each trial, with a mark at its end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from jobs.charts.look import LEGEND, PALETTE, SHAPES, broken, declared, epoch_axis, long_legend, plain, rows, tooltip

_HEIGHT = 190
POINTS = 150
"""The most epochs of a line; a chart of some hundred pixels shows no more."""


def courses(
    lines: Mapping[str, Mapping[str, Sequence[tuple[int, float]]]], title: str, words: str, *, log: bool = False
) -> dict[str, Any]:
    """A line for each trial; where a trial has several, all but the first are dashed.

    Args:
        lines: By trial and by name of the signal, (epoch, value); what is not finite is left out, and of a logarithmic
            axis what is not above zero. All trials stand in the legend in this order.
        title: Of the axis of values.
        words: The text alternative of the chart.
        log: Whether the axis of values is logarithmic.
    """
    names, parts = broken(list(lines), LEGEND), list(dict.fromkeys(part for one in lines.values() for part in one))
    found = [
        {"trial": name, "signal": part, "epoch": epoch, "value": value, "shown": f"{value:.4g}"}
        for name, one in zip(names, lines.values(), strict=True)
        for part, series in one.items()
        for epoch, value in thinned([(e, v) for e, v in series if math.isfinite(v) and (v > 0 or not log)])
    ]
    colour = alt.Scale(domain=names, range=[PALETTE[place % len(PALETTE)] for place in range(len(names))])
    shape = alt.Scale(domain=names, range=[SHAPES[place % len(SHAPES)] for place in range(len(names))])
    dash = alt.Scale(domain=parts, range=[[1, 0], *[[5, 3]] * (len(parts) - 1)])
    scale = alt.Scale(type="log") if log else alt.Scale(zero=False)
    legend = long_legend()
    dashes = alt.Legend(title=None, columns=2, labelLimit=200, orient="top") if len(parts) > 1 else None
    told = {"trial:N": "trial", "signal:N": "signal", "epoch:Q": "epoch", "shown:N": "value"}
    base = alt.Chart(rows(found)).encode(
        x=alt.X("epoch:Q", title=plain("epoch"), axis=epoch_axis()),
        y=alt.Y("value:Q", title=plain(title), scale=scale),
        color=alt.Color("trial:N", scale=colour, legend=legend),
        tooltip=[tooltip(*one) for one in told.items()],
    )
    drawn = base.mark_line(strokeWidth=1.6).encode(
        strokeDash=alt.StrokeDash("signal:N", scale=dash, legend=dashes), detail=["trial:N", "signal:N"]
    )
    ends = {(one["trial"], one["signal"]): one for one in found}
    marks = base.mark_point(filled=True, size=42, opacity=1).encode(
        shape=alt.Shape("trial:N", scale=shape, legend=legend)
    )
    marks.data = rows(list(ends.values()))
    return declared([drawn, marks], _HEIGHT, words)


def thinned(series: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most `POINTS` of the pairs, evenly spread, with the first and the last."""
    if len(series) <= POINTS:
        return list(series)
    return [series[round(i * (len(series) - 1) / (POINTS - 1))] for i in range(POINTS)]
