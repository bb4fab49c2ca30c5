"""An object, or a prefix of objects, in an object store, with the few methods of a path that results need."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from core.data.object_store import connected, telling
from core.errors import UserError
from jobs.results.local import StorageError


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
    try:
        filesystem, path = connected(location)
    except UserError as error:
        raise StorageError(str(error)) from error
    return Remote(filesystem, urlsplit(location).scheme, path)


@contextmanager
def asking(place: Remote, deed: str) -> Generator[None]:
    """Turns errors of the store into a StorageError with one line, like `local.answering`."""
    from pyarrow import ArrowException

    try:
        yield
    except FileNotFoundError:
        raise
    except (ArrowException, OSError) as error:
        raise StorageError(f"{place} cannot be {deed}: {telling(error)}") from error
