"""Which configurations the seeds fail to tell from the best one.

The best is picked by looking at the values, so it is partly the luckiest; a test of two that were chosen beforehand
finds it better far too often (in 27 of 100 sweeps of 24 equal configurations with five seeds). Here the whole procedure
is repeated on simulated sweeps in which all configurations are equal, with the same seeds and gaps, and a difference
counts as real if it is larger than the largest that 95 % of those show.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from jobs.analysis.intervals import CONFIDENCE

Matrix = NDArray[np.float64]
_DRAWS = 5_000_000
_LEAST, _MOST = 500, 4000
"""Simulated sweeps: as many as make `_DRAWS` values in all, within these ends."""


def tied(cells: Sequence[Mapping[int, float]], *, maximise: bool) -> list[bool]:
    """Of each configuration whether it may be as good as the first.

    Seeds that at least two configurations share are taken as blocks: what a seed adds to all, the median of what it
    adds to each, is no noise. The noise is the median over configurations, or a configuration's own where that is
    larger. So one that diverges now and then neither hides the others nor counts as sure.

    Args:
        cells: Seed to value of each configuration, two seeds or more, the one of the best mean first.
        maximise: Whether larger is better.
    """
    layout = _Layout(cells)
    if len(cells) == 1 or layout.freedom < 1:
        return [True] * len(cells)
    sign = 1.0 if maximise else -1.0
    values = np.array([[sign * cell[seed] for cell in cells for seed in sorted(cell)]])
    means, errors = layout.summary(values)
    observed = _ratios(means, errors, np.zeros(1, np.int64))[0]
    return (observed <= _critical(layout)).tolist()


class _Layout:
    """Where the values of each configuration and each seed stand in a row of all values."""

    def __init__(self, cells: Sequence[Mapping[int, float]]) -> None:
        self.counts = np.array([len(cell) for cell in cells])
        self.starts = np.cumsum([0, *self.counts[:-1]])
        self.owners = np.repeat(np.arange(len(cells)), self.counts)
        seeds = np.array([seed for cell in cells for seed in sorted(cell)])
        known, codes, uses = np.unique(seeds, return_inverse=True, return_counts=True)
        self.shared = [np.flatnonzero(codes == code) for code in range(len(known)) if uses[code] > 1]
        self.freedom = len(seeds) - len(cells) - max(0, len(self.shared) - 1)

    def summary(self, values: Matrix) -> tuple[Matrix, Matrix]:
        """Of each row of values the configurations' means without the seeds' effects, and their squared errors."""
        residuals = values - self._means(values)[:, self.owners]
        values = values.copy()
        for places in self.shared:
            values[:, places] -= np.median(residuals[:, places], axis=1, keepdims=True)
        means = self._means(values)
        squares = np.add.reduceat((values - means[:, self.owners]) ** 2, self.starts, axis=1) / (self.counts - 1)
        noise = np.maximum(squares, np.median(squares, axis=1, keepdims=True))
        return means, noise / self.counts

    def _means(self, values: Matrix) -> Matrix:
        return np.add.reduceat(values, self.starts, axis=1) / self.counts


def _critical(layout: _Layout) -> float:
    """The ratio that the best reaches over another one in 5 % of sweeps without any difference."""
    total = len(layout.owners)
    sweeps = min(_MOST, max(_LEAST, _DRAWS // total))
    means, errors = layout.summary(np.random.default_rng(0).standard_normal((sweeps, total)))
    return float(np.quantile(_ratios(means, errors, means.argmax(axis=1)).max(axis=1), CONFIDENCE))


def _ratios(means: Matrix, errors: Matrix, best: NDArray[np.int64]) -> Matrix:
    """How many standard errors the best one lies above each."""
    rows = np.arange(len(means))
    gaps = means[rows, best][:, None] - means
    scale = np.sqrt(errors + errors[rows, best][:, None])
    # Without any noise a difference is either nothing or certain.
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(gaps == 0, 0.0, gaps / scale)
