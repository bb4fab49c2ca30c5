"""Which configurations cannot be told from the best one, given their seeds.

The best is picked by its values, so part of its lead is luck. A test made for two configurations that were chosen
beforehand calls it better far too often (in 27 of 100 sweeps of 24 equal configurations with five seeds). So the whole
procedure is repeated on simulated sweeps in which all configurations are equal, with the same seeds and gaps. A
difference counts as real if it is larger than the largest one in 95 % of those sweeps.

The noise of a configuration is estimated from its own seeds and from those of all configurations, and the simulated
sweeps have noise as unequal as that of the values; see `leads`. Three seeds cannot tell whether configurations have
equal noise, so there the 95 % hold for equal noise alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from jobs.analysis.intervals import ALPHA, resolution, rounding

if TYPE_CHECKING:
    from jobs.analysis.estimates import Score

Matrix = NDArray[np.floating]
_COMMON = 2
"""Degrees of freedom by which the common noise counts in that of a configuration, beside its own n - 1: enough for
three seeds to tell something, and few enough for five to tell a configuration of three times the noise."""
LARGEST = 25
"""A configuration's variance counts in the common one as at most so many times the median: five times its SD."""
_DRAWS = 3_000_000
_LEAST, _MOST = 20, 1000
"""Limits of the number of simulated sweeps beyond the critical ratio; `_DRAWS` values in total are aimed at."""
FEW = 3
"""So many seeds cannot tell whether configurations have equal noise."""
FEW_SEEDS = (
    f"Up to {FEW} seeds cannot tell whether all configurations have equal noise; "
    "the comparison with the best assumes that they have."
)
_SURE = 1.645
"""The standard normal quantile of 95 %."""
_STEP, _WIDEST = 0.5, 2.0
"""The spread of the noise is rounded, so that few sweeps are simulated, and at most so much."""
_BLOCK = 200_000
"""Number of values processed at a time; they fit into a processor's cache."""


@dataclass(frozen=True, slots=True)
class Lead:
    """How far the best configuration is above another one.

    Attributes:
        gap: The difference of their means, without the effects of the seeds.
        half_width: Half the interval of the gap. It holds for all other configurations together and accounts for
            picking the best; infinite if there are no others.
    """

    gap: float
    half_width: float

    @property
    def is_sure(self) -> bool:
        """Whether the other configuration is certainly worse, at the given error."""
        return self.gap > self.half_width


def tied(cells: Sequence[Mapping[int, float]], *, maximise: bool) -> list[bool]:
    """For each configuration, whether it may be as good as the first; see `leads`."""
    return [not lead.is_sure for lead in leads(cells, maximise=maximise)]


def leads(cells: Sequence[Mapping[int, float]], *, maximise: bool, error: float = ALPHA) -> list[Lead]:
    """How far the first configuration is above each one, itself included.

    Seeds shared by at least two configurations are blocks: the effect of a seed, the median of its effects on each
    configuration, does not count as noise. The variance of a configuration is that of its own n seeds, with n - 1
    degrees of freedom, shrunk to the common variance, with 2 (Smyth 2004, equation 2, with fixed degrees of freedom).
    Where configurations of four or more seeds differ in their noise by more than chance, the simulated ones do so too:
    in a sweep of 100 equal configurations with five seeds, a quarter of them with three times the noise, any is called
    worse in at most 7 of 100. One that sometimes diverges adds little to the common variance and does not hide
    the others. The variance of values that were rounded, as to two decimals, is not below that of rounding.

    Reference: G. K. Smyth, Linear models and empirical Bayes methods for assessing differential expression in
    microarray experiments, Statistical Applications in Genetics and Molecular Biology 3 (2004).

    Args:
        cells: Value by seed of each configuration, with two or more seeds; the best mean comes first.
        maximise: Whether larger is better.
        error: The share of sweeps of equal configurations in which any lead may be called sure.
    """
    gaps, widths = Field(cells, maximise=maximise, error=error).leads(0)
    return [Lead(gap, width) for gap, width in zip(gaps.tolist(), widths.tolist(), strict=True)]


def overlap_notes(best: "Score", worse: "Iterable[Score]") -> list[str]:
    """A sentence where an interval overlaps that of the best though the seeds tell the two apart."""
    if best.low is None or best.high is None:
        return []
    ends = [(one.low, one.high) for one in worse if one.low is not None and one.high is not None]
    if not any(low <= best.high and high >= best.low for low, high in ends):
        return []
    why = (
        "Some intervals overlap that of the best though the seeds tell them apart: an interval is of one mean alone, "
        "while two configurations are compared within the seeds that they share."
    )
    return [why]


class Field:
    """Configurations of which any may be the first: what `leads` needs of their values is made once for all.

    Args:
        cells: As of `leads`, in any order.
        maximise: Whether larger is better.
        error: As of `leads`.
    """

    def __init__(self, cells: Sequence[Mapping[int, float]], *, maximise: bool, error: float = ALPHA) -> None:
        layout = _Layout(cells)
        sign = 1.0 if maximise else -1.0
        values = np.array([[sign * cell[seed] for cell in cells for seed in sorted(cell)]])
        self._means, squares = layout.moments(values, rounding(resolution(values[0].tolist())))
        self._errors, self._factor = layout.errors(squares), np.inf
        if len(cells) > 1:
            seeds = tuple(tuple(sorted(cell)) for cell in cells)
            # The factor of equal noise is the least, so that an estimate of unequal noise makes nothing surer.
            spreads = {0.0, _spread(squares[0], layout.counts - 1)}
            self._factor = max(_factor(seeds, error, spread) for spread in spreads)

    def leads(self, first: int) -> tuple[Matrix, Matrix]:
        """How far one configuration is above each, itself included, and half the intervals; see `Lead`."""
        gaps, scales = _gaps(self._means, self._errors, np.array([first]))
        return gaps[0], self._factor * scales[0] if np.isfinite(self._factor) else np.full_like(gaps[0], np.inf)


@lru_cache(maxsize=256)
def _factor(seeds: tuple[tuple[int, ...], ...], error: float, spread: float) -> float:
    """The critical ratio for these seeds, cached because every look of a race asks for the same."""
    return _critical(_Layout([dict.fromkeys(one, 0.0) for one in seeds]), error, spread)


def _spread(squares: Matrix, freedom: Matrix) -> float:
    """The standard deviation of the logarithms of the true variances, in steps of `_STEP`; 0 for equal noise.

    It is the variance of the logarithms of the estimates without the part that is of their own chance (Smyth 2004,
    section 6.2). Configurations of up to `FEW` seeds tell too little of it.
    """
    kept = (freedom >= FEW) & (squares > 0)
    if np.count_nonzero(kept) < 2:
        return 0.0
    centres, chances = np.array([_log_chi_square(int(one)) for one in freedom[kept]]).T
    excess = float(np.var(np.log(squares[kept]) - centres, ddof=1) - chances.mean())
    return min(round(max(excess, 0.0) ** 0.5 / _STEP) * _STEP, _WIDEST)


@lru_cache
def _log_chi_square(freedom: int) -> tuple[float, float]:
    """The mean and the variance of the logarithm of a chi-squared variable over its degrees of freedom.

    They are the digamma function, less a logarithm, and the trigamma function of half of the degrees of freedom.
    """
    start = 0.5 if freedom % 2 else 1.0
    steps = start + np.arange((freedom - 1) // 2)
    first = -np.euler_gamma - (2 * np.log(2) if freedom % 2 else 0.0)
    centre = first + float((1 / steps).sum()) - np.log(freedom / 2)
    return float(centre), np.pi**2 / (2 if freedom % 2 else 6) - float((1 / steps**2).sum())


class _Layout:
    """The positions of each configuration's and each seed's values in a row of all values."""

    def __init__(self, cells: Sequence[Mapping[int, float]]) -> None:
        counts = [len(cell) for cell in cells]
        self.counts = np.array(counts, np.float32)  # float32, so that simulated values stay float32.
        self.starts = np.cumsum([0, *counts[:-1]])
        self.owners = np.repeat(np.arange(len(cells)), counts)
        seeds = np.array([seed for cell in cells for seed in sorted(cell)])
        known, self.codes, uses = np.unique(seeds, return_inverse=True, return_counts=True)
        self.seeds = len(known)
        self.shared = {code: np.flatnonzero(self.codes == code) for code in range(len(known)) if uses[code] > 1}

    def summary(self, values: Matrix, least: float = 0.0) -> tuple[Matrix, Matrix]:
        """For each row of values, the configurations' means without the seeds' effects, and their squared errors."""
        means, squares = self.moments(values, least)
        return means, self.errors(squares)

    def moments(self, values: Matrix, least: float = 0.0) -> tuple[Matrix, Matrix]:
        """For each row of values, the configurations' means without the seeds' effects, and their variances.

        No variance counts as smaller than `least`.
        """
        residuals = values - self._means(values).take(self.owners, axis=1)
        effects = np.zeros((len(values), self.seeds), values.dtype)
        for code, places in self.shared.items():
            effects[:, code] = np.median(residuals.take(places, axis=1), axis=1)
        values = values - effects.take(self.codes, axis=1)
        means = self._means(values)
        scatter = values - means.take(self.owners, axis=1)
        squares = np.add.reduceat(scatter**2, self.starts, axis=1) / (self.counts - 1)
        return means, np.maximum(squares, values.dtype.type(least))

    def errors(self, squares: Matrix) -> Matrix:
        """The squared errors of means whose configurations have these variances."""
        freedom = self.counts - 1
        return (_COMMON * _common(squares, freedom) + freedom * squares) / (_COMMON + freedom) / self.counts

    def _means(self, values: Matrix) -> Matrix:
        return np.add.reduceat(values, self.starts, axis=1) / self.counts


def _common(squares: Matrix, freedom: Matrix) -> Matrix:
    """The mean of the variances in each row, weighted by degrees of freedom; very large ones count less."""
    most = LARGEST * np.median(squares, axis=1, keepdims=True)
    kept = np.where(most > 0, np.minimum(squares, most), squares)
    return (kept @ freedom)[:, None] / freedom.sum()


def _critical(layout: _Layout, error: float = ALPHA, spread: float = 0.0) -> float:
    """The ratio that the best one's lead exceeds in a share `error` of sweeps of equal configurations, or in fewer.

    The simulated sweeps tell that ratio by chance: of 200 configurations with five seeds, the plain quantile of 3,000
    sweeps was exceeded in .062. So it is Wilks' tolerance limit, which is large enough in 95 of 100 draws.

    Reference: S. S. Wilks, Determination of sample sizes for setting tolerance limits, Ann. Math. Stat. 12 (1941).

    Args:
        layout: The values of the sweeps.
        error: That share.
        spread: The standard deviation of the logarithms of the variances of the configurations' noise.
    """
    total = len(layout.owners)
    sweeps = int(min(_MOST / error, max(_LEAST / error, _DRAWS // total)))
    rng = np.random.default_rng(0)
    rows = max(1, _BLOCK // total)
    largest = [_largest(layout, rng, min(rows, sweeps - done), spread) for done in range(0, sweeps, rows)]
    allowed = error - _SURE * (error * (1 - error) / sweeps) ** 0.5
    return float(np.quantile(np.concatenate(largest), 1 - allowed))


def _largest(layout: _Layout, rng: np.random.Generator, sweeps: int, spread: float) -> Matrix:
    """The largest ratio of a lead to its error in each of `sweeps` simulated sweeps of equal configurations."""
    draws = rng.standard_normal((sweeps, len(layout.owners)), np.float32)
    if spread:
        noise = np.exp(np.float32(spread / 2) * rng.standard_normal((sweeps, len(layout.counts)), np.float32))
        draws *= noise.take(layout.owners, axis=1)
    means, errors = layout.summary(draws)
    return _ratios(means, errors, means.argmax(axis=1)).max(axis=1)


def _ratios(means: Matrix, errors: Matrix, best: NDArray[np.int64]) -> Matrix:
    """How many standard errors the best one is above each."""
    gaps, scales = _gaps(means, errors, best)
    # With no noise at all, a difference is either zero or certain.
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(gaps == 0, 0.0, gaps / scales)


def _gaps(means: Matrix, errors: Matrix, best: NDArray[np.int64]) -> tuple[Matrix, Matrix]:
    """How far the best one is above each, and the standard errors of these gaps."""
    rows = np.arange(len(means))
    return means[rows, best][:, None] - means, np.sqrt(errors + errors[rows, best][:, None])
