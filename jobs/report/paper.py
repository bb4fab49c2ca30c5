"""The leaderboard for a paper: Markdown or LaTeX, with a footnote on how it was made."""

from __future__ import annotations

from core.errors import UserError, counted
from jobs.analysis.leaderboard import Leaderboard
from jobs.analysis.scores import metric_name
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
    board = ranked(contents)
    title = ", ".join(one.study for one in contents.origins)
    said = "".join(f"- **{one.about}**: {literal(one.text)}\n" for one in findings(contents))
    table = board_sheet(board, "markdown").render("markdown")
    note = " ".join(map(literal, footnote(contents, board)))
    return f"## {literal(title)}\n\n{said}\n{table}\n<small>{note}</small>\n"


def latex(contents: Contents) -> str:
    """A `table` environment of the package booktabs.

    Raises:
        UserError: The metric may not rank these configurations.
    """
    board = ranked(contents)
    title = ", ".join(one.study for one in contents.origins)
    lines = [
        r"% \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{tex(one_line(f'{title}: {metric_name(board.metric)}'))}}}",
        board_sheet(board, "latex").render("latex").rstrip(),
        "",
        r"\smallskip",
        rf"\parbox{{\linewidth}}{{\footnotesize {' '.join(tex(one_line(one)) for one in footnote(contents, board))}}}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


PAPERS = {"markdown": markdown, "latex": latex}


def ranked(contents: Contents) -> Leaderboard:
    """The leaderboard of the report.

    Raises:
        UserError: The metric may not rank these configurations.
    """
    if contents.board is None:
        raise UserError(str(contents.refused))
    return contents.board


def footnote(contents: Contents, board: Leaderboard) -> list[str]:
    """Sentences on the meaning of the numbers, the seeds, the selection rule and the commit."""
    found = [f"Mean ± half the 95 % t-interval over {_seeds(board)}.", *sign_notes(board)]
    found.append(
        "Bold: the best and all tied with it (error 5 % over all configurations, by simulated sweeps of equal ones)."
    )
    found.append(f"Selection: {selection_rule(contents)}. {board.notes[0]}")
    found += [f"The same in all: {text}."] if (text := settings_text(board)) else []
    found += [f"Only rows where {contents.where}."] if contents.where else []
    commits = sorted({one.commit for one in contents.origins if one.commit})
    found.append(f"Commit: {', '.join(commits)}." if commits else "Commit: unknown.")
    imported = contents.outcomes.imported
    return [*found, f"{counted(imported, 'row')} imported from a table, unverified."] if imported else found


def _seeds(board: Leaderboard) -> str:
    numbers = sorted({entry.score.n for entry in board.entries})
    ends = str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    return f"n = {ends} seeds" if numbers[-1] > 1 else "one seed (no interval)"
