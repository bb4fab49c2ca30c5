"""Pieces that several parts of the page use: tables from sheets, charts, figures, lists of facts."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jobs.charts.look import shown
from jobs.present import tables
from jobs.present.leaderboard import Sheet
from jobs.present.tables import Column
from jobs.report.markup import Markup, join, tag


def sheet_table(sheet: Sheet, label: str, *, wrap: Sequence[str] = (), sortable: bool = True) -> Markup:
    """A sheet as a table that scrolls sideways if the window is narrow.

    Args:
        sheet: The table; cells of type `Markup` are not escaped.
        label: Its name for screen readers.
        wrap: Names of the columns whose cells may be broken into lines.
        sortable: Whether a click on a head sorts the table.
    """
    rows = [row_cells(sheet.columns, row, wrap, strong=i in sheet.bold) for i, row in enumerate(sheet.rows)]
    return scrolling(table(head(sheet.columns), rows, sortable=sortable), label)


def table(head_row: Markup, rows: Iterable[Markup], *, sortable: bool) -> Markup:
    """A table of ready rows."""
    return tag("table", tag("thead", head_row), tag("tbody", rows), class_="sortable" if sortable else None)


def scrolling(content: Markup, label: str) -> Markup:
    """A box that scrolls sideways, also by keyboard."""
    return tag("div", content, class_="scroll", tabindex="0", role="region", aria_label=label)


def head(columns: Sequence[Column]) -> Markup:
    """The row of column heads."""
    return tag("tr", [head_cell(one) for one in columns])


def head_cell(column: Column, *, fixed: bool = False) -> Markup:
    """A column's head, which may be broken after `_`, `.` and `/`; a fixed one does not sort."""
    pieces = re.split(r"(?<=[_./])(?=.)", column.name)
    name = join([join([tag("wbr") if i else None, piece]) for i, piece in enumerate(pieces)])
    return tag("th", name, scope="col", class_="right" if column.right else None, data_fixed=fixed)


def row_cells(
    columns: Sequence[Column],
    row: Sequence[Any],
    wrap: Sequence[str] = (),
    *,
    strong: bool = False,
    mark: int | None = None,
) -> Markup:
    """One row; `mark` is the rank by which the script identifies the configuration."""
    cells = [_cell(column, value, column.name in wrap) for column, value in zip(columns, row, strict=True)]
    return tag("tr", cells, class_="strong" if strong else None, data_c=None if mark is None else str(mark))


def _cell(column: Column, value: Any, wrap: bool) -> Markup:
    names = [name for name, on in (("right", column.right), ("stress", column.strong), ("wrap", wrap)) if on]
    content = value if isinstance(value, Markup) else tables.cell_text(value)
    return tag("td", content, class_=" ".join(names) or None)


def figure(name: str, detail: str, drawing: Markup) -> Markup:
    """A drawing under its name."""
    return tag("figure", tag("figcaption", tag("b", name), f" {detail}" if detail else None), drawing)


def panels(figures: Iterable[Markup]) -> Markup:
    """Drawings side by side, as many as fit."""
    return tag("div", figures, class_="panels")


def facts(pairs: Iterable[tuple[str, str | Markup]]) -> Markup:
    """A list of names and values; empty values are left out."""
    return tag("dl", [join([tag("dt", name), tag("dd", value)]) for name, value in pairs if value], class_="facts")


def note(*words: str | Markup) -> Markup:
    """A remark in paler text."""
    return tag("p", words, class_="note")


# Charts of `jobs.charts`: the words that stand for one, and the data of what draws it in their place


def drawing(chart: Mapping[str, Any], least: int | None = None) -> Markup:
    """A chart with its text alternative, which a page without scripts shows instead.

    Args:
        chart: As Vega-Lite, with a `description`; its names may come from strangers, see `look.shown`.
        least: Its least width in pixels; in a narrower window it scrolls sideways.
    """
    return _drawing(shown(chart), least)


def together(charts: Sequence[Mapping[str, Any]]) -> list[Markup]:
    """Charts of the same rows, which stand in the page once, before the first of them."""
    seen = [shown(one) for one in charts]
    counts = Counter(name for one in seen for name in one.get("datasets", {}))
    shared = {name: one["datasets"][name] for one in seen for name in one.get("datasets", {}) if counts[name] > 1}
    own = [
        {**one, "datasets": {name: rows for name, rows in one.get("datasets", {}).items() if name not in shared}}
        for one in seen
    ]
    data = _block("rows", shared) if shared else None
    return [join([data if place == 0 else None, _drawing(one, None)]) for place, one in enumerate(own)]


def _drawing(seen: Mapping[str, Any], least: int | None) -> Markup:
    words = tag("p", seen["description"], class_="note")
    width = None if least is None else str(least)
    return tag("div", words, _block("chart", seen), class_="vega", data_least=width, data_height=str(seen["height"]))


def _block(kind: str, value: Any) -> Markup:
    """Data for the script. A browser does not run it, and it holds no character that could end it."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return tag("script", Markup(text), type="application/json", class_=kind)
