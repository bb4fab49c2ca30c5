"""The table of rules by which the course of a trial is judged; `core.evaluation.health` applies it.

Bounds start from `research/methods.md` section 6 of the project's notes, where it names one. The others, and the
changes to those, come from runs made to show a fault, beside healthy ones: `benchmarks/pathologies.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from core.evaluation.names import AT_THE_END

EMPTY = "EMPTY_CLUSTERS"
"""The code whose label has the number of clusters."""
DATED = "COLLAPSED"
"""The code whose label has the epoch."""
NO_HELP = "TRAINING_DID_NOT_HELP"
"""The code of a trial whose answer are the clusters that were found before the training."""
OF_TOPIC_MODELS = "active_topics"
"""A signal that topic models alone have. There are often more topics than classes, and of very different sizes; and
k-means of the input finds the classes of documents better than most topic models do, NMF too."""


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

    def may_hold(self, values: Iterable[float]) -> bool:
        """Whether it can hold at one of these values of its signal, whatever the others are."""
        if self.times or self.plus:
            return True
        return any(one < self.bound if self.relation == "<" else one > self.bound for one in values)

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
        unless: the name of a signal; the rule is not applied to a trial that has it. Empty for every trial.
        notice: whether it says how the result came about, and is no fault of it.
        source: of the bound.
        why: what it means, as a sentence without its full stop.
        change: what to change, in the order in which to try it.
    """

    code: str
    cases: tuple[tuple[Condition, ...], ...]
    window: int = 1
    when: Literal["now", "start", "ever"] = "now"
    after: float = 0.0
    unless: str = ""
    notice: bool = False
    source: str
    why: str
    change: tuple[Change, ...]

    @property
    def signals(self) -> tuple[str, ...]:
        """The names of all its signals, each once."""
        return tuple(dict.fromkeys(name for case in self.cases for one in case for name in one.names))

    @property
    def at_the_end(self) -> bool:
        """Whether it can be met in the last epoch alone: it says so, or its cases need scores of that epoch."""
        return self.after >= 1 or all(
            any(name in AT_THE_END for one in case for name in one.names) for case in self.cases
        )

    def changes_for(self, keys: Collection[str]) -> tuple[Change, ...]:
        """What to change in a trial with these parameters: options of other methods and encoders are left out."""
        return tuple(one for one in self.change if one.key in keys or not one.key.startswith(("method.", "encoder.")))

    @property
    def bound(self) -> str:
        """The conditions as text."""
        return ", or ".join(" and ".join(map(str, case)) for case in self.cases)


_NOTES = "a first guess"
_RUNS = "benchmarks/pathologies.py"
_TOPICS = "tests/core/test_topic_health.py"

_RATE = Change("optimiser.learning_rate", "lower")
_ENTROPY = Change("method.entropy_weight", "raise")
_LONGER = Change("epochs", "raise")
_STRONGER, _WEAKER = Change("views", "strengthen"), Change("views", "weaken")
_INFORMED = Change("views", "choose more informed")

RULES: tuple[Rule, ...] = (
    Rule(
        code="DIVERGED",
        cases=(
            (Condition("loss_ratio", ">", 10.0),),
            (Condition("gradient_jump", ">", 1000.0),),
            # After steps that were far too long the outputs are constant, and the gradients of all epochs to come tiny.
            (
                Condition("loss_ratio", ">", 1.02),
                Condition("loss_share_instance", ">", 0.97),
                Condition("loss_share_entropy", ">", 0.9),
            ),
        ),
        when="ever",
        source=f"{_RUNS}; {_NOTES} was a jump of 10, which healthy runs pass",
        why="The loss is not finite, is ten times that of the first epoch, or rose while all samples came to have one "
        "cluster, or a gradient was a thousand times the usual one of the epochs before",
        change=(_RATE, Change("optimiser.warmup", "raise"), Change("batch_size", "raise")),
    ),
    Rule(
        code="COLLAPSED",
        cases=((Condition("marginal_entropy", "<", 0.5),), (Condition("probe_marginal_entropy", "<", 0.5),)),
        window=2,
        after=0.1,
        source=f"warnings of conclus 0.2; {_NOTES} was .8, which an imbalance of 30:1 passes",
        why="Most samples share few clusters",
        change=(_ENTROPY, _RATE, Change("batch_size", "raise")),
    ),
    Rule(
        code=EMPTY,
        cases=((Condition("clusters_empty", ">", 0.5),),),
        after=0.5,
        source=_NOTES,
        why="Clusters have no sample",
        change=(Change("n_clusters", "lower"), _ENTROPY, _LONGER),
    ),
    Rule(
        code="OVERCONFIDENT",
        cases=(
            (Condition("confidence", ">", 0.95), Condition("head_kmeans_nmi", "<", 0.5)),
            (Condition("view_agreement", "<", -0.3, plus="probe_confidence"),),
        ),
        window=2,
        source=f"{_NOTES} was a confidence of .99; {_RUNS}",
        why="The head is sure of clusters that its features do not have, or that change from view to view",
        change=(
            Change("method.sharpness", "lower"),
            Change("method.cluster_temperature", "raise"),
            Change("n_clusters", "lower"),
        ),
    ),
    Rule(
        code="STALLED",
        cases=((Condition("loss_moved", "<", 0.01),),),
        window=3,
        after=0.2,
        source=_RUNS,
        why="The loss is still that of the first epoch",
        change=(Change("optimiser.learning_rate", "raise"), _WEAKER, _LONGER),
    ),
    Rule(
        code="UNSTABLE",
        cases=((Condition("probe_label_flips", ">", 0.3),),),
        window=3,
        after=0.7,
        source=_NOTES,
        why="Many samples still change their cluster in each epoch",
        change=(
            _RATE,
            Change("method.thres", "lower"),
            Change("method.delta", "lower"),
            Change("n_clusters", "lower"),
            Change("optimiser.schedule", "set to cosine the"),
        ),
    ),
    Rule(
        code="VIEWS_TOO_EASY",
        cases=((Condition("infonce_accuracy", ">", 0.99), Condition("alignment", "<", 0.01)),),
        window=2,
        when="start",
        source=f"{_NOTES}; {_RUNS}",
        why="From the first epoch on, two views of a sample are all but equal: there is nothing to learn from them",
        change=(_STRONGER,),
    ),
    Rule(
        code="VIEWS_TOO_HARD",
        cases=((Condition("infonce_accuracy", "<", 6.0, times="infonce_chance"), Condition("loss_moved", "<", 0.02)),),
        window=3,
        after=0.2,
        source=f"{_NOTES} was chance itself; {_RUNS}",
        why="Two views of a sample are not found among others, and the loss does not fall",
        change=(_WEAKER, Change("batch_size", "raise"), Change("optimiser.learning_rate", "raise")),
    ),
    Rule(
        code="CONSTANT_FEATURES",
        cases=((Condition("probe_feature_std", "<", 0.15),),),
        window=3,
        after=0.1,
        source=f"{_NOTES} was .3; {_RUNS}",
        why="All samples have nearly the same features",
        change=(Change("data", "look at the samples of the"), _RATE, _WEAKER),
    ),
    Rule(
        code="DUPLICATES",
        cases=((Condition("duplicates", ">", 0.5),),),
        source=_RUNS,
        why="Most samples equal another one: contrasts push equal samples apart",
        change=(Change("data", "remove equal samples from the"),),
    ),
    Rule(
        code="ONE_CLASS",
        cases=((Condition("classes", "<", 1.5),),),
        source="definition; with labels alone",
        why="All labels are the same: no score against them says anything",
        change=(Change("data", "take more classes into the"),),
    ),
    Rule(
        code="AT_CHANCE",
        cases=((Condition("retrieval_accuracy", "<", 0.02, plus="retrieval_chance"),),),
        window=3,
        after=0.5,
        source=_RUNS,
        why="Targets of the validation part are found as by chance: inputs and targets may not belong together",
        change=(Change("data", "compare inputs and targets of the"), _LONGER),
    ),
    Rule(
        code="IMBALANCED",
        cases=((Condition("imbalance_pred", ">", 5.0, times="imbalance_true"),),),
        after=0.5,
        unless=OF_TOPIC_MODELS,
        source="asked for by users",
        why="The clusters' sizes differ far more than those of the classes",
        change=(_ENTROPY, Change("n_clusters", "lower"), _LONGER),
    ),
    Rule(
        code="TOO_EQUAL",
        cases=((Condition("imbalance_pred", "<", 0.1, times="imbalance_true"),),),
        after=0.5,
        source=_RUNS,
        why="The classes' sizes differ far more than those of the clusters",
        change=(Change("method.marginal", "set to learned the"), Change("method.entropy_weight", "lower")),
    ),
    Rule(
        code="BELOW_INPUT",
        cases=(
            (Condition("nmi", "<", -0.02, plus="input_kmeans_nmi"),),
            (Condition("nmi", "<", -0.02, plus="candidate_nmi"),),
        ),
        unless=OF_TOPIC_MODELS,
        source="warnings of conclus 0.2",
        why="The NMI is below that of clusters of the input, by k-means (the mean of five runs) or those that the "
        "method found in the input itself: the result has lost what the input has",
        change=(_LONGER, _WEAKER, _RATE, Change("encoder.base_dim", "raise")),
    ),
    Rule(
        code=NO_HELP,
        cases=((Condition("training_helped", "<", 0.5),),),
        after=1.0,
        notice=True,
        source="definition",
        why="The clusters of the input agree better with its neighbours than the trained ones, so they are the answer",
        change=(_INFORMED, Change("encoder", "choose another"), Change("method", "set to leiden the")),
    ),
    Rule(
        code="TOPIC_COLLAPSE",
        cases=((Condition("topic_word_overlap", ">", 0.5),),),
        after=0.3,
        source=_TOPICS,
        why="Topics have the same top words: on average a topic shares more than half of them with another one",
        change=(
            Change("n_clusters", "lower"),
            Change("optimiser.learning_rate", "raise"),
            Change("method.temperature", "lower"),
            _LONGER,
        ),
    ),
    Rule(
        code="DEAD_TOPICS",
        cases=((Condition("active_topics", "<", 0.9),),),
        after=0.5,
        source=_TOPICS,
        why="The weight of some topics is the same in nearly all documents",
        change=(Change("n_clusters", "lower"), Change("optimiser.learning_rate", "raise"), _LONGER),
    ),
    Rule(
        code="CRITIC_WON",
        cases=((Condition("critic_accuracy", ">", 0.99), Condition("npmi", "<", 0.1)),),
        window=3,
        after=0.1,
        source=_TOPICS,
        why="The critic tells nearly all made documents from the real ones, and the topics are hardly coherent: the "
        "generator falls behind",
        change=(
            Change("method.n_critic", "lower"),
            Change("method.generator_learning_rate", "raise"),
            Change("method.penalty", "raise"),
        ),
    ),
)

NOTICES = frozenset(rule.code for rule in RULES if rule.notice)
"""The codes that say how a result came about, and are no faults."""
