"""The last two checkpoints of a trial that is not done: when the newest is damaged, the one before it serves."""

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from jobs.results import storage
from jobs.results.storage import File, Place, Remote, StorageError, put

_State = TypeVar("_State")


def try_to_read(file: File | Path, read: Callable[[bytes], _State]) -> tuple[_State | None, str]:
    """What `read` makes of a file's content; None, and what is wrong, where it is missing, damaged or foreign.

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
    """The files of one trial. Their names carry the epoch: which is the newest needs no clock and no rename.

    Attributes:
        trouble: What kept newer ones from being read, once `newest` has been asked.
    """

    def __init__(self, folder: Place, trial_key: str) -> None:
        self.trouble = ""
        self._folder, self._key = folder, trial_key
        self._kept = list(storage.files(folder, ".pt", prefix=f"{trial_key}."))  # oldest first
        self._useless: list[File] = []

    def newest(self, read: Callable[[bytes], _State]) -> _State | None:
        """What `read` makes of the newest one that it can read; None if there is none.

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
        """Does without all there are: they go when the next one is stored."""
        self._useless, self._kept = [*self._useless, *self._kept], []

    def add(self, epoch: int, content: bytes) -> None:
        """Stores the state after an epoch, then drops all but the one before it.

        Raises:
            StorageError: It cannot be written; those that are there stay.
        """
        place = self._folder / f"{self._key}.{epoch:09}.pt"
        put(place, content)
        file = place if isinstance(place, Remote) else str(place)
        before = [one for one in self._kept if one != file]
        _delete({*self._useless, *before[:-1]} - {file})
        self._kept, self._useless = [*before[-1:], file], []

    def clear(self) -> None:
        """Drops them all."""
        _delete([*self._useless, *self._kept])
        self._kept, self._useless = [], []


def _delete(files: Iterable[File]) -> None:
    """Deletes what may be gone; what cannot be deleted does no harm."""
    for file in files:
        with contextlib.suppress(OSError):
            storage.delete(file)
