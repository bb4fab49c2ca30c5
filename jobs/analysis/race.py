"""Racing over seeds: the best configurations of a study get more seeds until they are told apart.

The results are tested several times, and each look could mistake luck for a difference. So the looks are planned
beforehand, and their errors add up to 5 %: by a look with a share t of all planned seeds, 5 % * t^2 are spent. Early
looks, which see large differences alone, get little, and the last one the most (the power family of Kim and
DeMets, Design and analysis of group sequential tests based on the type I error spending rate function, Biometrika 74,
1987). Each look uses the test of the leaderboard (`jobs.analysis.ties`), which accounts for picking the best out of
many. The first look, at the study's own results, is one of the planned looks and tests all configurations, not only the
contenders.

`race` depends on the results alone: it works out earlier rounds again from the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isfinite, nan

from jobs.analysis.intervals import ALPHA, mean
from jobs.analysis.outcomes import composite
from jobs.analysis.ties import Lead, leads

Values = Mapping[str, Mapping[int, float]]
"""Values by configuration and by seed; NaN for a seed whose training failed, which counts as the worst value."""


@dataclass(frozen=True, slots=True)
class RaceRule:
    """The settings of a race.

    Attributes:
        looks: The numbers of seeds per configuration at which the results are tested; the first is the study's own.
        top: The most configurations that race.
        margin: A difference too small to care about.
        maximise: Whether larger is better.
    """

    looks: tuple[int, ...]
    top: int
    margin: float
    maximise: bool

    @property
    def errors(self) -> tuple[float, ...]:
        """The error probability of each look; one seed per configuration cannot be tested and has none."""
        spent = [ALPHA * (count / self.looks[-1]) ** 2 if count > 1 else 0.0 for count in self.looks]
        return tuple(now - before for before, now in pairwise([0.0, *spent]))


@dataclass(frozen=True, slots=True)
class RaceStanding:
    """A configuration at one look.

    Attributes:
        key: Its `config_key`.
        values: Its results so far, one per seed; NaN for a seed whose training failed.
        gap: How far the best is above it.
        half_width: Half the interval of the gap.
        verdict: `best`, `worse`, `as good` (within the margin) or `open`.
    """

    key: str
    values: tuple[float, ...]
    gap: float
    half_width: float
    verdict: str

    @property
    def ended(self) -> list[float]:
        """The results of the seeds that ended."""
        return [value for value in self.values if isfinite(value)]


@dataclass(frozen=True, slots=True)
class Race:
    """The state of a race.

    Attributes:
        contenders: The configurations that remain after the last look, the best first.
        left_out: Number of configurations that were not worse than the best, but beyond the `top` ones.
        rounds: For each look so far, the number of seeds per configuration and the standings.
        lacking: Configurations and seeds to run before the next look.
        end: Why the race is over: `alone` (there is one configuration), `separated`, `as good` or `undecided`; empty
            while it goes on.
    """

    contenders: tuple[str, ...]
    left_out: int
    rounds: tuple[tuple[int, tuple[RaceStanding, ...]], ...]
    lacking: tuple[tuple[str, int], ...]
    end: str

    @property
    def fresh(self) -> dict[str, dict[int, float]]:
        """The results by contender, and by place in the order of the seeds, that did not choose the contenders.

        They are those of all rounds but the first, of the seeds that ended.
        """
        if len(self.rounds) < 2:
            return {}
        first = self.rounds[0][0]
        found: dict[str, dict[int, float]] = {}
        for _, standings in self.rounds[1:]:
            for one in standings:
                later = enumerate(one.values[first:], first)
                found[one.key] = {place: value for place, value in later if isfinite(value)}
        return {key: values for key, values in found.items() if values}


def looks(first: int, last: int) -> tuple[int, ...]:
    """Numbers of seeds from `first` to `last`; each is half larger than the one before, and at least two larger."""
    found = [first]
    while found[-1] < last:
        found.append(min(last, found[-1] + max(2, found[-1] // 2 + found[-1] % 2)))
    return tuple(found)


def race(values: Values, seeds: Sequence[int], rule: RaceRule) -> Race:
    """The state of the race, worked out from the results so far.

    Args:
        values: Results so far. Every configuration has results for the study's own seeds, and at least one of them
            ended.
        seeds: The study's own `rule.looks[0]` seeds, then the seeds to add, in order.
        rule: The settings of the race.
    """
    keys, rounds = list(values), list[tuple[int, tuple[RaceStanding, ...]]]()
    left_out = 0
    for count, error in zip(rule.looks, rule.errors, strict=True):
        used = seeds[:count]
        if lacking := tuple((key, seed) for seed in used for key in keys if seed not in values[key]):
            return Race(tuple(keys), left_out, tuple(rounds), lacking, "")
        standings = _look({key: {seed: values[key][seed] for seed in used} for key in keys}, rule, error)
        rounds.append((count, standings))
        going = [one.key for one in standings if one.verdict != "worse"]
        keys, left_out = going[: rule.top], left_out + len(going[rule.top :])
        if end := _end(standings):
            return Race(tuple(keys), left_out, tuple(rounds), (), end)
    return Race(tuple(keys), left_out, tuple(rounds), (), "undecided")


def _look(values: Values, rule: RaceRule, error: float) -> tuple[RaceStanding, ...]:
    sign = -1.0 if rule.maximise else 1.0
    filled = _filled(values, maximise=rule.maximise)
    keys = sorted(values, key=lambda key: (sign * mean(list(filled[key].values())), key))
    if len(values[keys[0]]) < 2:
        found = [Lead(nan, inf)] * len(keys)
    else:
        found = leads([filled[key] for key in keys], maximise=rule.maximise, error=error)
    verdicts = ["best", *(_verdict(lead, rule.margin) for lead in found[1:])]
    return tuple(
        RaceStanding(key, tuple(values[key].values()), lead.gap, lead.half_width, verdict)
        for key, lead, verdict in zip(keys, found, verdicts, strict=True)
    )


def _filled(values: Values, *, maximise: bool) -> dict[str, dict[int, float]]:
    """The values with the worst of all for each seed whose training failed."""
    ended = [{seed: one for seed, one in cell.items() if isfinite(one)} for cell in values.values()]
    gone = [[seed for seed, one in cell.items() if not isfinite(one)] for cell in values.values()]
    return dict(zip(values, composite(ended, gone, maximise=maximise), strict=True))


def _verdict(lead: Lead, margin: float) -> str:
    if lead.is_sure:
        return "worse"
    return "as good" if lead.gap + lead.half_width <= margin else "open"


def _end(standings: Sequence[RaceStanding]) -> str:
    if len(standings) == 1:
        return "alone"
    verdicts = {one.verdict for one in standings}
    if "open" in verdicts:
        return ""
    return "as good" if "as good" in verdicts else "separated"
