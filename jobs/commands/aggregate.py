"""`conclus aggregate`: results in, leaderboard out."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from core.errors import UserError
from jobs import options

if TYPE_CHECKING:
    from jobs.results.reader import Loaded
    from jobs.results.storage import Place

_SUFFIXES = {".csv": "csv", ".md": "markdown", ".tex": "latex", ".json": "json"}
_PARQUET = ".parquet"
_SHOWN_WARNINGS = 5
_OUT_HELP = "A file to write: the leaderboard as .csv, .md, .tex or .json, or the rows as .parquet."
_DEFAULT_METRIC = "nmi"


@click.command("aggregate")
@options.analysed
@click.option(
    "--metric",
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

    Each configuration is shown with its mean over seeds and the 95 % interval of that mean; those that the seeds
    do not tell from the best are marked.
    """
    paths = results or ("results",)
    if out and out.suffix == _PARQUET:
        _write_rows(paths, where, studies, out, attempts=attempts)
        return
    fmt = format_of(out) if out else fmt
    if columns == "ledger" or attempts:
        text = _rows_text(paths, where, studies, fmt, attempts=attempts)
    else:
        text = _ranked_text(paths, where, studies, fmt, (metric, mode))
    deliver(text, out)


def _write_rows(paths: Sequence[str], where: str, studies: Sequence[str], out: Path, *, attempts: bool) -> None:
    from jobs.results.reader import load
    from jobs.results.writer import put, serialise

    loaded = load(paths, where=where, studies=studies, attempts=attempts, history=True)
    warn(loaded.skipped)
    put(out, serialise(some(loaded).table))
    click.echo(f"Wrote {loaded.table.num_rows} rows to {out}.")


def _rows_text(paths: Sequence[str], where: str, studies: Sequence[str], fmt: str, *, attempts: bool) -> str:
    from jobs.analysis.leaderboard import import_notes
    from jobs.analysis.present import attempts_sheet, ledger_sheet
    from jobs.results.reader import load

    loaded = load(paths, where=where, studies=studies, attempts=attempts)
    warn(loaded.skipped)
    table = some(loaded).table
    sheet = attempts_sheet(table) if attempts else ledger_sheet(table, loaded.columns, exact=fmt in {"csv", "json"})
    for note in import_notes(table):
        click.echo(note, err=True)
    return sheet.render(fmt, width())


def _ranked_text(
    paths: Sequence[str], where: str, studies: Sequence[str], fmt: str, wanted: tuple[str | None, str | None]
) -> str:
    from jobs.analysis.leaderboard import leaderboard
    from jobs.analysis.present import board_sheet, board_text, wanted_columns
    from jobs.results.reader import load

    metric, mode = chosen_metric(paths, studies, *wanted)
    loaded = load(paths, where=where, studies=studies, columns=wanted_columns(metric))
    warn(loaded.skipped)
    board = leaderboard(some(loaded).table, metric, mode)
    if fmt == "table":
        return board_text(board, width())
    for note in board.notes:
        click.echo(note, err=True)
    return board_sheet(board, fmt).render(fmt)


def chosen_metric(
    paths: Sequence[str], studies: Sequence[str], metric: str | None, mode: str | None
) -> tuple[str, str]:
    """The metric and the mode: as asked, else as the studies agree, else the usual."""
    from jobs.analysis.scores import default_mode

    selects = {(select.get("metric"), select.get("mode")) for select in _selects(paths, studies)}
    own_metric, own_mode = selects.pop() if len(selects) == 1 else (None, None)
    chosen = str(metric or own_metric or _DEFAULT_METRIC)
    return chosen, str(mode or (own_mode if chosen == own_metric else None) or default_mode(chosen))


def _selects(paths: Sequence[str], studies: Sequence[str]) -> list[dict[str, Any]]:
    from jobs.results import storage
    from jobs.results.layout import study_folders

    folders = [folder for path in paths if not storage.at(path).is_file() for folder in study_folders(path, studies)]
    return [_select(folder / "study.json") for folder in folders]


def _select(path: "Place") -> dict[str, Any]:
    try:
        return json.loads(path.read_bytes()).get("select") or {}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError) as error:
        raise UserError(f"{path} cannot be read ({error}): restore it, or give --metric and --mode.") from error


def some(loaded: "Loaded") -> "Loaded":
    """What was read.

    Raises:
        UserError: That is nothing.
    """
    if not loaded.table.num_rows:
        raise UserError("No trial matches: look at --where and --study, or wait for the first one to start.")
    return loaded


def format_of(out: Path) -> str:
    """The format that a file's ending asks for.

    Raises:
        UserError: The ending is none of ours.
    """
    if out.suffix not in _SUFFIXES:
        raise UserError(f"--out {str(out)!r} should end in one of {', '.join([*_SUFFIXES, _PARQUET])}.")
    return _SUFFIXES[out.suffix]


def deliver(text: str, out: Path | None) -> None:
    """Print the text, or write it to a file and say so."""
    if out is None:
        click.echo(text, nl=False)
        return
    from jobs.results.writer import put

    put(out, text.encode())
    click.echo(f"Wrote {out}.")


def warn(skipped: Sequence[str]) -> None:
    """Name the first few files that could not be read."""
    for sentence in skipped[:_SHOWN_WARNINGS]:
        click.echo(f"Warning: {sentence}", err=True)
    if len(skipped) > _SHOWN_WARNINGS:
        click.echo(f"Warning: {len(skipped) - _SHOWN_WARNINGS} more files are skipped.", err=True)


def width() -> int:
    """Characters of the terminal's lines."""
    return shutil.get_terminal_size().columns
