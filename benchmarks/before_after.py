"""One state of the code against another: are the rows of trials bit-equal, and is a step as fast?

Run: uv run python benchmarks/before_after.py OTHER_CHECKOUT [ROUNDS]. Each state runs in a process of its own that
stays; the two are timed in turns, in CPU time and with one thread. A ratio is the median of this state over the other,
with the 95 % interval of a bootstrap over the rounds. The data are digits, and 10,000 made images of 28 x 28 as `.npz`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.rows import tell

WORKER = """
import hashlib, json, sys, time
import torch
torch.set_num_threads(1)
from core.config.schema import Mistakes
from core.config.trial import read_trial
from core.seeds import Streams
from core.training import data_cache
from core.training.fit import build, fit, train_epoch
try:
    from core.data.source import on_device
except ImportError:
    on_device = lambda samples, device: torch.from_numpy(samples).to(device)
CPU = torch.device("cpu")
TRIALS = json.loads(sys.argv[1])
ready = {}
for name, trial in TRIALS.items():
    config = read_trial(trial, (), Mistakes())
    data = data_cache.read(config.data)
    samples = on_device(data.part("train").samples, CPU)
    ready[name] = config, data, samples, build(config, samples, 10, seed=0), Streams.of(0, CPU)
for line in sys.stdin:
    what, name = line.split(maxsplit=1)
    config, data, samples, method, streams = ready[name.strip()]
    if what == "rows":
        rows = [[row.epoch, row.losses, row.metrics, row.health] for row in fit(config, data, seed=3)]
        print(hashlib.sha256(json.dumps(rows).encode()).hexdigest(), flush=True)
    else:
        began = time.process_time()
        train_epoch(method, samples[:2560], config.batch_size, streams)
        print(time.process_time() - began, flush=True)
"""


def main(other: Path, rounds: int) -> None:
    """Compares and prints."""
    with tempfile.TemporaryDirectory() as folder:
        generator = np.random.default_rng(0)
        labels = generator.integers(0, 10, 10_000)
        images = (
            generator.integers(0, 200, (10_000, 28, 28), dtype=np.uint8) + (5 * labels).astype(np.uint8)[:, None, None]
        )
        np.savez(Path(folder) / "images.npz", X=images, y=labels)
        vectors = generator.normal(size=(3000, 64)) + labels[:3000, None]
        np.savez(Path(folder) / "vectors.npz", X=vectors, y=labels[:3000])
        file = {"name": "file", "path": str(Path(folder) / "images.npz")}
        trials = {
            "digits, mlp": {"data": {"name": "digits"}, "epochs": 8},
            "digits, convnet": {"data": {"name": "digits"}, "encoder": "convnet", "epochs": 4},
            "28 x 28, convnet": {"data": file, "encoder": "convnet", "epochs": 1},
            "vectors, tabular": {"data": {**file, "path": f"{folder}/vectors.npz"}, "views": "tabular", "epochs": 4},
            "vectors, neighbours": {
                "data": {**file, "path": f"{folder}/vectors.npz"},
                "views": "neighbours",
                "method": "sccl",
                "epochs": 4,
            },
        }
        workers = [_worker(one, trials, folder) for one in (Path.cwd(), other.resolve())]
        for name in trials:
            ours, theirs = (_ask(one, f"rows {name}") for one in workers)
            tell(f"{name}: rows before and after", "bit-equal" if ours == theirs else "DIFFERENT")
        for name in trials:
            compare(name, workers, rounds)
        for one in workers:
            one.terminate()


def compare(name: str, workers: list[subprocess.Popen[str]], rounds: int) -> None:
    """The ratio of the times of ten steps or so."""
    for one in workers:
        _ask(one, f"time {name}")
    ratios: list[float] = []
    for turn in range(rounds):
        order = workers if turn % 2 else workers[::-1]
        seconds = {id(one): float(_ask(one, f"time {name}")) for one in order}
        ratios.append(seconds[id(workers[0])] / seconds[id(workers[1])])
    drawn = np.median(np.random.default_rng(0).choice(ratios, (2000, rounds)), axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    tell(f"{name}: a step, after over before", f"{np.median(ratios):.3f} ({low:.3f} to {high:.3f}), {rounds} rounds")


def _worker(checkout: Path, trials: object, folder: str) -> subprocess.Popen[str]:
    env = os.environ | {"PYTHONPATH": str(checkout), "XDG_CACHE_HOME": f"{folder}/cache-{checkout.name}"}
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, json.dumps(trials)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=env,
        cwd=checkout,
    )


def _ask(worker: subprocess.Popen[str], question: str) -> str:
    if worker.stdin is None or worker.stdout is None:
        raise RuntimeError("a worker has no pipes")
    worker.stdin.write(question + "\n")
    worker.stdin.flush()
    return worker.stdout.readline().strip()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 21)
