"""Whether a study has ended, or is left by what ran it: for `conclus watch` and `conclus serve --once`."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING

from core.errors import counted
from jobs.execution import driver, job_end
from jobs.present.inputs import named
from jobs.present.output import width, wrapped
from jobs.present.visible import one_line
from jobs.results.lock import holder

if TYPE_CHECKING:
    from jobs.health.status import StudyStatus
    from jobs.live.following import Following

UNHEARD_SECONDS = 600.0
"""After so long without news nothing seems to run a study of which nothing else is known."""


def is_over(one: StudyStatus) -> bool:
    """Whether every planned trial has ended."""
    return one.planned > 0 and one.done + one.count("failed") == one.planned


def is_run(study: Following, one: StudyStatus) -> bool:
    """Whether some process may run a study whose trials have not all ended."""
    if study.is_free:
        return False
    if one.count("running") or holder(study.folder):
        return True
    job = driver.read(study.folder)
    may_wait = job is not None and job_end.read(study.folder, job.job) is None
    if not may_wait and one.count("silent") + one.count("interrupted"):
        return False
    return time.monotonic() - study.heard < UNHEARD_SECONDS


def advice(results: str, study: Following, one: StudyStatus) -> str:
    """What to do about a study that nothing runs."""
    left = counted(one.planned - one.done - one.count("failed"), "trial", "are")
    runs = "Nothing runs it any more" if study.is_free else "Nothing seems to run it: no sign of life is in its files"
    told = f"{one_line(one.study)}: {runs}, and {left} left. Go on with:"
    return "\n".join([*wrapped(told, width(), "  "), f"  conclus resume {shlex.join(named(results, study.folder))}"])
