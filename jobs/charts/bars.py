"""Bars from zero, one below the other, each with its name and its value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from jobs.charts.look import ACCENT, INK, OTHER, declared, rows

_STEP = 20


def bars(names: Sequence[str], values: Sequence[float], shown: Sequence[str], words: str) -> dict[str, Any]:
    """A bar for each name, from the top in the order given; those to the left of zero have another colour.

    Args:
        names: The names, none of them twice.
        values: The length of each bar, finite.
        shown: The text at the end of each bar.
        words: The text alternative of the chart.
    """
    found = [
        {"name": name, "value": float(value), "shown": text}
        for name, value, text in zip(names, values, shown, strict=True)
    ]
    least, most = min([*values, 0.0]), max([*values, 0.0])
    room = 0.3 * (most - least or 1.0)  # For the texts, which stand beyond the ends of the bars.
    scale = alt.Scale(domain=[least - room if least < 0 else 0, most + room if most > 0 else 0], nice=False, zero=True)
    y = alt.Y("name:N", sort=None, title=None, axis=alt.Axis(ticks=False, domain=False, labelColor=INK))
    base = alt.Chart(rows(found)).encode(y=y)
    tooltip = [alt.Tooltip("name:N", title="name"), alt.Tooltip("shown:N", title="value")]
    colour = alt.condition("datum.value < 0", alt.value(OTHER), alt.value(ACCENT))
    drawn = base.mark_bar(height=12, cornerRadiusEnd=2).encode(
        x=alt.X("value:Q", scale=scale, axis=None), color=colour, tooltip=tooltip
    )
    right = base.transform_filter("datum.value >= 0").mark_text(align="left", dx=4, color=INK, fontSize=11.5)
    left = base.transform_filter("datum.value < 0").mark_text(align="right", dx=-4, color=INK, fontSize=11.5)
    layers = [drawn, *(one.encode(x=alt.X("value:Q", scale=scale), text="shown:N") for one in (right, left))]
    return declared(layers, _STEP * len(found), words)
