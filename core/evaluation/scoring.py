"""The interface that scores the epochs of a trial; methods that do not cluster replace it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from core.data.dataset import Dataset
from core.data.source import Samples
from core.data.stored import Stored
from core.evaluation.clustering import evaluate
from core.evaluation.label_free import Subsample
from core.evaluation.outputs import EvaluatedModel, Outputs, Previous, Scores
from core.seeds import derive


@dataclass(frozen=True, kw_only=True)
class ScoredTrial:
    """The parts of a trial that its scoring needs.

    Attributes:
        data: the whole data set, with the held-out parts.
        samples: the training samples, (n, *sample_shape), on the method's device.
        n_clusters: 0 for a method that does not cluster.
        batch_size: the trial's batch size.
        seed: the trial's seed.
    """

    data: Dataset
    samples: Samples
    n_clusters: int
    batch_size: int
    seed: int


class Scoring(ABC):
    """Scores the epochs of one trial; it may keep a state between evaluations, which checkpoints store."""

    @abstractmethod
    def __call__(self, method: EvaluatedModel, *, due: bool, last: bool, outputs: Outputs | None) -> Scores | None:
        """Scores an epoch.

        Args:
            method: the method after the epoch.
            due: whether `evaluation` asks for a score of this epoch; true for the last one.
            last: whether this is the last epoch of the trial.
            outputs: the method's outputs for the samples, if `Method.end_epoch` returned them.
        """

    def state(self) -> dict[str, Tensor] | None:
        """The state between evaluations; None by default."""
        return None

    def load_state(self, state: dict[str, Tensor] | None) -> None:  # noqa: B027 - most have no state
        """Restores a state from `state`."""


class ClusterScoring(Scoring):
    """Scores the assignment to clusters in every epoch that is due; see `core.evaluation.clustering`."""

    def __init__(self, trial: ScoredTrial) -> None:
        training = trial.data.part("train")
        self._samples, self._labels = trial.samples, training.labels
        self._n_clusters, self._seed = trial.n_clusters, derive(trial.seed, "kmeans")
        samples = training.samples
        if training.corpus is not None and isinstance(samples, Stored):
            self._subsample = Subsample.of_documents(samples)
        else:
            self._subsample = Subsample.of(samples)
        self._previous: Previous | None = None

    def __call__(self, method: EvaluatedModel, *, due: bool, last: bool, outputs: Outputs | None) -> Scores | None:
        """The scores of the epoch if it is due; else None."""
        if not due:
            return None
        scores = evaluate(
            method,
            self._samples,
            self._labels,
            n_clusters=self._n_clusters,
            seed=self._seed,
            previous=self._previous,
            last=last,
            subsample=self._subsample,
            outputs=outputs,
        )
        self._previous = scores.previous
        return scores

    def state(self) -> dict[str, Tensor] | None:
        """Labels, centroids and centres of the last evaluation."""
        return self._previous and {
            name: torch.from_numpy(array) for name, array in vars(self._previous).items() if array is not None
        }

    def load_state(self, state: dict[str, Tensor] | None) -> None:
        """Restores labels, centroids and centres of the last evaluation."""
        self._previous = None
        if state is not None:
            known = ("labels", "centroids", "centres")  # A state of conclus 0.2.0 has no centres.
            self._previous = Previous(**{name: state[name].cpu().numpy() for name in known if name in state})
