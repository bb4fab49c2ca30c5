"""`conclus report`: the results as one page, or as a table for a paper."""

from collections.abc import Sequence
from pathlib import Path

import click

from core.errors import UserError
from jobs.present import options
from jobs.present.inputs import chosen_metric
from jobs.present.output import deliver, made, warn

_SUFFIXES = {".html": "html", ".htm": "html", ".md": "markdown", ".tex": "latex"}


@click.command("report")
@options.analysed
@options.on_metric
@options.mode
@options.where
@options.studies
@click.option(
    "--format",
    "fmt",
    type=click.Choice(["html", "markdown", "latex"]),
    help="A page, or a table for a paper.  [default: as --out ends, else html]",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file to write: .html, .md or .tex.  [default: report.html; tables are printed]",
)
def command(  # noqa: PLR0917 (click passes them by name)
    results: tuple[str, ...],
    metric: str | None,
    mode: str | None,
    where: str,
    studies: tuple[str, ...],
    fmt: str | None,
    out: Path | None,
) -> None:
    """Write a report on the results in the folders RESULTS (default: results).

    As HTML, it is one page that needs no network: conclusions in words, leaderboard, drawings, health, provenance. As
    Markdown or LaTeX (booktabs), it is the leaderboard, with the best and all tied with it in bold, and a footnote on
    how it was made.
    """
    paths = results or ("results",)
    fmt = _format(fmt, out)
    if fmt == "html":
        out = out or Path("report.html")
    deliver(_text(paths, where, studies, fmt, (metric, mode)), out)


def _format(fmt: str | None, out: Path | None) -> str:
    if out is None:
        return fmt or "html"
    if fmt is None and out.suffix not in _SUFFIXES:
        raise UserError(f"--out {str(out)!r} should end in one of {', '.join(_SUFFIXES)}, or give --format.")
    return fmt or _SUFFIXES[out.suffix]


def _text(
    paths: Sequence[str], where: str, studies: Sequence[str], fmt: str, wanted: tuple[str | None, str | None]
) -> str:
    from jobs.report import html, paper
    from jobs.report.contents import gather

    contents = gather(paths, *chosen_metric(paths, studies, *wanted), where=where, studies=studies, drawn=fmt == "html")
    warn([*contents.notes, *contents.skipped])
    if fmt == "html":
        return html.page(contents, made())
    return paper.PAPERS[fmt](contents)
