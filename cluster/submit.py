"""Jobs of a Ray cluster through its Jobs API: a folder of code and a command go there, states and logs come back."""

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

from cluster import access, connect, probe
from cluster.executor import ClusterError, one_line

STOP_SECONDS = 60
"""How long a driver may take to leave its trials resumable before it is killed; Ray's own 3 s are too few."""

_ENDED = {"STOPPED", "SUCCEEDED", "FAILED"}
_POLL_SECONDS = 0.5
_OVERRIDE = "RAY_API_SERVER_ADDRESS"


@dataclass(frozen=True)
class State:
    """How a job stands: Ray's word for it (PENDING, RUNNING, STOPPED, SUCCEEDED, FAILED), and why in a line."""

    status: str
    message: str

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in _ENDED


class Jobs:
    """The jobs of one cluster.

    Raises:
        ClusterError: `ray[default]` is missing here, or the cluster cannot be reached in safety; see `access.find`.
    """

    def __init__(self, address: str, *, insecure: bool = False) -> None:
        if importlib.util.find_spec("aiohttp") is None:
            raise ClusterError("Ray's Jobs API needs ray[default] here: uv sync --extra cluster --inexact")
        self.access = access.find(address, insecure=insecure)
        with connect.settings(), self._sentences(), _only(self.access.address):
            from ray.job_submission import JobSubmissionClient

            for handler in logging.getLogger("ray").handlers:
                handler.setLevel(logging.WARNING)  # it tells of every package it sends
            # As requests does by itself, told to Ray so that following a log trusts the same authority.
            authority = os.environ.get("REQUESTS_CA_BUNDLE") or True
            self._client = JobSubmissionClient(self.access.address, headers=dict(self.access.headers), verify=authority)

    def submit(
        self,
        job: str,
        folder: Path,
        command: Sequence[str],
        metadata: Mapping[str, str],
        variables: Mapping[str, str],
    ) -> None:
        """Starts a command in a copy of `folder`, on the cluster; its processes import what lies in there first.

        Args:
            job: the name of the job, which the cluster must not have had before.
            folder: all that is sent, a few megabytes at most.
            command: what is run, on the head node, without taking a core of it.
            metadata: words that the cluster's dashboard shows.
            variables: of its environment.
        """
        settings = {
            "RAY_AUTH_MODE": self.access.mode,
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
            "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS),
            **variables,
        }
        with self._sentences(job):
            # One folder for all: a module both in working_dir and in py_modules is another copy in driver and workers.
            self._client.submit_job(
                submission_id=job,
                entrypoint=shlex.join(command),
                runtime_env={"working_dir": str(folder), "env_vars": settings},
                entrypoint_num_cpus=0,
                metadata=dict(metadata),
            )

    def state(self, job: str) -> State:
        """How a job stands."""
        with self._sentences(job):
            found = self._client.get_job_info(job)
        lines = str(found.message or "").strip().splitlines()
        return State(found.status.value, lines[0] if lines else "")

    def log(self, job: str) -> str:
        """What the driver of a job has printed."""
        with self._sentences(job):
            return self._client.get_job_logs(job)

    def follow(self, job: str, hear: Callable[[str], Any]) -> State:
        """Hands on what the driver prints until the job ends; its last state."""

        async def tail() -> None:
            async for text in self._client.tail_job_logs(job):
                hear(text)

        with self._sentences(job):
            asyncio.run(tail())
        return self._wait(job, STOP_SECONDS)

    def stop(self, job: str) -> State:
        """Asks the driver to end (SIGTERM), waits until it has; its last state.

        Raises:
            ClusterError: It is still there after a minute and a half.
        """
        with self._sentences(job):
            self._client.stop_job(job)
        state = self._wait(job, STOP_SECONDS * 1.5)
        if not state.ended:
            raise ClusterError(f"The job {job} was asked to stop and is still {state.status}: ask again.")
        return state

    def _wait(self, job: str, seconds: float) -> State:
        end = time.monotonic() + seconds
        while not (state := self.state(job)).ended and time.monotonic() < end:
            time.sleep(_POLL_SECONDS)
        return state

    @contextlib.contextmanager
    def _sentences(self, job: str = "") -> Generator[None]:
        """Whatever Ray's client raises becomes one sentence."""
        try:
            yield
        except Exception as error:
            text = str(error)
            if "status code 404" in text or "does not exist" in text:
                raise ClusterError(
                    f"The cluster at {self.access.address} knows no job {job}: was it started anew?"
                ) from error
            raise ClusterError(f"The cluster at {self.access.address} does not do it: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    """`one_line`; of a traceback, which the cluster may send in place of a message, the line that says what it was."""
    if "Traceback" not in (first := one_line(error)):
        return first.rstrip(".")
    # Ray's client closes each message with a point, after a traceback on a line of its own.
    return str(error).rstrip("\n. ").splitlines()[-1].strip()


@contextlib.contextmanager
def _only(address: str) -> Generator[None]:
    """Has Ray's client take this address: RAY_ADDRESS would go before the one it is given."""
    before = os.environ.get(_OVERRIDE)
    os.environ[_OVERRIDE] = address
    try:
        yield
    finally:
        os.environ.pop(_OVERRIDE) if before is None else os.environ.update({_OVERRIDE: before})


def head_of(launcher: Path) -> str:
    """The dashboard of the cluster that a launcher file (`ray up`) describes.

    Raises:
        ClusterError: The file cannot be read, or its cluster has no head that runs.
    """
    import yaml

    if not launcher.is_file():  # Who opens a FIFO waits until somebody writes to it.
        raise ClusterError(f"--config {launcher}: it is not a cluster-launcher file: there is no such file.")
    try:
        content = yaml.safe_load(launcher.read_text(encoding="utf-8"))
        provider = content["provider"]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ClusterError(f"--config {launcher}: it is not a cluster-launcher file: {one_line(error)}.") from error
    if isinstance(provider, dict) and (host := provider.get("head_ip")):
        return f"http://{host}:{probe.JOBS_PORT}"
    with connect.settings():
        from ray.autoscaler.sdk import get_head_node_ip

    try:
        return f"http://{get_head_node_ip(str(launcher))}:{probe.JOBS_PORT}"
    except Exception as error:
        raise ClusterError(
            f"--config {launcher}: its cluster has no running head ({one_line(error)}): start it with `ray up`."
        ) from error
