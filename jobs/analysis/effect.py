"""The effect of one hyper-parameter on a metric, from trials that are equal in everything else.

`effect(trials, key, mode)` is the whole analysis, `compare(trials, key, mode)` gives only the comparisons, and
`paired(differences, configurations, seeds)` gives the interval of any matched differences.

Two trials make a pair if data, seed and every other parameter are equal. A configuration of the other parameters may
react to the parameter in its own way, so its pairs are not independent and each configuration counts once. A seed may
favour a value in all configurations, so the pairs of a seed are not independent either. `intervals.paired` takes
account of both. All of it holds for the configurations that were run: others may react in another way.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from core.config import plugins, trial
from core.errors import counted
from jobs.analysis.intervals import Estimate, Pool, Spread, paired, resolution, rounding, seed_spreads
from jobs.analysis.scores import (
    NO_FAIR_SCORE,
    about_labels,
    is_loss,
    metric_name,
    part_of_pairs,
    quality_metric,
    rescales_loss,
)
from jobs.analysis.slices import Slice, slices
from jobs.analysis.trials import Codes, Factor, Trials, Vector, combined


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """One value of the parameter against another, over matched pairs.

    Attributes:
        low: The value to compare with: the next lower one, or the reference.
        high: The value that is compared.
        mean_low: The metric's mean at `low` over the pairs, with equal weight per configuration; None without pairs.
        mean_high: The same at `high`.
        estimate: The metric at `high` minus the metric at `low`; None for fewer than `FEWEST` pairs. Beside a verdict,
            it is corrected for the number of comparisons.
        n: Number of pairs.
        wins: Number of pairs in which `high` is better.
        losses: Number of pairs in which `high` is worse.
        verdict: `better`, `worse`, `no difference shown`, or why there is no verdict.
    """

    low: Any
    high: Any
    mean_low: float | None
    mean_high: float | None
    estimate: Estimate | None
    n: int
    wins: int
    losses: int
    verdict: str

    @property
    def ties(self) -> int:
        """Number of pairs in which both are equal."""
        return self.n - self.wins - self.losses


@dataclass(frozen=True, slots=True)
class Level:
    """One value of the parameter.

    Attributes:
        value: The value.
        n: Number of trials that have it.
        matched: The metric's mean over the blocks that have every value; None if there are none.
    """

    value: Any
    n: int
    matched: float | None


@dataclass(frozen=True, slots=True)
class Effect:
    """The effect of one parameter.

    Attributes:
        key: Its dotted key.
        column: The metric's column.
        mode: `max` or `min`.
        reference: The value that others are compared with; None for ordered values, which are compared with neighbours.
        differences: The comparisons.
        levels: Its values, with their means over complete blocks.
        blocks: Number of complete blocks: trials equal in data, seed and other parameters, with every value present.
        slices: The slices with at least two values, the longest first.
        refusal: Why its values must not be ranked by this metric; empty if they may be.
        notes: Sentences on the limits of these numbers.
    """

    key: str
    column: str
    mode: str
    reference: Any
    differences: tuple[PairedDifference, ...]
    levels: tuple[Level, ...]
    blocks: int
    slices: tuple[Slice, ...]
    refusal: str
    notes: tuple[str, ...]


def effect(trials: Trials, key: str, mode: str) -> Effect:
    """The effect of the parameter `key` on the trials' metric.

    Args:
        trials: From `jobs.analysis.trials.gather`.
        key: The dotted key of one of `trials.factors`.
        mode: `max` or `min`, whichever is better.
    """
    trials = trials.by_data_set(key)
    factor = trials.factors[key]
    valued = trials.only(factor.codes >= 0)
    own = own_options(valued, key)
    cells = _Cells.of(valued, key, own)
    reference = _reference(cells.factor)
    refusal = _refusal(valued, key)
    levels, blocks = _levels(cells)
    return Effect(
        key=key,
        column=trials.column,
        mode=mode,
        reference=None if reference is None else factor.levels[reference],
        differences=() if refusal else tuple(_differences(cells, mode, reference)),
        levels=levels,
        blocks=blocks,
        slices=tuple(slices(valued, key, own)),
        refusal=refusal,
        notes=(
            *_notes(trials, key, own, None if refusal else reference),
            *[_MIXED] * (not refusal and len(np.unique(valued.data.codes)) > 1),
            *([] if refusal else _equal_notes(cells)),
        ),
    )


def compare(trials: Trials, key: str, mode: str) -> list[PairedDifference]:
    """Only the comparisons of `effect`, for any metric: neighbours, or each value with the most frequent one."""
    valued = trials.only(trials.factors[key].codes >= 0)
    cells = _Cells.of(valued, key, own_options(valued, key))
    return _differences(cells, mode, _reference(cells.factor))


def against(trials: Trials, key: str, mode: str, reference: Any) -> list[PairedDifference]:
    """The comparison of every other value of the parameter with `reference`, such as the best one.

    As the reference may have been picked by its values, verdicts are corrected over all pairs of values.
    """
    valued = trials.only(trials.factors[key].codes >= 0)
    cells = _Cells.of(valued, key, own_options(valued, key))
    place = cells.factor.levels.index(reference)
    others = [other for other in range(len(cells.factor.levels)) if other != place]
    pairs = list(combinations([place, *others], 2))
    return _with_verdicts(_compared(cells, mode, pairs), mode)[: len(others)]


def all_pairs(trials: Trials, key: str, mode: str) -> list[PairedDifference]:
    """The comparison of every pair of values of the parameter, with empty verdicts and without any correction."""
    valued = trials.only(trials.factors[key].codes >= 0)
    cells = _Cells.of(valued, key, own_options(valued, key))
    return _compared(cells, mode, list(combinations(range(len(cells.factor.levels)), 2)))


def own_options(trials: Trials, key: str) -> list[str]:
    """The options that only some choices of a plug-in have; they change with its name `key` and are not fixed.

    With a method go the parameters that it does not use, such as the epochs of one that learns at once.
    """
    head, _, last = key.rpartition(".")
    if last != "name":
        return []
    chosen = trials.factors[key]
    unused = _unused_by_some(chosen) if key == "method.name" else frozenset[str]()
    others = [one for one in trials.factors.values() if one.key != key]
    own = [one for one in others if one.key.startswith(f"{head}.") or {one.key, one.key.partition(".")[0]} & unused]
    return [one.key for one in own if not _in_all(one, chosen)]


def _unused_by_some(methods: Factor) -> frozenset[str]:
    """The sections and keys that some of the methods do not use; a file of a method is not read for that."""
    known = {*plugins.names("methods")}
    there = [methods.levels[at] for at in np.unique(methods.codes[methods.codes >= 0])]
    return frozenset(name for method in there if method in known for name in trial.unused(method))


def _in_all(option: Factor, choice: Factor) -> bool:
    having = np.bincount(choice.codes[option.codes >= 0], minlength=len(choice.levels))
    return bool((having > 0).all())


# Matched pairs


@dataclass(frozen=True, slots=True)
class _Cells:
    """One value per block and level; identical repeats are averaged.

    `means` has blocks as rows and levels as columns, NaN where no trial was run. `rounded` is the variance that
    rounding adds to a difference.
    """

    factor: Factor
    means: Vector
    configurations: Codes
    seeds: Codes
    rounded: float

    @classmethod
    def of(cls, trials: Trials, key: str, own: Sequence[str]) -> "_Cells":
        factor = trials.factors[key]
        blocks = trials.groups([key, *own], seeds=True)
        configurations = trials.groups([key, *own], seeds=False)
        shape = (int(blocks.max(initial=-1)) + 1, len(factor.levels))
        place = blocks * shape[1] + factor.codes
        counts = np.bincount(place, minlength=shape[0] * shape[1])
        sums = np.bincount(place, trials.values, minlength=shape[0] * shape[1])
        means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan).reshape(shape)
        owners, seeds = np.zeros((2, shape[0]), np.int64)
        owners[blocks], seeds[blocks] = configurations, trials.seeds.codes
        return cls(factor, means, owners, seeds, 2 * rounding(resolution(trials.values.tolist())))

    def matched(self, pair: tuple[int, int]) -> tuple[Vector, Codes, Codes]:
        """The values at both levels in the blocks that have both, shape (2, blocks); their configurations and seeds."""
        there = np.isfinite(self.means[:, pair]).all(axis=1)
        return self.means[there][:, pair].T, self.configurations[there], self.seeds[there]


def _reference(factor: Factor) -> int | None:
    """For words, the first of the most frequent levels: choosing by the metric would favour the reference."""
    return None if factor.is_number else int(np.bincount(factor.codes).argmax())


def _differences(cells: _Cells, mode: str, reference: int | None) -> list[PairedDifference]:
    places = range(len(cells.factor.levels))
    if reference is None:
        comparisons = list(pairwise(places))
    else:
        comparisons = [(reference, other) for other in places if other != reference]
    return _with_verdicts(_compared(cells, mode, comparisons), mode)


def _compared(cells: _Cells, mode: str, comparisons: Sequence[tuple[int, int]]) -> list[PairedDifference]:
    spreads = seed_spreads(cells.means, cells.configurations, cells.seeds)
    pool = Pool(spreads)
    own = [spreads.get((min(pair), max(pair))) for pair in comparisons]
    pooled = [pool.beside(one) if one else None for one in own]
    return [_difference(cells, pair, one, mode) for pair, one in zip(comparisons, pooled, strict=True)]


def _difference(cells: _Cells, pair: tuple[int, int], spread: Spread | None, mode: str) -> PairedDifference:
    (before, after), owners, seeds = cells.matched(pair)
    gains = (after - before) * (1 if mode == "max" else -1)
    return PairedDifference(
        low=cells.factor.levels[pair[0]],
        high=cells.factor.levels[pair[1]],
        mean_low=_mean_of_configurations(before, owners),
        mean_high=_mean_of_configurations(after, owners),
        estimate=paired(after - before, owners, seeds, cells.rounded, spread),
        n=len(owners),
        wins=int((gains > 0).sum()),
        losses=int((gains < 0).sum()),
        verdict="",
    )


def _mean_of_configurations(values: Vector, owners: Codes) -> float | None:
    """The mean in which each configuration counts once."""
    if not len(values):
        return None
    codes = combined([owners], len(owners))
    return float((np.bincount(codes, values) / np.bincount(codes)).mean())


def _with_verdicts(differences: Sequence[PairedDifference], mode: str) -> list[PairedDifference]:
    """The differences with intervals and verdicts that hold for all comparisons of the parameter together."""
    known = sum(one.estimate is not None and one.estimate.p is not None for one in differences)
    return [judged(one, known, mode) for one in differences]


def judged(one: PairedDifference, comparisons: int, mode: str) -> PairedDifference:
    """The difference as one of so many, with its verdict: a difference is shown where its interval leaves out 0."""
    if one.estimate is None:
        return replace(one, verdict=f"not identifiable: {counted(one.n, 'pair')}")
    if one.estimate.p is None:
        inside = counted(one.estimate.configurations, "configuration")
        return replace(one, verdict=f"not identifiable: {counted(one.n, 'pair')} in {inside}")
    estimate = one.estimate.among(comparisons)
    shown = "better" if (estimate.mean > 0) == (mode == "max") else "worse"
    return replace(one, estimate=estimate, verdict=shown if estimate.is_shown else "no difference shown")


def _levels(cells: _Cells) -> tuple[tuple[Level, ...], int]:
    complete = np.isfinite(cells.means).all(axis=1)
    counts = np.bincount(cells.factor.codes, minlength=len(cells.factor.levels))
    means: list[float | None] = [
        _mean_of_configurations(column[complete], cells.configurations[complete]) for column in cells.means.T
    ]
    rows = zip(cells.factor.levels, counts.tolist(), means, strict=True)
    return tuple(Level(value, n, mean) for value, n, mean in rows), int(complete.sum())


# Notes

_MIXED = (
    "The means are over several data sets, so they mix their scores; each difference is between trials of one data set."
)


def _equal_notes(cells: _Cells) -> list[str]:
    """Sentences on values between which no trial differs at all: a setting that has no effect, or is not used."""
    if cells.rounded:
        return []
    equal: list[tuple[int, int]] = []
    for low, column in enumerate(cells.means.T):
        others = cells.means[:, low + 1 :]
        there = np.isfinite(column)[:, None] & np.isfinite(others)
        same = ((others == column[:, None]) | ~there).all(axis=0) & (there.sum(axis=0) > 1)
        equal += [(low, low + 1 + high) for high in np.flatnonzero(same).tolist()]
    levels = [f"{one:.6g}" if isinstance(one, float) else str(one) for one in cells.factor.levels]
    return [
        f"All pairs of {levels[low]} and {levels[high]} are equal to the last digit: it had no effect in these trials."
        for low, high in equal[:3]
    ]


def _refusal(trials: Trials, key: str) -> str:
    column = trials.column
    if trials.goes_with_data(key):
        return (
            f"{key} is not ranked: its values are those of several data sets, and no score is compared across data "
            "sets. conclus aggregate ranks the configurations of each data set."
        )
    if not (is_loss(column) and rescales_loss(key, trials.plug_ins)):
        return ""
    name, loss = key.rpartition(".")[2], metric_name(column)
    return (
        f"{key} is not ranked by {loss}: it can rescale the loss itself, so a smaller {loss} at another {name} "
        f"need not mean a better model. Give a quality metric, such as --on {quality_metric([key])}, or a loss as a "
        "share of its value for chance."
    )


def _notes(trials: Trials, key: str, own: Sequence[str], reference: int | None) -> list[str]:
    factor = trials.factors[key]
    notes = [_metric_note(trials.column)]
    if key == "n_clusters" and trials.column.startswith("health."):
        notes.append(NO_FAIR_SCORE)
    if is_loss(trials.column) and not rescales_loss(key, trials.plug_ins):
        notes += _ruler_notes(trials, key)
    if reference is not None:
        counts = np.bincount(factor.codes[factor.codes >= 0])
        if (counts == counts.max()).sum() == 1:
            notes.append(f"Each value is compared with {factor.levels[reference]}, the one with the most trials.")
        else:
            notes.append(f"Each value is compared with {factor.levels[reference]}; none has more trials.")
    if own:
        notes.append(f"Options that only some of its values have go with it: {', '.join(own)}.")
    if missing := int((factor.codes < 0).sum()):
        notes.append(f"{missing} trials have no value of {key} and are left out.")
    if trials.left_out:
        notes.append(f"{counted(trials.left_out, 'finished trial', 'have')} no finite value of this metric: left out.")
    return [*notes, *trials.limits()]


def _metric_note(column: str) -> str:
    name = metric_name(column)
    if part := part_of_pairs(column):
        return f"{name} is measured on the {part} part."
    return f"Compared by {name}, {about_labels(column)}."


def _ruler_notes(trials: Trials, key: str) -> list[str]:
    rulers = [name for name in trials.factors if name != key and rescales_loss(name, trials.plug_ins)]
    notes = ["A smaller training loss means a better fit, which is not yet a better clustering: see --on nmi."]
    if rulers:
        notes.append(
            f"Losses can be compared within a pair, which shares {' and '.join(rulers)}. The mean difference mixes "
            "losses of different scales: read won and lost instead."
        )
    return notes
