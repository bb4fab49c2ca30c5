"""Simulated studies of the audit, as rows in the store."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.audit_claims import Draw
from jobs.analysis import trials
from jobs.results import schema, writer
from jobs.results.reader import read_results

Values = NDArray[np.float64]
Grid = Callable[..., Values]
NOISE = 0.01
LEVEL = 0.5
"""The true score; far from the bounds of a score."""
BATCH = 50
"""Studies in one file of the store."""
PARAMETERS = ("optimiser.learning_rate", "optimiser.weight_decay", "encoder.dropout")
LOST = "DIVERGED: the loss is not finite"
DEAD = "DIED: the worker died"


@dataclass(frozen=True)
class Study:
    """A study's trials as a grid.

    Attributes:
        values: The scores, one axis per parameter, the seeds last; NaN where there is none.
        metric: Their name.
        reasons: Why a trial without a score failed, by its place; where there is none, it was not run.
        also: Further parameters, the same in all trials.
        data: The hash of the data.
        signals: Label-free signals by name, in the shape of `values`.
    """

    values: Values
    metric: str = "nmi"
    reasons: Mapping[tuple[int, ...], str] = field(default_factory=dict)
    also: Mapping[str, Any] = field(default_factory=dict)
    data: str = "d"
    signals: Mapping[str, Values] = field(default_factory=dict)

    def attempts(self, name: str) -> Iterator[schema.Attempt]:
        """The rows of its trials."""
        usual = {"method.name": "cc", "data.name": "digits", **self.also}
        for number, place in enumerate(np.ndindex(self.values.shape)):
            value, reason = float(self.values[place]), self.reasons.get(place, "")
            if math.isnan(value) and not reason:
                continue
            config = f"{self.data}-{'-'.join(map(str, place[:-1]))}"
            yield schema.Attempt(
                study=name,
                trial_key=f"{config}-{place[-1]}",
                config_key=config,
                seed=place[-1],
                attempt_id=f"{number:026}",
                status="failed" if reason else "ok",
                reason=reason,
                params=usual | {key: 2.0**level for key, level in zip(PARAMETERS, place[:-1], strict=False)},
                metrics={} if reason else {self.metric: value},
                health={name: float(signal[place]) for name, signal in self.signals.items()},
                data_hash=self.data,
                seconds=1.0,
            )


def stored(studies: Iterable[Study]) -> Iterator[pa.Table]:
    """The rows of each study as the store's reader gives them, many studies to a file."""
    rest = iter(studies)
    while batch := list(islice(rest, BATCH)):
        names = [f"s{number:03}" for number in range(len(batch))]
        rows = [row for name, one in zip(names, batch, strict=True) for row in one.attempts(name)]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "part.parquet")
            writer.put(file, writer.serialise(schema.to_table(rows)))
            table = read_results(str(file))
        owners = np.array(table["study"].to_pylist())
        ends = np.searchsorted(owners, names, side="right")
        for begin, end in zip([0, *ends[:-1]], ends, strict=True):
            yield table.slice(begin, end - begin)


def drawn(make: Grid, shape: tuple[int, ...], rng: Draw, count: int, digits: int | None = None) -> Iterator[Study]:
    """`count` studies by one of the functions above; with `digits`, written down with so many decimals."""
    for _ in range(count):
        values = make(rng, *shape)
        yield Study(values if digits is None else values.round(digits))


def gathered(studies: Iterable[Study]) -> Iterator[trials.Trials]:
    """The trials of each."""
    for table in stored(studies):
        yield trials.gather(table, "nmi")


def normal(rng: Draw, *shape: int) -> Values:
    """Scores of studies in which nothing has an effect."""
    return LEVEL + NOISE * rng.standard_normal(shape)


def uneven(rng: Draw, configurations: int, seeds: int) -> Values:
    """The same with three times the noise in a quarter of the configurations."""
    noise = np.where(np.arange(configurations) < configurations // 4, 3.0, 1.0)
    return LEVEL + NOISE * noise[:, None] * rng.standard_normal((configurations, seeds))


def with_seed_effects(rng: Draw, *shape: int) -> Values:
    """No level of the first parameter is better, but each seed favours one by chance: an SD of half of the noise."""
    seeds = rng.standard_normal((shape[0], *(1,) * (len(shape) - 2), shape[-1]))
    return normal(rng, *shape) + 0.5 * NOISE * seeds


def crossed_uneven(rng: Draw, *shape: int) -> Values:
    """No effect, but three times the noise at the first level of the first parameter, as at a high learning rate."""
    noise = np.ones((shape[0], *(1,) * (len(shape) - 1)))
    noise[0] = 3.0
    return LEVEL + NOISE * noise * rng.standard_normal(shape)


def near(noise: float, rng: Draw, *shape: int) -> Values:
    """Equal configurations with this noise, which is small beside the step of two decimals."""
    return 0.84 + noise * rng.standard_normal(shape)


def better(size: float, make: Grid, rng: Draw, *shape: int) -> Values:
    """As `make`, but the last level of the first parameter is better by `size` SD."""
    values = make(rng, *shape)
    values[-1] += size * NOISE
    return values
