"""How all charts look: colours of the page's style sheet, which knows light and dark, and shapes beside colours."""

from __future__ import annotations

import json
import re
import textwrap
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from jobs.present.visible import one_line

_STYLE = "var(--{})".format
INK, SOFT, FAINT, CARD, ACCENT, OTHER = map(_STYLE, ("ink", "soft", "faint", "card", "best", "tied"))
GREEN, PURPLE = map(_STYLE, ("square", "triangle"))
"""Colours of the style sheet. A browser resolves them in the drawing, so that it follows light and dark."""
PALETTE = tuple(_STYLE(f"group-{place}") for place in range(8))
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
"""Eight colours and seven shapes have no common divisor: 56 groups differ in one of the two."""
CROWD = 300
"""Charts of more marks than this are crowds, see `declared`."""
_OF_OBJECTS = frozenset(
    {
        *("__proto__", "constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "toLocaleString"),
        *("toString", "valueOf", "__defineGetter__", "__defineSetter__", "__lookupGetter__", "__lookupSetter__"),
    }
)
"""Names that every object of JavaScript has: Vega, which looks names up in objects, cannot draw a group called so."""
_FONT = "system-ui, sans-serif"
_X = "M-.8,-.8L.8,.8M.8,-.8L-.8,.8"
_BREAK = "\u00a0 "
"""Where a line of a name ends; see `broken`."""
_LINE = 14
"""Pixels of a line of a name."""
_ROUNDS = 3
_TOLD = 20
"""So many names are told in full."""
ROW = 20
"""The most letters of a line of a name beside a row."""
LEGEND = 32
"""The most letters of a line of a legend."""
LINES = f"split(datum.label, '{_BREAK}')"
"""The label of an axis or a legend whose names are `broken`: an expression that holds no name."""
_TICK = "isNumber(datum.value) && abs(datum.value) >= 1e9 ? format(datum.value, '.3~g') : datum.label"
"""The label of a tick: long numbers in scientific form."""
TELL_LINES = "datum.told"
TELL = alt.TooltipValue(alt.ExprRef(TELL_LINES))
"""The tooltip of a mark: the lines in its `told`. As a value, they may hold names from strangers."""
DIM = 0.07
"""The opacity of what is not picked."""
KEPT = "!picked || picked[datum.c]"
"""Whether a mark belongs to a picked configuration: the script sets `picked`, an object by rank, or false for all."""


@dataclass(frozen=True, slots=True)
class MarkKind:
    """A kind of mark, which differs from others by its shape too.

    Attributes:
        words: What it means, in the legend.
        colour: Of its outline.
        shape: Of Vega, or a path.
        is_filled: Whether its inside has the colour, too.
    """

    words: str
    colour: str
    shape: str
    is_filled: bool = True


VERDICTS = {
    "best": MarkKind("best", ACCENT, "diamond"),
    "tied": MarkKind("tied", OTHER, "circle"),
    "worse": MarkKind("worse", SOFT, _X),
    "unknown": MarkKind("too few seeds", SOFT, "circle", is_filled=False),
}
"""Configurations compared with the best."""


def rows(found: Sequence[Mapping[str, Any]]) -> alt.InlineData:
    """Rows of a chart as its data: as text until `declared`, as Altair copies and checks each value many times."""
    return alt.InlineData(values=json.dumps([dict(one) for one in found]))


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


def distinct(names: Sequence[str]) -> list[str]:
    """The names, each of them another one: what has the name of an earlier one ends in spaces that are not seen."""
    found: dict[str, None] = {}
    for name in names:
        while name in found:
            name += "\u00a0"  # noqa: PLW2901
        found[name] = None
    return [*found]


def broken(names: Sequence[str], letters: int) -> list[str]:
    """The names in lines of at most so many letters, none of them cut, and each of them another one.

    Lines end after commas, within a longer part at blanks, and after the `=` of a longer word: a value that lacks its
    last digits would be a wrong value.
    """
    return distinct([_BREAK.join(_wrapped(name, letters)) for name in names])


def cut(names: Sequence[str], letters: int) -> list[str]:
    """The names with at most so many letters: what is longer is cut in the middle, or around where it differs.

    Those that would still look alike, as lists of five and six equal numbers, have a number behind them: `…512] (2)`.
    So no two look alike; a tooltip and `in_full` tell the whole of them.
    """
    found = {name: _cut(name, letters) for name in names}
    for _ in range(_ROUNDS):
        groups: dict[str, list[str]] = {}
        for name, text in found.items():
            groups.setdefault(text, []).append(name)
        for group in groups.values():
            if len(group) > 1:
                start = next((i for i, signs in enumerate(zip(*group, strict=False)) if len({*signs}) > 1), 0)
                found |= {name: _cut_at(name, start, letters) for name in group}
    return _numbered([found[name] for name in names], letters)


def in_full(names: Sequence[str], shown: Sequence[str]) -> str:
    """A sentence for a text alternative with the names that a chart shows cut; empty if there are none."""
    told = dict.fromkeys(name for name, text in zip(names, shown, strict=True) if "…" in text and text != name)
    return f" In full: {'; '.join([*told][:_TOLD])}{'; …' if len(told) > _TOLD else ''}." if told else ""


def _cut(name: str, letters: int) -> str:
    tail = (letters - 1) // 2
    return name if len(name) <= letters else f"{name[: letters - 1 - tail]}…{name[-tail:]}"


def _numbered(texts: Sequence[str], letters: int) -> list[str]:
    """The texts, with a number behind each that is equal to an earlier one."""
    found, alike = dict[str, None](), Counter[str]()
    for text in texts:
        told = text
        while told in found:
            alike[text] += 1
            ending = f" ({alike[text] + 1})"
            room = letters - len(ending)
            told = f"{text if len(text) <= room else text[: room - 1].rstrip('…') + '…'}{ending}"
        found[told] = None
    return [*found]


def _cut_at(name: str, start: int, letters: int) -> str:
    """The part of a name from a place on, with two letters before it, and its end: lanes of hosts differ there."""
    begin = min(start - 2, len(name) - letters + 1)
    rest = f"…{name[begin:]}" if begin > 0 else name
    tail = letters // 4
    return rest if len(rest) <= letters else f"{rest[: letters - 1 - tail]}…{name[-tail:]}"


def _wrapped(name: str, letters: int) -> list[str]:
    found = [""]
    for part in name.replace(", ", ",\n").split("\n"):
        if len(joined := f"{found[-1]} {part}".strip()) <= letters:
            found[-1] = joined
            continue
        words = [one if len(one) <= letters else one.replace("=", "= ") for one in part.split(" ")]
        found += textwrap.wrap(" ".join(words), letters, break_on_hyphens=False)
    return [one for one in found if one]


def row_axis(*, domain: bool = True) -> alt.Axis:
    """The axis of rows with such names beside them, each in the middle of its row."""
    middle = alt.ExprRef(f"{-_LINE / 2:g} * (length({LINES}) - 1)")
    return alt.Axis(labelColor=INK, labelExpr=LINES, labelOffset=middle, ticks=False, domain=domain)


def epoch_axis() -> alt.Axis:
    """The axis of epochs: ticks at whole numbers alone, however few there are, also where a chart is zoomed."""
    whole = {"condition": {"test": "datum.value % 1 == 0", "value": 1}, "value": 0}
    label = "datum.value % 1 == 0 ? format(datum.value, ',') : ''"
    return alt.Axis(tickMinStep=1, grid=False, labelExpr=label, tickOpacity=whole)


def step(names: Sequence[str], least: int) -> int:
    """The pixels of a row beside which such names stand, at least so many."""
    most = max((name.count(_BREAK) + 1 for name in names), default=1)
    return max(least, _LINE * most + 6)


def long_legend() -> alt.Legend:
    """A legend of such names: one below the other."""
    return alt.Legend(title=None, columns=1, labelExpr=LINES, labelLimit=0, symbolOpacity=1, rowPadding=4)


def kinds(shown: Mapping[str, MarkKind], there: Collection[str], *, legend: bool = True) -> dict[str, Any]:
    """The channels of point marks whose field `kind` holds the words of one of the kinds; empty for one kind alone.

    Args:
        shown: All kinds.
        there: The keys of those that the chart has: only they stand in the legend.
        legend: Whether there is one.
    """
    some = [one for key, one in shown.items() if key in there]
    words, colours, shapes = [one.words for one in some], [one.colour for one in some], [one.shape for one in some]
    fills = [one.colour if one.is_filled else "transparent" for one in some]
    # On a phone one below the other, as there is no room for two.
    columns = alt.ExprRef("width < 400 ? 1 : 4")
    drawn = alt.Legend(title=None, symbolOpacity=1, columns=columns) if legend and len(some) > 1 else None
    return {
        "stroke": alt.Stroke("kind:N", scale=alt.Scale(domain=words, range=colours), legend=drawn),
        "fill": alt.Fill("kind:N", scale=alt.Scale(domain=words, range=fills), legend=drawn),
        "shape": alt.Shape("kind:N", scale=alt.Scale(domain=words, range=shapes), legend=drawn),
    }


def picked() -> alt.Parameter:
    """The parameter that `KEPT` reads; once in a chart."""
    return alt.param(name="picked", value=False)


def by_legend(field: str) -> alt.Parameter:
    """What a click on the legend picks."""
    return alt.selection_point(name="chosen", fields=[field], bind="legend")


def opacity(strong: float, *tests: str | alt.Parameter, weak: float = DIM) -> alt.OpacityValue:
    """The opacity of a mark that passes all tests, and of others."""
    found = [one if isinstance(one, str) else {"param": one.name} for one in tests]
    return alt.OpacityValue(weak, condition={"test": {"and": found}, "value": strong})


def zoomed() -> alt.Parameter:
    """Zooms by the wheel and moves by dragging; a double click shows all again."""
    # Without a key, a page could not be scrolled past the chart; two fingers on a pad count as Ctrl and the wheel.
    return alt.selection_interval(
        name="zoom",
        bind="scales",
        zoom="wheel![event.ctrlKey || event.metaKey]",
        translate="[pointerdown, window:pointerup] > window:pointermove!",
    )


def declared(
    layers: Sequence[alt.Chart], height: int, words: str, *params: alt.Parameter, crowd: bool = False
) -> dict[str, Any]:
    """A chart of some layers as Vega-Lite, in the look of all.

    Args:
        layers: The lowest first.
        height: Of the plot in pixels, without axes and legend; its width is that of the page.
        words: The text alternative.
        params: Of the whole chart.
        crowd: Whether it has thousands of marks, which a page draws as pixels: as elements they would be slow.
    """
    chart = alt.LayerChart(layer=list(layers), height=height, width="container")
    chart = chart.add_params(*params) if params else chart
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
        labelExpr=_TICK,
    )
    chart = chart.configure_legend(
        labelColor=INK,
        titleColor=SOFT,
        labelFontSize=11.5,
        titleFontSize=12,
        labelLimit=260,
        orient="bottom",
        columns=4,
        offset=8,
    )
    # Its parts were checked when they were made; tests check the whole of every chart.
    found = chart.to_dict(validate=False)
    found["datasets"] = {name: json.loads(text) for name, text in found["datasets"].items()}
    # Below all of the chart instead of below its plot, where a narrow one has no room; Altair's schema lacks it.
    found["config"]["legend"]["layout"] = {"bottom": {"anchor": "start", "bounds": "full"}}
    return found | {"usermeta": {"embedOptions": {"renderer": "canvas"}}} if crowd else found


def shown(chart: Any) -> Any:
    """A chart whose names may come from strangers, with each text on one line and control characters as escapes."""
    if isinstance(chart, str):
        # A space that is not seen makes it another name.
        return f"{chart}\u00a0" if chart in _OF_OBJECTS else one_line(chart)
    if isinstance(chart, Mapping):
        return {key: _lines(one) if key == "told" else shown(one) for key, one in chart.items()}
    return [shown(one) for one in chart] if isinstance(chart, list | tuple) else chart


def _lines(told: Any) -> Any:
    """The lines where the pointer is, each on one line."""
    return "\n".join(map(one_line, told)) if isinstance(told, list) else shown(told)
