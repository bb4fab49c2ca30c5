"""Whether a study file or a plug-in lies in results, which may come from a stranger, judged by its path."""

from __future__ import annotations

import os
from pathlib import Path

from jobs.results.layout import PLUG_INS, PREFIX, QUEUE, STUDY_YAML


def is_of_results(study: Path) -> bool:
    """Whether a study file is one that conclus wrote into results, judged by its path and by the target of links."""
    return any(
        _is_below_study(path)
        or path.name == STUDY_YAML
        or (path.parent.name in {QUEUE, QUEUE.removeprefix("_")} and path.stem.isdigit())
        for path in _paths(study)
    )


def lies_in_results(plug_in: Path) -> bool:
    """Whether a plug-in's file lies in results: below a `study=…` folder, or in `_plugins`, or beside such a folder.

    Beside it lies whatever is in the folder that holds it, at any depth. The path counts as it is named, and where
    links lead.
    """
    return any(
        _is_below_study(path) or PLUG_INS in path.parts[:-1] or any(map(_holds_studies, path.parents))
        for path in _paths(plug_in)
    )


def _paths(file: Path) -> set[Path]:
    return {Path(os.path.abspath(file)), file.resolve()}  # noqa: PTH100 (as it is named: no link is followed)


def _is_below_study(path: Path) -> bool:
    return any(part.startswith(PREFIX) for part in path.parts[:-1])


def _holds_studies(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(entry.name.startswith(PREFIX) for entry in entries)
    except OSError:
        return False
