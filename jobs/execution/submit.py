"""Submits a study to a Ray cluster as a job, and shows the job's output."""

from __future__ import annotations

import shlex
import shutil
import tempfile
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

import conclus
from cluster.executor import LEFT, ClusterError
from cluster.resources import check
from cluster.submit import LOST, JobExistsError, Jobs, JobState, KnownJob
from core.config import plugins
from core.errors import UserError
from jobs.execution import driver
from jobs.execution.driver import Job
from jobs.execution.tasks import needs
from jobs.present.output import remark, width
from jobs.results import provenance
from jobs.results.layout import PLUG_INS, PREFIX, STUDY_YAML, study_folder
from jobs.results.lock import holder
from jobs.study import snapshot, state_folder
from jobs.study.plug_ins import every_file

if TYPE_CHECKING:
    from jobs.study.study import Study


def send(
    study: Study,
    address: str,
    results: str,
    workers: int | None,
    *,
    insecure: bool,
    follow: bool,
    keep_going: bool = False,
    again: str = "",
) -> int:
    """Submits a checked study, unless a job of it runs already; prints how to watch the job; returns the exit code.

    Args:
        study: the study.
        address: the cluster's dashboard.
        results: the place of its results, as the cluster's nodes see it.
        workers: the number of trials side by side; None for as many as fit.
        insecure: whether a cluster on another machine may have no token.
        follow: whether to show what the job prints until it ends.
        keep_going: as `conclus run` has it.
        again: the command that submits the study with another `--set`; by default one with the copy in the results.

    Raises:
        UserError: one of its plug-ins is not allowed to run, the moment of `budget.until` is past, something other than
            a job runs the study, or the record of its last job is damaged.
        ClusterError: the cluster cannot be reached safely, or refuses the job.
    """
    if over := study.budget.over:
        raise UserError(over)
    for file in every_file(study):
        plugins.checked(file)  # They are sent with the job.
    jobs = Jobs(address, insecure=insecure)
    for warning in jobs.access.warnings:
        remark([f"Warning: {warning}"])
    results = results.rstrip("/") or results
    record, known = _recorded(study.name, results), jobs.having(listed_by(study.name, results))
    if running := _running(record, known, jobs, insecure=insecure):
        return _left_alone(*running, follow=follow)
    _refuse_if_held(study.name, results)
    last = known[-1].job if known else record.job if record else ""
    warn_of_nodes(jobs, study)
    job = driver.new_job(study.name, jobs.access.address, results, workers, after=last)
    try:
        _ship(jobs, job, study, ["--keep-going"] if keep_going else [], again or _from_copy(job))
    except JobExistsError:
        (job,) = (_listed(one, jobs) for one in jobs.having(listed_by(study.name, results)) if one.job == job.job)
        return _left_alone(jobs, job, _keep(job, None), follow=follow)
    kept = _keep(job, study)
    remark([f"submitted {job.job} to {job.address}"])
    if follow:
        return watch(jobs, job.job)
    _print_commands(job, kept=kept)
    return 0


def listed_by(study: str, results: str) -> dict[str, str]:
    """What a cluster lists the jobs of a study and its results by."""
    return {"study": study, "results": results}


def _listed(one: KnownJob, jobs: Jobs) -> Job:
    """The record of a job, from what the cluster lists."""
    of = {name: one.metadata.get(name, "") for name in ("study", "results", "submitted", "by")}
    workers = one.metadata.get("workers", "")
    return Job(job=one.job, address=jobs.access.address, workers=int(workers) if workers.isdecimal() else None, **of)


def _keep(job: Job, study: Study | None) -> bool:
    """Stores the job's record with the results, and its cluster as one of this user's; whether both could be stored."""
    return all([driver.write(job, study), state_folder.remember_cluster(job.address)])


def _recorded(study: str, results: str) -> Job | None:
    """The job last submitted for a study; None if there is none, or if the results cannot be read from here."""
    try:
        return driver.read(study_folder(results, study))
    except OSError:
        return None


def _running(
    record: Job | None, known: Sequence[KnownJob], jobs: Jobs, *, insecure: bool
) -> tuple[Jobs, Job, bool] | None:
    """The cluster and the record of the study's job that still runs, and whether the results name both; None if none.

    Args:
        record: The job that the results name.
        known: The study's jobs that the cluster lists: the results may not be seen from here, and somebody may have
            submitted it a moment ago.
        jobs: The cluster.
        insecure: As in `send`.
    """
    where, state = jobs, JobState(LOST, "")
    if record is not None:
        where, state = _asked(record, jobs, insecure=insecure)
        if not state.ended:
            return where, record, True
    for one in known:
        if not one.state.ended:
            job = _listed(one, jobs)
            # A record that names it by another address is somebody else's.
            return jobs, job, (record is None or record.job != job.job) and _keep(job, None)
    if record is not None and state.status == LOST and record.job not in {one.job for one in known}:
        remark([f"{record.job}, the job before, counts as lost: {state.message}"])
    return None


def _asked(record: Job, jobs: Jobs, *, insecure: bool) -> tuple[Jobs, JobState]:
    """The cluster of a recorded job, and the job's state there: LOST if it cannot be asked."""
    try:
        if record.address != jobs.access.address:
            jobs = Jobs(driver.address_of(record, None), insecure=insecure)
        return jobs, jobs.state(record.job)
    except (UserError, ClusterError) as error:
        return jobs, JobState(LOST, str(error))


def _refuse_if_held(study: str, results: str) -> None:
    """Refuses a job that would end at once, because a process that is no job of this cluster runs the study."""
    folder = study_folder(results, study)
    try:
        held = holder(folder)
    except OSError:
        return
    if held:
        raise UserError(
            f"{folder}: {held} is running this study into these results: wait for it or stop it; nothing was submitted"
        )


def _left_alone(jobs: Jobs, job: Job, kept: bool, *, follow: bool) -> int:
    """Names a job that runs a study already; returns the exit code."""
    status = jobs.state(job.job).status
    named = f"{job.job} is {status} at {job.address} (submitted {job.submitted} by {job.by})"
    told = f"{named}: nothing new was submitted; stop it first if the study has changed"
    remark(textwrap.wrap(told, width(), break_long_words=False, break_on_hyphens=False))
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
    remark([f"{job}: {state.told}"])
    if state.status == "SUCCEEDED":
        return 0
    return LEFT if state.exit_code == LEFT else 1


def _from_copy(job: Job) -> str:
    """The command that submits the copy of a study in its results."""
    file = f"{job.results}/{PREFIX}{job.study}/{STUDY_YAML}"
    return shlex.join(["conclus", "submit", file, "--address", job.address, "--results", job.results])


def _ship(jobs: Jobs, job: Job, study: Study, options: Sequence[str], anew: str) -> None:
    """Sends conclus's packages, the study and its plug-ins as one folder, with the command to run and its options.

    `anew` is the command for its user that takes another `--set`, which `conclus resume` does not.
    """
    with tempfile.TemporaryDirectory(prefix="conclus-submit-") as name:
        folder = Path(name)
        for package in conclus.PACKAGES:
            compiled = shutil.ignore_patterns("__pycache__", "*.pyc")
            shutil.copytree(conclus.ROOT / package, folder / package, ignore=compiled)
        shutil.copy(conclus.ROOT / "conclus.py", folder)
        snapshot.write(study, folder)
        workers = ["--workers", str(job.workers)] if job.workers else []
        run = ["-m", "conclus", "run", STUDY_YAML, "--address", "auto", "--results", job.results, *workers, *options]
        # `send` has checked them. There they lie beside a copy of the study, which by itself lets nothing run.
        for file in sorted((folder / PLUG_INS).glob("*.py")):
            run += ["--plug-in", f"{PLUG_INS}/{file.name}"]
        again = shlex.join(["conclus", "resume", job.results, "--study", job.study])
        about = listed_by(job.study, job.results) | {"submitted": job.submitted, "by": job.by}
        if job.workers:
            about["workers"] = str(job.workers)
        told = {driver.AGAIN: again, driver.SUBMIT_AGAIN: anew, provenance.BY: provenance.person()}
        jobs.submit(job.job, folder, run, about, told)
