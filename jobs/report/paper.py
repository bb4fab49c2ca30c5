"""The leaderboard for a paper: Markdown or LaTeX, with a footnote on how it was made."""

from __future__ import annotations

from collections.abc import Iterator

from core.errors import UserError, counted
from jobs.analysis.comparison import Boards
from jobs.analysis.leaderboard import Leaderboard
from jobs.analysis.scores import metric_name
from jobs.present.comparison import comparison_notes, comparison_sheets, is_shown
from jobs.present.leaderboard import board_sheet, settings_text, sign_notes
from jobs.present.tables import tex
from jobs.present.visible import literal, one_line
from jobs.report.contents import Contents
from jobs.report.headline import findings
from jobs.report.provenance import selection_rule


def markdown(contents: Contents) -> str:
    """The conclusions, the table, and the footnote below it.

    Raises:
        UserError: The metric may not rank these configurations.
    """
    boards = ranked(contents)
    title = ", ".join(one.study for one in contents.origins)
    said = "".join(f"- **{one.about}**: {literal(one.text)}\n" for one in findings(contents))
    parts = [f"## {literal(title)}\n\n{said}"]
    for name, table, note in _tables(contents, boards, "markdown"):
        parts += [f"### {literal(name[:1].upper() + name[1:])}\n"] if name else []
        parts.append(f"{table}\n<small>{' '.join(map(literal, note))}</small>\n")
    return "\n".join(parts)


def latex(contents: Contents) -> str:
    """A `table` environment of the package booktabs for each table.

    Raises:
        UserError: The metric may not rank these configurations.
    """
    boards = ranked(contents)
    title = f"{', '.join(one.study for one in contents.origins)}: {metric_name(boards[0][1].metric)}"
    lines = [r"% \usepackage{booktabs}"]
    for name, table, note in _tables(contents, boards, "latex"):
        lines += [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{tex(one_line(f'{title}, {name}' if name else title))}}}",
            table.rstrip(),
            "",
            r"\smallskip",
            rf"\parbox{{\linewidth}}{{\footnotesize {' '.join(tex(one_line(one)) for one in note)}}}",
            r"\end{table}",
        ]
    return "\n".join(lines) + "\n"


PAPERS = {"markdown": markdown, "latex": latex}


def _tables(contents: Contents, boards: Boards, fmt: str) -> Iterator[tuple[str, str, list[str]]]:
    """The name of a table, which is empty for the only one, the table, and its footnote."""
    for name, board in boards:
        told = f"data set {name}" if len(boards) > 1 else ""
        yield told, board_sheet(board, fmt).render(fmt), footnote(contents, board)
    if contents.compared and is_shown([contents.compared]):
        for _, sheet in comparison_sheets([contents.compared], fmt):
            yield "all data sets", sheet.render(fmt), comparison_notes([contents.compared], fmt)


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
    found = [_intervals(board), *sign_notes(board, has_bold=True)]
    found.append("Ties have an error of 5 % over all configurations, by simulated sweeps of equal ones.")
    found.append(f"Selection: {selection_rule(contents)}. {board.notes[0]}")
    found += [f"The same in all: {text}."] if (text := settings_text(board)) else []
    found += [f"Only rows where {contents.where}."] if contents.where else []
    commits = sorted({one.commit for one in contents.origins if one.commit})
    found.append(f"Commit: {', '.join(commits)}." if commits else "Commit: unknown.")
    imported = contents.outcomes.imported
    return [*found, f"{counted(imported, 'row')} imported from a table, unverified."] if imported else found


def _intervals(board: Leaderboard) -> str:
    """What stands beside the means; near a bound of a score the two sides of an interval differ."""
    if all(entry.score.half_width is None for entry in board.entries):
        return f"Mean over {_seeds(board)}."
    shown = [score for entry in board.entries for score in (entry.score, *entry.secondary.values())]
    both = "" if all(one.is_even for one in shown) else ", or the distances to its two ends (- and +)"
    return f"Mean and 95 % interval over {_seeds(board)}: ± half its width{both}."


def _seeds(board: Leaderboard) -> str:
    numbers = sorted({entry.score.n for entry in board.entries})
    ends = str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    return f"n = {ends} seeds" if numbers[-1] > 1 else "one seed (no interval)"
