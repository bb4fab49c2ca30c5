"""The leaderboard for a paper: Markdown or LaTeX, with a footnote on how it was made."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from core.errors import UserError, counted
from jobs.analysis.comparison import Boards, Comparison, comparisons, leaderboards
from jobs.analysis.leaderboard import Leaderboard
from jobs.analysis.samples import METHOD
from jobs.analysis.scores import bounds, default_mode, metric_name, of_epoch
from jobs.present.comparison import (
    comparison_notes,
    comparison_sheets,
    is_shown,
    picked_notes,
    rank_notes,
    row_key,
    row_labels,
    shared_board,
)
from jobs.present.leaderboard import (
    board_sheet,
    interval_text,
    origins_columns,
    params_columns,
    settings_text,
    shown,
    sign_notes,
    troubles,
    unranked_notes,
)
from jobs.present.names import USUAL, ShownNames
from jobs.present.tables import Column, cell_text, tex, tex_interval, tex_row
from jobs.present.visible import literal, one_line
from jobs.report.contents import Contents
from jobs.report.headline import findings
from jobs.report.provenance import selection_rule
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

    labels: ShownNames = USUAL
    percent: bool = False


@dataclass(frozen=True, slots=True)
class PaperCell:
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
    groups: Mapping[str, Mapping[str, Sequence[PaperCell]]]
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


def _score(cell: PaperCell, metric: str, look: Look) -> str:
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


def _column_of(found: Comparison, data: str, keys: Sequence[tuple[Any, ...]]) -> list[PaperCell]:
    """The cells of one metric on one data set, in the order of the keys of rows."""
    if data not in found.data:
        return [PaperCell("")] * len(keys)
    column = found.data.index(data)
    rows = {row_key(row): row for row in found.rows}
    scored = {key: cell for key in keys if key in rows and (cell := rows[key].cells[column]) is not None}
    places = {key: place for place, key in enumerate(sorted(scored, key=lambda key: scored[key].entry.rank), 1)}
    cells = {key: PaperCell(interval_text(one.entry.score), places[key], one.verdict) for key, one in scored.items()}
    reasons = {key: row.without.get(data, "") for key, row in rows.items()}
    return [cells.get(key) or PaperCell(reasons.get(key, "")) for key in keys]


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


def _ranked_column(board: Leaderboard | None, rows: Sequence[tuple[str, str]]) -> list[PaperCell]:
    """The cells of one metric, in the order of these configurations; what has no rank has no place either."""
    cells: dict[tuple[str, str], PaperCell] = {}
    if board is not None:
        unranked = [PaperCell(interval_text(entry.score)) for entry in shown(board)[len(board.entries) :]]
        ranked = [
            PaperCell(interval_text(one.score), place, _SIGN_OF[one.tied] if place > 1 else "")
            for place, one in enumerate(board.entries, 1)
        ]
        keys = ((entry.study, entry.config_key) for entry in shown(board))
        cells = dict(zip(keys, [*ranked, *unranked], strict=True))
    return [cells.get(key, PaperCell("")) for key in rows]


def _marks(groups: Mapping[str, Mapping[str, Sequence[PaperCell]]]) -> list[str]:
    """The meaning of the marks that the columns have."""
    cells = [cell for columns in groups.values() for column in columns.values() for cell in column]
    signs = {cell.sign for cell in cells}
    said = ["Bold: the best of its column; underlined: the second."] if any(cell.place > 1 for cell in cells) else []
    said += ["† the seeds cannot tell it from the best."] if "tied" in signs else []
    return said + (["? too few seeds to tell it from the best."] if "unknown" in signs else [])


def _joined(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


_TIES = "Ties have an error of 5 % over all configurations, by simulated sweeps of equal ones."


def markdown(contents: Contents, labels: ShownNames) -> str:
    """The conclusions, the table, and the footnote below it.

    Raises:
        UserError: The metric may not rank these configurations.
    """
    boards = ranked(contents)
    title = ", ".join(one.study for one in contents.origins)
    said = "".join(f"- **{one.about}**: {literal(one.text)}\n" for one in findings(contents))
    parts = [f"## {literal(title)}\n\n{said}"]
    for name, table, note in _tables(contents, boards, labels):
        parts += [f"### {literal(name[:1].upper() + name[1:])}\n"] if name else []
        parts.append(f"{table}\n<small>{' '.join(map(literal, note))}</small>\n")
    return "\n".join(parts)


def latex(contents: Contents, table: pa.Table, look: Look) -> str:
    """A `table` environment of the package booktabs for each table.

    Comments above a table hold what a footnote has no room for: the settings, the rule of ties and the commit.

    Args:
        contents: The report.
        table: The rows of its leaderboards.
        look: The names, and whether scores are in percent.

    Raises:
        UserError: The metric may not rank these configurations.
    """
    boards = ranked(contents)
    title = _slug("-".join(one.study for one in contents.origins))
    parts = [
        _environment(contents, boards, one, f"tab:{title}-{number}" if number > 1 else f"tab:{title}", look)
        for number, one in enumerate(paper_tables(table, boards, look), 1)
    ]
    return "\n".join(["% \\usepackage{booktabs}", *parts])


def _environment(contents: Contents, boards: Boards, one: PaperTable, label: str, look: Look) -> str:
    own = [one.board] if one.board else [board for _, board in boards]
    board = one.board or shared_board(boards)
    percent = [look.labels.metric(name) for name in scores_of(boards) if look.percent and in_percent(name)]
    name = metric_name(board.metric)
    said = [f"{', '.join(percent)} in percent."] if percent else []
    said += [_intervals(own), *one.notes, board.notes[0].replace(f" {name}", f" {look.labels.metric(name)}", 1)]
    said += [f"Only rows where {contents.where}."] if contents.where else []
    said += _imported(contents)
    environment = "table*" if one.is_wide else "table"
    lines = [
        *(f"% {one_line(comment)}" for comment in _unprinted(contents, board)),
        rf"\begin{{{environment}}}",
        r"\centering\small\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{tex(one_line(one.about))}.}}",
        rf"\label{{{label}}}",
        tabular(one, look),
        "",
        r"\smallskip",
        rf"\parbox{{\linewidth}}{{\footnotesize {' '.join(tex(one_line(sentence)) for sentence in said)}}}",
        rf"\end{{{environment}}}",
    ]
    return "\n".join(lines) + "\n"


def _tables(contents: Contents, boards: Boards, labels: ShownNames) -> Iterator[tuple[str, str, list[str]]]:
    """The name of a table in Markdown, which is empty for the only one, the table, and its footnote."""
    for name, board in boards:
        told = f"data set {labels.data_set(name)}" if len(boards) > 1 else ""
        yield told, board_sheet(board, "markdown", labels).render("markdown"), footnote(contents, board)
    if contents.compared and is_shown([contents.compared]):
        for _, sheet in comparison_sheets([contents.compared], "markdown", labels):
            said = comparison_notes([contents.compared], "markdown", labels)
            yield "all data sets", sheet.render("markdown"), said


def ranked(contents: Contents) -> Boards:
    """The leaderboards of the report by data set.

    Raises:
        UserError: The metric may not rank these configurations.
    """
    if contents.refused is not None:
        raise UserError(str(contents.refused))
    return contents.boards


def footnote(contents: Contents, board: Leaderboard) -> list[str]:
    """Sentences on the meaning of the numbers, the seeds, the selection rule and the commit."""
    found = [_intervals([board]), *sign_notes(board, has_bold=True), *_unprinted(contents, board)]
    found += [f"Only rows where {contents.where}."] if contents.where else []
    return [*found, *_imported(contents)]


def _unprinted(contents: Contents, board: Leaderboard) -> list[str]:
    """What LaTeX keeps in comments: the rules of selection and of ties, the settings and the commit."""
    found = [_TIES, f"Selection: {selection_rule(contents)}. {board.notes[0]}"]
    found += [f"The same in all: {text}."] if (text := settings_text(board)) else []
    commits = sorted({one.commit for one in contents.origins if one.commit})
    return [*found, f"Commit: {', '.join(commits)}." if commits else "Commit: unknown."]


def _imported(contents: Contents) -> list[str]:
    count = contents.outcomes.imported
    return [f"{counted(count, 'row')} imported from a table, unverified."] if count else []


def _slug(text: str) -> str:
    r"""A name that a `\label` of LaTeX may have."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-") or "results"


def _intervals(boards: Sequence[Leaderboard]) -> str:
    """What stands beside the means; near a bound of a score the two sides of an interval differ."""
    entries = [entry for board in boards for entry in board.entries]
    numbers = sorted({entry.score.n for entry in entries})
    ends = str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    seeds = f"n = {ends} seeds" if numbers[-1] > 1 else "one seed (no interval)"
    if all(entry.score.half_width is None for entry in entries):
        return f"Mean over {seeds}."
    shown = [score for entry in entries for score in (entry.score, *entry.secondary.values())]
    both = "" if all(one.is_even for one in shown) else ", or the distances to its two ends (- and +)"
    return f"Mean and 95 % interval over {seeds}: ± half its width{both}."
