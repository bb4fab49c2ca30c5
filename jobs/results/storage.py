"""The place of results: a folder, or a prefix of an object store. It imports pyarrow only for an object store.

A folder is a `pathlib.Path`. An address such as `s3://bucket/prefix?endpoint_override=…` is a `Remote`, which has the
few methods of a path that results need. Object stores have neither rename nor locks, and nothing here needs them.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from core.data.object_store import SCHEMES, bare
from core.errors import UserError
from jobs.results import debris
from jobs.results.local import (
    StorageError,
    answering,
    is_folder_entry,
    kind_of,
    open_regular,
    open_to_lock,
    put_through,
    reason,
)
from jobs.results.remote import Remote, asking, reach

__all__ = ["Remote", "StorageError", "open_regular", "open_to_lock", "reason"]

REQUESTS = 16
"""Number of parallel requests to an object store; each request waits some 20 ms."""

LARGEST = 2**30
"""The most bytes of a file that is read into memory, unless the reader gives another limit."""
LARGEST_MODEL = 2**34
"""The most bytes of a checkpoint or of a model's weights."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

Place = Path | Remote
File = str | Remote
"""A file to read; plain strings, because opening thousands of them is much faster than `Path` objects."""


def at(location: str | Place) -> Place:
    """The place at an address or the path of a folder.

    Raises:
        UserError: It is an address, but not of an object store.
        StorageError: The store cannot be reached.
    """
    if not isinstance(location, str):
        return location
    if "://" not in location:
        return Path(location)
    parts = urlsplit(location)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    if parts.scheme not in SCHEMES:
        raise UserError(
            f"{bare(location)}: results lie in a folder or in an object store "
            f"({', '.join(f'{scheme}://' for scheme in SCHEMES)}), not in {parts.scheme}://."
        )
    return reach(location)


def absolute(location: str) -> str:
    """The location in a form that does not depend on the current folder."""
    place = at(location)
    return os.path.realpath(place) if isinstance(place, Path) else location


def files(folder: Place, suffix: str = "", prefix: str = "") -> Sequence[File]:
    """The visible files of a folder with this prefix and suffix, sorted; empty if the folder does not exist."""
    if isinstance(folder, Remote):
        names = [name for name, is_file in folder.children() if is_file]
        return [folder / name for name in names if _is_wanted(name, suffix, prefix)]
    try:
        with answering(folder, "listed"), os.scandir(folder) as entries:
            return sorted(entry.path for entry in entries if _is_wanted(entry.name, suffix, prefix))
    except FileNotFoundError:
        return []
    except StorageError as error:
        if isinstance(error.__cause__, NotADirectoryError):
            return []  # Writing there will report the error.
        raise


def folders(folder: Place, prefix: str) -> Sequence[Place]:
    """The folders in a folder with this prefix, sorted.

    Raises:
        StorageError: They cannot be listed.
    """
    if isinstance(folder, Remote):
        return [folder / name for name, is_file in folder.children() if not is_file and name.startswith(prefix)]
    with answering(folder, "listed"), os.scandir(folder) as entries:
        return sorted(
            folder / entry.name for entry in entries if entry.name.startswith(prefix) and is_folder_entry(entry)
        )


def is_folder(place: Place) -> bool:
    """Whether it is a folder, or in an object store has anything below it.

    Raises:
        StorageError: It cannot be determined.
    """
    return place.is_dir() if isinstance(place, Remote) else kind_of(place) == stat.S_IFDIR


def is_link(place: Place) -> bool:
    """Whether it is a link, which may lead out of the results; an object store has none."""
    return isinstance(place, Path) and place.is_symlink()


def is_file(place: Place) -> bool:
    """Whether it is a regular file, not a FIFO, socket or device.

    Raises:
        StorageError: It cannot be determined.
    """
    return place.is_file() if isinstance(place, Remote) else kind_of(place) == stat.S_IFREG


def read_regular(file: File | Path, most: int = LARGEST) -> bytes:
    """All bytes of a regular file; every file in results is read through this function.

    Args:
        file: The file.
        most: The most bytes; a longer file is refused before it is read.

    Raises:
        FileNotFoundError: It is gone.
        StorageError: It cannot be read, is not a regular file, or is longer than `most`.
    """
    if isinstance(file, Remote):
        return file.read_bytes()
    with open_regular(file) as stream, answering(file, "read"):
        size = os.fstat(stream.fileno()).st_size
        if size > most:
            raise OSError(errno.EFBIG, f"it has {size:,} bytes, more than {most:,}")
        # Read at most this much: some files in /proc have no end.
        return stream.read(size) or b""


def name_of(file: File) -> str:
    """The last part of a file's path."""
    return file.name if isinstance(file, Remote) else os.path.basename(file)  # noqa: PTH119 (for speed)


def version(file: File) -> object:
    """A value that changes when the file is rewritten.

    Raises:
        FileNotFoundError: It is gone.
    """
    if isinstance(file, Remote):
        with file.open() as remote, asking(file, "read"):
            return remote.metadata()  # It contains the entity tag.
    with answering(file, "read"):
        status = os.stat(file)  # noqa: PTH116 (a string, see File)
    return status.st_ino, status.st_mtime_ns


def modified(place: Place) -> float | None:
    """When a file was last written, in seconds since 1970 by the clock of its storage; None if it is gone."""
    if isinstance(place, Remote):
        with asking(place, "read"):
            moment = place.filesystem.get_file_info(place.path).mtime
        return moment.timestamp() if moment else None
    try:
        with answering(place, "read"):
            return place.stat().st_mtime
    except FileNotFoundError:
        return None


def size(file: File) -> int:
    """The bytes of a file; 0 if it is gone."""
    try:
        if isinstance(file, Remote):
            with asking(file, "read"):
                return file.filesystem.get_file_info(file.path).size or 0
        with answering(file, "read"):
            return os.stat(file).st_size  # noqa: PTH116 (a string, see File)
    except FileNotFoundError:
        return 0


def delete(file: File) -> None:
    """Deletes a file.

    Raises:
        FileNotFoundError: It is gone.
        StorageError: The store does not answer or does not allow it.
    """
    if isinstance(file, Remote):
        file.unlink()
        return
    with answering(file, "deleted"):
        os.unlink(file)  # noqa: PTH108 (a string, see File)


def sweep(folder: Place) -> None:
    """Deletes temporary files that killed processes left in a folder and the folders below it."""
    if isinstance(folder, Path):  # An object store has no partly written objects.
        debris.sweep(folder)


def each(function: Callable[[_Item], _Result], items: Iterable[_Item], folder: Place) -> Iterator[_Result]:
    """The results of a function for each item, in order; computed in parallel if `folder` is in an object store."""
    if isinstance(folder, Path):
        yield from map(function, items)
        return
    with ThreadPoolExecutor(REQUESTS) as pool:
        yield from pool.map(function, items)


def put(place: Place, data: bytes) -> None:
    """Writes `data` to a file, completely or not at all, even if the machine crashes.

    Raises:
        StorageError: It cannot be written; the old content stays.
    """
    if isinstance(place, Remote):
        place.write_bytes(data)
        return
    try:
        with answering(place, "written"):
            put_through(place, data)
    except FileNotFoundError as error:
        raise StorageError(f"{place} cannot be written: {reason(error)}", reason(error)) from error


def _is_wanted(name: str, suffix: str, prefix: str) -> bool:
    return name.endswith(suffix) and name.startswith(prefix) and not name.startswith((".", "_"))
