"""What lives in a worker process of a Tune run, and how the driver's words reach it: the cluster's key-value store.

Tune's own ways are no use here: it copies a configuration many times over, and asks a trial to stop only once it has
news of it.
"""

import os
import pickle
from collections.abc import Mapping
from typing import Any

from ray import tune

from cluster.executor import Work
from cluster.ray_compat import Notes
from cluster.work_thread import Wish, WorkThread

GRACE_SECONDS = 0.7
"""How long a task may take to leave when the run stops."""
_LAST_EPOCH_SECONDS = 600.0
"""How long a task that ended early may take to leave: it does so between two reports."""


class Board:
    """Notes from the driver to its workers, under the name of one run."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id

    def order(self, number: int, payload: Mapping[str, Any]) -> None:
        """Put up a task's payload."""
        Notes.put(self._key("task", number), pickle.dumps(dict(payload)))

    def payload(self, number: int) -> Mapping[str, Any]:
        """The payload of a task."""
        return pickle.loads(Notes.get(self._key("task", number)))

    def take_down(self, number: int) -> None:
        """Forget a task that is over."""
        Notes.remove(self._key("task", number))

    def stop(self) -> None:
        """Every task is to leave."""
        Notes.put(self._key("stop"), b"1")

    def end(self, number: int) -> None:
        """One task is to leave."""
        Notes.put(self._key("end", number), b"1")

    def wish(self, number: int) -> Wish:
        """What the driver wants of a task."""
        if Notes.has(self._key("stop")):
            return "stop"
        return "end" if Notes.has(self._key("end", number)) else ""

    def _key(self, *parts: object) -> str:
        return "/".join(map(str, ("conclus", self._run_id, *parts)))


class Worker(tune.Trainable):
    """Lives in a worker process and does one task after the other."""

    def setup(self, *_config: Any, **parameters: Any) -> None:
        """Takes what is the same for all tasks."""
        self._work: Work = parameters["work"]
        self._board = Board(parameters["run_id"])
        self._all_values: bool = parameters["all_values"]
        self._thread: WorkThread | None = None

    def step(self) -> dict[str, Any]:
        """Waits for news of the task; begins it where it has not begun."""
        if self._thread is None:
            self._thread = self._begin(self.config["task"])
        news = self._thread.next()
        told = {key: news.data[key] for key in ("epoch", "value") if self._keeps(news.data)}
        return {"data": dict(news.data), "final": news.final, "done": news.final, **told}

    def reset_config(self, *_config: Any, **_info: Any) -> bool:
        """Makes room for the next task."""
        self._end()
        return True

    def cleanup(self) -> None:
        """Leaves nothing running."""
        self._end()

    def _begin(self, number: int) -> WorkThread:
        return WorkThread(
            self._work, self._board.payload(number), wish=lambda: self._board.wish(number), keeps=self._keeps
        )

    def _keeps(self, data: Mapping[str, Any]) -> bool:
        """Early stopping judges every value, and at its own epoch."""
        return self._all_values and bool(data.get("scored"))

    def _end(self) -> None:
        thread, self._thread = self._thread, None
        if thread is None:
            return
        stopping = self._board.wish(self.config["task"]) == "stop"
        if not thread.end(GRACE_SECONDS if stopping else _LAST_EPOCH_SECONDS):
            # A thread cannot be ended: its process can, and Tune starts another.
            os._exit(1)
