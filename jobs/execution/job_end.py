"""How a submitted job ended: `conclus run` writes it to the results, where `conclus status` reads it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from cluster.executor import ClusterError
from core.errors import UserError
from core.seal import seal_json
from jobs.execution import driver
from jobs.present.output import warn
from jobs.results import records
from jobs.results.layout import JOB_END, study_folder
from jobs.results.storage import Place, put

_SHAPE = {"job": str, "at": str, "code": int, "why": str}
_LONGEST = 1000


@dataclass(frozen=True)
class JobEnd:
    """The end of a job: its name, when it ended, its exit code, and the error that ended it (empty if none did)."""

    job: str
    at: str
    code: int
    why: str


@contextlib.contextmanager
def written(study: Path, results: str) -> Generator[None]:
    """Writes how the block ended, in the process of a submitted job; elsewhere it does nothing."""
    code, why = 0, ""
    try:
        yield
    except SystemExit as leave:
        code = leave.code if isinstance(leave.code, int) else 1
        raise
    except (UserError, ClusterError) as error:
        code, why = error.exit_code if isinstance(error, ClusterError) else 2, str(error)
        raise
    except BaseException as error:
        code, why = 1, f"{type(error).__name__}: {error}"
        raise
    finally:
        if driver.AGAIN in os.environ:
            with contextlib.suppress(UserError, ClusterError, OSError):  # It ends as it would have without this.
                _write(study, results, code, why)


def _write(study: Path, results: str, code: int, why: str) -> None:
    from jobs.planning import stages

    folder = study_folder(results, stages.load(study, ()).stages[0].study.name)
    if (job := driver.read(folder)) is not None:
        end = JobEnd(job.job, datetime.now(UTC).isoformat(timespec="seconds"), code, why[:_LONGEST])
        put(folder / JOB_END, seal_json(asdict(end)))


def read(folder: Place, job: str) -> JobEnd | None:
    """The end of this job, or None; warns if its record is damaged."""
    try:
        content = records.read(folder / JOB_END, _SHAPE)
    except FileNotFoundError:
        return None
    except records.RecordError as error:
        warn([str(error)])
        return None
    found = JobEnd(**{name: content[name] for name in _SHAPE})
    return found if found.job == job else None
