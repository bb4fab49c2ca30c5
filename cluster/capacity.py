"""How many tasks the nodes can run at once, asked again as nodes come and go."""

import time
from collections.abc import Collection, Sequence
from typing import Any

from cluster import connect, ray_compat
from cluster.executor import TaskResources
from cluster.resources import Node, fitting

PERIOD_SECONDS = 1.0


class Capacity:
    """The nodes of a run, and how many of its tasks they can run at once.

    Args:
        wanted: what one task needs.
        workers: the largest number of tasks at once; None: as many as fit.
        machine: the node of a private Ray, which stays; None: the nodes of the connected cluster.
        possible: all nodes that an autoscaler may start, empty if they are not known; None without an autoscaler.

    Attributes:
        nodes: the live nodes when Ray was last asked; a private Ray has one, which stays.
        draining: the ids of those that are being drained.
    """

    def __init__(
        self,
        wanted: TaskResources,
        *,
        workers: int | None,
        machine: Node | None = None,
        possible: Sequence[Node] | None = None,
    ) -> None:
        self.nodes = [] if machine is None else [machine]
        self._possible = possible
        self.draining = frozenset[str]()
        self._wanted, self._workers, self._machine = wanted, workers, machine
        self._due = 0.0

    def ask(self) -> None:
        """Ask the cluster for its nodes, at most once in `PERIOD_SECONDS`."""
        if self._machine is None and time.monotonic() >= self._due:
            self.nodes, self.draining = connect.connected_nodes() or [], ray_compat.draining_nodes()
            self._due = time.monotonic() + PERIOD_SECONDS

    def node_of(self, actor: Any) -> str:
        """The id of the node that an actor runs on; that of a private Ray's node is empty."""
        return ray_compat.node_of(actor) if self._machine is None else self._machine.id

    def is_alive(self, node: str) -> bool:
        """Whether the node of this id lives."""
        return any(one.id == node for one in self.nodes)

    def name(self, node: str) -> str:
        """What people call the live node of this id."""
        return next(one.name for one in self.nodes if one.id == node)

    def is_elsewhere(self, avoid: Collection[str]) -> bool:
        """Whether a task fits on a node that is not to be avoided."""
        return self._room(avoid) > 0

    def count(self, avoid: Collection[str]) -> int:
        """How many tasks may run or wait for a place: at least one, so that a cluster sees that a node is asked for.

        Args:
            avoid: the ids of the nodes that no task may run on.
        """
        room = self._room(avoid)
        if self._possible is not None:
            # It starts nodes for tasks that wait: at most as many as run, as a search learns nothing from those.
            most = fitting(self._wanted, self._possible) if self._possible else room + 1
            room = max(room, min(2 * room, most))
        return max(1, room if self._workers is None else min(room, self._workers))

    def _room(self, avoid: Collection[str]) -> int:
        left = [one for one in self.nodes if one.id not in self.draining and one.id not in avoid]
        return fitting(self._wanted, left)
