"""Which plug-in files may run: those that the user names, and those with a content that the user ran before.

Results name plug-ins by path, too: in the study that they were planned as, and beside a model. Results may come from a
stranger, so that a path in them is no leave to run what lies there, and a file in them is no file of the person's,
whoever names it. What was run before is known by its content, in `$XDG_STATE_HOME/conclus/plug-ins`: a line of 64
letters each.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from core.config import plugins
from jobs.results.layout import PLUG_INS, PREFIX, QUEUE, STUDY_YAML
from jobs.study import state_folder

_DIGEST = re.compile(r"[0-9a-f]{64}")


def name(files: Iterable[Path], *, remember: bool = True) -> None:
    """Lets plug-in files run that the person named, and remembers their content.

    If it cannot be stored, they still run, but must be named again next time.

    Args:
        files: The plug-ins' files.
        remember: Whether they may also run in later commands, whatever names them then.

    Raises:
        UserError: a file cannot be read.
    """
    digests = plugins.allow_named(*files)
    new = set(digests).difference(_remembered())
    if not (new and remember):
        return
    try:
        file = kept()
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Whole lines are appended in one write, so that two commands at a time lose no line.
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            os.write(descriptor, "".join(f"{digest}\n" for digest in sorted(new)).encode())
        finally:
            os.close(descriptor)
    except OSError:
        return


def of_study(file: Path, plug_ins: Iterable[Path], *, remember: bool = True) -> None:
    """Lets those plug-ins run that are the person's own, of a study file that was named on the command line.

    A study that conclus wrote into results may be a stranger's. So may a plug-in that lies in results, whatever study
    names it. Of those the ones run that were run before.

    Args:
        file: The study file.
        plug_ins: The plug-ins' files that it names.
        remember: As `name`; False where the study is looked at and not run.

    Raises:
        UserError: one of the user's own plug-ins cannot be read.
    """
    recall()
    if not is_of_results(file):
        name(own(plug_ins), remember=remember)


def own(plug_ins: Iterable[Path]) -> list[Path]:
    """Those of the plug-ins' files that do not lie in results."""
    return [file for file in plug_ins if not lies_in_results(file)]


def is_of_results(study: Path) -> bool:
    """Whether a study file is one that conclus wrote into results, by the path as it is named or where links lead."""
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


def recall() -> None:
    """Allows files whose content the user ran before, whatever their name is now."""
    plugins.allow(*_remembered())


def kept() -> Path:
    """The file with the hashes of content that ran before.

    Raises:
        FileNotFoundError: there is no home folder.
    """
    return state_folder.folder() / "plug-ins"


def _remembered() -> list[str]:
    try:
        text = kept().read_text(encoding="ascii", errors="replace")
    except OSError:
        return []
    return [line for line in text.split("\n") if _DIGEST.fullmatch(line)]
