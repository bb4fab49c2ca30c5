"""Which plug-in files may run: those that the user names, and those with a content that the user ran before.

Results also name plug-ins by path: in their copy of the study, and beside a model. Results may come from a stranger, so
a path in them is no permission to run the file, and a file in them does not count as the user's own, whoever names it.
Files that ran before are recognised by the sha256 of their content, in `$XDG_STATE_HOME/conclus/plug-ins`, one line of
64 characters each.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from core.config import plugins
from jobs.study import state_folder
from jobs.study.origin import is_of_results, lies_in_results

_DIGEST = re.compile(r"[0-9a-f]{64}")


def name(files: Iterable[Path], *, remember: bool = True) -> None:
    """Allows plug-in files that the user named, and stores the hash of their content if `remember`.

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
        never_a_link = getattr(os, "O_NOFOLLOW", 0)  # Windows has no such flag.
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | never_a_link, 0o600)
        try:
            os.write(descriptor, "".join(f"{digest}\n" for digest in sorted(new)).encode())
        finally:
            os.close(descriptor)
    except OSError:
        return


def of_study(file: Path, plug_ins: Iterable[Path], *, remember: bool = True) -> None:
    """Allows those plug-ins of a study file named on the command line that are the user's own.

    A study that conclus wrote into results may come from a stranger. So may a plug-in in results, whatever study names
    it. Of those, only plug-ins that ran before may run.

    Args:
        file: The study file.
        plug_ins: The plug-in files that it names.
        remember: As in `name`; False if the study is only read and not run.

    Raises:
        UserError: one of the user's own plug-ins cannot be read.
    """
    recall()
    if not is_of_results(file):
        name(own(plug_ins), remember=remember)


def own(plug_ins: Iterable[Path]) -> list[Path]:
    """The plug-in files that are not in results."""
    return [file for file in plug_ins if not lies_in_results(file)]


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
