"""Whether the effect of one parameter depends on another: a table over both, and differences of differences.

`interaction(trials, first, second, mode)` is the whole analysis.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise, product
from typing import Any

import numpy as np

from core.errors import UserError
from jobs.analysis.data_sets import DATA
from jobs.analysis.effect import own_options
from jobs.analysis.intervals import Estimate, paired, resolution, rounding
from jobs.analysis.scores import is_loss, metric_name, quality_metric, rescales_loss
from jobs.analysis.trials import Codes, Factor, Trials, Vector

MOST_LEVELS = 12


@dataclass(frozen=True, slots=True)
class Cell:
    """The trials with one value of each of the two parameters.

    Attributes:
        mean: The metric's mean over them.
        n: Their number, at least one; empty cells are left out.
    """

    mean: float
    n: int


@dataclass(frozen=True, slots=True)
class Contrast:
    """How much more a step of one parameter changes the metric after a step of the other.

    Attributes:
        first: The step of the first parameter: from, to.
        second: The step of the second.
        estimate: The difference of the differences, corrected for the number of contrasts; None if there are too few
            groups of four trials.
        n: Number of groups of four trials that are equal in everything else.
        verdict: `depends`, `no dependence shown`, or why there is no verdict.
    """

    first: tuple[Any, Any]
    second: tuple[Any, Any]
    estimate: Estimate | None
    n: int
    verdict: str


@dataclass(frozen=True, slots=True)
class Interaction:
    """Two parameters together.

    Attributes:
        keys: Their dotted keys.
        column: The metric's column.
        levels: The values of both.
        cells: The cells that were run, by their positions in `levels`.
        contrasts: The differences of differences between neighbouring values.
        refusal: Why cells must not be ranked by this metric; empty if they may be.
        notes: Sentences on the limits of these numbers.
    """

    keys: tuple[str, str]
    column: str
    levels: tuple[tuple[Any, ...], tuple[Any, ...]]
    cells: dict[tuple[int, int], Cell]
    contrasts: tuple[Contrast, ...]
    refusal: str
    notes: tuple[str, ...]


def interaction(trials: Trials, first: str, second: str) -> Interaction:
    """The metric over two parameters, and whether the effect of one depends on the other.

    Args:
        trials: From `jobs.analysis.trials.gather`.
        first: The dotted key of one of `trials.factors`.
        second: The dotted key of another one.

    Raises:
        UserError: The keys are the same, or a parameter has too many values for a table.
    """
    if first == second:
        raise UserError(f"{first} cannot interact with itself: name two parameters.")
    trials = trials.by_data_set(first, second)
    if len(trials.factors[first].levels) < len(trials.factors[second].levels):
        first, second = second, first  # The longer one goes down: a terminal has more lines than columns.
    factors = (_tabular(trials.factors[first]), _tabular(trials.factors[second]))
    there = trials.only((factors[0].codes >= 0) & (factors[1].codes >= 0))
    cells = _cells(there, first, second)
    rulers = [key for key in (first, second) if is_loss(trials.column) and rescales_loss(key, trials.plug_ins)]
    refusal = _refusal(trials.column, rulers)
    data = [key for key in (first, second) if key.startswith(DATA)]
    if data and len(np.unique(there.data.codes)) > 1:
        refusal = f"{data[0]} is not compared: no score is compared across data sets, see conclus aggregate."
    return Interaction(
        keys=(first, second),
        column=trials.column,
        levels=(factors[0].levels, factors[1].levels),
        cells=cells,
        contrasts=() if refusal else tuple(_contrasts(there, first, second)),
        refusal=refusal,
        notes=tuple(_notes(there, first, second, cells)),
    )


def _tabular(factor: Factor) -> Factor:
    if len(factor.levels) > MOST_LEVELS:
        raise UserError(
            f"{factor.key} has {len(factor.levels)} values, too many for a table of at most {MOST_LEVELS}: narrow it "
            "with --where, or see `conclus importance`, which looks at all pairs."
        )
    return factor


def _cells(trials: Trials, first: str, second: str) -> dict[tuple[int, int], Cell]:
    places = list(zip(trials.factors[first].codes.tolist(), trials.factors[second].codes.tolist(), strict=True))
    values: dict[tuple[int, int], list[float]] = {}
    for place, value in zip(places, trials.values.tolist(), strict=True):
        values.setdefault(place, []).append(value)
    return {place: Cell(sum(found) / len(found), len(found)) for place, found in values.items()}


def _contrasts(trials: Trials, first: str, second: str) -> list[Contrast]:
    blocks = _Blocks.of(trials, first, second)
    rows, columns = trials.factors[first], trials.factors[second]
    found = [_contrast(blocks, (rows, columns), a, b) for a, b in product(_steps(rows), _steps(columns))]
    known = sum(not one.verdict for one in found)
    return [_judged(one, known) for one in found]


def _judged(one: Contrast, comparisons: int) -> Contrast:
    """The contrast as one of so many; its verdict follows from whether its interval leaves out 0."""
    if one.estimate is None or one.verdict:
        return one
    estimate = one.estimate.among(comparisons)
    return replace(one, estimate=estimate, verdict="depends" if estimate.is_shown else "no dependence shown")


@dataclass(frozen=True, slots=True)
class _Blocks:
    """One value per block (all else equal, seed included) and pair of levels, shape (blocks, first, second).

    NaN where no trial was run. `rounded` is the variance that rounding adds to a difference of differences.
    """

    means: Vector
    configurations: Codes
    seeds: Codes
    rounded: float

    @classmethod
    def of(cls, trials: Trials, first: str, second: str) -> "_Blocks":
        free = [first, second, *own_options(trials, first), *own_options(trials, second)]
        blocks = trials.groups(free, seeds=True)
        rows, columns = trials.factors[first], trials.factors[second]
        shape = (int(blocks.max(initial=-1)) + 1, len(rows.levels), len(columns.levels))
        place = np.ravel_multi_index((blocks, rows.codes, columns.codes), shape)
        counts = np.bincount(place, minlength=int(np.prod(shape)))
        sums = np.bincount(place, trials.values, minlength=int(np.prod(shape)))
        means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan).reshape(shape)
        owners, seeds = np.zeros((2, shape[0]), np.int64)
        owners[blocks], seeds[blocks] = trials.groups(free, seeds=False), trials.seeds.codes
        return cls(means, owners, seeds, 4 * rounding(resolution(trials.values.tolist())))


def _steps(factor: Factor) -> list[tuple[int, int]]:
    places = range(len(factor.levels))
    return list(pairwise(places)) if factor.is_number else list(combinations(places, 2))


def _contrast(
    blocks: _Blocks, factors: tuple[Factor, Factor], rows: tuple[int, int], columns: tuple[int, int]
) -> Contrast:
    fours = blocks.means[:, rows][:, :, columns]
    values = fours[:, 1, 1] - fours[:, 0, 1] - fours[:, 1, 0] + fours[:, 0, 0]
    there = np.isfinite(values)
    n = int(there.sum())
    estimate = paired(values[there], blocks.configurations[there], blocks.seeds[there], blocks.rounded)
    known = estimate is not None and estimate.p is not None
    return Contrast(
        first=(factors[0].levels[rows[0]], factors[0].levels[rows[1]]),
        second=(factors[1].levels[columns[0]], factors[1].levels[columns[1]]),
        estimate=estimate,
        n=n,
        verdict="" if known else f"not identifiable: {n} four{'s' * (n != 1)}",
    )


def _refusal(column: str, rulers: Sequence[str]) -> str:
    if not rulers:
        return ""
    return (
        f"Cells are not ranked by {metric_name(column)}: {' and '.join(rulers)} can rescale the loss itself, so "
        f"losses of different cells cannot be compared. Give a quality metric, such as --on {quality_metric(rulers)}."
    )


def _notes(trials: Trials, first: str, second: str, cells: dict[tuple[int, int], Cell]) -> list[str]:
    notes: list[str] = []
    empty = len(trials.factors[first].levels) * len(trials.factors[second].levels) - len(cells)
    if empty:
        notes.append(f"{empty} of {empty + len(cells)} cells were not run.")
    if len({cell.n for cell in cells.values()}) > 1:
        notes.append("Cells hold different numbers of trials: their means may also differ in what else was varied.")
    return [*notes, *trials.limits()]
