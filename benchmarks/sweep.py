"""A sweep of 36 trials on digits (12 configurations, 3 seeds) in the ways people run one, and with conclus: one table.

- shell loop: a fresh process a trial, one after the other, that trains as people write it: one image at a time through
  Pillow and a DataLoader, losses by masks (benchmarks/literal.py), torch's own choice of threads, one score at the end.
- Ray Tune: the same training as a function with Tune's defaults: a process a trial, its loggers, a report every epoch.
- core in a loop: a fresh process a trial, one after the other, that trains with conclus's core: what of the gain is
  the core's, and what the scheduling's.
- conclus, and conclus with `scheduler: asha` (by NMI, so by the labels): `conclus run`, everything by default.

Run: uv run python benchmarks/sweep.py [ROUNDS TRIALS] (2 2). The ways take turns, round by round; wall times, all of
them with the starts of their processes. A literal trial takes minutes and does not depend on the others: of the loops
and of Ray Tune so many TRIALS, evenly spread, are run (an even number, as Tune runs two at once), and their mean stands
for the others; conclus runs all. A table of ratios to the shell loop, medians over the rounds with the range; then the
NMI, in the full study, of its best configuration and of the one that early stopping chooses.
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
from pathlib import Path
from statistics import fmean, median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
GRID = {
    "learning_rate": (2e-4, 5e-4, 1e-3),
    "cluster_temperature": (0.5, 0.8),
    "instance_temperature": (0.3, 0.5),
}
SEEDS = (0, 1, 2)
EPOCHS = 60
STUDY: dict[str, Any] = {
    "study": "sweep",
    "trial": {
        "data": {"name": "digits"},
        "encoder": {"name": "mlp", "widths": [512, 512, 256]},
        "method": {"name": "cc"},
        "epochs": EPOCHS,
    },
    "space": {name: {"grid": list(values)} for name, values in GRID.items()},
    "seeds": list(SEEDS),
    "select": {"metric": "nmi", "mode": "max"},
}
ASHA = {"scheduler": "asha"}


def configurations() -> list[dict[str, float]]:
    """Every combination of the grid and the seeds."""
    return [dict(zip([*GRID, "seed"], values, strict=True)) for values in itertools.product(*GRID.values(), SEEDS)]


def train_literally(chosen: Mapping[str, float], report: Callable[[int, float], object]) -> float:
    """The training as people write it; its NMI."""
    import random

    import literal
    import numpy as np
    import torch
    from PIL import Image
    from sklearn.datasets import load_digits
    from sklearn.metrics import normalized_mutual_info_score
    from torch import nn
    from torch.utils.data import DataLoader, Dataset

    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32).reshape(-1, 8, 8)
    random.seed(int(chosen["seed"]))
    noise = np.random.default_rng(int(chosen["seed"]))
    torch.manual_seed(int(chosen["seed"]))

    def view(image: np.ndarray[Any, Any]) -> torch.Tensor:
        angle, size = np.deg2rad(random.uniform(-15, 15)), random.uniform(0.85, 1.15)
        cos, sin = np.cos(angle) * size, np.sin(angle) * size
        x, y = (3.5 + random.uniform(-0.4, 0.4) for _ in range(2))
        matrix = (cos, -sin, x - 3.5 * cos + 3.5 * sin, sin, cos, y - 3.5 * sin - 3.5 * cos)
        moved = Image.fromarray(image).transform((8, 8), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
        return torch.from_numpy(np.asarray(moved) + noise.normal(0, 0.2, (8, 8)).astype(np.float32)).flatten()

    class Pairs(Dataset[Any]):
        def __len__(self) -> int:
            return len(images)

        def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
            return view(images[index]), view(images[index])

    def head(out: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, out))

    encoder = nn.Sequential(
        nn.Linear(64, 512), nn.BatchNorm1d(512), nn.ReLU(),
        nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(),
        nn.Linear(512, 256), nn.BatchNorm1d(256), nn.ReLU(),
    )  # fmt: skip
    instance, cluster = head(128), nn.Sequential(head(10), nn.Softmax(dim=1))
    parameters = [one for module in (encoder, instance, cluster) for one in module.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=chosen["learning_rate"])
    masks = literal.mask_correlated(literal.BATCH), literal.mask_correlated(10)
    loader: Any = DataLoader(Pairs(), batch_size=literal.BATCH, shuffle=True, drop_last=True)
    for epoch in range(1, EPOCHS + 1):
        total = 0.0
        for a, b in loader:
            h_a, h_b = encoder(a), encoder(b)
            z_a, z_b = (nn.functional.normalize(instance(h), dim=1) for h in (h_a, h_b))
            loss = literal.instance_loss(z_a, z_b, masks[0], chosen["instance_temperature"])
            loss = loss + literal.cluster_loss(cluster(h_a), cluster(h_b), masks[1], chosen["cluster_temperature"])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item()
        report(epoch, total)
    encoder.eval()
    with torch.no_grad():
        found = cluster(encoder(torch.from_numpy(images).flatten(1))).argmax(dim=1)
    return float(normalized_mutual_info_score(labels, found.numpy()))


def train_with_the_core(chosen: Mapping[str, float]) -> float:
    """The same by conclus's core; its NMI."""
    from core import registry
    from core.config import read_trial
    from core.fit import fit
    from core.schema import Mistakes

    method = {"name": "cc", **{name: chosen[name] for name in ("cluster_temperature", "instance_temperature")}}
    trial = STUDY["trial"] | {"method": method, "optimiser": {"learning_rate": chosen["learning_rate"]}}
    *_, row = fit(read_trial(trial, (), Mistakes()), registry.load("datasets", "digits")(), seed=int(chosen["seed"]))
    return row.metrics["nmi"]


def tune_as_people_write_it(trials: int) -> float:
    """So many trials by Ray Tune's defaults; the seconds from the start of the first to the end of the last."""
    from ray import tune

    def trainable(chosen: dict[str, dict[str, float]]) -> None:
        began = time.time()
        sys.path.insert(0, str(ROOT / "benchmarks"))
        sys.path.insert(0, str(ROOT))
        import sweep

        nmi = sweep.train_literally(chosen["trial"], lambda epoch, loss: tune.report({"epoch": epoch, "loss": loss}))
        tune.report({"nmi": nmi, "began": began})

    found = tune.Tuner(trainable, param_space={"trial": tune.grid_search(spread(trials))}).fit()
    if found.errors:
        sys.exit(str(found.errors))
    return time.time() - min(one.metrics["began"] for one in found if one.metrics)


def spread(trials: int) -> list[dict[str, float]]:
    """So many of all 36, evenly."""
    wanted = configurations()
    return [wanted[len(wanted) * place // trials] for place in range(trials)]


def processes(mode: str, trials: int) -> float:
    """Wall seconds of all 36 in a loop, from so many of them."""
    started = time.perf_counter()
    for chosen in spread(trials):
        command = [sys.executable, __file__, mode, json.dumps(chosen)]
        subprocess.run(command, check=True, capture_output=True, env=environment())
    return (time.perf_counter() - started) * len(configurations()) / trials


def ray_tune(trials: int) -> float:
    """Wall seconds of all 36, from so many of them: Ray's own start and end count once."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        command = [sys.executable, __file__, "tune", str(trials)]
        env = environment() | {"HOME": folder}
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env).stdout
        seconds, training = time.perf_counter() - started, float(said.split()[-1])
        return seconds - training + training * len(configurations()) / trials


def conclus(search: Mapping[str, Any], kept: list[list[dict[str, Any]]]) -> float:
    """Wall seconds of all 36; `kept` gets their rows."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "sweep.yaml"
        file.write_text(json.dumps(STUDY | ({"search": dict(search)} if search else {})))  # JSON is YAML too
        started = time.perf_counter()
        command = [sys.executable, "-m", "conclus", "run", str(file), "--results", f"{folder}/results"]
        subprocess.run(command, check=True, capture_output=True, env=environment())
        seconds = time.perf_counter() - started
        from jobs.results.reader import read_results

        kept.append(read_results(f"{folder}/results", columns=["metric.nmi", "epochs_done"]).to_pylist())
        return seconds


def environment() -> dict[str, str]:
    """Nothing set that a person's shell would not have."""
    kept = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}


def best(rows: Sequence[Mapping[str, Any]]) -> str:
    """The configuration of the highest mean NMI of whole trials."""
    values = dict[str, list[float]]()
    for row in rows:
        if row["epochs_done"] == EPOCHS:
            values.setdefault(row["config_key"], []).append(row["metric.nmi"])
    return max(values, key=lambda key: fmean(values[key]))


def show(name: str, seconds: list[float], shell: list[float]) -> None:
    """A line of the table."""
    ratios = sorted(base / own for base, own in zip(shell, seconds, strict=True))
    print(
        f"{name:34} {median(seconds):7.0f} s   {median(ratios):5.1f} x  ({ratios[0]:.1f}-{ratios[-1]:.1f})", flush=True
    )


def main(rounds: int, trials: int) -> None:
    """Prints the table."""
    full, halved = list[list[dict[str, Any]]](), list[list[dict[str, Any]]]()
    ways: dict[str, Callable[[], float]] = {
        "shell loop, literal training": lambda: processes("literal", trials),
        "Ray Tune by default, the same": lambda: ray_tune(trials),
        "core in a loop": lambda: processes("core", trials),
        "conclus": lambda: conclus({}, full),
        "conclus, early stopping": lambda: conclus(ASHA, halved),
    }
    found = {name: list[float]() for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(way())
            print(f"  {name}: {found[name][-1]:.0f} s", file=sys.stderr, flush=True)
    print(f"36 trials of {EPOCHS} epochs, {os.cpu_count()} cores, {rounds} rounds, {trials} trials of each literal way")
    for name, seconds in found.items():
        show(name, seconds, found["shell loop, literal training"])
    quality(full[0], halved)


def quality(full: Sequence[Mapping[str, Any]], halved: Sequence[Sequence[Mapping[str, Any]]]) -> None:
    """How good what early stopping chooses is, by the full study."""
    from jobs.analysis.intervals import half_width

    def text(key: str) -> str:
        values = [row["metric.nmi"] for row in full if row["config_key"] == key]
        return f"NMI {fmean(values):.3f} ±{half_width(values) or 0:.3f}"

    print(f"best of the full study: {text(best(full))}")
    epochs = sum(row["epochs_done"] for row in full)
    for rows in halved:
        share = sum(row["epochs_done"] for row in rows) / epochs
        print(f"chosen with early stopping: {text(best(rows))} in the full study; {share:.0%} of its epochs")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    match sys.argv[1:]:
        case ["literal", chosen]:
            print(train_literally(json.loads(chosen), print))
        case ["core", chosen]:
            print(train_with_the_core(json.loads(chosen)))
        case ["tune", trials]:
            print(tune_as_people_write_it(int(trials)))
        case numbers:
            main(*[int(number) for number in numbers] or [2, 2])
