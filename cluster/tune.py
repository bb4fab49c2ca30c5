"""Ray Tune executes an explicit plan: it places the tasks, tries dead ones again, and is told little else.

Tune's own state, logs and restore are not used: the work keeps its results itself.
"""

import contextlib
import logging
import pickle
import re
import tempfile
import threading
import uuid
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster import connect
from cluster.attempt import Attempt
from cluster.executor import (
    ClusterError,
    Event,
    Kind,
    OnEvent,
    Resources,
    Stop,
    Task,
    Work,
    guarded,
    one_line,
)
from cluster.resources import Node, check, this_machine

connect.prepare()  # before Ray is imported: it reads some of its settings then

import ray  # noqa: E402
from ray import tune  # noqa: E402
from ray.exceptions import RayActorError, RayTaskError  # noqa: E402
from ray.experimental.internal_kv import (  # noqa: E402
    _internal_kv_exists,  # pyright: ignore[reportPrivateUsage]
    _internal_kv_put,  # pyright: ignore[reportPrivateUsage]
)
from ray.tune.experiment import Trial  # noqa: E402
from ray.tune.schedulers import FIFOScheduler  # noqa: E402

logger = logging.getLogger(__name__)

RESTARTS = 3
GRACE_SECONDS = 0.7


def run(
    work: Work,
    tasks: Sequence[Task],
    *,
    on_event: OnEvent,
    stop: Stop,
    workers: int,
    resources: Resources,
    retries: int = 2,
    run_dir: Path | None = None,
) -> None:
    """Do the tasks on the connected Ray cluster, or on a private one of this machine that ends with the run.

    Args:
        work: does one task; importable by the workers (a module-level function of an installed package).
        tasks: started in this order.
        on_event: hears of every event, in this process; its own exceptions are logged and change nothing.
        stop: once requested, running tasks get SystemExit at their next report, and what is left of them is
            killed after ``GRACE_SECONDS``; no other task is started.
        workers: how many tasks run at once, as far as the machines have room for them.
        resources: what one task takes.
        retries: how often a task whose process died, or from which an exception escaped, is tried again.
        run_dir: takes what Tune writes and ``ray.log``; a temporary folder, removed afterwards, by default.

    Raises:
        ClusterError: a task fits on no machine, Ray does not start, or Tune broke down again and again.
    """
    nodes = connect.connected_nodes()
    machine = this_machine(gpus=resources.gpu > 0)
    check(resources, [machine] if nodes is None else nodes, workers=workers)
    if not tasks:
        return
    with _folder(run_dir) as folder:
        plan = _Plan(work, list(tasks), workers, resources, retries, folder)
        for _ in range(1 + RESTARTS):
            with _ray(machine if nodes is None else None, folder / "ray.log"):
                plan.tasks = plan.tasks if stop.requested else _execute(plan, guarded(on_event), stop)
            if stop.requested or not plan.tasks:
                return
    raise ClusterError(f"Ray Tune broke down {1 + RESTARTS} times, with {len(plan.tasks)} trials still to do.")


@dataclass
class _Plan:
    work: Work
    tasks: list[Task]
    workers: int
    resources: Resources
    retries: int
    folder: Path


@contextlib.contextmanager
def _folder(run_dir: Path | None) -> Generator[Path]:
    if run_dir is not None:
        run_dir.mkdir(parents=True, exist_ok=True)
        yield run_dir.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="conclus-tune-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _ray(machine: Node | None, log: Path) -> contextlib.AbstractContextManager[None]:
    """A private Ray on this machine, started afresh; the connected one if there is none to start."""
    return connect.quiet(log) if machine is None else connect.local(machine=machine, log=log)


def _execute(plan: _Plan, send: OnEvent, stop: Stop) -> list[Task]:
    """One Tune experiment; the tasks that have no final event after it."""
    listener, run_id = _Listener(plan.tasks, send), uuid.uuid4().hex
    stopper = _Stopper(stop, listener, run_id)
    try:
        with connect.same_signal_handlers():
            _fit(plan, listener, stopper, run_id)
    except Exception as error:
        if not stop.requested:
            logger.warning("Ray Tune broke down (%s); the tasks that are left start again.", one_line(error))
            logging.getLogger("ray").exception("Ray Tune broke down.")
    finally:
        stopper.close()
    return [task for place, task in enumerate(plan.tasks) if place not in listener.closed]


def _fit(plan: _Plan, listener: "_Listener", stopper: "_Stopper", run_id: str) -> None:
    bundle = {"CPU": plan.resources.cpu, "GPU": plan.resources.gpu}
    # Tune copies every configuration many times over: it gets the places of the tasks, the workers get the list.
    payloads = [dict(task.payload) for task in plan.tasks]
    tune.run(
        tune.with_parameters(_Worker, work=plan.work, payloads=payloads, run_id=run_id),
        name=run_id,
        config={"task": tune.grid_search(list(range(len(payloads))))},
        resources_per_trial=tune.PlacementGroupFactory([{k: v for k, v in bundle.items() if v}]),
        storage_path=str(plan.folder),
        stop=stopper,
        callbacks=[listener],
        scheduler=_InOrder(),
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


class _InOrder(FIFOScheduler):
    """Leaves every choice to Tune's queue, which starts trials in the order of the plan.

    The choice of the plain FIFOScheduler is the first trial that is not running, also when a worker is starting for
    it: an idle worker then takes that trial over and the starting one is thrown away, so that of several workers
    only one ever gets up as long as tasks are shorter than the start of a process.
    """

    def choose_trial_to_run(self, *_controller: Any, **_info: Any) -> None:
        return None


class _Worker(tune.Trainable):
    """Lives in a worker process and does one task after the other."""

    def setup(self, *_config: Any, **plan: Any) -> None:
        self._work: Work = plan["work"]
        self._payloads: list[dict[str, Any]] = plan["payloads"]
        self._run_id: str = plan["run_id"]
        self._attempt: Attempt | None = None

    def step(self) -> dict[str, Any]:
        if self._attempt is None:
            payload = self._payloads[self.config["task"]]
            self._attempt = Attempt(self._work, payload, stop_requested=self._stop_requested)
        news = self._attempt.next()
        return {"data": dict(news.data), "final": news.final, "done": news.final}

    def reset_config(self, *_config: Any, **_info: Any) -> bool:
        return self._end()

    def cleanup(self) -> None:
        self._end()

    def _end(self) -> bool:
        attempt, self._attempt = self._attempt, None
        return attempt is None or attempt.end(GRACE_SECONDS)

    def _stop_requested(self) -> bool:
        return _internal_kv_exists(_stop_key(self._run_id))


def _stop_key(run_id: str) -> str:
    """Where in the cluster's key-value store the wish to stop lies: Tune's own way waits for each trial's news."""
    return f"conclus/stop/{run_id}"


class _Listener(tune.Callback):
    """Turns what Tune tells into events."""

    def __init__(self, tasks: Sequence[Task], send: OnEvent) -> None:
        self.closed: set[int] = set()
        self.actors: dict[str, Any] = {}
        self._tasks, self._send = tasks, send

    def on_trial_start(self, *_args: Any, **info: Any) -> None:
        trial: Trial = info["trial"]
        self.actors[trial.trial_id] = trial.temporary_state.ray_actor
        self._tell("started", trial, {"attempt": trial.run_metadata.num_failures + 1})

    def on_trial_result(self, *_args: Any, **info: Any) -> None:
        trial, result = info["trial"], info["result"]
        if result["final"]:
            self._close("finished", trial, result["data"])
        else:
            self._tell("reported", trial, result["data"])

    def on_trial_error(self, *_args: Any, **info: Any) -> None:
        self._close("died", info["trial"], {}, _why(info["trial"]))

    def _close(self, kind: Kind, trial: Trial, data: Mapping[str, Any], error: str = "") -> None:
        self.actors.pop(trial.trial_id, None)
        self.closed.add(trial.config["task"])
        self._tell(kind, trial, data, error)

    def _tell(self, kind: Kind, trial: Trial, data: Mapping[str, Any], error: str = "") -> None:
        self._send(Event(kind, self._tasks[trial.config["task"]].key, data, error))


def _why(trial: Trial) -> str:
    """One line on why a task died for good."""
    error = pickle.loads(Path(trial.pickled_error_file).read_bytes()) if trial.pickled_error_file else None
    if isinstance(error, RayTaskError):
        return one_line(error.cause)
    if isinstance(error, RayActorError):
        code = re.search(r"exit code (\d+)", str(error))
        return f"its process {f'left with exit code {code[1]}' if code else 'was killed, perhaps for its memory'}"
    return one_line(error) if error else "Tune does not say why"


class _Stopper(tune.Stopper):
    """Ends the experiment once the caller wishes so, and kills what has not left in time."""

    def __init__(self, stop: Stop, listener: _Listener, run_id: str) -> None:
        self._stop, self._run_id = stop, run_id
        self._killer = threading.Timer(GRACE_SECONDS, _kill, [listener.actors])
        self._killer.daemon = True

    def __call__(self, *_args: Any, **_info: Any) -> bool:
        return False

    def stop_all(self) -> bool:
        if self._stop.requested and self._killer.ident is None:
            _internal_kv_put(_stop_key(self._run_id), b"1")
            self._killer.start()
        return self._stop.requested

    def close(self) -> None:
        self._killer.cancel()

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles the stopper into its state, which nobody reads


def _kill(actors: dict[str, Any]) -> None:
    for actor in list(actors.values()):
        with contextlib.suppress(Exception):
            ray.kill(actor)
