"""Which plug-in files may run: those that the user names, and those with a content that the user ran before.

Results also name plug-ins by path: in their copy of the study, and beside a model. Results may come from a stranger, so
a path in them is no permission to run the file. Files that ran before are recognised by the sha256 of their content, in
`$XDG_STATE_HOME/conclus/plug-ins`, one line of 64 characters each.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from core.config import plugins
from jobs.results.layout import PREFIX, QUEUE
from jobs.study import state_folder

_DIGEST = re.compile(r"[0-9a-f]{64}")


def name(files: Iterable[Path]) -> None:
    """Allows plug-in files that the user named, and stores the hash of their content.

    If it cannot be stored, they still run, but must be named again next time.

    Raises:
        UserError: a file cannot be read.
    """
    digests = plugins.allow_named(*files)
    new = set(digests).difference(_remembered())
    if not new:
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


def of_study(file: Path, plug_ins: Iterable[Path]) -> None:
    """Allows the plug-ins of a study file that was named on the command line, if it is the user's own.

    A file in results (the study as it was run, an entry of a queue) may come from a stranger: only those of its
    plug-ins may run that ran before.

    Raises:
        UserError: one of the user's own plug-ins cannot be read.
    """
    if lies_in_results(file):
        recall()
    else:
        name(plug_ins)


def lies_in_results(file: Path) -> bool:
    """Whether a study file was written by conclus into a folder of results."""
    whole = file.resolve()
    return any(part.startswith(PREFIX) for part in whole.parts[:-1]) or (
        whole.parent.name in {QUEUE, QUEUE.removeprefix("_")} and whole.stem.isdigit()
    )


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
