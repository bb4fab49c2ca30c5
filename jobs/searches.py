"""What a search asks of the space and of the trial, and the defaults that depend on them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from jobs.space import Range, Uniform

if TYPE_CHECKING:
    from jobs.study import Search

Mistake = tuple[tuple[str, ...], str]

SMALLEST_POPULATION = 4
"""Below it a quarter of the population is no member at all."""


def mistakes(search: Search, trial: Mapping[str, Any], space: Mapping[str, Range]) -> Iterator[Mistake]:
    """What is wrong with a search over this space, each with its place in the study file."""
    if search.name != "grid" and search.trials is None:
        yield ("search",), f"{search.name} needs 'trials', the number of cells to draw"
    if search.name == "grid":
        yield from _continuous(space)
    if search.name == "optuna" and not space:
        yield ("search",), "optuna needs a space to search"
    if search.scheduler == "pbt":
        yield from _pbt(search, space)
    if search.grace is not None and search.grace >= trial["epochs"]:
        yield ("search", "grace"), f"{search.grace} epochs are not fewer than the trial's {trial['epochs']}"


def _continuous(space: Mapping[str, Range]) -> Iterator[Mistake]:
    for key, one in space.items():
        if one.finite is None:
            yield (
                ("space", key),
                "a grid cannot list a continuous range: use grid, or search: {name: random, trials: …}",
            )


def _pbt(search: Search, space: Mapping[str, Range]) -> Iterator[Mistake]:
    if search.name != "random":
        yield ("search", "scheduler"), "pbt draws its population: it needs name: random, with trials: its size"
    elif search.trials is not None and search.trials < SMALLEST_POPULATION:
        yield ("search", "trials"), f"a population needs {SMALLEST_POPULATION} members, better 10 or more"
    for key, one in space.items():
        real = isinstance(one, Uniform) or all(isinstance(value, float) for value in one.examples)
        if key.split(".")[0] not in {"optimiser", "method", "views"} or not real:
            yield (
                ("space", key),
                "pbt changes values while a trial trains: only real numbers of optimiser, method and views can vary",
            )


def halving_grace(search: Search, epochs: int) -> int:
    """The epochs that ASHA gives every trial."""
    return search.grace or max(1, math.ceil(epochs / search.reduction**2))


def exchange_epochs(search: Search, epochs: int) -> list[int]:
    """The epochs at which a population stands still to exchange, the last epoch included."""
    interval = search.grace or max(1, math.ceil(epochs / 10))
    return [*range(interval, epochs, interval), epochs]
