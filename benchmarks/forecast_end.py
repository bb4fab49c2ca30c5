"""Trains some 400 short trials of 32 studies and says how often the forecast of a trial's last score was right.

Run: python -m benchmarks.forecast_end FOLDER [DATA]. FOLDER gets the data files and the results (`FOLDER/results`), and
a second run trains only what is missing there. DATA is the folder of the vectors and expression profiles that the
project's tests use (default: ../shared/data). All trials take some ten minutes of one CPU.

A study is one data set with one method, an encoder, a batch size, a number of epochs (15 to 24) and a way to score
(every epoch or every third), all drawn with a fixed seed. Its 12 trials differ in learning rate and temperature.

Two tables follow, at a third and at two thirds of the epochs. In the first, the study of the trial is left out, so
that the interval comes from other studies alone. In the second, its own study is there without the trial's
configuration. The standard error of a coverage is that of the mean over the studies' own coverages: trials of one study
are alike, so that it is the studies that count as independent. Exit code 1 when a 90 % interval of the first table at
a third of the epochs covers less or more than .90 by over two standard errors.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA

SAMPLES, WIDTH = 600, 50
METHODS = {"cc": "instance_temperature", "conclus": "instance_temperature", "sccl": "instance_temperature"} | {
    "propos": "temperature"
}
RATES, TEMPERATURES = (3e-4, 1e-3, 3e-3, 1e-2), (0.2, 0.5, 1.0)
SHARED = {
    "mintrec": ("emb/mintrec_text_minilm.npz", "emb"),
    "tweet": ("emb/tweet89_minilm.npz", "x"),
    "meld": ("emb/meld_da_minilm.npz", "emb"),
    "pbmc": ("bio/pbmc68k_reduced.npz", "pca"),
}


def write_data(folder: Path, shared: Path) -> list[str]:
    """Writes each data set of at most `SAMPLES` samples and `WIDTH` numbers as a file; returns the names."""
    loaders = {"digits": load_digits, "wine": load_wine, "cancer": load_breast_cancer, "iris": load_iris}
    found = {name: load(return_X_y=True) for name, load in loaders.items()}
    for name, (path, key) in SHARED.items():
        with np.load(shared / path) as file:
            found[name] = file[key], file["label"]
    for name, (samples, labels) in found.items():
        rows = np.random.default_rng(0).permutation(len(samples))[:SAMPLES]
        chosen = samples[rows].astype(np.float32)
        if chosen.shape[1] > WIDTH:
            chosen = PCA(WIDTH, random_state=0).fit_transform(chosen).astype(np.float32)
        if not (place := folder / f"{name}.npz").exists():
            np.savez(place, x=chosen, y=labels[rows])
    return list(found)


def studies(folder: Path, names: list[str]) -> Iterator[dict[str, Any]]:
    """The content of each study file."""
    chance = random.Random(0)
    for number, (data, method) in enumerate((data, method) for data in names for method in METHODS):
        yield {
            "study": f"{data}-{method}",
            "trial": {
                "data": {"name": "file", "path": str(folder / f"{data}.npz")},
                "encoder": {"name": "mlp", "widths": chance.choice([[32], [64], [128], [64, 32], [256, 128]])},
                "method": {"name": method},
                "batch_size": chance.choice([64, 128, 256]),
                "epochs": chance.choice([15, 18, 21, 24]),
                "evaluation": {"every": chance.choice([1, 3])},
                "optimiser": {"schedule": chance.choice(["constant", "cosine"])},
            },
            "space": {
                "learning_rate": {"grid": list(RATES)},
                METHODS[method]: {"grid": list(TEMPERATURES)},
            },
            "seeds": [number],
            "select": {"metric": "nmi", "mode": "max", "save_assignments": False},
        }


def train(folder: Path, shared: Path) -> None:
    """Trains what the results lack."""
    for study in studies(folder, write_data(folder, shared)):
        file = folder / f"{study['study']}.yaml"
        file.write_text(json.dumps(study))  # JSON is YAML too.
        command = ["run", str(file), "--results", str(folder / "results"), "--workers", "1", "--keep-going", "--quiet"]
        subprocess.run([sys.executable, "-m", "conclus", *command], check=True)
        print(study["study"], flush=True)


def main() -> None:
    """Trains, and prints the tables."""
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    train(folder, Path(sys.argv[2] if sys.argv[2:] else "../shared/data"))


if __name__ == "__main__":
    main()
