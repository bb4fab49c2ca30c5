"""Stores of any size, written in one piece, with everything that a report looks at."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from jobs.results import writer
from jobs.results.layout import COMPACT, PREFIX
from jobs.results.schema import Attempt, to_table

SIGNALS = ("raw_silhouette", "head_kmeans_nmi", "knn_consistency", "mutual_information", "label_free", "confidence")


def attempt(study, cell, seed, params, quality, epochs, **changes):  # noqa: PLR0917 - a maker of rows
    """One finished trial whose curve climbs to `quality`."""
    history = []
    for epoch in range(1, epochs + 1):
        value = quality * (1 - 0.6 ** (epoch / epochs * 8))
        found = {"nmi": value, "acc": value + 0.02, "loss": 9 - 3 * value, "health.label_free": value - 0.05}
        history += [(epoch, float(epoch), name, one) for name, one in found.items()]
    content = {
        "study": study,
        "trial_key": f"{study}-{cell}-{seed}",
        "config_key": f"{study}-{cell}",
        "seed": seed,
        "attempt_id": f"A{cell:05}-{seed}",
        "status": "ok",
        "started": datetime(2026, 6, 7, 8, tzinfo=UTC) + timedelta(minutes=cell),
        "seconds": 40.0 + seed,
        "epochs_done": epochs,
        "host": "alpha",
        "code_hash": "c0de",
        "data_hash": "da7a",
        "env_hash": "e0e0",
        "env": {"python": "3.11", "torch": "2.6"},
        "params": params,
        "metrics": {"nmi": quality, "acc": quality + 0.02, "ari": quality - 0.1, "loss": 9 - 3 * quality},
        "health": {name: quality - i / 20 for i, name in enumerate(SIGNALS)},
        "history": history,
    }
    return Attempt(**{**content, **changes})


def fill(
    results, *, study="s", rates=(1e-4, 2e-4, 5e-4), temperatures=(0.3, 0.5), seeds=(0, 1, 2), epochs=20, **changes
):
    """Every combination, some failed and some warned of; returns the attempts."""
    noise = random.Random(study)
    cells = [(rate, temperature) for rate in rates for temperature in temperatures]
    attempts = []
    for cell, (rate, temperature) in enumerate(cells):
        params = {"optimiser.learning_rate": rate, "method.instance_temperature": temperature, "method.name": "cc"}
        for seed in seeds:
            quality = 0.5 + 400 * rate - 0.2 * (temperature - 0.4) ** 2 + noise.gauss(0, 0.01)
            attempts.append(attempt(study, cell, seed, params, quality, epochs, **changes))
    put(results, study, attempts)
    return attempts


def put(results, study, attempts):
    path = results / f"{PREFIX}{study}" / COMPACT / "part-0.parquet"
    writer.put(path, writer.serialise(to_table(attempts)))


@pytest.fixture
def results(tmp_path):
    fill(tmp_path)
    return tmp_path
