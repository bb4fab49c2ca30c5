"""A lock that allows one driver per study and place of results.

Windows has no `fcntl`: it is imported where a lock is taken, so that clients there can read results.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import secrets
import socket
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from core.errors import UserError
from jobs.results import records
from jobs.results.debris import is_alive
from jobs.results.layout import RUN_LOCK, study_folder
from jobs.results.storage import Place, Remote, StorageError, open_regular, open_to_lock, reason

BEAT_SECONDS = 15.0
STALE_SECONDS = 60.0
"""In an object store a lock does not end with its process: it is free after this time without a write."""
_SHAPE = {"owner": str | None, "token": str | None, "written": int | float | None}
"""The structure of a lock in an object store."""
_LOOKING_SECONDS = 5.0
_CHANGING_SECONDS = 10.0
_BYTES = 512
"""The fixed length of a lock in an object store: a reader asks for its length first, so a growing one would be cut."""


@contextlib.contextmanager
def exclusive(results: str, study: str) -> Generator[None]:
    """Holds the study's lock while the caller runs it.

    In a folder, the system releases the lock however this process ends. In an object store, the lock is an object that
    is rewritten regularly; it is free after `STALE_SECONDS` without a write, by the clocks of the two machines. Two
    drivers that start there at the same moment may both get it; then work is done twice, but the results are correct.

    Raises:
        UserError: another process holds the lock.
        StorageError: the results cannot be written.
    """
    folder = study_folder(results, study)
    with _object(folder) if isinstance(folder, Remote) else _file(folder):
        yield


def holder(folder: Place) -> str:
    """The process that runs the study of this folder now, as `process N on HOST`; empty if none is seen.

    On Windows, which cannot look at the locks of other systems, it sees only those in object stores.
    """
    if isinstance(folder, Remote):
        held = _content(folder / RUN_LOCK)
        return str(held.get("owner")) if time.time() - (held.get("written") or 0.0) < STALE_SECONDS else ""
    try:
        import fcntl
    except ImportError:
        return ""
    try:
        with open_regular(folder / RUN_LOCK) as file:
            if is_taken(file.fileno(), fcntl.LOCK_SH):
                return _name_in(file.fileno()) or "a process that is just starting"
    except (FileNotFoundError, StorageError):
        return ""
    return ""


def is_free(folder: Place) -> bool:
    """Whether it is certain that no process runs the study of this folder.

    A lock in a folder may be seen only by the machine whose process holds it. So it is certain only where the last
    driver ran on this machine, which the lock names.
    """
    if isinstance(folder, Remote):
        return not holder(folder)
    try:
        import fcntl

        with open_regular(folder / RUN_LOCK) as file:
            if is_taken(file.fileno(), fcntl.LOCK_SH):
                return False
            return os.pread(file.fileno(), _BYTES, 0).endswith(f" on {socket.gethostname()}".encode())
    except (ImportError, OSError):  # Windows, no lock, or a disk without locks.
        return False


@contextlib.contextmanager
def _file(folder: Path) -> Generator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = open_to_lock(folder / RUN_LOCK)
    except (OSError, ValueError) as error:
        raise StorageError(f"{folder}: results cannot be written there: {reason(error)}") from error
    try:
        _take(descriptor, folder)
        with contextlib.suppress(OSError):  # On a full disk, the lock still works without a name in it.
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, _owner().encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, folder: Path) -> None:
    """Takes the lock; waits for processes that hold it for a moment only to check it.

    Raises:
        UserError: Another driver holds it.
    """
    import fcntl

    end = time.monotonic() + _LOOKING_SECONDS
    while is_taken(descriptor, fcntl.LOCK_EX):
        if is_taken(descriptor, fcntl.LOCK_SH):  # Checks hold it shared, a driver exclusively.
            owner = _name_in(descriptor) or "another process"
            raise UserError(f"{folder}: {owner} is running this study into these results: wait for it or stop it")
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        if time.monotonic() > end:
            raise UserError(
                f"{folder / RUN_LOCK} has been held for {_LOOKING_SECONDS:.0f} s by a process that reads it"
            )
        time.sleep(0.002 * random.random())  # noqa: S311 (so that two processes do not retry in step)


def wait_for(descriptor: int, file: Path) -> None:
    """Waits for and takes a lock that others hold only for one change, which a slow disk may delay.

    Raises:
        UserError: Another process does not release it.
    """
    import fcntl

    end = time.monotonic() + _CHANGING_SECONDS
    while is_taken(descriptor, fcntl.LOCK_EX):
        if time.monotonic() > end:
            raise UserError(
                f"{file} has been held for {_CHANGING_SECONDS:.0f} s by another process: wait for it or end it"
            )
        time.sleep(0.002 * random.random())  # noqa: S311 (so that two processes do not retry in step)


def is_taken(descriptor: int, how: int) -> bool:
    """Tries to take a lock in this mode; returns True if another process prevents it."""
    import fcntl

    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _name_in(descriptor: int) -> str:
    """The driver named in a lock; empty if that process on this machine is gone, as the new holder writes soon."""
    name = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
    own = re.fullmatch(rf"process (\d{{1,9}}) on {re.escape(socket.gethostname())}", name)
    return "" if own and not is_alive(int(own[1])) else name


@contextlib.contextmanager
def _object(folder: Remote) -> Generator[None]:
    lock, token, leave = folder / RUN_LOCK, secrets.token_hex(8), threading.Event()
    _refuse_if_held(folder, _content(lock))
    _beat(lock, token)
    beating = threading.Thread(target=_keep_beating, args=(lock, token, leave), daemon=True)
    beating.start()
    try:
        yield
    finally:
        leave.set()
        beating.join()
        with contextlib.suppress(OSError):  # A lock that is left expires by itself.
            if _content(lock).get("token") == token:
                lock.unlink()


def _refuse_if_held(folder: Remote, held: dict[str, Any]) -> None:
    silent = time.time() - (held.get("written") or 0.0)
    if silent < STALE_SECONDS:
        raise UserError(
            f"{folder}: {held.get('owner')} is running this study into these results (last heard of "
            f"{max(0.0, silent):.0f} s ago): wait for it or stop it; if it is dead, its lock ends in "
            f"{STALE_SECONDS - silent:.0f} s"
        )


def _content(lock: Remote) -> dict[str, Any]:
    """The content of a lock; empty if there is none."""
    try:
        return records.decode(lock.read_bytes(), _SHAPE)
    except (FileNotFoundError, ValueError):
        return {}


def _keep_beating(lock: Remote, token: str, leave: threading.Event) -> None:
    while not leave.wait(BEAT_SECONDS):
        with contextlib.suppress(OSError):  # The next write may succeed.
            _beat(lock, token)


def _beat(lock: Remote, token: str) -> None:
    content = json.dumps({"owner": _owner(), "token": token, "written": time.time()})
    lock.write_bytes(content.encode().ljust(_BYTES))


def _owner() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"
