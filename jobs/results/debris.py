"""Temporary files whose writer died before renaming them: their names tell the writer, so they can be deleted."""

import contextlib
import hashlib
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path

OLD_SECONDS = 24 * 3600
"""A temporary file of another machine counts as abandoned after this time."""
_NAME = re.compile(r"\.[0-9a-f]{8}-([0-9a-f]{8})-(\d{1,9})-(\d{1,20})\.tmp")


def temporary_name() -> str:
    """A unique name that contains the process and the machine that write the file.

    It does not start with the final name, which may already have the greatest allowed length.
    """
    pid = os.getpid()
    return f".{secrets.token_hex(4)}-{_machine()}-{pid}-{_started(pid)}.tmp"


def sweep(folder: Path) -> int:
    """Deletes abandoned temporary files in a folder and the folders below it; returns their number.

    Links are not followed, not even if `folder` is one, because they could lead out of the results. Only names from
    `temporary_name` count. Files that cannot be listed or deleted are left.
    """
    swept = 0
    for path, written in _temporary(folder):
        with contextlib.suppress(OSError):
            if _is_orphan(path, written):
                path.unlink()
                swept += 1
    return swept


def is_alive(pid: int) -> bool:
    """Whether a process of this number exists on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return pid > 0


def _temporary(folder: Path) -> Iterator[tuple[Path, re.Match[str]]]:
    if folder.is_symlink():
        return
    for inside, _, names in os.walk(folder):
        yield from ((Path(inside, name), written) for name in names if (written := _NAME.fullmatch(name)))


def _is_orphan(path: Path, written: re.Match[str]) -> bool:
    if written[1] == _machine():
        pid = int(written[2])
        return not is_alive(pid) or _started(pid) != int(written[3])
    return time.time() - path.lstat().st_mtime > OLD_SECONDS


def _machine() -> str:
    """An identifier of the host and container in which process numbers are unique."""
    try:
        space = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 (no path: `pid:[…]`)
    except OSError:
        space = ""
    return hashlib.sha256(f"{socket.gethostname()} {space}".encode()).hexdigest()[:8]


def _started(pid: int) -> int:
    """When a process started, in ticks since the machine's start; 0 if unknown."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[19])
