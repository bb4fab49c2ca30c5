"""The status of each trial without pyarrow, for `conclus plan`: thousands of files in a tenth of a second."""

import os
from pathlib import Path
from typing import NamedTuple

from jobs.results.header import HeaderRow, decode, find, preference
from jobs.results.layout import PREFIX, row_files

_MAGIC = b"PAR1"
_TAIL = 8


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
    rows, skipped = _rows(Path(results, f"{PREFIX}{study}"))
    chosen: dict[str, HeaderRow] = {}
    for row in rows:
        other = chosen.get(row.trial_key)
        if other is None or preference(row.status, row.attempt_id) < preference(other.status, other.attempt_id):
            chosen[row.trial_key] = row
    return Peek({key: row.status for key, row in chosen.items()}, skipped)


def read_header(path: str) -> list[HeaderRow]:
    """The rows that one file says it holds.

    Raises:
        ValueError: The file is torn, or not one of ours.
        FileNotFoundError: It is gone.
    """
    try:
        return decode(find(_footer(path)))
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is skipped: it is torn or was not written by conclus ({error}).") from error


def _rows(folder: Path) -> tuple[list[HeaderRow], list[str]]:
    rows: list[HeaderRow] = []
    skipped: list[str] = []
    for path in row_files(folder):
        try:
            rows += read_header(path)
        except ValueError as error:
            skipped.append(str(error))
        except FileNotFoundError:
            # Compaction took it away while we read: the part it went into has to be listed again.
            return _rows(folder)
    return rows, skipped


def _footer(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 (Path costs more than the read)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL))
        tail = file.read(_TAIL)
        length = int.from_bytes(tail[:4], "little")
        if tail[4:] != _MAGIC or length > size - _TAIL:
            raise ValueError("no Parquet footer")
        file.seek(size - _TAIL - length)
        return file.read(length)
