"""The speed and the memory of an adversarial topic model beside a literal dense implementation of the same shapes.

Run: uv run python benchmarks/topics_speed.py [speed|memory|large …] [ROUNDS]. `bat` is measured as it is by default and
as in its paper (`FORMS`). `speed`: epochs over 18,846 documents of 5,000 words with 76 of them each (those of
`../shared/data/topic/ng20_ecrtm5000.npz` where it is there, else generated), batches of 256, 50 topics, 128 hidden
units, one thread; both train in turns, round by round, in CPU time, and both do the same: the literal implementation of
the default has its two views and its averaged weights, too. `memory`: the largest resident memory of a process that
trains such an epoch. `large`: that of one that takes 200 steps on 200,000 generated documents of 20,000 words and
scores them once. The exit code is 1 where a limit is missed.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.rows import tell
from core.config.schema import Mistakes
from core.config.trial import TrialConfig, read_trial
from core.data.dataset import Dataset
from core.data.source import on_device
from core.datasets.documents import load
from core.evaluation.scoring import ScoredTrial
from core.seeds import Streams
from core.training.fit import build, kinds_of, train_epoch
from losses.mutual_information import mutual_information

TOPICS, HIDDEN, BATCH = 50, 128, 256
# The options of both forms, of which the literal implementation needs the values.
FORMS: dict[str, dict[str, Any]] = {
    "by default": {"n_critic": 2, "generator_learning_rate": "lr/3", "agreement": 0.003, "averaging": 0.99},
    "as in its paper": {"n_critic": 5, "generator_learning_rate": "lr", "agreement": 0.0, "averaging": 0.0},
}
MOST_OF_LITERAL, MOST_SMALL, MOST_LARGE = 0.6, 1.5, 4.0
CPU = torch.device("cpu")
REAL = Path(__file__).parents[2] / "shared" / "data" / "topic" / "ng20_ecrtm5000.npz"


def main(kinds: list[str], rounds: int) -> bool:
    """Measures and prints; whether all limits are kept."""
    good = True
    with tempfile.TemporaryDirectory() as folder:
        path = REAL if REAL.is_file() else generated(Path(folder) / "small.npz", 18_846, 5_000, 76)
        large = generated(Path(folder) / "large.npz", 200_000, 20_000, 100) if "large" in kinds else path
        for form in FORMS:
            if "speed" in kinds:
                good &= median(literal_and_ours(form, path, rounds)) <= MOST_OF_LITERAL
            if "memory" in kinds:
                most = apart("epoch", form, path)
                what = f"an epoch of `bat` {form} over 18,846 documents of 5,000 words: the most memory"
                tell(what, f"{most['GB']:.2f} GB")
                good &= most["GB"] < MOST_SMALL
            if "large" in kinds:
                most = apart("steps", form, large)
                what = f"`bat` {form} on 200,000 documents of 20,000 words, 200 steps and a scoring: memory"
                seconds = f"{most['training']:.0f} and {most['scoring']:.0f} CPU s"
                tell(what, f"{most['GB']:.2f} GB; {seconds}")
                good &= most["GB"] < MOST_LARGE
    return good


def generated(path: Path, n: int, n_words: int, each: int) -> Path:
    """Documents with so many different words each, in a file."""
    generator = np.random.default_rng(0)
    words = np.arange(each) * (n_words // each) + generator.integers(0, n_words // each, (n, each))
    np.savez(
        path,
        data=generator.integers(1, 4, n * each).astype(np.int32),
        indices=words.astype(np.int32).reshape(-1),
        indptr=np.arange(n + 1) * each,
        shape=(n, n_words),
        vocab=[f"w{word}" for word in range(n_words)],
    )
    return path


def configured(form: str) -> TrialConfig:
    """The trial that is measured."""
    method = {"name": "bat", "hidden_dim": HIDDEN, **FORMS[form]}
    return read_trial({"method": method, "n_clusters": TOPICS, "batch_size": BATCH}, (), Mistakes())


def prepared(form: str, data: Dataset) -> tuple[Callable[[int], object], Any, Any]:
    """A function that trains on the first documents, the method, and the samples."""
    samples, streams = on_device(data.samples, CPU), Streams.of(0, CPU)
    method = build(configured(form), samples, TOPICS, seed=0, **kinds_of(data))

    def train(n: int) -> object:
        few = on_device(data.take(slice(n)).samples, CPU)
        return train_epoch(method, few, BATCH, streams)

    return train, method, samples


def literal_and_ours(form: str, path: Path, rounds: int) -> list[float]:
    """Our CPU seconds of an epoch as shares of those of the literal implementation, round by round."""
    torch.set_num_threads(1)
    data = load(path=str(path))
    train, *_ = prepared(form, data)
    dense = torch.from_numpy(data.samples[:])
    n, n_words = dense.shape
    kinds = {name: Literal(n_words, **FORMS[form], fused=bool(name)) for name in ("", " with a fused Adam")}
    seconds: dict[str, list[float]] = {name: [] for name in ("ours", *kinds)}
    for number in range(rounds + 1):
        for name, work in [("ours", lambda: train(n)), *((name, one.bind(dense)) for name, one in kinds.items())]:
            began = time.process_time()
            work()
            if number:  # the first round warms up
                seconds[name].append(time.process_time() - began)
    shares = {name: [a / b for a, b in zip(seconds["ours"], seconds[name], strict=True)] for name in kinds}
    for name, each in shares.items():
        took = f"{median(seconds['ours']):.2f} s / {median(seconds[name]):.2f} s"
        tell(
            f"an epoch of `bat` {form} over {n:,} documents of {n_words:,} words / "
            f"the literal dense implementation{name}",
            f"{took}, {median(each):.2f} ({min(each):.2f} to {max(each):.2f})",
        )
    return shares[""]


class Literal:
    """The method as its paper and its users write it: dense tensors, every network called anew."""

    def __init__(
        self,
        n_words: int,
        *,
        n_critic: int,
        generator_learning_rate: str,
        agreement: float,
        averaging: float,
        fused: bool,
    ) -> None:
        def block(a: int, b: int) -> list[nn.Module]:
            return [nn.Linear(a, b), nn.BatchNorm1d(b), nn.LeakyReLU()]

        self.generator = nn.Sequential(*block(TOPICS, HIDDEN), nn.Linear(HIDDEN, n_words), nn.Softmax(dim=1))
        self.encoder = nn.Sequential(*block(n_words, HIDDEN), nn.Linear(HIDDEN, TOPICS), nn.Softmax(dim=1))
        self.critic = nn.Sequential(*block(TOPICS + n_words, HIDDEN), nn.Linear(HIDDEN, 1))
        slower = float(generator_learning_rate.partition("/")[2] or 1)
        self.optimisers = [
            torch.optim.Adam(one.parameters(), lr=rate, betas=(0.5, 0.999), fused=fused)
            for one, rate in ((self.generator, 1e-3 / slower), (self.encoder, 1e-3), (self.critic, 1e-3))
        ]
        self.n_critic, self.agreement, self.averaging = n_critic, agreement, averaging
        self.averages = [
            copy.deepcopy(one).requires_grad_(requires_grad=False) for one in (self.generator, self.encoder)
        ]
        self.steps = 0

    def bind(self, documents: Tensor) -> Callable[[], None]:
        """An epoch over all documents (n, V)."""

        def epoch() -> None:
            order = torch.randperm(len(documents))
            for rows in order.tensor_split(-(-len(order) // BATCH)):
                self.step(documents[rows])

        return epoch

    def step(self, x: Tensor) -> None:
        """One step of the critic, and in each `n_critic`-th one of generator and encoder."""
        for_generator, for_encoder, for_critic = self.optimisers
        theta = torch.distributions.Dirichlet(torch.full((TOPICS,), 1 / TOPICS)).sample((len(x),))
        made, inferred = self.generator(theta).detach(), self.encoder(x).detach()
        for_critic.zero_grad()
        real, fake = (self.critic(torch.cat(pair, dim=1)) for pair in ((inferred, x), (theta, made)))
        (fake.mean() - real.mean()).backward()
        for_critic.step()
        for one in self.critic.parameters():
            one.data.clamp_(-0.01, 0.01)
        self.steps += 1
        if self.steps % self.n_critic:
            return
        for_generator.zero_grad()
        (-self.critic(torch.cat((theta, self.generator(theta)), dim=1)).mean()).backward()
        for_generator.step()
        for_encoder.zero_grad()
        loss = self.critic(torch.cat((self.encoder(x), x), dim=1)).mean()
        if self.agreement:
            views = [self.encoder(2 * x * (torch.rand(x.shape) < 0.5)) for _ in range(2)]
            loss = loss + self.agreement * mutual_information(*views)
        loss.backward()
        for_encoder.step()
        if self.averaging:
            for slow, fast in zip(self.averages, (self.generator, self.encoder), strict=True):
                for one, other in zip(slow.parameters(), fast.parameters(), strict=True):
                    one.lerp_(other.detach(), 1 - self.averaging)


def apart(what: str, form: str, path: Path) -> dict[str, float]:
    """What a process of its own that does `what` tells: its largest resident memory in GB, and CPU seconds."""
    command = [sys.executable, __file__, "child", what, form, str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    print(said, flush=True)
    return json.loads(said)


def child(what: str, form: str, path: Path) -> None:
    """Trains an epoch, or takes 200 steps, and scores all documents; prints the memory of this process."""
    torch.set_num_threads(1)
    data = replace(load(path=str(path)), parts=None)
    train, method, samples = prepared(form, data)
    began = time.process_time()
    train(len(samples) if what == "epoch" else 200 * BATCH)
    trained = time.process_time()
    scored = ScoredTrial(data=data, samples=samples, n_clusters=TOPICS, batch_size=BATCH, seed=0)
    found = method.scoring(scored)(method, due=True, last=True, outputs=None)
    seconds = {"training": trained - began, "scoring": time.process_time() - trained}
    # What `getrusage` tells counts from the process that started this one.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    most = int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e9
    print(json.dumps({"GB": most, "npmi": found.metrics["npmi"], **seconds}), flush=True)


if __name__ == "__main__":
    words = sys.argv[1:]
    if words[:1] == ["child"]:
        child(words[1], words[2], Path(words[3]))
    else:
        numbers = [int(one) for one in words if one.isdigit()]
        chosen = [one for one in words if not one.isdigit()] or ["speed", "memory", "large"]
        sys.exit(not main(chosen, numbers[0] if numbers else 5))
