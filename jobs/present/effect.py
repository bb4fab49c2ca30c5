"""An effect as tables and sentences."""

import html
from collections.abc import Iterable, Sequence
from typing import Any

from core.errors import counted
from jobs.analysis import intervals
from jobs.analysis.effect import Effect, PairedDifference
from jobs.analysis.intervals import Estimate
from jobs.analysis.scores import metric_name
from jobs.analysis.slices import Slice
from jobs.present import tables
from jobs.present.leaderboard import Sheet
from jobs.present.output import wrapped
from jobs.present.tables import Column
from jobs.present.visible import literal, one_line
from jobs.results.names import short_names

TABLES = ("differences", "values", "slices")
PROSE = ("table", "markdown", "latex")
"""Formats that hold several tables with sentences between them."""


def effect_text(found: Effect, fmt: str, width: int | None, slices: int, parts: Sequence[str] = TABLES) -> str:
    """The whole analysis for people, in one of the formats of `PROSE`.

    Args:
        found: The result of `effect`.
        fmt: `table`, `markdown` or `latex`, or `html` for notebooks.
        width: Characters per line of the terminal; only `table` uses it.
        slices: Number of slices to show, the longest first.
        parts: The tables to show, of `TABLES`.
    """
    blocks = [_headline(found)]
    if "differences" in parts:
        blocks += [found.refusal] if found.refusal else _titled(_compared(found), differences_sheet(found), fmt, width)
    if "values" in parts and not found.refusal:
        blocks += _titled(_matched(found), values_sheet(found), fmt, width)
    if "slices" in parts:
        for one in found.slices[:slices]:
            blocks += _titled(slice_title(found, one), slice_sheet(found, one), fmt, width)
        blocks += _left_out(len(found.slices), slices)
    return paragraphs([*blocks, *found.notes], fmt, width)


def machine_sheet(found: Effect, part: str) -> Sheet:
    """One of `TABLES` with every number in a column of its own, for CSV and JSON."""
    return {"differences": _differences_rows, "values": values_sheet, "slices": _slices_rows}[part](found)


def differences_sheet(found: Effect) -> Sheet:
    """The comparisons in a form for people."""
    name = metric_name(found.column)
    rows = found.differences
    parts: list[tuple[Column, list[Any]]] = [
        (Column("from", right=_numeric(found)), tables.numbers([one.low for one in rows])),
        (Column("to", right=_numeric(found)), tables.numbers([one.high for one in rows])),
        (Column(name, right=False, drop=1), [_ends(one) for one in rows]),
        (Column("difference", right=False, strong=True), [_signed(one) for one in rows]),
        (Column("pairs"), [one.n for one in rows]),
        (Column("won/lost/tied", drop=2), [f"{one.wins}/{one.losses}/{one.ties}" for one in rows]),
        (Column("verdict", right=False), [one.verdict for one in rows]),
    ]
    bold = tuple(i for i, one in enumerate(rows) if one.verdict in {"better", "worse"})
    return Sheet([column for column, _ in parts], [list(row) for row in zip(*(v for _, v in parts), strict=True)], bold)


def values_sheet(found: Effect) -> Sheet:
    """The parameter's values with their numbers of trials and, if there are complete blocks, their means."""
    columns = [Column(_name(found), right=_numeric(found)), Column("trials")]
    rows: list[list[Any]] = [[level.value, level.n] for level in found.levels]
    if found.blocks:
        columns.append(Column(metric_name(found.column)))
        rows = [[*row, level.matched] for row, level in zip(rows, found.levels, strict=True)]
    return Sheet(columns, rows)


def slice_sheet(found: Effect, one: Slice) -> Sheet:
    """The metric over the parameter in one slice; if a value was repeated, also n and the range."""
    columns = [Column(_name(found), right=_numeric(found)), Column(metric_name(found.column))]
    rows: list[list[Any]] = [[point.value, point.mean] for point in one.points]
    if any(point.n > 1 for point in one.points):
        columns += [Column("range"), Column("n")]
        ends = [f"{point.minimum:.4g} … {point.maximum:.4g}" if point.n > 1 else "" for point in one.points]
        rows = [[*row, end, point.n] for row, end, point in zip(rows, ends, one.points, strict=True)]
    return Sheet(columns, rows)


def slice_title(found: Effect, one: Slice) -> str:
    """The title of a slice, such as "learning_rate at instance_temperature = 0.03, threshold = 0.95"."""
    names = labels([found.key, *one.fixed])
    fixed = ", ".join(f"{names[key]} = {tables.cell_text(value)}" for key, value in one.fixed.items())
    return f"{names[found.key]} at {fixed}" if fixed else names[found.key]


def labels(keys: Iterable[str]) -> dict[str, str]:
    """The name to show for each dotted key: `learning_rate`, and `method` for `method.name`."""
    return {
        key: key.removesuffix(".name") if key.endswith(".name") else name for key, name in short_names(keys).items()
    }


def paragraphs(blocks: Sequence[str], fmt: str, width: int | None) -> str:
    """Joins blocks by blank lines; wraps sentences for a terminal and leaves tables, which end in a newline."""
    return "\n".join(block if block.endswith("\n") else _sentence(block, fmt, width) for block in blocks)


def _sentence(text: str, fmt: str, width: int | None) -> str:
    if fmt == "html":
        return f"<p>{html.escape(one_line(text))}</p>\n"
    mark = "% " if fmt == "latex" else ""
    text = literal(text) if fmt == "markdown" else one_line(text)
    folded = wrapped(text, width) if fmt == "table" and width else [text]
    return "".join(f"{mark}{line}\n" for line in folded)


def _titled(title: str, sheet: Sheet, fmt: str, width: int | None) -> list[str]:
    return [title, sheet.render(fmt, width)]


def _headline(found: Effect) -> str:
    better = "larger" if found.mode == "max" else "smaller"
    trials = sum(level.n for level in found.levels)
    said = "" if found.refusal else f"; the {better} the better"
    return f"Effect of {found.key} on {metric_name(found.column)}, over {counted(trials, 'finished trial')}{said}."


def _compared(found: Effect) -> str:
    known = [one.estimate for one in found.differences if one.estimate and one.estimate.unit]
    against = "its next lower one" if found.reference is None else str(found.reference)
    return (
        f"Each value against {against}, over pairs equal in everything else"
        + (f"; 95 % intervals for {_scope(known)}" if known else "")
        + (f", corrected for the {len(known)} comparisons (Bonferroni)" if len(known) > 1 else "")
        + ". A difference is shown where its interval leaves out 0."
    )


def _scope(known: Sequence[Estimate]) -> str:
    """What the intervals hold for, and what they take as independent."""
    if all(one.seeds == 1 for one in known):
        return "the configurations and the one seed that were run"
    if all(one.configurations < intervals.ENOUGH and one.configurations < one.n for one in known):
        return "the configurations that were run, by the scatter of their seeds"
    return "the configurations that were run, the wider of those by configuration and by seed"


def _matched(found: Effect) -> str:
    if not found.blocks:
        return "No other configuration was run with every value, so means per value would not be comparable."
    blocks = f"{found.blocks} blocks" if found.blocks > 1 else "one block"
    return f"Means over the {blocks} (configuration and seed) that were run with every value:"


def _left_out(total: int, shown: int) -> list[str]:
    """A sentence if not all slices are shown."""
    if total <= shown:
        return []
    return [f"{counted(total - shown, 'more slice')}: --slices {total} or --format csv --table slices shows all."]


def _ends(one: PairedDifference) -> str | None:
    """The metric's means at both values."""
    if one.mean_low is None or one.mean_high is None:
        return None
    return f"{intervals.plus_minus(one.mean_low, None)} → {intervals.plus_minus(one.mean_high, None)}"


def _signed(one: PairedDifference) -> str | None:
    if one.estimate is None:
        return None
    text = intervals.plus_minus(one.estimate.mean, one.estimate.half_width)
    return f"+{text}" if one.estimate.mean > 0 else text


def _numeric(found: Effect) -> bool:
    return found.reference is None


def _name(found: Effect) -> str:
    return labels([found.key])[found.key]


def _differences_rows(found: Effect) -> Sheet:
    names = ("low", "high", "mean_low", "mean_high", "difference", "half_width", "p", "pairs", "configurations")
    columns = [Column(name) for name in (*names, "unit", "wins", "losses", "ties", "verdict")]
    return Sheet(columns, [_difference_row(one) for one in found.differences])


def _difference_row(one: PairedDifference) -> list[Any]:
    known = one.estimate
    estimate = [known.mean, known.half_width, known.p] if known else [None] * 3
    unit = [known.configurations, known.unit] if known else [None, ""]
    ends = [one.low, one.high, one.mean_low, one.mean_high]
    return [*ends, *estimate, one.n, *unit, one.wins, one.losses, one.ties, one.verdict]


def _slices_rows(found: Effect) -> Sheet:
    held = sorted({key for one in found.slices for key in one.fixed})
    names = ["slice", *held, found.key, metric_name(found.column), "minimum", "maximum", "n"]
    rows = [
        [number, *(one.fixed.get(key) for key in held), point.value, point.mean, point.minimum, point.maximum, point.n]
        for number, one in enumerate(found.slices, 1)
        for point in one.points
    ]
    return Sheet([Column(name) for name in names], rows)
