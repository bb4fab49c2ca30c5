"""A map of samples: a point each, with a colour and a shape for its group, and the group's name at its middle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import altair as alt

from jobs.charts.look import CARD, INK, declared, group_colours, group_shapes, plain, rows, tooltip

_HEIGHT = 380
_MOST_IN_LEGEND = 40
_LABEL = 130
"""The most pixels of a name in the middle of its group."""


def points(
    places: Sequence[tuple[float, float]],
    groups: Sequence[str],
    *,
    signs: Mapping[str, int],
    told: Mapping[str, Sequence[str]],
    titles: tuple[str, str, str],
    words: str,
    below: str = "",
) -> dict[str, Any]:
    """A point for each sample.

    Args:
        places: Where each sample lies.
        groups: The group of each.
        signs: All groups in the order of the legend, each with a number that gives its colour and its shape.
        told: What else is told of each sample where the pointer is, by its title.
        titles: Of the two axes, and of the groups.
        words: The text alternative of the chart.
        below: A group that lies below all others, without a name at its middle.
    """
    found = [
        {"x": round(place[0], 3), "y": round(place[1], 3), "group": group, **dict(zip(_keys(told), more, strict=True))}
        for place, group, *more in zip(places, groups, *told.values(), strict=True)
    ]
    found.sort(key=lambda one: one["group"] != below)
    legend = None
    if len(signs) <= _MOST_IN_LEGEND:
        legend = alt.Legend(title=plain(titles[2]), symbolOpacity=1)
    base = alt.Chart(rows(found)).encode(
        x=alt.X("x:Q", title=plain(titles[0]), scale=alt.Scale(zero=False), axis=_bare()),
        y=alt.Y("y:Q", title=plain(titles[1]), scale=alt.Scale(zero=False), axis=_bare()),
    )
    lines = [
        tooltip("group:N", titles[2]),
        *(tooltip(f"{key}:N", title) for key, title in zip(_keys(told), told, strict=True)),
    ]
    drawn = base.mark_point(filled=True, size=26, opacity=0.65, aria=False).encode(
        color=alt.Color("group:N", scale=group_colours(signs), legend=legend),
        shape=alt.Shape("group:N", scale=group_shapes(signs), legend=legend),
        tooltip=lines,
    )
    # A second, thicker text in the colour of the page below each name keeps it readable over the points.
    middles = alt.Chart(rows([one for one in _middles(places, groups) if one["group"] != below])).encode(
        x=alt.X("x:Q"), y=alt.Y("y:Q"), text=alt.Text("group:N")
    )
    halo = middles.mark_text(
        fontSize=13, fontWeight="bold", stroke=CARD, strokeWidth=4, strokeJoin="round", limit=_LABEL
    )
    label = middles.mark_text(fontSize=13, fontWeight="bold", color=INK, limit=_LABEL)
    return declared([drawn, halo, label], _HEIGHT, words)


def _keys(told: Mapping[str, Sequence[str]]) -> list[str]:
    """Names for the columns of what is told, in which no letter is syntax of Vega-Lite."""
    return [f"told{place}" for place in range(len(told))]


def _bare() -> alt.Axis:
    """An axis without numbers: distances on a map have no unit."""
    return alt.Axis(labels=False, ticks=False, grid=False)


def _middles(places: Sequence[tuple[float, float]], groups: Sequence[str]) -> list[dict[str, Any]]:
    """The median place of each group."""
    by_group: dict[str, list[tuple[float, float]]] = {}
    for place, group in zip(places, groups, strict=True):
        by_group.setdefault(group, []).append(place)
    return [
        {"group": group, "x": median(x for x, _ in one), "y": median(y for _, y in one)}
        for group, one in by_group.items()
    ]
