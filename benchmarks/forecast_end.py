"""Trains some 400 short trials of 32 studies and says how often the forecast of a trial's last score was right.

Run: python -m benchmarks.forecast_end FOLDER [DATA]. FOLDER gets the data files and the results (`FOLDER/results`), and
a second run trains only what is missing there. DATA is the folder of the vectors and expression profiles that the
project's tests use (default: ../shared/data). All trials take some ten minutes of one CPU.

A study is one data set with one method, an encoder, a batch size, a number of epochs (15 to 24) and a way to score
(every epoch or every third), all drawn with a fixed seed. Its 12 trials differ in learning rate and temperature.

Rows follow on NMI and label-free score, at a third and at two thirds of the epochs: once the study of the trial is left
out, so that the interval comes from other studies alone, and once its own study is there without the trial's own
configuration. The standard error of a coverage is that of a share over clusters: trials of one study are alike, so that
the studies count as independent and not the trials. Exit code 1 when an interval from other studies at a third of the
epochs covers less or more than .90 by over two standard errors.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA

from jobs.health.forecast import COLUMNS, LEVEL, Forecast, Past, expected, pasts
from jobs.results.reader import load

SAMPLES, WIDTH = 600, 50
METHODS = {
    **dict.fromkeys(("cc", "conclus", "sccl"), "instance_temperature"),
    "propos": "temperature",
}
"""Each method's temperature."""
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


def cut(whole: Past, share: float) -> Past | None:
    """The course up to a share of the epochs, as that of a running trial; None before its first score."""
    known = whole.at <= share + 1e-9
    return replace(whole, at=whole.at[known], values=whole.values[known], is_whole=False) if known.any() else None


def measure(courses: Sequence[Past], metric: str, share: float, *, is_new: bool) -> bool:
    """Prints a row on the forecasts of courses from a share of their epochs; returns whether .90 is within two errors.

    Args:
        courses: those of finished trials.
        metric: the score that they are of.
        share: of the epochs.
        is_new: whether the trial's own study is left out.
    """
    hits, found, ends = dict[str, list[bool]](), list[Forecast](), list[float]()
    for one in courses:
        others = [other for other in courses if (other.study != one.study if is_new else other is not one)]
        running = cut(one, share)
        forecast = expected(running, others, metric) if running else None
        if not isinstance(forecast, Forecast):
            continue
        end = float(one.values[-1])
        hits.setdefault(one.study, []).append(forecast.low <= end <= forecast.high)
        found.append(forecast)
        ends.append(end)
    means = np.array([np.mean(one) for one in hits.values()])
    sizes = np.array([len(one) for one in hits.values()])
    cover = float(np.average(means, weights=sizes))
    # Of a ratio of sums over clusters: the studies are the clusters.
    spread = float(np.sqrt(((sizes * (means - cover)) ** 2).sum() * len(sizes) / (len(sizes) - 1)) / sizes.sum())
    off = np.abs([one.value - end for one, end in zip(found, ends, strict=True)])
    carried = np.abs([one.last - end for one, end in zip(found, ends, strict=True)])
    of = "other studies" if is_new else "its own study"
    print(
        f"{metric:10}  {share:.2f} of the epochs, from {of}: {len(found)} trials of {len(sizes)} studies, "
        f"coverage {cover:.3f} (standard error {spread:.3f}), median width "
        f"{np.median([one.high - one.low for one in found]):.3f}, mean error {off.mean():.4f} "
        f"(the last score carried on: {carried.mean():.4f})"
    )
    return abs(cover - LEVEL) <= 2 * spread


def main() -> None:
    """Trains, and prints the rows."""
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    train(folder, Path(sys.argv[2] if sys.argv[2:] else "../shared/data"))
    table = load([str(folder / "results")], history=True, columns=COLUMNS).table
    is_right: list[bool] = []
    for metric in ("nmi", "label_free"):
        courses = [one for one in pasts(table, metric).values() if one.is_whole]
        for share in (1 / 3, 2 / 3):
            covers = measure(courses, metric, share, is_new=True)
            measure(courses, metric, share, is_new=False)
            is_right += [covers] if share < 1 / 2 else []
    sys.exit(0 if all(is_right) else 1)


if __name__ == "__main__":
    main()
