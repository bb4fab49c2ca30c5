"""Runs the missing trials of a study, on this machine or on a cluster: `conclus run`, and `conclus.run` in Python."""

from __future__ import annotations

import contextlib
import importlib.util
import signal
import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

from cluster import memory
from cluster.executor import LEFT, ClusterError, Event, Stop
from core.errors import UserError
from jobs.analysis.scores import CONSENSUS
from jobs.execution import dispatch, tracked
from jobs.execution.dispatch import LEAVE_SECONDS, CardHours, Orders, Pace
from jobs.execution.fail_fast import Breaker
from jobs.execution.gathering import Gatherer
from jobs.execution.stored import advanced_since, begun, card_hours, epoch_times, write_failure, write_study
from jobs.execution.tasks import Listener, Ready, run_tasks, source_of, this_machine_for, worker_count
from jobs.models import states
from jobs.planning import plan as planning
from jobs.planning.cpu_fallback import NO_CARD, on_cpu, without_card
from jobs.planning.data_check import check_data
from jobs.planning.known import known
from jobs.planning.plan import Plan, PlannedTrial
from jobs.present.bar import preparing
from jobs.present.notices import Notices, unheard
from jobs.results import stops, storage
from jobs.results.layout import QUEUE, existing, study_folder, trial_files
from jobs.results.lock import exclusive
from jobs.results.storage import StorageError
from jobs.study import plug_ins, trust
from jobs.study.sections import Budget, Notify
from jobs.study.study import Study

MANY_FILES = 200


@dataclass(frozen=True)
class Summary:
    """How a run ended.

    Attributes:
        done: number of trials with a finished row.
        failed: number of trials whose last attempt failed.
        missing: number of the other trials.
        stopped: whether it was asked to stop.
        spent: whether the budget ended it, or the end of its job's time.
        limit: if so, which limit, in words; else empty.
        over: whether it was the moment of `budget.until`, so that the next run needs a later one.
        advanced: whether a trial got through an epoch.
        signal: the number of the signal that stopped it; 0 if none did.
        paused: if it paused by itself, the common reason for which its first trials failed; else empty.
        unwritable: if results could no longer be written, the error that ended it; else empty.
        hopeless: number of trials of this run that ended themselves by `health.stop`.
        saved: the seconds that their epochs left would have taken.
    """

    done: int
    failed: int
    missing: int
    stopped: bool = False
    spent: bool = False
    limit: str = ""
    over: bool = False
    advanced: bool = False
    signal: int = 0
    paused: str = ""
    unwritable: str = ""
    hopeless: int = 0
    saved: float = 0.0

    @property
    def exit_code(self) -> int:
        """How `conclus run` ends, for shells and workflow engines.

        0: every trial is done. 1: trials failed, or running it again would not help. 3: trials are left, and running it
        again goes on with them. 130: trials are left after Ctrl-C.
        """
        if self.unwritable or self.paused:
            return 1
        if self.missing and (self.stopped or self.spent):
            if self.signal == signal.SIGINT:
                return 130
            # Its time is too short for an epoch: it would be run again and again.
            is_stuck = not self.advanced and (self.spent or self.signal == signal.SIGUSR1)
            return 1 if is_stuck else LEFT
        return 1 if self.failed or self.missing else 0


def _is_study(given: object) -> bool:
    return isinstance(given, Study)


def run(
    study: Study,
    *,
    results: str = "results",
    workers: int | None = None,
    address: str | None = None,
    allow_cpu: bool = False,
    keep_going: bool = False,
    progress: bool = False,
    on_event: Listener | None = None,
    stop: Stop | None = None,
) -> Summary:
    """Trains every trial of the study that has no finished row in `results`.

    Args:
        study: a study from `jobs.study.study.load`.
        results: the folder of results, created if missing (on a cluster every node must see it); or the address of an
            object store's prefix.
        workers: number of parallel trials; 1 runs in this process without Ray. By default as many as fit the cores
            and GPUs, on a cluster also as its nodes come and go.
        address: the address of a running Ray cluster, `host:port` or `auto`; by default only this machine is used.
        allow_cpu: without a GPU, run trials that ask for one on the CPU.
        keep_going: continue even if the first trials all fail for the same reason.
        progress: show how far it is: by a bar in a notebook, elsewhere on standard error as `conclus run` does.
        on_event: receives the events of each trial.
        stop: once requested, running trials are saved for resuming and no other trial starts.

    Raises:
        UserError: the data cannot be used, `budget.until` is past, or another process runs the same study into the
            same results.
        ClusterError: the machines do not have what the study asks for.
    """
    if not _is_study(study):
        raise UserError("conclus.run takes a study: conclus.load_study makes it of a path, conclus.study of a mapping")
    trust.recall()
    trust.name(trust.own(plug_ins.every_file(study)))
    with preparing(quiet=not progress):
        ready = prepare(study, results, workers, address=address, allow_cpu=allow_cpu, keep_going=keep_going)
    stop = stop or Stop()
    if not progress or not ready.anything:
        return execute(ready, on_event=on_event or _ignore, stop=stop)
    from jobs.execution.notebook import progress_of

    shown = progress_of(ready)
    with shown.standing():

        def hear(event: Event) -> None:
            shown.hear(event)
            if on_event:
                on_event(event)

        return execute(ready, on_event=hear, stop=stop)


def prepare(
    study: Study,
    results: str,
    workers: int | None = None,
    *,
    address: str | None = None,
    allow_cpu: bool = False,
    keep_going: bool = False,
    again: str = "",
) -> Ready:
    """Plans and checks a study without starting it; see `run`. The stopped trial with the key `again` is to go on."""
    plan = known(planning.make(study), results)
    todo = plan.missing(results, again)
    checked = ready(plan, todo, results, workers, address=address, allow_cpu=allow_cpu, keep_going=keep_going)
    return replace(checked, again=again)


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
    if (over := (only or study.budget).over) and (todo or plan.open):
        raise UserError(over)
    memory.check(study.resources.memory_gb)
    if study.select.save_model and importlib.util.find_spec("safetensors") is None:
        raise UserError(
            "select.save_model: safetensors is not installed: uv sync --extra safetensors --inexact --no-dev"
        )
    tracked.check(study.track)
    goes_on: list[str] = []
    if study.select.save_state:
        states.refuse_fixed(todo)
        goes_on = states.going_on(study_folder(results, study.name), todo)
    if address is None and without_card(study):
        if not allow_cpu:
            raise ClusterError(f"{NO_CARD}: `conclus run --allow-cpu` runs them on the CPU")
        study = on_cpu(study)
        plan = replace(plan, study=study)
    checked = check_data(plan)
    plan, study = checked.plan, checked.plan.study
    if address is None:
        workers = worker_count(study, [this_machine_for(study)], workers)
    told = (*checked.lines, *goes_on, *(f"warning: {one}" for one in unheard(study)))
    return Ready(plan, todo, results, workers, address, keep_going, only, told)


def execute(ready: Ready, *, on_event: Listener, stop: Stop) -> Summary:
    """Trains the trials of a prepared study; see `run`."""
    name, end = ready.plan.study.name, _End()
    notices = Notices(name, ready.plan.study.notify if ready.only is None else Notify(on=()))
    storage.sweep(study_folder(ready.results, name))
    storage.sweep(existing(storage.at(ready.results), QUEUE))
    if ready.anything:
        with exclusive(ready.results, name):
            write_study(ready.results, ready.plan)
            if ready.again in stops.asked(study_folder(ready.results, name)):
                stops.withdraw(study_folder(ready.results, name), ready.again)
            _execute(ready, on_event, stop, end, notices)
            end.unwritable = end.unwritable or _tidy(ready)
    try:
        summary = summarise(known(ready.plan, ready.results), ready.results)
    except StorageError as error:  # The object store cannot be reached: the state before the start is reported.
        left = ready.plan.n_trials - (before := len(ready.plan.trials) - len(ready.todo))
        summary = Summary(before, 0, left)
        end.unwritable = end.unwritable or str(error)
    summary = replace(summary, stopped=stop.requested, signal=stop.signal, **vars(end))
    if ready.anything:
        why = summary.unwritable or summary.paused or summary.limit or "it was stopped" * summary.stopped
        notices.end(done=summary.done, failed=summary.failed, missing=summary.missing, why=why)
    return summary


@dataclass
class _End:
    """Why a run ended before its study did; see `Summary`."""

    spent: bool = False
    limit: str = ""
    over: bool = False
    advanced: bool = False
    paused: str = ""
    unwritable: str = ""
    hopeless: int = 0
    saved: float = 0.0


def _tidy(ready: Ready) -> str:
    """Tidies the study's folder for readers; returns the error if that fails, in which case no row is lost."""
    try:
        if ready.plan.open and ready.only is None:
            write_study(ready.results, known(ready.plan, ready.results))
        _gather(ready.results, ready.plan.study.name)
        _forget_clusters(ready)
    except StorageError as error:
        return str(error)
    return ""


def _gather(results: str, study: str) -> None:
    """Moves the rows of many small files to one, because opening thousands of files makes reading slow."""
    folder = study_folder(results, study)
    if len(files := trial_files(folder)) > MANY_FILES:
        from jobs.results.compact import gather

        gather(folder, files)


def _forget_clusters(ready: Ready) -> None:
    """Of a study that is done and selects by consensus, keeps the best trial's clusters alone."""
    select, plan = ready.plan.study.select, known(ready.plan, ready.results)
    if (
        select.metric == CONSENSUS
        and select.save_assignments is None
        and not plan.open
        and not plan.missing(ready.results)
    ):
        from jobs.models.choice import forget_others

        forget_others(study_folder(ready.results, plan.study.name))


def _ignore(event: Event) -> None:
    """Ignores an event."""


def summarise(plan: Plan, results: str) -> Summary:
    """The summary of a plan, from the result files alone."""
    stored, _ = plan.statuses(results)
    counts = planning.counts(plan, stored)
    unchosen = plan.n_trials - len(plan.trials)
    return Summary(counts["done"], counts["failed"], counts["missing"] + counts["interrupted"] + unchosen)


def _execute(ready: Ready, on_event: Listener, stop: Stop, end: _End, notices: Notices) -> None:
    study, results = ready.plan.study, storage.absolute(ready.results)
    device = "cuda" if study.resources.gpu else "cpu"
    shared = dispatch.shared(study, results, plug_ins.plug_in_files(study), device=device)
    budget = ready.only or study.budget
    feed = Orders(source_of(ready), shared, budget, begun(results, study.name))
    if feed.end is not None:
        feed.pace = Pace(epoch_times(ready.results, study.name))
    if budget.gpu_hours is not None:
        feed.cards = CardHours(card_hours(ready.results, study.name), study.resources.gpu)
    breaker = Breaker(stop, armed=not ready.keep_going)
    gatherer = Gatherer(study_folder(results, study.name))

    def listen(event: Event) -> None:
        try:
            if reason := _unwritten(event):
                write_failure(feed.given[event.key], reason)
            feed.hear(event)
        except StorageError as error:
            # Neither the trial nor the driver can write results: further training would be lost.
            end.unwritable = end.unwritable or str(error)
            stop.request()
        if (saved := event.data.get("saved")) is not None:
            end.hopeless, end.saved = end.hopeless + 1, end.saved + saved
        breaker.hear(event)
        gatherer.hear(event)
        if event.kind == "finished":
            notices.ended(event.key, event.data)
        on_event(event)

    from jobs.results.writer import new_attempt_id  # pyarrow is slow to import: a plan does without it

    first = new_attempt_id()
    with contextlib.closing(gatherer), _left_in_time(feed, stop):
        run_tasks(ready, feed, listen, stop)
    end.spent, end.limit, end.paused = bool(feed.limit), feed.limit, breaker.reason
    end.over = feed.left and feed.end == budget.end()
    # Once a run stops, the last reports of its trials come to nobody, but they are in the rows.
    end.advanced = feed.advanced or (stop.requested and advanced_since(ready.results, study.name, first))


@contextlib.contextmanager
def _left_in_time(feed: Orders, stop: Stop) -> Generator[None]:
    """Stops the run shortly before the moment by which it has to leave."""
    if feed.end is None:
        yield
        return

    def leave() -> None:
        feed.over()
        stop.request(grace=LEAVE_SECONDS / 2)

    timer = threading.Timer(max(0.0, feed.end - LEAVE_SECONDS - time.time()), leave)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _unwritten(event: Event) -> str:
    """The reason of a failure that is in no row yet because the trial could not write it; else empty."""
    if event.kind == "died":
        return event.error if event.error.startswith("TIMEOUT") else f"DIED: {event.error}"
    return event.data["reason"] if event.kind == "finished" and not event.data.get("stored", True) else ""
