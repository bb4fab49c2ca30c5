"""`conclus run`: a study on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from jobs.cli import options


@click.command()
@options.study
@options.results
@options.overrides
@options.workers
@options.ray_address
@options.allow_cpu
@click.option("--keep-going", is_flag=True, help="Do not pause when the first trials fail, all for the same reason.")
@click.option(
    "--checkpoint",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Go on from a checkpoint that lay elsewhere; refused if its loss, data, encoder or split is another.",
)
@options.plug_in
@options.quiet
def command(
    study: Path, results: str, overrides: tuple[str, ...], *, checkpoint: Path | None, quiet: bool, **where: Any
) -> None:
    """Run every trial of STUDY that its results lack; then show the leaderboard.

    A study with stages runs one after the other, as long as each reaches what its continue_if asks for; at one that
    does not the exit code is 1.

    Press Ctrl-C once to stop: results are kept, running trials can be resumed, and the same command goes on.
    """
    from jobs.execution.console import run_study

    run_study(study, results, overrides, checkpoint=checkpoint, quiet=quiet, **where)
