"""Turns trials into tasks for workers, one after the other, until the budget is spent."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cluster.executor import Event, Task
from core.config import plugins
from core.config.trial import to_mapping
from jobs.planning.plan import PlannedTrial
from jobs.results import provenance
from jobs.search.source import Source
from jobs.study.sections import Budget
from jobs.study.study import Study


class Orders:
    """Feeds an executor with the source's trials as tasks, until the budget is spent.

    Attributes:
        given: every trial that was handed out, by its key.
        spent: whether the budget ended the run.
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
        return Task(trial.trial_key, {**self._shared, **_of_trial(trial), **following.extra})

    def hear(self, event: Event) -> None:
        """Passes an event of a trial to the source."""
        self._source.hear(event)

    def _is_spent(self) -> bool:
        hours, trials = self._budget.hours, self._budget.trials
        if trials is not None and len(self.given) >= trials:
            return True
        return hours is not None and time.monotonic() - self._began >= hours * 3600


def shared(study: Study, results: str, plug_ins: Sequence[Path], *, device: str) -> dict[str, Any]:
    """The fields that the orders of all trials of a run have in common.

    Raises:
        UserError: a plug-in is not allowed to run.
    """
    env = provenance.environment()
    resources = study.resources
    return {
        "study": study.name,
        "results": results,
        "plug_ins": [plugins.checked(file) for file in plug_ins],
        "code_hash": provenance.code_hash(tuple(plug_ins)),
        "env": env,
        "env_hash": provenance.environment_hash(env),
        "by": provenance.person(),
        "metric": study.select.metric,
        "mode": study.select.mode,
        "save_model": study.select.save_model,
        "threads": resources.cpu,
        "device": device,
        "gpu": resources.gpu,
        "memory_bytes": None if resources.memory_gb is None else int(resources.memory_gb * 1e9),
    }


def _of_trial(trial: PlannedTrial) -> dict[str, Any]:
    return {
        "trial_key": trial.trial_key,
        "config_key": trial.config_key,
        "seed": trial.seed,
        "trial": to_mapping(trial.config),
        "parameters": dict(trial.parameters),
        "data_hash": trial.data_hash,
        "contents": {key: dict(one) for key, one in trial.plug_ins.items()},
    }
