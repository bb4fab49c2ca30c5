"""Turns trials into tasks for workers, one after the other, until the budget is spent."""

from __future__ import annotations

import math
import os
import statistics
import time
from bisect import insort
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cluster.executor import Event, Task
from core.config import plugins
from core.config.trial import to_mapping
from core.errors import counted
from jobs.planning.forecast import MARGIN
from jobs.planning.plan import PlannedTrial
from jobs.planning.source import Next, Source, TrialList
from jobs.present.tables import amount
from jobs.results import provenance
from jobs.study.plug_ins import tracker_files
from jobs.study.sections import Budget, moment
from jobs.study.study import Study

LEAVE_SECONDS = 30.0
"""So long before its end a run stops: what runs is saved, and the results are tidied."""


class Orders:
    """Feeds an executor with the source's trials as tasks, until the budget is spent.

    Args:
        source: what chooses the trials.
        shared: the fields that all orders have in common, see `shared`.
        budget: what ends the run.
        begun: the keys of the trials of which an earlier attempt may have left something; None: any may.

    Attributes:
        taken: the keys of all trials that were handed out.
        given: the orders of those that run, by their keys.
        advanced: whether a trial got through an epoch.
        pace: forecasts the seconds of an epoch.
        cards: counts the card-hours of the study.
        end: the moment by which the run has to leave, in seconds since 1970; None without one.
        left: whether the run ended because of that moment.
    """

    def __init__(
        self, source: Source, shared: Mapping[str, Any], budget: Budget, begun: Container[str] | None = None
    ) -> None:
        self.taken: set[str] = set()
        self.given: dict[str, Mapping[str, Any]] = {}
        self.advanced = self.left = False
        self.pace, self.end, self.cards = Pace(), end_of(budget), CardHours()
        self._source, self._shared, self._budget, self._begun = source, shared, budget, begun
        self._began = time.monotonic()
        self._limit = ""
        self._late = 0

    @property
    def limit(self) -> str:
        """What ended the run, in words; empty while nothing has."""
        if not self._late or self.end is None:
            return self._limit
        kept = f"{counted(self._late, 'trial')} did not start: not enough time for an epoch"
        return f"{_until(self.end)}: {kept}"

    def take(self) -> Task | None:
        """The next task."""
        self._limit = self._limit or self._spent()
        following = None if self._limit else self._in_time()
        if following is None:
            return None
        trial = following.trial
        key = trial.trial_key
        again = self._begun is None or key in self._begun or key in self.taken
        self.taken.add(key)
        self.given[key] = order = {**self._shared, **_of_trial(trial), **following.extra, "again": again}
        return Task(key, order)

    def hear(self, event: Event) -> None:
        """Passes an event of a trial to the source."""
        if event.kind in {"reported", "ended"} or event.data.get("status") in {"ok", "paused"}:
            self.advanced = True
        if self.end is not None:
            self.pace.hear(event)
        self.cards.hear(event)
        self._source.hear(event)
        if event.kind in {"finished", "ended", "died"}:
            self.given.pop(event.key, None)

    def over(self) -> None:
        """Takes note that the end has come."""
        if self.end is not None:
            self.left = True
            kept = "trials that ran are kept resumable" if self.taken else "there was no time to start a trial"
            self._limit = f"{_until(self.end)}: {kept}"

    def _spent(self) -> str:
        """The limit that is reached, in words; empty if none is."""
        hours, trials = self._budget.hours, self._budget.trials
        if trials is not None and len(self.taken) >= trials:
            return "the budget is spent"
        most, used = self._budget.gpu_hours, self.cards.used()
        if most is not None and used >= most:
            return f"the card-hours of the budget are used up: {amount(used)} of {most:,g}"
        over = hours is not None and time.monotonic() - self._began >= hours * 3600
        return "the hours of the budget are over" if over else ""

    def _in_time(self) -> Next | None:
        """The source's next trial that gets through an epoch before the end.

        Without time for a whole trial its epochs still count: the next run goes on from its checkpoint.
        """
        while (following := self._source.take()) is not None and self._is_late(following.trial):
            self._late, self.left = self._late + 1, True
            if not isinstance(self._source, TrialList):  # a search would choose one trial after the other in vain
                self._limit = _until(self.end or 0.0)
                return None
        return following

    def _is_late(self, trial: PlannedTrial) -> bool:
        left = math.inf if self.end is None else self.end - LEAVE_SECONDS - time.time()
        return left <= MARGIN * self.pace.epoch_seconds(trial.config_key)


class Pace:
    """Forecasts how long an epoch takes, from the attempts that have epochs.

    Args:
        known: Of stored attempts: the configuration's key, the seconds, and the number of epochs.
    """

    def __init__(self, known: Iterable[tuple[str, float | None, int | None]] = ()) -> None:
        self._seconds: dict[str, list[float]] = defaultdict(list)
        self._all: list[float] = []
        for attempt in known:
            self._add(*attempt)

    def hear(self, event: Event) -> None:
        """Takes in a trial that has ended."""
        if event.kind == "finished":
            self._add(event.data["config_key"], event.data["seconds"], event.data["epochs"])

    def _add(self, config_key: str, seconds: float | None, epochs: int | None) -> None:
        if seconds and epochs:
            self._seconds[config_key].append(seconds / epochs)
            insort(self._all, seconds / epochs)

    def epoch_seconds(self, config_key: str) -> float:
        """The median of the configuration's own attempts, else of all; 0 as long as there is none."""
        if known := self._seconds.get(config_key):
            return statistics.median(known)
        # The two in the middle of what is sorted already: each trial that is taken asks.
        middle = self._all[(len(self._all) - 1) // 2 : len(self._all) // 2 + 1]
        return statistics.fmean(middle or [0.0])


class CardHours:
    """Counts the card-hours of a study: those of stored attempts and of this run's, also while they run.

    Args:
        stored: The card-hours of stored attempts.
        share: The share of a GPU that each trial holds.
    """

    def __init__(self, stored: float = 0.0, share: float = 0.0) -> None:
        self._ended = stored
        self._share = share
        self._began: dict[str, float] = {}
        self._sum = 0.0

    def hear(self, event: Event) -> None:
        """Takes in an attempt that begins or has ended; one that begins again has ended before."""
        if event.kind != "reported" and (began := self._began.pop(event.key, None)) is not None:
            self._sum -= began
            self._ended += self._hours(time.monotonic() - began)
        if event.kind == "started":
            self._began[event.key] = began = time.monotonic()
            self._sum += began

    def used(self) -> float:
        """The card-hours so far."""
        # The running ones together, since each trial that is taken asks.
        return self._ended + (self._hours(len(self._began) * time.monotonic() - self._sum) if self._began else 0.0)

    def _hours(self, seconds: float) -> float:
        return seconds / 3600 * self._share


def end_of(budget: Budget) -> float | None:
    """The moment by which a run has to leave: that of the budget or the Slurm job's end, whichever is earlier."""
    job = os.environ.get("SLURM_JOB_END_TIME", "")
    ends = [budget.end(), float(job) if job.isdecimal() else None]
    return min((one for one in ends if one), default=None)


def _until(end: float) -> str:
    return f"until {moment(end)}"


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
        "plug_ins": [plugins.checked(file) for file in (*plug_ins, *tracker_files(study))],
        "track": study.track,
        "code_hash": provenance.code_hash(tuple(plug_ins)),
        "env": env,
        "env_hash": provenance.environment_hash(env),
        "by": provenance.person(),
        "metric": study.select.metric,
        "mode": study.select.mode,
        "save_model": study.select.save_model,
        "save_assignments": study.select.save_assignments,
        "save_state": study.select.save_state,
        "stop": study.health.stop,
        "limited": [*(study.select.constraints or ())],
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
