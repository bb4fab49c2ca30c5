"""Synthetic trials for the benchmarks that read results: with effects, noise, and a few failures."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, product

from jobs.results import schema, writer

EPOCHS = 100
METRICS: tuple[str, ...] = (
    "loss",
    "acc",
    "oa",
    "nmi",
    "ari",
    "fmi",
    "kmeans_acc",
    "kmeans_nmi",
    "silhouette",
    "entropy",
)
_FIXED = {f"group.option_{i}": value for i, value in enumerate([0.1, 3, True, "adam", [512, 256], 60] * 3)}
_GRID = {
    "optimiser.learning_rate": [10.0**-k for k in (1, 2, 3, 4, 5)],
    "method.instance_temperature": [k / 10 for k in range(1, 11)],
    "method.cluster_temperature": [k / 10 for k in range(1, 9)],
    "method.threshold": [0.9, 0.93, 0.95, 0.98, 0.99],
}
_SEEDS = 5


def attempts(count: int) -> Iterator[schema.Attempt]:
    """`count` trials (at most 10,000) of a grid with five seeds."""
    rng = random.Random(0)
    points = [dict(zip(_GRID, values, strict=True)) for values in product(*_GRID.values())]
    for trial, (point, seed) in enumerate(islice(product(points, range(_SEEDS)), count)):
        score = 0.5 + point["method.threshold"] / 10 - point["method.instance_temperature"] / 20 + rng.gauss(0, 0.01)
        scores = dict.fromkeys(METRICS, score)
        yield schema.Attempt(
            study="bench",
            trial_key=f"{trial:016x}",
            config_key=f"{trial // _SEEDS:016x}",
            seed=seed,
            attempt_id=writer.new_attempt_id(),
            status="ok" if rng.random() < 0.97 else "failed",
            started=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=trial),
            seconds=12.5,
            epochs_done=EPOCHS,
            params=_FIXED | point,
            data_hash="d",
            metrics=scores,
            best=scores,
            history=[(e, e * 0.1, name, score * rng.random()) for e in range(EPOCHS) for name in METRICS],
        )
