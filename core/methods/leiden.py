"""Communities of the graph of nearest neighbours, by Leiden. It learns at once.

It follows clusters of any form and size.

Reference: see `core.evaluation.graph`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.config.schema import PositiveInt
from core.evaluation import graph
from core.evaluation.nearest import nearest
from core.training.at_once import AtOnce
from core.training.method import Setting


class Method(AtOnce):
    """Leiden at the resolution at which there are as many communities as clusters are wanted."""

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
        """The clusters (n,) of rows (n, numbers); communities beyond their number are united by Ward of their means."""
        near = nearest(rows, self.neighbours, metric="euclidean").rows
        found = graph.communities(near, self.n_clusters, seed=self.seed)
        return graph.united(rows, found, self.n_clusters)
