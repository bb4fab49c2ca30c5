"""The cost of the signals of every epoch: training with the monitor over training without it.

Run: .venv/bin/python benchmarks/health.py [rounds]. Each round trains both ways, in turns, and what counts is the mean
ratio of the pairs with its 95 % interval; the first epoch, which also measures the data, is part of it. Exit code 1 if
a mean ratio is above the limit.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy import stats

from benchmarks.rows import tell
from core.config import plugins
from core.config.schema import Mistakes
from core.config.trial import read_trial
from core.data.dataset import Dataset
from core.evaluation.monitor import Monitor
from core.training.fit import fit

LIMIT = 1.05
EPOCHS = 8
CASES = {
    "digits, mlp, cc": ("digits", {"method": "cc"}),
    "digits, mlp, conclus": ("digits", {"method": "conclus"}),
    "digits, mlp, propos": ("digits", {"method": "propos"}),
    "digits, convnet, cc": ("digits", {"method": "cc", "encoder": "convnet"}),
    "28 x 28 images, convnet, cc": ("images", {"method": "cc", "encoder": "convnet", "epochs": 3}),
    "vectors of 384, mlp, sccl": ("vectors", {"method": "sccl"}),
    "150 vectors, mlp, cc": ("few", {"method": "cc", "batch_size": 64, "epochs": 40}),
    "halves of digits, paired": ("halves", {"method": "paired"}),
}


def data(name: str) -> Dataset:
    """The data set of a case."""
    if name in {"digits", "halves"}:
        return plugins.load("datasets", "digits" if name == "digits" else "digit-halves")()
    shape = {"images": (4000, 1, 28, 28), "vectors": (5000, 384), "few": (150, 4)}[name]
    samples = np.random.default_rng(0).random(shape, np.float32)
    labels = np.arange(len(samples)) % 10
    return Dataset(name, samples, labels, tuple("0123456789"), name)


@contextmanager
def without_monitor() -> Generator[None]:
    """Trains without the signals of the probe inside the with-block; norms of gradients are kept either way."""
    call = Monitor.__call__
    setattr(Monitor, "__call__", lambda *_: {})  # noqa: B010 - it stands in for another signature
    try:
        yield
    finally:
        setattr(Monitor, "__call__", call)  # noqa: B010


def seconds(given: dict[str, Any], found: Dataset) -> float:
    """The CPU seconds of a trial's epochs; it is scored only at its end, which is left out."""
    config = read_trial({"epochs": EPOCHS, "evaluation": {"every": 1000}} | given, ("trial",), Mistakes())
    config = replace(config, epochs=config.epochs + 1)
    rows = fit(config, found, seed=0)
    started = time.process_time()
    for row in rows:
        if row.epoch == config.epochs - 1:
            break
    return time.process_time() - started


def ratio(given: dict[str, Any], found: Dataset, rounds: int) -> tuple[float, float, float]:
    """The mean ratio of both ways, half the width of its interval, and the seconds of an epoch without the monitor."""
    ratios: list[float] = []
    bare: list[float] = []
    for turn in range(rounds + 1):
        times: dict[bool, float] = {}
        for watched in (True, False) if turn % 2 else (False, True):
            if watched:
                times[watched] = seconds(given, found)
            else:
                with without_monitor():
                    times[watched] = seconds(given, found)
        if turn:  # The first round warms up.
            ratios.append(times[True] / times[False])
            bare.append(times[False])
    half = float(stats.t.ppf(0.975, rounds - 1)) * float(np.std(ratios, ddof=1)) / math.sqrt(rounds)
    return float(np.mean(ratios)), half, float(np.median(bare)) / given.get("epochs", EPOCHS)


def main() -> None:
    """Measures all cases."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    torch.set_num_threads(1)
    worst = 0.0
    for name, (kind, given) in CASES.items():
        mean, half, epoch = ratio(given, data(kind), rounds)
        worst = max(worst, mean)
        figures = f"{mean:.3f} ± {half:.3f}; an epoch takes {1000 * epoch:.0f} ms; at most {LIMIT}"
        tell(f"training with the signals of every epoch over without, CPU: {name}", figures)
    sys.exit(worst > LIMIT)


if __name__ == "__main__":
    main()
