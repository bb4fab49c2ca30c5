"""`conclus run`: a study on this machine."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobs import options

if TYPE_CHECKING:
    from cluster.executor import Event, Stop
    from jobs.run import Summary
    from jobs.stages import Course
    from jobs.study import Study


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
@options.quiet
def command(
    study: Path, results: str, overrides: tuple[str, ...], *, checkpoint: Path | None, quiet: bool, **where: Any
) -> None:
    """Run every trial of STUDY that its results lack; then show the leaderboard.

    A study with stages runs one after the other, as long as each reaches what its continue_if asks for; at one that
    does not the exit code is 1.

    Press Ctrl-C once to stop: results are kept, running trials can be resumed, and the same command goes on.
    """
    from dataclasses import replace

    from cluster.executor import Stop
    from jobs import stages

    course = stages.load(study, overrides)
    if checkpoint is not None:
        _adopt(course.at(0, results), results, checkpoint, quiet=quiet)
    stop = Stop()
    summary = None
    for place in range(len(course.stages)):
        read, before = course.at(place, results), summary
        summary = _run(read, results, where, stop, quiet=quiet)
        if summary.done and not quiet and not summary.unwritable:
            _conclude(read, results)
        if before is not None:
            summary = replace(summary, done=before.done + summary.done, failed=before.failed + summary.failed)
        if summary.missing or summary.paused or summary.unwritable:
            break
        _pass_gate(course, place, results, quiet=quiet)
    if summary is not None:
        _leave(summary, quiet=quiet)


def _adopt(study: Study, results: str, checkpoint: Path, *, quiet: bool) -> None:
    from jobs import plan as planning
    from jobs.adopt import adopt

    key, epoch = adopt(planning.known(planning.make(study), results), results, checkpoint)
    if not quiet:
        click.echo(f"trial {key} goes on after epoch {epoch}", err=True)


def _pass_gate(course: Course, place: int, results: str, *, quiet: bool) -> None:
    """Says what the gate after a stage says, and ends the run at one that is closed."""
    verdict = course.verdict(place, results)
    if verdict is None:
        return
    name = course.stages[place].study.name
    if not verdict.is_open:
        click.echo(f"{name}: the study ends here: {verdict.why}", err=True)
        sys.exit(1)
    if not quiet:
        click.echo(f"{name}: passed: {verdict.why}", err=True)


def _run(study: Study, results: str, where: dict[str, Any], stop: Stop, *, quiet: bool) -> Summary:
    from jobs import run as running
    from jobs.analysis.scores import CONSENSUS, LABEL_FREE
    from jobs.progress import Progress

    ready = running.prepare(study, results, **where)
    if quiet or not ready.anything:
        with stopped_by_signals(stop):
            return running.execute(ready, on_event=hear_nothing, stop=stop)
    total = ready.plan.n_trials
    done = len(ready.plan.trials) - len(ready.todo)
    click.echo(f"{study.name}: {total} trials, {done} done before", err=True)
    for sentence in ready.plan.statuses(results)[1]:
        click.echo(sentence, err=True)
    if study.select.metric == CONSENSUS:
        click.echo(f"a consensus needs all trials: until they are done {LABEL_FREE} is shown", err=True)
    progress = Progress(ready.plan, total, done)
    try:
        with stopped_by_signals(stop):
            return running.execute(ready, on_event=progress.hear, stop=stop)
    finally:
        progress.close()


def hear_nothing(_event: Event) -> None:
    """Shows no progress."""


@contextlib.contextmanager
def stopped_by_signals(stop: Stop) -> Generator[None]:
    """While trials run the first Ctrl-C (or SIGTERM) asks, the second leaves at once; before and after every one does.

    Planning has nothing to keep, and may wait for long for a data set that is on a slow disk.
    """

    def handle(_number: int, _frame: Any) -> None:
        if stop.requested:
            raise KeyboardInterrupt
        stop.request()
        click.echo("\nstopping: running trials are being kept resumable; Ctrl-C again leaves at once", err=True)

    kept = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, before in kept.items():
            signal.signal(number, before)


def _conclude(study: Study, results: str) -> None:
    """The leaderboard of what there is."""
    import shutil

    from jobs.analysis.present import leaderboard_text

    width = shutil.get_terminal_size().columns
    click.echo(leaderboard_text([results], study.name, study.select.metric, study.select.mode, width))


def _leave(summary: Summary, *, quiet: bool) -> None:
    if summary.unwritable:
        click.echo(f"Error: {summary.unwritable}; when it can be, go on with: {again()}", err=True)
        sys.exit(1)
    if summary.paused:
        click.echo(
            f"paused: the first trials failed alike ({summary.paused}). Mend that and run it again; "
            "--keep-going runs the others all the same",
            err=True,
        )
        sys.exit(1)
    if summary.spent and summary.missing and not summary.failed:
        if not quiet:
            click.echo(f"the budget is spent, {summary.missing} trials are left; go on with: {again()}", err=True)
        return
    if summary.stopped and summary.missing:
        click.echo(f"{summary.missing} trials are left; go on with: {again()}", err=True)
        sys.exit(130)
    if summary.failed or summary.missing:
        click.echo(
            f"{summary.failed} trials failed, {summary.missing} are missing; try them again with: {again()}",
            err=True,
        )
        sys.exit(1)
    if not quiet:
        click.echo(f"all {summary.done} trials are done", err=True)


def again() -> str:
    """The command that was typed."""
    import shlex

    return shlex.join(["conclus", *sys.argv[1:]])
