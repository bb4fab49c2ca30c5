"""`conclus resume`: continues a study that has results."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from jobs.cli import options

if TYPE_CHECKING:
    from pathlib import Path


@click.command("resume")
@click.argument("results", default="results", type=click.Path())
@options.one_study
@options.address
@click.option("--here", is_flag=True, help="On this machine, also when the study was submitted to a cluster.")
@options.plug_in
@options.insecure
@click.option("--workers", type=click.IntRange(min=1), help="Trials side by side.  [default: as before, or what fits]")
def command(  # noqa: PLR0917 (click passes them by name)
    results: str,
    studies: tuple[str, ...],
    address: str | None,
    here: bool,
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
    from jobs.study import snapshot

    folder = driver.one_study(results, studies)
    job = None if here else driver.read(folder)
    where = address if job is None else driver.address_of(job, address)
    workers = workers or (job.workers if job else None)
    with tempfile.TemporaryDirectory(prefix="conclus-resume-") as scratch:
        file, notes = snapshot.fetch(folder, Path(scratch))
        warn(notes)
        if where is None:
            run_study(file, _home(results), own=False, workers=workers)
        else:
            _submit(file, where, job.results if job else _home(results), workers, insecure=insecure)


def _home(results: str) -> str:
    """The results folder that contains a `study=…` folder; any other folder unchanged."""
    from jobs.results import storage
    from jobs.results.layout import PREFIX

    home, _, last = results.rstrip("/").rpartition("/")
    return storage.absolute((home or ".") if last.startswith(PREFIX) else results)


def _submit(file: Path, address: str, results: str, workers: int | None, *, insecure: bool) -> None:
    from jobs.study import study as studies
    from jobs.submission.submit import send

    if code := send(studies.load(file), address, results, workers, insecure=insecure, follow=False):
        sys.exit(code)
