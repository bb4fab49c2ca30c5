"""Importance and interactions as tables and sentences."""

import math
from typing import Any

from core.errors import counted
from jobs.analysis import intervals
from jobs.analysis.data_sets import DATA
from jobs.analysis.importance import Importance, Share
from jobs.analysis.interaction import Contrast, Interaction
from jobs.analysis.scores import metric_name
from jobs.present import tables
from jobs.present.effect import labels, paragraphs
from jobs.present.leaderboard import Sheet
from jobs.present.tables import Column

_SHADES = "░▒▓█"
_EMPTY = "·"
_SHOWN_PAIRS = 10
_BAR = 20


def importance_text(found: Importance, fmt: str, width: int | None) -> str:
    """The shares of all parameters, the largest interactions, luck, and notes."""
    blocks = [
        _importance_headline(found),
        importance_sheet(found, bars=fmt != "latex").render(fmt, width),
    ]
    blocks += [f"{one} --format csv has them all." for one in hidden_pairs(found)]
    blocks.append(
        "A share is what the row explains beyond all other parameters, for the configurations that were run; verdicts "
        "use Holm's correction (5 %)."
    )
    if any(one.verdict.startswith("not shown to matter") for one in found.parameters):
        blocks.append(
            "Not shown to matter here: conclus effect may still show a difference of two values of that parameter. It "
            "compares trials that are equal in everything else, so it often sees smaller differences."
        )
    return paragraphs([*blocks, *remarks(found)], fmt, width)


def shown(found: Importance) -> list[Share]:
    """The shares to show: every parameter, and the pairs that explain most."""
    return [*found.parameters, *found.interactions[:_SHOWN_PAIRS]]


def hidden_pairs(found: Importance) -> list[str]:
    """A sentence on the pairs that are not shown, if there are any."""
    hidden = len(found.interactions) - _SHOWN_PAIRS
    return [f"{hidden} more pairs explain less."] if hidden > 0 else []


def remarks(found: Importance) -> list[str]:
    """Sentences: why one may matter whose interval begins at nothing, which have no share, and the notes."""
    at_zero = any(one.low == 0 and one.verdict.startswith("matters") for one in shown(found))
    why = (
        "An interval from 0% beside `matters`: the interval leaves 2.5 % of error at each of its two ends, the test "
        "all 5 % at the one that it asks about. So the interval is wider."
    )
    names = labels(key for one in found.parameters for key in one.keys)
    tied = [names[one.keys[0]] for one in found.parameters if one.verdict.startswith("cannot be told")]
    together = (
        f"Without a share are {', '.join(tied)}: they changed only together, as where each study has its own values. "
        "So what they explain is in no row, and may be much. Run trials in which one of them changes alone, or look at "
        "one study with --study."
    )
    return [*([why] if at_zero else []), *([together] if tied else []), *found.notes]


def importance_sheet(found: Importance, *, bars: bool = True) -> Sheet:
    """One row per parameter, the largest pairs, and luck, in a form for people."""
    names = labels(key for one in found.parameters for key in one.keys)
    shares = shown(found)
    rows = [[" x ".join(names[key] for key in one.keys), *_share_cells(one)] for one in shares]
    if found.luck is not None:
        rows.append(["luck (the seed)", _percent(found.luck), _ends(found.luck_interval), _bar(found.luck), ""])
    columns = [Column("", right=False), Column("share", strong=True), Column("95 % interval")]
    columns += [Column("of the variance", right=False, drop=1), Column("verdict", right=False)]
    if not bars:
        columns, rows = _without(columns, 3), [_without(row, 3) for row in rows]
    bold = tuple(i for i, one in enumerate(shares) if one.verdict.startswith("matters"))
    return Sheet(columns, rows, bold)


def importance_rows(found: Importance) -> Sheet:
    """Every share with all digits, for CSV and JSON."""
    names = ("first", "second", "share", "low", "high", "p", "verdict")
    shares = [*found.parameters, *found.interactions]
    rows: list[list[Any]] = [
        [one.keys[0], one.keys[1] if len(one.keys) > 1 else None, one.share, one.low, one.high, one.p, one.verdict]
        for one in shares
    ]
    if found.luck is not None:
        rows.append(["luck", None, found.luck, *(found.luck_interval or (None, None)), None, ""])
    return Sheet([Column(name) for name in names], rows)


def _without(cells: list[Any], place: int) -> list[Any]:
    return [*cells[:place], *cells[place + 1 :]]


def interaction_text(found: Interaction, fmt: str, width: int | None) -> str:
    """The heat map and the differences of differences."""
    names = labels(found.keys)
    first, second = (names[key] for key in found.keys)
    blocks = [
        _map_headline(found, first, second),
        heat_map(found, shades=fmt != "latex").render(fmt, width),
    ]
    if found.refusal:
        blocks.append(found.refusal)
    else:
        known = sum(one.estimate is not None and one.estimate.p is not None for one in found.contrasts)
        blocks.append(
            f"How much more a step of {first} gains after a step of {second}, for trials equal in everything else and "
            "for the configurations that were run; 95 % intervals"
            + (f", corrected for the {known} comparisons (Bonferroni):" if known > 1 else ":")
        )
        if any(one.n for one in found.contrasts):
            blocks.append(contrasts_sheet(found).render(fmt, width))
        if empty := sum(not one.n for one in found.contrasts):
            blocks.append(
                f"{counted(empty, 'pair')} of steps cannot be compared: no four trials with them are equal in all else."
            )
    return paragraphs([*blocks, *found.notes], fmt, width)


def heat_map(found: Interaction, *, shades: bool = True) -> Sheet:
    """The metric's mean, shade and number of trials in every cell."""
    rows, columns = found.levels
    texts = [
        [tables.cell_text(value), *(_cell(found, (i, j), shades=shades) for j in range(len(columns)))]
        for i, value in enumerate(rows)
    ]
    return Sheet([Column(""), *(Column(tables.cell_text(value)) for value in columns)], texts)


def contrasts_sheet(found: Interaction) -> Sheet:
    """The differences of differences in a form for people."""
    names = labels(found.keys)
    columns = [Column(names[key], right=False) for key in found.keys]
    columns += [Column("difference of differences", right=False), Column("n"), Column("verdict", right=False)]
    return Sheet(columns, [_contrast_cells(one) for one in found.contrasts if one.n])


def interaction_rows(found: Interaction) -> Sheet:
    """Every cell, run or not, with all digits, for CSV and JSON."""
    rows, columns = found.levels
    cells = [
        [first, second, cell.mean if cell else None, cell.n if cell else 0]
        for i, first in enumerate(rows)
        for j, second in enumerate(columns)
        for cell in [found.cells.get((i, j))]
    ]
    return Sheet([Column(name) for name in (*found.keys, metric_name(found.column), "n")], cells)


def _importance_headline(found: Importance) -> str:
    return (
        f"What explains {metric_name(found.column)} over {counted(found.trials, 'finished trial')} of "
        f"{counted(found.configurations, 'configuration')}: shares of the variance between trials, with 95 % intervals."
    )


def _map_headline(found: Interaction, first: str, second: str) -> str:
    return (
        f"{metric_name(found.column)}: {first} down, {second} across; n in brackets, {_EMPTY} not run; "
        f"{_SHADES[0]} lowest to {_SHADES[-1]} highest quarter of the range"
        + (" of a data set." if any(key.startswith(DATA) for key in found.keys) else ".")
    )


def _share_cells(one: Share) -> list[str]:
    if one.share is None or one.low is None or one.high is None:
        return ["", "", "", one.verdict]
    return [_percent(one.share), _ends((one.low, one.high)), _bar(one.share), one.verdict]


def _percent(share: float) -> str:
    """In whole per cent; 0% is exactly nothing, which never matters."""
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"


def _ends(interval: tuple[float, float] | None) -> str:
    return f"{_percent(interval[0])} … {_percent(interval[1])}" if interval else ""


def _bar(share: float) -> str:
    return "█" * round(share * _BAR)


def _ends_beside(found: Interaction, place: tuple[int, int]) -> tuple[float, float]:
    """The lowest and highest mean of the cells that this one is compared with: of one data set only."""
    sides = [side for side, key in enumerate(found.keys) if key.startswith(DATA)]
    values = [cell.mean for at, cell in found.cells.items() if all(at[side] == place[side] for side in sides)]
    return min(values), max(values)


def _cell(found: Interaction, place: tuple[int, int], *, shades: bool) -> str:
    cell = found.cells.get(place)
    if cell is None:
        return _EMPTY
    text = f"{intervals.plus_minus(cell.mean, None)} ({cell.n})"
    if not shades:
        return text
    low, high = _ends_beside(found, place)
    # The same scores in another order may have means that differ in their last bit.
    part = 0.0 if math.isclose(low, high, rel_tol=1e-9) else (cell.mean - low) / (high - low)
    shade = _SHADES[min(len(_SHADES) - 1, math.floor(part * len(_SHADES)))]
    return f"{shade} {text}"


def _contrast_cells(one: Contrast) -> list[Any]:
    steps = [f"{tables.cell_text(low)} → {tables.cell_text(high)}" for low, high in (one.first, one.second)]
    text = "" if one.estimate is None else intervals.plus_minus(one.estimate.mean, one.estimate.half_width)
    return [*steps, text, one.n, one.verdict]
