"""Where results lie: a folder, or a prefix of an object store. Standard library only, until an address needs more.

A folder is a `pathlib.Path`. An address such as `s3://bucket/prefix?endpoint_override=…` is a `Remote`, which has the
few methods of a path that a store of results needs. There is no rename on an object store and no lock: nothing here
wants either.
"""

import errno
import os
import re
import stat
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from core.errors import UserError
from jobs.results import debris

_DEFAULTS = {
    "s3": {"allow_delayed_open": "true"},  # One PUT instead of the three requests of a multipart upload.
    "gs": {"retry_limit_seconds": "5"},  # Its own limit is a quarter of an hour.
    "gcs": {"retry_limit_seconds": "5"},
    "abfs": {},
    "abfss": {},
}
_REQUESTS = 16
"""Side by side: a request is waiting, some 20 ms for each."""

LARGEST = 2**30
"""Bytes of a file that is read into memory at once, where its reader names no other bound."""
LARGEST_MODEL = 2**34
"""Bytes of a checkpoint, or of a model's weights."""
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class StorageError(UserError, OSError):
    """Results cannot be read or written, or an object store cannot be reached: one line that says which and why.

    Attributes:
        reason: Why alone.
    """

    def __init__(self, text: str, reason: str = "") -> None:
        super().__init__(text)
        self.reason = reason or text


@dataclass(frozen=True, eq=False)
class Remote:
    """An object, or a prefix of objects, in a store that pyarrow reaches.

    Printed without the query and the credentials of its address.

    Attributes:
        filesystem: The `pyarrow.fs.FileSystem`.
        scheme: `s3`, `gs`, ….
        path: Bucket and key.
    """

    filesystem: Any
    scheme: str
    path: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.path}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Remote) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __truediv__(self, name: str) -> "Remote":
        return Remote(self.filesystem, self.scheme, f"{self.path}/{name}")

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def parent(self) -> "Remote":
        """The prefix that it lies in."""
        return Remote(self.filesystem, self.scheme, self.path.rpartition("/")[0])

    def children(self) -> list[tuple[str, bool]]:
        """The names below this prefix, each with whether it is an object; none where nothing is.

        Raises:
            StorageError: The bucket is not there, or the store does not answer.
        """
        from pyarrow.fs import FileSelector, FileType

        try:
            with _asking(self, "listed"):
                found = self.filesystem.get_file_info(FileSelector(self.path))
        except FileNotFoundError:
            return []
        return sorted((one.base_name, one.type == FileType.File) for one in found)

    def is_file(self) -> bool:
        """Whether it is an object."""
        from pyarrow.fs import FileType

        with _asking(self, "read"):
            return self.filesystem.get_file_info(self.path).type == FileType.File

    def is_dir(self) -> bool:
        """Whether anything lies below it."""
        return bool(self.children())

    def open(self) -> Any:
        """A `pyarrow.NativeFile` to read from, anywhere in it.

        Raises:
            FileNotFoundError: It is gone.
            StorageError: The store does not answer.
        """
        with _asking(self, "read"):
            return self.filesystem.open_input_file(self.path)

    def read_bytes(self) -> bytes:
        """All of it.

        Raises:
            FileNotFoundError: It is gone.
            StorageError: The store does not answer.
        """
        with self.open() as file, _asking(self, "read"):
            return file.read()

    def tail(self, count: int) -> tuple[int, bytes]:
        """Its size, and its last `count` bytes or all of it.

        Raises:
            FileNotFoundError: It is gone.
            StorageError: The store does not answer.
        """
        with self.open() as file, _asking(self, "read"):
            size = file.size()
            return size, file.read_at(min(count, size), max(0, size - count))

    def write_bytes(self, data: bytes) -> None:
        """Let it hold `data`, all of it or none.

        One write of what is in memory: an object appears when the stream is closed, and a `with` around several
        writes would close it, and so publish half of them, when one fails.

        Raises:
            StorageError: The store does not take it; what was there before stays.
        """
        with _asking(self, "written"):
            stream = self.filesystem.open_output_stream(self.path)
            stream.write(data)
            stream.close()

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Delete it.

        Raises:
            FileNotFoundError: It is gone, unless `missing_ok`.
            StorageError: The store does not answer or does not allow it.
        """
        try:
            with _asking(self, "deleted"):
                self.filesystem.delete_file(self.path)
        except FileNotFoundError:
            if not missing_ok:
                raise


Place = Path | Remote
File = str | Remote
"""A file to read: of thousands, plain strings open a good deal faster than `Path` objects."""


def at(location: str | Place) -> Place:
    """The place that an address or the path of a folder means.

    Raises:
        UserError: It is no address of an object store.
        StorageError: The store cannot be reached.
    """
    if not isinstance(location, str):
        return location
    if "://" not in location:
        return Path(location)
    parts = urlsplit(location)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    if parts.scheme not in _DEFAULTS:
        raise UserError(
            f"{_bare(location)}: results lie in a folder or in an object store "
            f"({', '.join(f'{scheme}://' for scheme in _DEFAULTS)}), not in {parts.scheme}://."
        )
    return _remote(location)


def absolute(location: str) -> str:
    """The same place for a process in any folder."""
    place = at(location)
    return str(place.resolve()) if isinstance(place, Path) else location


def files(folder: Place, suffix: str = "", prefix: str = "") -> Sequence[File]:
    """The visible files of a folder whose names begin and end so, sorted; none if there is no such folder."""
    if isinstance(folder, Remote):
        names = [name for name, is_file in folder.children() if is_file]
        return [folder / name for name in names if _is_wanted(name, suffix, prefix)]
    try:
        with _local(folder, "listed"), os.scandir(folder) as entries:
            return sorted(entry.path for entry in entries if _is_wanted(entry.name, suffix, prefix))
    except FileNotFoundError:
        return []


def folders(folder: Place, prefix: str) -> Sequence[Place]:
    """The folders in a folder whose names begin so, sorted.

    Raises:
        StorageError: They cannot be listed.
    """
    if isinstance(folder, Remote):
        return [folder / name for name, is_file in folder.children() if not is_file and name.startswith(prefix)]
    with _local(folder, "listed"), os.scandir(folder) as entries:
        return sorted(folder / entry.name for entry in entries if entry.name.startswith(prefix) and _is_dir(entry))


def is_folder(place: Place) -> bool:
    """Whether it is a folder, or anything lies below it.

    Raises:
        StorageError: It cannot be told.
    """
    return place.is_dir() if isinstance(place, Remote) else _mode(place) == stat.S_IFDIR


def is_file(place: Place) -> bool:
    """Whether it is a file that can be read, and no FIFO, socket or device.

    Raises:
        StorageError: It cannot be told.
    """
    return place.is_file() if isinstance(place, Remote) else _mode(place) == stat.S_IFREG


def open_regular(file: File | Path) -> BinaryIO:
    """Opens a file of a folder to be read; whatever else bears its name is refused, and is not waited for.

    Raises:
        FileNotFoundError: It is gone.
        StorageError: It cannot be opened, or is no file.
    """
    with _local(file, "read"):
        # A FIFO would block until somebody writes to it, and a terminal would become ours.
        descriptor = os.open(str(file), os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            _refuse_irregular(file, os.fstat(descriptor))
        except BaseException:
            os.close(descriptor)
            raise
        return open(descriptor, "rb")  # noqa: PTH123 (a descriptor)


def read_regular(file: File | Path, most: int = LARGEST) -> bytes:
    """All bytes of a file: the one way in which anything that lies in results is read.

    Args:
        file: Where it lies.
        most: A longer one is refused before it is read.

    Raises:
        FileNotFoundError: It is gone.
        StorageError: It cannot be read, is no file, or is longer than `most`.
    """
    if isinstance(file, Remote):
        return file.read_bytes()
    with open_regular(file) as stream, _local(file, "read"):
        size = os.fstat(stream.fileno()).st_size
        if size > most:
            raise OSError(errno.EFBIG, f"it has {size:,} bytes, more than {most:,}")
        # Not to its end: some of what /proc holds has none.
        return stream.read(size) or b""


def open_to_lock(path: Path, flags: int = 0) -> int:
    """A descriptor of a file of ours that is locked or appended to, made where there is none.

    A link is not followed: in results that a stranger packed it could lead to any file of the user.

    Raises:
        StorageError: It cannot be opened, or is no file.
    """
    with _local(path, "written"):
        wanted = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | flags
        descriptor = os.open(path, wanted, 0o644)
        try:
            _refuse_irregular(path, os.fstat(descriptor))
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


def name_of(file: File) -> str:
    """The last part of a file's path."""
    return file.name if isinstance(file, Remote) else os.path.basename(file)  # noqa: PTH119 (as fast as it gets)


def source(file: File) -> Any:
    """What pyarrow's `ParquetFile` reads a file from.

    Raises:
        FileNotFoundError: It is gone.
        StorageError: As `read_regular`.
    """
    if isinstance(file, Remote):
        return file.open()
    from pyarrow import BufferReader

    return BufferReader(read_regular(file))


def version(file: File) -> object:
    """What changes when a file is written anew.

    Raises:
        FileNotFoundError: It is gone.
    """
    if isinstance(file, Remote):
        with file.open() as remote, _asking(file, "read"):
            return remote.metadata()  # The entity tag is among it.
    with _local(file, "read"):
        status = os.stat(file)  # noqa: PTH116 (a string, see File)
    return status.st_ino, status.st_mtime_ns


def modified(place: Place) -> float | None:
    """When a file was last written, in seconds since 1970 by the clock of where it lies; None if it is gone."""
    if isinstance(place, Remote):
        with _asking(place, "read"):
            moment = place.filesystem.get_file_info(place.path).mtime
        return moment.timestamp() if moment else None
    try:
        with _local(place, "read"):
            return place.stat().st_mtime
    except FileNotFoundError:
        return None


def delete(file: File) -> None:
    """Delete a file.

    Raises:
        FileNotFoundError: It is gone.
        StorageError: The store does not answer or does not allow it.
    """
    if isinstance(file, Remote):
        file.unlink()
        return
    with _local(file, "deleted"):
        os.unlink(file)  # noqa: PTH108 (a string, see File)


def sweep(folder: Place) -> None:
    """Deletes what processes that were killed while they wrote have left in a folder, and in those below it."""
    if isinstance(folder, Path):  # In an object store an object is there or it is not.
        debris.sweep(folder)


def each(function: Callable[[_Item], _Result], items: Iterable[_Item], folder: Place) -> Iterator[_Result]:
    """The function of each item, in order; side by side if they lie in an object store, as `folder` does."""
    if isinstance(folder, Path):
        yield from map(function, items)
        return
    with ThreadPoolExecutor(_REQUESTS) as pool:
        yield from pool.map(function, items)


def put(place: Place, data: bytes) -> None:
    """Let a file hold `data`, all of it or none, also through a crash or a power cut.

    Raises:
        StorageError: It cannot be written; what was there before stays.
    """
    if isinstance(place, Remote):
        place.write_bytes(data)
        return
    try:
        with _local(place, "written"):
            _put_local(place, data)
    except FileNotFoundError as error:
        raise StorageError(f"{place} cannot be written: {reason(error)}", reason(error)) from error


def reason(error: BaseException) -> str:
    """Why something went wrong, in the words of the system where it has any."""
    if isinstance(error, StorageError):
        return error.reason
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def _put_local(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not ending in .parquet: the globs of DuckDB and polars would pick it up.
    temporary = path.with_name(debris.temporary_name())
    try:
        _write_through(temporary, data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _write_through(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_wanted(name: str, suffix: str, prefix: str) -> bool:
    return name.endswith(suffix) and name.startswith(prefix) and not name.startswith((".", "_"))


@contextmanager
def _local(place: File | Path, deed: str) -> Generator[None]:
    """Turns whatever the system answers into one line; only that a file is gone stays what it is."""
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


def _refuse_irregular(file: object, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        what = f"it is {_KINDS.get(stat.S_IFMT(status.st_mode), 'no file')}"
        raise StorageError(f"{file} cannot be read: {what}", what)


def _mode(path: Path) -> int:
    """What a path leads to, by `stat`'s kinds; 0 where that is nothing."""
    try:
        with _local(path, "found"):
            return stat.S_IFMT(path.stat().st_mode)
    except FileNotFoundError:
        return 0
    except StorageError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ENOTDIR:
            return 0
        raise


def _is_dir(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder; not if it is a link that leads nowhere or to itself."""
    try:
        return entry.is_dir()
    except OSError:
        return False


@lru_cache(maxsize=16)
def _remote(location: str) -> Remote:
    from pyarrow import ArrowException
    from pyarrow.fs import FileSystem

    try:
        filesystem, path = FileSystem.from_uri(_with_defaults(location))
    except (ArrowException, OSError, ValueError) as error:
        raise StorageError(f"{_bare(location)} cannot be reached: {_telling(error)}") from error
    return Remote(filesystem, urlsplit(location).scheme, path.rstrip("/"))


def _with_defaults(location: str) -> str:
    parts = urlsplit(location)
    query = _DEFAULTS[parts.scheme] | dict(parse_qsl(parts.query, keep_blank_values=True))
    return urlunsplit(parts._replace(query=urlencode(query)))


def _bare(location: str) -> str:
    """An address without its query and its credentials: fit to be printed."""
    parts = urlsplit(location)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


@contextmanager
def _asking(place: Remote, deed: str) -> Generator[None]:
    """The same for whatever the store answers."""
    from pyarrow import ArrowException

    try:
        yield
    except FileNotFoundError:
        raise
    except (ArrowException, OSError) as error:
        raise StorageError(f"{place} cannot be {deed}: {_telling(error)}") from error


def _telling(error: BaseException) -> str:
    """The telling part of what pyarrow says: one line, from the service's own code on."""
    line = " ".join(str(error).split())
    line = re.sub(r" ?\(Request ID: [^)]*\)", "", re.sub(r"^.*?AWS Error ", "", line))
    return line[:240].rstrip(". ") or type(error).__name__
