"""Where the next trial comes from: the seam for searches, and the plain list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from cluster.executor import Event
from jobs.planning.plan import PlannedTrial


@dataclass(frozen=True)
class Next:
    """A trial whose turn it is, and what its order says beyond the plan."""

    trial: PlannedTrial
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Source(Protocol):
    """Where trials come from: a list, or a search that goes by results."""

    def take(self) -> Next | None:
        """The next trial; None when there is none now, and while none runs: none any more."""
        ...

    def hear(self, event: Event) -> None:
        """Learns what became of the trials that were taken."""
        ...


class TrialList:
    """The trials of a plan that are to do, in its order; of the last quarter those of most epochs come first.

    A long trial that starts last keeps one worker busy while the others wait. The first three quarters stay in the
    plan's order, any prefix of which is a fair experiment.
    """

    def __init__(self, trials: Sequence[PlannedTrial]) -> None:
        place = len(trials) - len(trials) // 4
        last = sorted(trials[place:], key=lambda one: -one.config.epochs)
        self._trials = iter([*trials[:place], *last])

    def take(self) -> Next | None:
        """The next of them."""
        trial = next(self._trials, None)
        return None if trial is None else Next(trial)

    def hear(self, event: Event) -> None:
        """Changes nothing."""
