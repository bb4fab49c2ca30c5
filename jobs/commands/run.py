"""`conclus run`: a study on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from jobs.present import options


@click.command()
@options.study
@options.results
@options.overrides
@options.workers
@options.ray_address
@options.allow_cpu
@options.keep_going
@click.option(
    "--checkpoint",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Go on from a checkpoint that lay elsewhere; refused if its loss, data, encoder or split is another.",
)
@options.metrics
@options.track
@options.plug_in
@options.quiet
def command(
    study: Path,
    results: str,
    overrides: tuple[str, ...],
    *,
    checkpoint: Path | None,
    track: tuple[str, ...],
    quiet: bool,
    **where: Any,
) -> None:
    """Run every missing trial of STUDY, then show the leaderboard.

    The stages of a study run one after the other, as long as each meets its continue_if; if one does not, the run ends
    with exit code 1.

    Press Ctrl-C once to stop: results are kept, running trials can be resumed, and the same command continues.

    Exit codes: 0 every trial is done; 1 trials failed, or running it again would not help; 2 something given is wrong;
    3 trials are left, because the budget or the job's time is over or a SIGTERM came: run it again; 130 after Ctrl-C.
    """
    from jobs.execution import job_end
    from jobs.execution.console import run_study

    with job_end.written(study, results):
        run_study(study, results, (*overrides, *track), checkpoint=checkpoint, quiet=quiet, **where)
