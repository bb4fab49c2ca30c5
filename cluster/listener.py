"""Turns what Tune tells of its trials into the events of tasks."""

import contextlib
import re
import time
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from cluster import connect, tune_compat
from cluster.capacity import Capacity
from cluster.deaths import Deaths
from cluster.executor import Event, EventKind, OnEvent, one_line
from cluster.queue import OpenTasks

with connect.settings():  # Ray reads some variables when it is imported
    import ray
    from ray import tune
    from ray.exceptions import ActorUnavailableError, RayActorError, RayTaskError
    from ray.tune.experiment import Trial

    from cluster.worker import Board, PreemptedError


class Listener(tune.Callback):
    """Turns Tune's callbacks into events."""

    def __init__(self, queue: OpenTasks, board: Board, send: OnEvent, capacity: Capacity, deaths: Deaths) -> None:
        self.board = board
        self._capacity, self._deaths = capacity, deaths
        self.running: dict[str, Running] = {}
        self._queue, self._send = queue, send
        self._latest: dict[int, Mapping[str, Any]] = {}
        self._why: dict[int, str] = {}
        self._starts = Counter[int]()

    def on_trial_start(self, *_args: Any, **info: Any) -> None:
        """Tells that an attempt starts."""
        trial: Trial = info["trial"]
        actor, task = tune_compat.process_of(trial), trial.config["task"]
        self.running[trial.trial_id] = Running(actor, task, self._capacity.node_of(actor))
        self._starts[task] += 1
        self._tell("started", trial, {"attempt": self._starts[task]}, self._why.pop(task, ""))

    def on_trial_result(self, *_args: Any, **info: Any) -> None:
        """Tells of a report, or of the result."""
        trial, result = info["trial"], info["result"]
        if trial.trial_id in self.running:
            self.running[trial.trial_id].heard = time.monotonic()
        if result["final"]:
            self._close("finished", trial, result["data"])
        else:
            self._deaths.advanced(trial.config["task"])
            self._latest[trial.config["task"]] = result["data"]
            self._tell("reported", trial, result["data"])

    def on_trial_complete(self, *_args: Any, **info: Any) -> None:
        """Tells of a task that successive halving ended."""
        trial: Trial = info["trial"]
        if trial.config["task"] in self._queue.open:  # it has no result of its own: halving ended it
            self.board.ask(trial.config["task"], "end")
            self._close("ended", trial, self._latest.get(trial.config["task"], {}))

    def on_trial_error(self, *_args: Any, **info: Any) -> None:
        """Gives the queue back a task that died, or tells that it died for the last time.

        Tune itself retries nothing: it would count the deaths of nodes, and would not avoid any node.
        """
        trial: Trial = info["trial"]
        task, error = trial.config["task"], tune_compat.error_of(trial)
        why = self._why.pop(task, "") or _why(error)
        self._blame(task, self.running.pop(trial.trial_id, None), error)
        if self._deaths.is_last(task):
            self._close("died", trial, {}, why)
        else:
            self._why[task] = why
            self._queue.put_back(task)

    def _blame(self, task: int, one: "Running | None", error: BaseException | None) -> None:
        if isinstance(error, RayTaskError) and isinstance(error.cause, PreemptedError):
            return
        if isinstance(error, RayActorError) and (isinstance(error, ActorUnavailableError) or _is_of_node(error)):
            self._deaths.lost(task)
            return
        if one is None or one.killed or not isinstance(error, RayActorError):
            self._deaths.raised(task)
        else:
            self._deaths.ended(task, one.node)

    def leave_drained(self, draining: Collection[str]) -> None:
        """Ask every task on these nodes to go on elsewhere."""
        for one in list(self.running.values()):
            if one.node in draining and not one.leaves:
                one.leaves = True
                self.board.ask(one.task, "move")

    def kill_silent(self, seconds: float) -> None:
        """Kill the process of every task without a report for so many seconds."""
        for one in list(self.running.values()):
            if not one.killed and time.monotonic() - one.heard > seconds:
                self._why[one.task] = f"TIMEOUT: it finished no epoch within {seconds / 60:g} minutes"
                one.killed = True
                one.kill()

    def _close(self, kind: EventKind, trial: Trial, data: Mapping[str, Any], error: str = "") -> None:
        if (one := self.running.pop(trial.trial_id, None)) is not None:
            self._deaths.finished(one.task, one.node)
        self._tell(kind, trial, data, error)
        self._latest.pop(trial.config["task"], None)
        self._queue.open.pop(trial.config["task"], None)
        if kind != "ended":  # the worker of an ended task may still read its note
            self.board.take_down(trial.config["task"])

    def _tell(self, kind: EventKind, trial: Trial, data: Mapping[str, Any], error: str = "") -> None:
        if task := self._queue.open.get(trial.config["task"]):
            self._send(Event(kind, task.key, data, error))


@dataclass
class Running:
    """A running task: its process, its number, the id of its node, and the time of its last report."""

    actor: Any
    task: int
    node: str
    killed: bool = False
    leaves: bool = False

    def __post_init__(self) -> None:
        self.heard = time.monotonic()

    def kill(self) -> None:
        """End the process, if it still runs."""
        with contextlib.suppress(Exception):
            ray.kill(self.actor)


def _is_of_node(error: RayActorError) -> bool:
    """Whether a process ended because its node did."""
    return error.preempted or "node has died" in str(error) or "node was terminated" in str(error)


def _why(error: BaseException | None) -> str:
    """One line on why a task died."""
    if isinstance(error, RayTaskError):
        return str(error.cause) if isinstance(error.cause, PreemptedError) else one_line(error.cause)
    if isinstance(error, RayActorError):
        if _is_of_node(error):
            return "the machine it ran on died"
        if isinstance(error, ActorUnavailableError):
            return "its process cannot be reached: it died, or the machine it ran on"
        code = re.search(r"exit code (\d+)", str(error))
        return f"its process {f'ended with exit code {code[1]}' if code else 'was killed, perhaps out of memory'}"
    return one_line(error) if error else "Tune gives no reason"
