"""`conclus interaction`: whether the effect of one parameter depends on another."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobs.present import inputs, options
from jobs.present.output import deliver, format_of, remark, width

if TYPE_CHECKING:
    from jobs.analysis.interaction import Interaction


@click.command("interaction")
@options.analysed
@click.argument("first", metavar="A", default="")
@click.argument("second", metavar="B", default="")
@options.on_metric
@options.where
@options.studies
@options.fmt
@options.out
def command(  # noqa: PLR0917 (click passes them by name)
    results: tuple[str, ...],
    first: str,
    second: str,
    metric: str | None,
    where: str,
    studies: tuple[str, ...],
    fmt: str,
    out: Path | None,
) -> None:
    """Show the metric over the parameters A and B in RESULTS (default: results), and whether they interact.

    It shows a heat map with the number of trials in each cell, also for empty cells. For neighbouring values it shows
    how much the effect of A changes with B: the difference of differences with its 95 % interval.
    """
    # Click would miss A where B is missing, so what is missing is told here.
    inputs.check_order(results, [first, second], "interaction")
    found = _found(results or ("results",), (first, second), metric, where, studies)
    deliver(_text(found, format_of(out, fmt)), out)


def _found(
    paths: Sequence[str], names: tuple[str, str], metric: str | None, where: str, studies: Sequence[str]
) -> "Interaction":
    from jobs.analysis.interaction import interaction
    from jobs.analysis.trials import param_key

    trials, _ = inputs.finished_trials(paths, studies, where, (metric, None))
    return interaction(trials, param_key(names[0], trials), param_key(names[1], trials))


def _text(found: "Interaction", fmt: str) -> str:
    from jobs.present.effect import PROSE
    from jobs.present.importance import interaction_rows, interaction_text

    if fmt in PROSE:
        return interaction_text(found, fmt, width())
    remark(found.notes)
    return interaction_rows(found).render(fmt)
