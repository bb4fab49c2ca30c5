"""`conclus stop`: stops a running study so that it can be resumed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from core.errors import UserError
from jobs.present import options
from jobs.present.output import remark

if TYPE_CHECKING:
    from jobs.results.storage import Place

_PATIENCE_SECONDS = 60.0


@click.command("stop")
@click.argument("results", default="results", type=click.Path())
@options.one_study
@options.trial("End this trial alone; the first characters of its key do.")
@options.address
@options.job
@options.insecure
def command(  # noqa: PLR0917 (click passes them by name)
    results: str,
    studies: tuple[str, ...],
    trial: str | None,
    address: str | None,
    job: str | None,
    insecure: bool,
) -> None:
    """Stop the study that is running into RESULTS (default: results): its job, or its process on this machine.

    Results are kept, and running trials are saved so that they can be resumed; it waits until this is done. `conclus
    resume` continues the study.

    With --trial, one trial ends after its epoch and the others go on; `conclus status` lists those that run. Its row is
    `stopped`, and its scores so far count. Only a file is written, so it needs no connection to the cluster. The trial
    is not started again by this run or a later one, unless you ask: once the study has ended or was stopped,
    `conclus resume RESULTS --trial KEY` goes on from the trial's checkpoint. In a study with `scheduler: asha` or
    `search: optuna` it stays stopped.
    """
    from jobs.execution import driver

    if trial is not None:
        _stop_trial(driver.one_study(results, studies, trial), trial, results)
        return

    found = driver.job_of(results, studies, address, job)
    was_running = found is not None and _stop_job(*found, insecure=insecure)
    # A study that was submitted may have been run on this machine since then.
    is_stopped = was_running or (address and job) or _stop_process(driver.one_study(results, studies))
    _say_what_is_left(results, studies, ended=bool(is_stopped))
    if not is_stopped:
        sys.exit(1)


def _stop_trial(folder: Place, start: str, results: str) -> None:
    """Leaves a request to end a trial, which whatever process trains it will find."""
    import shlex

    from jobs.present.inputs import named, one_trial
    from jobs.results import provenance, stops
    from jobs.results.reader import load
    from jobs.study.snapshot import keeps_stopped

    rows = load(folder, attempts=True, columns=["source"]).table.to_pylist()
    last = {row["trial_key"]: row for row in sorted(rows, key=lambda row: row["attempt_id"])}
    done = {row["trial_key"] for row in rows if row["status"] == "ok"}
    running = [key for key, row in last.items() if row["status"] == "running" and key not in done]
    key = one_trial(start, running, f"{folder}: no trial {start} is running; `conclus status` lists those that are")
    if last[key]["source"] == "pbt":
        raise UserError(f"trial {key} is of a population, whose members wait for each other: stop the whole study")
    stops.ask(folder, key, provenance.somebody())
    again = shlex.join(["conclus", "resume", *named(results, folder), "--trial", key])
    ends = f"trial {key} ends after its epoch, and the study goes on"
    if keeps_stopped(folder):
        remark([f"{ends}; its search takes the trial as done"])
    else:
        remark([f"{ends}; once no process runs the study, the trial can be run again with: {again}"])


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
    from jobs.execution import driver
    from jobs.health.status import standing
    from jobs.present.status import headline

    try:
        click.echo(headline(standing(driver.one_study(results, studies), ended=ended)))
    except UserError as error:
        remark([f"what is left is not seen from here: {error}"])
