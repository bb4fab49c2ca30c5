"""Stores of any size, written in one piece, with everything that a report looks at."""

import random
import shutil
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from jobs.results import writer
from jobs.results.layout import COMPACT, PREFIX
from jobs.results.schema import Attempt, to_table
from tests.jobs.report.pilot import Pilot

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


class Store:
    """A results folder that is filled in one go, study by study."""

    def __init__(self, path):
        self.path = path

    attempt = staticmethod(attempt)

    def fill(self, *, study="s", rates=(1e-4, 2e-4, 5e-4), temperatures=(0.3, 0.5), seeds=(0, 1, 2), epochs=20):
        """Every combination with every seed; returns the attempts."""
        noise = random.Random(study)
        rows = []
        for cell, (rate, temperature) in enumerate(product(rates, temperatures)):
            params = {"optimiser.learning_rate": rate, "method.instance_temperature": temperature, "method.name": "cc"}
            for seed in seeds:
                quality = 0.5 + 400 * rate - 0.2 * (temperature - 0.4) ** 2 + noise.gauss(0, 0.01)
                rows.append(attempt(study, cell, seed, params, quality, epochs))
        return self.put(study, rows)

    def put(self, study, rows):
        """These rows and no others."""
        path = self.path / f"{PREFIX}{study}" / COMPACT / "part-0.parquet"
        writer.put(path, writer.serialise(to_table(rows)))
        return rows


@pytest.fixture
def store(tmp_path):
    """An empty store."""
    return Store(tmp_path)


@pytest.fixture
def results(store):
    """A small study, all of it finished."""
    store.fill()
    return store.path


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


@pytest.fixture(scope="module")
def pilot(tmp_path_factory):
    """A browser that is driven; skips where there is none."""
    if CHROMIUM is None:
        pytest.skip("no chromium or chrome is installed")
    found = Pilot(CHROMIUM, tmp_path_factory.mktemp("pilot"))
    yield found
    found.close()


@pytest.fixture
def browser(pilot):
    """Opens a page and draws all of it; returns what stands in the page then, and what its console said."""

    def opened(text):
        pilot.open(text)
        return pilot.ask("document.documentElement.outerHTML"), [*map(str, pilot.said)]

    return opened
