"""The small marks inside the rows of tables: means, intervals and bars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jobs.report.markup import Markup, number, tag

Point = tuple[float, float]

SHAPES = {
    "best": "M{x} {t}L{r} {y}L{x} {b}L{l} {y}Z",
    "tied": "M{l} {y}a{s} {s} 0 1 0 {d} 0a{s} {s} 0 1 0 -{d} 0Z",
    "unknown": "M{l} {y}a{s} {s} 0 1 0 {d} 0a{s} {s} 0 1 0 -{d} 0Z",
    "worse": "M{l} {t}L{r} {b}M{l} {b}L{r} {t}",
    "square": "M{l} {t}H{r}V{b}H{l}Z",
    "triangle": "M{x} {t}L{r} {b}L{l} {b}Z",
}
"""The shapes of the marks, which differ without colour too."""
_SIZES = {"best": 5.5, "tied": 3.6, "unknown": 3.6, "worse": 3.2, "square": 3.2, "triangle": 3.8}


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps numbers from `low` to `high` to positions from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        """The position of a value."""
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return self.start + share * (self.end - self.start)


def over(values: Iterable[float], start: float, end: float) -> Scale:
    """A scale over all the values, with a margin at both ends."""
    found = list(values)
    low, high = min(found), max(found)
    air = 0.04 * (high - low) if high > low else max(abs(high) * 0.05, 0.05)
    return Scale(low - air, high + air, start, end)


def inline(width: float, height: float, parts: Iterable[str | None], *, key: bool = False) -> Markup:
    """A small drawing hidden from screen readers, because the text beside it says the same."""
    return tag(
        "svg",
        parts,
        class_="key" if key else "interval",
        viewBox=f"0 0 {number(width)} {number(height)}",
        width=width,
        height=height,
        aria_hidden="true",
    )


def mark(kind: str, x: float, y: float) -> Markup:
    """One mark of `SHAPES` around a point."""
    size = _SIZES[kind]
    names = {"x": x, "y": y, "l": x - size, "r": x + size, "t": y - size, "b": y + size, "s": size, "d": 2 * size}
    path = SHAPES[kind].format(**{name: number(value) for name, value in names.items()})
    return tag("path", class_=f"mark {kind}", d=path)


def line(points: Sequence[Point], class_: str) -> Markup:
    """A line through the points."""
    path = "".join(f"{'L' if i else 'M'}{number(x)} {number(y)}" for i, (x, y) in enumerate(points))
    return tag("path", class_=class_, d=path)


def bar(x: float, y: float, width: float, height: float, class_: str = "bar") -> Markup:
    """A bar; `x` and `y` are its upper left corner."""
    return tag("rect", class_=class_, x=x, y=y, width=width, height=height)
