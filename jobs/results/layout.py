"""Where the files of a store lie. Standard library only: `conclus plan` must start fast."""

import os
from collections.abc import Collection
from pathlib import Path

from core.errors import UserError

PREFIX = "study="
TRIALS = "trials"
COMPACT = "compact"
CHECKPOINTS = "checkpoints"


def study_folders(path: str, studies: Collection[str] = ()) -> list[Path]:
    """The `study=…` folders at or below `path`, sorted, only those named in `studies` if any are.

    Raises:
        UserError: There is no such folder, or no study in it.
    """
    root = Path(path)
    if not root.is_dir():
        raise UserError(f"There is no results folder {path!r}: give the folder that `conclus run` wrote to.")
    found = [root] if root.name.startswith(PREFIX) else sorted(root.glob(f"{PREFIX}*/"))
    if not found:
        raise UserError(f"The folder {path!r} holds no results: it should contain folders named {PREFIX}<name>.")
    return [folder for folder in found if not studies or study_name(folder) in studies]


def study_name(folder: Path) -> str:
    """The study that a `study=…` folder belongs to."""
    return folder.name.removeprefix(PREFIX)


def row_files(folder: Path) -> list[str]:
    """The Parquet files of one study folder.

    The trials come first: compaction writes the part before it deletes its sources, so a trial that is
    already gone from this listing is in a part that the second listing sees.
    """
    return [*_parquet(folder / TRIALS), *_parquet(folder / COMPACT)]


def _parquet(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.path for entry in entries if _is_visible(entry.name))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_visible(name: str) -> bool:
    return name.endswith(".parquet") and not name.startswith((".", "_"))


def generation_name(trial_key: str, epoch: int) -> str:
    """The name of the checkpoint that a member of a population leaves at an exchange."""
    return f"{trial_key}.at{epoch}"
