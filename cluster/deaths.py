"""Which deaths of processes are the fault of a task, and which nodes kill whatever runs on them."""

from collections import defaultdict

from cluster.capacity import Capacity
from cluster.executor import Event, OnEvent

SEVERAL = 3
"""A node is avoided once so many different tasks died on it in a row."""
MANY = 10
"""A task is given up once so many nodes in a row died under it before any report: it may be what ends them."""


class Deaths:
    """Counts the deaths of tasks by task and by node.

    A task is tried again `retries` times. Only deaths that are its own count: an exception, and the end of its process
    on a node that still lives. A node may end a little after the processes on it, so this is looked at anew each time.
    The deaths of nodes count only for a task under which `MANY` die in a row.

    Args:
        capacity: the nodes of the run.
        retries: how often a task is tried again.
        send: hears which nodes are avoided.
    """

    def __init__(self, capacity: Capacity, retries: int, send: OnEvent) -> None:
        self._capacity, self._retries, self._send = capacity, retries, send
        self._own = defaultdict[int, int](int)
        self._lost = defaultdict[int, int](int)
        self._at = defaultdict[int, list[str]](list)
        self._in_a_row = defaultdict[str, set[int]](set)
        self._told = set[str]()

    def raised(self, task: int) -> None:
        """The task raised an exception, or was silent for too long."""
        self._own[task] += 1

    def ended(self, task: int, node: str) -> None:
        """The process of the task ended on this node, for whatever reason."""
        self._at[task].append(node)
        self._in_a_row[node].add(task)

    def lost(self, task: int) -> None:
        """The node of the task died."""
        self._lost[task] += 1

    def advanced(self, task: int) -> None:
        """The task reported."""
        self._lost.pop(task, None)

    def finished(self, task: int, node: str) -> None:
        """A task finished on this node."""
        self._in_a_row.pop(node, None)
        self._own.pop(task, None)
        self._at.pop(task, None)

    def is_last(self, task: int) -> bool:
        """Whether the task is not to be tried again."""
        return self._count(task) > self._retries or self._lost[task] >= MANY

    def shunned(self) -> set[str]:
        """The ids of the live nodes that killed several tasks in a row; none if tasks fit on no other node."""
        bad = {one for one, tasks in self._in_a_row.items() if len(tasks) >= SEVERAL and self._capacity.is_alive(one)}
        is_elsewhere = self._capacity.is_elsewhere(bad)
        goes_on = "no more trials are placed on it" if is_elsewhere else "trials go on there, as they fit nowhere else"
        for node in bad:
            self._tell(f"{len(self._in_a_row[node])} trials in a row died on {self._capacity.name(node)}: {goes_on}")
        return bad if is_elsewhere else set()

    def avoided(self, task: int) -> set[str]:
        """The ids of the nodes that a task is not to run on; its last try also avoids those where it died."""
        bad = self.shunned()
        tried = set(filter(self._capacity.is_alive, self._at[task]))
        is_last_try = self._count(task) == self._retries and self._capacity.is_elsewhere(bad | tried)
        return bad | tried if is_last_try else bad

    def _tell(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self._send(Event("told", "", error=line))

    def _count(self, task: int) -> int:
        return self._own[task] + sum(map(self._capacity.is_alive, self._at[task]))
