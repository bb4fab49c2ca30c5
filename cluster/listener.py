"""Turns what Tune tells of its trials into the events of tasks."""

import contextlib
import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cluster import connect, ray_compat
from cluster.executor import Event, EventKind, OnEvent, one_line
from cluster.queue import Queue

with connect.settings():  # Ray reads some variables when it is imported
    import ray
    from ray import tune
    from ray.exceptions import ActorUnavailableError, RayActorError, RayTaskError
    from ray.tune.experiment import Trial

    from cluster.worker import Board


class Listener(tune.Callback):
    """Turns Tune's callbacks into events."""

    def __init__(self, queue: Queue, board: Board, send: OnEvent) -> None:
        self.board = board
        self.running: dict[str, Running] = {}
        self._queue, self._send = queue, send
        self._latest: dict[int, Mapping[str, Any]] = {}
        self._why: dict[int, str] = {}
        self._starts = Counter[int]()

    def on_trial_start(self, *_args: Any, **info: Any) -> None:
        """Tells that an attempt starts."""
        trial: Trial = info["trial"]
        self.running[trial.trial_id] = Running(ray_compat.process_of(trial), trial.config["task"])
        task = trial.config["task"]
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
            self._latest[trial.config["task"]] = result["data"]
            self._tell("reported", trial, result["data"])

    def on_trial_complete(self, *_args: Any, **info: Any) -> None:
        """Tells of a task that successive halving ended."""
        trial: Trial = info["trial"]
        if trial.config["task"] in self._queue.open:  # it has no result of its own: halving ended it
            self.board.end(trial.config["task"])
            self._close("ended", trial, self._latest.get(trial.config["task"], {}))

    def on_trial_recover(self, *_args: Any, **info: Any) -> None:
        """Keeps why a task died that Tune tries again."""
        trial: Trial = info["trial"]
        self.running.pop(trial.trial_id, None)
        self._why.setdefault(trial.config["task"], _why(trial))

    def on_trial_error(self, *_args: Any, **info: Any) -> None:
        """Tells of a task that died for the last time."""
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
class Running:
    """A running task: its process, its number, and the time of its last report."""

    actor: Any
    task: int
    killed: bool = False

    def __post_init__(self) -> None:
        self.heard = time.monotonic()

    def kill(self) -> None:
        """End the process, if it still runs."""
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
