"""The part of the page on which parameters matter: shares of the variance, with their intervals."""

from __future__ import annotations

from typing import Any

from jobs.analysis.importance import Importance, Share
from jobs.present.importance import hidden_pairs, importance_sheet, shown
from jobs.present.leaderboard import Sheet
from jobs.present.tables import Column
from jobs.report import pieces, svg
from jobs.report.markup import Markup, join
from jobs.report.scale import Scale

_WIDTH = 240.0
_HEIGHT = 20.0
_PLACES = Scale(0.0, 1.0, 6.0, _WIDTH - 6.0)
_EXPLAINED = """\
How the variance between trials is split: what a parameter explains beyond all others, what a pair explains beyond its
two parameters, and what the seed alone explains. The bar is the share, from 0 % at the left to 100 % at the right. The
line is its 95 % interval. Square: matters. Circle: not shown to matter (Holm over all parameters and over all pairs,
5 %)."""


def importance(found: Importance | None, refusal: str) -> Markup | None:
    """A table with a row for each parameter, for the pairs that explain most, and for luck."""
    if found is None:
        return pieces.note(refusal) if refusal else None
    table = pieces.sheet_table(_with_pictures(found), "Shares of the variance", wrap=["verdict"], sortable=False)
    remarks = [*hidden_pairs(found), *found.notes]
    return join([pieces.note(_EXPLAINED), table, map(pieces.note, remarks)])


def _with_pictures(found: Importance) -> Sheet:
    sheet = importance_sheet(found, bars=False)
    columns = [Column("parameter or pair", right=False), *sheet.columns[1:3], Column("drawn", right=False)]
    pictures = [*map(_picture, shown(found)), *([] if found.luck is None else [_drawn(found.luck)])]
    rows: list[list[Any]] = [[*row[:3], picture, *row[3:]] for row, picture in zip(sheet.rows, pictures, strict=True)]
    return Sheet([*columns, *sheet.columns[3:]], rows, sheet.bold)


def _picture(one: Share) -> Markup | None:
    """The share as a bar and its interval as a line; None if the share is unknown."""
    if one.share is None or one.low is None or one.high is None:
        return None
    y = _HEIGHT / 2
    ends = [(_PLACES.place(end), y) for end in (one.low, one.high)]
    kind = "square" if one.verdict.startswith("matters") else "unknown"
    return _drawn(one.share, svg.line(ends, "whisker"), svg.mark(kind, _PLACES.place(one.share), y))


def _drawn(share: float, *marks: Markup) -> Markup:
    """A bar between lines at 0 % and 100 %, with marks."""
    left, right, y = _PLACES.start, _PLACES.end, _HEIGHT / 2
    frame = [svg.line([(x, 0.0), (x, _HEIGHT)], "zero") for x in (left, right)]
    bar = svg.bar(left, y - 5, _PLACES.place(share) - left, 10)
    return svg.inline(_WIDTH, _HEIGHT, [*frame, bar, *marks])
