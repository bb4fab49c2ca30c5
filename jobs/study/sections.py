"""The sections of a study file beside its trial and space: how it selects, what it may use, and when it ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from core.config.schema import NonNegativeFloat, PositiveFloat, PositiveInt
from jobs.study.search import Search


@dataclass(frozen=True, kw_only=True)
class Select:
    """The metric by which configurations are ranked.

    Attributes:
        metric: a score, a loss or a `health` signal; for data without labels also `consensus`.
        mode: whether larger (`max`) or smaller (`min`) values are better.
        save_model: whether each trial saves its weights at its best epoch (`best_model.pt` and `.safetensors`).
    """

    metric: str = "nmi"
    mode: Literal["max", "min"] = "max"
    save_model: bool = False


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The limit after which a run of the study starts no more trials; running trials still end. The next run continues.

    Attributes:
        hours: hours since the run began.
        trials: number of trials that the run may start.
        until: the moment by which the run has left, as 2026-12-01T18:00 (local time) or 2026-12-01T18:00+02:00. Trials
            that run are kept resumable; one that would not get through an epoch does not start. In a Slurm job it is
            the job's end, if that is earlier.
        gpu_hours: card-hours of all attempts at the study's trials, of earlier runs and failed ones, too. Once they are
            used up, the next run starts nothing until this number is raised.
    """

    hours: PositiveFloat | None = None
    trials: PositiveInt | None = None
    until: str | None = None
    gpu_hours: PositiveFloat | None = None

    def end(self) -> float | None:
        """The moment of `until` in seconds since 1970; None without one.

        Raises:
            ValueError: it is no moment.
        """
        return None if self.until is None else datetime.fromisoformat(self.until).timestamp()


@dataclass(frozen=True, kw_only=True)
class Resources:
    """The resources of one trial while it runs.

    Attributes:
        cpu: cores, one thread each.
        gpu: GPUs; a fraction shares one.
        memory_gb: main memory (10^9 bytes) beyond that of an idle process. Only the trial that needs more fails, as
            OUT_OF_MEMORY. Not limited by default.
        timeout_minutes: a trial that finishes no epoch in this time is ended and tried again.
    """

    cpu: PositiveInt = 1
    gpu: NonNegativeFloat = 0.0
    memory_gb: PositiveFloat | None = None
    timeout_minutes: PositiveFloat | None = 60.0


SECTIONS = {"select": Select, "search": Search, "budget": Budget, "resources": Resources}
