"""Learning curves: the mean over a configuration's seeds, epoch by epoch, with the 95 % interval of that mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, sqrt

import numpy as np
import pyarrow as pa

from jobs.analysis.intervals import quantile
from jobs.results.header import FINISHED
from jobs.results.reader import HISTORY_COLUMN

POINTS = 40
"""The most epochs kept per curve; a plot of a few hundred pixels shows fewer."""

Key = tuple[str, str]
Points = dict[int, float]


@dataclass(frozen=True, slots=True)
class Curve:
    """One metric of one configuration over the epochs that all its finished trials have.

    Attributes:
        epochs: At most `POINTS` epochs, ascending.
        means: Mean over the seeds, one per epoch.
        half_widths: Half the 95 % t-interval of the mean, one per epoch; empty for one seed.
        seeds: One entry per trial: its seed, and its value per epoch.
    """

    epochs: tuple[int, ...]
    means: tuple[float, ...]
    half_widths: tuple[float, ...]
    seeds: tuple[tuple[int, tuple[float, ...]], ...]


def curve_metrics(table: pa.Table) -> list[str]:
    """The metrics in the histories, sorted; names of label-free signals start with `health.`."""
    if HISTORY_COLUMN not in table.column_names:
        return []
    items = table[HISTORY_COLUMN].combine_chunks().flatten()
    return sorted(items.field("metric").unique().to_pylist())


def curves(table: pa.Table, metric: str) -> dict[Key, Curve]:
    """The curve of each configuration of each study that has finished trials with this metric.

    Args:
        table: Rows from `read_results`, one per trial, with their histories.
        metric: A name of `curve_metrics`.
    """
    points = points_by_row(table, metric)
    identity = zip(*(table[name].to_pylist() for name in ("study", "config_key", "seed", "status")), strict=True)
    cells: dict[Key, dict[int, Points]] = {}
    for row, (study, config_key, seed, status) in enumerate(identity):
        if status in FINISHED and row in points:
            cells.setdefault((study, config_key), {})[seed] = points[row]
    found = {key: _curve(trials) for key, trials in cells.items()}
    return {key: curve for key, curve in found.items() if curve.epochs}


def points_by_row(table: pa.Table, metric: str) -> dict[int, Points]:
    """The finite values, by row and by epoch."""
    history = table[HISTORY_COLUMN].combine_chunks()
    items = history.flatten()
    names = items.field("metric").dictionary_encode()
    # numpy, because pyarrow.compute would turn the name into a scalar, which imports pandas.
    wanted = np.from_dlpack(names.indices) == names.dictionary.to_pylist().index(metric)
    columns = [history.value_parent_indices(), items.field("epoch"), items.field("value")]
    found: dict[int, Points] = {}
    for row, epoch, value in zip(*(np.from_dlpack(column)[wanted].tolist() for column in columns), strict=True):
        if isfinite(value):
            found.setdefault(row, {})[epoch] = value
    return found


def _curve(trials: dict[int, Points]) -> Curve:
    epochs = _thinned(sorted(set.intersection(*(set(points) for points in trials.values()))))
    values = np.array([[points[epoch] for epoch in epochs] for points in trials.values()])
    return Curve(
        epochs=tuple(epochs),
        means=tuple(values.mean(axis=0).tolist()),
        half_widths=tuple(_half_widths(values)) if len(trials) > 1 else (),
        seeds=tuple((seed, tuple(row)) for seed, row in zip(trials, values.tolist(), strict=True)),
    )


def _half_widths(values: np.ndarray) -> list[float]:
    n = len(values)
    return (quantile(n - 1) / sqrt(n) * values.std(axis=0, ddof=1)).tolist()


def _thinned(epochs: Sequence[int]) -> list[int]:
    """At most `POINTS` of the epochs, evenly spread, with the first and the last."""
    if len(epochs) <= POINTS:
        return list(epochs)
    return [epochs[round(i * (len(epochs) - 1) / (POINTS - 1))] for i in range(POINTS)]
