"""Scores a method that maps inputs to targets, on the training part and on the held-out parts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from core.data.dataset import PARTS, Dataset
from core.data.stored import dense
from core.evaluation import retrieval
from core.evaluation.clustering import CHUNK, evaluation_mode
from core.evaluation.outputs import EvaluatedModel, Outputs, Scores
from core.evaluation.scoring import ScoredTrial, Scoring
from core.seeds import derive
from losses.cosine import cosine
from losses.mse import mse

Loss = Callable[[Tensor, Tensor], Tensor]
# So many training samples are scored: enough for a mean, and as fast as the held-out parts.
TRAINED = 5000


@dataclass(frozen=True)
class _Part:
    """Pairs that are scored together; the names of their scores begin with `prefix`, that of the loss with `name`."""

    name: str
    samples: Tensor
    targets: Tensor

    @property
    def prefix(self) -> str:
        return "" if self.name == "validation" else f"{self.name}_"


class PairScoring(Scoring):
    """Scores each epoch by loss, cosine similarity, MSE and in-batch retrieval; and by retrieval if it is due.

    Names without a prefix are of the validation part, `train_` is of at most 5,000 training samples, and `test_` of
    the test part. Losses always have a prefix (`train_loss`, `validation_loss`, `test_loss`). All scores are computed
    in evaluation mode, after the epoch.

    - `cosine_similarity`, `mse`: means over samples; `mse` also over columns.
    - `retrieval_accuracy`: the share of predictions whose own target is the nearest in a batch of the trial's size;
      `retrieval_chance` is its value by chance. Not comparable between batch sizes.
    - of validation and test, if due: the scores of `core.evaluation.retrieval.scores` over the whole part.
    """

    def __init__(self, trial: ScoredTrial, loss: Loss) -> None:
        self._loss, self._batch_size = loss, trial.batch_size
        generator = torch.Generator().manual_seed(derive(trial.seed, "scoring"))
        parts = [_part(name, trial.data, trial.samples.device, generator) for name in PARTS]
        self._parts = [part for part in parts if len(part.samples)]

    def __call__(self, method: EvaluatedModel, *, due: bool, last: bool, outputs: Outputs | None) -> Scores:  # noqa: ARG002
        """The scores of all parts; it ignores `last`, and it computes its own outputs."""
        found: dict[str, float] = {}
        for part in self._parts:
            predictions = predict(method, part.samples)
            found |= {f"{part.name}_loss": self._in_batches(self._loss, predictions, part.targets)}
            scores = self._scores(predictions, part.targets)
            if due and part.name != "train":
                scores |= retrieval.scores(predictions, part.targets)
            found |= {f"{part.prefix}{name}": value for name, value in scores.items()}
        return Scores(found, {})

    def _scores(self, predictions: Tensor, targets: Tensor) -> dict[str, float]:
        batches = math.ceil(len(targets) / self._batch_size)
        return {
            "cosine_similarity": 1 - float(cosine(predictions, targets)),
            "mse": float(mse(predictions, targets)),
            "retrieval_accuracy": self._in_batches(retrieval.accuracy, predictions, targets),
            "retrieval_chance": batches / len(targets),
        }

    def _in_batches(self, score: Callable[[Tensor, Tensor], Tensor | float], a: Tensor, b: Tensor) -> float:
        """The mean over samples of a score that is a mean over a batch; batches are of nearly equal size."""
        batches = math.ceil(len(a) / self._batch_size)
        both = zip(a.tensor_split(batches), b.tensor_split(batches), strict=True)
        return sum(float(score(x, y)) * len(x) for x, y in both) / len(a)


def _part(name: str, data: Dataset, device: torch.device, generator: torch.Generator) -> _Part:
    """A part in a fixed random order, since similar pairs often stand together in a file."""
    pairs = data.part(name)
    rows = torch.randperm(pairs.n_samples, generator=generator)
    rows = rows[:TRAINED] if name == "train" else rows
    arrays = (dense(pairs.samples), pairs.arrays["target"])
    samples, targets = (torch.from_numpy(array)[rows].to(device) for array in arrays)
    return _Part(name, samples, targets)


def predict(method: EvaluatedModel, samples: Tensor) -> Tensor:
    """The method's predictions for samples (n, *sample_shape), in chunks, on their device; float32 (n, dim)."""
    with evaluation_mode(method):
        return torch.cat([method.outputs(chunk).features.float() for chunk in samples.split(CHUNK)])
