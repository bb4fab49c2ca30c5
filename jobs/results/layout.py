"""The layout of the results. Standard library only, so that `conclus plan` starts fast.

Other programs open the root as one table and skip files and folders whose names start with `_`. So everything that has
no rows has such a name here. Results of conclus 0.1.0 have the same names without the `_`; see `existing`.
"""

import os
from collections.abc import Collection, Iterable, Sequence

from core.config.schema import did_you_mean, nearest
from core.errors import UserError
from jobs.results import storage
from jobs.results.storage import File, Place, Remote

PREFIX = "study="
TRIALS = "trials"
COMPACT = "compact"
PART = "part-"
"""What the names of files in `compact` begin with."""
EXCHANGES = "_exchanges"
CHECKPOINTS = "_checkpoints"
ASSIGNMENTS = "_assignments"
STATES = "_states"
LOGS = "_logs"
TRACKERS = "_trackers"
STOPS = "_stops"
NOTES = "_notes"
PROGRESS = "_progress"
PLUG_INS = "_plugins"
QUEUE = "_queue"
STUDY_JSON = "_study.json"
STUDY_YAML = "_study.yaml"
JOB = "_job.json"
JOB_END = "_end.json"
RUN_LOCK = "_run.lock"
MODELS = "models"


def existing(folder: Place, name: str) -> Place:
    """The file or folder of that name, or the one with the older name without `_` if only that exists."""
    today, before = folder / name, folder / name.removeprefix("_")
    return before if _is_there(before) and not _is_there(today) else today


def _is_there(place: Place) -> bool:
    if isinstance(place, Remote):
        return place.is_file() if "." in place.name else place.is_dir()
    return os.path.lexists(place)


def study_folder(results: str | Place, study: str) -> Place:
    """The folder for the results of one study; it may not exist yet."""
    return storage.at(results) / f"{PREFIX}{study}"


def study_folders(path: str | Place, studies: Collection[str] = ()) -> list[Place]:
    """The `study=…` folders at or below `path`, sorted; only those of `studies` if any are named.

    Raises:
        UserError: There is no such folder, or it has no study.
    """
    root = storage.at(path)
    if not storage.is_folder(root):
        raise UserError(f"There is no results folder {str(root)!r}: give the folder that `conclus run` wrote to.")
    found = [folder for folder in _named_as_ours(root) if not _misnamed(folder)]
    if not found:
        raise UserError(f"The folder {str(root)!r} holds no results: it should contain folders named {PREFIX}<name>.")
    return [folder for folder in found if not studies or study_name(folder) in studies]


def misnamed_folders(path: str | Place) -> list[str]:
    """A sentence for each `study=…` folder at or below `path` that no study of ours can be called by.

    They are neither read nor changed.
    """
    root = storage.at(path)
    return [
        f"{folder} is skipped: {why}, so that conclus did not make it."
        for folder in (_named_as_ours(root) if storage.is_folder(root) else ())
        if (why := _misnamed(folder))
    ]


def _named_as_ours(root: Place) -> Sequence[Place]:
    return [root] if root.name.startswith(PREFIX) else storage.folders(root, PREFIX)


def _misnamed(folder: Place) -> str:
    name = study_name(folder)
    if not name:
        return f"its name says no study after {PREFIX}"
    return "" if _is_text(name) else "its name is not UTF-8 text"


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # Bytes of a name that are no text stand in it as halves of a character.
        return False
    return True


def folders_of(paths: Iterable[str], studies: Collection[str] = ()) -> list[Place]:
    """The folders of `study_folders` for each of the paths; a path may also be a single file of rows.

    Raises:
        UserError: As in `study_folders`; or one of the studies is at none of the paths.
    """
    paths = [path for path in paths if not is_rows(path)]
    every = [folder for path in paths for folder in study_folders(path)]
    there = [study_name(folder) for folder in every]
    for one in studies:
        if paths and one not in there:
            where = " and ".join(str(storage.at(path)) for path in paths)
            near = did_you_mean(one, there)
            raise UserError(f"There is no study {one!r} in {where}{near or '.'} There are {nearest(one, there)}.")
    return [folder for folder in every if not studies or study_name(folder) in studies]


def is_rows(path: str | Place) -> bool:
    """Whether a path is a single file of rows, not a folder of results.

    Raises:
        UserError: It is another file, such as a study file.
    """
    place = storage.at(path)
    if not storage.is_file(place):
        return False
    if place.name.endswith(".parquet"):
        return True
    raise UserError(f"{place} is a file, not a folder of results: give the folder that `conclus run` wrote to.")


def study_name(folder: Place) -> str:
    """The study that a `study=…` folder belongs to."""
    return folder.name.removeprefix(PREFIX)


def trial_files(folder: Place) -> list[File]:
    """The Parquet files of one study folder that contain one attempt each."""
    return [*_listed(folder / TRIALS)]


def part_files(folder: Place) -> list[File]:
    """The Parquet files of one study folder that contain compacted rows."""
    return [*_listed(folder / COMPACT)]


def row_files(folder: Place) -> list[File]:
    """The Parquet files of one study folder.

    The trials are listed first: compaction writes the part before it deletes its sources, so a trial that is missing in
    the first listing is in a part of the second. If one of the two folders cannot be listed, the folder itself is
    returned, so that reading it reports the error.
    """
    return [*trial_files(folder), *part_files(folder)]


def _listed(folder: Place) -> Sequence[File]:
    try:
        return storage.files(folder, ".parquet")
    except storage.StorageError:
        if isinstance(folder, storage.Remote):
            raise
        return [str(folder)]


def exchange_file(folder: Place, trial_key: str, epoch: int) -> Place:
    """The checkpoint file of a member of a population at an exchange."""
    return folder / EXCHANGES / f"{trial_key}.{epoch}.pt"


def model_folder(folder: Place, trial_key: str) -> Place:
    """The folder for a trial's saved model; it is named with `_`, so that `models` itself needs none."""
    return folder / MODELS / f"_{trial_key}"
