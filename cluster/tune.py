"""Runs tasks with Ray Tune: it places them, retries tasks that died, and stops tasks by successive halving.

Tune's own state, logs and restore are not used: the work saves its results itself.
"""

import contextlib
import logging
import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster import connect, ray_compat, scratch
from cluster.executor import (
    ClusterError,
    Event,
    EventKind,
    Feed,
    OnEvent,
    Stop,
    SuccessiveHalving,
    Task,
    TaskList,
    TaskResources,
    Work,
    guarded,
    one_line,
)
from cluster.resources import Node, check

with connect.settings():  # Ray reads some variables when it is imported
    import ray
    from ray import tune
    from ray.exceptions import ActorUnavailableError, RayActorError, RayTaskError
    from ray.tune.experiment import Trial
    from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler
    from ray.tune.search import Searcher

    from cluster.worker import GRACE_SECONDS, Board, Worker

logger = logging.getLogger(__name__)

RESTARTS = 3
_MANY = 1_000_000_000


def run(
    work: Work,
    tasks: Sequence[Task] | Feed,
    *,
    on_event: OnEvent,
    stop: Stop,
    workers: int,
    resources: TaskResources,
    retries: int = 2,
    timeout: float | None = None,
    halving: SuccessiveHalving | None = None,
    run_dir: Path | None = None,
) -> None:
    """Runs the tasks on the connected Ray cluster, or else on a private Ray of this machine that ends with the run.

    Args:
        work: does one task. The workers must be able to import it: a module-level function of an installed package.
        tasks: the tasks in their order; or a feed, which is asked whenever a worker is free.
        on_event: called with every event, in this process; its exceptions are logged and change nothing.
        stop: once requested, running tasks get SystemExit at their next report, tasks that still run after
            ``GRACE_SECONDS`` are killed, and no other task is started.
        workers: how many tasks run at once, if the machines have room for them.
        resources: what one task needs.
        retries: how often a task is tried again after its process died or it raised an exception.
        timeout: seconds without a report after which a task's process is killed; None: never.
        halving: ends tasks with worse values early; they get EndedEarly at their next report.
        run_dir: the folder for Tune's files and ``ray.log``; by default a temporary one, removed afterwards.

    Raises:
        ClusterError: a task fits on no machine, Ray does not start, or Tune failed ``1 + RESTARTS`` times.
    """
    nodes = connect.connected_nodes()
    machine = connect.machine_for(resources)
    check(resources, [machine] if nodes is None else nodes, workers=workers)
    if isinstance(tasks, Sequence) and not tasks:
        return
    queue = _Queue(TaskList(tasks) if isinstance(tasks, Sequence) else tasks)
    with _folder(run_dir) as folder:
        plan = _Plan(work, queue, workers, resources, retries, timeout, halving, folder)
        for _ in range(1 + RESTARTS):
            with _ray(machine if nodes is None else None, folder / "ray.log"):
                whole = stop.requested or _execute(plan, guarded(on_event), stop)
            if stop.requested or whole or queue.is_done():
                return
    raise ClusterError(f"Ray Tune failed {1 + RESTARTS} times; {len(queue.open)} trials were not finished.")


class _Queue:
    """Numbers the tasks of a feed and keeps those without a last event; after a failure of Tune they come first."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._again: list[int] = []
        self._numbers = 0
        self.open: dict[int, Task] = {}

    def take(self) -> int | None:
        if self._again:
            return self._again.pop(0)
        task = self._feed.take()
        if task is None:
            return None
        self._numbers += 1
        self.open[self._numbers] = task
        return self._numbers

    def put_back(self, number: int) -> None:
        """Run an open task again."""
        self._again.append(number)

    def is_done(self) -> bool:
        """Whether no task is open and no more will come."""
        if not self.open and (number := self.take()) is not None:
            self.put_back(number)
        return not self.open

    def again(self) -> bool:
        """Run the open tasks again; True if there are any."""
        self._again = list(self.open)
        return bool(self._again)


@dataclass
class _Plan:
    work: Work
    queue: _Queue
    workers: int
    resources: TaskResources
    retries: int
    timeout: float | None
    halving: SuccessiveHalving | None
    folder: Path


@contextlib.contextmanager
def _folder(run_dir: Path | None) -> Generator[Path]:
    if run_dir is not None:
        run_dir.mkdir(parents=True, exist_ok=True)
        yield run_dir.resolve()
        return
    with scratch.folder() as folder:
        yield folder


def _ray(machine: Node | None, log: Path) -> contextlib.AbstractContextManager[None]:
    """A new private Ray on this machine; the connected cluster if `machine` is None."""
    return connect.quiet(log) if machine is None else connect.local(machine=machine, log=log)


def _execute(plan: _Plan, send: OnEvent, stop: Stop) -> bool:
    """Runs one Tune experiment; True if all tasks are done."""
    run_id = uuid.uuid4().hex
    board = Board(run_id)
    listener = _Listener(plan.queue, board, send)
    stopper = _Stopper(stop, listener, board, plan.timeout)
    try:
        with connect.same_signal_handlers():
            _fit(plan, listener, stopper, run_id)
    except Exception as error:
        if not stop.requested:
            logger.warning("Ray Tune failed (%s); the remaining tasks start again.", one_line(error))
            logging.getLogger("ray").exception("Ray Tune failed.")
            plan.queue.again()
            return False
    finally:
        stopper.close()
    return not plan.queue.again()


def _fit(plan: _Plan, listener: "_Listener", stopper: "_Stopper", run_id: str) -> None:
    halving = plan.halving
    tune.run(
        tune.with_parameters(Worker, work=plan.work, run_id=run_id, all_values=halving is not None),
        name=run_id,
        search_alg=_Asked(plan.queue, listener.board),
        num_samples=_MANY,
        resources_per_trial=tune.PlacementGroupFactory([plan.resources.bundle]),
        storage_path=str(plan.folder),
        stop=stopper,
        callbacks=[listener],
        scheduler=_InOrder() if halving is None else _halving(halving),
        max_failures=plan.retries,
        max_concurrent_trials=plan.workers,
        reuse_actors=True,
        trial_name_creator=_trial_name,
        trial_dirname_creator=_trial_name,
        raise_on_failed_trial=False,
        verbose=0,
    )


def _trial_name(trial: Trial) -> str:
    return f"task-{trial.config['task']:06d}"


class _Asked(Searcher):
    """Gives Tune the next task whenever a worker is free."""

    def __init__(self, queue: _Queue, board: Board) -> None:
        super().__init__()
        self._queue, self._board = queue, board
        self._running: set[str] = set()
        self._usr1 = connect.usr1_keeper()

    def suggest(self, trial_id: str) -> Any:
        """The number of the next task; None for nothing now, FINISHED for nothing more."""
        self._usr1()  # Tune replaces the handler when it begins; its own one ends the process without saving
        number = self._queue.take()
        if number is None:
            return None if self._running else Searcher.FINISHED
        self._running.add(trial_id)
        self._board.order(number, self._queue.open[number].payload)
        return {"task": number}

    def on_trial_complete(self, trial_id: str, *_args: Any, **_info: Any) -> None:
        """Notes that a task is over, in whatever way."""
        self._running.discard(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Does nothing: the queue is not restored, but made again from the results."""

    restore = save

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _InOrder(ray_compat.InOrder, FIFOScheduler):
    """Starts trials in the order of the plan."""


class _Halving(ray_compat.InOrder, AsyncHyperBandScheduler):
    """ASHA that starts trials in the order of the plan."""


def _halving(rule: SuccessiveHalving) -> TrialScheduler:
    """ASHA with the values of earlier runs in its rungs."""
    scheduler = _Halving(
        time_attr="epoch",
        metric="value",
        mode=rule.mode,
        max_t=rule.epochs - 1,  # to stop a task at its last epoch saves nothing
        grace_period=rule.grace,
        reduction_factor=rule.reduction,
        stop_last_trials=False,
    )
    past = [[{"epoch": epoch, "value": value} for epoch, value in values] for values in rule.past]
    ray_compat.tell_past(scheduler, past)
    return scheduler


class _Listener(tune.Callback):
    """Turns Tune's callbacks into events."""

    def __init__(self, queue: _Queue, board: Board, send: OnEvent) -> None:
        self.board = board
        self.running: dict[str, _Running] = {}
        self._queue, self._send = queue, send
        self._latest: dict[int, Mapping[str, Any]] = {}
        self._why: dict[int, str] = {}
        self._starts = Counter[int]()

    def on_trial_start(self, *_args: Any, **info: Any) -> None:
        trial: Trial = info["trial"]
        self.running[trial.trial_id] = _Running(ray_compat.process_of(trial), trial.config["task"])
        task = trial.config["task"]
        self._starts[task] += 1
        self._tell("started", trial, {"attempt": self._starts[task]}, self._why.pop(task, ""))

    def on_trial_result(self, *_args: Any, **info: Any) -> None:
        trial, result = info["trial"], info["result"]
        if trial.trial_id in self.running:
            self.running[trial.trial_id].heard = time.monotonic()
        if result["final"]:
            self._close("finished", trial, result["data"])
        else:
            self._latest[trial.config["task"]] = result["data"]
            self._tell("reported", trial, result["data"])

    def on_trial_complete(self, *_args: Any, **info: Any) -> None:
        trial: Trial = info["trial"]
        if trial.config["task"] in self._queue.open:  # it has no result of its own: halving ended it
            self.board.end(trial.config["task"])
            self._close("ended", trial, self._latest.get(trial.config["task"], {}))

    def on_trial_recover(self, *_args: Any, **info: Any) -> None:
        trial: Trial = info["trial"]
        self.running.pop(trial.trial_id, None)
        self._why.setdefault(trial.config["task"], _why(trial))

    def on_trial_error(self, *_args: Any, **info: Any) -> None:
        trial: Trial = info["trial"]
        if trial.should_recover():
            # Its process died between two tasks: Tune retries only running trials.
            self.on_trial_recover(**info)
            self._queue.put_back(trial.config["task"])
        else:
            self._close("died", trial, {}, self._why.get(trial.config["task"]) or _why(trial))

    def kill_silent(self, seconds: float) -> None:
        """Kill the process of every task without a report for so many seconds."""
        for one in list(self.running.values()):
            if not one.killed and time.monotonic() - one.heard > seconds:
                self._why[one.task] = f"TIMEOUT: it finished no epoch within {seconds / 60:g} minutes"
                one.killed = True
                one.kill()

    def _close(self, kind: EventKind, trial: Trial, data: Mapping[str, Any], error: str = "") -> None:
        self.running.pop(trial.trial_id, None)
        self._tell(kind, trial, data, error)
        self._latest.pop(trial.config["task"], None)
        self._queue.open.pop(trial.config["task"], None)
        if kind != "ended":  # the worker of an ended task may still read its note
            self.board.take_down(trial.config["task"])

    def _tell(self, kind: EventKind, trial: Trial, data: Mapping[str, Any], error: str = "") -> None:
        if task := self._queue.open.get(trial.config["task"]):
            self._send(Event(kind, task.key, data, error))


@dataclass
class _Running:
    """A running task: its process, its number, and the time of its last report."""

    actor: Any
    task: int
    killed: bool = False

    def __post_init__(self) -> None:
        self.heard = time.monotonic()

    def kill(self) -> None:
        with contextlib.suppress(Exception):
            ray.kill(self.actor)


def _why(trial: Trial) -> str:
    """One line on why a task died."""
    error = ray_compat.error_of(trial)
    if isinstance(error, RayTaskError):
        return one_line(error.cause)
    if isinstance(error, RayActorError):
        if "node has died" in str(error) or "node was terminated" in str(error):
            return "the machine it ran on died"
        if isinstance(error, ActorUnavailableError):
            return "its process cannot be reached: it died, or the machine it ran on"
        code = re.search(r"exit code (\d+)", str(error))
        return f"its process {f'ended with exit code {code[1]}' if code else 'was killed, perhaps out of memory'}"
    return one_line(error) if error else "Tune gives no reason"


class _Stopper(tune.Stopper):
    """Ends the experiment at the caller's request; kills tasks that do not stop in time, or report nothing in time."""

    def __init__(self, stop: Stop, listener: _Listener, board: Board, timeout: float | None) -> None:
        self._stop, self._listener, self._board, self._timeout = stop, listener, board, timeout
        self._killer = threading.Timer(GRACE_SECONDS, _kill, [listener.running])
        self._killer.daemon = True

    def __call__(self, *_args: Any, **_info: Any) -> bool:
        return False

    def stop_all(self) -> bool:
        if self._stop.requested and self._killer.ident is None:
            self._board.stop()
            self._killer.start()
        if self._timeout is not None:
            self._listener.kill_silent(self._timeout)
        return self._stop.requested

    def close(self) -> None:
        self._killer.cancel()

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles the stopper into its state, which is never read


def _kill(running: dict[str, _Running]) -> None:
    for one in list(running.values()):
        one.kill()
