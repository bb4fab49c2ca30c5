"""Which settings die of what: for each code and each parameter, the share of trials with the code by value."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jobs.analysis.intervals import ALPHA
from jobs.analysis.samples import constants
from jobs.analysis.trials import Codes, Factor, factor_of
from jobs.health.courses import Judged
from jobs.health.exact import adjusted, freeman_halton
from jobs.results.header import STATUSES

MOST_VALUES = 6
"""A number with more values is shown in three ranges that hold about as many trials each."""
_RANGES = 3
MOST_WORDS = 20
"""A parameter whose values are words is left out if it has more of them."""


@dataclass(frozen=True, slots=True)
class Group:
    """The trials with one value, or one range of values, of a parameter.

    Attributes:
        value: The value; of a range, the text `0.001 … 0.01`.
        having: How many of them have the code.
        n: How many trials these are.
    """

    value: Any
    having: int
    n: int


@dataclass(frozen=True, slots=True)
class CodeBySetting:
    """One code by one parameter.

    Attributes:
        code: The code.
        key: The parameter's dotted key.
        groups: Its values in order.
        p: The p-value of "the parameter does not matter", by the exact test.
        corrected: The same by Holm's correction over all tests that could have rejected; None if this one could not.
        is_drawn: Whether `p` comes from tables drawn at random.
        verdict: `differs`, `no difference shown`, or `too few` where no counts of these margins could show one.
    """

    code: str
    key: str
    groups: tuple[Group, ...]
    p: float
    corrected: float | None
    is_drawn: bool
    verdict: str


@dataclass(frozen=True, slots=True)
class Settings:
    """All codes by all parameters that vary.

    Attributes:
        found: The smallest p-values first; those with too few trials last.
        left_out: The parameters with too many words.
        trials: How many trials were counted: those that have ended and have a course, each key once.
        again: How many rows were left out because another study has the same trial.
    """

    found: tuple[CodeBySetting, ...]
    left_out: tuple[str, ...]
    trials: int
    again: int = 0


def factors(trials: Sequence[Judged]) -> dict[str, Factor]:
    """The parameters that tell trials apart, by dotted key; a value that a trial does not have is none."""
    keys = sorted({key for one in trials for key in one.params})
    values = {key: [one.params.get(key) for one in trials] for key in keys}
    constant, _ = constants(values)
    return {key: factor_of(key, cells) for key, cells in values.items() if key not in constant}


def settings(trials: Sequence[Judged]) -> Settings:
    """Tests each code over each parameter that varies.

    A trial counts as one, whatever its other parameters: where two parameters were varied together, both differ. One
    that several studies hold, as its key says, counts once.

    Args:
        trials: Of one protocol. Those that still run, or whose course is unknown, are left out.
    """
    known = [one for one in trials if one.has_ended and one.is_known]
    ended = once(known)
    varied = {key: one for key, one in factors(ended).items() if len(one.levels) > 1}
    wide = tuple(key for key, one in varied.items() if not one.is_number and len(one.levels) > MOST_WORDS)
    found = [
        _setting(code, *_grouped(varied[key]), np.array([code in one.codes for one in ended], bool))
        for code in sorted({code for one in ended for code in one.codes})
        for key in varied
        if key not in wide
    ]
    return Settings(tuple(_corrected(found)), wide, len(ended), len(known) - len(ended))


def once(trials: Sequence[Judged]) -> list[Judged]:
    """Each trial once, by its key: of several studies', one that went to its end, or else the last."""
    return list({one.trial_key: one for one in sorted(trials, key=lambda one: one.status == STATUSES[0])}.values())


def _grouped(factor: Factor) -> tuple[str, Sequence[Any], Codes]:
    """The key, the values or ranges, and the place of each trial in them, -1 for none."""
    if not factor.is_number or len(factor.levels) <= MOST_VALUES:
        return factor.key, factor.levels, factor.codes
    there = factor.codes[factor.codes >= 0]
    # The same value is never in two ranges, so that they hold about as many trials each, not exactly.
    ends = np.unique(np.quantile(there, np.arange(1, _RANGES) / _RANGES, method="inverted_cdf"))
    places = np.searchsorted(ends, np.arange(len(factor.levels)))
    filled = np.unique(places)
    members = [np.flatnonzero(places == place) for place in filled]
    names = [_range(factor.levels[one[0]], factor.levels[one[-1]]) for one in members]
    codes = np.where(factor.codes < 0, -1, np.searchsorted(filled, places[factor.codes]))
    return factor.key, names, codes


def _range(first: float, last: float) -> str:
    return f"{first:.4g}" if first == last else f"{first:.4g} … {last:.4g}"


def _setting(code: str, key: str, values: Sequence[Any], codes: Codes, has: np.ndarray) -> CodeBySetting:
    there = codes >= 0
    sizes = np.bincount(codes[there], minlength=len(values)).tolist()
    having = np.bincount(codes[there & has], minlength=len(values)).tolist()
    exact = freeman_halton(having, sizes)
    groups = tuple(Group(*one) for one in zip(values, having, sizes, strict=True))
    verdict = "too few" if exact.least > ALPHA else ""
    return CodeBySetting(code, key, groups, exact.p, None, exact.is_drawn, verdict)


def _corrected(found: Sequence[CodeBySetting]) -> list[CodeBySetting]:
    """Those that could reject, with their verdicts by Holm's correction, and then those with too few trials."""
    tested = sorted((one for one in found if not one.verdict), key=lambda one: (one.p, one.code, one.key))
    few = [one for one in found if one.verdict]
    corrected = adjusted([one.p for one in tested])
    words = ["differs" if p <= ALPHA else "no difference shown" for p in corrected]
    return [
        replace(one, corrected=p, verdict=word) for one, p, word in zip(tested, corrected, words, strict=True)
    ] + few
