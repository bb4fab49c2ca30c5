"""The code in a worker process of a Tune run, and its messages from the driver through the cluster's key-value store.

Tune's own means do not suffice: Tune copies a trial's configuration many times, and it asks a trial to stop only after
the trial has reported.
"""

import os
import pickle
import signal
from collections.abc import Mapping
from typing import Any, cast

from ray import tune

from cluster.executor import Work
from cluster.ray_compat import Notes
from cluster.work_thread import Wish, WorkThread

NODE_LABEL = "ray.io/node-id"
"""Every node of Ray has a label of this name: its id."""

_LAST_EPOCH_SECONDS = 600.0
"""How long a task that is ended early may take to stop: it stops at its next report."""


class PreemptedError(Exception):
    """This process ends although its task is not done: the task is saved and goes on in another process."""


class Board:
    """Messages from the driver to its workers, stored under the id of the run."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id

    def order(self, number: int, payload: Mapping[str, Any]) -> None:
        """Store a task's payload; what was asked of an earlier attempt at it no longer holds."""
        Notes.remove(self._key("wish", number))
        Notes.put(self._key("task", number), pickle.dumps(dict(payload)))

    def payload(self, number: int) -> Mapping[str, Any]:
        """The payload of a task."""
        return pickle.loads(Notes.get(self._key("task", number)))

    def take_down(self, number: int) -> None:
        """Remove what is stored for a task that is over."""
        Notes.remove(self._key("task", number))
        Notes.remove(self._key("wish", number))

    def stop(self, grace: float) -> None:
        """Ask all tasks to stop; they have so many seconds to get to their next report."""
        Notes.put(self._key("stop"), str(grace).encode())

    def grace(self) -> float | None:
        """The seconds that a task has to stop with the run; None if the run goes on."""
        return float(Notes.get(self._key("stop"))) if Notes.has(self._key("stop")) else None

    def ask(self, number: int, wish: Wish) -> None:
        """Ask something of one task."""
        Notes.put(self._key("wish", number), wish.encode())

    def wish(self, number: int) -> Wish:
        """What the driver asks of a task."""
        if Notes.has(self._key("stop")):
            return "stop"
        return cast("Wish", Notes.get(self._key("wish", number)).decode())

    def _key(self, *parts: object) -> str:
        return "/".join(map(str, ("conclus", self._run_id, *parts)))


class Worker(tune.Trainable):
    """Runs in a worker process and does one task after the other.

    SIGTERM, as from Slurm or a person, and a drained node end the process at the task's next report. The task is saved
    then, since its report raises SystemExit, and goes on in another process.
    """

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        """What a task needs, and which nodes it avoids."""
        bundle, avoid = config["bundle"], config["avoid"]
        where: dict[str, Any] = {"bundle_label_selector": [{NODE_LABEL: f"!in({','.join(avoid)})"}]} if avoid else {}
        return tune.PlacementGroupFactory([bundle], **where)

    def setup(self, *_config: Any, **parameters: Any) -> None:
        """Keeps what is the same for all tasks."""
        self._work: Work = parameters["work"]
        self._board = Board(parameters["run_id"])
        self._all_values: bool = parameters["all_values"]
        self._thread: WorkThread | None = None
        self._is_busy = False
        self._leaving = ""
        self._ends = signal.signal(signal.SIGTERM, self._on_sigterm)

    def step(self) -> dict[str, Any]:
        """Starts the task if it has not started, and waits for its next report or its result."""
        if self._thread is None:
            self._is_busy = True  # before the thread starts, which may be sent SIGTERM at once
            self._thread = self._begin(self.config["task"])
            if self._leaving:
                self._thread.leave()
        try:
            news = self._thread.next()
        except SystemExit:
            if not self._thread.moves:
                raise
            self._leaving = self._leaving or "its machine is being drained"
            raise PreemptedError(self._leaving) from None
        if news.final:
            self._thread, self._is_busy = None, False
        told = {key: news.data[key] for key in ("epoch", "value") if self._keeps(news.data)}
        return {"data": dict(news.data), "final": news.final, "done": news.final, **told}

    def reset_config(self, *_config: Any, **_info: Any) -> bool:
        """Ends the current task, so that the next one can start."""
        self._end()
        if self._leaving:
            raise PreemptedError(self._leaving)
        return True

    def cleanup(self) -> None:
        """Ends the current task."""
        self._end()

    def _on_sigterm(self, *signal_and_frame: Any) -> None:
        if self._is_busy:
            self._leaving = "its process got SIGTERM"
            if self._thread is not None:
                self._thread.leave()
        elif callable(self._ends):
            self._ends(*signal_and_frame)

    def _begin(self, number: int) -> WorkThread:
        return WorkThread(
            self._work, self._board.payload(number), wish=lambda: self._board.wish(number), keeps=self._keeps
        )

    def _keeps(self, data: Mapping[str, Any]) -> bool:
        """Whether the report must reach Tune: successive halving needs every score at its own epoch."""
        return self._all_values and bool(data.get("scored"))

    def _end(self) -> None:
        thread, self._thread, self._is_busy = self._thread, None, False
        if thread is None:
            return
        grace = self._board.grace()
        if not thread.end(_LAST_EPOCH_SECONDS if grace is None else grace):
            # A thread cannot be killed, but its process can; Tune then starts another.
            os._exit(1)
