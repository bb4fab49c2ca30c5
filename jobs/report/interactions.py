"""The parts of the page on which parameters and pairs matter: shares of the variance, and heat maps of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.errors import counted
from jobs.analysis.importance import Importance, Share
from jobs.analysis.interaction import Interaction
from jobs.charts import heat
from jobs.present.importance import contrasts_sheet, hidden_pairs, importance_sheet, remarks, shown
from jobs.present.leaderboard import Sheet
from jobs.present.names import ShownNames
from jobs.present.tables import Column
from jobs.report import pieces, svg
from jobs.report.markup import Markup, join, tag
from jobs.report.svg import Scale

_EXPLAINED = """\
Each cell is the mean of its trials, with their number. Brighter means higher. A dashed cell was not run. Whether the
effect of one parameter depends on the other is tested on groups of four trials that are equal in everything else."""
_CELL = 62
"""The least pixels of a cell."""
_WIDTH = 240.0
_HEIGHT = 20.0
_PLACES = Scale(0.0, 1.0, 6.0, _WIDTH - 6.0)
_SHARES = """\
How the variance between trials is split: what a parameter explains beyond all others, what a pair explains beyond its
two parameters, and what the seed alone explains. The bar is the share, from 0 % at the left to 100 % at the right. The
line is its 95 % interval. Square: matters. Circle: not shown to matter (Holm's
correction: 5 % over all, half of it for the parameters and half for the pairs)."""


def importance(found: Importance | None, refusal: str) -> Markup | None:
    """A table with a row for each parameter, for the pairs that explain most, and for luck."""
    if found is None:
        return pieces.note(refusal) if refusal else None
    table = pieces.sheet_table(_with_pictures(found), "Shares of the variance", wrap=["verdict"], sortable=False)
    told = [*hidden_pairs(found), *remarks(found)]
    return join([pieces.note(_SHARES), table, map(pieces.note, told)])


def _with_pictures(found: Importance) -> Sheet:
    sheet = importance_sheet(found, bars=False)
    columns = [Column("parameter or pair", right=False), *sheet.columns[1:3], Column("drawn", right=False)]
    pictures = [*map(_share_picture, shown(found)), *_luck_picture(found)]
    rows: list[list[Any]] = [[*row[:3], picture, *row[3:]] for row, picture in zip(sheet.rows, pictures, strict=True)]
    return Sheet([*columns, *sheet.columns[3:]], rows, sheet.bold)


def _share_picture(one: Share) -> Markup | None:
    """The share as a bar and its interval as a line; None if the share is unknown."""
    if one.share is None or one.low is None or one.high is None:
        return None
    y = _HEIGHT / 2
    ends = [(_PLACES.place(end), y) for end in (one.low, one.high)]
    kind = "square" if one.verdict.startswith("matters") else "unknown"
    return _drawn(one.share, svg.line(ends, "whisker"), svg.mark(kind, _PLACES.place(one.share), y))


def _luck_picture(found: Importance) -> list[Markup]:
    if found.luck is None or found.luck_interval is None:
        return []
    ends = [(_PLACES.place(end), _HEIGHT / 2) for end in found.luck_interval]
    return [_drawn(found.luck, svg.line(ends, "whisker"))]


def _drawn(share: float, *marks: Markup) -> Markup:
    """A bar between lines at 0 % and 100 %, with marks."""
    left, right, y = _PLACES.start, _PLACES.end, _HEIGHT / 2
    frame = [svg.line([(x, 0.0), (x, _HEIGHT)], "zero") for x in (left, right)]
    bar = svg.bar(left, y - 5, _PLACES.place(share) - left, 10)
    return svg.inline(_WIDTH, _HEIGHT, [*frame, bar, *marks])


def interactions(found: Sequence[Interaction], names: ShownNames) -> Markup | None:
    """A heat map for each pair."""
    if not found:
        return None
    return join([pieces.note(_EXPLAINED), tag("div", [_pair(one, names) for one in found], class_="panels")])


def _pair(found: Interaction, names: ShownNames) -> Markup:
    called = names.by_key(found.keys)
    first, second = (called[key] for key in found.keys)
    title = f"{names.metric(found.column)} over {first} (down) and {second} (across)"
    if found.refusal:
        return tag("div", tag("h3", title), pieces.note(found.refusal))
    return tag(
        "div",
        tag("h3", title),
        pieces.drawing(heat.draw(found, names), least=_CELL * len(found.levels[1])),
        pieces.note(_dependence(found)),
        _contrasts(found),
    )


def _dependence(found: Interaction) -> str:
    depends = sum(one.verdict == "depends" for one in found.contrasts)
    known = sum(one.estimate is not None and one.estimate.p is not None for one in found.contrasts)
    if not known:
        told = "Too few groups of four trials to test whether one depends on the other."
    elif depends:
        told = f"One depends on the other in {depends} of {counted(known, 'comparison')}."
    else:
        told = f"No dependence shown in {counted(known, 'comparison')}."
    return " ".join([told, *found.notes])


def _contrasts(found: Interaction) -> Markup | None:
    if not found.contrasts:
        return None
    table = pieces.sheet_table(contrasts_sheet(found), "Differences of differences", sortable=False)
    return tag("details", tag("summary", "Differences of differences"), table)
