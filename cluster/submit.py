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

from cluster import access, connect, ray_head, resources
from cluster.executor import ClusterError, one_line
from cluster.resources import Node

STOP_SECONDS = 60
"""Seconds that a driver may take to stop its trials in order before it is killed; Ray's default of 3 is too short."""

_ENDED = {"STOPPED", "SUCCEEDED", "FAILED"}
_POLL_SECONDS = 0.5
_OVERRIDE = "RAY_API_SERVER_ADDRESS"


@dataclass(frozen=True)
class JobState:
    """The state of a job: Ray's status (PENDING, RUNNING, STOPPED, SUCCEEDED, FAILED), and the reason in a line."""

    status: str
    message: str

    @property
    def ended(self) -> bool:
        """Whether the job is over."""
        return self.status in _ENDED


class Jobs:
    """The jobs of one cluster.

    Raises:
        ClusterError: `ray[default]` is missing here, or the cluster cannot be reached safely; see `access.find`.
    """

    def __init__(self, address: str, *, insecure: bool = False) -> None:
        if importlib.util.find_spec("aiohttp") is None:
            raise ClusterError("Ray's Jobs API needs ray[default] here: uv sync --extra cluster --inexact")
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
        """Starts a command on the cluster in a copy of `folder`; its processes import from this copy first.

        Args:
            job: the name of the job; it must be new to the cluster.
            folder: the folder that is sent, a few megabytes at most.
            command: the command; it runs on the head node and reserves no core there.
            metadata: texts that the cluster's dashboard shows.
            variables: environment variables of the job.
        """
        settings = {
            "RAY_AUTH_MODE": self.access.mode,
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
            "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS),
            **variables,
        }
        with self._sentences(job):
            # One folder for all: with py_modules beside working_dir, driver and workers would import different copies.
            self._client.submit_job(
                submission_id=job,
                entrypoint=shlex.join(command),
                runtime_env={"working_dir": str(folder), "env_vars": settings},
                entrypoint_num_cpus=0,
                metadata=dict(metadata),
            )

    def state(self, job: str) -> JobState:
        """The state of a job."""
        with self._sentences(job):
            found = self._client.get_job_info(job)
        lines = str(found.message or "").strip().splitlines()
        return JobState(found.status.value, lines[0] if lines else "")

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
                raise ClusterError(
                    f"The cluster at {self.access.address} has no job {job}: was the cluster restarted?"
                ) from error
            raise ClusterError(f"The cluster at {self.access.address} refuses: {_reason(error)}.") from error


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
