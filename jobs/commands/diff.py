"""`conclus diff`: two sets of results side by side."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.errors import UserError
from jobs.present import inputs, options
from jobs.present.output import deliver, format_of, remark, width
from jobs.present.tables import FORMATS

if TYPE_CHECKING:
    from jobs.analysis.difference import Difference
    from jobs.results.reader import Loaded


@click.command("diff")
@click.argument("folders", nargs=-1, type=click.Path(), metavar="A B")
@click.option(
    "--study",
    "studies",
    multiple=True,
    help="Only this study of A and B. Given twice: A's study, then B's, in one folder.  [that folder: results]",
)
@options.on_metric
@options.mode
@options.where
@click.option(
    "--format",
    "fmt",
    type=click.Choice(FORMATS),
    help="How to print it; csv, json and latex hold the configurations in both alone.  "
    "[default: table at a terminal, else markdown]",
)
@options.out
def command(  # noqa: PLR0917 (click passes them by name)
    folders: tuple[str, ...],
    studies: tuple[str, ...],
    metric: str | None,
    mode: str | None,
    where: str,
    fmt: str | None,
    out: Path | None,
) -> None:
    """Compare the results in the folders A and B, for a pull request.

    It shows changes of parameters, code and packages, the configurations that are in only one of A and B, and for
    those in both the difference B - A of the metric, seed by seed, with its interval.
    """
    from jobs.analysis.difference import difference

    (path_a, studies_a), (path_b, studies_b) = sides = _sides(folders, studies)
    metric, mode = inputs.chosen_metric([path_a, path_b], [*studies_a, *studies_b], metric, mode)
    a, b = (_load(path, own, metric, where) for path, own in sides)
    fmt = format_of(out, fmt or ("table" if sys.stdout.isatty() else "markdown"))
    names = tuple(" ".join([path, *own]) for path, own in sides)
    deliver(_text(difference(a.table, b.table, metric, mode), (names[0], names[1]), fmt), out)


def _sides(folders: Sequence[str], studies: Sequence[str]) -> list[tuple[str, list[str]]]:
    if len(folders) == 2 and len(studies) < 2:
        return [(folder, list(studies)) for folder in folders]
    if len(folders) < 2 and len(studies) == 2:
        return [((*folders, "results")[0], [study]) for study in studies]
    raise UserError("Give two results folders A and B, or one folder and --study twice: A's study, then B's.")


def _load(path: str, studies: list[str], metric: str, where: str) -> Loaded:
    from jobs.analysis.difference import COLUMNS

    wanted = [*COLUMNS, metric, "metric.*", f"health.{metric}"]
    return inputs.rows(path, columns=wanted, where=where, studies=studies)


def _text(found: Difference, names: tuple[str, str], fmt: str) -> str:
    from jobs.analysis.scores import metric_name
    from jobs.present.difference import difference_text, notes, pairs_sheet

    if fmt in {"table", "markdown"}:
        return difference_text(found, names, fmt, width())
    better = "more" if found.mode == "max" else "less"
    remark(notes(found, metric_name(found.metric), better))
    return pairs_sheet(found, exact=fmt != "latex").render(fmt)
