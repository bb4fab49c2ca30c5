"""Judges a trial by the course of its scores and signals: a verdict of codes, and numbers on its course.

The rules are the rows of `RULES` in `core.evaluation.rules`, one for each code; `judge` applies these alone.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from core.evaluation.rules import DATED, EMPTY, NO_HELP, OF_TOPIC_MODELS, RULES, Condition, Rule
from core.evaluation.trend import changes, stability, trend

__all__ = ["OK", "RULES", "Course", "Derived", "Finding", "Rule", "judge", "judged_score", "summary", "warnings"]

OK = "OK"
"""The verdict without a code."""
# A clustering with a lower NMI than k-means of the input has learned nothing useful; a difference of NMI up to this
# counts as equal.
MARGIN = 0.02
# Share of log K below which most samples share few clusters.
COLLAPSED = 0.5
USUAL = 3
"""The epochs before an epoch from which on its gradients can be called unusual."""

Series = Sequence[tuple[int, float]]


def warnings(metrics: Mapping[str, float], health: Mapping[str, float]) -> list[str]:
    """Codes for the scores and signals of the last epoch, for the row's reason; empty if there is no problem.

    - `EMPTY_CLUSTERS=n`: n clusters have no sample.
    - `COLLAPSED`: the assignment's marginal entropy is below half of its maximum.
    - `BELOW_INPUT`: the assignment's NMI is more than 0.02 below that of clusters of the input, by k-means or those
      that the method found in the input itself (labelled data only, and not of topic models).
    - `TRAINING_DID_NOT_HELP`: the clusters that were found before the training are the answer; no fault of it.

    Args:
        metrics: label-based scores by name; missing ones give no code.
        health: label-free signals by name; missing ones give no code.
    """
    found: list[str] = []
    if empty := int(health.get("clusters_empty", 0)):
        found.append(f"EMPTY_CLUSTERS={empty}")
    if health.get("marginal_entropy", 1.0) < COLLAPSED:
        found.append("COLLAPSED")
    if "input_kmeans_nmi" in metrics and OF_TOPIC_MODELS not in health:
        reached = metrics["nmi"]
        start = max(metrics["input_kmeans_nmi"], metrics.get("candidate_nmi", 0.0))
        if reached < start - MARGIN:
            found.append(f"BELOW_INPUT: nmi {reached:.3f} against {start:.3f}")
    if health.get("training_helped", 1.0) < 0.5:
        found.append(NO_HELP)
    return found


class Derived:
    """The series that are made from others: epochs that came since the last look are added to them.

    `loss_ratio` is the loss as a share of the first epoch's, infinite if it is not finite; a first loss of 0 or less
    has no shares, nor has the loss of a critic, whose opponents learn too. `loss_moved` is the distance to the first
    loss, as a share of its size. `gradient_jump` is the largest gradient norm of an epoch as a multiple of the median
    of the means of all epochs before it, from the epoch after `USUAL` such means on: what comes later changes no
    earlier jump.
    """

    def __init__(self) -> None:
        self._made: dict[str, list[tuple[int, float]]] = {"loss_ratio": [], "loss_moved": [], "gradient_jump": []}
        self._losses = self._means = self._largest = 0
        self._before: list[float] = []

    def of(self, series: Mapping[str, Series]) -> Mapping[str, Series]:
        """The series by name, from those of a trial; at each call these must begin with those of the last one."""
        losses = series.get("loss", ())
        for epoch, value in losses[self._losses :]:
            self._add_loss(epoch, value, 0.0 if "loss_critic" in series else losses[0][1])
        self._losses = len(losses)
        means, largest = series.get("gradient_norm_mean", ()), series.get("gradient_norm_max", ())
        for epoch, value in largest[self._largest :]:
            self._add_jump(epoch, value, means)
        self._largest = len(largest)
        return self._made

    def _add_loss(self, epoch: int, value: float, first: float) -> None:
        if not math.isfinite(value):
            self._made["loss_ratio"].append((epoch, math.inf))
            self._made["loss_moved"].append((epoch, math.inf))
            return
        if 0 < first < math.inf:
            self._made["loss_ratio"].append((epoch, value / first))
        if first and math.isfinite(first):
            self._made["loss_moved"].append((epoch, abs(value / first - 1)))

    def _add_jump(self, epoch: int, value: float, means: Series) -> None:
        while self._means < len(means) and means[self._means][0] < epoch:
            if math.isfinite(mean := means[self._means][1]):
                insort(self._before, mean)
            self._means += 1
        n = len(self._before)
        # Half the sum: the sum of two huge numbers may be infinite.
        usual = self._before[(n - 1) // 2] / 2 + self._before[n // 2] / 2 if n else 0.0
        if n >= USUAL and usual > 0:
            self._made["gradient_jump"].append((epoch, value / usual))


@dataclass(frozen=True, kw_only=True)
class Course:
    """The numbers of one trial, epoch by epoch.

    Attributes:
        series: by name, (epoch, value) in ascending order of epochs; scores and losses by their names (`nmi`,
            `loss_instance`), signals by theirs without `health.` (`label_free`).
        n_clusters: 0 if it does not cluster, or if unknown.
        n_samples: of the training part; 0 if unknown.
        batch_size: 0 if unknown.
        epochs: all epochs of the trial, those to come included; 0 if unknown.
        ended: whether the last epoch of the series is the trial's last.
        derived: keeps the series that are made from others; who judges a growing course hands on the same one.
    """

    series: Mapping[str, Series]
    n_clusters: int = 0
    n_samples: int = 0
    batch_size: int = 0
    epochs: int = 0
    ended: bool = True
    derived: Derived = field(default_factory=Derived, compare=False, repr=False)

    @classmethod
    def of(cls, history: Iterable[tuple[int, str, float]], **known: int | bool) -> Course:
        """The course of a row's history, as (epoch, name, value) with `health.` before the names of signals."""
        series: dict[str, dict[int, float]] = {}
        for epoch, name, value in history:
            series.setdefault(name.removeprefix("health."), {})[epoch] = value
        return cls(series={name: sorted(found.items()) for name, found in series.items()}, **known)  # type: ignore[arg-type]

    def get(self, name: str) -> Series:
        """The (epoch, value) of a score, loss or signal; empty if there is none.

        Three are made from others, see `Derived`.
        """
        found = self.derived.of(self.series).get(name)
        return found or self.series.get(name, ())

    def values(self, name: str) -> list[float]:
        """The values of a score, loss or signal."""
        return [value for _, value in self.get(name)]

    @property
    def last(self) -> int:
        """The last epoch; 0 without any."""
        return max((found[-1][0] for found in self.series.values() if found), default=0)

    def at(self, name: str, epoch: int) -> float | None:
        """The last value of a score, loss or signal up to an epoch; None without one."""
        return _values({name: self.get(name)}, epoch).get(name)


@dataclass(frozen=True)
class Finding:
    """One code of a verdict.

    Attributes:
        code: the code of its rule.
        epoch: the epoch in which the rule was met.
        since: the first epoch from which on its bound was passed without a break, be it before the rule was applied.
        evidence: the signals of the rule, with their last values.
        sentence: what was found, with these numbers.
    """

    code: str
    epoch: int
    since: int
    evidence: Mapping[str, float]
    sentence: str

    @property
    def label(self) -> str:
        """The code as verdicts have it: `COLLAPSED@12` with its epoch, `EMPTY_CLUSTERS=3` with a number."""
        if self.code == EMPTY:
            return f"{EMPTY}={self.evidence['clusters_empty']:.0f}"
        return f"{self.code}@{self.epoch}" if self.code == DATED else self.code


def judge(course: Course, codes: Collection[str] | None = None, *, again: bool = False) -> tuple[Finding, ...]:
    """What the rules find in a course, in their order; empty if it is well.

    Args:
        course: of the trial.
        codes: of the rules that are applied; None for all.
        again: whether the course without its last epoch was judged and found well. Then a rule that may be met in any
            epoch looks at the last ones alone, so that judging after each epoch costs no more for a long trial.
    """
    rules = (rule for rule in RULES if codes is None or rule.code in codes)
    return tuple(found for rule in rules if (found := _apply(rule, course, again=again)))


def _apply(rule: Rule, course: Course, *, again: bool) -> Finding | None:
    """What a rule finds, by the case that was met first."""
    rule = replace(rule, when="now") if again and rule.when == "ever" else rule
    if rule.unless and course.get(rule.unless):
        return None
    met = [found for case in rule.cases if (found := _raised(rule, case, course))]
    if not met:
        return None
    epoch, since, evidence = min(met, key=lambda found: found[0])
    values = ", ".join(f"{name} {value:.3g}" for name, value in evidence.items())
    return Finding(rule.code, epoch, since, evidence, f"{rule.why}: {values}.")


def _raised(rule: Rule, case: tuple[Condition, ...], course: Course) -> tuple[int, int, dict[str, float]] | None:
    """The epoch in which a case of a rule was met, the first of its run of epochs, and its signals' last values there.

    A run may begin before the share of the epochs from which on the rule is applied; these epochs do not count for its
    window.
    """
    series = {name: course.get(name) for one in case for name in one.names}
    first = series[case[0].signal]
    # Most trials are well, and then no epoch needs to be looked at by itself.
    if not all(series.values()) or not case[0].may_hold(value for _, value in first):
        return None
    whole = course.last if course.ended else max(course.epochs, course.last)
    epochs = [epoch for epoch, _ in first]
    run: list[int] = []
    # From the end where the last epochs count, so that mostly a single one is looked at.
    for epoch in reversed(epochs) if rule.when == "now" else epochs:
        values = _values(series, epoch)
        if all(one.holds(values) for one in case):
            run.append(epoch)
        elif rule.when == "ever" and len(run) < rule.window:
            run = []
        else:
            break
    run.sort()
    counted = [epoch for epoch in run if epoch >= rule.after * whole]
    if len(counted) < rule.window:
        return None
    return counted[rule.window - 1], run[0], _values(series, run[-1])


def _values(series: Mapping[str, Series], epoch: int) -> dict[str, float]:
    """The last value of each series up to an epoch; those without one are left out."""
    places = {name: bisect_right(one, (epoch, math.inf)) for name, one in series.items()}
    return {name: series[name][place - 1][1] for name, place in places.items() if place}


def judged_score(course: Course, metric: str = "") -> str:
    """The score whose trend and stability are told; empty without any.

    Args:
        course: of the trial.
        metric: the score by which trials are ranked, where larger is better; it counts if the trial has it. Without
            it a topic model is judged by `npmi`, others by `nmi` or, without labels, by `label_free`.
    """
    topical = ("npmi",) if course.get(OF_TOPIC_MODELS) else ()
    return next((name for name in (metric, *topical, "nmi", "label_free") if name and course.get(name)), "")


def summary(course: Course, metric: str = "", findings: Sequence[Finding] | None = None) -> dict[str, float | str]:
    """The numbers and texts on a course that its row has; those without a value are left out.

    Texts: `verdict` (`OK`, or the labels of `judge` joined by "; ") and `performance_trend`, see
    `core.evaluation.trend`.

    Numbers: `stability_score`, `trend_slope`, `total_improvements` and `total_degradations` of `judged_score`
    (`of_nmi` is 1 if that is the NMI, else 0); `best_epoch_label_free`; with labels `best_epoch_nmi`, and
    `epoch_gap`, by how many epochs the first is after the second; and, with labels, `smallest_class` and
    `imbalance_true`.

    Args:
        course: of the trial.
        metric: as in `judged_score`.
        findings: those of `judge`; None if the course was not judged yet.
    """
    labels = [one.label for one in (judge(course) if findings is None else findings)]
    found: dict[str, float | str] = {"verdict": "; ".join(labels) or OK}
    score = judged_score(course, metric)
    values = course.values(score)
    if values:
        course_trend = trend(values)
        if course_trend.name != "unknown":
            found |= {"performance_trend": course_trend.name, "trend_slope": course_trend.slope}
        found["total_improvements"], found["total_degradations"] = map(float, changes(values))
        found["of_nmi"] = float(score == "nmi")
    if (steady := stability(values)) is not None:
        found["stability_score"] = steady
    for score in ("label_free", "nmi"):
        if (best := _best_epoch(course.get(score))) is not None:
            found[f"best_epoch_{score}"] = float(best)
    if "best_epoch_label_free" in found and "best_epoch_nmi" in found:
        found["epoch_gap"] = float(found["best_epoch_label_free"]) - float(found["best_epoch_nmi"])
    for name in ("smallest_class", "imbalance_true", "imbalance_pred"):
        if (value := course.at(name, course.last)) is not None:
            found[name] = value
    return found


def _best_epoch(series: Series) -> int | None:
    """The first epoch with the highest finite value."""
    finite = [(value, -epoch) for epoch, value in series if math.isfinite(value)]
    return -max(finite)[1] if finite else None
