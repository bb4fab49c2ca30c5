"""What the driver writes itself: the plan of a study, and the row of a trial that could not write its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from core.seal import seal_json
from jobs.planning import apart
from jobs.planning.plan import Plan, PlannedTrial
from jobs.results import peek, provenance, storage
from jobs.results.header import FINISHED
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


@dataclass(frozen=True)
class Before:
    """What finished trials of a study have told before a run.

    Attributes:
        values: By configuration, the last values of the metric that the study selects by.
        limited: By configuration and metric, the values of those that the constraints are on.
        seconds: How long those took that were not stopped early.
    """

    values: Mapping[str, list[float]] = field(default_factory=dict[str, list[float]])
    limited: Mapping[str, Mapping[str, list[float]]] = field(default_factory=dict[str, Mapping[str, list[float]]])
    seconds: Sequence[float] = ()


def before(results: str, plan: Plan, todo: Collection[PlannedTrial]) -> Before:
    """The values of a plan's trials that have ended, as the trials report them; without those that are still to do."""
    from jobs.analysis.pareto import Aims
    from jobs.analysis.scores import within_trial
    from jobs.results.reader import column_cells, load

    metric, limits = within_trial(plan.study.select.metric), tuple(Aims.of(asdict(plan.study.select)).limits)
    kinds = ("metric.{}", "health.{}", "{}")
    names = {name: [kind.format(name) for kind in kinds] for name in (metric, *limits)}
    columns = ["status", "seconds", *(column for some in names.values() for column in some)]
    table = load(study_folder(results, plan.study.name), columns=columns).table
    planned = {one.trial_key for one in plan.trials} - {one.trial_key for one in todo}
    rows = list(
        zip(*(table[name].to_pylist() for name in ("trial_key", "config_key", "status", "seconds")), strict=True)
    )
    counting = [(row, cell) for row, (key, cell, status, _) in enumerate(rows) if key in planned and status in FINISHED]
    lengths = [seconds for key, _, status, seconds in rows if key in planned and status == "ok" and seconds]
    found: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in names}
    for name, some in names.items():
        cells = [column_cells(table, column) for column in some]
        for row, cell in counting:
            value = next((each[row] for each in cells if each[row] is not None), None)
            if value is not None:
                found[name][cell].append(value)
    keys = {cell for _, cell in counting}
    return Before(found[metric], {cell: {name: found[name][cell] for name in limits} for cell in keys}, lengths)


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
