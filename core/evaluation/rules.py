"""The table of rules by which the course of a trial is judged; `core.evaluation.health` applies it.

Bounds start from `research/methods.md` section 6 of the project's notes, where it names one. The others, and the
changes to those, come from runs made to show a fault, beside healthy ones: `benchmarks/pathologies.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

EMPTY = "EMPTY_CLUSTERS"
"""The code whose label has the number of clusters."""
DATED = "COLLAPSED"
"""The code whose label has the epoch."""


class Change(NamedTuple):
    """What to change: a parameter's key (or part of the data), and in which way."""

    key: str
    how: str

    def __str__(self) -> str:
        return f"{self.how} {self.key}"


@dataclass(frozen=True)
class Condition:
    """A signal beyond a bound.

    Attributes:
        signal: its name.
        relation: the side of the bound that is a fault.
        bound: the bound; a factor of the signal `times`, or added to the signal `plus`, where there is one.
        times: the name of a signal, or empty.
        plus: the name of a signal, or empty.
    """

    signal: str
    relation: Literal["<", ">"]
    bound: float
    times: str = ""
    plus: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The signals that it needs."""
        return tuple(filter(None, (self.signal, self.times, self.plus)))

    def holds(self, values: Mapping[str, float]) -> bool:
        """Whether it holds for the values of its signals; a missing one or NaN never does."""
        if any(name not in values for name in self.names):
            return False
        bound = self.bound * values[self.times] if self.times else self.bound + values.get(self.plus, 0.0)
        return values[self.signal] < bound if self.relation == "<" else values[self.signal] > bound

    def __str__(self) -> str:
        if self.times:
            return f"{self.signal} {self.relation} {self.bound:g} * {self.times}"
        if self.plus:
            return f"{self.signal} {self.relation} {self.plus} {'-' if self.bound < 0 else '+'} {abs(self.bound):g}"
        return f"{self.signal} {self.relation} {self.bound:g}"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One row of the table.

    Attributes:
        code: its name in verdicts.
        cases: it is raised if all conditions of one of the cases hold. The first condition's signal decides which
            epochs count; of the others, the last value up to such an epoch does.
        window: for so many epochs that have the signal, one after the other.
        when: `now`: up to the last one, so a trial that has recovered is well; `start`: from the first one;
            `ever`: anywhere.
        after: the share of the epochs before which it is not applied.
        source: of the bound.
        why: what it means, as a sentence without its full stop.
        change: what to change, in the order in which to try it.
    """

    code: str
    cases: tuple[tuple[Condition, ...], ...]
    window: int = 1
    when: Literal["now", "start", "ever"] = "now"
    after: float = 0.0
    source: str
    why: str
    change: tuple[Change, ...]

    @property
    def signals(self) -> tuple[str, ...]:
        """The names of all its signals, each once."""
        return tuple(dict.fromkeys(name for case in self.cases for one in case for name in one.names))

    @property
    def bound(self) -> str:
        """The conditions as text."""
        return ", or ".join(" and ".join(map(str, case)) for case in self.cases)


_NOTES = "methods.md §6"
_RUNS = "benchmarks/pathologies.py"

RULES: tuple[Rule, ...] = (
    Rule(
        code="DIVERGED",
        cases=((Condition("loss_ratio", ">", 2.0),),),
        when="ever",
        source=_RUNS,
        why="The loss is not finite, or twice that of the first epoch",
        change=(Change("optimiser.learning_rate", "lower"), Change("optimiser.warmup", "raise")),
    ),
    Rule(
        code="COLLAPSED",
        cases=((Condition("marginal_entropy", "<", 0.5),),),
        source=f"warnings of conclus 0.2; {_NOTES} has .8",
        why="Most samples share few clusters",
        change=(
            Change("method.entropy_weight", "raise"),
            Change("optimiser.learning_rate", "lower"),
            Change("batch_size", "raise"),
        ),
    ),
    Rule(
        code=EMPTY,
        cases=((Condition("clusters_empty", ">", 0.5),),),
        after=0.5,
        source=_NOTES,
        why="Clusters have no sample",
        change=(Change("n_clusters", "lower"), Change("method.entropy_weight", "raise"), Change("epochs", "raise")),
    ),
    Rule(
        code="BELOW_INPUT",
        cases=((Condition("nmi", "<", -0.02, plus="input_kmeans_nmi"),),),
        source="warnings of conclus 0.2",
        why="The NMI is below that of k-means of the input: the training has lost what the input has",
        change=(Change("epochs", "raise"), Change("views", "weaken"), Change("optimiser.learning_rate", "lower")),
    ),
)
