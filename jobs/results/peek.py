"""The status of each trial without pyarrow, for `conclus plan`: thousands of files in a tenth of a second."""

import contextlib
from pathlib import PurePath
from typing import NamedTuple

from jobs.results import header
from jobs.results.header import Header, HeaderRow, preference
from jobs.results.layout import TRIALS, row_files, study_folder
from jobs.results.storage import File, Place, Remote, StorageError, each, files, read_regular


class Peek(NamedTuple):
    """The data from the headers of a study's files.

    Attributes:
        statuses: For each trial key, the status of the attempt that counts for the trial.
        skipped: Sentences on damaged or foreign files with the reason, one on files without a digest, and one for each
            file whose name belongs to another trial than its content.
    """

    statuses: dict[str, str]
    skipped: list[str]


def statuses(results: str, study: str) -> Peek:
    """The status of every trial of `study`, by the same rule as the reader; empty if nothing has run yet."""
    folder = study_folder(results, study)
    headers, skipped = _headers(folder)
    chosen: dict[str, HeaderRow] = {}
    for row in (row for one in headers.values() for row in one.rows):
        other = chosen.get(row.trial_key)
        if other is None or preference(row.status, row.attempt_id) < preference(other.status, other.attempt_id):
            chosen[row.trial_key] = row
    told = without_digest(sum(not one.is_sealed for one in headers.values()), str(folder))
    told += [sentence for path, one in headers.items() if (sentence := renamed(path, one))]
    return Peek({key: row.status for key, row in chosen.items()}, told + skipped)


def has_finished(folder: Place, trial_key: str) -> bool:
    """Whether an attempt at a trial has ended well: a worker may die after its last write and before it reports."""
    for path in files(folder / TRIALS, ".parquet", prefix=f"{trial_key}."):
        with contextlib.suppress(ValueError, FileNotFoundError):
            if any(row.status == "ok" for row in read_header(path).rows):
                return True
    return False


def checked(path: File) -> tuple[bytes, Header | None]:
    """All bytes of one file after checking its digest, and its header, or None if it has no header.

    Raises:
        ValueError: The file is damaged or not a Parquet file; the message says which.
        StorageError: The object store does not answer.
        FileNotFoundError: It is gone.
    """
    try:
        content = read_regular(path)
        return content, header.read(content)
    except FileNotFoundError:
        raise
    except StorageError as error:
        if isinstance(path, Remote):
            raise  # The store does not answer; the file may be fine.
        raise ValueError(f"{path} is skipped: {error.reason}.") from error
    except (IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is skipped: it is torn, damaged or not written by conclus ({error}); a trial whose row is in it "
            "counts as missing."
        ) from error


def read_header(path: File) -> Header:
    """The header of one file.

    Raises:
        ValueError: The file is damaged or foreign; the message says which.
        StorageError: The object store does not answer.
        FileNotFoundError: It is gone.
    """
    found = checked(path)[1]
    if found is None:
        raise ValueError(foreign(path))
    return found


def foreign(path: File) -> str:
    """The sentence on a file without a header of conclus."""
    return f"{path} is skipped: it was not written by conclus (no header)."


def renamed(path: File, found: Header) -> str:
    """The sentence about a trial's file whose name says another trial than its content; empty where it does not."""
    said = PurePath(str(path))
    if said.parent.name != TRIALS or len(found.rows) != 1 or said.name.startswith(f"{found.rows[0].trial_key}."):
        return ""
    return (
        f"{path} holds the row of trial {found.rows[0].trial_key}, and its name says another one: the row counts for "
        "the trial that it tells of, once."
    )


def without_digest(count: int, where: str) -> list[str]:
    """One sentence on files without a digest; none if there are none."""
    if not count:
        return []
    files = "1 file holds" if count == 1 else f"{count} files hold"
    return [f"{where}: {files} no digest, as conclus 0.1.0 wrote them: they are read, but damage in them is not seen."]


def _headers(folder: Place) -> tuple[dict[File, Header], list[str]]:
    found: dict[File, Header] = {}
    skipped: list[str] = []
    try:
        files = row_files(folder)
        for path, one in zip(files, each(_read, files, folder), strict=True):
            if isinstance(one, str):
                skipped.append(one)
            else:
                found[path] = one
    except FileNotFoundError:
        # Compaction moved it while we read: list the folder again to find its part.
        return _headers(folder)
    return found, skipped


def _read(path: File) -> Header | str:
    """The header of a file, or a sentence on why it is skipped."""
    try:
        return read_header(path)
    except ValueError as error:
        return str(error)
