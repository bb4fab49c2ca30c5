"""The status of each trial without pyarrow, for `conclus plan`: thousands of files in a tenth of a second."""

import os
from typing import NamedTuple

from jobs.results.header import HeaderRow, decode, find, preference
from jobs.results.layout import row_files, study_folder
from jobs.results.storage import File, Place, Remote, StorageError, each, open_regular

_MAGIC = b"PAR1"
_TAIL = 8
_GUESS = 64 * 1024
"""What is read of the end of an object at once: a second request costs more than these bytes."""


class Peek(NamedTuple):
    """What the footers of a study say.

    Attributes:
        statuses: Trial key to the status of the attempt that stands for the trial.
        skipped: Files that are torn or not ours, each with the reason, as whole sentences.
    """

    statuses: dict[str, str]
    skipped: list[str]


def statuses(results: str, study: str) -> Peek:
    """The status of every trial of `study`, by the reader's rule; empty when nothing has run yet."""
    rows, skipped = _rows(study_folder(results, study))
    chosen: dict[str, HeaderRow] = {}
    for row in rows:
        other = chosen.get(row.trial_key)
        if other is None or preference(row.status, row.attempt_id) < preference(other.status, other.attempt_id):
            chosen[row.trial_key] = row
    return Peek({key: row.status for key, row in chosen.items()}, skipped)


def read_header(path: File) -> list[HeaderRow]:
    """The rows that one file says it holds.

    Raises:
        ValueError: The file is torn, or not one of ours.
        FileNotFoundError: It is gone.
    """
    try:
        return decode(find(_footer(path)))
    except StorageError as error:
        if isinstance(path, Remote):
            raise
        raise ValueError(f"{path} is skipped: {error.reason}.") from error
    except (IndexError, KeyError, TypeError, ValueError, RecursionError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"{path} is skipped: it is torn or was not written by conclus ({error}).") from error


def _rows(folder: Place) -> tuple[list[HeaderRow], list[str]]:
    rows: list[HeaderRow] = []
    skipped: list[str] = []
    try:
        for found in each(_read, row_files(folder), folder):
            if isinstance(found, str):
                skipped.append(found)
            else:
                rows += found
    except FileNotFoundError:
        # Compaction took it away while we read: the part it went into has to be listed again.
        return _rows(folder)
    return rows, skipped


def _read(path: File) -> list[HeaderRow] | str:
    """The rows of a file, or the sentence that says why it is skipped."""
    try:
        return read_header(path)
    except ValueError as error:
        return str(error)


def _footer(path: File) -> bytes:
    if isinstance(path, Remote):
        return _remote_footer(path)
    with open_regular(path) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL))
        tail = file.read(_TAIL)
        length = _length(tail, size)
        file.seek(size - _TAIL - length)
        return file.read(length)


def _remote_footer(path: Remote) -> bytes:
    size, tail = path.tail(_GUESS)
    length = _length(tail[-_TAIL:], size)
    if length + _TAIL > len(tail):
        _, tail = path.tail(length + _TAIL)
    return tail[-_TAIL - length : -_TAIL]


def _length(tail: bytes, size: int) -> int:
    """How long the footer is that a file's last bytes end."""
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != _MAGIC or length > size - _TAIL:
        raise ValueError("no Parquet footer")
    return length
