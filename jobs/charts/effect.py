"""What one parameter does to a metric: along its values, and the differences between them over matched pairs."""

from __future__ import annotations

from typing import Any

import altair as alt

from core.errors import counted
from jobs.analysis.effect import Effect, PairedDifference
from jobs.analysis.intervals import plus_minus
from jobs.charts.axis import axis, is_numeric
from jobs.charts.intervals import Row, intervals
from jobs.charts.look import ACCENT, OTHER, SOFT, TELL, MarkKind, declared, rows
from jobs.present import tables
from jobs.present.names import USUAL, ShownNames

_HEIGHT = 190
MOST = 150
"""The most settings of the other parameters that are drawn."""
_ROWS = 30
_FEW = 30
_KINDS = {
    "better": MarkKind("better", ACCENT, "triangle-up"),
    "worse": MarkKind("worse", OTHER, "triangle-down"),
    "unknown": MarkKind("no difference shown", SOFT, "circle", is_filled=False),
}


def draw(found: Effect, names: ShownNames = USUAL) -> dict[str, Any]:
    """The metric over the values: thin for each setting of the other parameters, thick for the mean over all of them.

    Lines join numbers; where values are words, dots and diamonds stand for the lines, as words have no order.
    """
    name, metric = names.parameter(found.key), names.metric(found.column)
    levels = [_value(found, level.value, names) for level in found.levels]
    along, joined = axis(levels), is_numeric(levels)
    some = found.slices[:MOST]
    held = names.by_key({key for one in some for key in one.fixed})
    data = [
        {
            "setting": place,
            "x": [along.cell(_value(found, point.value, names)) for point in one.points],
            "value": [point.mean for point in one.points],
            "told": [f"{held[key]} {tables.cell_text(names.value(key, value))}" for key, value in one.fixed.items()]
            or ["all the other parameters are the same"],
        }
        for place, one in enumerate(some)
    ]
    matched = [
        {"x": along.cell(value), "value": level.matched, "told": _told(name, value, level.matched, found)}
        for level, value in zip(found.levels, levels, strict=True)
        if level.matched is not None
    ]
    x = along.across("x", name)
    y = alt.Y("value:Q", title=metric, scale=alt.Scale(zero=False))
    thin = alt.Chart(rows(data)).transform_flatten(["x", "value"]).encode(x=x, y=y, tooltip=TELL)
    thick = alt.Chart(rows(matched)).encode(x=x, y=y, tooltip=TELL)
    strength = 0.5 if len(some) <= _FEW else 0.2
    layers = (
        [
            thin.mark_line(color=SOFT, strokeWidth=1, opacity=strength, aria=False).encode(
                detail=alt.Detail("setting:N")
            ),
            *([thick.mark_line(color=ACCENT, strokeWidth=2.4, aria=False)] if matched else []),
        ]
        if joined
        else [thin.mark_point(filled=True, color=SOFT, size=22, opacity=strength, aria=False)]
    )
    if matched:
        layers.append(thick.mark_point(filled=True, shape="diamond", color=ACCENT, size=70, opacity=1, aria=False))
    words = f"{metric} along {name}: {counted(len(some), 'setting')} of the others"
    words += f", and the mean over {counted(found.blocks, 'complete block')}." if matched else "."
    return declared(layers, _HEIGHT, words)


def differences(found: Effect, names: ShownNames = USUAL) -> dict[str, Any]:
    """The mean difference between values over matched pairs, each with its corrected interval."""
    shown = [one for one in found.differences if one.estimate] if len(found.differences) > _ROWS else found.differences
    data = [
        Row(
            f"{_step(found, one, names)} ({counted(one.n, 'pair')})",
            one.verdict if one.verdict in _KINDS else "unknown",
            one.estimate.mean if one.estimate else None,
            one.estimate.mean - (one.estimate.half_width or 0.0) if one.estimate else None,
            one.estimate.mean + (one.estimate.half_width or 0.0) if one.estimate else None,
            one.verdict,
            _difference(one),
        )
        for one in shown[:_ROWS]
    ]
    metric = names.metric(found.column)
    words = f"Differences of {metric} between values of {names.parameter(found.key)}, over matched pairs."
    return intervals(data, _KINDS, f"difference of {metric}", words, zero=True)


def _value(found: Effect, value: Any, names: ShownNames) -> Any:
    return names.value(found.key, value)


def _step(found: Effect, one: PairedDifference, names: ShownNames) -> str:
    low, high = (tables.cell_text(_value(found, each, names)) for each in (one.low, one.high))
    return f"{low} → {high}"


def _told(name: str, value: Any, mean: float, found: Effect) -> list[str]:
    return [f"{name} {tables.cell_text(value)}", f"mean {mean:.4g} over {counted(found.blocks, 'complete block')}"]


def _difference(one: PairedDifference) -> list[str]:
    if one.estimate is None:
        return [one.verdict]
    return [f"difference {plus_minus(one.estimate.mean, one.estimate.half_width)}", one.verdict]
