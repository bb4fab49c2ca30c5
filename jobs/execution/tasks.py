"""Runs the trials of a prepared study as tasks, in this process or by Ray."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.executor import Event, Report, Stop, SuccessiveHalving, TaskResources
from cluster.resources import Node, check, fitting
from core.seal import canonical_json
from jobs.analysis.scores import within_trial
from jobs.execution import output
from jobs.execution.dispatch import Orders
from jobs.planning import source
from jobs.planning.plan import Plan, PlannedTrial
from jobs.results import course, provenance
from jobs.study import search as searches
from jobs.study.sections import Budget
from jobs.study.study import Study

Listener = Callable[[Event], None]


@dataclass(frozen=True)
class Ready:
    """A study that can start: it is planned, its data are checked, and its trials fit the machines.

    With a budget `only`, exactly the trials of `todo` run within it, each to its end, whatever the search algorithm.
    `told` describes how its data were read and which trials go on from kept states; `again` is the key of a stopped
    trial that is to go on.
    """

    plan: Plan
    todo: Sequence[PlannedTrial]
    results: str
    workers: int | None
    address: str | None
    keep_going: bool
    only: Budget | None = None
    told: Sequence[str] = ()
    again: str = ""

    @property
    def anything(self) -> bool:
        """Whether there are trials to run."""
        return bool(self.todo) or (self.plan.open and self.only is None)


def work(payload: Mapping[str, Any], report: Report) -> Mapping[str, Any]:
    """Runs a trial in a process of its own, and keeps what it prints."""
    return _work(payload, report, alone=True)


def work_here(payload: Mapping[str, Any], report: Report) -> Mapping[str, Any]:
    """Runs a trial in the driver's process, and keeps what it prints."""
    return _work(payload, report, alone=False)


def _work(payload: Mapping[str, Any], report: Report, *, alone: bool) -> Mapping[str, Any]:
    """`jobs.execution.trial.run_trial`, imported where it runs: the driver of a Ray run needs no torch."""
    from jobs.results.writer import new_attempt_id

    attempt_id = new_attempt_id()
    printed = output.kept(payload["results"], payload["study"], payload["trial_key"], attempt_id, alone=alone)
    with printed as tend, course.kept(payload, within_trial(payload["metric"]), attempt_id) as add:
        from jobs.execution.trial import run_trial

        def told(news: Mapping[str, Any]) -> None:
            tend()
            add(news)
            report(news)

        return run_trial(payload, told, attempt_id)


def worker_count(study: Study, nodes: Sequence[Node], wanted: int | None) -> int:
    """The number of workers: as requested, or as many as fit on these machines; at most the study's share of them."""
    asked = needs(study)
    check(asked, nodes, workers=wanted or 1)
    fit = fitting(asked, nodes)
    share = study.resources.at_most
    return min(wanted or fit, max(1, int(fit * share))) if share < 1 else wanted or fit


def this_machine_for(study: Study) -> Node:
    """This machine, as it can run the trials of the study without a cluster."""
    from cluster import connect

    return connect.machine_for(needs(study))


def needs(study: Study) -> TaskResources:
    """What one trial of the study needs."""
    wanted = study.resources
    return TaskResources(
        cpu=wanted.cpu,
        gpu=wanted.gpu,
        memory=(wanted.memory_gb or 0) * 1e9,
        accelerator=wanted.accelerator or "",
        custom=wanted.custom or {},
    )


def source_of(ready: Ready) -> source.Source:
    """What chooses the next trial: the list of the plan, or a search algorithm."""
    search = ready.plan.study.search
    if ready.only is not None:
        return source.TrialList(ready.todo)
    if search.name == "optuna":
        from jobs.planning.tpe import Asking

        return Asking(ready.plan.study, ready.results)
    if search.scheduler == "pbt":
        from jobs.planning.pbt import Population

        return Population(ready.plan, ready.results)
    return source.TrialList(ready.todo)


def run_tasks(ready: Ready, feed: Orders, listen: Listener, stop: Stop) -> None:
    """Runs the tasks of the feed in this process, on this machine's Ray, or on the cluster."""
    study = ready.plan.study
    halving = _halving(ready)
    if ready.workers == 1 and ready.address is None and halving is None:
        from cluster import inprocess
        from core.training import data_cache

        try:
            inprocess.run(work_here, feed, on_event=listen, stop=stop)
        finally:
            data_cache.forget()
        return
    from cluster import tune

    minutes = study.resources.timeout_minutes
    with _machines(ready.address):
        tune.run(
            work,
            feed,
            on_event=listen,
            stop=stop,
            workers=ready.workers,
            resources=needs(study),
            timeout=None if minutes is None else minutes * 60,
            halving=halving,
            name=f"study {study.name} of {provenance.somebody()}",
            at_most=study.resources.at_most,
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


def _halving(ready: Ready) -> SuccessiveHalving | None:
    """ASHA with the study's settings, its rungs filled from the stored histories; None without early stopping."""
    study = ready.plan.study
    search, epochs = study.search, study.trial["epochs"]
    if search.scheduler != "asha" or ready.only is not None:
        return None
    from jobs.results.reader import values_by_epoch

    return SuccessiveHalving(
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
