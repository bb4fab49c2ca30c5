"""Ward's agglomerative clustering: the two clusters whose union adds the least variance become one. It learns at once.

Time and memory grow with the square of the number of samples: 20,000 take 3.2 GB. Above 20,000 it clusters a random
sample, and each other sample gets the cluster of the nearest of these.

Reference: Ward, "Hierarchical Grouping to Optimize an Objective Function" (JASA 1963).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.evaluation import kmeans
from core.training.at_once import AtOnce
from core.training.method import Setting


class Method(AtOnce):
    """scikit-learn's `AgglomerativeClustering`; no seed changes it up to 20,000 samples."""

    loss_parts = ()
    rescales = ("unit",)
    scores = "head"
    unused = ("encoder", "views", "optimiser", "batch_size", "epochs", "precision", "evaluation", "early_stopping")

    def __init__(self, setting: Setting, *, unit: bool = False) -> None:
        """Nothing is clustered before the step.

        Args:
            setting: the parts that the method is built from.
            unit: whether rows are set to length 1 before, so that angles count alone.
        """
        super().__init__(setting, unit=unit)

    def partition(self, rows: NDArray[np.float32]) -> NDArray[np.int64]:
        """The clusters (n,) of rows (n, numbers)."""
        from sklearn import cluster, neighbors

        model: Any = cluster.AgglomerativeClustering(self.n_clusters)
        if len(rows) <= kmeans.SAMPLE:
            return model.fit_predict(rows)
        chosen = np.random.default_rng(self.seed).choice(len(rows), kmeans.SAMPLE, replace=False)
        nearest: Any = neighbors.KNeighborsClassifier(1)
        return nearest.fit(rows[chosen], model.fit_predict(rows[chosen])).predict(rows)
