"""When each trial ran, and where: a bar from its start to its end, in a lane of its host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import altair as alt

from core.errors import counted
from jobs.charts.configurations import Key
from jobs.charts.look import (
    ACCENT,
    CARD,
    CROWD,
    KEPT,
    OTHER,
    PURPLE,
    SOFT,
    TELL,
    by_legend,
    cut,
    declared,
    in_full,
    opacity,
    picked,
    rows,
)
from jobs.charts.runs import ChartedTrial
from jobs.present import tables

_LANE = 18
_LETTERS = 22
"""The most letters of a lane's name."""
_LABELLED = 40
"""With more lanes than this, they are thin and have no names."""
_ENDS = {"ok": ACCENT, "stopped": OTHER, "failed": PURPLE, "running": SOFT}
_SLACK = 500
"""Milliseconds that a trial may begin before the end of the one that it follows: clocks are not exact."""


def draw(found: Sequence[ChartedTrial], numbers: Mapping[Key, int]) -> dict[str, Any] | None:
    """A bar for each trial; trials that ran at the same time on a host lie in several lanes.

    Args:
        found: The trials; those without a time are left out.
        numbers: The number of each configuration among those that the page links.

    Returns:
        None if no trial has a time.
    """
    timed = [one for one in found if one.started and one.seconds is not None]
    if not timed:
        return None
    placed = lanes(timed)
    hosts = list(dict.fromkeys(one.host for one in timed))
    several = {host for host, lane in placed if lane}
    lane_of = sorted({*placed}, key=lambda one: (hosts.index(one[0]), one[1]))
    whole = [f"{host} {lane + 1}" if host in several else host for host, lane in lane_of]
    order = cut(whole, _LETTERS)
    labels = dict(zip(lane_of, order, strict=True))
    data = [
        {
            "lane": labels[place],
            "start": _milliseconds(one.started),
            "end": _milliseconds(one.started) + round(1000 * (one.seconds or 0.0)),
            "status": one.status,
            "c": numbers.get(one.configuration, 0),
            "told": [
                f"trial {one.trial}, seed {one.seed}",
                f"{one.status} after {tables.duration(one.seconds or 0.0)}",
                f"on {one.host or 'an unknown host'}",
            ],
        }
        for one, place in zip(timed, placed, strict=True)
        if one.started
    ]
    there = [one for one in _ENDS if any(run.status == one for run in timed)]
    step = _LANE if len(order) <= _LABELLED else max(2, _LANE * _LABELLED // len(order))
    axis = alt.Axis(labelLimit=150, ticks=False, grid=False) if len(order) <= _LABELLED else None
    chosen = by_legend("status")
    chart = alt.Chart(rows(data)).mark_bar(cornerRadius=2, stroke=CARD, strokeWidth=0.7, aria=False)
    chart = chart.encode(
        x=alt.X(
            "start:T", title="time (UTC)", scale=alt.Scale(type="utc"), axis=alt.Axis(grid=False, labelOverlap=True)
        ),
        x2=alt.X2("end:T"),
        y=alt.Y("lane:O", sort=order, title=None, axis=axis, scale=alt.Scale(domain=order)),
        color=alt.Color(
            "status:N",
            scale=alt.Scale(domain=there, range=[_ENDS[one] for one in there]),
            legend=alt.Legend(title=None) if len(there) > 1 else None,
        ),
        tooltip=TELL,
        opacity=opacity(0.85, KEPT, chosen),
    )
    words = f"{counted(len(data), 'trial')} over time, on {counted(len(hosts), 'host')}.{in_full(whole, order)}"
    return declared([chart.add_params(chosen)], max(step * len(order), 40), words, picked(), crowd=len(data) > CROWD)


def lanes(found: Sequence[ChartedTrial]) -> list[tuple[str, int]]:
    """The host of each trial, and its lane there: the first one that is free when it begins.

    Args:
        found: Trials with a time.
    """
    free: dict[str, list[float]] = {}
    placed: list[tuple[str, int]] = [("", 0)] * len(found)
    for place in sorted(range(len(found)), key=lambda one: (_milliseconds(found[one].started), one)):
        one = found[place]
        begin, ends = _milliseconds(one.started), free.setdefault(one.host, [])
        lane = next((i for i, end in enumerate(ends) if end <= begin + _SLACK), len(ends))
        ends[lane : lane + 1] = [begin + 1000 * (one.seconds or 0.0)]
        placed[place] = one.host, lane
    return placed


def _milliseconds(when: datetime | None) -> int:
    return round(when.timestamp() * 1000) if when else 0
