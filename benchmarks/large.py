"""What large data costs: memory of trials side by side, the second start, and a sparse matrix.

Run: uv run python benchmarks/large.py FOLDER [images|sparse]. FOLDER gets some gigabytes of generated data and the
cache. The private memory of a process is that of /proc/PID/smaps_rollup, read ten times a second while all of them
run: the largest. USS counts pages of the mapped file that no other process has touched yet; "written" does not.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rows import tell

IMAGES, SIDE, CLASSES = 100_000, 96, 10
ROWS, WORDS, FILLED = 200_000, 20_000, 0.005
STEPS, BATCH = 200, 128

# One trial, as its worker trains it: 200 steps and one scoring, or whole epochs.
TRIAL = """
import json, sys, time
began = time.perf_counter()
import torch
torch.set_num_threads(1)
from core.config.schema import Mistakes
from core.config.trial import read_trial
from core.data.source import on_device, read_ahead
from core.training import data_cache
trial = json.loads(sys.argv[1])
config = read_trial(trial, (), Mistakes())
imported = time.perf_counter()
data = data_cache.read(config.data)
samples = on_device(data.samples, torch.device("cpu"))
first = next(read_ahead(samples, [torch.randperm(len(samples))[:128]]))
print(json.dumps({"first batch": time.perf_counter() - imported, "shape": list(first.shape)}), flush=True)
if "steps" in sys.argv:
    from core.evaluation.scoring import ScoredTrial
    from core.seeds import Streams
    from core.training.fit import build, train_epoch
    method = build(config, samples, 10, seed=0)
    streams = Streams.of(0, torch.device("cpu"))
    rows = torch.randperm(len(samples))[:200 * 128]
    part = on_device(data.samples.take(rows.numpy()), torch.device("cpu"))
    train_epoch(method, part, 128, streams)
    scored = ScoredTrial(data=data, samples=samples, n_clusters=10, batch_size=128, seed=0)
    scores = method.scoring(scored)(method, due=True, last=True, outputs=None)
    print(json.dumps({"seconds": time.perf_counter() - began} | scores.metrics), flush=True)
elif "epochs" in sys.argv:
    from core.training.fit import fit
    for row in fit(config, data, seed=0):
        print(json.dumps({"epoch": row.epoch, "seconds": time.perf_counter() - began} | row.metrics), flush=True)
"""


def main(folder: Path, kinds: list[str]) -> None:
    """Measures and prints."""
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    if "images" in kinds:
        images(folder / "images.npz")
    if "sparse" in kinds:
        matrix(folder / "words.npz")


def images(path: Path) -> None:
    """Two trials side by side on 100,000 images."""
    if not path.is_file():
        generator = np.random.default_rng(0)
        labels = generator.integers(0, CLASSES, IMAGES)
        pixels = generator.integers(0, 200, (IMAGES, SIDE, SIDE, 3), dtype=np.uint8)
        pixels += (5 * labels).astype(np.uint8)[:, None, None, None]
        np.savez(path, X=pixels, y=labels)
    trial: dict[str, Any] = {
        "data": {"name": "file", "path": str(path)},
        "encoder": "convnet",
        "views": "image",
        "method": "cc",
        "batch_size": BATCH,
    }
    for start in ("preparing, and the first batch", "the second start, and the first batch"):
        tell(f"100,000 images of 96 x 96 x 3: {start}", json.dumps(run([(trial, "read")])["first"]))
    found = run([(trial, "steps")] * 2)
    tell("100,000 images of 96 x 96 x 3, two trials of 200 steps and a scoring", json.dumps(found))


def matrix(path: Path) -> None:
    """Two epochs on a sparse matrix of 200,000 x 20,000."""
    from scipy import sparse

    if not path.is_file():
        generator = np.random.default_rng(0)
        each = int(WORDS * FILLED)
        # A word from each hundredth or so of the vocabulary: sorted, and none twice.
        words = np.arange(each) * (WORDS // each) + generator.integers(0, WORDS // each, (ROWS, each))
        values = generator.random(ROWS * each, np.float32)
        ends = np.arange(ROWS + 1) * each
        sparse.save_npz(path, sparse.csr_matrix((values, words.astype(np.int32).reshape(-1), ends), (ROWS, WORDS)))
    trial = {
        "data": {"name": "file", "path": str(path), "scale": "none"},
        "encoder": {"name": "mlp", "widths": [128, 64]},
        "method": "cc",
        "n_clusters": 10,
        "epochs": 2,
        "batch_size": 1024,
    }
    found = run([(trial, "epochs")])
    tell("a sparse matrix of 200,000 x 20,000 with 0.5 %, two epochs", json.dumps(found))


def run(trials: list[tuple[dict[str, Any], str]]) -> dict[str, Any]:
    """Trains trials side by side; the largest private memory of each in GB, and what each printed first and last."""
    processes = [
        subprocess.Popen([sys.executable, "-c", TRIAL, json.dumps(trial), how], stdout=subprocess.PIPE, text=True)
        for trial, how in trials
    ]
    most = [(0.0, 0.0)] * len(processes)
    while all(one.poll() is None for one in processes):
        now = [private(one.pid) for one in processes]
        most = [(max(uss, new), max(written, dirty)) for (uss, written), (new, dirty) in zip(most, now, strict=True)]
        time.sleep(0.1)
    said = [(one.stdout.read() if one.stdout else "").splitlines() for one in processes]
    found = {
        "USS GB": [uss for uss, _ in most],
        "written GB": [written for _, written in most],
        "first": [json.loads(one[0]) for one in said],
        "last": [json.loads(one[-1]) for one in said],
    }
    print(json.dumps(found, indent=1), flush=True)
    return found


def private(pid: int) -> tuple[float, float]:
    """The private memory of a process in GB, and what of it was written to."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0, 0.0
    clean, dirty = (
        sum(int(line.split()[1]) for line in lines if line.startswith(name)) / 1e6
        for name in ("Private_Clean", "Private_Dirty")
    )
    return clean + dirty, dirty


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or ["images", "sparse"])
