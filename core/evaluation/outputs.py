"""The outputs of a trained method for its samples, and the scores made from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from core.data.source import Samples
from core.evaluation.assignment import Assignment


@dataclass(frozen=True)
class Outputs:
    """Outputs of a method for n samples: features (n, dim) and, with a cluster head, probabilities (n, K)."""

    features: Tensor
    probabilities: Tensor | None


class EvaluatedModel(Protocol):
    """The interface of a method that an evaluation uses."""

    training: bool

    def outputs(self, samples: Tensor) -> Outputs:
        """Features and probabilities of samples (n, *sample_shape), in evaluation mode, without views."""
        ...

    def input_clusters(self, samples: Samples) -> NDArray[np.int64] | None:
        """The clusters (n,) of all samples that it found in the input itself; None without such."""
        ...

    def eval(self) -> Any:
        """Turns evaluation mode on."""
        ...

    def train(self, mode: bool = True) -> Any:
        """Turns training mode on or off."""
        ...


@dataclass(frozen=True)
class Previous:
    """Results of the last evaluation for the next one and for new samples.

    Attributes:
        labels: clusters (n,), to count changes.
        centroids: of k-means (K, dim), to start from.
        centres: of the clusters that `labels` names (K, dim); None in a state of conclus 0.2.0.
    """

    labels: NDArray[np.int64]
    centroids: NDArray[np.float32]
    centres: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Topics:
    """The topics of a topic model, as they are kept with the trial.

    Attributes:
        words: the top words of each topic, the heaviest first, K of equal length.
        weights: the weights of these words as shares of those of all words, (K, top).
        coherence: of each topic, NPMI of its top 10 words, (K,); NaN if fewer than two of them occur in the documents
            in which pairs are counted.
        documents: row numbers in the training part of up to three documents in which each topic is strongest.
        scored_on: the documents in which pairs of words are counted, as a sentence.
    """

    words: tuple[tuple[str, ...], ...]
    weights: NDArray[np.float64]
    coherence: NDArray[np.float64]
    documents: tuple[tuple[int, ...], ...]
    scored_on: str = ""


@dataclass(frozen=True)
class Scores:
    """The result of one evaluation; attributes may be None for a method that does not cluster.

    Attributes:
        metrics: scores against the labels; empty without labels.
        health: label-free signals; among them `label_free`, one number for an epoch.
        cluster_sizes: samples per cluster, shape (K,).
        previous: the results that the next evaluation needs.
        probe_labels: clusters of the subsample, renumbered from 0 without gaps (so below 2,000), shape (m,); they
            measure how well two seeds of a configuration agree.
        assignment: the clusters that the scores are of, sample by sample.
        topics: of a topic model.
    """

    metrics: dict[str, float]
    health: dict[str, float]
    cluster_sizes: NDArray[np.int64] | None = None
    previous: Previous | None = None
    probe_labels: NDArray[np.int64] | None = None
    assignment: Assignment | None = None
    topics: Topics | None = None
