"""Finds what runs a study: a job on a cluster, recorded in `_job.json`, or a local process, named in `_run.lock`."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from core.errors import UserError
from core.seal import seal_json
from jobs.present.output import warn
from jobs.present.visible import one_line
from jobs.results import provenance, records
from jobs.results.layout import JOB, existing, folders_of, study_folder, study_name
from jobs.results.lock import holder
from jobs.results.reader import load
from jobs.results.storage import Place, put
from jobs.study import state_folder
from jobs.study.study import Study

_SHAPE = {**dict.fromkeys(("job", "address", "study", "results", "submitted", "by"), str), "workers": int | None}
AGAIN = "CONCLUS_AGAIN"
"""The environment variable that tells a submitted job the command with which its user can continue."""
SUBMIT_AGAIN = "CONCLUS_SUBMIT_AGAIN"
"""As `AGAIN`, the command that takes another `--set`."""


def typed_without_until() -> str:
    """The command that was typed, without the moment that it sets for `budget.until`."""
    kept: list[str] = []
    for word in ("conclus", *sys.argv[1:]):
        if word.startswith("budget.until=") and kept[-1] == "--set":
            kept.pop()
        else:
            kept.append(word)
    return shlex.join(kept)


@dataclass(frozen=True)
class Job:
    """A submitted job: its name on the cluster, and the path of the results on the cluster."""

    job: str
    address: str
    study: str
    results: str
    workers: int | None
    submitted: str
    by: str


def new_job(study: str, address: str, results: str, workers: int | None, *, after: str = "") -> Job:
    """The record of a job to submit, with its name.

    Args:
        study: the name of the study.
        address: the cluster's dashboard.
        results: the place of the results, as the cluster's nodes see it.
        workers: the number of trials side by side; None for as many as fit.
        after: the name of the last job of this study into these results. Two people who submit at the same moment give
            their jobs the same name, of which a cluster takes one.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    digest = hashlib.sha256(json.dumps([study, results, after]).encode()).hexdigest()
    return Job(f"{study}-{digest[:26]}", address, study, results, workers, now, provenance.somebody())


def write(job: Job, study: Study | None) -> bool:
    """Stores the record, and the study if given, with the results; False if these cannot be reached from here."""
    from jobs.study import snapshot

    folder = study_folder(job.results, job.study)
    if isinstance(folder, Path) and not folder.parent.parent.is_dir():
        return False
    try:
        if study is not None:
            snapshot.write(study, folder)
        put(folder / JOB, seal_json(asdict(job)))
    except OSError:
        return False
    return True


def read(folder: Place) -> Job | None:
    """The job last submitted for a study, or None; warns if its record has no digest.

    Raises:
        UserError: the record is damaged.
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
    """Address and name of the job: as given, else from the record in the results; None for a local run.

    Raises:
        UserError: one of the two is neither given nor recorded, it is not clear which study is meant, or the recorded
            address is not trusted; see `address_of`.
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
    """The address for requests about a job, which carry the token: as given, else from its record.

    The record is part of the results, which may come from a stranger. Its address is trusted only if this user
    submitted to it before or has it in RAY_ADDRESS.

    Raises:
        UserError: the recorded address is not trusted.
    """
    if given:
        return given
    if not state_folder.knows_cluster(record.address):
        shown = shlex.quote(one_line(record.address))
        raise UserError(
            f"{JOB} names the cluster at {shown}, but you never submitted to it from here: if it is yours, add "
            f"--address {shown}"
        )
    return record.address


def one_study(results: str, studies: Collection[str] = (), trial: str | None = None) -> Place:
    """The folder of the one study below `results`, of the named one, or of the one that has a trial.

    Args:
        results: the folder of results.
        studies: the names of studies to choose from; empty for all.
        trial: the beginning of a trial's key, where a person gave one.

    Raises:
        UserError: there are several studies, or none.
    """
    folders = folders_of([results], studies)
    if trial is not None and len(folders) > 1:
        loaded = load(folders, columns=[])
        table = loaded.table
        pairs = zip(table["trial_key"].to_pylist(), table["study"].to_pylist(), strict=True)
        having = {study for key, study in pairs if key.startswith(trial)}
        folders = [one for one in folders if study_name(one) in having]
        if not folders:
            warn([*loaded.notes, *loaded.skipped])  # It may be in a file that cannot be read.
            raise UserError(
                f"No study in {results} has a trial that begins with {trial!r}: `conclus aggregate --attempts` shows "
                "the keys."
            )
    if len(folders) == 1:
        return folders[0]
    if not folders:
        raise UserError(f"{results} is a file of rows: give the folder that `conclus run` wrote to.")
    names = ", ".join(study_name(one) for one in folders)
    of = "" if trial is None else f" with a trial that begins with {trial!r}"
    raise UserError(f"{results} has several studies{of}, {names}: choose one with --study NAME")


def local_process(folder: Place) -> int | None:
    """The process on this machine that runs the study now: it holds the lock file, which names it. None if none does.

    Raises:
        UserError: another machine runs the study, or a process that is not the `conclus` command.
    """
    held = holder(folder)
    if not held:
        return None
    owner = re.match(r"process (\d+) on (.+)", held)
    if owner is None or owner[2] != socket.gethostname() or not _is_conclus(int(owner[1])):
        raise UserError(f"{folder}: {held} runs this study: stop it on the machine that started it")
    return int(owner[1])


def _is_conclus(pid: int) -> bool:
    """Whether the process is a `conclus` command; its number may have been reused, or belong to another container."""
    found = subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return "conclus" in found.stdout


def interrupt(pid: int, *, seconds: float) -> bool:
    """Stops the process like Ctrl-C; True if it has ended within `seconds`."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGINT)
    end = time.monotonic() + seconds
    while _is_conclus(pid) and time.monotonic() < end:
        time.sleep(0.2)
    return not _is_conclus(pid)
