"""The elements of all drawings: frame, axes, marks, lines and bands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from jobs.report.markup import Markup, join, number, tag
from jobs.report.scale import Scale, short

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


def drawing(
    width: float,
    height: float,
    title: str,
    *parts: Iterable[str] | None,
    class_: str = "chart",
    wide: bool = False,
) -> Markup:
    """A whole drawing; screen readers read the title. A wide drawing keeps about its width."""
    return tag(
        "svg",
        *parts,
        class_=class_,
        viewBox=f"0 0 {number(width)} {number(height)}",
        width=width,
        height=height,
        role="img",
        aria_label=title,
        style=f"min-width:{number(0.8 * width)}px;max-width:{number(1.2 * width)}px" if wide else None,
    )


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


def mark(kind: str, x: float, y: float, **attributes: str | None) -> Markup:
    """One mark of `SHAPES` around a point."""
    size = _SIZES[kind]
    names = {"x": x, "y": y, "l": x - size, "r": x + size, "t": y - size, "b": y + size, "s": size, "d": 2 * size}
    path = SHAPES[kind].format(**{name: number(value) for name, value in names.items()})
    return tag("path", class_=f"mark {kind}", d=path, **attributes)


def dots(points: Iterable[Point]) -> Markup:
    """Many small dots as one path."""
    return tag("path", class_="dots", d="".join(f"M{number(x)} {number(y)}h0" for x, y in points))


def line(points: Sequence[Point], class_: str, **attributes: str | float | None) -> Markup:
    """A line through the points."""
    return tag("path", class_=class_, d=_path(points), **attributes)


def band(upper: Sequence[Point], lower: Sequence[Point]) -> Markup:
    """The area between two lines."""
    return tag("path", class_="band", d=f"{_path([*upper, *reversed(lower)])}Z")


def bar(x: float, y: float, width: float, height: float) -> Markup:
    """A bar; `x` and `y` are its upper left corner."""
    return tag("rect", class_="bar", x=x, y=y, width=width, height=height)


def text(x: float, y: float, content: str, anchor: str = "start", class_: str | None = None) -> Markup:
    """A line of text."""
    return tag("text", content, x=x, y=y, text_anchor=None if anchor == "start" else anchor, class_=class_)


def x_axis(scale: Scale, y: float, label: str, n: int = 5) -> Markup:
    """Ticks and a label below a drawing."""
    ticks = [(scale.place(value), short(value)) for value in scale.ticks(n)]
    return join(
        [
            tag("path", class_="axis", d=f"M{number(scale.start)} {number(y)}H{number(scale.end)}"),
            *(tag("path", class_="axis", d=f"M{number(x)} {number(y)}v4") for x, _ in ticks),
            *(text(x, y + 16, value, "middle", "tick") for x, value in ticks),
            text((scale.start + scale.end) / 2, y + 32, label, "middle", "label"),
        ]
    )


def y_axis(scale: Scale, left: float, right: float, n: int = 4) -> Markup:
    """Ticks at the left, each with a fine line across the drawing."""
    ticks = [(scale.place(value), short(value)) for value in scale.ticks(n)]
    return join(
        [
            *(tag("path", class_="grid", d=f"M{number(left)} {number(y)}H{number(right)}") for y, _ in ticks),
            *(text(left - 6, y + 4, value, "end", "tick") for y, value in ticks),
        ]
    )


def apart(places: Sequence[float], gap: float, lowest: float) -> list[float]:
    """The positions of labels, moved so that they are `gap` apart and none is below `lowest`."""
    moved = list(places)
    order = sorted(range(len(places)), key=places.__getitem__)
    for before, after in pairwise(order):
        moved[after] = max(moved[after], moved[before] + gap)
    for room, one in enumerate(reversed(order)):
        moved[one] = min(moved[one], lowest - room * gap)
    return moved


def _path(points: Sequence[Point]) -> str:
    return "".join(f"{'L' if i else 'M'}{number(x)} {number(y)}" for i, (x, y) in enumerate(points))
