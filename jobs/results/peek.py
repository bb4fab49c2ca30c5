"""The status of each trial without pyarrow, for `conclus plan`: thousands of files in a tenth of a second."""

import contextlib
from pathlib import PurePath
from typing import NamedTuple

from jobs.results import header
from jobs.results.header import Header, HeaderRow, preference
from jobs.results.layout import COMPACT, TRIALS, row_files, study_folder
from jobs.results.storage import File, Place, Remote, StorageError, each, files, read_regular, version


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
    found: dict[File, Header | str] = {}
    is_whole = False
    while not is_whole:  # If a file is gone, compaction has moved its row: its part is in the next listing.
        new = [path for path in row_files(folder) if path not in found]
        read = dict(zip(new, each(_read, new, folder), strict=True))
        found |= {path: one for path, one in read.items() if one is not None}
        is_whole = None not in read.values()
    headers = {path: one for path, one in found.items() if isinstance(one, Header)}
    return headers, [one for one in found.values() if isinstance(one, str)]


def _read(path: File) -> Header | str | None:
    """The header of a file, or a sentence on why it is skipped; None if the file is gone."""
    try:
        if PurePath(str(path)).parent.name != COMPACT:
            return read_header(path)
        known, now = _parts.get(path), version(path)
        if known is None or known[0] != now:
            known = _parts[path] = now, read_header(path)
        return known[1]
    except FileNotFoundError:
        return None
    except StorageError as error:
        if isinstance(path, Remote):
            raise
        return f"{path} is skipped: {error.reason}."
    except ValueError as error:
        return str(error)


_parts: dict[File, tuple[object, Header]] = {}
"""What this process has read of parts, which have most of the bytes; a run asks several times."""
