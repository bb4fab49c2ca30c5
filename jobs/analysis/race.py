"""Racing over seeds: the contenders of a study get more seeds until the best one stands out.

The results are looked at again and again, and each look could mistake luck for a difference. So the looks are planned
beforehand, and each is held to its share of the 5 %, 5 % / looks (Bonferroni). Within a look the test is that of the
leaderboard (`jobs.analysis.ties`), which allows for the best being picked out of many. The first look, at the results
that were there before, is one of the planned ones and sees all configurations, not the contenders alone.

`race` is a function of the results alone: what was done in earlier rounds is worked out anew from the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, nan

from jobs.analysis.intervals import ALPHA, mean
from jobs.analysis.ties import Lead, leads

Values = Mapping[str, Mapping[int, float]]
"""Configuration to seed to value."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How a race is run.

    Attributes:
        looks: Seeds per configuration at which the results are looked at; the first are those of the study.
        top: How many configurations race at most.
        margin: A difference too small to care about.
        maximise: Whether larger is better.
    """

    looks: tuple[int, ...]
    top: int
    margin: float
    maximise: bool

    @property
    def error(self) -> float:
        """The error that one look may make; nothing can be told of one seed, which is no look."""
        return ALPHA / sum(count > 1 for count in self.looks)


@dataclass(frozen=True, slots=True)
class Standing:
    """A configuration at one look.

    Attributes:
        key: Its `config_key`.
        values: Its results so far, one a seed.
        gap: How far the best lies above it.
        half_width: Half the interval of that.
        verdict: `best`, `worse`, `as good` (within the margin) or `open`.
    """

    key: str
    values: tuple[float, ...]
    gap: float
    half_width: float
    verdict: str


@dataclass(frozen=True, slots=True)
class Race:
    """How a race stands.

    Attributes:
        contenders: Those that go on after the last look, the best first.
        left_out: How many were tied with the best at the first look and had no place.
        rounds: Seeds per configuration, and the standings, at each look so far.
        lacking: Configurations and seeds to run before the next look.
        end: Why it is over: `separated`, `as good` or `undecided`; empty while it is not.
    """

    contenders: tuple[str, ...]
    left_out: int
    rounds: tuple[tuple[int, tuple[Standing, ...]], ...]
    lacking: tuple[tuple[str, int], ...]
    end: str


def looks(first: int, last: int) -> tuple[int, ...]:
    """Numbers of seeds from `first` to `last`, each half as many again as the one before, two more at least."""
    found = [first]
    while found[-1] < last:
        found.append(min(last, found[-1] + max(2, found[-1] // 2 + found[-1] % 2)))
    return tuple(found)


def race(values: Values, seeds: Sequence[int], rule: Rule) -> Race:
    """How the race of the configurations stands.

    Args:
        values: Results so far. Every configuration has those of the study's own seeds.
        seeds: The study's own, `rule.looks[0]` of them, and after them those to add, in their order.
        rule: How it is run.
    """
    keys, rounds = list(values), list[tuple[int, tuple[Standing, ...]]]()
    left_out = 0
    for count in rule.looks:
        used = seeds[:count]
        if lacking := tuple((key, seed) for seed in used for key in keys if seed not in values[key]):
            return Race(tuple(keys), left_out, tuple(rounds), lacking, "")
        standings = _look({key: {seed: values[key][seed] for seed in used} for key in keys}, rule)
        rounds.append((count, standings))
        going = [one.key for one in standings if one.verdict != "worse"]
        keys, left_out = going[: rule.top], left_out + len(going[rule.top :])
        if end := _end(standings):
            return Race(tuple(keys), left_out, tuple(rounds), (), end)
    return Race(tuple(keys), left_out, tuple(rounds), (), "undecided")


def _look(values: Values, rule: Rule) -> tuple[Standing, ...]:
    sign = -1.0 if rule.maximise else 1.0
    keys = sorted(values, key=lambda key: (sign * mean(list(values[key].values())), key))
    if len(values[keys[0]]) < 2:
        found = [Lead(nan, inf)] * len(keys)
    else:
        found = leads([values[key] for key in keys], maximise=rule.maximise, error=rule.error)
    verdicts = ["best", *(_verdict(lead, rule.margin) for lead in found[1:])]
    return tuple(
        Standing(key, tuple(values[key].values()), lead.gap, lead.half_width, verdict)
        for key, lead, verdict in zip(keys, found, verdicts, strict=True)
    )


def _verdict(lead: Lead, margin: float) -> str:
    if lead.is_sure:
        return "worse"
    return "as good" if lead.gap + lead.half_width <= margin else "open"


def _end(standings: Sequence[Standing]) -> str:
    verdicts = {one.verdict for one in standings}
    if "open" in verdicts:
        return ""
    return "as good" if "as good" in verdicts else "separated"
