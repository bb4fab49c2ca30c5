"""The space of a study: ranges, the configurations of a search, and an order in which any prefix is balanced.

A space is a mapping of dotted keys to ranges. A value of a list may have a space of its own, which applies only where
this value is chosen: `{method: {choice: [cc, {name: tcl, space: {threshold: {grid: [0.9, 0.95]}}}]}}`. Then `cc` is one
configuration, and `tcl` is two.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Range(Protocol):
    """The values that one key may take."""

    def at(self, u: float) -> Any:
        """The value at `u` in [0, 1)."""
        ...

    @property
    def examples(self) -> tuple[Any, ...]:
        """All values of a finite range, the ends of a continuous one; if these are valid, all values are."""
        ...

    @property
    def finite(self) -> tuple[Any, ...] | None:
        """All values if they can be listed, else None."""
        ...


@dataclass(frozen=True)
class Values:
    """An explicit list: `grid` or `choice`."""

    values: tuple[Any, ...]
    branches: tuple[Mapping[str, Range], ...] = ()
    """The space of each value; without any entry, no value has one."""

    def at(self, u: float) -> Any:
        """Equal shares of [0, 1), in order."""
        return self.values[int(u * len(self.values))]

    @property
    def examples(self) -> tuple[Any, ...]:
        """All of them."""
        return self.values

    @property
    def finite(self) -> tuple[Any, ...]:
        """All of them."""
        return self.values


@dataclass(frozen=True)
class Uniform:
    """Real numbers, uniformly distributed."""

    low: float
    high: float

    def at(self, u: float) -> float:
        """Linear between the ends."""
        return self.low + u * (self.high - self.low)

    @property
    def examples(self) -> tuple[float, float]:
        """The ends."""
        return (self.low, self.high)

    @property
    def finite(self) -> None:
        """None: real numbers cannot be listed."""
        return


class LogUniform(Uniform):
    """Positive real numbers whose logarithms are uniformly distributed."""

    def at(self, u: float) -> float:
        """Linear between the logarithms of the ends."""
        return min(math.exp(math.log(self.low) + u * (math.log(self.high) - math.log(self.low))), self.high)


@dataclass(frozen=True)
class Integer:
    """Whole numbers from `low` to `high`, both included."""

    low: int
    high: int

    def at(self, u: float) -> int:
        """Equal shares of [0, 1), in order."""
        return self.low + int(u * (self.high - self.low + 1))

    @property
    def examples(self) -> tuple[int, int]:
        """The ends."""
        return (self.low, self.high)

    @property
    def finite(self) -> tuple[int, ...]:
        """All of them."""
        return tuple(range(self.low, self.high + 1))


LISTS = ("grid", "choice")
INTERVALS = {"uniform": Uniform, "log_uniform": LogUniform, "int": Integer}
KINDS = (*LISTS, *INTERVALS)


def read_range(value: Any) -> Range:
    """The range described by `{kind: …}` in a study file.

    Raises:
        ValueError: it does not describe a range; the message says what would be right.
    """
    if not isinstance(value, Mapping) or len(value) != 1 or next(iter(value)) not in KINDS:
        raise ValueError(
            f"{_short(value)} is wrong: a range is needed, one of {', '.join(f'{{{kind}: […]}}' for kind in KINDS)}"
        )
    kind, content = next(iter(value.items()))
    if not isinstance(content, list) or not content:
        raise ValueError(f"{kind} needs a list, not {_short(content)}")
    if kind in LISTS:
        return _values(kind, content)
    return _interval(kind, content)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _values(kind: str, content: list[Any]) -> Values:
    repeated = [one for i, one in enumerate(content) if one in content[:i]]
    if repeated:
        raise ValueError(f"{kind} has {_short(repeated[0])} twice; keep one (repeats over seeds go into 'seeds')")
    return Values(tuple(content))


def _interval(kind: str, content: list[Any]) -> Range:
    wanted = int if kind == "int" else (int, float)
    if len(content) != 2 or not all(isinstance(one, wanted) and not isinstance(one, bool) for one in content):
        raise ValueError(
            f"{kind} needs [low, high], two {'whole ' if kind == 'int' else ''}numbers, not {_short(content)}"
        )
    low, high = content
    if not low < high:
        raise ValueError(f"{kind}: [{low}, {high}] is empty; the lower end comes first")
    if kind == "log_uniform" and low <= 0:
        raise ValueError(f"log_uniform needs ends above 0, but the lower one is {low}")
    return INTERVALS[kind](low, high)


Space = Mapping[str, Range]


def branch(one: Range, value: Any) -> Space:
    """The ranges that apply only where a range has this value."""
    return one.branches[one.values.index(value)] if isinstance(one, Values) and one.branches else {}


def walk(
    space: Space, place: tuple[str, ...] = ("space",), chosen: Mapping[str, Any] | None = None
) -> Iterator[tuple[tuple[str, ...], str, Range, Mapping[str, Any]]]:
    """Every range, also those of branches: its place for messages, its key, itself, and the values it depends on.

    tcl's threshold has the place `space.method.tcl.threshold`, and depends on `{"method": {"name": "tcl"}}`.
    """
    for key, one in space.items():
        own = (*place, within([*(chosen or ("",))][-1], key))
        yield own, key, one, chosen or {}
        for value in one.examples:
            yield from walk(branch(one, value), (*own, label(value)), {**(chosen or {}), key: value})


def within(owner: str, key: str) -> str:
    """What a key is called in the space of a value of `owner`: `threshold` for `method.threshold` within `method`."""
    return key.removeprefix(f"{owner.removesuffix('.name')}.") if owner else key


def written(space: Space) -> dict[str, Any]:
    """The space as a study file has it."""
    return {key: _written(one) for key, one in space.items()}


def _written(one: Range) -> dict[str, Any]:
    if not isinstance(one, Values):
        return {next(kind for kind, own in INTERVALS.items() if type(one) is own): list(one.examples)}
    plug_ins = {i: value if isinstance(value, Mapping) else {"name": value} for i, value in enumerate(one.values)}
    own = {i: written(branch(one, value)) for i, value in enumerate(one.values)}
    return {"grid": [{**plug_ins[i], "space": own[i]} if own[i] else value for i, value in enumerate(one.values)]}


def narrowed(space: Space, chosen: Mapping[str, Any]) -> dict[str, Range]:
    """The space where these keys have these values alone."""
    return {
        key: Values((chosen[key],), (branch(one, chosen[key]),)) if key in chosen else one for key, one in space.items()
    }


def label(value: Any) -> str:
    """What a value is called in a message: of a plug-in with options its name alone."""
    return str(value["name"]) if isinstance(value, Mapping) and "name" in value else str(value)


def sizes(space: Space) -> list[int]:
    """For each key the number of its values, each counted as often as its own space has configurations."""
    return [sum(math.prod(sizes(branch(one, value))) for value in one.finite or ()) for one in space.values()]


def grid(space: Space) -> Iterator[dict[str, Any]]:
    """Every combination of finite ranges, the last key fastest."""
    if not space:
        yield {}
        return
    (key, one), *others = space.items()
    for value in one.finite or ():
        for own in grid(branch(one, value)):
            for rest in grid(dict(others)):
                yield {key: value} | own | rest


def covering(space: Space) -> list[dict[str, Any]]:
    """A few configurations that together have each example of each range."""
    axes = [
        [{key: value} | own for value in one.examples for own in covering(branch(one, value))]
        for key, one in space.items()
    ]
    count = max(map(len, axes), default=1)
    parts = [[axis[min(place, len(axis) - 1)] for axis in axes] for place in range(count)]
    return [{key: value for part in one for key, value in part.items()} for one in parts]


def sample(space: Space, count: int, seed: int) -> list[dict[str, Any]]:
    """At most `count` different configurations; with a larger `count` the first ones stay the same.

    The points are Roberts' low-discrepancy sequence R_d, shifted at random by `seed`: unlike independent draws, every
    prefix covers each range about evenly. Values with a space of their own take turns, whatever its size, and each
    combination of them has a sequence of its own. It returns fewer if the space has no more.

    Reference:
        M. Roberts, "The Unreasonable Effectiveness of Quasirandom Sequences" (2018).
    """
    cells: list[dict[str, Any]] = []
    for cell in itertools.islice(_drawn(space, seed), 50 * count):
        if cell not in cells:
            cells.append(cell)
        if len(cells) == count:
            break
    return cells


def _drawn(space: Space, seed: int) -> Iterator[dict[str, Any]]:
    """Configurations without end."""
    forks = {key: one for key, one in space.items() if isinstance(one, Values) and one.branches}
    plain = {key: one for key, one in space.items() if key not in forks}
    if not forks:
        for point in _r_sequence(len(plain), seed):
            yield {key: one.at(u) for (key, one), u in zip(plain.items(), point, strict=True)}
        return
    turns: list[tuple[dict[str, Any], Iterator[dict[str, Any]]]] = []
    for places in balanced_order([len(one.values) for one in forks.values()]):
        chosen = list(zip(forks.items(), places, strict=True))
        inner = {key: one for (_, fork), place in chosen for key, one in fork.branches[place].items()}
        turns.append(({key: fork.values[place] for (key, fork), place in chosen}, _drawn(plain | inner, seed)))
    for fixed, rest in itertools.cycle(turns):
        yield fixed | next(rest)


def _r_sequence(dimensions: int, seed: int) -> Iterator[list[float]]:
    root = 1.5
    for _ in range(64):  # the fixed point of x^(d+1) = x + 1, the generalised golden ratio
        root = (1 + root) ** (1 / (dimensions + 1))
    steps = [root ** -(j + 1) for j in range(dimensions)]
    shifts = [_uniform(f"{seed}:{j}") for j in range(dimensions)]
    for i in itertools.count():
        yield [(shift + i * step) % 1.0 for shift, step in zip(shifts, steps, strict=True)]


def _uniform(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


def indices(sizes: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """All index tuples of axes of these sizes, the last axis fastest."""
    return itertools.product(*(range(size) for size in sizes))


def balanced_order(sizes: Sequence[int], *, mixed: bool = True) -> list[tuple[int, ...]]:
    """All index tuples of axes of these sizes, ordered so that any prefix uses each axis's values equally often.

    In every prefix, the counts of two values of one axis differ by at most 1. Stepping all axes forward together visits
    lcm(sizes) tuples with each value equally often; the walk then restarts at a tuple not yet visited. With `mixed`,
    the restarts are shuffled by a fixed seed, which also spreads pairs of values; without, they are in order.
    """
    length = math.lcm(*sizes)
    starts = list(indices(sizes))
    if mixed:
        random.Random(0).shuffle(starts)  # noqa: S311 - an order, not a secret
    seen: set[tuple[int, ...]] = set()
    order: list[tuple[int, ...]] = []
    for start in starts:
        if start not in seen:
            walk = [tuple((i + k) % size for i, size in zip(start, sizes, strict=True)) for k in range(length)]
            seen.update(walk)
            order += walk
    return order
