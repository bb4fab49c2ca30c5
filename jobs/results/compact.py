"""Compaction: moves the finished rows of many small files to a few large ones."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa

from core.data.told import told
from jobs.results import storage
from jobs.results.layout import (
    COMPACT,
    PART,
    QUEUE,
    TRIALS,
    existing,
    part_files,
    study_folders,
    study_name,
    trial_files,
)
from jobs.results.peek import read_header, renamed
from jobs.results.reader import read_files
from jobs.results.schema import IDENTITY
from jobs.results.storage import File, Place, Remote, put
from jobs.results.writer import new_attempt_id, stored

_ROWS_PER_PART = 1000
"""Limits memory: the histories of all rows of a part are in memory at once, some 50 KB per row."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """The result of compacting one study.

    Attributes:
        study: Its name.
        rows: Number of rows moved.
        parts: Number of files that contain them now.
        skipped: Files that were left alone because they are damaged, links or foreign, as whole sentences.
    """

    study: str
    rows: int
    parts: int
    skipped: list[str]


class _Source(NamedTuple):
    path: File
    version: object


def compact(results: str | Place) -> list[Compacted]:
    """Moves every row that is not `running` from `trials/` to a new file in `compact/`, study by study.

    Files in `compact/` without a digest, as written by conclus 0.1.0, are rewritten with one.

    It is safe at any moment and on any machine: the part is written before its sources are deleted. So a crash in
    between leaves rows twice but loses none, and the reader shows each trial once.

    Raises:
        UserError: There are no results at `results`.
        StorageError: A file cannot be written or removed.
    """
    done = [_compact_study(folder) for folder in study_folders(results)]
    storage.sweep(existing(storage.at(results), QUEUE))
    return done


def gather(folder: Place, files: Sequence[File]) -> Compacted:
    """Moves the rows of these files of trials that are not `running` to new files in `compact/`, safely as `compact`.

    Raises:
        StorageError: A file cannot be written or removed.
    """
    if links := _links(folder):
        # What it leads to may be other results, which would lose their rows to these.
        told = [f"{one} is left alone: it is a link, and only what lies in the results is compacted." for one in links]
        return Compacted(study_name(folder), 0, 0, told)
    sources, skipped = _finished(folder, files)
    return _moved(folder, _batches(sources), skipped, len(sources))


def _compact_study(folder: Place) -> Compacted:
    before = () if _links(folder) else part_files(folder)
    done = gather(folder, trial_files(folder))
    old, torn = _finished(folder, before, sealed=False)
    # A part holds as many rows as a batch may.
    again = _moved(folder, ([one] for one in old), torn, len(old))
    storage.sweep(folder)
    return Compacted(done.study, done.rows + again.rows, done.parts + again.parts, done.skipped + again.skipped)


def _links(folder: Place) -> list[Place]:
    return [one for one in (folder, folder / TRIALS, folder / COMPACT) if storage.is_link(one)]


def _moved(folder: Place, batches: Iterable[Sequence[_Source]], skipped: list[str], total: int) -> Compacted:
    rows, parts, done = 0, 0, 0
    for batch in batches:
        moved, torn = _move(folder, batch)
        done += len(batch)
        told("moving rows to few files", done, total)
        rows, parts, skipped = rows + moved, parts + (moved > 0), skipped + torn
    return Compacted(study_name(folder), rows, parts, skipped)


def _finished(folder: Place, files: Sequence[File], *, sealed: bool = True) -> tuple[list[_Source], list[str]]:
    """The files whose rows have all ended; with `sealed=False`, only those without a digest."""
    found = list(storage.each(lambda file: _source(file, sealed=sealed), files, folder))
    sources = [one for one in found if isinstance(one, _Source)]
    return sources, [one for one in found if isinstance(one, str)]


def _source(path: File, *, sealed: bool) -> _Source | str | None:
    """The source if `_finished` should return the file, else None; for a damaged or renamed file, the message."""
    try:
        source = _Source(path, storage.version(path))
        header = read_header(path)
        if sentence := renamed(path, header):
            return sentence
        is_wanted = sealed or not header.is_sealed
        return source if is_wanted and all(row.status != "running" for row in header.rows) else None
    except FileNotFoundError:
        return None
    except storage.StorageError as error:
        if isinstance(path, Remote):
            raise
        return f"{path} is skipped: {error.reason}."
    except ValueError as error:
        return str(error)


def _move(folder: Place, sources: Sequence[_Source]) -> tuple[int, list[str]]:
    try:
        loaded = read_files([source.path for source in sources], study_name(folder))
    except FileNotFoundError:
        return 0, []  # Another compaction is moving the same files.
    if loaded.table.num_rows:
        place = folder / COMPACT / f"{PART}{new_attempt_id()}.parquet"
        part = place if isinstance(place, Remote) else str(place)
        put(place, stored(loaded.table, study_name(folder)))
        if not _holds(part, loaded.table, study_name(folder)):
            storage.delete(part)
            return 0, [f"{folder} is left alone: its rows do not read back from a new file as they were."]
    torn = {sentence.split(" is skipped", 1)[0] for sentence in loaded.skipped}
    whole = [source for source in sources if str(source.path) not in torn]
    list(storage.each(_remove, whole, folder))
    return loaded.table.num_rows, loaded.skipped


def _holds(part: File, rows: pa.Table, study: str) -> bool:
    """Whether a new file gives back all rows: only then may those go that it was made of."""
    found = read_files([part], study).table
    return found.select(IDENTITY).equals(rows.select(IDENTITY))


def _remove(source: _Source) -> None:
    """Deletes a source, unless its attempt has rewritten it since it was read."""
    with contextlib.suppress(FileNotFoundError):
        if storage.version(source.path) == source.version:
            storage.delete(source.path)


def _batches(sources: Sequence[_Source]) -> Iterator[Sequence[_Source]]:
    for start in range(0, len(sources), _ROWS_PER_PART):
        yield sources[start : start + _ROWS_PER_PART]
