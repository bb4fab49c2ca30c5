"""Folders for the files of one run, below the system's temporary folder: closed to others, and swept after a death.

Each is locked by the process that made it for as long as that lives; the system gives a lock back whatever a process
dies of. One that nobody holds is what a killed run, or a start that failed, has left behind.
"""

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Generator
from pathlib import Path

from cluster import watchdog
from cluster.executor import ClusterError

_PREFIX = "conclus-run-"
_LONGEST_HOME = 18  # Ray's sockets lie 89 characters deeper, 68 of them below ours, and a socket's path ends at 107


@contextlib.contextmanager
def folder() -> Generator[Path]:
    """A new folder that others cannot enter, with a short path, until the end of a with-block.

    Ray opens its own temporary folder to everyone, so that it must not be this one but lie in it.

    Raises:
        ClusterError: there is no place for it, or the place does not keep others out.
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
    """A folder and the descriptor that locks it; another one where somebody sweeps it before it is locked."""
    try:
        while True:
            place = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=home))
            lock = _locked(place)
            if lock is not None:
                return place, lock
    except OSError as error:
        raise ClusterError(f"{home}: there is no room for Ray's files: {error.strerror}.") from error


def _locked(place: Path) -> int | None:
    """The descriptor that holds the folder, if it is there and nobody else holds it."""
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
    """What is no folder of ours for us alone: some file systems keep no modes, and an open parent lets others rename.

    Raises:
        ClusterError: it is such a one.
    """
    own, above = place.lstat(), place.parent.stat()
    if not (stat.S_ISDIR(own.st_mode) and own.st_uid == os.getuid() and stat.S_IMODE(own.st_mode) == stat.S_IRWXU):
        raise ClusterError(f"{place.parent} does not keep a folder closed to others: set TMPDIR to one that does.")
    if above.st_mode & stat.S_IWOTH and not above.st_mode & stat.S_ISVTX:
        raise ClusterError(f"In {place.parent} others can move what is ours: set TMPDIR to a folder of your own.")


def _sweep(home: Path) -> None:
    """Removes what dead runs of this user have left, and ends what still works in it."""
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
