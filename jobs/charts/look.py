"""How all charts look: colours of the page's style sheet, which knows light and dark, and shapes beside colours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

_STYLE = "var(--{})".format
INK, SOFT, FAINT, CARD, ACCENT, OTHER = map(_STYLE, ("ink", "soft", "faint", "card", "best", "tied"))
"""Colours of the style sheet. A browser resolves them in the drawing, so that it follows light and dark."""
PALETTE = tuple(_STYLE(f"group-{place}") for place in range(8))
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
"""Eight colours and seven shapes have no common divisor: 56 groups differ in one of the two."""
_FONT = "system-ui, sans-serif"


def rows(found: Sequence[Mapping[str, Any]]) -> alt.InlineData:
    """Rows of a chart as its data."""
    return alt.InlineData(values=[dict(one) for one in found])


def plain(title: str) -> str:
    """The title of an axis, a legend or a tooltip: Vega-Lite writes it into expressions, so it holds words alone.

    Raises:
        ValueError: It holds something else. A name from data is a value, never a title.
    """
    if not re.fullmatch(r"[\w ]+", title):
        raise ValueError(f"{title!r} cannot be the title of a chart")
    return title


def tooltip(field: str, title: str) -> alt.Tooltip:
    """A line of a tooltip."""
    return alt.Tooltip(field, title=plain(title))


def group_colours(signs: Mapping[str, int]) -> alt.Scale:
    """The colour of each group; groups with the same number have the same colour and shape."""
    return alt.Scale(domain=list(signs), range=[PALETTE[sign % len(PALETTE)] for sign in signs.values()])


def group_shapes(signs: Mapping[str, int]) -> alt.Scale:
    """The shape of each group, as in `group_colours`."""
    return alt.Scale(domain=list(signs), range=[SHAPES[sign % len(SHAPES)] for sign in signs.values()])


def declared(layers: Sequence[alt.Chart], height: int, words: str) -> dict[str, Any]:
    """A chart of some layers as Vega-Lite, in the look of all.

    Args:
        layers: The lowest first.
        height: Of the plot in pixels, without axes and legend; its width is that of the page.
        words: The text alternative.
    """
    chart = alt.LayerChart(layer=list(layers), height=height, width="container")
    chart = chart.properties(description=words, background="transparent")
    chart = chart.configure(font=_FONT, autosize=alt.AutoSizeParams(type="fit-x", contains="padding"))
    chart = chart.configure_view(stroke=None)
    chart = chart.configure_axis(
        labelColor=SOFT,
        titleColor=INK,
        gridColor=FAINT,
        domainColor=SOFT,
        tickColor=SOFT,
        labelFontSize=11.5,
        titleFontSize=12,
        titleFontWeight="normal",
        labelLimit=180,
    )
    chart = chart.configure_legend(
        labelColor=INK,
        titleColor=SOFT,
        labelFontSize=11.5,
        titleFontSize=12,
        labelLimit=160,
        orient="bottom",
        columns=4,
    )
    return chart.to_dict()
