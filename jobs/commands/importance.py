"""`conclus importance`: which parameters matter, with intervals."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobs.present import inputs, options
from jobs.present.output import deliver, format_of, remark, width

if TYPE_CHECKING:
    from jobs.analysis.importance import Importance


@click.command("importance")
@options.analysed
@options.on_metric
@options.where
@options.studies
@options.fmt
@options.out
def command(  # noqa: PLR0917 (click passes them by name)
    results: tuple[str, ...], metric: str | None, where: str, studies: tuple[str, ...], fmt: str, out: Path | None
) -> None:
    """Show which parameters matter in RESULTS (default: results), which of them interact, and how much is luck.

    For each parameter it shows the share of the variance that it explains beyond all others, with a 95 % interval. If
    the trials are too few or cannot tell parameters apart, it says so instead.
    """
    found = _found(results or ("results",), metric, where, studies)
    deliver(_text(found, format_of(out, fmt)), out)


def _found(paths: Sequence[str], metric: str | None, where: str, studies: Sequence[str]) -> "Importance":
    from jobs.analysis.importance import importance

    trials, _ = inputs.finished_trials(paths, studies, where, (metric, None))
    return importance(trials)


def _text(found: "Importance", fmt: str) -> str:
    from jobs.present.effect import PROSE
    from jobs.present.importance import importance_rows, importance_text

    if fmt in PROSE:
        return importance_text(found, fmt, width())
    remark(found.notes)
    return importance_rows(found).render(fmt)
