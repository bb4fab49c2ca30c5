"""Shares a cluster among the runs on it: while one waits for a place, none starts tasks above its equal share.

Each run posts a small note in the cluster's key-value store. No task is ended for the sake of another run.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cluster import connect
from cluster.capacity import Capacity
from cluster.executor import ACCELERATOR, Event, OnEvent, Stop, TaskResources
from cluster.ray_compat import Notes
from cluster.resources import Node, fitting, places
from cluster.tune_compat import Places

with connect.settings():  # Ray reads some variables when it is imported
    import ray

PERIOD_SECONDS = 1.0
PATIENCE_SECONDS = 2.0
"""A run waits once tasks of it have had no place for so long: Ray needs a moment to find one."""
TURN_SECONDS = 60.0
DEAD_SECONDS = 20.0
"""A run whose note has not changed for so long is gone."""
_PREFIX = "conclus/runs/"
_LONGEST = 4000
"""Bytes of a note: more is none of ours."""
_LEAST, _MOST = 1e-4, 1e15
"""Amounts that Ray can count."""
_PAUSE_SECONDS = 0.2


@dataclass(frozen=True)
class Note:
    """What a run tells the others.

    Attributes:
        name: the study and who runs it; another run wrote it, so it may be any text.
        bundle: what one of its tasks takes, by Ray's names of resources.
        running: how many of its tasks run.
        lacks: of which resources it waits for more.
        below: for how many seconds it has waited with less than its share; 0 if it does not.
        beat: changes as long as the run lives.
    """

    name: str
    bundle: Mapping[str, float]
    running: int
    lacks: Sequence[str]
    below: float
    beat: int


class Sharing:
    """The part of a cluster that a run may use.

    Args:
        run_id: tells this run from others.
        name: what others are told of it, such as `study x of a@host`.
        wanted: what one task needs.
        at_most: the share of the cluster that it may use in any case.
        capacity: the nodes.
        send: hears what the run waits for, and when it no longer does.
    """

    def __init__(
        self, run_id: str, name: str, wanted: TaskResources, *, at_most: float, capacity: Capacity, send: OnEvent
    ) -> None:
        self._key, self._name, self._at_most = f"{_PREFIX}{run_id}", name, at_most
        self._wanted, self._capacity, self._send = wanted, capacity, send
        self._kinds = {one for one in wanted.bundle if one != "memory" and not one.startswith(ACCELERATOR)}
        self._others = _Others(self._key)
        self._running: Sequence[str] = ()
        self._waits_since: float | None = None
        self._below_since: float | None = None
        self._gave_way = self._has_turn = False
        self._told = ""
        self._due, self._beat = 0.0, 0

    def look(self, running: Sequence[str]) -> None:
        """Read the notes of the others and post the own one, at most once in `PERIOD_SECONDS`.

        Args:
            running: the id of the node of each running task.
        """
        self._running = running
        if running:
            self._has_turn = False
        if time.monotonic() < self._due:
            return
        self._due, self._beat = time.monotonic() + PERIOD_SECONDS, self._beat + 1
        self._others.read()
        if self._waits_since is None or len(running) >= self._keeps(self._capacity.nodes):
            self._below_since = None
        elif self._below_since is None:
            self._below_since = time.monotonic()
        lacks = self._lacks()
        note = Note(self._name, self._wanted.bundle, len(running), lacks, self._below(), self._beat)
        Notes.put(self._key, json.dumps(asdict(note)).encode())
        self._tell(self._waiting(lacks))

    def limit(self, most: int) -> int:
        """How many of `most` tasks may run or wait for a place beside the other runs; at least one."""
        if self._at_most < 1:
            most = min(most, int(self._capacity.whole() * self._at_most + 1e-9))
        if contested := self._contested():
            there = max(self._keeps(contested), self._count(contested))
            most = min(most, self._elsewhere(contested) + there)
        return max(1, most)

    def gives_way(self) -> bool:
        """Whether this run, of which no task runs, is to leave its only place to one that has waited longer.

        So runs take turns where they are more than there are places.
        """
        contested = self._contested()
        is_only = bool(contested) and not self._elsewhere(contested) and not self._part(contested)
        longer = any(one.below > self._below() for one in self._waiting_ones())
        self._gave_way = is_only and longer and not self._has_turn
        return self._gave_way

    def stands_back(self, stop: Stop) -> bool:
        """Waits for the next turn of a run that gave way; False if it did not, or is stopped.

        A place that nobody takes for `TURN_SECONDS` is taken again: the other may wait for something else, too.
        """
        if not self._gave_way:
            return False
        self._waits_since = time.monotonic()
        while not stop.requested and self.gives_way() and _seconds(self._waits_since) < TURN_SECONDS:
            self._capacity.ask()
            self.look([])
            time.sleep(_PAUSE_SECONDS)
        self._has_turn = True
        return not stop.requested

    def ends_idle(self, found: Places) -> bool:
        """Whether workers without a task are to end, so that others get their places."""
        if not found.waiting:
            self._waits_since = None
        elif self._waits_since is None:
            self._waits_since = time.monotonic()
        contested = self._contested()
        has_its_part = bool(contested) and self._count(contested) >= self._keeps(contested)
        return bool(self._waiting_ones()) and (has_its_part or not found.pending)

    def close(self) -> None:
        """Take down the own note."""
        Notes.remove(self._key)
        self._tell("")

    def _waiting_ones(self) -> list[Note]:
        """The others that wait for what tasks of this run take."""
        return [one for one in self._others.notes if self._kinds.intersection(one.lacks)]

    def _contested(self) -> list[Node]:
        """The nodes that have room for the tasks of others which wait and have less than their share."""
        wanting = [one for one in self._waiting_ones() if one.below]
        return [node for node in self._capacity.nodes if any(places(one.bundle, [node]) for one in wanting)]

    def _keeps(self, nodes: Sequence[Node]) -> int:
        """The tasks that may run on these nodes while others wait: its part; one task if that is nothing at all."""
        return max(self._part(nodes), 0 if self._elsewhere(nodes) else 1)

    def _part(self, nodes: Sequence[Node]) -> int:
        """An equal part of these nodes among the runs that take what this one takes, in its tasks."""
        rivals = [one for one in self._others.notes if self._kinds.intersection(one.bundle)]
        return fitting(self._wanted, nodes) // (1 + len(rivals))

    def _elsewhere(self, nodes: Sequence[Node]) -> int:
        """How many tasks fit on the other nodes."""
        return fitting(self._wanted, [one for one in self._capacity.nodes if one not in nodes])

    def _count(self, nodes: Sequence[Node]) -> int:
        """How many tasks of this run run on these nodes."""
        ids = {one.id for one in nodes}
        return sum(node in ids for node in self._running)

    def _lacks(self) -> list[str]:
        """The resources that a waiting task has too little of; all that it takes if each node has too little of one."""
        if _seconds(self._waits_since) < PATIENCE_SECONDS:
            return []
        free = ray.available_resources()
        return [one for one in self._kinds if free.get(one, 0) < self._wanted.bundle[one]] or sorted(self._kinds)

    def _below(self) -> float:
        seconds = _seconds(self._below_since)
        return seconds if seconds >= PATIENCE_SECONDS else 0.0

    def _waiting(self, lacks: Sequence[str]) -> str:
        held = [(amounts, one.name) for one in self._others.notes if (amounts := _amounts(one, lacks))]
        if not lacks or held:
            return ", ".join(f"{amounts} held by {name}" for amounts, name in held)
        return f"{_text({one: self._wanted.bundle[one] for one in lacks})} that others hold"

    def _tell(self, waiting: str) -> None:
        if waiting != self._told:
            self._told = waiting
            self._send(Event("waiting", "", error=waiting))


class _Others:
    """The notes of the other runs that live. Clocks of machines differ, so a note lives as long as it changes."""

    def __init__(self, own: str) -> None:
        self._own = own
        self._seen: dict[str, tuple[bytes, float]] = {}
        self.notes: list[Note] = []

    def read(self) -> None:
        """Reads all notes, and removes those of runs that are gone."""
        now = time.monotonic()
        texts = {key: Notes.get(key) for key in Notes.keys(_PREFIX) if key != self._own}
        known = self._seen
        self._seen = {
            key: known[key] if key in known and known[key][0] == text else (text, now) for key, text in texts.items()
        }
        living = {key for key, (_, since) in self._seen.items() if now - since < DEAD_SECONDS}
        for key in texts.keys() - living:
            Notes.remove(key)
        self.notes = [note for key in sorted(living) if (note := _parsed(texts[key]))]


def _seconds(since: float | None) -> float:
    return 0.0 if since is None else time.monotonic() - since


def _parsed(text: bytes) -> Note | None:
    """The note in a text that another process wrote; None if it is none."""
    try:
        content: Any = json.loads(text[:_LONGEST])
        found = Note(
            name=str(content["name"])[:200],
            bundle={str(name): float(amount) for name, amount in content["bundle"].items()},
            running=int(content["running"]),
            lacks=[str(one) for one in content["lacks"]],
            below=float(content["below"]),
            beat=0,
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    is_possible = all(_LEAST <= amount <= _MOST for amount in (*found.bundle.values(), found.running + 1))
    return found if is_possible else None


def _amounts(note: Note, kinds: Sequence[str]) -> str:
    """What a run holds of these kinds of resource, as `2 CPU, 1 GPU`; empty if nothing."""
    return _text({kind: note.running * note.bundle[kind] for kind in kinds if note.bundle.get(kind)})


def _text(amounts: Mapping[str, float]) -> str:
    return ", ".join(f"{amount:g} {kind}" for kind, amount in amounts.items() if amount)
