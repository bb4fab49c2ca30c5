"""Runs what a study's results lack, on this machine: `conclus run`, and `conclus.run` in Python."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cluster.executor import Event, Report, Resources, Stop, Task
from cluster.resources import check, this_machine
from core import registry
from core.config import PlugIn, count_clusters, to_mapping
from jobs import plan as planning
from jobs import provenance
from jobs.lock import exclusive
from jobs.plan import Plan, PlannedTrial
from jobs.results import storage
from jobs.results.layout import TRIALS, study_folder
from jobs.results.storage import StorageError
from jobs.study import Study

MANY_FILES = 200

Listener = Callable[[Event], None]


@dataclass(frozen=True)
class Summary:
    """How a run ended: trials `done` in all, `failed`, still `missing`; and whether it was stopped.

    `unwritable` says what ended it early where results could no longer be written.
    """

    done: int
    failed: int
    missing: int
    stopped: bool
    unwritable: str = ""


@dataclass(frozen=True)
class Ready:
    """A study that can start: planned, its data checked, its trials known to fit on this machine."""

    plan: Plan
    todo: Sequence[PlannedTrial]
    results: str
    workers: int


def run(
    study: Study,
    *,
    results: str = "results",
    workers: int | None = None,
    on_event: Listener | None = None,
    stop: Stop | None = None,
) -> Summary:
    """Trains every trial of the study that has no good row in `results`.

    Args:
        study: a study that `jobs.study.load` read.
        results: the folder of results, made where it is missing; or the address of an object store's prefix.
        workers: how many trials run side by side: 1 runs in this process without Ray. By default as many as this
            machine's cores and GPUs can hold.
        on_event: hears what happens to each trial.
        stop: once requested, running trials are left resumable and no other is started.

    Raises:
        UserError: the data cannot be used, or the same study is being run into the same results.
        ClusterError: the machine cannot run what the study asks for.
    """
    return execute(prepare(study, results, workers), on_event=on_event or _ignore, stop=stop or Stop())


def prepare(study: Study, results: str, workers: int | None = None) -> Ready:
    """Plans and checks, and starts nothing; see `run`."""
    plan = planning.make(study)
    check_data(plan)
    return Ready(plan, plan.missing(results), results, _worker_count(study, workers))


def execute(ready: Ready, *, on_event: Listener, stop: Stop) -> Summary:
    """Trains what is to do; see `run`."""
    unwritable = ""
    if ready.todo:
        with exclusive(ready.results, ready.plan.study.name):
            _write_study(ready.results, ready.plan)
            unwritable = _execute(ready, on_event, stop) or _gather(ready.results, ready.plan.study.name)
    try:
        summary = summarise(ready.plan, ready.results, stopped=stop.requested)
    except StorageError as error:  # An object store that went away: what was known before the start is what is known.
        before = len(ready.plan.trials) - len(ready.todo)
        return Summary(before, 0, len(ready.todo), stop.requested, unwritable or str(error))
    return replace(summary, unwritable=unwritable)


def _gather(results: str, study: str) -> str:
    """Puts many small files into one: opening each of thousands is what reading results costs.

    Returns:
        What kept it from that; the rows are then where they were.
    """
    folder = study_folder(results, study)
    if len(storage.files(folder / TRIALS, ".parquet")) > MANY_FILES:
        from jobs.results.compact import compact

        try:
            compact(folder)
        except StorageError as error:
            return str(error)
    return ""


def _ignore(event: Event) -> None:
    """Hears nothing."""


def summarise(plan: Plan, results: str, *, stopped: bool = False) -> Summary:
    """How things stand, from the result files alone."""
    stored, _ = plan.statuses(results)
    counts = planning.counts(plan, stored)
    return Summary(counts["done"], counts["failed"], counts["missing"] + counts["interrupted"], stopped)


def check_data(plan: Plan) -> None:
    """Loads every data set of the plan once, so that a bad file is found before anything starts.

    Raises:
        UserError: a data set cannot be used, or has not enough samples for the clusters.
    """
    loaded: dict[str, Any] = {}
    for trial in plan.trials:
        if trial.data_hash not in loaded:
            data: PlugIn = trial.config.data
            loaded[trial.data_hash] = registry.load("datasets", data.name)(**data.options)
        count_clusters(trial.config, loaded[trial.data_hash])


def _worker_count(study: Study, wanted: int | None) -> int:
    """As many as asked for, or as fit on this machine."""
    asked = _resources(study)
    machine = this_machine(gpus=asked.gpu > 0)
    check(asked, [machine], workers=wanted or 1)
    if wanted is not None:
        return wanted
    fitting = machine.cpu // asked.cpu
    if asked.gpu:
        fitting = min(fitting, machine.gpu / asked.gpu + 1e-9)
    return int(fitting)


def _resources(study: Study) -> Resources:
    return Resources(cpu=study.resources.cpu, gpu=study.resources.gpu)


def work(payload: Mapping[str, Any], report: Report) -> Mapping[str, Any]:
    """`jobs.trial.run_trial`, imported where it runs: the driver of a Ray run needs no torch."""
    from jobs.trial import run_trial

    return run_trial(payload, report)


def _execute(ready: Ready, on_event: Listener, stop: Stop) -> str:
    """Does the tasks; returns why it ended them early where results cannot be written."""
    plan, results = ready.plan, ready.results
    tasks = _tasks(plan, ready.todo, results)
    by_key = {one.trial_key: one for one in ready.todo}
    unwritable: list[str] = []

    def listen(event: Event) -> None:
        if reason := _unwritten(event):
            try:
                _write_failure(plan, by_key[event.key], results, reason)
            except StorageError as error:
                # Neither the trial nor the driver can: whatever is trained from here on would be lost.
                unwritable.append(str(error))
                stop.request()
        on_event(event)

    if ready.workers == 1:
        from cluster import inprocess

        inprocess.run(work, tasks, on_event=listen, stop=stop)
    else:
        from cluster import tune

        workers = min(ready.workers, len(tasks))
        tune.run(work, tasks, on_event=listen, stop=stop, workers=workers, resources=_resources(plan.study))
    return unwritable[0] if unwritable else ""


def _unwritten(event: Event) -> str:
    """The reason of a failure that stands in no row yet, because the trial could not write it itself."""
    if event.kind == "died":
        return f"DIED: {event.error}"
    return event.data["reason"] if event.kind == "finished" and not event.data.get("stored", True) else ""


def _tasks(plan: Plan, todo: Sequence[PlannedTrial], results: str) -> list[Task]:
    study, env = plan.study, provenance.environment()
    shared = {
        "study": study.name,
        "results": storage.absolute(results),
        "code_hash": provenance.code_hash(_plug_in_files(todo)),
        "env": env,
        "env_hash": provenance.environment_hash(env),
        "metric": study.select.metric,
        "mode": study.select.mode,
        "threads": study.resources.cpu,
        "device": "cuda" if study.resources.gpu else "cpu",
    }
    return [Task(one.trial_key, shared | _own(one)) for one in todo]


def _own(trial: PlannedTrial) -> dict[str, Any]:
    return {
        "trial_key": trial.trial_key,
        "config_key": trial.config_key,
        "seed": trial.seed,
        "trial": to_mapping(trial.config),
        "parameters": dict(trial.parameters),
        "data_hash": trial.data_hash,
    }


def _plug_in_files(trials: Sequence[PlannedTrial]) -> tuple[Path, ...]:
    """The user's own plug-in files that these trials load."""
    chosen = {
        plug_in.name
        for one in trials
        for plug_in in (one.config.data, one.config.encoder, one.config.views, one.config.method)
    }
    return tuple(Path(name) for name in chosen if registry.is_path(name))


def _write_failure(plan: Plan, trial: PlannedTrial, results: str, reason: str) -> None:
    """The row of a trial that could not write it itself, as when its process died."""
    from jobs.results.schema import Attempt
    from jobs.results.writer import new_attempt_id, write

    attempt = Attempt(
        study=plan.study.name,
        trial_key=trial.trial_key,
        config_key=trial.config_key,
        seed=trial.seed,
        attempt_id=new_attempt_id(),
        status="failed",
        reason=reason,
        started=datetime.now(UTC),
        host=socket.gethostname(),
        params=dict(trial.parameters),
        data_hash=trial.data_hash,
        best_metric=plan.study.select.metric,
    )
    write(results, attempt)


def _write_study(results: str, plan: Plan) -> None:
    """`study.json`: what the results of this folder were planned as, for readers that have no study file."""
    study = plan.study
    content = {
        "study": study.name,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "source": study.source,
        "trial": study.trial,
        "select": asdict(study.select),
        "seeds": list(study.seeds),
        "n_configurations": plan.n_cells,
        "data": sorted({one.data_hash for one in plan.trials}),
        "code": provenance.code_hash(_plug_in_files(plan.trials)),
        "commit": provenance.commit(),
        "environment": provenance.environment(),
        "trials": [[one.trial_key, one.config_key, one.seed] for one in plan.trials],
    }
    storage.put(study_folder(results, study.name) / "study.json", json.dumps(content, indent=1).encode())
