"""The values of a parameter along an axis: numbers in proportion or by their logarithm, words evenly spaced."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from jobs.charts.look import cut
from jobs.present import tables

FEW = 12
"""Up to this many different values are evenly spaced."""
_WIDE = 20.0
"""Positive values with at least this ratio of largest to smallest are drawn on a logarithmic axis."""
_LABELS = 6
_LETTERS, _PIXELS = 18, 130
"""The most letters of a word along an axis, and its room."""


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis of a drawing.

    Attributes:
        order: The texts of the values where they are evenly spaced; None where numbers are in proportion.
        log: Whether it is logarithmic.
        texts: The text of each value.
        values: The different values, in their order.
    """

    order: list[str] | None
    log: bool
    texts: dict[Any, str]
    values: list[Any]

    def cell(self, value: Any) -> Any:
        """What a row of a chart holds for a value: its text or its number."""
        return self.texts[value] if self.order is not None else value

    def across(self, field: str, title: str) -> alt.X:
        """The channel of the axis. Its title may be a name from data: it is no expression."""
        axis = alt.Axis(labelAngle=0, labelOverlap="greedy", grid=False, labelLimit=_PIXELS)
        if self.order is not None:
            return alt.X(f"{field}:O", sort=self.order, title=title, axis=axis)
        if not self.log:
            return alt.X(f"{field}:Q", title=title, scale=alt.Scale(zero=False), axis=axis)
        axis = alt.Axis(values=_log_ticks(self.values[0], self.values[-1]), labelOverlap="greedy", grid=False)
        return alt.X(f"{field}:Q", title=title, scale=alt.Scale(type="log", nice=False), axis=axis)

    def share(self, value: Any) -> float:
        """The place of a value from 0, the first, to 1, the last."""
        if self.order is not None:
            return self.values.index(value) / max(len(self.values) - 1, 1)
        low, high, one = (math.log(each) if self.log else each for each in (self.values[0], self.values[-1], value))
        return (one - low) / (high - low)

    def labels(self) -> list[tuple[float, str]]:
        """Places and texts of labels: of each value, or of some round numbers."""
        if self.order is not None:
            shown = self.values[:: math.ceil(len(self.values) / FEW)]
            return [(self.share(value), self.texts[value]) for value in shown]
        low, high = self.values[0], self.values[-1]
        ticks = _log_ticks(low, high) if self.log else _linear_ticks(low, high)
        return [(self.share(value), short(value)) for value in ticks]


def axis(values: Sequence[Any]) -> Axis:
    """The axis of a parameter's values, with repeats."""
    distinct = sorted(set(values), key=_order)
    shown = tables.numbers(["-" if value is None else value for value in distinct])
    texts = dict(zip(distinct, map(tables.cell_text, shown), strict=True))
    if not is_numeric(distinct):  # A number that lacks digits would be another one.
        whole = list(dict.fromkeys(texts.values()))
        short_of = dict(zip(whole, cut(whole, _LETTERS), strict=True))
        texts = {value: short_of[text] for value, text in texts.items()}
    if len(distinct) <= FEW or not is_numeric(distinct):
        return Axis(list(dict.fromkeys(texts.values())), log=False, texts=texts, values=distinct)
    return Axis(None, log=is_wide(distinct), texts=texts, values=distinct)


def is_numeric(values: Sequence[Any]) -> bool:
    """Whether all are numbers, which have an order; words such as the names of methods have none."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def is_wide(values: Sequence[float]) -> bool:
    """Whether positive values span so much that they need a logarithmic axis."""
    return min(values) > 0 and max(values) / min(values) >= _WIDE


def short(value: float) -> str:
    """The text of a tick's value: `0.001`, `2e-05`, `1,000`."""
    if value and not 1e-4 <= abs(value) < 1e5:
        return f"{value:.3g}"
    return f"{value:,.4f}".rstrip("0").rstrip(".")


def _order(value: Any) -> tuple[int, Any]:
    """The sort key that puts None first, then numbers, then words."""
    if value is None:
        return 0, 0
    return (1, value) if isinstance(value, int | float) else (2, str(value))


def _linear_ticks(low: float, high: float) -> list[float]:
    raw = (high - low) / _LABELS
    unit = 10.0 ** math.floor(math.log10(raw))
    step = unit * next(factor for factor in (1, 2, 5, 10) if factor * unit >= raw * 0.75)
    return [round(i * step, 12) for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    decades = [10.0**e for e in exponents if low * 0.999 <= 10.0**e <= high * 1.001]
    if len(decades) >= 2:
        return decades[:: math.ceil(len(decades) / _LABELS)]
    finer = [factor * 10.0**e for e in exponents for factor in (1, 2, 5)]
    return [value for value in finer if low * 0.999 <= value <= high * 1.001]
