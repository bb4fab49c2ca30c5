"""Runs studies from a terminal: shows progress, handles Ctrl-C, and prints how to continue."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
from collections.abc import Generator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from cluster.executor import GRACE_SECONDS, Event, Stop
from core.data.object_store import bare, has_credentials
from core.errors import UserError, counted
from jobs.analysis.scores import CONSENSUS, LABEL_FREE
from jobs.execution import runner as running
from jobs.execution import stored
from jobs.execution.driver import AGAIN, SUBMIT_AGAIN, typed_without_until
from jobs.execution.import_checkpoint import adopt
from jobs.execution.metrics import Metrics, served
from jobs.execution.progress import Progress
from jobs.execution.runner import Summary
from jobs.execution.tasks import Listener, Ready
from jobs.planning import apart, stages
from jobs.planning import plan as planning
from jobs.planning.data_check import check_data
from jobs.planning.known import known
from jobs.planning.plan import Plan
from jobs.planning.stages import StagedStudy
from jobs.present.bar import preparing
from jobs.present.inputs import named
from jobs.present.output import remark, width
from jobs.present.status import hopeless
from jobs.present.tables import amount
from jobs.results.layout import study_folder
from jobs.study import trust
from jobs.study.sections import LATER
from jobs.study.study import Study

_NOTICE_SECONDS = 60.0
"""How long running trials have to end their epoch after SIGUSR1: half of what docs/cluster/slurm.sh asks Slurm for."""


def run_study(
    file: Path,
    results: str,
    overrides: tuple[str, ...] = (),
    *,
    checkpoint: Path | None = None,
    own: bool = True,
    quiet: bool = False,
    metrics: str | None = None,
    **where: Any,
) -> None:
    """Runs the missing trials of a study, stage by stage; exits with a code other than 0 if it ends badly.

    Args:
        file: The study file.
        results: The place of its results.
        overrides: The values of `--set`.
        checkpoint: A checkpoint from elsewhere, from which a trial of the study continues.
        own: Whether the user named the file; for a file from results, only plug-ins that ran before may run.
        quiet: Show only errors.
        metrics: Where to serve metrics for Prometheus, `PORT` or `HOST:PORT`.
        where: Arguments of `jobs.execution.runner.prepare`: `workers`, `address`, `allow_cpu`, `keep_going`.
    """
    course = stages.load(file, overrides)
    if own:
        trust.of_study(file, course.plug_in_files())
    if checkpoint is not None:
        _adopt(course.at(0, results), results, checkpoint, quiet=quiet)
    if len(course.stages) > 1:  # A later stage must not fail after the training of earlier ones.
        for place, stage in enumerate(course.stages):
            with preparing(quiet=quiet):
                check_data(planning.make(stage.study), course.gates(place))
    with served(metrics, quiet=quiet) if metrics else contextlib.nullcontext() as told:
        summary = _stages(course, results, where, told, quiet=quiet)
    if summary is None:
        return
    if summary.hopeless and not quiet:
        remark([hopeless(summary.hopeless, summary.saved)])
    _exit(summary, quiet=quiet)


def _stages(
    course: StagedStudy, results: str, where: dict[str, Any], metrics: Metrics | None, *, quiet: bool
) -> Summary | None:
    """Runs one stage after the other; returns the summary of all, or None if there are none."""
    stop = Stop()
    summary = None
    for place in range(len(course.stages)):
        read, before = course.at(place, results), summary
        summary, plan = _run(read, results, where, stop, metrics, quiet=quiet)
        if summary.done and not quiet and not summary.unwritable:
            _show_leaderboard(plan, results)
        if before is not None:
            summary = replace(
                summary,
                done=before.done + summary.done,
                failed=before.failed + summary.failed,
                advanced=before.advanced or summary.advanced,
                hopeless=before.hopeless + summary.hopeless,
                saved=before.saved + summary.saved,
            )
        if summary.missing or summary.paused or summary.unwritable:
            break
        _pass_gate(course, place, results, quiet=quiet)
    return summary


def _adopt(study: Study, results: str, checkpoint: Path, *, quiet: bool) -> None:
    key, epoch = adopt(known(planning.make(study), results), results, checkpoint)
    if not quiet:
        remark([f"trial {key} goes on after epoch {epoch}"])


def _pass_gate(course: StagedStudy, place: int, results: str, *, quiet: bool) -> None:
    """Prints the verdict of the gate after a stage, and ends the run if the gate is closed."""
    verdict = course.verdict(place, results)
    if verdict is None:
        return
    name = course.stages[place].study.name
    if not verdict.is_open:
        remark([f"{name}: the study ends here: {verdict.why}"])
        sys.exit(1)
    if not quiet:
        remark([f"{name}: passed: {verdict.why}"])


def _run(
    study: Study, results: str, where: dict[str, Any], stop: Stop, metrics: Metrics | None, *, quiet: bool
) -> tuple[Summary, Plan]:
    """The summary, and the plan of the study as it was run; without labels it may select by consensus."""
    with preparing(quiet=quiet):
        ready = running.prepare(study, results, **where)
    total = ready.plan.n_trials
    done = len(ready.plan.trials) - len(ready.todo)
    also = metrics.follow(ready.plan, total, done) if metrics else None
    if quiet or not ready.anything:
        return execute(ready, stop, progress=None, also=also), ready.plan
    remark([f"{study.name}: {counted(total, 'trial')}, {done} done before"])
    for sentence in ready.plan.statuses(results)[1]:
        remark([sentence])
    remark(apart.told(ready.plan, results))
    if ready.plan.study.select.metric == CONSENSUS:
        remark([f"the consensus needs all trials: {LABEL_FREE} is shown until they are done"])
    known = stored.before(results, ready.plan, ready.todo) if done else stored.Before()
    return execute(ready, stop, progress=Progress(ready.plan, total, done, known=known), also=also), ready.plan


def execute(ready: Ready, stop: Stop, *, progress: Progress | None, also: Listener | None = None) -> Summary:
    """Runs a prepared study until it is done or Ctrl-C stops it.

    Args:
        ready: The study.
        stop: What ends it.
        progress: What shows the progress; None shows none.
        also: What else hears the events.
    """
    listeners = [one for one in (progress.hear if progress else None, also) if one]

    def hear(event: Event) -> None:
        for one in listeners:
            one(event)

    for line in ready.told if progress else ():
        remark([line])
    shown = progress.standing() if progress else contextlib.nullcontext()
    with shown, _stopped_by_signals(stop, is_quiet=progress is None):
        return running.execute(ready, on_event=hear, stop=stop)


def _show_leaderboard(plan: Plan, results: str) -> None:
    """Prints the leaderboard of the results so far."""
    from jobs.analysis.pareto import Aims
    from jobs.analysis.selection import MixedError
    from jobs.present.comparison import leaderboard_text  # Imported late, because it is slow to import.

    study = plan.study
    try:
        select, aims = study.select, Aims.of(asdict(study.select))
        click.echo(leaderboard_text([results], study.name, select.metric, select.mode, width(), aims=aims))
    except MixedError as error:
        remark([error.told(f"conclus aggregate {error.option}")])
    except UserError as error:  # The run itself went well, as its exit code tells.
        remark([str(error)])
    _tell_kept(plan, results)


def _tell_kept(plan: Plan, results: str) -> None:
    """Says how much the trials' clusters and states take, how to get the clusters, and by what the best is chosen."""
    from jobs.models import assignments, states

    study = plan.study
    several = plan.has_no_best
    folder = study_folder(results, study.name)
    count, size = assignments.size(folder)
    if count:
        chosen = "one of them" if several else f"the best by {study.select.metric}"
        if study.select.metric == CONSENSUS and not several:
            chosen = f"{chosen if plan.n_cells > 1 else 'the best seed'}, without labels"
        there = named(results, folder)
        shown = bare(results) if "://" in results and has_credentials(results) else results
        which = ["--trial", "KEY"] if several else []
        typed = shlex.join(["conclus", "assign", shown, *there[1:], *which, "--out", "clusters.csv"])
        kept = f"clusters are kept of {counted(count, 'trial')} ({amount(size / 1e6)} MB)"
        remark([f"{kept}; those of {chosen}: {typed}"])
    count, size = states.size(folder)
    if count:
        remark([f"states are kept of {counted(count, 'trial')} ({amount(size / 1e6)} MB), to go on with more epochs"])


def _exit(summary: Summary, *, quiet: bool) -> None:
    if summary.unwritable:
        remark([f"Error: {summary.unwritable}; when results can be written, go on with: {again()}"])
        sys.exit(1)
    if summary.paused:
        why = f"paused: the first trials all failed for the same reason ({summary.paused})"
        remark([f"{why}. Fix it and run it again, or use --keep-going to run the others anyway"])
        sys.exit(1)
    if summary.missing and (summary.spent or summary.stopped):
        if summary.limit and not quiet:
            remark([summary.limit])
        failed = f"{counted(summary.failed, 'trial')} failed, " if summary.failed else ""
        left = failed + counted(summary.missing, "trial", "are")
        if summary.exit_code == 1:
            needs = f"a later moment: {again(later=True)}" if summary.over else "more time or a larger budget"
            remark([f"{left} left, and no trial got through an epoch: the run needs {needs}"])
        elif not (quiet and summary.spent):
            remark([f"{left} left; go on with: {again(later=summary.over)}"])
    elif summary.failed or summary.missing:
        remark([f"{counted(summary.failed, 'trial')} failed, {summary.missing} left; try them again with: {again()}"])
    if summary.exit_code:
        sys.exit(summary.exit_code)
    if not quiet:
        every = "all " * (summary.done > 1)
        remark([f"{every}{counted(summary.done, 'trial', 'are')} done"])


@contextlib.contextmanager
def _stopped_by_signals(stop: Stop, *, is_quiet: bool) -> Generator[None]:
    """While trials run, the first Ctrl-C (or SIGTERM) asks them to stop and the second ends the process at once.

    Before and after, every Ctrl-C ends it at once: planning has nothing to save and may wait long for a slow disk.
    SIGUSR1, by which Slurm announces the end of the time limit, only ever asks trials to stop.
    """
    import pyarrow as pa

    def handle(number: int, _frame: Any) -> None:
        if stop.requested:
            if number == signal.SIGUSR1:
                return
            raise KeyboardInterrupt
        stop.request(signal=number, grace=_NOTICE_SECONDS if number == signal.SIGUSR1 else GRACE_SECONDS)
        if is_quiet:  # No progress has removed the ^C of the terminal.
            click.echo(err=True)
        remark(["stopping: running trials are being kept resumable; Ctrl-C again quits at once"])

    # Arrow would put its own handler in place of this one while it reads, and end that reading as if it had failed.
    pa.enable_signal_handlers(enable=False)
    kept = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield
    finally:
        pa.enable_signal_handlers(enable=True)
        for number, before in kept.items():
            signal.signal(number, before)


def again(*, later: bool = False) -> str:
    """The command to continue with: the one that was typed, or in a submitted job the one for its user.

    Args:
        later: Whether it needs a later moment than that of `budget.until`.
    """
    if later:
        return f"{os.environ.get(SUBMIT_AGAIN) or typed_without_until()} {LATER}"
    return os.environ.get(AGAIN) or shlex.join(["conclus", *sys.argv[1:]])
