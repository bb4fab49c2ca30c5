"""Data in an object store: one copy of it on this machine, for all processes of the user.

    objects/content/HASH/NAME       a copy: a file, or a folder of files; HASH is that of its names and content
    objects/addresses/ADDRESS.json  what was read last from an address: its version in the store, HASH, bytes
    objects/addresses/ADDRESS.lock  held by the process that asks the store and downloads; the others wait
    objects/addresses/ADDRESS.part  a download that is not complete

ADDRESS is the hash of an address. What the store holds is data: it is never run.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import urlsplit

from core.data.dataset import cache_folder, fault, fingerprint_of
from core.data.object_store import SCHEMES, bare, connected, has_credentials, is_address, telling
from core.errors import DataError, UserError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from pathlib import Path

# Bytes that one request asks for; an object of at most this size is one request.
_BLOCK = 2**25
# Requests at a time.
_REQUESTS = 8


class _Object(NamedTuple):
    """An object to read: its path in the store, its size in bytes and what changes whenever it is written."""

    path: str
    size: int
    version: list[list[str]]


class _Copy(NamedTuple):
    """The copy on this machine, and its size in bytes."""

    path: Path
    size: int


# The copy that this process read last from each address.
_last: dict[str, _Copy] = {}


def checked(location: str) -> str:
    """The address of data, as a study file names it.

    Raises:
        UserError: conclus knows no stores of this kind, or the address holds credentials.
    """
    scheme = location.partition("://")[0]
    try:
        parts = urlsplit(location)
    except ValueError as error:
        raise UserError(f"{location!r} is no address of an object store: {error}") from error
    if scheme not in SCHEMES:
        known = ", ".join(f"{one}://" for one in SCHEMES)
        raise fault(
            bare(location), f"data lies in a file or in an object store ({known}): download it, or copy it there"
        )
    if has_credentials(location):
        raise fault(bare(location), "leave the credentials out of the address of data: they belong in the environment")
    if parts.fragment:
        raise fault(
            bare(location), f"#{parts.fragment} is no part of an address: write %23 for a # in an object's name"
        )
    return location


@contextmanager
def held(options: Mapping[str, Any], *, anew: bool = True) -> Generator[tuple[dict[str, Any], tuple[str, ...]]]:
    """The options of a data set with a `path` on this machine: that of the copy, if it is an address.

    A mistake in the copy is told of the address.

    Args:
        options: of the data set.
        anew: ask the store whether it has changed; else this process goes on with the copy that it read last.

    Yields:
        The options, and for an address a sentence that says how much was read and where it is kept.

    Raises:
        UserError: there is nothing at the address, it cannot be read, or the copy cannot be kept.
    """
    location = options.get("path")
    if not isinstance(location, str) or not is_address(location):
        yield dict(options), ()
        return
    known = None if anew else _last.get(location)
    if known is None or not known.path.exists():
        known = _last[location] = _copied(checked(location))
    path, size = known
    with _named(path, location):
        said = f"read from {bare(location)} ({size / 1e6:,.1f} MB), kept in {path.parent}"
        yield {**options, "path": str(path)}, (said,)


def _copied(location: str) -> _Copy:
    """Asks the store for the version, and downloads what is not here or has changed, in one process at a time."""
    try:
        filesystem, path = connected(location)
    except UserError as error:
        raise DataError(*error.lines) from error
    with _keeping():
        places = cache_folder() / "objects"
        key = places / "addresses" / hashlib.sha256(location.encode()).hexdigest()
        # Others of the machine need not read the data.
        places.mkdir(mode=0o700, parents=True, exist_ok=True)
        key.parent.mkdir(exist_ok=True)
        lock = _opened(key.with_suffix(".lock"))
    with lock:
        with _keeping():
            wait_for(lock)
        objects = _objects(filesystem, path, location)
        entry, versions = key.with_suffix(".json"), {name: one.version for name, one in objects.items()}
        found = _recalled(entry, versions)
        if found is None:
            part = key.with_suffix(".part")
            try:
                _download(filesystem, objects, part, location)
                if _objects(filesystem, path, location) != objects:
                    raise fault(bare(location), "it changed while it was read: start again")
                found = _kept(part, places / "content", location)
            finally:
                shutil.rmtree(part, ignore_errors=True)
            _remember(entry, location, versions, found)
        return found


def _opened(path: Path) -> IO[bytes]:
    """A file to lock, made if it is missing; a link or something else in its place is refused.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # Windows has neither.
    file = os.fdopen(os.open(path, flags, 0o600), "rb+", buffering=0)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(f"{path} is not a regular file: delete it")
    return file


def _clear(path: Path) -> None:
    """Removes whatever stands there: a folder, a file or a link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _objects(filesystem: Any, path: str, location: str) -> dict[str, _Object]:
    """The objects at an address by the place that each gets in the copy: the one, or those directly below."""
    from pyarrow.fs import FileSelector, FileType

    with _answering(location):
        info: Any = filesystem.get_file_info(path)
        if info.type == FileType.NotFound:
            raise FileNotFoundError(path)
        name, files = info.base_name, {info.base_name: info.path}
        if info.type == FileType.Directory:
            below = [one for one in filesystem.get_file_info(FileSelector(path)) if one.type == FileType.File]
            files = {f"{name}/{one.base_name}": one.path for one in below if one.base_name[0] not in "._"}
        if not files or name in {"", ".", ".."}:
            raise FileNotFoundError(path)
        with ThreadPoolExecutor(_REQUESTS) as pool:
            found = pool.map(lambda one: _asked(filesystem, one), files.values())
        return dict(sorted(zip(files, found, strict=True)))


def _asked(filesystem: Any, path: str) -> _Object:
    with filesystem.open_input_file(path) as file:
        # Among others the entity tag, which tells two contents of one size and one second apart.
        told = sorted((_text(key), _text(value)) for key, value in (file.metadata() or {}).items())
        return _Object(path, file.size(), [["size", str(file.size())], *map(list, told)])


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _download(filesystem: Any, objects: Mapping[str, _Object], part: Path, location: str) -> None:
    needed = sum(one.size for one in objects.values())
    with _keeping():
        _clear(part)  # What a killed process left.
        part.mkdir()
        if (free := shutil.disk_usage(part).free) < needed:
            raise OSError(f"it has {needed / 1e6:,.1f} MB, and {free / 1e6:,.1f} MB are free in {part.parent}")

        for name, one in objects.items():
            target = part / name
            target.parent.mkdir(exist_ok=True)
            with target.open("xb") as file:
                for block in _blocks(filesystem, one.path, location):
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())


def _blocks(filesystem: Any, path: str, location: str) -> Iterator[bytes]:
    with _answering(location), filesystem.open_input_file(path) as file:
        while block := file.read(_BLOCK):
            yield block


def _kept(part: Path, contents: Path, location: str) -> _Copy:
    """Moves a complete download to its place, where an equal one may lie already."""
    with _keeping(), _named(next(part.iterdir()), location):
        place = contents / _digest(part)
        contents.mkdir(exist_ok=True)
        if place.exists() and _digest(place) != place.name:
            shutil.rmtree(place)  # Somebody wrote into it.
        if not place.exists():
            part.replace(place)
    return _copy_in(place)


def _digest(folder: Path) -> str:
    files = sorted(one for one in folder.rglob("*") if one.is_file())
    return fingerprint_of(files, names=[str(one.relative_to(folder)) for one in files])


def _copy_in(place: Path) -> _Copy:
    (path,) = place.iterdir()
    return _Copy(path, sum(one.stat().st_size for one in place.rglob("*") if one.is_file()))


def _recalled(entry: Path, versions: Mapping[str, Any]) -> _Copy | None:
    """The copy of the last reading; None if the store holds another version by now, or the copy is damaged."""
    try:
        if not entry.is_file():  # Who opens a FIFO waits until somebody writes to it.
            return None
        known = cast("dict[str, Any]", json.loads(entry.read_text(encoding="utf-8")))
        place = entry.parent.parent / "content" / str(known["content"])
        if known["versions"] == versions and _digest(place) == place.name:
            return _copy_in(place)
    except (OSError, ValueError, KeyError, TypeError, UserError):
        pass
    return None


def _remember(entry: Path, location: str, versions: Mapping[str, Any], copy: _Copy) -> None:
    known = {"address": bare(location), "content": copy.path.parent.name, "bytes": copy.size, "versions": versions}
    with _keeping():
        draft = entry.with_suffix(".tmp")
        _clear(draft)
        draft.write_text(json.dumps(known), encoding="utf-8")
        draft.replace(entry)


@contextmanager
def _answering(location: str) -> Generator[None]:
    """Turns errors of a store into one line."""
    from pyarrow import ArrowException

    try:
        yield
    except FileNotFoundError as error:
        raise fault(bare(location), "there is no such object, and none below it: check the path of the data") from error
    except (ArrowException, OSError) as error:
        what = f"it cannot be read ({telling(error)}): check the network, and the credentials in the environment"
        raise fault(bare(location), what) from error


@contextmanager
def _keeping() -> Generator[None]:
    """Turns the errors of the cache folder into one line."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        where = "make room there, or set XDG_CACHE_HOME to a folder with room that you can write to"
        raise UserError(f"data: the copy of the data cannot be kept ({error}): {where}") from error


@contextmanager
def _named(copy: Path, location: str) -> Generator[None]:
    """Errors that name the copy, or a file in it, name the address instead."""
    try:
        yield
    except UserError as error:
        if str(copy) not in str(error):
            raise
        raise type(error)(*(line.replace(str(copy), bare(location)) for line in error.lines)) from error


def wait_for(lock: Any) -> None:
    """Waits until no other process holds the lock; it is released when the file is closed or the process dies."""
    import fcntl

    fcntl.flock(lock, fcntl.LOCK_EX)
