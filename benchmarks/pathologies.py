"""Runs made to show a fault, and healthy ones beside them: which code each gets, and in which epoch.

Run: .venv/bin/python benchmarks/pathologies.py [first seed]. It prints a table fault -> code -> epoch, and the healthy
runs with their verdicts. Exit code 1 if a fault has not its code by the epoch that its rule names, or if more than one
healthy run has a code at its end. The bounds of the rules, and the healthy runs, were chosen by the seeds 0 to 2; the
default is the seed 10, which was not looked at for that.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.config import plugins
from core.config.schema import Mistakes
from core.config.trial import TrialConfig, read_trial
from core.data.dataset import Dataset
from core.evaluation.health import RULES, Course, Finding, judge
from core.evaluation.monitor import every
from core.training.fit import fit
from core.training.method import DivergedError

SEED = 10
AT_THE_END = ("EMPTY_CLUSTERS", "OVERCONFIDENT", "TOO_EQUAL", "BELOW_INPUT")
"""Codes whose signals only scored epochs have, or of which the fault comes late: they are due in the last epoch."""


@dataclass(frozen=True)
class Run:
    """One run of the table.

    Attributes:
        name: what is wrong with it, or what it trains.
        data: makes its data set from a seed.
        trial: its configuration.
        code: the code that it is to have; empty for a healthy run.
    """

    name: str
    data: Callable[[int], Dataset]
    trial: Mapping[str, Any] = field(default_factory=dict[str, Any])
    code: str = ""


def dataset(samples: NDArray[Any], labels: NDArray[Any] | None = None, **rest: Any) -> Dataset:
    """A data set of vectors, each feature with mean 0 and variance 1."""
    x = samples.astype(np.float32)
    deviation = x.std(axis=0)
    x = (x - x.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    classes = 0 if labels is None else int(labels.max()) + 1
    names = tuple(str(one) for one in range(classes))
    y = None if labels is None else labels.astype(np.int64)
    return Dataset(name="generated", samples=x, labels=y, class_names=names, fingerprint="generated", **rest)


def blobs(sizes: tuple[int, ...] = (100,) * 5, *, dim: int = 20, spread: float = 1.0) -> Callable[[int], Dataset]:
    """Gaussian classes of these sizes around random centres at a distance of about 3 sqrt(2 dim) / spread."""

    def make(seed: int) -> Dataset:
        generator = np.random.default_rng(seed)
        labels = generator.permutation(np.repeat(np.arange(len(sizes)), sizes))
        centres = 3 * generator.normal(size=(len(sizes), dim))
        return dataset(centres[labels] + spread * generator.normal(size=(len(labels), dim)), labels)

    return make


def constant(seed: int) -> Dataset:
    """Samples that are all equal."""
    del seed
    return dataset(np.ones((500, 20)), np.arange(500) % 5)


def duplicated(seed: int) -> Dataset:
    """50 samples, each ten times."""
    whole = blobs((10,) * 5)(seed)
    return dataset(np.tile(whole.samples[:], (10, 1)), np.tile(np.asarray(whole.labels), 10))


def one_class(seed: int) -> Dataset:
    """A single Gaussian."""
    return dataset(np.random.default_rng(seed).normal(size=(500, 20)), np.zeros(500))


def shuffled_pairs(seed: int) -> Dataset:
    """Halves of digits, the targets in random order."""
    found = halves(seed)
    order = np.random.default_rng(seed).permutation(len(found.arrays["target"]))
    arrays = {"target": found.arrays["target"][order]}
    return Dataset("generated", found.samples, None, (), "generated", arrays, found.parts)


def halves(seed: int) -> Dataset:
    """Halves of digits."""
    return plugins.load("datasets", "digit-halves")(split_seed=seed)


def shipped(name: str, **options: Any) -> Callable[[int], Dataset]:
    """A data set of conclus."""
    return lambda _: plugins.load("datasets", name)(**options)


def of_sklearn(name: str) -> Callable[[int], Dataset]:
    """A small table of scikit-learn, standardised."""

    def make(seed: int) -> Dataset:
        del seed
        from sklearn import datasets

        found: Any = getattr(datasets, f"load_{name}")()
        return dataset(found.data, found.target)

    return make


SMALL: dict[str, Any] = {"encoder": {"name": "mlp", "widths": [64, 32]}, "batch_size": 64, "epochs": 30, "method": "cc"}
COLLAPSE = {"method": {"name": "cc", "entropy_weight": 0.0}, "learning_rate": 1.0}
SHARP = {"n_clusters": 5, "method": {"name": "conclus", "sharpness": 1000.0}}
NO_VIEWS = {"views": {"name": "noise", "noise": 0.0, "dropout": 0.0}}
WILD_VIEWS = {"views": {"name": "noise", "noise": 30.0, "dropout": 0.5}}
PAIRED = {"method": {"name": "paired", "loss": "info_nce"}, "epochs": 15, "batch_size": 256}

FAULTS = (
    Run("collapsed head", blobs(), COLLAPSE, "COLLAPSED"),
    Run("empty clusters", blobs(), {"n_clusters": 60}, "EMPTY_CLUSTERS"),
    Run("exploding rate", blobs(), {"learning_rate": 100.0}, "DIVERGED"),
    Run("zero rate", blobs(), {"learning_rate": 1e-9}, "STALLED"),
    Run("views too weak", blobs(), NO_VIEWS, "VIEWS_TOO_EASY"),
    Run("views too strong", blobs(), WILD_VIEWS, "VIEWS_TOO_HARD"),
    Run("constant features", constant, {}, "CONSTANT_FEATURES"),
    Run("duplicated samples", duplicated, {}, "DUPLICATES"),
    Run("one-class data", one_class, {"n_clusters": 5}, "ONE_CLASS"),
    Run("pairs with shuffled targets", shuffled_pairs, PAIRED, "AT_CHANCE"),
    Run("over-confidence", one_class, SHARP, "OVERCONFIDENT"),
    Run("imbalance 900:1, uniform", blobs((900, 1)), {}, "TOO_EQUAL"),
)
DIGITS = {"epochs": 40, "batch_size": 128, "learning_rate": 0.002}
# Of its own features: where k-means of the input is already good, as on wine, training can only lose.
AS_IT_IS = {"encoder": {"name": "identity"}, "method": "sccl", "batch_size": 32}
SCCL = {"method": {"name": "sccl", "warmup": 0.2}}
HEALTHY = (
    Run("digits cc", shipped("digits"), DIGITS),
    Run("digits conclus", shipped("digits"), DIGITS | {"method": "conclus"}),
    Run("wine sccl", of_sklearn("wine"), AS_IT_IS),
    Run("breast cancer sccl", of_sklearn("breast_cancer"), AS_IT_IS),
    Run("iris sccl", of_sklearn("iris"), AS_IT_IS),
    Run("iris cc", of_sklearn("iris"), {"batch_size": 32}),
    Run("blobs cc", blobs()),
    Run("blobs conclus", blobs(), {"method": "conclus"}),
    Run("blobs sccl", blobs(), SCCL),
    Run("blobs, 3 classes, tcl", blobs((150,) * 3), {"method": "tcl"}),
    Run("blobs propos", blobs(), {"method": "propos", "epochs": 15}),
    Run("blobs, 8 classes, propos", blobs((60,) * 8, dim=50), {"method": "propos", "epochs": 15}),
    Run("blobs, 12 classes, cc", blobs((50,) * 12), {"epochs": 40}),
    Run("blobs, 100 numbers, cc", blobs(dim=100)),
    Run("near blobs cc", blobs(spread=2.5), {"epochs": 40}),
    Run("near blobs conclus", blobs(spread=2.5), {"method": "conclus", "epochs": 40}),
    Run("near blobs sccl", blobs(spread=2.0), SCCL),
    Run("imbalance 30:1, mastered", blobs((600, 200, 60, 20)), {"method": {"name": "sccl", "warmup": 0.1}}),
    Run("halves paired cosine", halves, PAIRED | {"method": {"name": "paired", "loss": "cosine"}}),
    Run("halves paired info_nce", halves, PAIRED),
)


def config(run: Run) -> TrialConfig:
    """The configuration of a run."""
    mistakes = Mistakes()
    given = {**SMALL, **run.trial}
    if "learning_rate" in given:
        given["optimiser"] = {"learning_rate": given.pop("learning_rate")}
    read = read_trial(given, ("trial",), mistakes)
    if mistakes.found:
        raise ValueError(str(mistakes.found))
    return read


def course(run: Run, seed: int) -> Course:
    """Trains a run; its course."""
    found, data = config(run), run.data(seed)
    history: list[tuple[int, str, float]] = []
    epoch = 0
    try:
        for row in fit(found, data, seed=seed):
            epoch = row.epoch
            history += [(epoch, name, value) for name, value in (row.metrics | row.health).items()]
    except DivergedError:
        history.append((epoch + 1, "loss", math.inf))
    return Course.of(history, epochs=found.epochs, batch_size=found.batch_size, n_samples=data.n_samples)


def raised(found: Course, code: str) -> Finding | None:
    """The finding of a code, as the trial would have made it first: judged after each epoch, then at the end."""
    for last in range(1, found.last + 1):
        series = {name: [one for one in values if one[0] <= last] for name, values in found.series.items()}
        until = Course(series=series, epochs=found.epochs, ended=last == found.last)
        for one in judge(until, [code]):
            return one
    return None


def due(code: str, found: Course) -> int:
    """The epoch by which a rule can have met its code: its window of measured epochs after its share of all epochs."""
    rule = next(one for one in RULES if one.code == code)
    apart = every(found.n_samples, found.batch_size)
    return min(found.epochs, max(1, math.ceil(rule.after * found.epochs)) - 1 + rule.window * apart)


def show_faults(seed: int) -> bool:
    """Prints the table of the faults; whether each has its code in time."""
    print(f"{'fault':<30} {'code':<18} {'epoch':>5} {'by':>4}  all codes")
    well = True
    for run in FAULTS:
        found = course(run, seed)
        finding = raised(found, run.code)
        by = found.epochs if run.code in AT_THE_END else due(run.code, found)
        well &= finding is not None and finding.epoch <= by
        epoch = "never" if finding is None else finding.epoch
        codes = "; ".join(one.label for one in judge(found))
        print(f"{run.name:<30} {run.code:<18} {epoch:>5} {by:>4}  {codes}", flush=True)
    return well


def show_healthy(seed: int) -> int:
    """Prints the healthy runs with their verdicts, and the codes that they had on the way; how many end with a code."""
    alarms = 0
    for run in HEALTHY:
        found = course(run, seed)
        codes = "; ".join(one.label for one in judge(found))
        alarms += bool(codes)
        way = ", ".join(f"{rule.code}@{one.epoch}" for rule in RULES if (one := raised(found, rule.code)))
        print(f"{run.name:<30} {codes or 'OK':<20} {way and f'on the way: {way}'}", flush=True)
    return alarms


def main() -> None:
    """Prints both tables."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else SEED
    torch.set_num_threads(1)
    started = time.perf_counter()
    well, alarms = show_faults(seed), show_healthy(seed)
    print(f"{alarms} of {len(HEALTHY)} healthy runs have a code; {time.perf_counter() - started:.0f} s")
    sys.exit(not well or alarms > 1)


if __name__ == "__main__":
    main()
