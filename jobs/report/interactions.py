"""The part of the page on pairs of parameters: heat maps that also show cells that were not run."""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import counted
from jobs.analysis import intervals
from jobs.analysis.interaction import Interaction
from jobs.analysis.scores import metric_name
from jobs.present import tables
from jobs.present.effect import labels
from jobs.present.importance import contrasts_sheet
from jobs.report import pieces
from jobs.report.markup import Markup, join, tag

Colour = tuple[int, int, int]

_CIVIDIS: tuple[Colour, ...] = ((0, 32, 77), (65, 77, 107), (124, 123, 120), (188, 175, 111), (255, 234, 70))
"""Colours from low to high, readable for the colour-blind (Nuñez, Anderton and Renslow, PLoS ONE 2018)."""
_EXPLAINED = """\
Each cell is the mean of its trials, with their number. Brighter means higher. A hatched cell was not run. Whether the
effect of one parameter depends on the other is tested on groups of four trials that are equal in everything else."""


def interactions(found: Sequence[Interaction]) -> Markup | None:
    """A heat map for each pair."""
    if not found:
        return None
    return join([pieces.note(_EXPLAINED), tag("div", map(_pair, found), class_="panels")])


def _pair(found: Interaction) -> Markup:
    names = labels(found.keys)
    first, second = (names[key] for key in found.keys)
    title = f"{metric_name(found.column)} over {first} (down) and {second} (across)"
    if found.refusal:
        return tag("div", tag("h3", title), pieces.note(found.refusal))
    return tag("div", tag("h3", title), _map(found, title), pieces.note(_dependence(found)), _contrasts(found))


def _map(found: Interaction, title: str) -> Markup:
    means = [cell.mean for cell in found.cells.values()]
    low, high = min(means), max(means)
    rows, columns = (list(map(tables.cell_text, tables.numbers(levels))) for levels in found.levels)
    head = tag("tr", tag("td"), [tag("th", name, scope="col") for name in columns])
    body = [
        tag("tr", tag("th", name, scope="row"), [_cell(found, (i, j), low, high) for j in range(len(columns))])
        for i, name in enumerate(rows)
    ]
    return pieces.scrolling(tag("table", tag("thead", head), tag("tbody", body), class_="heat"), title)


def _cell(found: Interaction, place: tuple[int, int], low: float, high: float) -> Markup:
    cell = found.cells.get(place)
    if cell is None:
        return tag("td", "none", class_="none")
    ground = colour((cell.mean - low) / (high - low) if high > low else 0.5)
    ink = "#fff" if 0.299 * ground[0] + 0.587 * ground[1] + 0.114 * ground[2] < 128 else "#000"
    style = f"background:#{bytes(ground).hex()};color:{ink}"
    return tag("td", intervals.plus_minus(cell.mean, None), tag("small", f"n = {cell.n}"), style=style)


def colour(share: float) -> Colour:
    """The colour of a value from 0 (lowest) to 1 (highest)."""
    place = share * (len(_CIVIDIS) - 1)
    left = min(int(place), len(_CIVIDIS) - 2)
    r, g, b = (round(a + (place - left) * (z - a)) for a, z in zip(_CIVIDIS[left], _CIVIDIS[left + 1], strict=True))
    return r, g, b


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
