"""A metric over the values of one parameter while all other parameters are fixed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.analysis.data_sets import DATA
from jobs.analysis.trials import Factor, Trials, Vector


@dataclass(frozen=True, slots=True)
class Point:
    """The metric at one value of the parameter in one slice.

    Attributes:
        value: The parameter's value.
        mean: The metric's mean over repeats.
        minimum: The smallest.
        maximum: The largest.
        n: Number of repeats.
    """

    value: Any
    mean: float
    minimum: float
    maximum: float
    n: int


@dataclass(frozen=True, slots=True)
class Slice:
    """The metric over the values of one parameter, with all others fixed.

    Attributes:
        fixed: The fixed values of the other varied parameters, by dotted key.
        points: One per value of the parameter that was run.
    """

    fixed: Mapping[str, Any]
    points: tuple[Point, ...]


def slices(trials: Trials, key: str, own: Sequence[str]) -> list[Slice]:
    """The slices with at least two values of the parameter `key`, the longest first.

    Args:
        trials: Trials that have a value of the parameter.
        key: The parameter's dotted key.
        own: Parameters that change with it and are not fixed.
    """
    configurations = trials.groups([key, *own], seeds=False)
    factor = trials.factors[key]
    held = {name: one for name, one in trials.factors.items() if name not in {key, *own}}
    if len(trials.data.levels) > 1 and not key.startswith(DATA):
        held = {"data": trials.data} | {name: one for name, one in held.items() if not name.startswith(DATA)}
    order = np.argsort(configurations, kind="stable")
    starts = np.flatnonzero(np.diff(configurations[order], prepend=-1))
    groups = [rows for rows in np.split(order, starts)[1:] if len(set(factor.codes[rows].tolist())) > 1]
    found = [_slice(trials.values, factor, held, rows) for rows in groups]
    return sorted(found, key=lambda one: (-len(one.points), -sum(point.n for point in one.points)))


def _slice(values: Vector, factor: Factor, held: Mapping[str, Factor], rows: NDArray[np.int64]) -> Slice:
    fixed = {name: one.levels[code] for name, one in held.items() if (code := one.codes[rows[0]]) >= 0}
    codes = factor.codes[rows]
    points = [_point(factor.levels[code], values[rows[codes == code]]) for code in np.unique(codes)]
    return Slice(fixed, tuple(points))


def _point(value: Any, values: Vector) -> Point:
    return Point(value, float(values.mean()), float(values.min()), float(values.max()), len(values))
