"""Files in a folder: opens them without blocking, writes them atomically, and reports system errors in one line."""

import errno
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from core.errors import UserError
from jobs.results import debris

# Windows has none of the first two, for it has no FIFOs in folders, and needs the third to read bytes as they are.
_AS_IT_IS = sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOCTTY", "O_BINARY"))
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class StorageError(UserError, OSError):
    """Results cannot be read or written, or an object store cannot be reached; the message names the place and why.

    Attributes:
        reason: Only the reason.
    """

    def __init__(self, text: str, reason: str = "") -> None:
        super().__init__(text)
        self.reason = reason or text


def open_regular(file: str | Path) -> BinaryIO:
    """Opens a regular file for reading; anything else at its path is refused without blocking.

    Raises:
        FileNotFoundError: It is gone.
        StorageError: It cannot be opened, or is not a regular file.
    """
    with answering(file, "read"):
        # A FIFO would block until somebody writes to it, and a terminal would become our controlling terminal.
        descriptor = os.open(str(file), os.O_RDONLY | _AS_IT_IS)
        try:
            _refuse_irregular(file, os.fstat(descriptor))
        except BaseException:
            os.close(descriptor)
            raise
        return open(descriptor, "rb")  # noqa: PTH123 (a descriptor)


def open_to_lock(path: Path, flags: int = 0) -> int:
    """Opens a file to lock or to append to, and creates it if it is missing; returns the descriptor.

    Links are not followed: in results from a stranger, a link could lead to any file of the user.

    Raises:
        StorageError: It cannot be opened, or is not a regular file.
    """
    with answering(path, "written"):
        wanted = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | _AS_IT_IS | flags
        descriptor = os.open(path, wanted, 0o644)
        try:
            _refuse_irregular(path, os.fstat(descriptor))
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


def put_through(path: Path, data: bytes) -> None:
    """Writes `data` to a file, completely or not at all, even if the machine crashes.

    Raises:
        OSError: It cannot be written; the old content stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The name does not end in .parquet, because the globs of DuckDB and polars would match it.
    temporary = path.with_name(debris.temporary_name())
    try:
        _write_through(temporary, data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def reason(error: BaseException) -> str:
    """The reason of an error, in the system's words if it has any."""
    if isinstance(error, StorageError):
        return error.reason
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


@contextmanager
def answering(place: str | Path, deed: str) -> Generator[None]:
    """Turns system errors into a StorageError with one line; FileNotFoundError is passed on."""
    try:
        yield
    except StorageError:
        raise
    except FileNotFoundError as error:
        if deed != "read" or not os.path.islink(str(place)):  # noqa: PTH114 (a string, see File)
            raise
        raise StorageError(f"{place} cannot be read: it is a link to nothing", "it is a link to nothing") from error
    # A name with a NUL in it is a ValueError.
    except (OSError, ValueError) as error:
        raise StorageError(f"{place} cannot be {deed}: {reason(error)}", reason(error)) from error


def kind_of(path: Path) -> int:
    """The file type of a path's target, a constant of `stat`; 0 if there is nothing."""
    try:
        with answering(path, "found"):
            return stat.S_IFMT(path.stat().st_mode)
    except FileNotFoundError:
        return 0
    except StorageError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ENOTDIR:
            return 0
        raise


def is_folder_entry(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder; False for a link to nothing or to itself."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _write_through(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):
        return  # Windows opens no folders.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refuse_irregular(file: object, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        what = f"it is {_KINDS.get(stat.S_IFMT(status.st_mode), 'no file')}"
        raise StorageError(f"{file} cannot be read: {what}", what)
