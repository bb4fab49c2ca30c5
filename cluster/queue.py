"""The open tasks of a run, and the search algorithm that hands them to Tune."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cluster import connect
from cluster.capacity import Capacity
from cluster.deaths import Deaths
from cluster.executor import Feed, Task
from cluster.sharing import Sharing

with connect.settings():  # Ray reads some variables when it is imported
    from ray.tune.search import Searcher

    from cluster.worker import Board


class OpenTasks:
    """Numbers the tasks of a feed and keeps those without a last event; after a failure of Tune they come first."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._again: list[int] = []
        self._numbers = 0
        self.open: dict[int, Task] = {}

    def take(self) -> int | None:
        """The number of the next task; None if there is none now."""
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
        self._mark(number)

    def is_done(self) -> bool:
        """Whether no task is open and no more will come."""
        if not self.open and (number := self.take()) is not None:
            self.put_back(number)
        return not self.open

    def again(self) -> bool:
        """Run the open tasks again; True if there are any."""
        self._again = list(self.open)
        for number in self._again:
            self._mark(number)
        return bool(self._again)

    def _mark(self, number: int) -> None:
        task = self.open[number]
        self.open[number] = replace(task, payload={**task.payload, "again": True})


class Asked(Searcher):
    """Gives Tune the next task whenever a worker is free.

    Args:
        queue: where the tasks come from.
        board: where their payloads go.
        capacity: how many may run at once.
        sharing: how many other runs leave to this one.
        deaths: which nodes a task avoids.
        bundle: what a task needs, as Ray's placement groups name it.
    """

    def __init__(
        self,
        queue: OpenTasks,
        board: Board,
        *,
        capacity: Capacity,
        sharing: Sharing,
        deaths: Deaths,
        bundle: Mapping[str, float],
    ) -> None:
        super().__init__()
        self._queue, self._board, self._bundle = queue, board, bundle
        self._capacity, self._sharing, self._deaths = capacity, sharing, deaths
        self._running: set[str] = set()
        self._usr1 = connect.usr1_keeper()

    def suggest(self, trial_id: str) -> Any:
        """The number of the next task; None for nothing now, FINISHED for nothing more."""
        self._usr1()  # Tune replaces the handler when it begins; its own one ends the process without saving
        self._capacity.ask()
        if len(self._running) >= self._sharing.limit(self._capacity.count(self._deaths.shunned())):
            return None
        if not self._running and not self._queue.is_done() and self._sharing.gives_way():
            return Searcher.FINISHED
        number = self._queue.take()
        if number is None:
            return None if self._running else Searcher.FINISHED
        self._running.add(trial_id)
        self._board.order(number, self._queue.open[number].payload)
        return {"task": number, "bundle": dict(self._bundle), "avoid": sorted(self._deaths.avoided(number))}

    def on_trial_complete(self, trial_id: str, *_args: Any, **_info: Any) -> None:
        """Notes that a task is over, in whatever way."""
        self._running.discard(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Does nothing: the queue is not restored, but made again from the results."""

    restore = save

    def __getstate__(self) -> dict[str, Any]:
        return {}
