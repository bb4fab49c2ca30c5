"""Sources of trials: the interface for search algorithms, and a plain list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from cluster.executor import Event
from jobs.planning.plan import PlannedTrial


@dataclass(frozen=True)
class Next:
    """The next trial to run, with entries for its order to the worker that the plan does not have."""

    trial: PlannedTrial
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Source(Protocol):
    """A source of trials: a list, or a search algorithm that uses results."""

    def take(self) -> Next | None:
        """The next trial, or None if there is none now; None while no trial is running means: none will follow."""
        ...

    def hear(self, event: Event) -> None:
        """Receives an event of a trial that was taken."""
        ...


class TrialList:
    """The missing trials of a plan in its order, but the last quarter with the most epochs first.

    A long trial that starts last would keep one worker busy while the others wait. The first three quarters stay in the
    plan's order, because any prefix of it is a balanced experiment.
    """

    def __init__(self, trials: Sequence[PlannedTrial]) -> None:
        place = len(trials) - len(trials) // 4
        last = sorted(trials[place:], key=lambda one: -one.config.epochs)
        self._trials = iter([*trials[:place], *last])

    def take(self) -> Next | None:
        """The next trial of the list."""
        trial = next(self._trials, None)
        return None if trial is None else Next(trial)

    def hear(self, event: Event) -> None:
        """Ignores the event."""
