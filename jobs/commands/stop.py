"""`conclus stop`: stops a running study so that it can be resumed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from jobs.cli import options
from jobs.present.output import remark

if TYPE_CHECKING:
    from jobs.results.storage import Place

_PATIENCE_SECONDS = 60.0


@click.command("stop")
@click.argument("results", default="results", type=click.Path())
@options.one_study
@options.address
@options.job
@options.insecure
def command(results: str, studies: tuple[str, ...], address: str | None, job: str | None, insecure: bool) -> None:
    """Stop the study that is running into RESULTS (default: results): its job, or its process on this machine.

    Results are kept, and running trials are saved so that they can be resumed; it waits until this is done. `conclus
    resume` continues the study.
    """
    from jobs.execution import driver

    found = driver.job_of(results, studies, address, job)
    was_running = found is not None and _stop_job(*found, insecure=insecure)
    # A study that was submitted may have been run on this machine since then.
    is_stopped = was_running or (address and job) or _stop_process(driver.one_study(results, studies))
    _say_what_is_left(results, studies, ended=bool(is_stopped))
    if not is_stopped:
        sys.exit(1)


def _stop_job(address: str, job: str, *, insecure: bool) -> bool:
    """Stops the job; returns False if it was not running."""
    from cluster.submit import Jobs

    jobs = Jobs(address, insecure=insecure)
    if (state := jobs.state(job)).ended:
        remark([f"{job} does not run: {state.status}"])
        return False
    remark([f"stopping {job}: its trials are being kept resumable"])
    remark([f"{job}: {jobs.stop(job).status}"])
    return True


def _stop_process(folder: Place) -> bool:
    """Stops the process; returns whether no process runs any more."""
    from jobs.execution import driver

    pid = driver.local_process(folder)
    if pid is None:
        remark([f"{folder}: nothing is running"])
        return True
    remark([f"stopping process {pid}: its trials are being kept resumable"])
    gone = driver.interrupt(pid, seconds=_PATIENCE_SECONDS)
    remark([f"process {pid} " + ("has ended" if gone else "is still there: ask again")])
    return gone


def _say_what_is_left(results: str, studies: tuple[str, ...], *, ended: bool) -> None:
    """Prints one line on the remaining trials, if the results can be read from here."""
    from core.errors import UserError
    from jobs.analysis.status import standing
    from jobs.execution import driver
    from jobs.present.status import headline

    try:
        click.echo(headline(standing(driver.one_study(results, studies), ended=ended)))
    except UserError as error:
        remark([f"what is left is not seen from here: {error}"])
