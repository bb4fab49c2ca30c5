"""What drives a study: a job on a cluster, as `_job.json` says, or a process of this machine, as `_run.lock` says."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from core.errors import UserError
from core.seal import seal_json
from jobs.present.output import warn
from jobs.present.visible import one_line
from jobs.results import records
from jobs.results.layout import JOB, existing, folders_of, study_folder, study_name
from jobs.results.lock import holder
from jobs.results.storage import Place, put
from jobs.study import state_folder
from jobs.study.study import Study

_SHAPE = {**dict.fromkeys(("job", "address", "study", "results", "submitted", "by"), str), "workers": int | None}
AGAIN = "CONCLUS_AGAIN"
"""The environment variable in which a job that was submitted finds the command that its people go on with."""


@dataclass(frozen=True)
class Job:
    """A job that was submitted: its name on the cluster, and the results' path as the cluster sees it."""

    job: str
    address: str
    study: str
    results: str
    workers: int | None
    submitted: str
    by: str


def new_job(study: str, address: str, results: str, workers: int | None) -> Job:
    """The record of a job that is about to be submitted, with a name that no cluster has seen."""
    from jobs.results.writer import new_attempt_id

    by = f"{getpass.getuser()}@{socket.gethostname()}"
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Job(f"{study}-{new_attempt_id()}", address, study, results, workers, now, by)


def write(job: Job, study: Study) -> bool:
    """Keeps the record and the study with the results, if their folder can be reached from here; whether it can."""
    from jobs.study import snapshot

    folder = study_folder(job.results, job.study)
    if isinstance(folder, Path) and not folder.parent.parent.is_dir():
        return False
    try:
        snapshot.write(study, folder)
        put(folder / JOB, seal_json(asdict(job)))
    except OSError:
        return False
    return True


def read(folder: Place) -> Job | None:
    """The job that was last submitted for a study, if any was; one whose record holds no digest is told.

    Raises:
        UserError: its record is damaged.
    """
    path = existing(folder, JOB)
    try:
        content, is_sealed = records.load(path, _SHAPE)
        job = Job(**content)
    except FileNotFoundError:
        return None
    except (records.RecordError, TypeError) as error:
        raise UserError(f"{error}: restore it, or delete it and give --address and --job") from error
    warn([] if is_sealed else [records.without_digest(path)])
    return job


def job_of(results: str, studies: Collection[str], address: str | None, job: str | None) -> tuple[str, str] | None:
    """Address and name of the job that is meant: as given, else as the results' record says; None for a local run.

    Raises:
        UserError: one of the two is neither given nor on record, it is not clear which study is meant, or this person
            has nothing to do with the address on record; see `address_of`.
    """
    if address and job:
        return address, job
    record = read(one_study(results, studies))
    if record is None and not (address or job):
        return None
    if record is None:
        raise UserError(f"{results} has no {JOB}: give both --address and --job")
    return address_of(record, address), job or record.job


def address_of(record: Job, given: str | None) -> str:
    """Where requests about a job go, and with them the token: as given, else as its record says.

    The record lies in the results, which may come from a stranger: its address counts if this person submitted to it
    before or has it in RAY_ADDRESS.

    Raises:
        UserError: it does not.
    """
    if given:
        return given
    if not state_folder.knows_cluster(record.address):
        shown = shlex.quote(one_line(record.address))
        raise UserError(
            f"{JOB} names the cluster at {shown}, to which you have submitted nothing from here: if it is yours, add "
            f"--address {shown}"
        )
    return record.address


def one_study(results: str, studies: Collection[str] = ()) -> Place:
    """The folder of the one study that is meant.

    Raises:
        UserError: there are several, or there is no such one.
    """
    folders = folders_of([results], studies)
    if len(folders) == 1:
        return folders[0]
    names = ", ".join(study_name(one) for one in folders)
    raise UserError(f"{results} holds {names}: say which with --study NAME")


def local_process(folder: Place) -> int | None:
    """The process of this machine that runs the study right now: it holds the lock file and is named in it.

    Raises:
        UserError: another machine runs it, or a process that is not the `conclus` command.
    """
    held = holder(folder)
    if not held:
        return None
    owner = re.match(r"process (\d+) on (.+)", held)
    if owner is None or owner[2] != socket.gethostname() or not _is_conclus(int(owner[1])):
        raise UserError(f"{folder}: {held} runs this study: stop it where it was started")
    return int(owner[1])


def _is_conclus(pid: int) -> bool:
    """Whether that process is ours to stop: numbers are given away again, also to what runs in a container beside."""
    found = subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return "conclus" in found.stdout


def interrupt(pid: int, *, seconds: float) -> bool:
    """Asks the process to stop as Ctrl-C does; whether it has gone within this time."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGINT)
    end = time.monotonic() + seconds
    while _is_conclus(pid) and time.monotonic() < end:
        time.sleep(0.2)
    return not _is_conclus(pid)
