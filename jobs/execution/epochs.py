"""Adds the results of an epoch to the row of an attempt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jobs.results.schema import Attempt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from core.training.fit import EpochRow


def add(attempt: Attempt, row: EpochRow, seconds: float, changing: Mapping[str, float]) -> dict[str, float]:
    """Adds an epoch after so many seconds of the trial, with the values of parameters that change.

    Returns:
        The epoch's losses and scores, and the signals of an epoch that was scored, by name.
    """
    attempt.seconds, attempt.epochs_done = seconds, row.epoch
    metrics, signals = _plain(row.metrics), _plain(row.health)
    named = metrics | {f"health.{name}": value for name, value in signals.items()}
    named |= {f"hp.{key}": value for key, value in changing.items()}
    attempt.history += [(row.epoch, seconds, name, value) for name, value in named.items()]
    attempt.metrics |= metrics
    attempt.health |= signals
    if row.scores is None:
        return metrics
    attempt.cluster_sizes = _listed(row.scores.cluster_sizes)
    attempt.probe_labels = _listed(row.scores.probe_labels)
    return metrics | _plain(row.scores.health)


def _plain(values: Mapping[str, float]) -> dict[str, float]:
    """The values as Python floats: torch refuses to load numpy scalars, and the trial would restart."""
    return {name: float(value) for name, value in values.items()}


def _listed(numbers: NDArray[np.int64] | None) -> list[int] | None:
    return None if numbers is None else numbers.tolist()
