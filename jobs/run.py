"""Runs what a study's results lack, on this machine or on a cluster: `conclus run`, and `conclus.run` in Python."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cluster import memory
from cluster.executor import EarlyStopping, Event, Report, Resources, Stop
from cluster.resources import Node, check, fitting, this_machine
from core import registry
from core.config import PlugIn, count_clusters
from core.errors import UserError
from jobs import orders, provenance, searches
from jobs import plan as planning
from jobs.analysis.scores import within_trial
from jobs.breaker import Breaker
from jobs.orders import Orders
from jobs.plan import Plan, PlannedTrial
from jobs.results.layout import PREFIX, TRIALS
from jobs.study import Study

MANY_FILES = 200

Listener = Callable[[Event], None]


@dataclass(frozen=True)
class Summary:
    """How a run ended.

    Attributes:
        done: trials that have a good row.
        failed: trials whose last attempt failed.
        missing: trials that have neither.
        stopped: whether it was asked to stop.
        spent: whether the budget ended it.
        paused: why it paused by itself: the reason that its first trials failed for, all alike; else empty.
    """

    done: int
    failed: int
    missing: int
    stopped: bool = False
    spent: bool = False
    paused: str = ""


@dataclass(frozen=True)
class Ready:
    """A study that can start: planned, its data checked, its trials known to fit where they are to run."""

    plan: Plan
    todo: Sequence[PlannedTrial]
    results: str
    workers: int | None
    address: str | None
    keep_going: bool

    @property
    def anything(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.todo) or self.plan.open


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
    """Trains every trial of the study that has no good row in `results`.

    Args:
        study: a study that `jobs.study.load` read.
        results: the folder of results; made where it is missing. On a cluster every node must see it.
        workers: how many trials run side by side: 1 runs in this process without Ray. By default as many as cores
            and GPUs can hold.
        address: of a running Ray cluster, `host:port` or `auto`; by default this machine alone.
        allow_cpu: trials that ask for a GPU run on the CPU where there is none.
        keep_going: go on also when the first trials fail, all for the same reason.
        on_event: hears what happens to each trial.
        stop: once requested, running trials are left resumable and no other is started.

    Raises:
        UserError: the data cannot be used, or the same study is being run into the same results.
        ClusterError: the machines cannot run what the study asks for.
    """
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
    """Plans and checks, and starts nothing; see `run`."""
    memory.check(study.resources.memory_gb)
    if allow_cpu and address is None and study.resources.gpu and not this_machine().gpu:
        study = replace(study, resources=replace(study.resources, gpu=0.0))
    plan = planning.known(planning.make(study), results)
    check_data(plan)
    if address is None:
        workers = _worker_count(study, [this_machine(gpus=study.resources.gpu > 0)], workers)
    return Ready(plan, plan.missing(results), results, workers, address, keep_going)


def execute(ready: Ready, *, on_event: Listener, stop: Stop) -> Summary:
    """Trains what is to do; see `run`."""
    spent, paused = False, ""
    if ready.anything:
        with _exclusive(ready.results, ready.plan.study.name):
            _write_study(ready.results, ready.plan)
            spent, paused = _execute(ready, on_event, stop)
            if ready.plan.open:
                _write_study(ready.results, planning.known(ready.plan, ready.results))
            _gather(ready.results, ready.plan.study.name)
    summary = summarise(planning.known(ready.plan, ready.results), ready.results)
    return replace(summary, stopped=stop.requested, spent=spent, paused=paused)


def _gather(results: str, study: str) -> None:
    """Puts many small files into one: opening each of thousands is what reading results costs."""
    folder = Path(results, PREFIX + study)
    if sum(1 for _ in (folder / TRIALS).glob("*.parquet")) > MANY_FILES:
        from jobs.results.compact import compact

        compact(str(folder))


def _ignore(event: Event) -> None:
    """Hears nothing."""


def summarise(plan: Plan, results: str) -> Summary:
    """How things stand, from the result files alone."""
    stored, _ = plan.statuses(results)
    counts = planning.counts(plan, stored)
    unchosen = plan.n_trials - len(plan.trials)
    return Summary(counts["done"], counts["failed"], counts["missing"] + counts["interrupted"] + unchosen)


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


def _worker_count(study: Study, nodes: Sequence[Node], wanted: int | None) -> int:
    """As many as asked for, or as fit on these machines."""
    asked = _resources(study)
    check(asked, nodes, workers=wanted or 1)
    return wanted or fitting(asked, nodes)


def _resources(study: Study) -> Resources:
    wanted = study.resources
    return Resources(cpu=wanted.cpu, gpu=wanted.gpu, memory=(wanted.memory_gb or 0) * 1e9)


def work(payload: Mapping[str, Any], report: Report) -> Mapping[str, Any]:
    """`jobs.trial.run_trial`, imported where it runs: the driver of a Ray run needs no torch."""
    from jobs.trial import run_trial

    return run_trial(payload, report)


def _execute(ready: Ready, on_event: Listener, stop: Stop) -> tuple[bool, str]:
    """Whether the budget ended it, and why it paused by itself."""
    study, results = ready.plan.study, str(Path(ready.results).resolve())
    device = "cuda" if study.resources.gpu else "cpu"
    shared = orders.shared(study, results, orders.plug_in_files(study), device=device)
    feed = Orders(_source(ready), shared, study.budget)
    breaker = Breaker(stop, armed=not ready.keep_going)

    def listen(event: Event) -> None:
        if event.kind == "died":
            _write_death(ready.plan, feed.given[event.key], results, event.error)
        feed.hear(event)
        breaker.hear(event)
        on_event(event)

    _run_tasks(ready, feed, listen, stop)
    return feed.spent, breaker.reason


def _source(ready: Ready) -> orders.Source:
    search = ready.plan.study.search
    if search.name == "optuna":
        from jobs.asking import Asking

        return Asking(ready.plan.study, ready.results)
    if search.scheduler == "pbt":
        from jobs.population import Population

        return Population(ready.plan, ready.results)
    return orders.Listed(ready.todo)


def _run_tasks(ready: Ready, feed: Orders, listen: Listener, stop: Stop) -> None:
    study = ready.plan.study
    early = _early_stopping(ready)
    if ready.workers == 1 and ready.address is None and early is None:
        from cluster import inprocess

        inprocess.run(work, feed, on_event=listen, stop=stop)
        return
    from cluster import connect, tune

    minutes = study.resources.timeout_minutes
    with connect.attached(ready.address, _log(ready)) if ready.address else contextlib.nullcontext():
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


def _log(ready: Ready) -> Path:
    folder = Path(ready.results, PREFIX + ready.plan.study.name, "logs")
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "ray.log"


def _early_stopping(ready: Ready) -> EarlyStopping | None:
    """ASHA as the study wishes, its rungs filled with the histories of the store."""
    study = ready.plan.study
    search, epochs = study.search, study.trial["epochs"]
    if search.scheduler != "asha":
        return None
    from jobs.results.reader import values_by_epoch

    return EarlyStopping(
        mode=study.select.mode,
        epochs=epochs,
        grace=searches.halving_grace(search, epochs),
        reduction=search.reduction,
        past=values_by_epoch(ready.results, study.name, within_trial(study.select.metric)),
    )


def _write_death(plan: Plan, trial: PlannedTrial, results: str, error: str) -> None:
    """The row of a trial whose process died, which could not write it itself."""
    from jobs.results.schema import Attempt
    from jobs.results.writer import new_attempt_id, write

    attempt = Attempt(
        study=plan.study.name,
        trial_key=trial.trial_key,
        config_key=trial.config_key,
        seed=trial.seed,
        attempt_id=new_attempt_id(),
        status="failed",
        reason=f"DIED: {error}",
        started=datetime.now(UTC),
        host=socket.gethostname(),
        params=dict(trial.parameters),
        data_hash=trial.data_hash,
        best_metric=plan.study.select.metric,
    )
    write(results, attempt)


@contextlib.contextmanager
def _exclusive(results: str, study: str) -> Generator[None]:
    """Holds the study's lock file; the system lets go of it however this process ends.

    Raises:
        UserError: another process holds it, or the folder cannot be written.
    """
    folder = Path(results, PREFIX + study)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "run.lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(f"{folder}: results cannot be written there: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.read(descriptor, 200).decode(errors="replace").strip() or "another process"
        os.close(descriptor)
        raise UserError(
            f"{folder}: {owner} is running this study into these results: wait for it or stop it"
        ) from error
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield
    finally:
        os.close(descriptor)


def _write_study(results: str, plan: Plan) -> None:
    """`study.json`: what the results of this folder were planned as, for readers that have no study file."""
    from jobs.results.writer import put

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
        "code": provenance.code_hash(orders.plug_in_files(study)),
        "commit": provenance.commit(),
        "environment": provenance.environment(),
        "trials": [[one.trial_key, one.config_key, one.seed] for one in plan.trials],
    }
    put(Path(results, PREFIX + study.name, "study.json"), json.dumps(content, indent=1).encode())
