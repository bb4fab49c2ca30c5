"""`conclus resume`: continues a study that has results."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from core.errors import UserError
from jobs.present import options

if TYPE_CHECKING:
    from pathlib import Path

    from jobs.results.storage import Place


@click.command("resume")
@click.argument("results", default="results", type=click.Path())
@options.one_study
@options.trial("Also run this one, which `conclus stop --trial` ended; its first characters do.")
@options.address
@click.option("--here", is_flag=True, help="On this machine, also when the study was submitted to a cluster.")
@options.track
@options.plug_in
@options.insecure
@click.option("--workers", type=click.IntRange(min=1), help="Trials side by side.  [default: as before, or what fits]")
def command(  # noqa: PLR0917 (click passes them by name)
    results: str,
    studies: tuple[str, ...],
    trial: str | None,
    address: str | None,
    here: bool,
    track: tuple[str, ...],
    insecure: bool,
    workers: int | None,
) -> None:
    """Run the missing trials of the study in RESULTS (default: results) in the same place with the same options.

    The study is the one that was last run into RESULTS, with its overrides. Finished trials are not run again.
    """
    import tempfile
    from pathlib import Path

    from jobs.execution import driver
    from jobs.execution.console import run_study
    from jobs.present.output import warn
    from jobs.results import stops
    from jobs.study import snapshot

    folder = driver.one_study(results, studies, trial)
    job = None if here else driver.read(folder)
    where = address if job is None else driver.address_of(job, address)
    workers = workers or (job.workers if job else None)
    with tempfile.TemporaryDirectory(prefix="conclus-resume-") as scratch:
        file, notes = snapshot.fetch(folder, Path(scratch))
        warn(notes)
        again = "" if trial is None else _stopped(folder, trial)
        home = job.results if job else _home(results)
        if where is None:
            run_study(file, _home(results), track, own=False, workers=workers, again=again)
            return
        if again:
            _refuse_if_submitted(folder, again, where, home, insecure=insecure)
        _submit(file, where, home, workers, track, insecure=insecure)
        if again:
            stops.withdraw(folder, again)


def _stopped(folder: Place, start: str) -> str:
    """The key of the trial that somebody stopped; refused while a process runs the study: it would not take it up."""
    from jobs.present.inputs import one_trial
    from jobs.results import stops
    from jobs.results.lock import holder
    from jobs.study.snapshot import keeps_stopped

    if keeps_stopped(folder):
        raise UserError("the search of this study takes a trial that was stopped as done: it cannot be run again")
    key = one_trial(start, stops.asked(folder), f"{folder}: nobody has stopped a trial {start}")
    if holder(folder):
        raise _still_running(folder, key)
    return key


def _refuse_if_submitted(folder: Place, key: str, address: str, results: str, *, insecure: bool) -> None:
    """Refuses to go on with a trial while a job of the study runs, or waits and does not hold its lock yet."""
    from cluster.submit import Jobs
    from jobs.execution.submit import listed_by
    from jobs.results.layout import study_name

    about = listed_by(study_name(folder), results.rstrip("/") or results)
    if not all(one.state.ended for one in Jobs(address, insecure=insecure).having(about)):
        raise _still_running(folder, key)


def _still_running(folder: Place, key: str) -> UserError:
    from jobs.results.layout import study_name

    name = study_name(folder)
    return UserError(f"study {name} runs: trial {key} stays stopped; stop the study first, then resume it with --trial")


def _home(results: str) -> str:
    """The results folder that contains a `study=…` folder; any other folder unchanged."""
    from jobs.results import storage
    from jobs.results.layout import PREFIX

    home, _, last = results.rstrip("/").rpartition("/")
    return storage.absolute((home or ".") if last.startswith(PREFIX) else results)


def _submit(
    file: Path, address: str, results: str, workers: int | None, track: tuple[str, ...], *, insecure: bool
) -> None:
    from jobs.execution.submit import send
    from jobs.study import study as studies

    if code := send(studies.load(file, track), address, results, workers, insecure=insecure, follow=False):
        sys.exit(code)
