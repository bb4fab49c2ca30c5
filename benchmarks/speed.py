"""The speed of a trial compared with a common implementation (benchmarks/literal.py) and with the machine's peak.

Run: uv run --with torchvision python benchmarks/speed.py [ROUNDS]. All runs in one process with one thread; the things
that a line compares are measured in turns, round by round. Times are CPU times, so other processes disturb little. A
ratio is the median over the rounds, with quartiles. Shares of the peak are the multiplications and additions of a step
over the best f32 matrix product of the same round. The last two lines need Fashion-MNIST (`conclus methods datasets
fashion-mnist` tells its source) and are left out without it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import literal
import numpy as np
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.rows import tell
from core.config import plugins
from core.config.schema import Mistakes
from core.config.trial import read_trial
from core.errors import UserError
from core.evaluation import kmeans
from core.evaluation.clustering import evaluate
from core.evaluation.label_free import Subsample
from core.seeds import Streams
from core.training import device, precision
from core.training.fit import build, train_epoch
from core.training.method import Batch, Method

SIDE, BATCH, CLUSTERS = 28, 256, 10
CPU = torch.device("cpu")
CONVNET = {"encoder": "convnet", "views": "image", "method": "cc", "batch_size": BATCH}
PERCEPTRON = {"encoder": {"name": "mlp", "widths": (512, 256)}, "views": "noise", "method": "cc", "batch_size": BATCH}
DIGITS = {"method": "cc", "batch_size": BATCH}


class Steps:
    """Training steps of a trial's method on one batch of given samples."""

    def __init__(self, trial: dict[str, Any], samples: np.ndarray[Any, Any], batch: int = BATCH) -> None:
        config = read_trial(trial, (), Mistakes())
        self.config, self.samples = config, torch.from_numpy(samples)
        self.streams = Streams.of(0, CPU)
        self.method: Method = build(config, self.samples, CLUSTERS, seed=0)
        self.precision = precision.resolve(config, CPU)
        if self.precision == "bf16":
            precision.train_in_bf16(self.method, CPU)
        rows = torch.arange(batch)
        self.batch = Batch(self.samples[rows], rows, self.streams.views, self.streams.method)

    def step(self) -> None:
        """One step: views, losses, gradients, optimiser."""
        self.method.step(self.batch)

    def operations(self) -> float:
        """Multiplications and additions of one step's matrix products and convolutions."""
        with FlopCounterMode(display=False) as counter:
            self.step()
        return float(counter.get_total_flops())


def clocked(work: Callable[[], object]) -> float:
    """CPU seconds of `work`."""
    started = time.process_time()
    work()
    return time.process_time() - started


def in_turns(rounds: int, *works: Callable[[], object], repeats: int = 1) -> list[list[float]]:
    """Seconds of each work in each round; they run in turns within a round, and the best of `repeats` counts."""
    for work in works:
        work()
    return [[min(clocked(work) for _ in range(repeats)) for work in works] for _ in range(rounds)]


def spread(values: list[float], form: str) -> str:
    """The median and quartiles."""
    low, _, high = quantiles(values, n=4)
    return f"{median(values):{form}} ({low:{form}}-{high:{form}})"


def ratio(rounds: list[list[float]]) -> str:
    """The time of the first over that of the second."""
    return spread([first / second for first, second in rounds], ".2f")


def beside_the_literal_way(rounds: int) -> None:
    """Compares steps with views, then only views, and only crops."""
    bytes_ = np.random.default_rng(0).integers(0, 256, (BATCH, SIDE, SIDE), dtype=np.uint8)
    samples = bytes_[:, None].astype(np.float32) / 255
    own = Steps(CONVNET, samples)
    for encoder, name in ((literal.usual_encoder, "the usual network"), (literal.own_encoder, "the same network")):
        network = partial(literal.Network, encoder, CLUSTERS)
        other = literal.Trainer(bytes_, literal.viewed(SIDE), network, 0)
        found = in_turns(rounds, lambda other=other: list(other.epoch()), own.step)
        rates = [f"{BATCH / median(column):.0f}" for column in zip(*found, strict=True)]
        what = f"a step of 256 images of 28 x 28 against the literal way, {name}, in {own.precision}"
        tell(what, f"{ratio(found)} times as fast; {rates[0]} / {rates[1]} images/s")

    images = [Image.fromarray(one) for one in bytes_]
    views: Any = own.method.views
    view, crop = literal.viewed(SIDE), literal.cropped(SIDE)
    found = in_turns(rounds, lambda: [view(one) for one in images], lambda: views(own.batch))
    tell("views of a batch (crop, flip, jitter, blur) against torchvision by image", beside(found))

    found = in_turns(rounds, lambda: [crop(one) for one in images], lambda: views.weak(own.batch), repeats=3)
    tell("crops of a batch (crop, flip) against torchvision by image", beside(found))


def beside(found: list[list[float]]) -> str:
    """The ratio of both implementations, and microseconds per image of each."""
    each = " / ".join(f"{1e6 * median(column) / BATCH:.1f}" for column in zip(*found, strict=True))
    return f"{ratio(found)} times as fast; {each} us an image"


def beside_the_peak(rounds: int) -> None:
    """The share of a matrix product's rate that the steps reach."""
    generator = np.random.default_rng(0)
    shapes = {
        "convnet": (CONVNET, (1, SIDE, SIDE)),
        "MLP 384-512-256": (PERCEPTRON, (384,)),
        "digits": (DIGITS, (1, 8, 8)),
    }
    left, right, product = torch.randn(512, 512), torch.randn(512, 512), torch.empty(512, 512)
    for name, (trial, shape) in shapes.items():
        steps = Steps(trial, generator.random((BATCH, *shape), dtype=np.float32))
        found = in_turns(rounds, partial(torch.mm, left, right, out=product), steps.step, repeats=5)
        operations = steps.operations()
        rates = [(2 * 512**3 / best / 1e9, operations / step / 1e9) for best, step in found]
        shares = [step / best for best, step in rates]
        peak, reached = (median(column) for column in zip(*rates, strict=True))
        measured = f"{reached:.0f} of {peak:.0f} GFLOP/s"
        what = f"a step's share of the best matrix product of f32, {name}, in {steps.precision}"
        tell(what, f"{spread(shares, '.0%')}; {measured}")


def evaluation() -> None:
    """The cost of evaluating 70,000 images at every fifth of 20 epochs, compared with training on them."""
    data = plugins.load("datasets", "fashion-mnist")()
    steps = Steps(CONVNET | {"epochs": 20}, data.samples)
    subsample, share = Subsample.of(data.samples), 40 * BATCH
    score = partial(
        evaluate, steps.method, steps.samples, data.labels, n_clusters=CLUSTERS, seed=0, subsample=subsample
    )
    part = clocked(lambda: train_epoch(steps.method, steps.samples[:share], BATCH, steps.streams))
    epoch = part * len(data.samples) / share
    first = score(previous=None, last=False)
    usual = clocked(lambda: score(previous=first.previous, last=False))
    last = clocked(lambda: score(previous=first.previous, last=True))
    measured = f"{usual:.0f} s, the last {last:.0f} s; an epoch {epoch:.0f} s"
    part_of_training = f"{(3 * usual + last) / (20 * epoch):.1%} of training"
    tell("scoring 70,000 images, every 5th of 20 epochs", f"{part_of_training}; {measured}")


STAGES = ("imports", "data", "trained")


def memory(stage: str) -> None:
    """Prints the peak memory of this process in MB up to the end of a stage."""
    torch.set_num_threads(1)
    if stage != "imports":
        data = plugins.load("datasets", "fashion-mnist")()
        if stage == "trained":
            steps = Steps(CONVNET, data.samples)
            train_epoch(steps.method, steps.samples[: 4 * BATCH], BATCH, steps.streams)
            evaluate(steps.method, steps.samples, data.labels, n_clusters=CLUSTERS, seed=0, previous=None, last=True)
    # Not ru_maxrss, which includes the memory of the parent process before exec.
    status = Path("/proc/self/status").read_text()
    print(int(status.partition("VmHWM:")[2].split()[0]) / 1024)


def memories() -> None:
    """The memory of a trial on 70,000 images, each stage in a separate process."""
    found = {}
    for stage in STAGES:
        done = subprocess.run([sys.executable, __file__, stage], capture_output=True, text=True, check=True)
        found[stage] = float(done.stdout)
    parts = f"{found['imports']:.0f} MB after imports, {found['data']:.0f} with the data"
    tell("memory of a trial on 70,000 images, trained and scored, at most", f"{found['trained']:.0f} MB; {parts}")


def main() -> None:
    """Tells the rows, one by one."""
    if sys.argv[1:] and sys.argv[1] in STAGES:
        memory(sys.argv[1])
        return
    device.limit_threads(1)
    kmeans.kmeans(np.eye(4, dtype=np.float32), 2, seed=0)  # imports
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    beside_the_literal_way(rounds)
    beside_the_peak(rounds)
    try:
        evaluation()
        memories()
    except UserError as error:
        print(f"left out: {error}")


if __name__ == "__main__":
    main()
