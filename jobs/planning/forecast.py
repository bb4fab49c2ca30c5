"""Computes the resources for a trial and the time for a study from measured values."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

MARGIN = 1.25
"""Other seeds and later epochs may take a little more than the measured trial."""
_SPARE_BYTES = 1e8
_FINEST = 10_000
"""Ray rounds shares of a GPU to 1/10,000."""


def memory_gb(held: float) -> float:
    """The main memory to ask for, in GB (10^9 bytes), for a trial that used `held` bytes.

    It is a quarter more plus 0.1 GB, rounded up to a tenth.
    """
    return math.ceil((held * MARGIN + _SPARE_BYTES) / 1e8 - 1e-9) / 10


def card_share(held: float, total: float, most: int) -> float | None:
    """The share of a GPU to ask for: the smallest of 1, 1/2, 1/3 … with room for the measured memory plus a quarter.

    Args:
        held: bytes of GPU memory that a trial used.
        total: bytes of the GPU's memory.
        most: trials that the rest of the machine can run at the same time; at least 1.

    Returns:
        The share, cut to four decimals; None if one GPU is too small.
    """
    wanted = held * MARGIN
    for trials in range(max(1, most), 0, -1):
        share = math.floor(_FINEST / trials) / _FINEST
        if share * total >= wanted:
            return share
    return None


def epoch_seconds(train: float, evaluation: float, every: int) -> float:
    """Seconds of an average epoch if every `every`-th one is scored."""
    return train + evaluation / every


def study_seconds(lengths: Sequence[float], workers: int) -> float:
    """Seconds for trials of these lengths in parallel: their sum divided by the workers, at least the longest."""
    return max(sum(lengths) / max(1, workers), max(lengths, default=0.0))


def from_done(seconds: Sequence[float], missing: int, workers: int) -> float:
    """Seconds for the missing trials if each takes the median time of those that are done."""
    return study_seconds([statistics.median(seconds)] * missing, workers)
