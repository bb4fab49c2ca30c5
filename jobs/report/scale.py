"""Maps values to positions in a drawing, and chooses round numbers for the ticks of an axis."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

FEW = 12
"""Up to this many different values are evenly spaced on an axis."""
_WIDE = 20.0
"""Positive values with at least this ratio of largest to smallest are drawn on a logarithmic axis."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps numbers from `low` to `high` to positions from `start` to `end`, linearly or logarithmically."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def place(self, value: float) -> float:
        """The position of a value."""
        low, high, value = (math.log(one) if self.log else one for one in (self.low, self.high, value))
        share = (value - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)

    def ticks(self, n: int = 5) -> list[float]:
        """About `n` round values within the range."""
        return _log_ticks(self.low, self.high) if self.log else _linear_ticks(self.low, self.high, n)


def over(values: Iterable[float], start: float, end: float, *, margin: float = 0.04, log: bool = False) -> Scale:
    """A scale over all the values, with a margin at both ends."""
    found = list(values)
    low, high = min(found), max(found)
    if log:
        air = (high / low) ** margin
        return Scale(low / air, high * air, start, end, log=True)
    air = margin * (high - low) if high > low else max(abs(high) * 0.05, 0.05)
    return Scale(low - air, high + air, start, end)


@dataclass(frozen=True, slots=True)
class Axis:
    """The values of one parameter along an axis: numbers in proportion, anything else evenly spaced.

    Attributes:
        places: Position by value.
        labels: Position and text of each label.
        log: Whether it is logarithmic.
    """

    places: dict[Any, float]
    labels: list[tuple[float, str]]
    log: bool = False


def axis(values: Sequence[Any], start: float, end: float, text: dict[Any, str]) -> Axis:
    """The axis of a parameter.

    Args:
        values: Its values, with repeats.
        start: The position of the first value.
        end: The position of the last value.
        text: The text for each value.
    """
    distinct = sorted(set(values), key=_order)
    if len(distinct) <= FEW or not is_numeric(distinct):
        scale = Scale(0, max(len(distinct) - 1, 0), start, end)
        places = {value: scale.place(i) for i, value in enumerate(distinct)}
        shown = distinct[:: math.ceil(len(distinct) / FEW)]
        return Axis(places, [(places[value], text[value]) for value in shown])
    scale = over(distinct, start, end, margin=0, log=is_wide(distinct))
    ticks = [(scale.place(value), short(value)) for value in scale.ticks()]
    return Axis({value: scale.place(value) for value in distinct}, ticks, scale.log)


def is_numeric(values: Sequence[Any]) -> bool:
    """Whether all are numbers, which have an order; words such as the names of methods have none."""
    return all(map(_is_number, values))


def is_wide(values: Sequence[float]) -> bool:
    """Whether positive values span so much that they need a logarithmic axis."""
    return min(values) > 0 and max(values) / min(values) >= _WIDE


def short(value: float) -> str:
    """The text of a tick's value: `0.001`, `2e-05`, `1,000`."""
    if value and not 1e-4 <= abs(value) < 1e5:
        return f"{value:.3g}"
    return f"{value:,.4f}".rstrip("0").rstrip(".")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _order(value: Any) -> tuple[int, Any]:
    """The sort key that puts None first, then numbers, then words."""
    if value is None:
        return 0, 0
    return (1, value) if isinstance(value, int | float) else (2, str(value))


def _linear_ticks(low: float, high: float, n: int) -> list[float]:
    if high <= low:
        return [low]
    raw = (high - low) / n
    unit = 10.0 ** math.floor(math.log10(raw))
    step = unit * next(factor for factor in (1, 2, 5, 10) if factor * unit >= raw * 0.75)
    return [round(i * step, 12) for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    decades = [10.0**e for e in exponents if low * 0.999 <= 10.0**e <= high * 1.001]
    if len(decades) >= 2:
        return decades[:: math.ceil(len(decades) / 6)]
    finer = [factor * 10.0**e for e in exponents for factor in (1, 2, 5)]
    return [value for value in finer if low * 0.999 <= value <= high * 1.001]
