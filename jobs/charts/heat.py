"""Tables of means as colours: a metric over two parameters, and methods over data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from core.errors import counted
from jobs.analysis import intervals
from jobs.analysis.comparison import ComparedRow, Comparison
from jobs.analysis.interaction import Interaction
from jobs.analysis.samples import METHOD
from jobs.charts.look import SOFT, TELL, cut, declared, distinct, in_full, rows
from jobs.present import tables
from jobs.present.names import USUAL, ShownNames

_STEP = 40
_DOWN, _ACROSS = 26, 13
"""The most letters of the names of rows and of columns."""


def draw(found: Interaction, names: ShownNames = USUAL) -> dict[str, Any]:
    """The metric's mean, and the number of trials, for each pair of values; empty cells are not run."""
    means = [cell.mean for cell in found.cells.values()]
    low, high = min(means), max(means)
    down, across = (
        list(map(tables.cell_text, tables.numbers([names.value(key, one) for one in levels])))
        for key, levels in zip(found.keys, found.levels, strict=True)
    )
    called = names.by_key(found.keys)
    first, second = (called[key] for key in found.keys)
    name = names.metric(found.column)
    cells = {
        place: {
            "share": (cell.mean - low) / (high - low) if high > low else 0.5,
            "text": intervals.plus_minus(cell.mean, None),
            "below": f"n = {cell.n}",
            "told": [
                f"{first} {down[place[0]]}",
                f"{second} {across[place[1]]}",
                f"{name} {cell.mean:.4g}",
                counted(cell.n, "trial"),
            ],
        }
        for place, cell in found.cells.items()
    }
    words = f"{name} over {first} (down) and {second} (across): {len(cells)} cells from {low:.4g} to {high:.4g}."
    return _heat(cells, down, across, (first, second), words)


def methods(found: Comparison, names: ShownNames = USUAL) -> dict[str, Any]:
    """Each method on each data set: the brighter, the nearer to the best of the data set."""
    cells: dict[tuple[int, int], dict[str, Any]] = {}
    down, metric = distinct([_name(found, one, names) for one in found.rows]), names.metric(found.metric)
    for j, data in enumerate(found.data):
        column = {i: one for i, row in enumerate(found.rows) if (one := row.cells[j])}
        best = min((one.entry.rank, one.entry.score.mean) for one in column.values())[1] if column else 0.0
        widest = max((abs(one.entry.score.mean - best) for one in column.values()), default=0.0)
        for i, one in column.items():
            score = one.entry.score
            cells[i, j] = {
                "share": 1.0 - abs(score.mean - best) / widest if widest else 1.0,
                "text": intervals.plus_minus(score.mean, None),
                "below": {"best": "best", "tied": "tied"}.get(one.verdict, ""),
                "told": [
                    down[i],
                    f"data set {names.data_set(data)}",
                    f"{metric} {score.text}",
                    one.verdict,
                ],
            }
    words = f"{metric} of {counted(len(down), 'row')} on {len(found.data)} data sets."
    return _heat(cells, down, [*map(names.data_set, found.data)], ("", ""), words)


def _name(found: Comparison, row: ComparedRow, names: ShownNames) -> str:
    """What tells a row from the others: its method, or all the parameters that vary."""
    texts = {key: tables.cell_text(names.value(key, value)) for key, value in row.params.items()}
    if {*texts} == {METHOD}:
        return texts[METHOD]
    called = names.by_key({key: None for one in found.rows for key in one.params})
    return ", ".join(f"{called[key]}={text}" for key, text in texts.items())


def _heat(
    cells: Mapping[tuple[int, int], Mapping[str, Any]],
    down: Sequence[str],
    across: Sequence[str],
    titles: tuple[str, str],
    words: str,
) -> dict[str, Any]:
    """A cell for each pair; those that are missing have a dashed outline.

    Args:
        cells: By row and column: the share of the colours from 0 (lowest) to 1, two texts, and lines for the pointer.
        down: The names of the rows.
        across: The names of the columns.
        titles: What the rows and what the columns are.
        words: The text alternative of the chart.
    """
    whole = [*down, *across]
    down, across = cut(down, _DOWN), cut(across, _ACROSS)
    words += in_full(whole, [*down, *across])
    data = [{"down": down[i], "across": across[j], **cell} for (i, j), cell in cells.items()]
    empty = [
        {"down": one, "across": other, "text": "none", "told": ["no trial", whole[i], whole[len(down) + j]]}
        for i, one in enumerate(down)
        for j, other in enumerate(across)
        if (i, j) not in cells
    ]
    head = alt.Axis(orient="top", labelAngle=0, labelLimit=90, ticks=False, domain=False)
    side = alt.Axis(ticks=False, domain=False)
    x = alt.X("across:O", sort=across, title=titles[1] or None, axis=head, scale=alt.Scale(domain=across))
    y = alt.Y("down:O", sort=down, title=titles[0] or None, axis=side, scale=alt.Scale(domain=down))
    base = alt.Chart(rows(data)).encode(x=x, y=y, tooltip=TELL)
    # Cividis is readable for the colour-blind (Nuñez, Anderton and Renslow, PLoS ONE 2018).
    colours = alt.Color("share:Q", scale=alt.Scale(domain=[0, 1], scheme="cividis"), legend=None)
    ink = alt.condition("datum.share > 0.55", alt.value("#000"), alt.value("#fff"))
    none = alt.Chart(rows(empty)).encode(x=x, y=y, tooltip=TELL)
    layers = [
        none.mark_rect(fill="transparent", stroke=SOFT, strokeDash=[3, 3], aria=False),
        none.mark_text(color=SOFT, fontSize=10, aria=False).encode(text=alt.Text("text:N")),
        base.mark_rect(aria=False).encode(color=colours),
        base.mark_text(fontSize=12, dy=-6, aria=False).encode(text=alt.Text("text:N"), color=ink),
        base.mark_text(fontSize=10, dy=9, aria=False).encode(text=alt.Text("below:N"), color=ink),
    ]
    return declared(layers, _STEP * len(down), words)
