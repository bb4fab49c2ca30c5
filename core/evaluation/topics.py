"""Scores a topic model: its topics by the coherence of their words, and its clusters of documents."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from core.data.corpus import Corpus
from core.errors import UserError
from core.evaluation.clustering import evaluation_mode
from core.evaluation.outputs import EvaluatedModel, Outputs, Scores, Topics
from core.evaluation.scoring import ClusterScoring, ScoredTrial, Scoring

TOP, SHOWN = 10, 15
"""The words of a topic that are scored, and those that are kept."""


class TopicModel(EvaluatedModel, Protocol):
    """A method that has topics."""

    def topics(self) -> Tensor:
        """The weight of each word in each topic, (K, V), not negative; a larger one is a more typical word."""
        ...


class TopicScoring(Scoring):
    """Scores the clusters of documents as `ClusterScoring` does, a document's cluster being its strongest topic.

    If the epoch is due, it also scores the topics, on the training documents or on the reference.
    """

    def __init__(self, trial: ScoredTrial) -> None:
        training = trial.data.part("train")
        if training.corpus is None:
            raise UserError("topics are scored on documents: use `data: {name: documents, path: …}`")
        self._clusters = ClusterScoring(trial)
        self._words = training.feature_names
        self._present = presence(trial.data.reference or training.corpus)

    def __call__(self, method: EvaluatedModel, *, due: bool, last: bool, outputs: Outputs | None) -> Scores | None:
        """The scores of the epoch if it is due; else None."""
        found = self._clusters(method, due=due, last=last, outputs=outputs)
        if found is None:
            return None
        model: Any = method
        with evaluation_mode(method):
            weights = model.topics().double().cpu().numpy()
        order = np.argsort(-weights, axis=1, kind="stable")[:, :SHOWN]
        coherence = npmi(self._present, order[:, :TOP])
        diversity = len(np.unique(order[:, :TOP])) / order[:, :TOP].size
        topics = Topics(
            words=tuple(tuple(self._words[word] for word in row) for row in order),
            weights=np.take_along_axis(weights, order, axis=1),
            coherence=coherence,
            documents=tuple(() for _ in order),
        )
        metrics = found.metrics | {"npmi": float(coherence.mean()), "topic_diversity": diversity}
        return replace(found, metrics=metrics, topics=topics)

    def state(self) -> dict[str, Tensor] | None:
        """That of the clusters."""
        return self._clusters.state()

    def load_state(self, state: dict[str, Tensor] | None) -> None:
        """Restores that of the clusters."""
        self._clusters.load_state(state)


def presence(corpus: Corpus) -> Any:
    """Which words occur in which documents, a sparse matrix by columns, (n, V), of ones."""
    found = corpus.counts.tocsc().astype(np.float32)
    found.data[:] = 1
    return found


def npmi(present: Any, words: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean NPMI of the pairs of each topic's words, (K,); -1 for a pair that never occurs together.

    Args:
        present: from `presence`.
        words: columns of it, (K, top).
    """
    total = present.shape[0]
    found = np.empty(len(words))
    for place, row in enumerate(words):
        chosen = present[:, row]
        both = (chosen.T @ chosen).toarray().astype(np.float64) / total
        first, second = np.triu_indices(len(row), 1)
        single, joint = np.diag(both), both[first, second]
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.log(joint / (single[first] * single[second])) / -np.log(joint)
        found[place] = np.where(joint > 0, np.where(joint < 1, values, 1.0), -1.0).mean()
    return found
