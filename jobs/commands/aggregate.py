"""`conclus aggregate`: the leaderboard of results."""

from collections.abc import Sequence
from pathlib import Path

import click

from core.errors import counted
from jobs.present import inputs, options
from jobs.present.output import PARQUET, deliver, format_of, remark, say, width

_OUT_HELP = "A file to write: the leaderboard as .csv, .md, .tex or .json, or the rows as .parquet."


@click.command("aggregate")
@options.analysed
@click.option(
    "--on",
    "--metric",
    "metric",
    help="What ranks: nmi, best.acc, loss, or without labels consensus.  [default: the study's own, else nmi]",
)
@options.mode
@options.where
@options.studies
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
        text = _ranked_text(paths, where, studies, fmt, (metric, mode))
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
    paths: Sequence[str], where: str, studies: Sequence[str], fmt: str, wanted: tuple[str | None, str | None]
) -> str:
    from jobs.analysis.leaderboard import leaderboard, wanted_columns
    from jobs.analysis.scores import CONSENSUS, metric_column
    from jobs.present.leaderboard import board_sheet, board_text

    metric, mode = inputs.chosen_metric(paths, studies, *wanted)
    aims = inputs.chosen_aims(paths, studies)
    loaded = inputs.rows(paths, where=where, studies=studies, columns=wanted_columns(metric, aims))
    if metric != CONSENSUS:  # This one is not in the rows; `leaderboard` makes it.
        metric_column([*loaded.table.column_names, *loaded.columns], metric)
    board = leaderboard(loaded.table, metric, mode, aims)
    if fmt == "table":
        return board_text(board, width())
    remark(board.notes)
    return board_sheet(board, fmt).render(fmt)
