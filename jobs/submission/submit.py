"""Submits a study to a Ray cluster as a job, and shows the job's output."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

import conclus
from cluster.executor import ClusterError
from cluster.resources import check
from cluster.submit import Jobs
from core.config import plugins
from jobs.execution import driver
from jobs.execution.driver import Job
from jobs.execution.tasks import needs
from jobs.present.output import remark
from jobs.results.layout import PLUG_INS, STUDY_YAML
from jobs.study import snapshot, state_folder
from jobs.study.plug_ins import plug_in_files

if TYPE_CHECKING:
    from jobs.study.study import Study


def send(study: Study, address: str, results: str, workers: int | None, *, insecure: bool, follow: bool) -> int:
    """Submits a checked study and prints how to watch it; returns the exit code.

    Raises:
        UserError: one of its plug-ins is not allowed to run.
        ClusterError: the cluster cannot be reached safely, or refuses the job.
    """
    for file in plug_in_files(study):
        plugins.checked(file)  # They are sent with the job.
    jobs = Jobs(address, insecure=insecure)
    for warning in jobs.access.warnings:
        remark([f"Warning: {warning}"])
    warn_of_nodes(jobs, study)
    job = driver.new_job(study.name, jobs.access.address, results, workers)
    _ship(jobs, job, study)
    kept = all([driver.write(job, study), state_folder.remember_cluster(job.address)])
    remark([f"submitted {job.job} to {job.address}"])
    if follow:
        return watch(jobs, job.job)
    _print_commands(job, kept=kept)
    return 0


def warn_of_nodes(jobs: Jobs, study: Study) -> None:
    """Warns if no node of the cluster can run a trial: only the job itself knows what nodes its cluster may start."""
    try:
        nodes = jobs.nodes()
    except ClusterError:  # The job tells it.
        return
    try:
        check(needs(study), nodes, workers=1)
    except ClusterError as error:
        remark([f"Warning: {error} The job ends at once, unless the cluster can start such a node."])


def _print_commands(job: Job, *, kept: bool) -> None:
    """Prints the commands that watch and stop the job."""
    study = shlex.join([job.results, "--study", job.study])
    handle = study if kept else shlex.join([job.results, "--address", job.address, "--job", job.job])
    remark([f"  conclus status {study}"])
    remark([f"  conclus logs {handle} --follow"])
    remark([f"  conclus stop {handle}"])


def watch(jobs: Jobs, job: str) -> int:
    """Shows a job's log until it ends; returns the exit code."""
    try:
        state = jobs.follow(job, lambda text: click.echo(text, nl=False))
    except KeyboardInterrupt:
        click.echo("\nthe job continues; stop it with: conclus stop", err=True)
        return 130
    remark([f"{job}: {state.status}"])
    return 0 if state.status == "SUCCEEDED" else 1


def _ship(jobs: Jobs, job: Job, study: Study) -> None:
    """Sends conclus's packages, the study and its plug-ins as one folder, with the command to run."""
    with tempfile.TemporaryDirectory(prefix="conclus-submit-") as name:
        folder = Path(name)
        for package in conclus.PACKAGES:
            compiled = shutil.ignore_patterns("__pycache__", "*.pyc")
            shutil.copytree(conclus.ROOT / package, folder / package, ignore=compiled)
        shutil.copy(conclus.ROOT / "conclus.py", folder)
        snapshot.write(study, folder)
        workers = ["--workers", str(job.workers)] if job.workers else []
        run = ["python", "-m", "conclus", "run", STUDY_YAML, "--address", "auto", "--results", job.results, *workers]
        # `send` has checked them. There they lie beside a copy of the study, which by itself lets nothing run.
        for file in sorted((folder / PLUG_INS).glob("*.py")):
            run += ["--plug-in", f"{PLUG_INS}/{file.name}"]
        again = shlex.join(["conclus", "resume", job.results, "--study", job.study])
        about = {"study": study.name, "results": job.results, "by": job.by}
        jobs.submit(job.job, folder, run, about, {driver.AGAIN: again, driver.BY: job.by})
