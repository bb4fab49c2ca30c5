"""Runs jobs on a Ray cluster through its Jobs API: sends a folder of code and a command, reads states and logs."""

import asyncio
import contextlib
import importlib.util
import logging
import os
import shlex
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster import access, connect, job_python, ray_compat, ray_head, resources
from cluster.executor import LEFT, ClusterError, one_line
from cluster.resources import Node

STOP_SECONDS = 60
"""Seconds that a driver may take to stop its trials in order before it is killed; Ray's default of 3 is too short."""

LOST = "LOST"
_ENDED = {"STOPPED", "SUCCEEDED", "FAILED", LOST}
_POLL_SECONDS = 0.5
_WHY = {
    1: "trials failed, or running it again would not help; see above",
    2: "the study or the command is wrong; see above",
}
"""What exit codes of `conclus run` mean; Ray's message says only that the command failed, and repeats its output."""
_OVERRIDE = "RAY_API_SERVER_ADDRESS"


@dataclass(frozen=True)
class JobState:
    """The state of a job: its status, the reason in a line, and the exit code of its command.

    The status is Ray's (PENDING, RUNNING, STOPPED, SUCCEEDED, FAILED), or LOST if the cluster does not know the job.
    `exit_code` is None unless the command ended by itself.
    """

    status: str
    message: str
    exit_code: int | None = None

    @property
    def told(self) -> str:
        """The state for a person: Ray calls every job FAILED whose exit code is not 0."""
        if self.exit_code == LEFT:
            return "left, more to do: submit it again"
        if self.status == "FAILED" and self.exit_code is not None:
            why = _WHY.get(self.exit_code, "see above")
            return f"FAILED with exit code {self.exit_code}: {why}"
        return f"{self.status}: {self.message}" if self.status == "FAILED" else self.status

    @property
    def ended(self) -> bool:
        """Whether the job is over."""
        return self.status in _ENDED


@dataclass(frozen=True)
class KnownJob:
    """A job that a cluster lists: its name, its state, and the texts that were submitted with it."""

    job: str
    state: JobState
    metadata: Mapping[str, str]


class JobExistsError(ClusterError):
    """The cluster has a job of this name already."""


class Jobs:
    """The jobs of one cluster.

    Raises:
        ClusterError: `ray[default]` is missing here, or the cluster cannot be reached safely; see `access.find`.
    """

    def __init__(self, address: str, *, insecure: bool = False) -> None:
        if importlib.util.find_spec("aiohttp") is None:
            raise ClusterError("Ray's Jobs API needs ray[default] here: uv sync --extra cluster --inexact --no-dev")
        self.access = access.find(address, insecure=insecure)
        with connect.settings(), self._sentences(), _only(self.access.address):
            from ray.job_submission import JobSubmissionClient

            for handler in logging.getLogger("ray").handlers:
                handler.setLevel(logging.WARNING)  # it logs every package that it sends
            # The requests library reads this variable itself; Ray needs it for following a log.
            authority = os.environ.get("REQUESTS_CA_BUNDLE") or True
            self._client = JobSubmissionClient(self.access.address, headers=dict(self.access.headers), verify=authority)

    def nodes(self) -> list[Node]:
        """The live nodes, as the dashboard tells of them."""
        with connect.settings(), self._sentences(), _only(self.access.address):
            from ray.util.state.api import StateApiClient
            from ray.util.state.common import ListApiOptions, StateResource

            client = StateApiClient(self.access.address, headers=dict(self.access.headers))
            found: Any = client.list(StateResource.NODES, ListApiOptions(), raise_on_missing_output=False)
            return [resources.node(one.node_name, one.resources_total) for one in found if one.state == "ALIVE"]

    def submit(
        self,
        job: str,
        folder: Path,
        command: Sequence[str],
        metadata: Mapping[str, str],
        variables: Mapping[str, str],
    ) -> None:
        """Starts Python on the cluster in a copy of `folder`; its processes import from this copy first.

        It is the Python that Ray itself runs with on the head node, whatever the PATH there.

        Args:
            job: the name of the job. Of several calls with one name, also at the same moment, one succeeds.
            folder: the folder that is sent, a few megabytes at most; this package must be in it.
            command: the arguments of Python; it runs on the head node and reserves no core there.
            metadata: texts that the cluster's dashboard shows.
            variables: environment variables of the job.

        Raises:
            JobExistsError: the cluster has a job of this name.
        """
        settings = {
            **ray_compat.before_the_command(f"{job_python.__name__}.{job_python.tell.__name__}"),
            "RAY_AUTH_MODE": self.access.mode,
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
            "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS),
            **variables,
        }
        with self._sentences(job):
            # One folder for all: with py_modules beside working_dir, driver and workers would import different copies.
            self._client.submit_job(
                submission_id=job,
                entrypoint=f'"${job_python.VARIABLE}" {shlex.join(command)}',
                runtime_env={"working_dir": str(folder), "env_vars": settings},
                entrypoint_num_cpus=0,
                metadata=dict(metadata),
            )

    def state(self, job: str) -> JobState:
        """The state of a job."""
        try:
            with self._sentences(job):
                return _state(self._client.get_job_info(job))
        except _NoSuchJobError as error:
            return JobState(LOST, str(error))

    def having(self, metadata: Mapping[str, str]) -> list[KnownJob]:
        """The jobs that were submitted with these texts, and perhaps others; the newest last."""
        with self._sentences():
            found = [one for one in self._client.list_jobs() if metadata.items() <= (one.metadata or {}).items()]
        found.sort(key=lambda one: one.start_time or 0)
        return [KnownJob(one.submission_id or "", _state(one), one.metadata or {}) for one in found]

    def log(self, job: str) -> str:
        """The output of a job's driver so far."""
        with self._sentences(job):
            return self._client.get_job_logs(job)

    def follow(self, job: str, hear: Callable[[str], Any]) -> JobState:
        """Passes the driver's output to `hear` until the job ends; returns its last state."""

        async def tail() -> None:
            async for text in self._client.tail_job_logs(job):
                hear(text)

        with self._sentences(job):
            asyncio.run(tail())
        return self._wait(job, STOP_SECONDS)

    def stop(self, job: str) -> JobState:
        """Asks the driver to end (SIGTERM) and waits until it has; returns its last state.

        Raises:
            ClusterError: The job has not ended after 90 s.
        """
        with self._sentences(job):
            self._client.stop_job(job)
        state = self._wait(job, STOP_SECONDS * 1.5)
        if not state.ended:
            raise ClusterError(f"The job {job} was asked to stop and is still {state.status}: try again.")
        return state

    def _wait(self, job: str, seconds: float) -> JobState:
        end = time.monotonic() + seconds
        while not (state := self.state(job)).ended and time.monotonic() < end:
            time.sleep(_POLL_SECONDS)
        return state

    @contextlib.contextmanager
    def _sentences(self, job: str = "") -> Generator[None]:
        """Turns every error of Ray's client into one sentence."""
        try:
            yield
        except Exception as error:
            text = str(error)
            if "status code 404" in text or "does not exist" in text:
                raise _NoSuchJobError(
                    f"The cluster at {self.access.address} has no job {job}: was the cluster restarted?"
                ) from error
            if f"{job} already exists" in text:
                raise JobExistsError(f"The cluster at {self.access.address} has a job {job} already.") from error
            raise ClusterError(f"The cluster at {self.access.address} refuses: {_reason(error)}.") from error


class _NoSuchJobError(ClusterError):
    """The cluster does not know a job."""


def _state(found: Any) -> JobState:
    lines = str(found.message or "").strip().splitlines()
    return JobState(found.status.value, lines[0] if lines else "", found.driver_exit_code)


def _reason(error: Exception) -> str:
    """The error in one line; the cluster may send a traceback as the message, whose last line is then taken."""
    if "Traceback" not in (first := one_line(error)):
        return first.rstrip(".")
    # Ray's client ends each message with a full stop; after a traceback it stands on a line of its own.
    return str(error).rstrip("\n. ").splitlines()[-1].strip()


@contextlib.contextmanager
def _only(address: str) -> Generator[None]:
    """Makes Ray's client use this address: otherwise RAY_ADDRESS would replace it."""
    before = os.environ.get(_OVERRIDE)
    os.environ[_OVERRIDE] = address
    try:
        yield
    finally:
        os.environ.pop(_OVERRIDE) if before is None else os.environ.update({_OVERRIDE: before})


def head_of(launcher: Path) -> str:
    """The dashboard of the cluster that a launcher file (`ray up`) describes.

    Raises:
        ClusterError: The file cannot be read, or its cluster has no running head.
    """
    import yaml

    if not launcher.is_file():  # Who opens a FIFO waits until somebody writes to it.
        raise ClusterError(f"--config {launcher}: it is not a cluster-launcher file: there is no such file.")
    try:
        content = yaml.safe_load(launcher.read_text(encoding="utf-8"))
        provider = content["provider"]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ClusterError(f"--config {launcher} is not a cluster-launcher file: {one_line(error)}.") from error
    if isinstance(provider, dict) and (host := provider.get("head_ip")):
        return f"http://{host}:{ray_head.JOBS_PORT}"
    with connect.settings():
        from ray.autoscaler.sdk import get_head_node_ip

    try:
        return f"http://{get_head_node_ip(str(launcher))}:{ray_head.JOBS_PORT}"
    except Exception as error:
        raise ClusterError(
            f"--config {launcher}: its cluster has no running head ({one_line(error)}): start it with `ray up`."
        ) from error
