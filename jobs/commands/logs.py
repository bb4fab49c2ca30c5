"""`conclus logs`: the output of a job, and the tracebacks of failed trials."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from core.errors import UserError
from jobs.present import options
from jobs.present.output import remark
from jobs.present.visible import one_line

if TYPE_CHECKING:
    from jobs.results.storage import Place

_SHOWN = 3
_LARGEST = 2**22
_PRINTED = ".out"


@click.command("logs")
@click.argument("results", default="results", type=click.Path())
@options.one_study
@options.trial("What this trial printed; the first characters of its key do.")
@click.option("--follow", is_flag=True, help="Go on until the job ends.")
@options.address
@options.job
@options.insecure
def command(  # noqa: PLR0917 (click passes them by name)
    results: str,
    studies: tuple[str, ...],
    trial: str | None,
    follow: bool,
    address: str | None,
    job: str | None,
    insecure: bool,
) -> None:
    """Show the output of the job of the study in RESULTS (default: results); without a job, tracebacks of trials.

    A trial stores what it prints with the results, the last megabyte of each attempt, and if it fails its traceback.
    --trial shows both for one trial, also while it runs; on an object store they are up to half a minute old.
    """
    from jobs.execution import driver

    found = driver.job_of(results, studies, address, job) if trial is None else None
    if found is None:
        _tracebacks(driver.one_study(results, studies, trial), trial)
        return
    code = _driver_log(*found, follow=follow, insecure=insecure)
    _name_failed(results, studies, found[1])
    if code:
        sys.exit(code)


def _driver_log(address: str, job: str, *, follow: bool, insecure: bool) -> int:
    from cluster.submit import Jobs
    from jobs.execution.submit import watch

    jobs = Jobs(address, insecure=insecure)
    if follow:
        return watch(jobs, job)
    click.echo(jobs.log(job), nl=False)
    state = jobs.state(job)
    # Only this message tells why a job failed before its command started.
    remark([f"{job}: {state.told}"])
    return 0


def _name_failed(results: str, studies: tuple[str, ...], job: str) -> None:
    """Names the commands that show why trials failed, if the job's results can be read from here."""
    import shlex

    from jobs.execution import driver
    from jobs.health.status import standing
    from jobs.present.inputs import named

    try:
        folder = driver.one_study(results, studies)
        record = driver.read(folder)
        if record is None or record.job != job:
            return
        failed = [one.trial_key for one in standing(folder).begun if one.state == "failed"]
    except UserError:
        return
    for key in failed[-_SHOWN:]:
        remark([f"trial {key} failed: {shlex.join(['conclus', 'logs', *named(results, folder), '--trial', key])}"])


def _tell_of_silence(folder: Place, start: str) -> None:
    """Tells the state of a trial that has left nothing to show.

    Raises:
        UserError: No trial that has begun has such a key, or several have.
    """
    from jobs.health.status import standing
    from jobs.present.inputs import one_trial
    from jobs.results.reader import load

    keys = load(folder, columns=["trial_key"]).table["trial_key"].to_pylist()
    states = dict.fromkeys(keys, "is done and has printed nothing")
    for one in standing(folder).begun:
        is_running = one.state == "running"
        states[one.trial_key] = (
            "runs and has printed nothing yet" if is_running else f"is {one.state} and has printed nothing"
        )
    key = one_trial(start, states, f"{folder}: no trial whose key begins with {start} has begun; see `conclus status`")
    remark([f"trial {key} {states[key]}"])


def _text(file: Place) -> str:
    """The text of a file in the results, or a sentence on why it cannot be read.

    Of a line that was written over, as that of a progress bar, its last state is shown, as on a terminal.
    """
    from jobs.results import storage

    try:
        lines = storage.read_regular(file, _LARGEST).decode(errors="replace").rstrip().split("\n")
        return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)
    except OSError as error:
        return f"it cannot be read: {storage.reason(error)}"


def _tracebacks(folder: Place, trial: str | None) -> None:
    """What one trial printed and its tracebacks, or the last few tracebacks of all, the newest last."""
    from jobs.results import storage
    from jobs.results.layout import LOGS, existing

    logs = existing(folder, LOGS)
    endings = (".txt",) if trial is None else (_PRINTED, ".txt")
    found = [storage.at(file) for ending in endings for file in storage.files(logs, ending, trial or "")]
    found = [one for one in found if not storage.is_link(one)]  # It may lead to any file of the reader's.
    files = sorted(found, key=lambda one: one.name.rpartition(".")[0][-26:])
    texts = [(file, _text(file)) for file in (files if trial else files[-_SHOWN:])]
    shown = [(file, text) for file, text in texts if text]
    if not shown and trial is not None:
        _tell_of_silence(folder, trial)
        return
    for file, text in shown:
        what = ", what it printed" if file.name.endswith(_PRINTED) else ""
        click.echo(one_line(f"== {file.name.partition('.')[0]}{what} ({file})"))
        click.echo(f"{text}\n")
    rest = 0 if trial else len(files) - _SHOWN
    if rest > 0:
        remark([f"{rest} earlier ones are in {logs}; --trial KEY shows those of one trial"])
    if not files:
        remark([f"{folder}: no trial has left a traceback"])
