"""The sections of a study file beside its trial and space: how it selects, what it may use, and when it ends."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from core.config.schema import Bounds, Place, PositiveFloat, PositiveInt
from core.evaluation.names import AT_THE_END
from core.evaluation.rules import RULES
from jobs.study.search import Search

SECONDS = "seconds"
"""A trial's time, which is no score: it may be one of several metrics and in a constraint, and does not rank."""
Side = Literal["at_least", "at_most"]


@dataclass(frozen=True, kw_only=True)
class Select:
    """The metric by which configurations are ranked, those that compete with it, and what a configuration must keep.

    Attributes:
        metric: a score, a loss or a `health` signal; for data without labels also `consensus`. `best.nmi` is the value
            at a trial's best epoch, `mean5.nmi` the mean of its last five scorings; within a trial the last value
            counts. Without it, the first of `metrics` ranks.
        mode: whether larger (`max`) or smaller (`min`) values of `metric` are better; left out: as is declared of it.
        metrics: two or more metrics, as `[nmi, seconds]`: tables and charts show which configurations no other one
            beats in all of them, the Pareto front. `seconds` is a trial's time.
        constraints: by metric, the least or the greatest mean over seeds, as `health.imbalance_pred: {at_most: 20}`. A
            configuration that breaks one is never the best; `search: optuna` avoids it, other searches run it.
        save_model: whether each trial saves its weights at its best epoch (`best_model.pt` and `.safetensors`).
        save_assignments: which trials keep the cluster of each sample, for `conclus assign`: all (`true`), none
            (`false`), or, without a value, the best so far.
        save_state: whether each finished trial keeps its state, from which the study goes on when `trial.epochs` is
            raised.
    """

    metric: str = "nmi"
    mode: Literal["max", "min"] = "max"
    metrics: tuple[str, ...] = ()
    constraints: Mapping[str, Mapping[Side, float]] | None = None
    save_model: bool = False
    save_assignments: bool | None = None
    save_state: bool = False


def first_ranks(select: Any) -> Any:
    """The section `select` as it is written, with the first of its metrics as the one that ranks if none is named."""
    metrics = select.get("metrics") if isinstance(select, Mapping) else None
    if isinstance(metrics, list | tuple) and metrics and "metric" not in select:
        return {**select, "metric": metrics[0]}
    return select


LATER = "--set budget.until=…"


def moment(seconds: float) -> str:
    """A moment in seconds since 1970, in local time, as 2026-12-01 18:00; with its seconds if it has any."""
    at = datetime.fromtimestamp(int(seconds)).astimezone()
    return f"{at:%Y-%m-%d %H:%M:%S}".removesuffix(":00")


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
        if self.until is None:
            return None
        # As a local time, in which it is told, it may fall before the year 1.
        return datetime.fromisoformat(self.until).astimezone().timestamp()

    @property
    def over(self) -> str:
        """A sentence if the moment of `until` is past, else empty."""
        end = self.end()
        if end is None or end > time.time():
            return ""
        return f"budget.until, {moment(end)}, is over: give a later moment, as by {LATER}"


Cards = Annotated[float, Bounds(low=0, high=1, why="a trial trains on one card, so a second one would lie idle")]
Share = Annotated[float, Bounds(low=0, low_open=True, high=1)]


@dataclass(frozen=True, kw_only=True)
class Resources:
    """The resources of one trial while it runs.

    Attributes:
        cpu: cores, one thread each.
        gpu: GPUs, at most 1; with a fraction, several trials share one. The fraction caps what a trial may allocate of
            the card's memory; it isolates nothing: trials on one card slow each other down. A MIG slice counts as 1.
        accelerator: the kind of GPU, by Ray's name for it (`A100`, `H100`, `T4`); any by default.
        custom: amounts of Ray's custom resources, by the names that nodes of the cluster were started with.
        at_most: the share of the machines that the study's trials may use at once, such as 0.5; at least one trial.
        memory_gb: main memory (10^9 bytes) beyond that of an idle process. Only the trial that needs more fails, as
            OUT_OF_MEMORY. Not limited by default.
        timeout_minutes: a trial that finishes no epoch in this time is ended and tried again.
    """

    cpu: PositiveInt = 1
    gpu: Cards = 0.0
    accelerator: str | None = None
    custom: Mapping[str, PositiveFloat] | None = None
    at_most: Share = 1.0
    memory_gb: PositiveFloat | None = None
    timeout_minutes: PositiveFloat | None = 60.0


Code = Literal[
    "DIVERGED",
    "COLLAPSED",
    "EMPTY_CLUSTERS",
    "OVERCONFIDENT",
    "STALLED",
    "UNSTABLE",
    "VIEWS_TOO_EASY",
    "VIEWS_TOO_HARD",
    "CONSTANT_FEATURES",
    "DUPLICATES",
    "ONE_CLASS",
    "AT_CHANCE",
    "IMBALANCED",
    "TOO_EQUAL",
    "BELOW_INPUT",
    "TRAINING_DID_NOT_HELP",
    "TOPIC_COLLAPSE",
    "DEAD_TOPICS",
    "CRITIC_WON",
]


@dataclass(frozen=True, kw_only=True)
class Health:
    """What is done with a trial in which the rules of health find something, see health.md. No part of a trial's key.

    Attributes:
        stop: codes; a trial in which one is found ends after this epoch as `stopped`, and does not start again while
            the code is listed. `BELOW_INPUT` and `TRAINING_DID_NOT_HELP` can be none of them: they are known in the
            last epoch only.
    """

    stop: tuple[Code, ...] = ()


Occasion = Literal["done", "paused", "diverged"]


@dataclass(frozen=True, kw_only=True)
class Notify:
    """Whom a run of the study tells of its end. It is in no copy of the study, and no part of a trial's key.

    Attributes:
        webhook: an address that gets a POST of JSON, as Slack, Mattermost, Teams and Discord take it. Left out, the
            environment variable CONCLUS_WEBHOOK names one.
        command: a command that gets the sentence on its standard input, run without a shell.
        on: `done`: nothing is left to run; `paused`: the run has ended and trials are left; `diverged`: the first trial
            that diverged, and the first that collapsed.
    """

    webhook: str | None = None
    command: str | None = None
    on: tuple[Occasion, ...] = ("done", "paused", "diverged")


_OWN_KEYS = {"CPU": "cpu", "GPU": "gpu", "memory": "memory_gb"}
_SMALLEST = 0.0001
"""The smallest amount of a resource that Ray counts."""


def mistakes(
    *, select: Select, search: Search, budget: Budget, resources: Resources, health: Health, notify: Notify
) -> Iterator[tuple[Place, str]]:
    """The places and sentences of what is wrong with these sections beside their types."""
    if select.save_state and search.scheduler != "none":
        yield ("select", "save_state"), f"trials that {search.scheduler} stops or changes cannot go on: leave it out"
    if select.save_state and select.save_model:
        why = "the model of the best epoch is not kept where a trial goes on: leave one of the two out"
        yield ("select", "save_state"), why
    yield from _of_metrics(select, search)
    yield from _of_health(health, search)
    yield from _of_notify(notify)
    try:
        budget.end()
    except (ValueError, OverflowError):
        right = "a moment is needed, such as 2026-12-01T18:00 (local time) or 2026-12-01T18:00+02:00"
        yield ("budget", "until"), f"{budget.until!r} is wrong: {right}"
    if budget.gpu_hours is not None and not resources.gpu:
        yield (
            ("budget", "gpu_hours"),
            "the study's trials hold no GPU: give their share as resources: {gpu: 0.5}, or a budget of hours",
        )
    if resources.accelerator is not None and not resources.gpu:
        yield ("resources", "accelerator"), "names a kind of GPU, but trials ask for none: add gpu: 1, or a fraction"
    for name, amount in (resources.custom or {}).items():
        place = ("resources", "custom", name)
        if name in _OWN_KEYS:
            yield place, f"is not a custom resource: use resources.{_OWN_KEYS[name]}"
        elif amount < _SMALLEST or (amount > 1 and amount % 1):
            yield place, f"{amount:g} is wrong: a whole number, or a number from {_SMALLEST} to 1 is needed"


def _of_metrics(select: Select, search: Search) -> Iterator[tuple[Place, str]]:
    place = ("select", "metrics")
    if select.metrics and len({*select.metrics}) < max(len(select.metrics), 2):
        yield place, f"{list(select.metrics)} is wrong: two or more metrics are needed, none of them twice"
    elif select.metrics and select.metric not in select.metrics:
        yield place, f"{select.metric} ranks, so it is one of them: add it, or leave select.metric out"
    elif select.metrics and select.metric == SECONDS:
        yield place, f"{SECONDS}, a trial's time, does not rank: begin with a score, as [nmi, {SECONDS}]"
    for metric, limits in (select.constraints or {}).items():
        place = ("select", "constraints", metric)
        low, high = limits.get("at_least"), limits.get("at_most")
        if not limits:
            yield place, "a bound is needed: {at_least: …}, {at_most: …}, or both"
        elif low is not None and high is not None and low > high:
            yield place, f"at_least {low:g} is above at_most {high:g}: no value is allowed"
    if select.constraints and search.scheduler == "pbt":
        why = "the members of a population are compared by the metric alone: leave them out"
        yield ("select", "constraints"), why


def _of_health(health: Health, search: Search) -> Iterator[tuple[Place, str]]:
    if health.stop and search.scheduler == "pbt":
        yield ("health", "stop"), "the members of a population wait for each other, so none may end alone: leave it out"
    ends = {rule.code: rule for rule in RULES if rule.at_the_end}
    for code in dict.fromkeys(health.stop):
        if code in ends:
            late = ", ".join(name for name in ends[code].signals if name in AT_THE_END) or "it"
            yield ("health", "stop"), f"{code} can end no trial early, as only the last epoch has {late}: leave it out"


def _of_notify(notify: Notify) -> Iterator[tuple[Place, str]]:
    # The address may hold a key: it is not repeated.
    if notify.webhook is not None and not _is_webhook(notify.webhook):
        said = "an address is needed, such as https://hooks.example.org/…, without user name and password"
        yield ("notify", "webhook"), said
    try:
        words = notify.command is None or shlex.split(notify.command)
    except ValueError:
        words = ()
    if not words:
        yield ("notify", "command"), f"{notify.command!r} is wrong: a command is needed, with its quotes closed"


def _is_webhook(address: str) -> bool:
    """Whether it is one of http; with a user name and a password, the library would look up both as a host."""
    try:
        parts = urlsplit(address)
        is_whole = parts.hostname is not None and parts.port != 0  # Both raise where they are wrong.
    except ValueError:
        return False
    has_blank = re.search(r"\s", address) is not None
    return parts.scheme in {"http", "https"} and is_whole and "@" not in parts.netloc and not has_blank


SECTIONS = {
    "select": Select,
    "search": Search,
    "budget": Budget,
    "resources": Resources,
    "health": Health,
    "notify": Notify,
}
