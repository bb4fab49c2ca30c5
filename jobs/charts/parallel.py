"""Parallel coordinates: each configuration as a line from its parameters to its score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from jobs.analysis.leaderboard import Leaderboard
from jobs.charts.axis import FEW, Axis, axis
from jobs.charts.configurations import parameter_names, told, verdict
from jobs.charts.look import ACCENT, CARD, CROWD, INK, OTHER, SOFT, TELL, cut, declared, in_full, picked, rows
from jobs.present import tables
from jobs.present.leaderboard import params_sheet
from jobs.present.names import USUAL, ShownNames

_HEIGHT = 300
_CROWD = 100
"""With more configurations than this, their lines are drawn fainter."""
_STYLES = {
    "best": {"colour": ACCENT, "width": 2.8, "dash": []},
    "tied": {"colour": OTHER, "width": 1.4, "dash": [7, 3]},
    "worse": {"colour": SOFT, "width": 1.2, "dash": []},
    "unknown": {"colour": SOFT, "width": 1.2, "dash": []},
}
_LETTERS = 19
"""The most letters of the name of an axis."""
COLUMN = 140
"""The fewest pixels of an axis."""


def draw(board: Leaderboard, start: int = 0, names: ShownNames = USUAL) -> dict[str, Any]:
    """A line for each configuration; dragging over axes picks those that pass there.

    Args:
        board: The leaderboard, with at least one parameter that varies.
        start: Its first configuration has the number after this one among those that the page links.
        names: How metrics, parameters, methods and data sets are called.
    """
    columns = {key: values for key, (values, _) in params_sheet(board, names).items()}
    called = parameter_names(board, names)
    scores = [entry.score.mean for entry in board.entries]
    whole = [*(called[key] for key in columns), names.metric(board.metric)]
    heads, axes = cut(whole, _LETTERS), [axis(values) for values in columns.values()]
    places = [_spread(one, values) for one, values in zip(axes, columns.values(), strict=True)]
    low, high = min(scores), max(scores)
    shares = [(one - low) / (high - low) if high > low else 0.5 for one in scores]
    crowd = len(scores) > _CROWD
    data = [
        {
            "c": start + entry.rank,
            "name": heads,
            "height": [round(one, 4) for one in (*own, share)],
            "strength": 1 if entry.rank == 1 else round(0.08 + 0.6 * share**6 if crowd else 0.25 + 0.55 * share, 3),
            **_STYLES[verdict(entry)],
            "told": lines,
        }
        for entry, share, lines, *own in zip(board.entries, shares, told(board, names), *places, strict=True)
    ]
    labels = [(name, place, text) for name, one in zip(heads, axes, strict=False) for place, text in one.labels()]
    labels += [(heads[-1], share, f"{low + share * (high - low):.3g}") for share in (0, 0.25, 0.5, 0.75, 1)]
    x = alt.X(
        "name:O",
        sort=heads,
        title=None,
        scale=alt.Scale(type="point", padding=0.5),
        axis=alt.Axis(orient="top", labelAngle=0, labelLimit=COLUMN - 6, labelColor=INK, domain=False, ticks=False),
    )
    y = alt.Y("height:Q", axis=None, scale=alt.Scale(domain=[-0.12, 1.12], nice=False))
    lines = (
        alt.Chart(rows(list(reversed(data))))
        .transform_flatten(["name", "height"])
        .encode(x=x, y=y, detail=alt.Detail("c:N"), tooltip=TELL)
    )
    # A field needs no expression: that of each point of each line is computed anew when other lines are picked.
    drawn = lines.mark_line(aria=False).encode(
        stroke=alt.Stroke("colour:N", scale=None),
        strokeDash=alt.StrokeDash("dash:N", scale=None),
        strokeWidth=alt.StrokeWidth("width:Q", scale=None),
        opacity=alt.OpacityValue(alt.ExprRef("!picked ? datum.strength : picked[datum.c] ? 0.7 : 0.03")),
    )
    drawn = drawn.add_params(alt.selection_interval(name="brush", encodings=["x", "y"]))
    rule = alt.Chart(rows([{"name": name, "height": 0, "end": 1} for name in heads])).mark_rule(color=SOFT, aria=False)
    texts = alt.Chart(rows([{"name": name, "height": place, "text": text} for name, place, text in labels]))
    texts = texts.encode(x=x, y=y, text=alt.Text("text:N"))
    style: dict[str, Any] = {"align": "left", "dx": 5, "fontSize": 11, "limit": COLUMN - 10, "aria": False}
    end = [{"name": heads[-1], "height": round(shares[0], 4)}]
    best = alt.Chart(rows(end)).mark_point(filled=True, shape="diamond", size=90, opacity=1, color=ACCENT, aria=False)
    layers = [
        rule.encode(x=x, y=y, y2=alt.Y2("end:Q")),
        drawn,
        texts.mark_text(stroke=CARD, strokeWidth=4, strokeJoin="round", **style),
        texts.mark_text(color=INK, **style),
        best.encode(x=x, y=y),
    ]
    pairs = [*zip(whole, heads, strict=True)]
    pairs += [(tables.cell_text(value), text) for one in axes if one.order for value, text in one.texts.items()]
    words = f"Parallel coordinates: {len(scores)} configurations from their parameters to {whole[-1]}."
    words += in_full(*zip(*pairs, strict=True))
    return declared(layers, _HEIGHT, words, picked(), crowd=len(data) > CROWD)


def _spread(one: Axis, values: Sequence[Any]) -> list[float]:
    """Places on an axis; with few values, lines through the same value are spread, the better ones above."""
    if one.order is None or len(one.values) > FEW:
        return [one.share(value) for value in values]
    room = min(0.6 / max(len(one.values), 1), 0.2)
    found = [0.0] * len(values)
    for value in one.values:
        rows_ = [i for i, other in enumerate(values) if other == value and (other is None) == (value is None)]
        for position, row in enumerate(rows_):
            found[row] = one.share(value) - room * ((position + 0.5) / len(rows_) - 0.5)
    return found
