"""`conclus report`: the results as one page, as a table for a paper, or as the status page of one trial."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.errors import UserError
from jobs.present import options
from jobs.present.inputs import chosen_aims, chosen_metric
from jobs.present.output import deliver, made, warn

if TYPE_CHECKING:
    from jobs.health.status_page import Words
    from jobs.report.paper import Look
    from jobs.results.storage import Place

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
@click.option(
    "--style", type=click.Choice(["status"]), help="`status`: the status page of one trial instead, as Markdown."
)
@options.trial(
    "The trial of the status page; the first characters of its key do.  [default: the best one by the metric]"
)
@options.labels
@options.percent
@click.option("--lang", type=click.Choice(["en", "zh"]), help="The language of the status page.  [default: en]")
def command(  # noqa: PLR0917 (click passes them by name)
    results: tuple[str, ...],
    metric: str | None,
    mode: str | None,
    where: str,
    studies: tuple[str, ...],
    fmt: str | None,
    out: Path | None,
    style: str | None,
    trial: str | None,
    lang: str | None,
    labels: Path | None,
    *,
    percent: bool,
) -> None:
    """Write a report on the results in the folders RESULTS (default: results).

    As HTML, it is one page that needs no network: conclusions in words, leaderboard, drawings, health, provenance. As
    Markdown, it is the leaderboard, with the best and all tied with it in bold, and a footnote on how it was made. As
    LaTeX (booktabs), it is a table of methods x data sets and one of the configurations, with three scores: the best
    bold, the second underlined, what is tied with the best marked.

    The status page judges one trial, which may still be running: figures, what is good and what is not, how it
    compares, what to change, a forecast with its interval, and a check list. Every number is from the results
    or the data.
    """
    paths = results or ("results",)
    if style is None and (trial or lang):
        raise UserError("--trial and --lang are for the status page: add --style status.")
    if style:
        _check_markdown(fmt, out)
        deliver(_status_page(paths, where, studies, (metric, mode), (trial, lang or "en")), out)
        return
    fmt = _format(fmt, out)
    if fmt == "html":
        out = out or Path("report.html")
    if percent and fmt != "latex":
        raise UserError("--percent is for LaTeX: add --format latex, or name a file that ends in .tex with --out.")
    from jobs.present.names import read_labels
    from jobs.report.paper import Look

    deliver(_text(paths, where, studies, fmt, (metric, mode), Look(read_labels(labels), percent)), out)


def _format(fmt: str | None, out: Path | None) -> str:
    if out is None:
        return fmt or "html"
    if fmt is None and out.suffix not in _SUFFIXES:
        raise UserError(f"--out {str(out)!r} should end in one of {', '.join(_SUFFIXES)}, or give --format.")
    return fmt or _SUFFIXES[out.suffix]


def _text(  # noqa: PLR0917 - what a person gave
    paths: Sequence[str],
    where: str,
    studies: Sequence[str],
    fmt: str,
    wanted: tuple[str | None, str | None],
    look: Look,
) -> str:
    from jobs.analysis.leaderboard import wanted_columns
    from jobs.analysis.pareto import NO_AIMS
    from jobs.report import html, paper
    from jobs.report.asked import asked
    from jobs.results.reader import load

    contents = asked(paths, where, studies, wanted, look.labels, drawn=fmt == "html")
    if fmt == "html":
        return html.page(contents, made())
    if fmt == "markdown":
        return paper.markdown(contents, look.labels)
    aims = contents.boards[0][1].aims if contents.boards else NO_AIMS
    rows = load(paths, where=where, studies=studies, columns=wanted_columns(contents.metric, aims))
    return paper.latex(contents, rows.table, look)


def _check_markdown(fmt: str | None, out: Path | None) -> None:
    if fmt not in {None, "markdown"}:
        raise UserError(f"--style status writes Markdown: leave out --format {fmt}.")
    if out is not None and out.suffix != ".md":
        raise UserError(f"--style status writes Markdown: --out {str(out)!r} should end in .md.")


def _status_page(
    paths: Sequence[str],
    where: str,
    studies: Sequence[str],
    wanted: tuple[str | None, str | None],
    shown: tuple[str | None, str],
) -> str:
    from jobs.analysis import apart
    from jobs.health.status_page import COLUMNS, choose, status_page
    from jobs.present import status_page as present
    from jobs.present.inputs import one_trial, rows
    from jobs.results.layout import folders_of, study_name

    (metric, mode), (trial, language) = chosen_metric(paths, studies, *wanted), shown
    aims = chosen_aims(paths, studies)
    table = rows(paths, where=where, studies=studies, columns=[*COLUMNS, *aims.columns], history=True).table
    warn(apart.notes(table))
    keys = table["trial_key"].to_pylist()
    key = None if trial is None else one_trial(trial, keys, _none(trial, keys))
    chosen = choose(table, metric, maximise=mode == "max", key=key, named=wanted[0] is not None, aims=aims)
    row = {name: table[name][chosen.place].as_py() for name in ("study", "trial_key", "data_hash", "params_json")}
    folders = {study_name(folder): folder for folder in folders_of(paths, studies)}
    words = _words(folders.get(row["study"]), row)
    page = status_page(table, chosen.place, chosen.metric, maximise=chosen.maximise, words=words)
    return present.markdown(page, language, chosen.of, chosen.data_sets)


def _none(start: str, keys: Sequence[str]) -> str:
    from core.config.schema import nearest

    return f"There is no trial {start!r} in these results: there are {nearest(start, keys)}."


def _words(folder: Place | None, row: dict[str, str]) -> Words | str:
    """The mean number of words of the trial's texts; or the end of the key of the phrase that says why not."""
    import json

    from jobs.health.status_page import Words
    from jobs.report import cluster_data

    data = json.loads(row["params_json"] or "{}").get("data.name")
    if data == "documents":
        return "counts"
    if data not in {"text", "multiview"}:
        return "none"
    try:
        texts = cluster_data.texts_of(folder, row) if folder else None
    except UserError:
        texts = None
    if not texts:
        return "none" if data == "multiview" and texts is not None else "unread"
    counts = [len(text.split()) for text in texts]
    if sum(count > 1 for count in counts) * 2 < len(counts):
        return "spaceless"
    return Words(sum(counts) / len(counts), len(counts))
