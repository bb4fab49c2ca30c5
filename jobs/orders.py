"""From trials to tasks: what a worker is told, one trial after the other, as long as the budget lasts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cluster.executor import Event, Task
from core import registry
from core.analyzer import file_of
from core.config import to_mapping
from jobs import provenance
from jobs.keys import get, plug_in_fields
from jobs.plan import PlannedTrial
from jobs.study import Budget, Study


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


class Listed:
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


class Orders:
    """The feed of an executor: the source's trials as tasks, until the budget is spent.

    Attributes:
        given: every trial handed out, by its key.
        spent: whether the budget ended it.
    """

    def __init__(self, source: Source, shared: Mapping[str, Any], budget: Budget) -> None:
        self.given: dict[str, PlannedTrial] = {}
        self.spent = False
        self._source, self._shared, self._budget = source, shared, budget
        self._began = time.monotonic()

    def take(self) -> Task | None:
        """The next task."""
        self.spent = self.spent or self._is_spent()
        following = None if self.spent else self._source.take()
        if following is None:
            return None
        trial = following.trial
        self.given[trial.trial_key] = trial
        return Task(trial.trial_key, {**self._shared, **_own(trial), **following.extra})

    def hear(self, event: Event) -> None:
        """Passes on what became of a trial."""
        self._source.hear(event)

    def _is_spent(self) -> bool:
        hours, trials = self._budget.hours, self._budget.trials
        if trials is not None and len(self.given) >= trials:
            return True
        return hours is not None and time.monotonic() - self._began >= hours * 3600


def shared(study: Study, results: str, plug_ins: Sequence[Path], *, device: str) -> dict[str, Any]:
    """What the orders of all trials of a run have in common.

    Raises:
        UserError: a plug-in may not be run.
    """
    env = provenance.environment()
    resources = study.resources
    return {
        "study": study.name,
        "results": results,
        "plug_ins": [registry.checked(file) for file in plug_ins],
        "code_hash": provenance.code_hash(tuple(plug_ins)),
        "env": env,
        "env_hash": provenance.environment_hash(env),
        "metric": study.select.metric,
        "mode": study.select.mode,
        "save_model": study.select.save_model,
        "threads": resources.cpu,
        "device": device,
        "gpu": resources.gpu,
        "memory_bytes": None if resources.memory_gb is None else int(resources.memory_gb * 1e9),
    }


def _own(trial: PlannedTrial) -> dict[str, Any]:
    return {
        "trial_key": trial.trial_key,
        "config_key": trial.config_key,
        "seed": trial.seed,
        "trial": to_mapping(trial.config),
        "parameters": dict(trial.parameters),
        "data_hash": trial.data_hash,
    }


def plug_in_files(study: Study) -> tuple[Path, ...]:
    """The user's own plug-in files that a study's trials may load."""
    fields = [key for _, key in plug_in_fields()]
    chosen = {name for one in fields if (name := get(study.trial, f"{one}.name")) is not None}
    chosen |= {
        name
        for key, one in study.space.items()
        for value in one.examples
        if (name := _plug_in_name(key, value, fields)) is not None
    }
    chosen |= {named[0] for value in _analyzers(study) if (named := file_of(value))}
    return tuple(sorted(Path(name) for name in chosen if registry.is_path(name)))


def _analyzers(study: Study) -> list[str]:
    """What the study may split texts by."""
    data = study.space.get("data")
    values = [get(study.trial, "data.analyzer")]
    values += study.space["data.analyzer"].examples if "data.analyzer" in study.space else []
    values += [one.get("analyzer") for one in data.examples if isinstance(one, Mapping)] if data else []
    return [value for value in values if isinstance(value, str)]


def _plug_in_name(key: str, value: Any, fields: Sequence[str]) -> str | None:
    if key in {f"{one}.name" for one in fields}:
        return value
    if key in fields:
        return value["name"] if isinstance(value, Mapping) else value
    return None
