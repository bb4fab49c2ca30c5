"""`conclus submit`: a study to a Ray cluster, as a job."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.errors import UserError
from jobs import options

if TYPE_CHECKING:
    from cluster.submit import Jobs
    from jobs.driver import Job
    from jobs.study import Study


@click.command()
@options.study
@click.option("--address", metavar="URL", help="The head node's dashboard: http://HEAD:8265.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Instead of --address: the cluster's launcher file, such as ray_config.yaml.",
)
@click.option(
    "--results",
    required=True,
    metavar="FOLDER",
    help="Where results are kept: an absolute path that every node sees, or the URI of an object store.",
)
@options.overrides
@click.option("--workers", type=click.IntRange(min=1), help="Trials side by side.  [default: what the cluster holds]")
@click.option("--remote-data", is_flag=True, help="The data lie on the cluster alone: they are checked there.")
@options.insecure
@click.option(
    "--follow/--no-wait", default=False, help="Show what the job prints until it ends, or leave it to itself. [no-wait]"
)
def command(  # noqa: PLR0917 (click passes them by name)
    study: Path,
    address: str | None,
    config: Path | None,
    results: str,
    overrides: tuple[str, ...],
    workers: int | None,
    remote_data: bool,
    insecure: bool,
    follow: bool,
) -> None:
    """Run STUDY on a Ray cluster: its results appear in FOLDER, whatever becomes of this machine.

    The study is checked here first. Code, plug-ins and the study travel with the job; data do not: their paths must
    be the same on every node. Submitting it again runs what is missing.
    """
    from jobs import study as studies

    _check_results(results)
    where = _where(address, config)
    read = studies.load(study, overrides)
    _check(read, remote_data=remote_data)
    if code := send(read, where, results, workers, insecure=insecure, follow=follow):
        sys.exit(code)


def send(study: Study, address: str, results: str, workers: int | None, *, insecure: bool, follow: bool) -> int:
    """Submits a checked study and says how to watch it; the exit code.

    Raises:
        ClusterError: the cluster cannot be reached in safety, or refuses the job.
    """
    from cluster.submit import Jobs
    from jobs import driver

    jobs = Jobs(address, insecure=insecure)
    for warning in jobs.access.warnings:
        click.echo(f"Warning: {warning}", err=True)
    job = driver.new_job(study.name, jobs.access.address, results, workers)
    _ship(jobs, job, study)
    kept = driver.write(job, study)
    click.echo(f"submitted {job.job} to {job.address}", err=True)
    if follow:
        return watch(jobs, job.job)
    _tell(job, kept=kept)
    return 0


def _tell(job: Job, *, kept: bool) -> None:
    """How to watch and stop it, in commands to copy."""
    import shlex

    study = shlex.join([job.results, "--study", job.study])
    handle = study if kept else shlex.join([job.results, "--address", job.address, "--job", job.job])
    click.echo(f"  conclus status {study}", err=True)
    click.echo(f"  conclus logs {handle} --follow", err=True)
    click.echo(f"  conclus stop {handle}", err=True)


def watch(jobs: Jobs, job: str) -> int:
    """Shows a job's log until it ends; the exit code."""
    try:
        state = jobs.follow(job, lambda text: click.echo(text, nl=False))
    except KeyboardInterrupt:
        click.echo("\nthe job goes on; it is stopped by: conclus stop", err=True)
        return 130
    click.echo(f"{job}: {state.status}", err=True)
    return 0 if state.status == "SUCCEEDED" else 1


def _check_results(results: str) -> None:
    if "://" in results and "@" in results.partition("://")[2].partition("/")[0]:
        raise UserError(
            "--results: leave the credentials out of the address, the nodes have their own in the environment"
        )
    if "://" not in results and not Path(results).is_absolute():
        raise UserError(
            f"--results {results}: the cluster's machines do not know this folder: give an absolute path that all of "
            "them see, or the URI of an object store"
        )


def _where(address: str | None, config: Path | None) -> str:
    if (address is None) == (config is None):
        raise UserError("give the cluster by --address http://HEAD:8265 or by --config ray_config.yaml, one of them")
    if config is None:
        return address or ""
    from cluster.submit import head_of

    return head_of(config)


def _check(study: Study, *, remote_data: bool) -> None:
    """Everything that can be known here, before anything is sent."""
    from jobs import plan as planning
    from jobs.run import check_data

    if remote_data:
        click.echo(f"{study.name}: the data are checked on the cluster; see `conclus logs`", err=True)
        return
    try:
        plan = planning.make(study)
        check_data(plan)
    except UserError as error:
        raise UserError(f"{error}\nif the data lie on the cluster alone, add --remote-data") from error
    click.echo(f"{study.name}: {plan.n_cells} configurations, {len(plan.trials)} trials", err=True)
    options = [one.config.data.options for one in plan.trials]
    for path in sorted({str(one["path"]) for one in options if "path" in one}):
        click.echo(f"{study.name}: {path} must be there on every node of the cluster too", err=True)


def _ship(jobs: Jobs, job: Job, study: Study) -> None:
    """Sends our packages, the study and its plug-ins as one folder, and the command that runs them."""
    import shutil
    import tempfile

    import conclus
    from jobs import snapshot

    with tempfile.TemporaryDirectory(prefix="conclus-submit-") as name:
        folder = Path(name)
        for package in conclus.PACKAGES:
            compiled = shutil.ignore_patterns("__pycache__", "*.pyc")
            shutil.copytree(conclus.ROOT / package, folder / package, ignore=compiled)
        shutil.copy(conclus.ROOT / "conclus.py", folder)
        snapshot.write(study, folder)
        workers = ["--workers", str(job.workers)] if job.workers else []
        run = ["python", "-m", "conclus", "run", snapshot.FILE, "--address", "auto", "--results", job.results, *workers]
        jobs.submit(job.job, folder, run, {"study": study.name, "results": job.results, "by": job.by})
