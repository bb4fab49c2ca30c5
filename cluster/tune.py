"""Runs tasks with Ray Tune: it places them, retries tasks that died, and stops tasks by successive halving.

Tune's own state, logs and restore are not used: the work saves its results itself.
"""

import contextlib
import logging
import threading
import uuid
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster import connect, scratch, tune_compat
from cluster.executor import (
    Event,
    Feed,
    OnEvent,
    RayError,
    Stop,
    SuccessiveHalving,
    Task,
    TaskList,
    TaskResources,
    Work,
    guarded,
    one_line,
)
from cluster.resources import Node, asked, check, fitting

with connect.settings():  # Ray reads some variables when it is imported
    from ray import tune
    from ray.tune.experiment import Trial
    from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler

    from cluster.capacity import Capacity
    from cluster.deaths import Deaths
    from cluster.listener import Listener, Running
    from cluster.queue import Asked, OpenTasks
    from cluster.sharing import Sharing
    from cluster.worker import Board, Worker

logger = logging.getLogger(__name__)

RESTARTS = 3
_MANY = 1_000_000_000


def run(
    work: Work,
    tasks: Sequence[Task] | Feed,
    *,
    on_event: OnEvent,
    stop: Stop,
    workers: int | None,
    resources: TaskResources,
    retries: int = 2,
    timeout: float | None = None,
    halving: SuccessiveHalving | None = None,
    run_dir: Path | None = None,
    name: str = "another run",
    at_most: float = 1,
) -> None:
    """Runs the tasks on the connected Ray cluster, or else on a private Ray of this machine that ends with the run.

    Args:
        work: does one task. The workers must be able to import it: a module-level function of an installed package.
        tasks: the tasks in their order; or a feed, which is asked whenever a worker is free.
        on_event: called with every event, in this process; its exceptions are logged and change nothing.
        stop: once requested, running tasks get SystemExit at their next report, tasks that still run after
            ``stop.grace`` seconds are killed, and no other task is started.
        workers: how many tasks run at once at most; None: as many as the machines have room for, also as nodes of a
            cluster come and go.
        resources: what one task needs.
        retries: how often a task is tried again after its process died or it raised an exception. The death of its
            node, a drained node and SIGTERM do not count.
        timeout: seconds without a report after which a task's process is killed; None: never.
        halving: ends tasks with worse values early; they get EndedEarly at their next report.
        run_dir: the folder for Tune's files and ``ray.log``; by default a temporary one, removed afterwards.
        name: what other runs on the cluster are told of this one.
        at_most: the share of the machines that its tasks may use at once; at least one task runs.

    Raises:
        ClusterError: a task fits on no machine; it is a RayError if Ray does not start, or Tune failed
            ``1 + RESTARTS`` times.
    """
    nodes, machine = connect.connected_nodes(), connect.machine_for(resources)
    possible = None if nodes is None else connect.possible_nodes()
    there = [machine] if nodes is None else [*nodes, *(possible or [])]
    if possible == []:  # nobody knows what the cluster may start
        there = [Node("a new node", resources.cpu, resources.gpu, others=resources.bundle)]
    check(resources, there, workers=1 if workers is None else workers)
    if isinstance(tasks, Sequence) and not tasks:
        return
    if possible is not None and not fitting(resources, nodes or []):
        line = f"waiting for the cluster to start a node: a trial asks for {asked(resources)}, and none offers it yet"
        guarded(on_event)(Event("told", "", error=line))
    queue = OpenTasks(TaskList(tasks) if isinstance(tasks, Sequence) else tasks)
    with _folder(run_dir) as folder:
        alone = machine if nodes is None else None
        capacity = Capacity(resources, workers=workers, machine=alone, possible=possible)
        plan = _Plan(work, queue, capacity, resources, retries, timeout, halving, folder, name, at_most)
        for _ in range(1 + RESTARTS):
            with _ray(machine if nodes is None else None, folder / "ray.log"):
                whole = stop.requested or _execute(plan, guarded(on_event), stop)
            if stop.requested or whole or queue.is_done():
                return
    raise RayError(f"Ray Tune failed {1 + RESTARTS} times; {len(queue.open)} trials were not finished.")


@dataclass
class _Plan:
    work: Work
    queue: OpenTasks
    capacity: Capacity
    resources: TaskResources
    retries: int
    timeout: float | None
    halving: SuccessiveHalving | None
    folder: Path
    name: str
    at_most: float


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
    deaths = Deaths(plan.capacity, plan.retries, send)
    listener = Listener(plan.queue, board, send, plan.capacity, deaths)
    sharing = Sharing(run_id, plan.name, plan.resources, at_most=plan.at_most, capacity=plan.capacity, send=send)
    stopper = _Stopper(stop, listener, board, plan, sharing)
    try:
        # Without a limit of its own Tune would let one trial at a time wait for a place.
        with connect.same_signal_handlers(), connect.settings(TUNE_MAX_PENDING_TRIALS_PG=str(_MANY)):
            _fit(plan, listener, stopper, deaths=deaths, sharing=sharing, run_id=run_id)
            while sharing.stands_back(stop):
                _fit(plan, listener, stopper, deaths=deaths, sharing=sharing, run_id=run_id)
            sharing.close()
    except Exception as error:
        if not stop.requested:
            logger.warning("Ray Tune failed (%s); the remaining tasks start again.", one_line(error))
            logging.getLogger("ray").exception("Ray Tune failed.")
            plan.queue.again()
            return False
    finally:
        stopper.close()
    return not plan.queue.again()


def _fit(
    plan: _Plan, listener: Listener, stopper: "_Stopper", *, deaths: Deaths, sharing: Sharing, run_id: str
) -> None:
    halving = plan.halving
    scheduler = _InOrder() if halving is None else _halving(halving)
    scheduler.ends_idle = sharing.ends_idle
    tune.run(
        tune.with_parameters(Worker, work=plan.work, run_id=run_id, all_values=halving is not None),
        name=run_id,
        search_alg=Asked(
            plan.queue,
            listener.board,
            capacity=plan.capacity,
            sharing=sharing,
            deaths=deaths,
            bundle=plan.resources.bundle,
        ),
        num_samples=_MANY,
        storage_path=str(plan.folder),
        stop=stopper,
        callbacks=[listener],
        scheduler=scheduler,
        reuse_actors=True,
        trial_name_creator=_trial_name,
        trial_dirname_creator=_trial_name,
        raise_on_failed_trial=False,
        verbose=0,
    )


def _trial_name(trial: Trial) -> str:
    return f"task-{trial.config['task']:06d}"


class _InOrder(tune_compat.InOrder, FIFOScheduler):
    """Starts trials in the order of the plan."""


class _Halving(tune_compat.InOrder, tune_compat.ByTask, AsyncHyperBandScheduler):
    """ASHA that starts trials in the order of the plan, and counts a task once however often it is tried."""


def _halving(rule: SuccessiveHalving) -> _Halving:
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
    tune_compat.tell_past(scheduler, past)
    return scheduler


class _Stopper(tune.Stopper):
    """Ends the experiment at the caller's request; kills tasks that do not stop in time, or report nothing in time."""

    def __init__(self, stop: Stop, listener: Listener, board: Board, plan: _Plan, sharing: Sharing) -> None:
        self._stop, self._listener, self._board, self._sharing = stop, listener, board, sharing
        self._timeout, self._capacity = plan.timeout, plan.capacity
        self._killer: threading.Timer | None = None

    def __call__(self, *_args: Any, **_info: Any) -> bool:
        return False

    def stop_all(self) -> bool:
        if self._stop.requested and self._killer is None:
            self._board.stop(self._stop.grace)
            self._killer = threading.Timer(self._stop.grace, _kill, [self._listener.running])
            self._killer.daemon = True
            self._killer.start()
        self._capacity.ask()
        self._listener.leave_drained(self._capacity.draining)
        self._sharing.look([one.node for one in self._listener.running.values()])
        if self._timeout is not None:
            self._listener.kill_silent(self._timeout)
        return self._stop.requested

    def close(self) -> None:
        if self._killer is not None:
            self._killer.cancel()

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles the stopper into its state, which is never read


def _kill(running: dict[str, Running]) -> None:
    for one in list(running.values()):
        one.kill()
