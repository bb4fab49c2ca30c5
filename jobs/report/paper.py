"""The leaderboard for a paper: Markdown or LaTeX, with a footnote on how it was made."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from core.errors import UserError, counted
from jobs.analysis.comparison import Boards
from jobs.analysis.leaderboard import Leaderboard
from jobs.analysis.scores import metric_name
from jobs.present.comparison import comparison_notes, comparison_sheets, is_shown, shared_board
from jobs.present.leaderboard import board_sheet, settings_text, sign_notes
from jobs.present.names import Labels
from jobs.present.tables import tex
from jobs.present.visible import literal, one_line
from jobs.report.contents import Contents
from jobs.report.headline import findings
from jobs.report.paper_tables import Look, PaperTable, in_percent, paper_tables, scores_of, tabular
from jobs.report.provenance import selection_rule

if TYPE_CHECKING:
    import pyarrow as pa

_TIES = "Ties have an error of 5 % over all configurations, by simulated sweeps of equal ones."


def markdown(contents: Contents, labels: Labels) -> str:
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


def _tables(contents: Contents, boards: Boards, labels: Labels) -> Iterator[tuple[str, str, list[str]]]:
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
