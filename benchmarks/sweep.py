"""A sweep of 36 trials on digits, or 8 on 28 x 28 images, run in common ways and with conclus: one table.

- shell loop: a new process per trial, one after the other, with a common training script: one image at a time through
  torchvision and a DataLoader, losses by masks (benchmarks/literal.py), torch's default threads, one score at the end.
- Ray Tune: the same training as a function with Tune's defaults: a process per trial, its loggers, a report every
  epoch.
- core in a loop: a new process per trial, one after the other, that trains with conclus's core. It separates the gain
  of the core from that of the scheduling.
- conclus, and conclus with `scheduler: asha` (by NMI, so by the labels): `conclus run` with all defaults.

Run: uv run --with torchvision python benchmarks/sweep.py [digits|images [ROUNDS TRIALS]] (digits 2 2). The images are
the 10,000 of Fashion-MNIST's test part. The ways run in turns, round by round. Times are wall times with the start of
all processes. A trial of the common script takes minutes and does not depend on the others, so the loops and Ray Tune
run only TRIALS trials, evenly spread (an even number, as Tune runs two at once), and their mean stands for the others;
conclus runs all. The table has ratios to the shell loop, medians over the rounds with the range. Then come the NMI, in
the full study, of its best configuration and of the one that early stopping chooses.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.config.trial import TrialConfig
    from core.data.dataset import Dataset

ROOT = Path(__file__).resolve().parents[1]
ASHA = {"scheduler": "asha"}


@dataclass(frozen=True)
class Sweep:
    """A study of CC: every combination of `grid` and `seeds`."""

    name: str
    trial: dict[str, Any]
    grid: dict[str, tuple[float, ...]]
    seeds: tuple[int, ...]

    @property
    def epochs(self) -> int:
        """Epochs of a trial."""
        return int(self.trial["epochs"])

    def study(self) -> dict[str, Any]:
        """The content of the study file."""
        return {
            "study": f"sweep-{self.name}",
            "trial": self.trial,
            "space": {name: {"grid": list(values)} for name, values in self.grid.items()},
            "seeds": list(self.seeds),
            "select": {"metric": "nmi", "mode": "max"},
        }

    def trials(self) -> list[dict[str, float]]:
        """Every combination."""
        axes = [*self.grid, "seed"]
        return [dict(zip(axes, one, strict=True)) for one in itertools.product(*self.grid.values(), self.seeds)]

    def spread(self, trials: int) -> list[dict[str, float]]:
        """Evenly spread combinations, `trials` of them."""
        wanted = self.trials()
        return [wanted[len(wanted) * place // trials] for place in range(trials)]


SWEEPS = {
    "digits": Sweep(
        "digits",
        {
            "data": {"name": "digits"},
            "encoder": {"name": "mlp", "widths": [512, 512, 256]},
            "method": {"name": "cc"},
            "epochs": 60,
        },
        {
            "learning_rate": (2e-4, 5e-4, 1e-3),
            "cluster_temperature": (0.5, 0.8),
            "instance_temperature": (0.3, 0.5),
        },
        (0, 1, 2),
    ),
    "images": Sweep(
        "images",
        {
            "data": {"name": "fashion-mnist", "split": "test"},
            "encoder": {"name": "convnet"},
            "views": {"name": "image"},
            "method": {"name": "cc"},
            "epochs": 4,
        },
        {"learning_rate": (5e-4, 1e-3), "instance_temperature": (0.3, 0.5)},
        (0, 1),
    ),
}


def train_literally(sweep: Sweep, chosen: Mapping[str, float], report: Callable[[int, float], object]) -> float:
    """Trains with the common script; returns the NMI."""
    import literal
    import numpy as np
    from sklearn.metrics import normalized_mutual_info_score

    from core.config.schema import Mistakes
    from core.config.trial import read_trial

    data = load(read_trial(sweep.trial, (), Mistakes()))
    images = data.samples[:, 0]
    if sweep.name == "digits":
        view, raw = literal.moved(), images
        network = partial(literal.Network, literal.perceptron, literal.CLUSTERS, 256)
    else:
        view, raw = literal.viewed(28), np.rint(images * 255).astype(np.uint8)
        network = partial(literal.Network, literal.usual_encoder, literal.CLUSTERS)
    options = {name: value for name, value in chosen.items() if name != "seed"}
    trainer = literal.Trainer(raw, view, network, int(chosen["seed"]), **options)
    for epoch in range(1, sweep.epochs + 1):
        report(epoch, sum(trainer.epoch()))
    return float(normalized_mutual_info_score(data.labels, trainer.assign(images)))


def load(config: TrialConfig) -> Dataset:
    """A trial's data set."""
    from core.config import plugins

    return plugins.load("datasets", config.data.name)(**config.data.options)  # type: ignore[no-any-return]


def train_with_the_core(sweep: Sweep, chosen: Mapping[str, float]) -> float:
    """Trains the same with conclus's core; returns the NMI."""
    from core.config.schema import Mistakes
    from core.config.trial import read_trial
    from core.training.fit import fit

    temperatures = {name: value for name, value in chosen.items() if name.endswith("temperature")}
    trial = sweep.trial | {
        "method": {"name": "cc", **temperatures},
        "optimiser": {"learning_rate": chosen["learning_rate"]},
    }
    config = read_trial(trial, (), Mistakes())
    *_, row = fit(config, load(config), seed=int(chosen["seed"]))
    return row.metrics["nmi"]


def tune_as_people_write_it(name: str, trials: int) -> float:
    """Runs trials with Ray Tune's defaults; returns the seconds from the first start to the last end."""
    from ray import tune

    def trainable(chosen: dict[str, dict[str, float]]) -> None:
        began = time.time()
        sys.path.insert(0, str(ROOT / "benchmarks"))
        sys.path.insert(0, str(ROOT))
        import sweep

        nmi = sweep.train_literally(
            sweep.SWEEPS[name], chosen["trial"], lambda epoch, loss: tune.report({"epoch": epoch, "loss": loss})
        )
        tune.report({"nmi": nmi, "began": began})

    found = tune.Tuner(trainable, param_space={"trial": tune.grid_search(SWEEPS[name].spread(trials))}).fit()
    if found.errors:
        sys.exit(str(found.errors))
    return time.time() - min(one.metrics["began"] for one in found if one.metrics)


def processes(sweep: Sweep, mode: str, trials: int) -> float:
    """Wall seconds of all trials in a loop, estimated from `trials` of them."""
    started = time.perf_counter()
    for chosen in sweep.spread(trials):
        command = [sys.executable, __file__, sweep.name, mode, json.dumps(chosen)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment())
    return (time.perf_counter() - started) * len(sweep.trials()) / trials


def ray_tune(sweep: Sweep, trials: int) -> float:
    """Wall seconds of all trials, estimated from `trials` of them; Ray's own start and end count once."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        command = [sys.executable, __file__, sweep.name, "tune", str(trials)]
        env = environment() | {"HOME": folder}
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env).stdout
        seconds, training = time.perf_counter() - started, float(said.split()[-1])
        return seconds - training + training * len(sweep.trials()) / trials


def conclus(sweep: Sweep, search: Mapping[str, Any], kept: list[list[dict[str, Any]]]) -> float:
    """Wall seconds of all trials; their rows are appended to `kept`."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "sweep.yaml"
        file.write_text(json.dumps(sweep.study() | ({"search": dict(search)} if search else {})))  # JSON is YAML too
        started = time.perf_counter()
        command = [sys.executable, "-m", "conclus", "run", str(file), "--results", f"{folder}/results"]
        subprocess.run(command, check=True, capture_output=True, env=environment())
        seconds = time.perf_counter() - started
        from jobs.results.reader import read_results

        kept.append(read_results(f"{folder}/results", columns=["metric.nmi", "epochs_done"]).to_pylist())
        return seconds


def environment() -> dict[str, str]:
    """The environment without variables that a user's shell would not have."""
    kept = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    # Ray's hook for `uv run` would copy this folder for each worker and install it there.
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}


def best(rows: Sequence[Mapping[str, Any]], epochs: int) -> str:
    """The configuration with the highest mean NMI over finished trials."""
    values = dict[str, list[float]]()
    for row in rows:
        if row["epochs_done"] == epochs:
            values.setdefault(row["config_key"], []).append(row["metric.nmi"])
    return max(values, key=lambda key: fmean(values[key]))


def show(name: str, seconds: list[float], shell: list[float]) -> None:
    """Prints a line of the table."""
    ratios = sorted(base / own for base, own in zip(shell, seconds, strict=True))
    print(
        f"{name:34} {median(seconds):7.0f} s   {median(ratios):5.1f} x  ({ratios[0]:.1f}-{ratios[-1]:.1f})", flush=True
    )


def main(sweep: Sweep, rounds: int, trials: int) -> None:
    """Prints the table."""
    full, halved = list[list[dict[str, Any]]](), list[list[dict[str, Any]]]()
    ways: dict[str, Callable[[], float]] = {
        "shell loop, literal training": lambda: processes(sweep, "literal", trials),
        "Ray Tune by default, the same": lambda: ray_tune(sweep, trials),
        "core in a loop": lambda: processes(sweep, "core", trials),
        "conclus": lambda: conclus(sweep, {}, full),
        "conclus, early stopping": lambda: conclus(sweep, ASHA, halved),
    }
    found = {name: list[float]() for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(way())
            print(f"  {name}: {found[name][-1]:.0f} s", file=sys.stderr, flush=True)
    print(
        f"{len(sweep.trials())} trials of {sweep.epochs} epochs, {os.cpu_count()} cores, {rounds} rounds, "
        f"{trials} trials of each literal way"
    )
    for name, seconds in found.items():
        show(name, seconds, found["shell loop, literal training"])
    quality(full[0], halved, sweep.epochs)


def quality(full: Sequence[Mapping[str, Any]], halved: Sequence[Sequence[Mapping[str, Any]]], epochs: int) -> None:
    """Prints how good the configuration chosen with early stopping is, by the full study."""
    from jobs.analysis.intervals import half_width

    def text(key: str) -> str:
        values = [row["metric.nmi"] for row in full if row["config_key"] == key]
        return f"NMI {fmean(values):.3f} ±{half_width(values) or 0:.3f}"

    print(f"best of the full study: {text(best(full, epochs))}")
    trained = sum(row["epochs_done"] for row in full)
    for rows in halved:
        share = sum(row["epochs_done"] for row in rows) / trained
        print(f"chosen with early stopping: {text(best(rows, epochs))} in the full study; {share:.0%} of its epochs")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    match sys.argv[1:]:
        case [name, "literal", chosen]:
            print(train_literally(SWEEPS[name], json.loads(chosen), print))
        case [name, "core", chosen]:
            print(train_with_the_core(SWEEPS[name], json.loads(chosen)))
        case [name, "tune", trials]:
            print(tune_as_people_write_it(name, int(trials)))
        case [name, *numbers]:
            main(SWEEPS[name], *[int(number) for number in numbers] or [2, 2])
        case _:
            main(SWEEPS["digits"], 2, 2)
