"""An object store: the few methods of a path that a store of results needs, by way of pyarrow.

Not by fsspec or universal-pathlib: those want one more package for each kind of store, and pyarrow reaches all.
"""

import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from jobs.results.local import StorageError

SCHEMES = {
    "s3": {"allow_delayed_open": "true"},  # One PUT instead of the three requests of a multipart upload.
    "gs": {"retry_limit_seconds": "5"},  # Its own limit is a quarter of an hour.
    "gcs": {"retry_limit_seconds": "5"},
    "abfs": {},
    "abfss": {},
}


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
            with asking(self, "listed"):
                found = self.filesystem.get_file_info(FileSelector(self.path))
        except FileNotFoundError:
            return []
        return sorted((one.base_name, one.type == FileType.File) for one in found)

    def is_file(self) -> bool:
        """Whether it is an object."""
        from pyarrow.fs import FileType

        with asking(self, "read"):
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
        with asking(self, "read"):
            return self.filesystem.open_input_file(self.path)

    def read_bytes(self) -> bytes:
        """All of it.

        Raises:
            FileNotFoundError: It is gone.
            StorageError: The store does not answer.
        """
        with self.open() as file, asking(self, "read"):
            return file.read()

    def write_bytes(self, data: bytes) -> None:
        """Let it hold `data`, all of it or none.

        One write of what is in memory: an object appears when the stream is closed, and a `with` around several
        writes would close it, and so publish half of them, when one fails.

        Raises:
            StorageError: The store does not take it; what was there before stays.
        """
        with asking(self, "written"):
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
            with asking(self, "deleted"):
                self.filesystem.delete_file(self.path)
        except FileNotFoundError:
            if not missing_ok:
                raise


@lru_cache(maxsize=16)
def reach(location: str) -> Remote:
    """The place that the address of an object store means.

    Raises:
        StorageError: The store cannot be reached.
    """
    from pyarrow import ArrowException
    from pyarrow.fs import FileSystem

    try:
        filesystem, path = FileSystem.from_uri(_with_defaults(location))
    except (ArrowException, OSError, ValueError) as error:
        raise StorageError(f"{bare(location)} cannot be reached: {_telling(error)}") from error
    return Remote(filesystem, urlsplit(location).scheme, path.rstrip("/"))


def bare(location: str) -> str:
    """An address without its query and its credentials: fit to be printed."""
    parts = urlsplit(location)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _with_defaults(location: str) -> str:
    parts = urlsplit(location)
    query = SCHEMES[parts.scheme] | dict(parse_qsl(parts.query, keep_blank_values=True))
    return urlunsplit(parts._replace(query=urlencode(query)))


@contextmanager
def asking(place: Remote, deed: str) -> Generator[None]:
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
