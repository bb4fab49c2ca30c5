"""The last two checkpoints of an unfinished trial: if the newest is damaged, the one before it is used."""

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from jobs.results import storage
from jobs.results.storage import File, Place, Remote, StorageError, put

_State = TypeVar("_State")


def try_to_read(file: File | Path, read: Callable[[bytes], _State]) -> tuple[_State | None, str]:
    """The result of `read` on a file's content; None and the error if it is missing, damaged or foreign.

    Raises:
        StorageError: The object store does not answer.
    """
    try:
        return read(storage.read_regular(file, storage.LARGEST_MODEL)), ""
    except Exception as error:
        if isinstance(error, StorageError) and isinstance(file, Remote):
            raise
        return None, str(error) if isinstance(error, ValueError) else type(error).__name__


class Checkpoints:
    """The checkpoint files of one trial. Their names contain the epoch, so finding the newest needs no clock.

    Without `again` there are none yet: the folder, which has those of all running trials, is not listed.

    Attributes:
        trouble: After `newest`, why newer files could not be read.
    """

    def __init__(self, folder: Place, trial_key: str, *, again: bool = True) -> None:
        self.trouble = ""
        self._folder, self._key = folder, trial_key
        self._kept = list(storage.files(folder, ".pt", prefix=f"{trial_key}.")) if again else []  # oldest first
        self._useless: list[File] = []

    def newest(self, read: Callable[[bytes], _State]) -> _State | None:
        """The result of `read` on the newest file that it can read; None if there is none.

        Raises:
            StorageError: The object store does not answer.
        """
        while self._kept:
            found, trouble = try_to_read(self._kept[-1], read)
            if found is not None:
                return found
            self.trouble = self.trouble or trouble
            self._useless.append(self._kept.pop())
        return None

    def reject(self) -> None:
        """Ignores all existing files; they are deleted when the next one is stored."""
        self._useless, self._kept = [*self._useless, *self._kept], []

    def add(self, epoch: int, content: bytes) -> None:
        """Stores the state after an epoch, then deletes all files but this and the one before it.

        Raises:
            StorageError: It cannot be written; existing files are kept.
        """
        place = self._folder / f"{self._key}.{epoch:09}.pt"
        put(place, content)
        file = place if isinstance(place, Remote) else str(place)
        before = [one for one in self._kept if one != file]
        _delete({*self._useless, *before[:-1]} - {file})
        self._kept, self._useless = [*before[-1:], file], []

    def clear(self) -> None:
        """Deletes all files."""
        _delete([*self._useless, *self._kept])
        self._kept, self._useless = [], []


def _delete(files: Iterable[File]) -> None:
    """Deletes files that may be gone already; those that cannot be deleted do no harm."""
    for file in files:
        with contextlib.suppress(OSError):
            storage.delete(file)
