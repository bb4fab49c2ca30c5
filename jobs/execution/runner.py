"""Runs the missing trials of a study, on this machine or on a cluster: `conclus run`, and `conclus.run` in Python."""

from __future__ import annotations

import contextlib
import importlib.util
import socket
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from cluster import memory
from cluster.executor import ClusterError, EarlyStopping, Event, Report, Resources, Stop
from cluster.resources import Node, check, fitting, this_machine
from core.errors import UserError
from core.seal import canonical_json, seal_json
from jobs.analysis.scores import within_trial
from jobs.execution import dispatch
from jobs.execution.dispatch import Orders
from jobs.execution.fail_fast import Breaker
from jobs.planning import apart
from jobs.planning import plan as planning
from jobs.planning.cpu_fallback import NO_CARD, on_cpu, without_card
from jobs.planning.data_check import check_data
from jobs.planning.plan import Plan, PlannedTrial
from jobs.results import provenance, storage
from jobs.results.identity import PROTOCOL
from jobs.results.layout import QUEUE, STUDY_JSON, TRIALS, existing, study_folder
from jobs.results.lock import exclusive
from jobs.results.storage import StorageError
from jobs.search import source
from jobs.search.known import known
from jobs.study import plug_ins, trust
from jobs.study import search as searches
from jobs.study.study import Budget, Study

MANY_FILES = 200

Listener = Callable[[Event], None]


@dataclass(frozen=True)
class Summary:
    """How a run ended.

    Attributes:
        done: number of trials with a finished row.
        failed: number of trials whose last attempt failed.
        missing: number of the other trials.
        stopped: whether it was asked to stop.
        spent: whether the budget ended it.
        paused: if it paused by itself, the common reason for which its first trials failed; else empty.
        unwritable: if results could no longer be written, the error that ended it; else empty.
    """

    done: int
    failed: int
    missing: int
    stopped: bool = False
    spent: bool = False
    paused: str = ""
    unwritable: str = ""


@dataclass(frozen=True)
class Ready:
    """A study that can start: it is planned, its data are checked, and its trials fit the machines.

    With a budget `only`, exactly the trials of `todo` run within it, each to its end, whatever the search algorithm.
    `told` describes how its data were read.
    """

    plan: Plan
    todo: Sequence[PlannedTrial]
    results: str
    workers: int | None
    address: str | None
    keep_going: bool
    only: Budget | None = None
    told: Sequence[str] = ()

    @property
    def anything(self) -> bool:
        """Whether there are trials to run."""
        return bool(self.todo) or (self.plan.open and self.only is None)


def run(
    study: Study,
    *,
    results: str = "results",
    workers: int | None = None,
    address: str | None = None,
    allow_cpu: bool = False,
    keep_going: bool = False,
    on_event: Listener | None = None,
    stop: Stop | None = None,
) -> Summary:
    """Trains every trial of the study that has no finished row in `results`.

    Args:
        study: a study from `jobs.study.study.load`.
        results: the folder of results, created if missing (on a cluster every node must see it); or the address of an
            object store's prefix.
        workers: number of parallel trials; 1 runs in this process without Ray. By default as many as fit the cores
            and GPUs.
        address: the address of a running Ray cluster, `host:port` or `auto`; by default only this machine is used.
        allow_cpu: without a GPU, run trials that ask for one on the CPU.
        keep_going: continue even if the first trials all fail for the same reason.
        on_event: receives the events of each trial.
        stop: once requested, running trials are saved for resuming and no other trial starts.

    Raises:
        UserError: the data cannot be used, or another process runs the same study into the same results.
        ClusterError: the machines do not have what the study asks for.
    """
    trust.recall()
    trust.name(trust.own(plug_ins.plug_in_files(study)))
    ready = prepare(study, results, workers, address=address, allow_cpu=allow_cpu, keep_going=keep_going)
    return execute(ready, on_event=on_event or _ignore, stop=stop or Stop())


def prepare(
    study: Study,
    results: str,
    workers: int | None = None,
    *,
    address: str | None = None,
    allow_cpu: bool = False,
    keep_going: bool = False,
) -> Ready:
    """Plans and checks a study without starting it; see `run`."""
    plan = known(planning.make(study), results)
    todo = plan.missing(results)
    return ready(plan, todo, results, workers, address=address, allow_cpu=allow_cpu, keep_going=keep_going)


def ready(
    plan: Plan,
    todo: Sequence[PlannedTrial],
    results: str,
    workers: int | None = None,
    *,
    address: str | None = None,
    allow_cpu: bool = False,
    keep_going: bool = False,
    only: Budget | None = None,
) -> Ready:
    """Checks the data and the machines for the trials `todo` of a plan; see `run`."""
    study = plan.study
    memory.check(study.resources.memory_gb)
    if study.select.save_model and importlib.util.find_spec("safetensors") is None:
        raise UserError("select.save_model: safetensors is not installed: uv sync --extra safetensors --inexact")
    if address is None and without_card(study):
        if not allow_cpu:
            raise ClusterError(f"{NO_CARD}: `conclus run --allow-cpu` runs them on the CPU")
        study = on_cpu(study)
        plan = replace(plan, study=study)
    checked = check_data(plan)
    plan, study = checked.plan, checked.plan.study
    if address is None:
        workers = _worker_count(study, [this_machine(gpus=study.resources.gpu > 0)], workers)
    return Ready(plan, todo, results, workers, address, keep_going, only, checked.lines)


def execute(ready: Ready, *, on_event: Listener, stop: Stop) -> Summary:
    """Trains the trials of a prepared study; see `run`."""
    name, end = ready.plan.study.name, _End()
    storage.sweep(study_folder(ready.results, name))
    storage.sweep(existing(storage.at(ready.results), QUEUE))
    if ready.anything:
        with exclusive(ready.results, name):
            _write_study(ready.results, ready.plan)
            _execute(ready, on_event, stop, end)
            end.unwritable = end.unwritable or _tidy(ready)
    try:
        summary = summarise(known(ready.plan, ready.results), ready.results)
    except StorageError as error:  # The object store cannot be reached: the state before the start is reported.
        left = ready.plan.n_trials - (before := len(ready.plan.trials) - len(ready.todo))
        summary = Summary(before, 0, left)
        end.unwritable = end.unwritable or str(error)
    return replace(summary, stopped=stop.requested, **vars(end))


@dataclass
class _End:
    """Why a run ended before its study did; see `Summary`."""

    spent: bool = False
    paused: str = ""
    unwritable: str = ""


def _tidy(ready: Ready) -> str:
    """Tidies the study's folder for readers; returns the error if that fails, in which case no row is lost."""
    try:
        if ready.plan.open and ready.only is None:
            _write_study(ready.results, known(ready.plan, ready.results))
        _gather(ready.results, ready.plan.study.name)
    except StorageError as error:
        return str(error)
    return ""


def _gather(results: str, study: str) -> None:
    """Compacts many small files into one, because opening thousands of files makes reading slow."""
    folder = study_folder(results, study)
    if len(storage.files(folder / TRIALS, ".parquet")) > MANY_FILES:
        from jobs.results.compact import compact

        compact(folder)


def _ignore(event: Event) -> None:
    """Ignores an event."""


def summarise(plan: Plan, results: str) -> Summary:
    """The summary of a plan, from the result files alone."""
    stored, _ = plan.statuses(results)
    counts = planning.counts(plan, stored)
    unchosen = plan.n_trials - len(plan.trials)
    return Summary(counts["done"], counts["failed"], counts["missing"] + counts["interrupted"] + unchosen)


def _worker_count(study: Study, nodes: Sequence[Node], wanted: int | None) -> int:
    """The number of workers: as requested, or as many as fit on these machines."""
    asked = _resources(study)
    check(asked, nodes, workers=wanted or 1)
    return wanted or fitting(asked, nodes)


def _resources(study: Study) -> Resources:
    wanted = study.resources
    return Resources(cpu=wanted.cpu, gpu=wanted.gpu, memory=(wanted.memory_gb or 0) * 1e9)


def work(payload: Mapping[str, Any], report: Report) -> Mapping[str, Any]:
    """`jobs.execution.trial.run_trial`, imported where it runs: the driver of a Ray run needs no torch."""
    from jobs.execution.trial import run_trial

    return run_trial(payload, report)


def _execute(ready: Ready, on_event: Listener, stop: Stop, end: _End) -> None:
    study, results = ready.plan.study, storage.absolute(ready.results)
    device = "cuda" if study.resources.gpu else "cpu"
    shared = dispatch.shared(study, results, plug_ins.plug_in_files(study), device=device)
    feed = Orders(_source(ready), shared, ready.only or study.budget)
    breaker = Breaker(stop, armed=not ready.keep_going)

    def listen(event: Event) -> None:
        try:
            if reason := _unwritten(event):
                _write_failure(ready.plan, feed.given[event.key], shared, reason)
            feed.hear(event)
        except StorageError as error:
            # Neither the trial nor the driver can write results: further training would be lost.
            end.unwritable = end.unwritable or str(error)
            stop.request()
        breaker.hear(event)
        on_event(event)

    _run_tasks(ready, feed, listen, stop)
    end.spent, end.paused = feed.spent, breaker.reason


def _unwritten(event: Event) -> str:
    """The reason of a failure that is in no row yet because the trial could not write it; else empty."""
    if event.kind == "died":
        return event.error if event.error.startswith("TIMEOUT") else f"DIED: {event.error}"
    return event.data["reason"] if event.kind == "finished" and not event.data.get("stored", True) else ""


def _source(ready: Ready) -> source.Source:
    search = ready.plan.study.search
    if ready.only is not None:
        return source.Listed(ready.todo)
    if search.name == "optuna":
        from jobs.search.tpe import Asking

        return Asking(ready.plan.study, ready.results)
    if search.scheduler == "pbt":
        from jobs.search.pbt import Population

        return Population(ready.plan, ready.results)
    return source.Listed(ready.todo)


def _run_tasks(ready: Ready, feed: Orders, listen: Listener, stop: Stop) -> None:
    study = ready.plan.study
    early = _early_stopping(ready)
    if ready.workers == 1 and ready.address is None and early is None:
        from cluster import inprocess

        inprocess.run(work, feed, on_event=listen, stop=stop)
        return
    from cluster import connect, tune

    minutes = study.resources.timeout_minutes
    with _machines(ready.address):
        workers = ready.workers or _worker_count(study, connect.connected_nodes() or [], None)
        tune.run(
            work,
            feed,
            on_event=listen,
            stop=stop,
            workers=workers if ready.plan.open else min(workers, len(ready.todo)),
            resources=_resources(study),
            timeout=None if minutes is None else minutes * 60,
            early_stopping=early,
        )


@contextlib.contextmanager
def _machines(address: str | None) -> Generator[None]:
    """Connects to the cluster at an address; without an address it does nothing, as the executor starts its own."""
    if address is None:
        yield
        return
    from cluster import connect, scratch

    with scratch.folder() as folder, connect.attached(address, folder / "ray.log"):
        yield


def _early_stopping(ready: Ready) -> EarlyStopping | None:
    """ASHA with the study's settings, its rungs filled from the stored histories; None without early stopping."""
    study = ready.plan.study
    search, epochs = study.search, study.trial["epochs"]
    if search.scheduler != "asha" or ready.only is not None:
        return None
    from jobs.results.reader import values_by_epoch

    return EarlyStopping(
        mode=study.select.mode,
        epochs=epochs,
        grace=searches.halving_grace(search, epochs),
        reduction=search.reduction,
        past=values_by_epoch(
            ready.results,
            study.name,
            within_trial(study.select.metric),
            [canonical_json(one.plug_ins) for one in ready.plan.trials] or ["{}"],
        ),
    )


def _write_failure(plan: Plan, trial: PlannedTrial, shared: Mapping[str, Any], reason: str) -> None:
    """Writes the row of a trial that could not write it itself, as when its process died."""
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
        source="pbt" if plan.study.search.scheduler == "pbt" else "run",
        started=datetime.now(UTC),
        host=socket.gethostname(),
        params=dict(trial.parameters),
        plug_ins={key: dict(one) for key, one in trial.plug_ins.items()},
        code_hash=shared["code_hash"],
        data_hash=trial.data_hash,
        env_hash=shared["env_hash"],
        env=dict(shared["env"]),
        best_metric=within_trial(plan.study.select.metric),
    )
    write(shared["results"], attempt)


def _write_study(results: str, plan: Plan) -> None:
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
