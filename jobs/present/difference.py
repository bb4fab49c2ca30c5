"""A difference between two sets of results as text for a pull request, and as a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from core.errors import counted
from jobs.analysis import intervals
from jobs.analysis.difference import ENOUGH_SEEDS, Difference, Pair
from jobs.analysis.intervals import Estimate
from jobs.analysis.scores import metric_name
from jobs.analysis.trials import lost_note
from jobs.present import tables
from jobs.present.effect import labels
from jobs.present.leaderboard import Sheet
from jobs.present.output import wrapped
from jobs.present.tables import Column
from jobs.present.visible import literal, one_line

_SHOWN = 20
_SAME = "No parameter, code or package changed from A to B"


def difference_text(found: Difference, names: tuple[str, str], fmt: str, width: int | None = None) -> str:
    """The whole comparison, for a terminal (`table`) or in Markdown; `names` are shown for A and B."""
    metric = metric_name(found.metric)
    better = "more" if found.mode == "max" else "less"
    said = literal if fmt == "markdown" else one_line
    here, there = (f"`{one_line(name)}`" if fmt == "markdown" and "`" not in name else said(name) for name in names)
    parts = [
        _title(f"A: {here}, B: {there}", fmt, 2),
        "".join(f"{part}\n" for line in notes(found, metric, better) for part in _lines(said(line), fmt, width)),
        _title("Changed from A to B" if found.changes else _SAME, fmt, 3) if found.changes or found.pairs else "",
        _changes_sheet(found).render(fmt, width) if found.changes else "",
        _title(f"{said(metric)} of the {counted(len(found.pairs), 'configuration')} in both", fmt, 3)
        if found.pairs
        else "",
        pairs_sheet(found, exact=False).render(fmt, width) if found.pairs else "",
        _only("A", found.only_before, fmt, width),
        _only("B", found.only_after, fmt, width),
    ]
    return "\n".join(part for part in parts if part)


def _lines(text: str, fmt: str, width: int | None) -> list[str]:
    return wrapped(text, width) if fmt == "table" and width else [text]


def notes(found: Difference, metric: str, better: str) -> list[str]:
    """Sentences on what the numbers mean, and on the number of configurations in A and B."""
    here, there = len(found.only_before), len(found.only_after)
    counts = f"{counted(len(found.pairs), 'configuration')} in both, {here} only in A, {there} only in B."
    if not found.pairs:
        return [f"{counts} So nothing can be compared.", *_origins(found)]
    lines = [counts, f"Compared by {metric} ({better} is better): B - A seed by seed, mean with 95 % interval."]
    known = sum(pair.half_width is not None for pair in found.pairs)
    if known > 1:
        lines.append(f"The intervals of the {known} configurations hold together: each is corrected (Bonferroni).")
    if found.overall and found.overall.half_width is not None:
        lines.append(_overall(found.overall))
    verdicts = {pair.verdict for pair in found.pairs}
    if "=" in verdicts:
        lines.append("= no difference shown: the interval says how large one could still be.")
    if "?" in verdicts:
        lines.append(f"? no difference shown over fewer than {ENOUGH_SEEDS} shared seeds: too few to say.")
    if found.equal:
        configurations = counted(found.equal, "configuration", "have")
        lines.append(f"{configurations} the same scores in A and B to the last digit: they were trained alike.")
    return [*lines, *_origins(found)]


def _origins(found: Difference) -> list[str]:
    lines = [lost_note(found.lost)] if found.lost else []
    return [*lines, *[f"{counted(found.imported, 'row', 'are')} imported and unverified."] * (found.imported > 0)]


def _overall(found: Estimate) -> str:
    told = _signed(intervals.plus_minus(found.mean, found.half_width))
    scope = "for these configurations" + (" and this one seed" if found.seeds == 1 else "")
    seeds = "a shared seed" if found.seeds == 1 else "shared seeds"
    return f"Over the {counted(found.configurations, 'configuration')} with {seeds}: {told}, {scope} alone."


def pairs_sheet(found: Difference, *, exact: bool) -> Sheet:
    """The configurations in both A and B; if `exact`, every number has a column of its own."""
    keys = sorted({key for pair in found.pairs for key in pair.params})
    short = labels(keys)
    heads = [Column(key if exact else short[key]) for key in keys]
    params = [[_cell(pair.params.get(key)) for key in keys] for pair in found.pairs]
    if exact:
        heads += [Column(name) for name in ("a", "b", "seeds", "difference", "half_width", "verdict")]
        cells = [[p.before, p.after, p.seeds, p.difference, p.half_width, p.verdict] for p in found.pairs]
    else:
        heads += [Column("A"), Column("B"), Column("B - A", right=False, strong=True), Column("seeds")]
        heads += [Column("B is", right=False)]
        cells = [[_value(p.before), _value(p.after), _interval(p), p.seeds, p.verdict] for p in found.pairs]
    bold = tuple(i for i, pair in enumerate(found.pairs) if pair.verdict in {"better", "worse"})
    return Sheet(heads, [first + second for first, second in zip(params, cells, strict=True)], bold)


def _changes_sheet(found: Difference) -> Sheet:
    heads = [Column(name, right=False) for name in ("what", "A", "B")]
    return Sheet(heads, [[one.what, _cell(one.before), _cell(one.after)] for one in found.changes])


def _only(side: str, configurations: Sequence[Mapping[str, Any]], fmt: str, width: int | None) -> str:
    said = literal if fmt == "markdown" else one_line
    if not configurations:
        return ""
    short = labels(sorted({key for one in configurations for key in one}))
    lines = [
        said(" ".join(f"{short[key]}={tables.cell_text(_cell(value))}" for key, value in one.items()))
        or "its one configuration"
        for one in configurations[:_SHOWN]
    ]
    lines += [f"and {len(configurations) - _SHOWN} more"] if len(configurations) > _SHOWN else []
    break_ = "\n" if fmt == "markdown" else ""
    told = (part for line in lines for part in _lines(f"- {line}", fmt, width))
    return _title(f"Only in {side}", fmt, 3) + break_ + "".join(f"{line}\n" for line in told)


def _title(text: str, fmt: str, level: int) -> str:
    return f"{'#' * level} {text}\n" if fmt == "markdown" else f"{text}\n"


def _value(value: float | None) -> str:
    return "" if value is None else intervals.plus_minus(value, None)


def _interval(pair: Pair) -> str:
    return "" if pair.difference is None else _signed(intervals.plus_minus(pair.difference, pair.half_width))


def _signed(text: str) -> str:
    return text if text.startswith("-") else f"+{text}"


def _cell(value: Any) -> Any:
    if value is None:
        return "-"
    return int(value) if isinstance(value, float) and value.is_integer() else value
