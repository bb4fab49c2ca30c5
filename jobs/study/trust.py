"""Which plug-in files may run: those that the person names, and those of a content that this person has run before.

Results name plug-ins by path, too: in the study that they were planned as, and beside a model. Results may come from a
stranger, so that a path in them is no leave to run what lies there. What was run before is known by its content, in
`$XDG_STATE_HOME/conclus/plug-ins`: a line of 64 letters each.
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
    """Lets plug-in files run that the person named, and remembers their content.

    Where it cannot be kept, they run all the same: they are asked for again next time.

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
        # One write of whole lines at the end: two commands at once lose nothing of each other.
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            os.write(descriptor, "".join(f"{digest}\n" for digest in sorted(new)).encode())
        finally:
            os.close(descriptor)
    except OSError:
        return


def of_study(file: Path, plug_ins: Iterable[Path]) -> None:
    """Lets the plug-ins of a study file run that was named on the command line, if it is the person's own.

    A file that lies in results (the study as it was run, an entry of a queue) may be a stranger's: of its plug-ins
    those run that were run before.

    Raises:
        UserError: one of the person's own plug-ins cannot be read.
    """
    if lies_in_results(file):
        recall()
    else:
        name(plug_ins)


def lies_in_results(file: Path) -> bool:
    """Whether a study file is one that conclus wrote into a folder of results."""
    whole = file.resolve()
    return any(part.startswith(PREFIX) for part in whole.parts[:-1]) or (
        whole.parent.name in {QUEUE, QUEUE.removeprefix("_")} and whole.stem.isdigit()
    )


def recall() -> None:
    """Lets files run whose content this person has run before, whatever names them now."""
    plugins.allow(*_remembered())


def kept() -> Path:
    """The file of the content that was run before.

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
