"""`conclus plot`: one result as a picture."""

import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import click

from core.errors import UserError
from jobs.present import options
from jobs.present.inputs import rows
from jobs.present.output import say, warn

_WHAT = {"leaderboard": 0, "pareto": 0, "curves": 0, "selection": 0, "importance": 0, "effect": 1, "interaction": 2}
"""The pictures, and the number of parameters of each."""
_SUFFIXES = (".png", ".svg", ".pdf")
_LEAST, _MOST = 2.0, 40.0
"""Inches of a figure, at least and at most."""


def _inches(_context: click.Context, _option: click.Parameter, text: str | None) -> float | None:
    """A width such as `3.3in`, `84mm` or `8.4cm`, in inches."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,4}(?:\.\d{1,4})?)(in|mm|cm)", text)
    inches = float(found[1]) / {"in": 1.0, "cm": 2.54, "mm": 25.4}[found[2]] if found else 0.0
    if not _LEAST <= inches <= _MOST:
        raise UserError(f"--width {text!r} is no width from {_LEAST:g}in to {_MOST:g}in, such as 3.3in, 84mm or 8.4cm.")
    return inches


def _need_renderer() -> None:
    """Checks that what draws is installed, before anything is read.

    Raises:
        UserError: It is not.
    """
    if find_spec("vl_convert") is None:
        raise UserError("Figures need vl-convert-python: uv sync --extra plot --inexact --no-dev")


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

For example: conclus plot results effect learning_rate --out effect.pdf
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
    help="The file to write: .png, .svg or .pdf.",
)
@options.labels
@click.option(
    "--width", "inches", callback=_inches, metavar="LENGTH", help="Of the figure: 3.3in, 84mm or 8.4cm.  [default: 7in]"
)
def command(  # noqa: PLR0917 (click passes them by name)
    words: tuple[str, ...],
    metric: str | None,
    mode: str | None,
    where: str,
    studies: tuple[str, ...],
    out: Path,
    labels: Path | None,
    inches: float | None,
) -> None:
    """Draws the requested picture."""
    paths, what, params = _parsed(words)
    if out.suffix not in _SUFFIXES:
        raise UserError(f"--out {str(out)!r} should end in one of {', '.join(_SUFFIXES)}.")
    _need_renderer()
    from jobs.charts.figure import figure
    from jobs.present.names import read_labels
    from jobs.report.asked import asked
    from jobs.report.plots import WIDTH, charts, notes
    from jobs.results.storage import put

    front, names = params if what == "pareto" else (), read_labels(labels)
    if front:
        _check_there(paths, where, studies, front)
    contents = asked(paths, where, studies, (metric, mode), names, front=front, paged=False)
    if front and (left := next((board.aims.left_out for _, board in contents.boards if board.aims.left_out), "")):
        raise UserError(f"There is no Pareto front to draw: {left}.")
    put(out, figure(charts(contents, what, params), out.suffix, inches or WIDTH))
    warn(notes(contents, what))
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
