"""Runs studies before a person's eyes: what is shown, what Ctrl-C does, and how to go on."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from cluster.executor import Event, Stop
from core.errors import counted
from jobs.analysis.scores import CONSENSUS, LABEL_FREE
from jobs.execution import runner as running
from jobs.execution.driver import AGAIN
from jobs.execution.import_checkpoint import adopt
from jobs.execution.progress import Progress
from jobs.execution.runner import Ready, Summary
from jobs.planning import plan as planning
from jobs.planning.data_check import check_data
from jobs.present.output import width
from jobs.search import stages
from jobs.search.known import known
from jobs.search.stages import Course
from jobs.study import trust
from jobs.study.study import Study


def run_study(
    file: Path,
    results: str,
    overrides: tuple[str, ...] = (),
    *,
    checkpoint: Path | None = None,
    own: bool = True,
    quiet: bool = False,
    **where: Any,
) -> None:
    """Run what the results lack of a study, stage by stage; exit with another code than 0 where it ends badly.

    Args:
        file: The study file.
        results: Where its results are kept.
        overrides: Of `--set`.
        checkpoint: One that lay elsewhere, which a trial of the study goes on from.
        own: Whether a person named the file; of results, what was run before may run.
        quiet: Show errors only.
        where: What `jobs.execution.runner.prepare` takes: `workers`, `address`, `allow_cpu`, `keep_going`.
    """
    course = stages.load(file, overrides)
    if own:
        trust.of_study(file, course.plug_in_files())
    if checkpoint is not None:
        _adopt(course.at(0, results), results, checkpoint, quiet=quiet)
    if len(course.stages) > 1:  # Nothing of a later one is to fail after the training of those before.
        for place, stage in enumerate(course.stages):
            check_data(planning.make(stage.study), course.gates(place))
    stop = Stop()
    summary = None
    for place in range(len(course.stages)):
        read, before = course.at(place, results), summary
        summary, read = _run(read, results, where, stop, quiet=quiet)
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
    key, epoch = adopt(known(planning.make(study), results), results, checkpoint)
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


def _run(study: Study, results: str, where: dict[str, Any], stop: Stop, *, quiet: bool) -> tuple[Summary, Study]:
    """How it ended, and the study as it was run: one whose data has no labels may select by consensus."""
    ready = running.prepare(study, results, **where)
    if quiet or not ready.anything:
        return execute(ready, stop, progress=None), ready.plan.study
    total = ready.plan.n_trials
    done = len(ready.plan.trials) - len(ready.todo)
    click.echo(f"{study.name}: {counted(total, 'trial')}, {done} done before", err=True)
    for sentence in ready.plan.statuses(results)[1]:
        click.echo(sentence, err=True)
    if ready.plan.study.select.metric == CONSENSUS:
        click.echo(f"a consensus needs all trials: until they are done {LABEL_FREE} is shown", err=True)
    return execute(ready, stop, progress=Progress(ready.plan, total, done)), ready.plan.study


def execute(ready: Ready, stop: Stop, *, progress: Progress | None) -> Summary:
    """Runs what is ready until it is done or Ctrl-C asks it to stop, showing progress where there is one."""
    for line in ready.told if progress else ():
        click.echo(line, err=True)
    with contextlib.closing(progress) if progress else contextlib.nullcontext(), _stopped_by_signals(stop):
        return running.execute(ready, on_event=progress.hear if progress else _hear_nothing, stop=stop)


def _conclude(study: Study, results: str) -> None:
    """The leaderboard of what there is."""
    from jobs.present.leaderboard import leaderboard_text  # Only now: it takes longer to import than all of the others.

    click.echo(leaderboard_text([results], study.name, study.select.metric, study.select.mode, width()))


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
            click.echo(
                f"the budget is spent, {counted(summary.missing, 'trial', 'are')} left; go on with: {again()}", err=True
            )
        return
    if summary.stopped and summary.missing:
        click.echo(f"{counted(summary.missing, 'trial', 'are')} left; go on with: {again()}", err=True)
        sys.exit(130)
    if summary.failed or summary.missing:
        click.echo(
            f"{counted(summary.failed, 'trial')} failed, {summary.missing} left; try them again with: {again()}",
            err=True,
        )
        sys.exit(1)
    if not quiet:
        every = "all " * (summary.done > 1)
        click.echo(f"{every}{counted(summary.done, 'trial', 'are')} done", err=True)


def _hear_nothing(_event: Event) -> None:
    """Shows no progress."""


@contextlib.contextmanager
def _stopped_by_signals(stop: Stop) -> Generator[None]:
    """While trials run the first Ctrl-C (or SIGTERM) asks, the second leaves at once; before and after every one does.

    SIGUSR1, with which Slurm says that the time is nearly over, asks and never more. Planning has nothing to keep, and
    may wait for long for a data set that is on a slow disk.
    """

    def handle(number: int, _frame: Any) -> None:
        if stop.requested:
            if number == signal.SIGUSR1:
                return
            raise KeyboardInterrupt
        stop.request()
        click.echo("\nstopping: running trials are being kept resumable; Ctrl-C again leaves at once", err=True)

    kept = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield
    finally:
        for number, before in kept.items():
            signal.signal(number, before)


def again() -> str:
    """The command that was typed; in a job that was submitted, the one that goes on with it from outside."""
    return os.environ.get(AGAIN) or shlex.join(["conclus", *sys.argv[1:]])
