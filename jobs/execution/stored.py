"""What the driver writes itself: the plan of a study, and the row of a trial that could not write its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from core.seal import seal_json
from jobs.planning import apart
from jobs.planning.plan import Plan
from jobs.results import peek, provenance, storage
from jobs.results.identity import PROTOCOL
from jobs.results.layout import ASSIGNMENTS, CHECKPOINTS, STUDY_JSON, study_folder, trial_files
from jobs.study import plug_ins


def epoch_times(results: str, study: str) -> list[tuple[str, float | None, int | None]]:
    """The configuration's key, the seconds and the number of epochs of each stored attempt of a study."""
    from jobs.results.reader import load

    columns = ["config_key", "seconds", "epochs_done"]
    table = load(study_folder(results, study), attempts=True, columns=columns).table
    return list(zip(*(table[name].to_pylist() for name in columns), strict=True))


def advanced_since(results: str, study: str, attempt_id: str) -> bool:
    """Whether an attempt that began after this one got through an epoch."""
    from jobs.results.reader import load

    table = load(study_folder(results, study), attempts=True, columns=["attempt_id", "own_seconds"]).table
    columns = (table[name].to_pylist() for name in ("attempt_id", "own_seconds"))
    return any(one > attempt_id and seconds for one, seconds in zip(*columns, strict=True))


def begun(results: str, study: str) -> set[str]:
    """The keys of all trials of which an earlier attempt has left something: a row, a checkpoint, or clusters."""
    folder = study_folder(results, study)
    left = [
        *trial_files(folder),
        *(file for name in (CHECKPOINTS, ASSIGNMENTS) for file in storage.files(folder / name)),
    ]
    return {*peek.statuses(results, study).statuses, *(storage.name_of(file).partition(".")[0] for file in left)}


def write_failure(payload: Mapping[str, Any], reason: str) -> None:
    """Writes the row of a trial that could not write it itself, as when its process died; the payload is its order."""
    from jobs.execution.order import Order, first_row
    from jobs.results.writer import write

    # `own_seconds` is 0: the row of the process that died tells its time.
    write(payload["results"], replace(first_row(Order(**payload)), status="failed", reason=reason))


def card_hours(results: str, study: str) -> float:
    """The card-hours of all stored attempts at a study's trials."""
    from jobs.health.usage import COLUMNS, usage
    from jobs.results.reader import load

    return usage(load(study_folder(results, study), attempts=True, columns=COLUMNS).table).total.card_hours


def write_study(results: str, plan: Plan) -> None:
    """Writes the plan to the folder: `_study.json` for readers, `_study.yaml` to continue the study."""
    from jobs.study import snapshot

    study = plan.study
    snapshot.write(study, study_folder(results, study.name))
    content = {
        "study": study.name,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "source": study.source,
        "trial": study.trial,
        "select": asdict(study.select),
        "seeds": list(study.seeds),
        "n_configurations": plan.n_cells,
        "n_trials": max(plan.n_trials, len(plan.trials)),
        "data": sorted({one.data_hash for one in plan.trials}),
        "code": provenance.code_hash(plug_ins.plug_in_files(study)),
        "commit": provenance.commit(),
        "environment": provenance.environment(),
        "protocol": PROTOCOL,
        "plug_ins": apart.contents(plan),
        "trials": [[one.trial_key, one.config_key, one.seed] for one in plan.trials],
    }
    storage.put(study_folder(results, study.name) / STUDY_JSON, seal_json(content))
