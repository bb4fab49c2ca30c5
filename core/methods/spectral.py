"""Spectral clustering of the graph of nearest neighbours. It learns at once.

Reference: see `core.evaluation.spectral`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.config.schema import PositiveInt
from core.evaluation import kmeans, spectral
from core.training.at_once import AtOnce
from core.training.method import Setting


class Method(AtOnce):
    """K-means among the first eigenvectors of the graph."""

    loss_parts = ()
    rescales = ("metric",)
    scores = "head"
    unused = ("encoder", "views", "optimiser", "batch_size", "epochs", "precision", "evaluation", "early_stopping")

    def __init__(
        self, setting: Setting, *, neighbours: PositiveInt = 15, metric: Literal["cosine", "euclidean"] = "cosine"
    ) -> None:
        """Nothing is clustered before the step.

        Args:
            setting: the parts that the method is built from.
            neighbours: how many nearest others each sample has an edge to.
            metric: by which they are the nearest.
        """
        super().__init__(setting, unit=metric == "cosine")
        self.neighbours = neighbours

    def partition(self, rows: NDArray[np.float32]) -> NDArray[np.int64]:
        """The clusters (n,) of rows (n, numbers); k-means of the rows where there are too few for eigenvectors."""
        if len(rows) <= self.n_clusters + 1:
            return kmeans.kmeans(rows, self.n_clusters, seed=self.seed).labels
        return spectral.clusters(rows, self.n_clusters, seed=self.seed, neighbours=self.neighbours)
