"""`conclus logs`: the output of a job, and the tracebacks of failed trials."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from core.errors import UserError
from jobs.cli import options
from jobs.present.output import remark
from jobs.present.visible import one_line

if TYPE_CHECKING:
    from jobs.results.storage import Place

_SHOWN = 3
_LARGEST = 2**22


@click.command("logs")
@click.argument("results", default="results", type=click.Path())
@options.one_study
@click.option("--trial", metavar="KEY", help="The tracebacks of this trial; the first characters of its key do.")
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

    A trial that fails stores its traceback with the results; --trial shows those of one trial.
    """
    from jobs.execution import driver

    found = driver.job_of(results, studies, address, job) if trial is None else None
    if found is None:
        _tracebacks(driver.one_study(results, studies), trial)
    elif code := _driver_log(*found, follow=follow, insecure=insecure):
        sys.exit(code)


def _driver_log(address: str, job: str, *, follow: bool, insecure: bool) -> int:
    from cluster.submit import Jobs
    from jobs.submission.submit import watch

    jobs = Jobs(address, insecure=insecure)
    if follow:
        return watch(jobs, job)
    click.echo(jobs.log(job), nl=False)
    state = jobs.state(job)
    # Only this message tells why a job failed before its command started.
    remark([f"{job}: {state.told}"])
    return 0


def _text(file: Place) -> str:
    """The text of a file in the results, or a sentence on why it cannot be read."""
    from jobs.results import storage

    try:
        return storage.read_regular(file, _LARGEST).decode(errors="replace").rstrip()
    except OSError as error:
        return f"it cannot be read: {storage.reason(error)}"


def _tracebacks(folder: Place, trial: str | None) -> None:
    """The tracebacks of one trial, or the last few of all, the newest last."""
    from jobs.results import storage
    from jobs.results.layout import LOGS, existing

    logs = existing(folder, LOGS)
    found = map(storage.at, storage.files(logs, ".txt", trial or ""))
    files = sorted(found, key=lambda one: one.name.removesuffix(".txt")[-26:])
    if not files and trial is not None:
        raise UserError(f"{folder}: no trial {trial} has left a traceback; `conclus status` lists those that failed")
    for file in files if trial else files[-_SHOWN:]:
        click.echo(one_line(f"== {file.name.partition('.')[0]} ({file})"))
        click.echo(f"{_text(file)}\n")
    rest = 0 if trial else len(files) - _SHOWN
    if rest > 0:
        remark([f"{rest} earlier ones are in {logs}; --trial KEY shows those of one trial"])
    if not files:
        remark([f"{folder}: no trial has left a traceback"])
