"""Several views: methods against k-means on every view and on all of them, three seeds each, on four data sets.

Run: OMP_NUM_THREADS=1 uv run python benchmarks/multiview.py SHARED [SET …] [--methods umc,conclus] [--seeds 3]
     [--subsets] [--cache FOLDER]

SHARED is the folder of data with `multiview/`, `emb/` and `text/`. The four data sets are made once, in the cache.
`--subsets` trains on every single view and every pair too, to tell which view carries what. Trials run through
`core.training.fit`; what is told are the scores of the method's own clusters in the last epoch, their differences from
the better k-means and the 95 % interval of the mean difference (Student's t over seeds).
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy import stats
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, TfidfVectorizer

from benchmarks.rows import tell
from core.config.schema import Mistakes
from core.config.trial import TrialConfig, read_trial
from core.data.dataset import Dataset
from core.data.modalities import side_by_side
from core.datasets.multiview import load
from core.evaluation import kmeans, metrics
from core.training.fit import fit

Array = NDArray[np.float32]

SETS = ("scene15", "landuse21", "mintrec_text", "meld_da")
# Epochs and sizes of the networks are small, for a machine without a graphics card. All sets have the same sizes.
SETTING = {
    "encoder": {"name": "multiview", "base_dim": 128, "hidden": [256]},
    "evaluation": {"every": 1000},
}
METHODS = ("umc", "conclus marginal=auto")
# Of the largest set: about as many steps as two of the others take in thirty epochs.
FEWER_EPOCHS = {"meld_da": 8}
STARTS = 10
# Function words, contractions, interjections and marks, which are said whatever is talked about.
CONTRACTED = ("n't", "'s", "'re", "'m", "'ll", "'d", "'ve")
SAID = ("oh", "yeah", "no", "hey", "okay", "ok", "hi", "well", "uh", "um", "?", "!", ".", ",")
STYLE = sorted({*ENGLISH_STOP_WORDS, *CONTRACTED, *SAID})
PIECES = r"n't|'\w+|\w+|[?!.,]"


def made(name: str, shared: Path, cache: Path) -> Path:
    """The file of a data set, with its views as arrays; made if it is not there."""
    path = cache / f"{name}.npz"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = dict(_views(name, shared))
        np.savez(path, **arrays)
    return path


def _views(name: str, shared: Path) -> Iterator[tuple[str, NDArray[np.generic]]]:
    ready = shared / "multiview" / f"mv_{name}.npz"
    if ready.is_file():
        yield from np.load(ready).items()
        return
    texts = [one.replace("\u2019", "'") for one in pl.read_parquet(shared / "text" / f"{name}.parquet")["text"]]
    vectors = np.load(shared / "emb" / f"{name}_minilm.npz")
    yield "label", vectors["label"]
    yield "minilm", vectors["emb"].astype(np.float32)
    words = TfidfVectorizer(vocabulary=STYLE, token_pattern=PIECES, sublinear_tf=True)
    yield "style", _components(words, texts)
    yield (
        "letters",
        _components(TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), min_df=3, sublinear_tf=True), texts),
    )


def _components(counts: TfidfVectorizer, texts: Sequence[str]) -> Array:
    return TruncatedSVD(50, random_state=0).fit_transform(counts.fit_transform(texts)).astype(np.float32)


def chosen(data: Dataset, names: Sequence[str]) -> Dataset:
    """The data set with some of its views."""
    views, rows = [one for one in data.modalities if one.name in names], data.samples[:]
    samples = np.ascontiguousarray(np.concatenate([rows[:, one.place] for one in views], axis=1))
    kept = side_by_side({one.name: one.shape for one in views})
    return replace(data, samples=samples, modalities=kept, fingerprint=f"{data.fingerprint} {names}")


def by_kmeans(data: Dataset, seeds: int) -> Array:
    """NMI and ACC of k-means on the views as they are scaled, each the best of ten starts, (seeds, 2)."""
    labels: Any = data.labels
    count = len(data.class_names)
    found = [kmeans.kmeans(data.samples[:], count, seed=seed, starts=STARTS).labels for seed in range(seeds)]
    scores = [metrics.scores(one, labels) for one in found]
    return np.array([[one["nmi"], one["acc"]] for one in scores], np.float32)


def by_training(data: Dataset, config: TrialConfig, seeds: int) -> tuple[Array, list[float]]:
    """NMI and ACC of a method's clusters, (seeds, 2), and the ratio of its largest cluster to its smallest."""
    rows: list[list[float]] = []
    imbalance: list[float] = []
    for seed in range(seeds):
        *_, last = fit(config, data, seed=seed)
        rows.append([last.metrics["nmi"], last.metrics["acc"]])
        imbalance.append(last.health["imbalance_pred"])
        print(f"{config.method.name}, seed {seed}: {rows[-1][0]:.3f} / {rows[-1][1]:.3f}", file=sys.stderr, flush=True)
    return np.array(rows, np.float32), imbalance


def configured(method: str, epochs: int) -> TrialConfig:
    """The trial of a method; `umc marginal=learned` has options."""
    name, *options = method.split()
    mistakes = Mistakes()
    chosen_method = {"name": name, **dict(one.split("=") for one in options)}
    config = read_trial(SETTING | {"method": chosen_method, "epochs": epochs}, (), mistakes)
    if mistakes.found:
        raise SystemExit(mistakes.found[0].text)
    return config


def interval(values: Array) -> str:
    """The mean of some values with the half width of its 95 % interval."""
    if len(values) < 2:
        return f"{values.mean():+.3f}"
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return f"{values.mean():+.3f} ± {half:.3f}"


def compare(name: str, path: Path, methods: Sequence[str], seeds: int, *, subsets: bool) -> None:
    """Tells the rows of a data set."""
    # Components and vectors of a language model have the scale that counts; measurements need one.
    data = load(path=str(path), labels="label", scale="none" if "minilm" in np.load(path) else "auto")
    names = [one.name for one in data.modalities]
    bars = {one: by_kmeans(chosen(data, [one]), seeds).mean(axis=0) for one in names}
    bars["all"] = by_kmeans(data, seeds).mean(axis=0)
    for view, (nmi, acc) in bars.items():
        tell(f"{name}: k-means of {view}", f"{nmi:.3f} / {acc:.3f}")
    best = np.max(list(bars.values()), axis=0)
    parts = [names] + [list(one) for count in (1, 2) for one in itertools.combinations(names, count) if subsets]
    epochs = FEWER_EPOCHS.get(name, 30)
    for method, part in itertools.product(methods, parts):
        found, imbalance = by_training(chosen(data, part), configured(method, epochs), seeds)
        more = [interval(one) for one in (found - best).T]
        tell(
            f"{name}: {method} on {' + '.join(part)}",
            f"{found[:, 0].mean():.3f} / {found[:, 1].mean():.3f}; NMI {more[0]}, ACC {more[1]}; imbalance "
            + ", ".join(f"{one:.0f}" for one in imbalance),
        )


def main() -> None:
    """Tells the rows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("shared", type=Path)
    parser.add_argument("sets", nargs="*", default=SETS)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--subsets", action="store_true")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "conclus-multiview")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for name in asked.sets:
        path = made(name, asked.shared, asked.cache)
        compare(name, path, asked.methods.split(","), asked.seeds, subsets=asked.subsets)


if __name__ == "__main__":
    main()
