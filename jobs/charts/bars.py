"""Bars from zero, one below the other, each with its name and its value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from jobs.charts.look import ACCENT, INK, OTHER, ROW, broken, declared, row_axis, rows, step, tooltip

_STEP = 20
_LETTER = 7
"""Pixels of a letter of the texts, at most."""


def bars(names: Sequence[str], values: Sequence[float], shown: Sequence[str], words: str) -> dict[str, Any]:
    """A bar for each name, from the top in the order given; those to the left of zero have another colour.

    Args:
        names: The names, none of them twice.
        values: The length of each bar, finite.
        shown: The text at the end of each bar.
        words: The text alternative of the chart.
    """
    rows_of = broken(names, ROW)
    found = [
        {"name": name, "value": float(value), "end": max(float(value), 0.0), "shown": text}
        for name, value, text in zip(rows_of, values, shown, strict=True)
    ]
    least, most = min([*values, 0.0]), max([*values, 0.0])
    # To the right there is room for the longest text. That of a bar to the left stands there too, beside zero, so that
    # none runs into the names.
    room = alt.ExprRef(f"max(width - {_LETTER * max(map(len, shown)) + 8}, width / 3)")
    scale = alt.Scale(domain=[least, most if most > least else least + 1], range=[0, room], nice=False)
    y = alt.Y("name:N", sort=None, title=None, axis=row_axis(domain=False))
    base = alt.Chart(rows(found)).encode(y=y)
    lines = [tooltip("name:N", "name"), tooltip("shown:N", "value")]
    colour = alt.condition("datum.value < 0", alt.value(OTHER), alt.value(ACCENT))
    drawn = base.mark_bar(height=12, cornerRadiusEnd=2).encode(
        x=alt.X("value:Q", scale=scale, axis=None), color=colour, tooltip=lines
    )
    texts = base.mark_text(align="left", dx=4, color=INK, fontSize=11.5).encode(
        x=alt.X("end:Q", scale=scale), text=alt.Text("shown:N")
    )
    return declared([drawn, texts], step(rows_of, _STEP) * len(found), words)
