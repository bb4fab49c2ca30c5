"""Scores as papers print them, in LaTeX: three metrics, the best bold, the second underlined, the tied told."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from jobs.analysis.comparison import Boards, Comparison, comparisons, leaderboards
from jobs.analysis.leaderboard import Leaderboard
from jobs.analysis.samples import METHOD
from jobs.analysis.scores import bounds, default_mode, metric_name, of_epoch
from jobs.present.comparison import is_shown, picked_notes, rank_notes, row_key, row_labels
from jobs.present.leaderboard import interval_text, origins_columns, params_columns, shown, troubles, unranked_notes
from jobs.present.names import USUAL, Labels
from jobs.present.tables import Column, cell_text, tex, tex_interval, tex_row
from jobs.results.names import METRIC

if TYPE_CHECKING:
    import pyarrow as pa

_SCORES = ("npmi", "topic_diversity", "nmi", "acc", "ari", "recall_at_1", "recall_at_10", "mrr", "cosine_similarity")
"""The scores of a paper in the order of their columns."""
_COUNT = 3
_DECIMALS = re.compile(r"\d+\.\d{3,}")
_HALF_WIDTH = re.compile(r" \$\\pm\$([\d.]+)$")
_SIGNS = {"tied": r"$^{\dagger}$", "unknown": r"$^{?}$"}
_SIGN_OF = {True: "tied", False: "", None: "unknown"}


@dataclass(frozen=True, slots=True)
class Look:
    """How a paper names things.

    Attributes:
        labels: The names of metrics, parameters, methods and data sets.
        percent: Whether scores that are at most 1 are printed as percentages.
    """

    labels: Labels = USUAL
    percent: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """A score, and how it stands in its column.

    Attributes:
        text: The score with its interval, or why there is none.
        place: 1 for the best of the column, 2 for the second; 0 for what is not ranked.
        sign: `tied` with the best, `unknown` where too few seeds tell, or empty.
    """

    text: str
    place: int = 0
    sign: str = ""


@dataclass(frozen=True, slots=True)
class PaperTable:
    """One table of a paper.

    Attributes:
        about: What it shows, for the caption.
        labels: The columns that tell rows apart, each with its texts.
        groups: By a heading, which is empty for the only one, the columns of scores under it by metric.
        extras: The columns to the right of the scores.
        notes: The sentences below the table.
        board: The leaderboard that it shows; None for methods x data sets.
    """

    about: str
    labels: Sequence[tuple[Column, Sequence[str]]]
    groups: Mapping[str, Mapping[str, Sequence[Cell]]]
    extras: Sequence[tuple[Column, Sequence[str]]]
    notes: Sequence[str]
    board: Leaderboard | None = None

    @property
    def is_wide(self) -> bool:
        """Whether it needs the width of the page, where there are two columns."""
        return sum(map(len, self.groups.values())) > _COUNT or len(self.labels) + len(self.extras) > _COUNT


def paper_tables(table: pa.Table, boards: Boards, look: Look) -> list[PaperTable]:
    """Methods x data sets, then the configurations of each data set; only the latter where they tell the same.

    Args:
        table: The rows of the leaderboards.
        boards: The leaderboard of each data set.
        look: The names, and whether in percent.
    """
    metrics, first = scores_of(boards), boards[0][1]
    others = {name: default_mode(name) for name in metrics if name != metric_name(first.metric)}
    found = comparisons(table, boards, others)
    by_metric = {name: dict(leaderboards(table, name, mode)) for name, mode in others.items()}
    by_metric[metric_name(first.metric)] = dict(boards)
    same = len(boards) == 1 and len(first.entries) == len(found[0].rows)
    compared = [_compared(found, metrics, look)] if is_shown(found) and not same else []
    ranked = [
        _ranked((name if len(boards) > 1 else "", board), {one: by_metric[one].get(name) for one in metrics}, look)
        for name, board in boards
    ]
    return [*compared, *ranked]


def scores_of(boards: Boards) -> list[str]:
    """The metrics of a paper in the order of their columns: the one that ranks, and others up to three."""
    ranking = metric_name(boards[0][1].metric)
    prefix = of_epoch(ranking).removeprefix(METRIC)
    there = {name for _, board in boards for entry in board.entries for name in entry.secondary}
    chosen = dict.fromkeys([ranking, *(f"{prefix}{name}" for name in _SCORES if name in there)])
    places = {f"{prefix}{name}": place for place, name in enumerate(_SCORES)}
    return sorted([*chosen][:_COUNT], key=lambda name: places.get(name, -1))


def tabular(table: PaperTable, look: Look) -> str:
    """The table as a `tabular` environment of the package booktabs."""
    scores = [(name, cells) for metrics in table.groups.values() for name, cells in metrics.items()]
    columns = [
        *((column, [tex(text) for text in texts]) for column, texts in table.labels),
        *((Column(look.labels.metric(name)), [_score(cell, name, look) for cell in cells]) for name, cells in scores),
        *((column, [tex(text) for text in texts]) for column, texts in table.extras),
    ]
    lines = [
        rf"\begin{{tabular}}{{{''.join('r' if column.right else 'l' for column, _ in columns)}}}",
        r"\toprule",
        *_headings(table),
        tex_row([tex(column.name) for column, _ in columns]),
        r"\midrule",
        *map(tex_row, zip(*(texts for _, texts in columns), strict=True)),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines)


def _headings(table: PaperTable) -> list[str]:
    """The line with the names of the groups, and the rules below them; nothing where there is one group."""
    if len(table.groups) < 2:
        return []
    cells, rules, first = [""] * len(table.labels), [], len(table.labels) + 1
    for name, metrics in table.groups.items():
        cells.append(rf"\multicolumn{{{len(metrics)}}}{{c}}{{{tex(name)}}}")
        rules.append(rf"\cmidrule(lr){{{first}-{first + len(metrics) - 1}}}")
        first += len(metrics)
    return [tex_row([*cells, *("" for _ in table.extras)]), " ".join(rules)]


def _score(cell: Cell, metric: str, look: Look) -> str:
    text = _percent(cell.text) if look.percent and in_percent(metric) else cell.text
    text = _HALF_WIDTH.sub(r"{\\scriptsize$\\pm$\1}", tex_interval(text))
    text = {1: rf"\textbf{{{text}}}", 2: rf"\underline{{{text}}}"}.get(cell.place, text)
    return f"{text}{_SIGNS.get(cell.sign, '')}"


def in_percent(metric: str) -> bool:
    """Whether a metric is at most 1 and so may be printed as a percentage."""
    return bounds(metric)[1] == 1


def _percent(text: str) -> str:
    """The numbers of a score times 100, each with two decimals less."""
    return _DECIMALS.sub(lambda number: f"{Decimal(number[0]).scaleb(2):f}", text)


def _compared(found: Sequence[Comparison], metrics: Sequence[str], look: Look) -> PaperTable:
    """Methods, or configurations, x data sets x metrics."""
    first, labels = found[0], look.labels
    by_metric = {metric_name(one.metric): one for one in found}
    groups = {
        labels.data_set(data): {
            name: _column_of(by_metric[name], data, [*map(row_key, first.rows)]) for name in metrics
        }
        for data in first.data
    }
    what = "method" if [*first.rows[0].params] == [METHOD] else "configuration"
    ranks = [f"{one.average_rank:.2f}" for one in first.rows if one.average_rank is not None]
    return PaperTable(
        about=f"{_joined([*map(labels.metric, metrics)])} on {_joined([*groups])}, by {what}",
        labels=[(Column(what, right=False), row_labels(first, labels))],
        groups=groups,
        extras=[(Column("rank"), ranks)] if ranks else [],
        notes=[*_marks(groups), *picked_notes(found, labels), *rank_notes(first, labels, named=len(found) > 1)],
    )


def _column_of(found: Comparison, data: str, keys: Sequence[tuple[Any, ...]]) -> list[Cell]:
    """The cells of one metric on one data set, in the order of the keys of rows."""
    if data not in found.data:
        return [Cell("")] * len(keys)
    column = found.data.index(data)
    rows = {row_key(row): row for row in found.rows}
    scored = {key: cell for key in keys if key in rows and (cell := rows[key].cells[column]) is not None}
    order = sorted(scored, key=lambda key: scored[key].entry.rank)
    cells = {
        key: Cell(interval_text(cell.entry.score), order.index(key) + 1, cell.verdict) for key, cell in scored.items()
    }
    lost = {key for key, row in rows.items() if data in row.failed}
    return [cells.get(key) or Cell("failed" if key in lost else "") for key in keys]


def _ranked(named: tuple[str, Leaderboard], by_metric: Mapping[str, Leaderboard | None], look: Look) -> PaperTable:
    """The configurations of one data set, in the order of the metric that ranks."""
    (name, board), labels = named, look.labels
    entries = shown(board)
    rows = [(entry.study, entry.config_key) for entry in entries]
    scores = {metric: _ranked_column(one, rows) for metric, one in by_metric.items()}
    counts = {entry.score.n for entry in entries}
    extras = [(Column("n"), [entry.score.n for entry in entries])] if len(counts) > 1 else []
    sides = [*origins_columns(board), *params_columns(board, entries, labels)]
    on = f" on {labels.data_set(name)}" if name else ""
    return PaperTable(
        about=f"{_joined([*map(labels.metric, by_metric)])}{on}, by configuration",
        labels=[(column, [*map(cell_text, cells)]) for column, cells in sides],
        groups={"": scores},
        extras=[(column, [*map(cell_text, cells)]) for column, cells in [*extras, *troubles(board)]],
        notes=[*_marks({"": scores}), *unranked_notes(board)],
        board=board,
    )


def _ranked_column(board: Leaderboard | None, rows: Sequence[tuple[str, str]]) -> list[Cell]:
    """The cells of one metric, in the order of these configurations; what has no rank has no place either."""
    cells: dict[tuple[str, str], Cell] = {}
    if board is not None:
        unranked = [Cell(interval_text(entry.score)) for entry in shown(board)[len(board.entries) :]]
        ranked = [
            Cell(interval_text(one.score), place, _SIGN_OF[one.tied] if place > 1 else "")
            for place, one in enumerate(board.entries, 1)
        ]
        keys = ((entry.study, entry.config_key) for entry in shown(board))
        cells = dict(zip(keys, [*ranked, *unranked], strict=True))
    return [cells.get(key, Cell("")) for key in rows]


def _marks(groups: Mapping[str, Mapping[str, Sequence[Cell]]]) -> list[str]:
    """The meaning of the marks that the columns have."""
    cells = [cell for columns in groups.values() for column in columns.values() for cell in column]
    signs = {cell.sign for cell in cells}
    said = ["Bold: the best of its column; underlined: the second."] if any(cell.place > 1 for cell in cells) else []
    said += ["† the seeds cannot tell it from the best."] if "tied" in signs else []
    return said + (["? too few seeds to tell it from the best."] if "unknown" in signs else [])


def _joined(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
