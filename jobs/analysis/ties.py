"""Which configurations the seeds fail to tell from the best one.

The best is picked by looking at the values, so it is partly the luckiest; a test of two that were chosen beforehand
finds it better far too often (in 27 of 100 sweeps of 24 equal configurations with five seeds). Here the whole procedure
is repeated on simulated sweeps in which all configurations are equal, with the same seeds and gaps, and a difference
counts as real if it is larger than the largest that 95 % of those show.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from jobs.analysis.intervals import ALPHA

Matrix = NDArray[np.floating]
_DRAWS = 3_000_000
_LEAST, _MOST = 400, 4000
"""Simulated sweeps at an error of 5 %: as many as make `_DRAWS` values in all, within these ends."""
_BLOCK = 200_000
"""Values that are worked on at a time: as many as a processor's cache holds."""


@dataclass(frozen=True, slots=True)
class Lead:
    """How far the best configuration lies above another one.

    Attributes:
        gap: The difference of their means, without what a seed adds to all.
        half_width: Half the interval of it, which holds for all of the others together and for a best that was picked;
            infinite where there are no others.
    """

    gap: float
    half_width: float

    @property
    def is_sure(self) -> bool:
        """Whether the other one is surely worse."""
        return self.gap > self.half_width


def tied(cells: Sequence[Mapping[int, float]], *, maximise: bool) -> list[bool]:
    """Of each configuration whether it may be as good as the first; see `leads`."""
    return [not lead.is_sure for lead in leads(cells, maximise=maximise)]


def leads(cells: Sequence[Mapping[int, float]], *, maximise: bool, error: float = ALPHA) -> list[Lead]:
    """How far the first configuration lies above each, itself included.

    Seeds that at least two configurations share are taken as blocks: what a seed adds to all, the median of what it
    adds to each, is no noise. The noise is the median over configurations, or a configuration's own where that is
    larger. So one that diverges now and then neither hides the others nor counts as sure.

    Args:
        cells: Seed to value of each configuration, two seeds or more, the one of the best mean first.
        maximise: Whether larger is better.
        error: The share of sweeps without any difference in which some lead may be sure.
    """
    layout = _Layout(cells)
    sign = 1.0 if maximise else -1.0
    values = np.array([[sign * cell[seed] for cell in cells for seed in sorted(cell)]])
    means, errors = layout.summary(values)
    gaps, scales = (found[0].tolist() for found in _gaps(means, errors, np.zeros(1, np.int64)))
    if len(cells) == 1:
        return [Lead(gap, np.inf) for gap in gaps]
    factor = _factor(tuple(tuple(sorted(cell)) for cell in cells), error)
    return [Lead(gap, factor * scale) for gap, scale in zip(gaps, scales, strict=True)]


@lru_cache(maxsize=256)
def _factor(seeds: tuple[tuple[int, ...], ...], error: float) -> float:
    """The same seeds have the same factor, look after look."""
    return _critical(_Layout([dict.fromkeys(one, 0.0) for one in seeds]), error)


class _Layout:
    """Where the values of each configuration and each seed stand in a row of all values."""

    def __init__(self, cells: Sequence[Mapping[int, float]]) -> None:
        counts = [len(cell) for cell in cells]
        self.counts = np.array(counts, np.float32)  # So that simulated values stay as short as they are.
        self.starts = np.cumsum([0, *counts[:-1]])
        self.owners = np.repeat(np.arange(len(cells)), counts)
        seeds = np.array([seed for cell in cells for seed in sorted(cell)])
        known, self.codes, uses = np.unique(seeds, return_inverse=True, return_counts=True)
        self.seeds = len(known)
        self.shared = {code: np.flatnonzero(self.codes == code) for code in range(len(known)) if uses[code] > 1}

    def summary(self, values: Matrix) -> tuple[Matrix, Matrix]:
        """Of each row of values the configurations' means without the seeds' effects, and their squared errors."""
        residuals = values - self._means(values).take(self.owners, axis=1)
        effects = np.zeros((len(values), self.seeds), values.dtype)
        for code, places in self.shared.items():
            effects[:, code] = np.median(residuals.take(places, axis=1), axis=1)
        values = values - effects.take(self.codes, axis=1)
        means = self._means(values)
        scatter = values - means.take(self.owners, axis=1)
        squares = np.add.reduceat(scatter**2, self.starts, axis=1) / (self.counts - 1)
        noise = np.maximum(squares, np.median(squares, axis=1, keepdims=True))
        return means, noise / self.counts

    def _means(self, values: Matrix) -> Matrix:
        return np.add.reduceat(values, self.starts, axis=1) / self.counts


def _critical(layout: _Layout, error: float = ALPHA) -> float:
    """The ratio that the best reaches over another one in a share `error` of sweeps without any difference."""
    total = len(layout.owners)
    sweeps = int(min(_MOST, max(_LEAST, _DRAWS // total)) * ALPHA / error)
    rng = np.random.default_rng(0)
    rows = max(1, _BLOCK // total)
    largest = [_largest(layout, rng, min(rows, sweeps - done)) for done in range(0, sweeps, rows)]
    return float(np.quantile(np.concatenate(largest), 1 - error))


def _largest(layout: _Layout, rng: np.random.Generator, sweeps: int) -> Matrix:
    """The ratio that the best reaches over the farthest one in each of some sweeps without any difference."""
    draws = rng.standard_normal((sweeps, len(layout.owners)), np.float32)
    means, errors = layout.summary(draws)
    return _ratios(means, errors, means.argmax(axis=1)).max(axis=1)


def _ratios(means: Matrix, errors: Matrix, best: NDArray[np.int64]) -> Matrix:
    """How many standard errors the best one lies above each."""
    gaps, scales = _gaps(means, errors, best)
    # Without any noise a difference is either nothing or certain.
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(gaps == 0, 0.0, gaps / scales)


def _gaps(means: Matrix, errors: Matrix, best: NDArray[np.int64]) -> tuple[Matrix, Matrix]:
    """How far the best one lies above each, and the standard errors of that."""
    rows = np.arange(len(means))
    return means[rows, best][:, None] - means, np.sqrt(errors + errors[rows, best][:, None])
