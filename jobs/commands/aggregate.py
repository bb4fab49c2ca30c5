"""`conclus aggregate`: the leaderboard of results."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.errors import UserError, counted
from jobs.present import inputs, options
from jobs.present.output import PARQUET, deliver, format_of, remark, say, width

if TYPE_CHECKING:
    from jobs.analysis.comparison import Boards, Comparison

_TABLES = ("leaderboard", "methods")
_OUT_HELP = "A file to write: the leaderboard as .csv, .md, .tex or .json, or the rows as .parquet."


@click.command("aggregate")
@options.analysed
@click.option(
    "--on",
    "--metric",
    "metric",
    help="What ranks: nmi, best.acc, loss, or without labels consensus. After commas, others to compare methods by: "
    "nmi,acc.  [default: the study's own, else nmi]",
)
@options.mode
@options.where
@options.studies
@click.option(
    "--table",
    "part",
    type=click.Choice(_TABLES),
    help="Only the leaderboards, or only methods x data sets.  [csv and json: leaderboard]",
)
@click.option(
    "--columns",
    type=click.Choice(["auto", "ledger"]),
    default="auto",
    show_default=True,
    help="ledger: one row per trial, in order of time, with the columns of a hand-kept table.",
)
@options.fmt
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help=_OUT_HELP)
@click.option("--attempts", is_flag=True, help="Every attempt instead of one row per trial.")
def command(  # noqa: PLR0917 (click passes them by name)
    results: tuple[str, ...],
    metric: str | None,
    mode: str | None,
    where: str,
    studies: tuple[str, ...],
    part: str | None,
    columns: str,
    fmt: str,
    out: Path | None,
    attempts: bool,
) -> None:
    """Gather the results in the folders RESULTS (default: results) and rank the configurations.

    Each configuration is shown with its mean over seeds and the 95 % interval of that mean. Configurations that the
    seeds cannot tell from the best are marked.
    """
    paths = results or ("results",)
    if out and out.suffix == PARQUET:
        _write_rows(paths, where, studies, out, attempts=attempts)
        return
    fmt = format_of(out, fmt)
    if columns == "ledger" or attempts:
        text = _rows_text(paths, where, studies, fmt, attempts=attempts)
    else:
        text = _ranked_text(paths, where, studies, (fmt, part), (metric, mode))
    deliver(text, out)


def _write_rows(paths: Sequence[str], where: str, studies: Sequence[str], out: Path, *, attempts: bool) -> None:
    from jobs.results.storage import put
    from jobs.results.writer import serialise

    loaded = inputs.rows(paths, where=where, studies=studies, attempts=attempts, history=True)
    put(out, serialise(loaded.table))
    say(f"Wrote {counted(loaded.table.num_rows, 'row')} to {out}.")


def _rows_text(paths: Sequence[str], where: str, studies: Sequence[str], fmt: str, *, attempts: bool) -> str:
    from jobs.analysis.samples import import_notes
    from jobs.present.leaderboard import attempts_sheet, ledger_sheet

    loaded = inputs.rows(paths, where=where, studies=studies, attempts=attempts)
    table = loaded.table
    sheet = attempts_sheet(table) if attempts else ledger_sheet(table, loaded.columns, exact=fmt in {"csv", "json"})
    remark(import_notes(table))
    return sheet.render(fmt, width())


def _ranked_text(
    paths: Sequence[str],
    where: str,
    studies: Sequence[str],
    form: tuple[str, str | None],
    wanted: tuple[str | None, str | None],
) -> str:
    from jobs.conclusions.ranking import ranked

    boards, compared = ranked(paths, where, studies, wanted, all_metrics=form[1] == "methods")
    return _shown(boards, compared, *form)


def _shown(boards: "Boards", compared: "Sequence[Comparison]", fmt: str, part: str | None) -> str:
    from jobs.present import comparison as present
    from jobs.present.effect import paragraphs

    if part == "methods" and not present.is_shown(compared):
        raise UserError(
            "There is nothing to compare: methods x data sets needs two methods or configurations, and two data sets "
            "or, as --metric nmi,acc, two metrics."
        )
    if fmt in {"csv", "json"}:
        if part == "methods":
            remark(present.comparison_notes(compared, fmt))
            return present.comparison_rows(compared).render(fmt)
        remark(present.told(boards))
        return present.leaderboard_rows(boards, fmt).render(fmt)
    lines = width() if fmt == "table" else None
    if fmt != "table" and len(boards) == 1 and not (part != "leaderboard" and present.is_shown(compared)):
        remark(boards[0][1].notes)
        return present.leaderboard_rows(boards, fmt).render(fmt)
    blocks = [] if part == "methods" else present.leaderboard_blocks(boards, fmt, lines)
    blocks += [] if part == "leaderboard" else present.comparison_blocks(compared, fmt, lines)
    return paragraphs(blocks, fmt, lines)
