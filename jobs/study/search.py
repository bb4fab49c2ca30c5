"""The search section of a study: how configurations are drawn from the space, its checks and its defaults."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from core.config.schema import Bounds, NonNegativeInt, PositiveInt
from jobs.study.space import Range, Uniform, Values, walk

Mistake = tuple[tuple[str, ...], str]

SMALLEST_POPULATION = 4
"""In a smaller population, a quarter is less than one member."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """How configurations are chosen from the space, and whether trials run to their end.

    Attributes:
        name: `grid` runs all configurations; `random` draws `trials` of them, spread evenly; `optuna` (TPE) chooses
            `trials` of them by the results so far.
        trials: number of configurations; with `scheduler: pbt` the size of the population.
        seed: the seed of the search's own draws, not of the trials.
        scheduler: `asha` stops trials that fall behind; `pbt` lets them copy weights and change values.
        grace: epochs before `asha` may stop a trial, by default a ninth of all; or epochs between two exchanges of
            `pbt`, by default a tenth.
        reduction: `asha` continues one trial in this many.
    """

    name: Literal["grid", "random", "optuna"] = "grid"
    trials: PositiveInt | None = None
    seed: NonNegativeInt = 0
    scheduler: Literal["none", "asha", "pbt"] = "none"
    grace: PositiveInt | None = None
    reduction: Annotated[float, Bounds(low=1, low_open=True)] = 3.0


def mistakes(search: Search, trial: Mapping[str, Any], space: Mapping[str, Range]) -> Iterator[Mistake]:
    """The mistakes of a search over this space, each with its place in the study file."""
    if search.name != "grid" and search.trials is None:
        yield ("search",), f"{search.name} needs 'trials', the number of configurations to draw"
    if search.name == "grid":
        yield from _continuous(space)
    if search.name == "optuna" and not space:
        yield ("search",), "optuna needs a space to search"
    if search.scheduler == "pbt":
        yield from _pbt(search, space)
    if search.grace is not None and search.grace >= trial["epochs"]:
        yield ("search", "grace"), f"{search.grace} epochs are not fewer than the trial's {trial['epochs']}"


def _continuous(space: Mapping[str, Range]) -> Iterator[Mistake]:
    for place, _, one, _ in walk(space):
        if one.finite is None:
            yield (
                place,
                "a grid cannot list a continuous range: use grid, or search: {name: random, trials: …}",
            )


def _pbt(search: Search, space: Mapping[str, Range]) -> Iterator[Mistake]:
    if search.name != "random":
        yield ("search", "scheduler"), "pbt draws its population: it needs name: random, and trials: its size"
    elif search.trials is not None and search.trials < SMALLEST_POPULATION:
        yield ("search", "trials"), f"a population needs {SMALLEST_POPULATION} members, better 10 or more"
    for key, one in space.items():
        if isinstance(one, Values) and one.branches:
            yield ("space", key), "pbt changes values while a trial trains: no value can have a space of its own"
            continue
        real = isinstance(one, Uniform) or all(isinstance(value, float) for value in one.examples)
        if key.split(".")[0] not in {"optimiser", "method", "views"} or not real:
            yield (
                ("space", key),
                "pbt changes values while a trial trains: only real numbers of optimiser, method and views can vary",
            )


def halving_grace(search: Search, epochs: int) -> int:
    """The number of epochs that ASHA gives every trial."""
    return search.grace or max(1, math.ceil(epochs / search.reduction**2))


def exchange_epochs(search: Search, epochs: int) -> list[int]:
    """The epochs at which a population pauses to exchange, with the last epoch."""
    interval = search.grace or max(1, math.ceil(epochs / 10))
    return [*range(interval, epochs, interval), epochs]
