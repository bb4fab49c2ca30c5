"""`conclus plot`: one result as a picture."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.errors import UserError
from jobs.present import options
from jobs.present.inputs import chosen_aims, chosen_metric, rows
from jobs.present.output import say, warn

if TYPE_CHECKING:
    from jobs.report.contents import Contents

_WHAT = {"leaderboard": 0, "pareto": 0, "curves": 0, "selection": 0, "importance": 0, "effect": 1, "interaction": 2}
"""The pictures, and the number of parameters of each."""
_SUFFIXES = (".png", ".svg")


_HELP = """\
Draw one conclusion from the folders RESULTS (default: results).

\b
WHAT is one of
  leaderboard         means, intervals, what is tied
  pareto [METRIC]...  the front of several metrics, by
                      default the study's `select.metrics`
  curves              the first configurations by epoch
  selection           the consensus against what ranks
  importance          shares of the variance
  effect PARAM        the metric along a parameter
  interaction A B     a heat map of two parameters

For example: conclus plot results effect learning_rate --out effect.svg
"""


@click.command("plot", help=_HELP)
@click.argument("words", nargs=-1, required=True, metavar="[RESULTS]... WHAT [PARAM]...")
@options.on_metric
@options.mode
@options.where
@options.studies
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The file to write: .png or .svg.",
)
def command(  # noqa: PLR0917 (click passes them by name)
    words: tuple[str, ...], metric: str | None, mode: str | None, where: str, studies: tuple[str, ...], out: Path
) -> None:
    """Draws the requested picture."""
    paths, what, params = _parsed(words)
    if out.suffix not in _SUFFIXES:
        raise UserError(f"--out {str(out)!r} should end in one of {', '.join(_SUFFIXES)}.")
    from jobs.results.storage import put

    contents = _contents(paths, where, studies, (metric, mode), params if what == "pareto" else ())
    put(out, _picture(contents, what, params, out.suffix))
    say(f"Wrote {out}.")


def _parsed(words: Sequence[str]) -> tuple[Sequence[str], str, Sequence[str]]:
    """The folders, the picture and its parameters; the first word that names a picture separates them."""
    at = next((i for i, word in enumerate(words) if word in _WHAT), None)
    if at is None:
        raise UserError(f"{words[-1]!r} is nothing to draw: write one of {', '.join(_WHAT)}.")
    what, params = words[at], words[at + 1 :]
    if what == "pareto" and len({*params}) == len(params) != 1:
        return words[:at] or ("results",), what, params
    if what == "pareto":
        raise UserError(f"pareto takes no metric or several different ones, as nmi seconds, not {' '.join(params)}.")
    if len(params) != _WHAT[what]:
        wanted = ("no parameter", "one parameter", "two parameters")[_WHAT[what]]
        raise UserError(f"{what} takes {wanted}, not {len(params)}: {' '.join(params) or 'none was given'}.")
    return words[:at] or ("results",), what, params


def _contents(
    paths: Sequence[str],
    where: str,
    studies: Sequence[str],
    wanted: tuple[str | None, str | None],
    metrics: Sequence[str],
) -> "Contents":
    from jobs.analysis.scores import default_mode
    from jobs.report.contents import gather

    metric, aims = chosen_metric(paths, studies, *wanted), chosen_aims(paths, studies)
    if metrics:
        _check_there(paths, where, studies, metrics)
        modes = dict([metric])
        aims = replace(aims, metrics={name: modes.get(name) or default_mode(name) for name in metrics})
    contents = gather(paths, *metric, aims=aims, where=where, studies=studies, paged=False)
    if metrics and (left := next((board.aims.left_out for _, board in contents.boards if board.aims.left_out), "")):
        raise UserError(f"There is no Pareto front to draw: {left}.")
    warn([*contents.notes, *contents.skipped])
    return contents


def _check_there(paths: Sequence[str], where: str, studies: Sequence[str], metrics: Sequence[str]) -> None:
    """Checks that the results have each metric, before anything asks which values of it are better.

    Raises:
        UserError: They lack one.
    """
    from jobs.analysis.scores import CONSENSUS, metric_column
    from jobs.study.sections import SECONDS

    loaded = rows(paths, where=where, studies=studies, columns=[])
    for name in metrics:
        if name not in {CONSENSUS, SECONDS}:
            metric_column([*loaded.table.column_names, *loaded.columns], name)


def _picture(contents: "Contents", what: str, params: Sequence[str], suffix: str) -> bytes:
    try:
        from jobs.report.plots import picture
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise UserError("Pictures need matplotlib: uv sync --extra plot --inexact") from error
    return picture(contents, what, params, suffix)
