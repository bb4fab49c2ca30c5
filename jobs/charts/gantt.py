"""When each trial ran, and where: a bar from its start to its end, in a lane of its host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import altair as alt

from core.errors import counted
from jobs.charts.look import (
    ACCENT,
    KEPT,
    OTHER,
    PURPLE,
    SOFT,
    TELL,
    by_legend,
    declared,
    distinct,
    opacity,
    picked,
    rows,
)
from jobs.present import tables

_LANE = 18
_LABELLED = 40
"""With more lanes than this, they are thin and have no names."""
_ENDS = {"ok": ACCENT, "stopped": OTHER, "failed": PURPLE, "running": SOFT}
_SLACK = timedelta(seconds=0.5)
"""Clocks and the seconds of a row are not exact: a trial that begins so little before another ends follows it."""


@dataclass(frozen=True, slots=True)
class Run:
    """One trial in time.

    Attributes:
        c: The number of its configuration among those that the page links; 0 without one.
        host: Where it ran.
        status: `running`, `ok`, `stopped` or `failed`.
        started: When it began.
        seconds: How long it took.
        told: Lines where the pointer is.
    """

    c: int
    host: str
    status: str
    started: datetime
    seconds: float
    told: Sequence[str]


def draw(found: Sequence[Run]) -> dict[str, Any]:
    """A bar for each trial; trials that ran at the same time on a host lie in several lanes.

    Args:
        found: The trials, at least one.
    """
    placed = lanes(found)
    hosts = list(dict.fromkeys(one.host for one in found))
    names = {pair: f"{pair[0]} {pair[1] + 1}" if any(lane for host, lane in placed if host == pair[0]) else pair[0]
             for pair in sorted({*placed}, key=lambda one: (hosts.index(one[0]), one[1]))}  # fmt: skip
    order = distinct([*names.values()])
    labels = dict(zip(names, order, strict=True))
    data = [
        {
            "lane": labels[place],
            "start": _milliseconds(one.started),
            "end": _milliseconds(one.started) + round(1000 * one.seconds),
            "status": one.status,
            "c": one.c,
            "told": [*one.told, f"{one.status} after {tables.duration(one.seconds)}", f"on {one.host}"],
        }
        for one, place in zip(found, placed, strict=True)
    ]
    there = [one for one in _ENDS if any(run.status == one for run in found)]
    step = _LANE if len(order) <= _LABELLED else max(2, _LANE * _LABELLED // len(order))
    axis = alt.Axis(labelLimit=150, ticks=False, grid=False) if len(order) <= _LABELLED else None
    chosen = by_legend("status")
    chart = alt.Chart(rows(data)).mark_bar(cornerRadius=2, stroke="var(--card)", strokeWidth=0.7, aria=False)
    chart = chart.encode(
        x=alt.X(
            "start:T", title="time (UTC)", scale=alt.Scale(type="utc"), axis=alt.Axis(grid=False, labelOverlap=True)
        ),
        x2="end:T",
        y=alt.Y("lane:O", sort=order, title=None, axis=axis, scale=alt.Scale(domain=order)),
        color=alt.Color(
            "status:N",
            scale=alt.Scale(domain=there, range=[_ENDS[one] for one in there]),
            legend=alt.Legend(title=None) if len(there) > 1 else None,
        ),
        tooltip=TELL,
        opacity=opacity(0.85, KEPT, chosen),
    )
    words = (
        f"{counted(len(found), 'trial')} over time, on {counted(len(hosts), 'host')} and {counted(len(order), 'lane')}."
    )
    return declared([chart.add_params(chosen)], max(step * len(order), 40), words, picked())


def lanes(found: Sequence[Run]) -> list[tuple[str, int]]:
    """The host of each trial, and its lane there: the first one that is free when it begins."""
    free: dict[str, list[datetime]] = {}
    placed: list[tuple[str, int]] = [("", 0)] * len(found)
    for place in sorted(range(len(found)), key=lambda one: (found[one].started, one)):
        one = found[place]
        ends = free.setdefault(one.host, [])
        lane = next((i for i, end in enumerate(ends) if end <= one.started + _SLACK), len(ends))
        end = one.started + timedelta(seconds=one.seconds)
        ends[lane : lane + 1] = [end]
        placed[place] = one.host, lane
    return placed


def _milliseconds(when: datetime) -> int:
    return round(when.timestamp() * 1000)
