"""`conclus resume`: goes on with a study that has results."""

from __future__ import annotations

import sys

import click

from core.errors import UserError
from jobs import options


@click.command("resume")
@click.argument("results", default="results", type=click.Path())
@options.one_study
@options.address
@click.option("--here", is_flag=True, help="On this machine, also when the study was submitted to a cluster.")
@options.insecure
@click.option("--workers", type=click.IntRange(min=1), help="Trials side by side.  [default: as before, or what fits]")
@click.pass_context
def command(  # noqa: PLR0917 (click passes them by name)
    context: click.Context,
    results: str,
    studies: tuple[str, ...],
    address: str | None,
    here: bool,
    insecure: bool,
    workers: int | None,
) -> None:
    """Run what the study in RESULTS (default: results) still lacks: where it ran before, with what was set then.

    The study is the one that was last run into RESULTS, overrides included. Trials that are done are not run again.
    """
    from jobs import driver
    from jobs import study as studies_
    from jobs.commands import run
    from jobs.commands.submit import send
    from jobs.snapshot import FILE

    folder = driver.one_study(results, studies)
    if not (folder / FILE).is_file():
        raise UserError(f"{folder} holds no {FILE} to go on with: use `conclus run STUDY --results {results}`")
    job = None if here else driver.read(folder)
    if job is None and address is None:
        context.invoke(run.command, study=folder / FILE, results=str(folder.parent), workers=workers)
        return
    where = address or (job.address if job else "")
    if job is not None:
        _refuse_running(job.job, job.address, insecure=insecure)
    target = job.results if job else str(folder.parent.resolve())
    workers = workers or (job.workers if job else None)
    if code := send(studies_.load(folder / FILE), where, target, workers, insecure=insecure, follow=False):
        sys.exit(code)


def _refuse_running(job: str, address: str, *, insecure: bool) -> None:
    """A second driver of one study would be turned away on the cluster, after a while and out of sight."""
    from cluster.executor import ClusterError
    from cluster.submit import Jobs

    try:
        state = Jobs(address, insecure=insecure).state(job)
    except ClusterError:
        return  # a cluster that is gone runs nothing; what is wrong with a living one is said when it is asked again
    if not state.ended:
        raise UserError(f"the job {job} is {state.status}: watch it with `conclus logs`, or stop it first")
