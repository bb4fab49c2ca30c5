"""What one hyper-parameter does to a metric, from trials that are equal in everything else.

`effect(trials, key, mode)` is the whole analysis, `compare(trials, key, mode)` its comparisons alone, and
`paired(differences, configurations)` the interval of any matched differences.

Two trials make a pair when data, seed and every other parameter are equal. A configuration of the others may react to
the parameter in its own way, so its pairs are not independent witnesses: the configuration is what is counted. From
four on, the interval is Student's of the configurations' mean differences, and speaks of configurations like these.
Of fewer that were repeated, it is made from the scatter of the seeds inside each, and speaks of these configurations.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from jobs.analysis import student
from jobs.analysis.intervals import holm, quantile
from jobs.analysis.scores import is_loss, metric_name, part_of_pairs, quality_metric, rescales_loss, uses_labels
from jobs.analysis.slices import Slice, slices
from jobs.analysis.trials import Codes, Factor, Trials, Vector, combined

FEWEST = 3
"""Pairs below which nothing is said of a difference."""
ENOUGH = 4
"""Configurations from which on they are the unit of replication."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean difference and what is known of it.

    Attributes:
        mean: The mean over configurations of each one's mean difference.
        half_width: Half its 95 % interval; None where nothing tells its spread.
        p: Of "there is no difference", two-sided; None likewise.
        n: Number of pairs.
        configurations: Number of configurations of the other parameters that they belong to.
        unit: What was counted: `configuration` or `seed`; empty where nothing is said.
    """

    mean: float
    half_width: float | None
    p: float | None
    n: int
    configurations: int
    unit: str


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """One value of the parameter against another, over matched pairs.

    Attributes:
        low: The value that is compared with: the next lower one, or the reference.
        high: The value that is compared.
        mean_low: The metric's mean at `low`, over the pairs and each configuration once; None without pairs.
        mean_high: The same at `high`.
        estimate: Of the metric at `high` less that at `low`; None for fewer than `FEWEST` pairs.
        n: Number of pairs.
        wins: Pairs in which `high` is the better one.
        losses: Pairs in which it is the worse one.
        verdict: `better`, `worse`, `no difference shown`, or why nothing is said.
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
        """Pairs in which both are equal."""
        return self.n - self.wins - self.losses


@dataclass(frozen=True, slots=True)
class Level:
    """One value of the parameter.

    Attributes:
        value: The value.
        n: Trials that have it.
        matched: The metric's mean over the blocks that have every value; None where there are none.
    """

    value: Any
    n: int
    matched: float | None


@dataclass(frozen=True, slots=True)
class Effect:
    """What one parameter does.

    Attributes:
        key: Its dotted key.
        column: The metric's column.
        mode: `max` or `min`.
        reference: What each value is compared with; None where values have an order and neighbours are compared.
        differences: The comparisons.
        levels: Its values, with their means over complete blocks.
        blocks: Number of complete blocks: equal in data, seed and other parameters, and with every value.
        slices: The slices with at least two values, the longest first.
        refusal: Why its values must not be ranked by this metric; empty where they may.
        notes: Sentences on what the numbers do not say.
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
    """What the parameter `key` does to the trials' metric.

    Args:
        trials: From `jobs.analysis.trials.gather`.
        key: The dotted key of one of `trials.factors`.
        mode: `max` or `min`, whichever is better.
    """
    factor = trials.factors[key]
    valued = trials.only(factor.codes >= 0)
    own = own_options(valued, key)
    cells = _Cells.of(valued, key, own)
    reference = _reference(cells.factor)
    refusal = _refusal(trials.column, key)
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
        notes=tuple(_notes(trials, key, own, reference)),
    )


def compare(trials: Trials, key: str, mode: str) -> list[PairedDifference]:
    """The comparisons of `effect` alone, whatever the metric: neighbours, or each value with the most frequent one."""
    valued = trials.only(trials.factors[key].codes >= 0)
    cells = _Cells.of(valued, key, own_options(valued, key))
    return _differences(cells, mode, _reference(cells.factor))


def against(trials: Trials, key: str, mode: str, reference: Any) -> list[PairedDifference]:
    """Every other value of the parameter against the value `reference`."""
    valued = trials.only(trials.factors[key].codes >= 0)
    cells = _Cells.of(valued, key, own_options(valued, key))
    return _differences(cells, mode, cells.factor.levels.index(reference))


def paired(differences: Vector, configurations: Codes) -> Estimate | None:
    """The mean of matched differences with its 95 % interval; None for fewer than `FEWEST`.

    Each configuration counts once, however many seeds it was repeated with. Seeds are taken as independent between
    configurations.

    Args:
        differences: One per pair.
        configurations: The configuration of the other parameters that each pair belongs to, any whole numbers.
    """
    n = len(differences)
    if n < FEWEST:
        return None
    _, codes = np.unique(configurations, return_inverse=True)
    counts = np.bincount(codes)
    means = np.bincount(codes, differences) / counts
    groups = len(counts)
    mean = float(means.mean())
    if groups >= ENOUGH or groups == n:
        half, p = _student(mean, float(means.var(ddof=1)) / groups, groups - 1)
        return Estimate(mean, half, p, n, groups, "configuration")
    if n - groups < 2:
        return Estimate(mean, None, None, n, groups, "")
    pooled = float(((differences - means[codes]) ** 2).sum()) / (n - groups)
    half, p = _student(mean, pooled * float((1 / counts).sum()) / groups**2, n - groups)
    return Estimate(mean, half, p, n, groups, "seed")


def own_options(trials: Trials, key: str) -> list[str]:
    """The options that only some choices of a plug-in have: they go with its name `key` and are not held."""
    head, _, last = key.rpartition(".")
    if last != "name":
        return []
    chosen = trials.factors[key]
    inside = [one for one in trials.factors.values() if one.key != key and one.key.startswith(f"{head}.")]
    return [one.key for one in inside if not _in_all(one, chosen)]


def _in_all(option: Factor, choice: Factor) -> bool:
    having = np.bincount(choice.codes[option.codes >= 0], minlength=len(choice.levels))
    return bool((having > 0).all())


def _student(mean: float, squared_error: float, freedom: int) -> tuple[float, float]:
    """Half the interval, and the two-sided p-value of "the mean is 0"."""
    error = math.sqrt(squared_error)
    half = quantile(freedom) * error
    # Without any spread the difference is either nothing or certain.
    p = 2 * student.upper(abs(mean) / error, freedom) if error > 0 else float(mean == 0)
    return half, p


# Matched pairs


@dataclass(frozen=True, slots=True)
class _Cells:
    """One value per block and level: repeats that nothing tells apart are averaged.

    `means` has blocks as rows and levels as columns, NaN where nothing was run.
    """

    factor: Factor
    means: Vector
    configurations: Codes

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
        owners = np.zeros(shape[0], np.int64)
        owners[blocks] = configurations
        return cls(factor, means, owners)


def _reference(factor: Factor) -> int | None:
    """For words the most frequent level, the first of several: chosen without the metric, which would favour it."""
    return None if factor.is_number else int(np.bincount(factor.codes).argmax())


def _differences(cells: _Cells, mode: str, reference: int | None) -> list[PairedDifference]:
    places = range(len(cells.factor.levels))
    if reference is None:
        comparisons = list(pairwise(places))
    else:
        comparisons = [(reference, other) for other in places if other != reference]
    found = [_difference(cells, low, high, mode) for low, high in comparisons]
    return _judged(found, mode)


def _difference(cells: _Cells, low: int, high: int, mode: str) -> PairedDifference:
    both = np.isfinite(cells.means[:, low]) & np.isfinite(cells.means[:, high])
    before, after, owners = cells.means[both, low], cells.means[both, high], cells.configurations[both]
    gains = (after - before) * (1 if mode == "max" else -1)
    return PairedDifference(
        low=cells.factor.levels[low],
        high=cells.factor.levels[high],
        mean_low=_evenly(before, owners),
        mean_high=_evenly(after, owners),
        estimate=paired(after - before, owners),
        n=int(both.sum()),
        wins=int((gains > 0).sum()),
        losses=int((gains < 0).sum()),
        verdict="",
    )


def _evenly(values: Vector, owners: Codes) -> float | None:
    """The mean in which each configuration counts once."""
    if not len(values):
        return None
    codes = combined([owners], len(owners))
    return float((np.bincount(codes, values) / np.bincount(codes)).mean())


def _judged(differences: Sequence[PairedDifference], mode: str) -> list[PairedDifference]:
    """The verdicts, Holm's correction over all comparisons of the parameter."""
    p_values = [one.estimate.p for one in differences if one.estimate and one.estimate.p is not None]
    rejected = iter(holm(p_values))
    return [replace(one, verdict=_verdict(one, rejected, mode)) for one in differences]


def _verdict(one: PairedDifference, rejected: Iterator[bool], mode: str) -> str:
    if one.estimate is None:
        return f"not identifiable: {one.n} pair{'s' * (one.n != 1)}"
    if one.estimate.p is None:
        return f"not identifiable: {one.n} pairs in {one.estimate.configurations} configurations"
    if not next(rejected):
        return "no difference shown"
    return "better" if (one.estimate.mean > 0) == (mode == "max") else "worse"


def _levels(cells: _Cells) -> tuple[tuple[Level, ...], int]:
    complete = np.isfinite(cells.means).all(axis=1)
    counts = np.bincount(cells.factor.codes, minlength=len(cells.factor.levels))
    means: list[float | None] = [_evenly(column[complete], cells.configurations[complete]) for column in cells.means.T]
    rows = zip(cells.factor.levels, counts.tolist(), means, strict=True)
    return tuple(Level(value, n, mean) for value, n, mean in rows), int(complete.sum())


# What must be said


def _refusal(column: str, key: str) -> str:
    if not (is_loss(column) and rescales_loss(key)):
        return ""
    name, loss = key.rpartition(".")[2], metric_name(column)
    return (
        f"{key} is not ranked by {loss}: it rescales the loss itself, so that {loss} at two values of {name} is "
        f"measured with two rulers, and the smaller one does not mean the better model. Give a quality metric, such "
        f"as --on {quality_metric([key])}, or a loss as a share of its value for chance."
    )


def _notes(trials: Trials, key: str, own: Sequence[str], reference: int | None) -> list[str]:
    factor = trials.factors[key]
    notes = [_metric_note(trials.column)]
    if is_loss(trials.column) and not rescales_loss(key):
        notes += _ruler_notes(trials, key)
    if reference is not None:
        notes.append(f"Each value is compared with {factor.levels[reference]}, the one with the most trials.")
    if own:
        notes.append(f"Options that only some of its values have go with it: {', '.join(own)}.")
    if missing := int((factor.codes < 0).sum()):
        notes.append(f"{missing} trials have no value of {key} and are left out.")
    if trials.left_out:
        notes.append(f"{trials.left_out} finished trials have no finite value of this metric and are left out.")
    return notes


def _metric_note(column: str) -> str:
    name = metric_name(column)
    if part := part_of_pairs(column):
        return f"{name} is of the {part} part."
    return f"{name} {'uses' if uses_labels(column) else 'does not use'} the labels."


def _ruler_notes(trials: Trials, key: str) -> list[str]:
    rulers = [name for name in trials.factors if name != key and rescales_loss(name)]
    notes = ["A smaller training loss is a better fit of its own task, not yet a better clustering: see --on nmi."]
    if rulers:
        notes.append(
            f"Pairs share {' and '.join(rulers)}, and so their loss's ruler: within a pair the losses compare, but "
            "the mean difference is one over several rulers: read won and lost."
        )
    return notes
