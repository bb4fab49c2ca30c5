"""How a trial grows: CPU seconds and peak memory by phase, at several numbers of samples and of clusters.

Run: uv run python benchmarks/growth.py [FOLDER] [--rows N …] [--clusters K …] [--epochs E]. Generated vectors of 64
numbers; the default method with the views `neighbours`, batches of 1,024. Each point runs in a process of its own, with
one thread and an empty cache in FOLDER, and once more with the neighbours in the cache up to the first step ("second
start"; imports, some five seconds, are not counted). Exponents are slopes between neighbouring numbers of samples on
logarithmic scales. "candidate" is the search for clusters of the input and the assignment of all samples to them,
"k-means" all of core.evaluation.kmeans, "prediction" the outputs of all samples, "labels" the choice of the next
epoch's labels, and "epochs" the steps and what is left.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rows import tell

NUMBERS = 64
PHASES = ("data", "neighbours", "candidate", "k-means", "prediction", "labels", "epochs", "evaluation")


def peak() -> float:
    """The most memory that this process has had, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


class Phases:
    """CPU seconds of phases; of nested ones each second counts for the inner one."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._said = ""
        self._since = time.process_time()

    def turn(self) -> None:
        """Counts the time since the last turn for the phase that is open."""
        now = time.process_time()
        if self._open:
            self.spent[self._open[-1]] += now - self._since
        self._since = now

    def measured(self, phase: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose time counts for a phase."""

        @functools.wraps(call)
        def counted(*given: Any, **named: Any) -> Any:
            self.turn()
            self._open.append(phase)
            try:
                return call(*given, **named)
            finally:
                self.turn()
                self._open.pop()
                if phase != self._said and self.spent[phase] > 1:
                    self._said = phase
                    print(f"{phase} {self.spent[phase]:.0f} CPU s, peak {peak():.2f} GB", file=sys.stderr, flush=True)

        return counted


def point(path: str, clusters: int, epochs: int) -> None:
    """Trains one trial and prints its phases as JSON; with no epoch it ends at the first step, and prints when."""
    import torch

    from core.config.schema import Mistakes
    from core.config.trial import read_trial
    from core.evaluation import clustering, kmeans, nearest, scoring
    from core.methods import conclus
    from core.training import candidate, data_cache, fit
    from core.views import neighbours

    torch.set_num_threads(1)
    phases = Phases()
    neighbours.nearest = phases.measured("neighbours", nearest.nearest)
    for name in ("kmeans", "balanced_kmeans", "inertia"):
        setattr(kmeans, name, phases.measured("k-means", getattr(kmeans, name)))
    for name in ("find", "join", "agreement", "forward", "of_all"):
        setattr(candidate.Candidate, name, phases.measured("candidate", getattr(candidate.Candidate, name)))
    conclus.predict = clustering.predict = phases.measured("prediction", clustering.predict)
    setattr(conclus.Method, "_label", phases.measured("labels", getattr(conclus.Method, "_label")))  # noqa: B009, B010
    scoring.evaluate = phases.measured("evaluation", clustering.evaluate)
    mistakes = Mistakes()
    trial = {
        "data": {"name": "file", "path": path},
        "views": {"name": "neighbours"},
        "n_clusters": clusters,
        "epochs": max(epochs, 1),
        "batch_size": 1024,
    }
    config = read_trial(trial, (), mistakes)
    if mistakes.found:
        sys.exit(str(mistakes.found))
    began = time.perf_counter()
    data = phases.measured("data", data_cache.read)(config.data)
    first_step: list[float] = []
    train = fit.train_epoch

    def started(*given: Any) -> Any:
        first_step.append(time.perf_counter() - began)
        if not epochs:
            print(json.dumps({"first step": first_step[0]}), flush=True)
            os._exit(0)
        return train(*given)

    fit.train_epoch = started
    rows = phases.measured("epochs", lambda: list(fit.fit(config, data, seed=0)))()
    told = rows[-1].metrics | rows[0].health
    scores = {name: told[name] for name in ("nmi", "neighbour_recall") if name in told}
    print(json.dumps({"phases": phases.spent, "first step": first_step[0], "peak": peak(), "scores": scores}))


def generated(folder: Path, rows: int, clusters: int) -> Path:
    """A file of normal groups, which overlap little."""
    path = folder / f"{rows}-{clusters}.npz"
    if not path.is_file():
        draw = np.random.default_rng(0)
        centres = draw.normal(size=(clusters, NUMBERS)).astype(np.float32)
        labels = draw.integers(clusters, size=rows)
        samples = draw.standard_normal((rows, NUMBERS), dtype=np.float32)
        samples *= 0.7
        samples += centres[labels]
        np.savez(path, X=samples, y=labels)
    return path


def run(folder: Path, path: Path, clusters: int, epochs: int) -> dict[str, Any]:
    """One point, in a process of its own."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchmarks.growth", "--point", str(path), str(clusters), str(epochs)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def told(found: dict[str, Any]) -> str:
    """The figures of a point."""
    phases = ", ".join(f"{one} {found['phases'].get(one, 0):.1f}" for one in PHASES)
    scores = ", ".join(f"{name} {value:.3f}" for name, value in found["scores"].items())
    total = sum(found["phases"].values())
    first = f"first step after {found['first step']:.1f} s"
    return f"{total:.0f} CPU s ({phases}); peak {found['peak']:.2f} GB; {first}; {scores}"


def exponent(small: float, large: float, ratio: float) -> str:
    """The slope on logarithmic scales."""
    return f"{math.log(large / small) / math.log(ratio):.2f}" if small > 0.5 and large > 0 else "-"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--rows", nargs="+", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--clusters", nargs="+", type=int, default=[10, 100, 1000])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--point", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.point:
        point(chosen.point[0], int(chosen.point[1]), int(chosen.point[2]))
        return
    with tempfile.TemporaryDirectory() as own:
        folder = chosen.folder or Path(own)
        folder.mkdir(parents=True, exist_ok=True)
        for clusters in chosen.clusters:
            before: tuple[int, dict[str, Any]] | None = None
            for rows in chosen.rows:
                shutil.rmtree(folder / "cache", ignore_errors=True)
                path = generated(folder, rows, clusters)
                found, again = (run(folder, path, clusters, epochs) for epochs in (chosen.epochs, 0))
                what = f"{rows:,} vectors of {NUMBERS}, {clusters:,} clusters, {chosen.epochs} epochs"
                tell(what, f"{told(found)}; second start {again['first step']:.1f} s")
                if before is not None:
                    slopes = {
                        one: exponent(before[1]["phases"].get(one, 0), found["phases"].get(one, 0), rows / before[0])
                        for one in PHASES
                    }
                    totals = (sum(one["phases"].values()) for one in (before[1], found))
                    slopes |= {"all": exponent(*totals, rows / before[0])}
                    slopes |= {"memory": exponent(before[1]["peak"], found["peak"], rows / before[0])}
                    said = ", ".join(f"{name} {slope}" for name, slope in slopes.items())
                    tell(f"exponents from {before[0]:,} to {rows:,} vectors, {clusters:,} clusters", said)
                before = rows, found


if __name__ == "__main__":
    main()
