"""A matrix of counts: the darker a cell, the larger its share of its row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from jobs.charts.look import ACCENT, INK, declared, plain, rows, tooltip

_STRONGEST = 0.55
"""The opacity of a cell that holds its whole row: its number can still be read on it, in light and in dark."""
_MOST_NUMBERS = 20
"""With more columns there is no room for numbers; the tooltip tells them."""


def matrix(
    counts: Sequence[Sequence[int]], down: Sequence[str], across: Sequence[str], titles: tuple[str, str], words: str
) -> dict[str, Any]:
    """A heat map of counts.

    Args:
        counts: (rows, columns), not negative.
        down: The name of each row, none of them twice.
        across: The name of each column, none of them twice.
        titles: What the rows and what the columns are.
        words: The text alternative of the chart.
    """
    sums = [max(sum(line), 1) for line in counts]
    found = [
        {"down": down[i], "across": across[j], "count": count, "share": count / sums[i]}
        for i, line in enumerate(counts)
        for j, count in enumerate(line)
    ]
    base = alt.Chart(rows(found)).encode(
        x=alt.X(
            "across:N", sort=None, title=plain(titles[1]), axis=alt.Axis(orient="top", labelAngle=0, labelOverlap=True)
        ),
        y=alt.Y("down:N", sort=None, title=plain(titles[0])),
    )
    opacity = alt.Opacity("share:Q", scale=alt.Scale(domain=[0, 1], range=[0, _STRONGEST]), legend=None)
    lines = [
        tooltip("down:N", titles[0]),
        tooltip("across:N", titles[1]),
        tooltip("count:Q", "samples"),
        tooltip("share:Q", "share of the row").format(".1%"),
    ]
    cells = base.mark_rect(fill=ACCENT, aria=False).encode(opacity=opacity, tooltip=lines)
    layers: list[alt.Chart] = [cells]
    if len(across) <= _MOST_NUMBERS:
        numbers = base.transform_filter("datum.count > 0").mark_text(color=INK, fontSize=11, aria=False)
        layers.append(numbers.encode(text=alt.Text("count:Q")))
    return declared(layers, max(22 * len(down), 60), words)
