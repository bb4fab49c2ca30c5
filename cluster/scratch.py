"""Folders for the files of one run, in the system's temporary folder: closed to others, and removed after a crash.

The process that made a folder locks it while it lives. The system frees the lock when the process ends, for any
reason. So a folder without a lock was left behind by a killed run or a failed start.
"""

import contextlib
import os
import stat
import tempfile
from collections.abc import Generator
from pathlib import Path

from cluster import watchdog
from cluster.executor import ClusterError

_PREFIX = "conclus-run-"
_LONGEST_HOME = 18  # a socket's path has at most 107 characters; Ray's sockets add 89, 68 of them below our folder


@contextlib.contextmanager
def folder() -> Generator[Path]:
    """A new folder that others cannot enter, with a short path, for a with-block.

    Ray opens its temporary folder to everyone, so Ray must use a folder inside this one.

    Raises:
        ClusterError: the folder cannot be made, or its place does not keep others out.
    """
    home = _home()
    _sweep(home)
    place, lock = _new(home)
    try:
        _refuse_open(place)
        yield place
    finally:
        watchdog.clear(str(place))
        os.close(lock)


def _home() -> Path:
    usual = tempfile.gettempdir()
    return Path(usual if len(usual) <= _LONGEST_HOME else "/tmp")  # noqa: S108


def _new(home: Path) -> tuple[Path, int]:
    """A new folder and the descriptor that locks it; a new try if another run removes it before it is locked."""
    try:
        while True:
            place = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=home))
            lock = _locked(place)
            if lock is not None:
                return place, lock
    except OSError as error:
        raise ClusterError(f"{home}: no folder can be made for Ray's files: {error.strerror}.") from error


def _locked(place: Path) -> int | None:
    """The descriptor that locks the folder; None if it does not exist or another process locks it."""
    import fcntl  # Windows has none; this module is imported by clients there, too.

    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), place.lstat()):
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def _refuse_open(place: Path) -> None:
    """Checks that only this user can use the folder.

    Some file systems keep no modes, and in an open parent folder others can rename ours.

    Raises:
        ClusterError: others can use it.
    """
    own, above = place.lstat(), place.parent.stat()
    if not (stat.S_ISDIR(own.st_mode) and own.st_uid == os.getuid() and stat.S_IMODE(own.st_mode) == stat.S_IRWXU):
        raise ClusterError(f"{place.parent} cannot keep a folder closed to others: set TMPDIR to one that can.")
    if above.st_mode & stat.S_IWOTH and not above.st_mode & stat.S_ISVTX:
        raise ClusterError(f"Other users can move files in {place.parent}: set TMPDIR to a folder of your own.")


def _sweep(home: Path) -> None:
    """Removes the folders of this user's dead runs, and ends the processes that still use them."""
    for place in home.glob(f"{_PREFIX}*"):
        if not _is_own(place) or (lock := _locked(place)) is None:
            continue
        watchdog.clear(str(place))
        os.close(lock)


def _is_own(place: Path) -> bool:
    try:
        found = place.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
