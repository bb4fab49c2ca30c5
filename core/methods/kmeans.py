"""K-means of the samples, the first thing to compare with. It learns at once.

Reference: Arthur and Vassilvitskii, "k-means++: The Advantages of Careful Seeding" (SODA 2007) for the starts.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.config.schema import PositiveInt
from core.evaluation import kmeans
from core.training.at_once import AtOnce
from core.training.method import Setting


class Method(AtOnce):
    """The best of several starts; a sample belongs to the nearest centroid."""

    loss_parts = ()
    rescales = ("unit",)
    scores = "head"
    unused = ("encoder", "views", "optimiser", "batch_size", "epochs", "precision", "evaluation", "early_stopping")

    def __init__(self, setting: Setting, *, starts: PositiveInt = 10, unit: bool = False) -> None:
        """Nothing is clustered before the step.

        Args:
            setting: the parts that the method is built from.
            starts: how often it starts, by k-means++; the lowest inertia is kept.
            unit: whether rows are set to length 1 before, so that angles count alone.
        """
        super().__init__(setting, unit=unit, kept=setting.n_clusters)
        self.starts = starts

    def partition(self, rows: NDArray[np.float32]) -> NDArray[np.int64]:
        """The clusters (n,) of rows (n, numbers)."""
        found = kmeans.kmeans(rows, self.n_clusters, seed=self.seed, starts=self.starts)
        self.centroids = torch.from_numpy(found.centroids)
        return found.labels

    def keep(self, rows: Tensor, labels: Tensor) -> None:
        """Keeps the centroids."""
        del rows, labels
        super().keep(self.centroids, torch.arange(self.n_clusters))
