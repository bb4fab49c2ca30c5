"""What a study will take, from what was measured: resources for a trial, time for the whole. Arithmetic alone."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

MARGIN = 1.25
"""Trials of other seeds, and later epochs, take a little more than the one that was measured."""
_SPARE_BYTES = 1e8
_FINEST = 10_000
"""Ray keeps shares of a card to a ten-thousandth."""


def memory_gb(held: float) -> float:
    """The bound on main memory to ask for (10^9 bytes), for a trial that held so many bytes.

    A quarter more and 0.1 GB, rounded up to a tenth.
    """
    return math.ceil((held * MARGIN + _SPARE_BYTES) / 1e8 - 1e-9) / 10


def card_share(held: float, total: float, most: int) -> float | None:
    """The share of a card to ask for: the smallest of 1, 1/2, 1/3 … that holds what was measured and a quarter more.

    Args:
        held: bytes that a trial held of the card.
        total: bytes of the card.
        most: trials that the rest of the machine can run side by side; at least 1.

    Returns:
        A share that so many trials may have of one card, cut to four decimals; None where one card is too small.
    """
    wanted = held * MARGIN
    for trials in range(max(1, most), 0, -1):
        share = math.floor(_FINEST / trials) / _FINEST
        if share * total >= wanted:
            return share
    return None


def epoch_seconds(train: float, evaluation: float, every: int) -> float:
    """Of an average epoch, where each `every`-th is scored."""
    return train + evaluation / every


def study_seconds(lengths: Sequence[float], workers: int) -> float:
    """How long trials of these lengths take side by side: their sum over the workers, but no less than the longest."""
    return max(sum(lengths) / max(1, workers), max(lengths, default=0.0))


def from_done(seconds: Sequence[float], missing: int, workers: int) -> float:
    """How long the missing trials take, each as long as the median of those that are done."""
    return study_seconds([statistics.median(seconds)] * missing, workers)
