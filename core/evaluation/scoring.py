"""How the epochs of a trial are scored: the seam for methods that do something else than cluster."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from core.data.dataset import Dataset
from core.evaluation.clustering import evaluate
from core.evaluation.label_free import Subsample
from core.evaluation.outputs import EvaluatedModel, Outputs, Previous, Scores
from core.seeds import derive


@dataclass(frozen=True, kw_only=True)
class ScoredTrial:
    """A trial as its scoring sees it.

    Attributes:
        data: the whole data set, what is held out included.
        samples: those that are trained on, (n, *sample_shape), where the method is.
        n_clusters: 0 for a method that does not cluster.
        batch_size: of the trial.
        seed: of the trial.
    """

    data: Dataset
    samples: Tensor
    n_clusters: int
    batch_size: int
    seed: int


class Scoring(ABC):
    """Made once for a trial; it may carry something from one evaluation to the next, which checkpoints keep."""

    @abstractmethod
    def __call__(self, method: EvaluatedModel, *, due: bool, last: bool, outputs: Outputs | None) -> Scores | None:
        """Scores an epoch.

        Args:
            method: as the epoch left it.
            due: whether it is one of those that `evaluation` asks for; the last one always is.
            last: whether the trial ends with it.
            outputs: the method's outputs for the samples, where `Method.end_epoch` has made them.
        """

    def state(self) -> dict[str, Tensor] | None:
        """What it carries; nothing unless a scoring says otherwise."""
        return None

    def load_state(self, state: dict[str, Tensor] | None) -> None:  # noqa: B027 - most have nothing to carry
        """Goes on with what `state` gave."""


class ClusterScoring(Scoring):
    """Scores the assignment to clusters, every epoch that is due; see `core.evaluation.clustering`."""

    def __init__(self, trial: ScoredTrial) -> None:
        training = trial.data.part("train")
        self._samples, self._labels = trial.samples, training.labels
        self._n_clusters, self._seed = trial.n_clusters, derive(trial.seed, "kmeans")
        self._subsample = Subsample.of(training.samples)
        self._previous: Previous | None = None

    def __call__(self, method: EvaluatedModel, *, due: bool, last: bool, outputs: Outputs | None) -> Scores | None:
        """The scores of an epoch that is due."""
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
        """Labels and centroids of the last evaluation."""
        return self._previous and {
            "labels": torch.from_numpy(self._previous.labels),
            "centroids": torch.from_numpy(self._previous.centroids),
        }

    def load_state(self, state: dict[str, Tensor] | None) -> None:
        """The next evaluation follows the one that left this."""
        self._previous = None
        if state is not None:
            self._previous = Previous(state["labels"].cpu().numpy(), state["centroids"].cpu().numpy())
