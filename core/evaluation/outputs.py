"""What a trained method gives for its samples, and what an evaluation makes of that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Outputs:
    """What a trained method says of n samples: features (n, dim) and, with a cluster head, probabilities (n, K)."""

    features: Tensor
    probabilities: Tensor | None


class EvaluatedModel(Protocol):
    """What evaluation needs of a method."""

    training: bool

    def outputs(self, samples: Tensor) -> Outputs:
        """Features and probabilities of samples (n, *sample_shape), in evaluation mode, without views."""
        ...

    def eval(self) -> Any:
        """Turns evaluation mode on."""
        ...

    def train(self, mode: bool = True) -> Any:
        """Turns training mode on or off."""
        ...


@dataclass(frozen=True)
class Previous:
    """What the last evaluation left for the next one: labels (n,) to count flips, centroids to start from."""

    labels: NDArray[np.int64]
    centroids: NDArray[np.float32]


@dataclass(frozen=True)
class Scores:
    """One evaluation; what is None is that of a method that does not cluster.

    Attributes:
        metrics: scores against the labels; none without labels.
        health: label-free signals, with `label_free`, the one number for an epoch.
        cluster_sizes: samples per cluster, shape (K,).
        previous: what the next evaluation needs.
        probe_labels: clusters of the subsample, renumbered from 0 without gaps (so below 2,000), shape (m,); two seeds of
            one configuration are as stable as these agree.
    """

    metrics: dict[str, float]
    health: dict[str, float]
    cluster_sizes: NDArray[np.int64] | None = None
    previous: Previous | None = None
    probe_labels: NDArray[np.int64] | None = None
