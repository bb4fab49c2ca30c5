"""A leaderboard for each data set, and methods compared over data sets, as tables and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from core.errors import counted
from jobs.analysis import data_sets
from jobs.analysis.comparison import (
    FEWEST_SETS,
    Boards,
    CellScore,
    ComparedRow,
    Comparison,
    comparison,
    leaderboards,
    notes,
)
from jobs.analysis.intervals import ALPHA
from jobs.analysis.leaderboard import Leaderboard, wanted_columns
from jobs.analysis.pareto import NO_AIMS, Aims
from jobs.analysis.samples import METHOD
from jobs.analysis.scores import metric_name
from jobs.analysis.selection import Probes
from jobs.present import tables
from jobs.present.effect import paragraphs
from jobs.present.leaderboard import (
    Sheet,
    board_sheet,
    board_table,
    board_text,
    chosen_settings,
    interval_text,
    settings_text,
    sign_notes,
)
from jobs.present.names import USUAL, ShownNames
from jobs.present.tables import Column
from jobs.results.names import short_names
from jobs.results.reader import load

_SIGNS = {"best": " *", "tied": " =", "unknown": " ?", "worse": ""}
_RANK = "avg rank"


def leaderboard_text(
    results_paths: Sequence[str], study: str, metric: str, mode: str, width: int | None = None, *, aims: Aims = NO_AIMS
) -> str:
    """The leaderboards of one study, shown at the end of `conclus run`, for a terminal of that width.

    Raises:
        UserError: There are no results, none with the metric, or the metric cannot rank them.
    """
    probes = Probes()
    loaded = load(results_paths, columns=wanted_columns(metric, aims), studies=[study], lighten=probes.take_out)
    table = probes.with_stability(loaded.table)
    boards = leaderboards(table, metric, mode, aims)
    return text(boards, [comparison(table, boards)], "table", width)


def text(boards: Boards, compared: Sequence[Comparison], fmt: str, width: int | None = None) -> str:
    """The leaderboard of each data set, then what is compared over data sets or metrics, and all notes.

    Args:
        boards: From `jobs.analysis.comparison.leaderboards`.
        compared: The comparison by the metric of the leaderboards, and by each further one.
        fmt: `table`, `markdown` or `latex`.
        width: Characters per line of the terminal; only `table` uses it.
    """
    return paragraphs([*leaderboard_blocks(boards, fmt, width), *comparison_blocks(compared, fmt, width)], fmt, width)


def leaderboard_blocks(
    boards: Boards, fmt: str, width: int | None = None, labels: ShownNames | None = None, *, verbose: bool = False
) -> list[str]:
    """The leaderboards as tables, which end in a newline, and sentences; without labels by the keys that one types.

    If `verbose`, the settings that are the same in all, and not as by default, stand above the tables. Those that only
    one data set has stand in its heading.
    """
    if len(boards) == 1:
        board = boards[0][1]
        if fmt == "table":
            return [board_text(board, width, labels, verbose=verbose)]
        return [board_sheet(board, fmt, labels).render(fmt), *_together(board.notes, fmt, width)]
    shared = shared_board(boards)
    shared_notes, own_notes = notes(boards)
    blocks: list[str] = []
    if settings := verbose and settings_text(
        replace(shared, constant=chosen_settings(shared.constant, shared)), labels
    ):
        blocks.append(f"The same in all: {settings}".replace("all: in all", "all"))
    for name, board in boards:
        told = {*shared.constant, *data_sets.keys_in(name, board.constant)}
        own = {key: value for key, value in board.constant.items() if key not in told}
        settings = settings_text(replace(board, constant=chosen_settings(own, board)), labels)
        blocks += [
            f"Data set {(labels or USUAL).data_set(name)}{settings and f': {settings}'}",
            board_table(board, width, labels) if fmt == "table" else board_sheet(board, fmt, labels).render(fmt),
            *_together(own_notes[name], fmt, width),
        ]
    signs = dict.fromkeys(sign for _, board in boards for sign in sign_notes(board, has_bold=fmt != "table"))
    return [*blocks, *_together([*signs, *shared_notes], fmt, width)]


def comparison_blocks(
    found: Sequence[Comparison],
    fmt: str,
    width: int | None = None,
    labels: ShownNames | None = None,
    top: int | None = None,
) -> list[str]:
    """The tables, of at most `top` rows, and sentences of the comparisons; none if there is nothing to compare."""
    if not is_shown(found):
        return []
    sheets = comparison_sheets(first_rows(found, top), fmt, labels)
    blocks = [part for title, sheet in sheets for part in (title, sheet.render(fmt, width))]
    return [*blocks, *_together(comparison_notes(found, fmt, labels), fmt, width)]


def shared_board(boards: Boards) -> Leaderboard:
    """The first leaderboard with those of its settings that all have."""
    first = boards[0][1]
    shared = {key: value for key, value in first.constant.items() if all(_has(one, key, value) for _, one in boards)}
    return replace(first, constant=shared)


def is_shown(found: Sequence[Comparison]) -> bool:
    """Whether several rows have a score on one of several data sets, or by several metrics."""
    first = found[0]
    return len(first.rows) > 1 and (len(first.data) > 1 or len(found) > 1)


def comparison_sheets(
    found: Sequence[Comparison], fmt: str, labels: ShownNames | None = None
) -> list[tuple[str, Sheet]]:
    """The tables under their titles: one for each metric, or one of all metrics where there is one data set.

    The best of a column and all that are tied with it are bold.
    """
    what, called, data = _what(found[0]), labels.metric if labels else metric_name, (labels or USUAL).data_set
    if len(found[0].data) == 1:
        names = [called(one.metric) for one in found]
        title = f"{' and '.join(names)} on {data(found[0].data[0])}, by {what}:"
        known = [{row_key(row): row.cells[0] for row in one.rows} for one in found]
        cells = [[one.get(row_key(row)) for one in known] for row in found[0].rows]
        return [(title, _sheet(found[0], (names, found[0].data * len(found)), cells, fmt, labels))]
    return [
        (
            f"{called(one.metric)} by {what} and data set:",
            _sheet(one, ([*map(data, one.data)], one.data), [row.cells for row in one.rows], fmt, labels),
        )
        for one in found
    ]


def first_rows(found: Sequence[Comparison], top: int | None) -> list[Comparison]:
    """The comparisons with the first so many rows of the first one; all rows for None."""
    kept = {row_key(row) for row in found[0].rows[:top]}
    return [replace(one, rows=tuple(row for row in one.rows if row_key(row) in kept)) for one in found]


def comparison_rows(found: Sequence[Comparison]) -> Sheet:
    """One row for each cell, with every number in a column of its own, for CSV and JSON."""
    keys = [*found[0].rows[0].params]
    heads = ["data", "metric", *keys, "study", "config_key", "mean", "low", "high", "n", "rank", "verdict"]
    heads += ["among", "average_rank"]
    rows = [
        [name, metric_name(one.metric), *(row.params[key] for key in keys), *_numbers(cell), row.average_rank]
        for one in found
        for row in one.rows
        for name, cell in zip(one.data, row.cells, strict=True)
        if cell is not None
    ]
    return Sheet([Column(name) for name in heads], rows)


def told(boards: Boards) -> list[str]:
    """The sentences on the leaderboards; one that is of one of several begins with the name of its data set."""
    shared, own = notes(boards)
    return [*(f"{name}: {note}" for name, said in own.items() for note in said), *shared]


def leaderboard_rows(boards: Boards, fmt: str, labels: ShownNames | None = None) -> Sheet:
    """The leaderboards in one table: below one another, with the data set in the first column."""
    sheets = [(name, board_sheet(board, fmt, labels)) for name, board in boards]
    if len(sheets) == 1:
        return sheets[0][1]
    heads = dict.fromkeys(column.name for _, sheet in sheets for column in sheet.columns)
    rows: list[list[Any]] = []
    for name, sheet in sheets:
        names = [column.name for column in sheet.columns]
        known = [dict(zip(names, row, strict=True)) for row in sheet.rows]
        rows += [[name, *(one.get(head) for head in heads)] for one in known]
    return Sheet([Column("data set"), *(Column(head) for head in heads)], rows)


def comparison_notes(found: Sequence[Comparison], fmt: str, labels: ShownNames | None = None) -> list[str]:
    """Sentences on the cells, on what was picked, on the ranks and on their test."""
    first = found[0]
    verdicts = {cell.verdict for one in found for row in one.rows for cell in row.cells if cell is not None}
    column = "data set" if len(first.data) > 1 else "metric"
    counts = [cell.entry.score.n for one in found for row in one.rows for cell in row.cells if cell is not None]
    said = [_seeds_told(counts, ranked=len(first.ranked_on) > 1)]
    if fmt == "table":
        said += [f"* the best of its {column}."]
        said += ["= the seeds cannot tell it from the best of its column."] if "tied" in verdicts else []
    else:
        said.append(f"Bold: the best of each {column}, and all that the seeds cannot tell from it.")
    said += ["? too few seeds to tell it from the best of its column."] if "unknown" in verdicts else []
    ranks = [note for one in found for note in rank_notes(one, labels, named=len(found) > 1)]
    return [*said, *picked_notes(found, labels), *ranks]


def picked_notes(found: Sequence[Comparison], labels: ShownNames | None = None) -> list[str]:
    """Sentences on cells without a score, and on how the configurations in the cells were picked."""
    first, called = found[0], labels.metric if labels else metric_name
    what, column = _what(first), "data set" if len(first.data) > 1 else "metric"
    cells = [cell for one in found for row in one.rows for cell in row.cells if cell is not None]
    said: list[str] = []
    if any(_has_empty(one, len(first.rows)) for one in found):
        said.append(f"An empty cell: this {what} has no value there.")
    reasons = {reason for row in first.rows for reason in row.without.values()}
    if "failed" in reasons:
        said.append(f"failed: the training failed with every seed; that is the last rank of its {column}.")
    if "infeasible" in reasons:
        said.append("infeasible: it breaks a constraint there, so it has no rank there.")
    if first.is_picked:
        same = "this same seed" if max(cell.entry.score.n for cell in cells) < 2 else "these same seeds"
        more = " Its other scores are those of the same configuration." if len(found) > 1 else ""
        said.append(
            f"Where a {what} has several configurations on a data set, the one with the best "
            f"{called(first.picked_by)} there stands for it. It was picked by {same}, so it looks better than it is, "
            f"and a {what} with more configurations has an advantage.{more}"
        )
    studies = {cell.entry.study for cell in cells}
    if len(studies) > 1:
        said.append(f"The cells are of {len(studies)} studies, whose other settings may differ: --study takes one.")
    return said


def rank_notes(found: Comparison, labels: ShownNames | None = None, *, named: bool) -> list[str]:
    """Sentences on the average ranks over data sets and their test, with the metric if `named`."""
    if len(found.data) == 1:
        return []
    what = _what(found)
    about = f" by {(labels.metric if labels else metric_name)(found.metric)}" if named else ""
    if len(found.ranked_on) < 2:
        return [f"No average rank{about}: fewer than two data sets have a result of every {what}."]
    sets = _sets(found, what)
    told = f"{_RANK.capitalize()}{about}: the mean of the ranks on {sets}. Rank 1 is the best."
    return [told, _tested(found, sets, about, f"{what}s")]


def _tested(found: Comparison, sets: str, about: str, many: str) -> str:
    """The sentence on Friedman's test."""
    test = found.test
    if test is None:
        here = len(found.ranked_on)
        return f"Friedman's test of the ranks{about} needs {FEWEST_SETS} data sets or more: here are {here}."
    p = f"p {'=' if test.p >= 0.001 else '<'} {max(test.p, 0.001):.2g}"
    asked = f"Friedman's test over {sets}{about}: {p} (from shuffled ranks)"
    if test.p > ALPHA:
        return f"{asked}. No difference between the {many} is shown."
    differ = f"Two {many} whose average ranks differ by {test.critical:.2f} or more differ"
    return f"{asked}, so the {many} differ. {differ} (Nemenyi's critical difference, error 5 % over all pairs)."


def _sets(found: Comparison, what: str) -> str:
    if found.ranked_on == found.data:
        return f"the {len(found.data)} data sets"
    return f"the {len(found.ranked_on)} data sets, of {len(found.data)}, that have a result of every {what}"


def _seeds_told(counts: Sequence[int], *, ranked: bool) -> str:
    """What the number in a cell is, by the numbers of seeds of the cells."""
    if max(counts) < 2:
        return "Each cell is the value of one seed, so it has no interval."
    said = "Each cell is the mean over the seeds with its 95 % interval."
    if min(counts) < max(counts):
        said += f" The cells are of {min(counts)} to {counted(max(counts), 'seed')}."
        said += " A rank counts them alike." if ranked else ""
    return said + (" A cell of one seed has no interval." if min(counts) < 2 else "")


def _has_empty(found: Comparison, count: int) -> bool:
    """Whether one of so many rows has no score somewhere, for no reason that its cell tells."""
    cells = ((row, name, cell) for row in found.rows for name, cell in zip(found.data, row.cells, strict=True))
    return len(found.rows) < count or any(cell is None and name not in row.without for row, name, cell in cells)


def _sheet(
    found: Comparison,
    columns_of: tuple[Sequence[str], Sequence[str]],
    cells: Sequence[Sequence[CellScore | None]],
    fmt: str,
    labels: ShownNames | None,
) -> Sheet:
    """The table; of each column the head and the data set are given."""
    heads, data = columns_of
    ranks = [one.average_rank for one in found.rows if one.average_rank is not None]
    columns = [Column(_what(found), right=False), *(Column(head, right=False) for head in heads)]
    rows: list[list[Any]] = [
        [label, *(_text(cell, fmt, one.without.get(name, "")) for cell, name in zip(row, data, strict=True))]
        for label, row, one in zip(row_labels(found, labels), cells, found.rows, strict=True)
    ]
    if ranks:
        columns.append(Column(_RANK))
        rows = [[*row, f"{rank:.2f}"] for row, rank in zip(rows, ranks, strict=True)]
    bold = [
        (i, 1 + j)
        for i, row in enumerate(cells)
        for j, cell in enumerate(row)
        if cell is not None and cell.verdict in {"best", "tied"}
    ]
    return Sheet(columns, rows, tuple(bold))


def _text(cell: CellScore | None, fmt: str, reason: str) -> str:
    """A score with its interval, or why there is none; beside it the sign of a verdict that bold does not show."""
    if cell is None:
        return reason
    sign = _SIGNS[cell.verdict] if fmt == "table" or cell.verdict == "unknown" else ""
    return f"{interval_text(cell.entry.score)}{sign}"


def _together(said: Sequence[str], fmt: str, width: int | None) -> list[str]:
    """The sentences as one block, without empty lines between them."""
    return ["".join(paragraphs([note], fmt, width) for note in said)] if said else []


def _numbers(cell: CellScore) -> list[Any]:
    entry, score = cell.entry, cell.entry.score
    return [
        entry.study,
        entry.config_key,
        score.mean,
        score.low,
        score.high,
        score.n,
        entry.rank,
        cell.verdict,
        cell.among,
    ]


def _what(found: Comparison) -> str:
    """What a row is called."""
    return "method" if [*found.rows[0].params] == [METHOD] else "configuration"


def row_labels(found: Comparison, labels: ShownNames | None = None) -> list[str]:
    """What tells each row from the others: `tcl`, or `learning_rate=0.001 threshold=0.95`."""
    if _what(found) == "method":
        return [str((labels or USUAL).value(METHOD, row.params[METHOD])) for row in found.rows]
    names = labels.by_key(found.rows[0].params) if labels else short_names(found.rows[0].params)
    values = {key: tables.numbers([row.params[key] for row in found.rows]) for key in names}
    return [
        " ".join(f"{names[key]}={'-' if (cell := values[key][i]) is None else tables.cell_text(cell)}" for key in names)
        for i in range(len(found.rows))
    ]


def row_key(row: ComparedRow) -> tuple[Any, ...]:
    """What tells a row from the others."""
    return tuple(row.params.values())


def _has(board: Leaderboard, key: str, value: Any) -> bool:
    return key in board.constant and board.constant[key] == value
