"""What to change: which value of one parameter went without a code in comparable trials of the store."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.evaluation.health import Finding
from core.evaluation.rules import Change, Rule
from jobs.analysis.effect import own_options
from jobs.analysis.trials import Trials, factor_of
from jobs.health.courses import Judged
from jobs.health.settings import factors, once
from jobs.results.header import STATUSES

_NORMAL = 1.959964
"""The quantile of the normal distribution for a two-sided interval of 95 %."""
_NO_REMEDY = ("data.", "evaluation.", "method.name")
"""Beginnings of the keys that are no remedy: other data, how often it is scored, and another method."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """Another value of one parameter, over trials that are equal in data, method and every other parameter.

    Attributes:
        key: The parameter's dotted key.
        own: The value of the trial that has the code.
        value: The other value.
        without: How many trials with the other value went to their end without the code.
        n: Of how many, which have the code or went to their end.
        own_without: The same with the trial's own value.
        own_n: Of how many, this trial among them.
    """

    key: str
    own: Any
    value: Any
    without: int
    n: int
    own_without: int
    own_n: int

    @property
    def has_helped(self) -> bool:
        """Whether a larger share went without the code than with the trial's own value."""
        return self.without * self.own_n > self.own_without * self.n

    @property
    def least(self) -> float:
        """The lower end of the 95 % interval of the share without the code: 19 of 20 comes before 1 of 1."""
        return wilson(self.without, self.n)


@dataclass(frozen=True, slots=True)
class AdviceOnCode:
    """What to change for one code: what has helped in the store, and what the rule names.

    Attributes:
        helped: What has helped in comparable trials, the surest first.
        failed: Changes of the rule that were tried in comparable trials and did not help.
        untried: Changes of the rule of which the store tells nothing, in the rule's order.
    """

    helped: tuple[Remedy, ...]
    failed: tuple[Remedy, ...]
    untried: tuple[Change, ...]


def advices(
    trials: Sequence[Judged], place: int, findings: Sequence[tuple[Finding, Rule]], most: int
) -> tuple[AdviceOnCode, ...]:
    """What to change for each finding of a trial; what is named for one is not named again for the next.

    Args:
        trials: Of one protocol; each has a course.
        place: Which of them is the trial.
        findings: Its findings with their rules.
        most: So many changes that have helped are named for each.
    """
    found: list[AdviceOnCode] = []
    for finding, rule in findings:
        every = tried(trials, place, finding.code)
        better = [one for one in every if one.has_helped]
        said = [one for before in found for one in before.helped]
        helped_now = [one for one in better if all((one.key, one.value) != (b.key, b.value) for b in said)][:most]
        changes = rule.changes_for(trials[place].params)
        alike = [[one for one in every if _is_of(one, change)] for change in changes]
        done = {change for before in found for change in before.untried}
        untried = [change for change, those in zip(changes, alike, strict=True) if not those]
        failed = [one for those in alike if not any(one.has_helped for one in those) for one in those]
        found.append(AdviceOnCode(tuple(helped_now), tuple(failed), tuple(one for one in untried if one not in done)))
    return tuple(found)


def _is_of(one: Remedy, change: Change) -> bool:
    """Whether a value that was tried is the rule's change: the same parameter, in the same direction."""
    if one.key != change.key:
        return False
    if change.how in {"lower", "raise"}:
        is_number = isinstance(one.own, int | float) and isinstance(one.value, int | float)
        return is_number and (one.value < one.own) == (change.how == "lower")
    return change.how.startswith(f"set to {one.value} ")


def wilson(count: int, n: int) -> float:
    """The lower end of Wilson's 95 % interval of a share of `n` trials, at least 1.

    Reference: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    square = _NORMAL**2
    share = count / n
    spread = _NORMAL * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    return max(0.0, (share + square / (2 * n) - spread) / (1 + square / n))


def helped(trials: Sequence[Judged], place: int, code: str) -> list[Remedy]:
    """Those of `tried` at which comparable trials went without the code more often."""
    return [one for one in tried(trials, place, code) if one.has_helped]


def tried(trials: Sequence[Judged], place: int, code: str) -> list[Remedy]:
    """The other values of one parameter in comparable trials, those that most surely go without the code first.

    Seeds may differ. A trial that several studies hold counts once. Other data, another method and fewer epochs are no
    remedy. A trial that was stopped or failed before its end tells nothing of a code that it does not have.

    Args:
        trials: Of one protocol; each has a course.
        place: Which of them has the code.
        code: The code.
    """
    one = trials[place]
    told = [other for other in trials if code in other.codes or other.status == STATUSES[0]]
    those = [one, *once([other for other in told if other.trial_key != one.trial_key])]
    rows = Trials(
        column="",
        values=np.array([code not in other.codes for other in those], np.float64),
        seeds=factor_of("seed", [other.seed for other in those]),
        data=factor_of("data", [other.data for other in those]),
        factors=factors(those),
        constant={},
        seconds=np.full(len(those), np.nan),
    )
    keys = [key for key in rows.factors if key in one.params and key != "epochs" and not key.startswith(_NO_REMEDY)]
    found = [change for key in keys for change in _of_one(rows, key)]
    return sorted(found, key=lambda change: (-change.least, change.key, str(change.value)))


def _of_one(rows: Trials, key: str) -> list[Remedy]:
    """All other values of the parameter in trials that are equal to the first in the rest."""
    factor, groups = rows.factors[key], rows.groups([key, *own_options(rows, key)], seeds=False)
    alike = (groups == groups[0]) & (factor.codes >= 0)
    own, codes, size = int(factor.codes[0]), factor.codes[alike], len(factor.levels)
    counts, without = np.bincount(codes, minlength=size), np.bincount(codes, rows.values[alike], minlength=size)
    return [
        Remedy(key, factor.levels[own], value, int(without[i]), int(counts[i]), int(without[own]), int(counts[own]))
        for i, value in enumerate(factor.levels)
        if i != own and counts[i]
    ]
