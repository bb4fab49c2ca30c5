"""Access to object stores through pyarrow, with the few methods of a path that results need.

fsspec and universal-pathlib need one more package for each kind of store; pyarrow reaches all of them.
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
    "gs": {"retry_limit_seconds": "5"},  # The default limit is a quarter of an hour.
    "gcs": {"retry_limit_seconds": "5"},
    "abfs": {},
    "abfss": {},
}


@dataclass(frozen=True, eq=False)
class Remote:
    """An object, or a prefix of objects, in a store that pyarrow can reach.

    As text, it has no query and no credentials.

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
        """The prefix that contains it."""
        return Remote(self.filesystem, self.scheme, self.path.rpartition("/")[0])

    def children(self) -> list[tuple[str, bool]]:
        """The names below this prefix, each with whether it is an object; empty if there is nothing.

        Raises:
            StorageError: The bucket does not exist, or the store does not answer.
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
        """Whether anything is below it."""
        return bool(self.children())

    def open(self) -> Any:
        """A `pyarrow.NativeFile` for reading with random access.

        Raises:
            FileNotFoundError: It is gone.
            StorageError: The store does not answer.
        """
        with asking(self, "read"):
            return self.filesystem.open_input_file(self.path)

    def read_bytes(self) -> bytes:
        """All its bytes.

        Raises:
            FileNotFoundError: It is gone.
            StorageError: The store does not answer.
        """
        with self.open() as file, asking(self, "read"):
            return file.read()

    def write_bytes(self, data: bytes) -> None:
        """Writes `data` to the object, completely or not at all.

        All data is written in one call: an object appears when the stream is closed, so a `with` around several writes
        would publish a part of them if one fails.

        Raises:
            StorageError: The store does not accept it; the old content stays.
        """
        with asking(self, "written"):
            stream = self.filesystem.open_output_stream(self.path)
            stream.write(data)
            stream.close()

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Deletes it.

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
    """The place at the address of an object store.

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
    """An address without its query and credentials, safe to print."""
    parts = urlsplit(location)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _with_defaults(location: str) -> str:
    parts = urlsplit(location)
    query = SCHEMES[parts.scheme] | dict(parse_qsl(parts.query, keep_blank_values=True))
    return urlunsplit(parts._replace(query=urlencode(query)))


@contextmanager
def asking(place: Remote, deed: str) -> Generator[None]:
    """Turns errors of the store into a StorageError with one line, like `local.answering`."""
    from pyarrow import ArrowException

    try:
        yield
    except FileNotFoundError:
        raise
    except (ArrowException, OSError) as error:
        raise StorageError(f"{place} cannot be {deed}: {_telling(error)}") from error


def _telling(error: BaseException) -> str:
    """The informative part of a pyarrow error: one line that starts with the service's error code."""
    line = " ".join(str(error).split())
    line = re.sub(r" ?\(Request ID: [^)]*\)", "", re.sub(r"^.*?AWS Error ", "", line))
    return line[:240].rstrip(". ") or type(error).__name__
