"""UMAP to a few dimensions, then k-means: what many do in two lines. It learns at once, and needs the extra `umap`.

Reference: McInnes, Healy and Melville, "UMAP: Uniform Manifold Approximation and Projection for Dimension Reduction"
(arXiv 1802.03426).
"""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.config.schema import PositiveInt
from core.errors import UserError
from core.evaluation import kmeans
from core.training.at_once import AtOnce
from core.training.method import Setting


class Method(AtOnce):
    """K-means of UMAP's places of the samples; a seed gives the same places on one machine."""

    loss_parts = ()
    rescales = ("metric",)
    scores = "head"
    unused = ("encoder", "views", "optimiser", "batch_size", "epochs", "precision", "evaluation", "early_stopping")

    def __init__(
        self,
        setting: Setting,
        *,
        neighbours: PositiveInt = 15,
        dimensions: PositiveInt = 10,
        metric: Literal["cosine", "euclidean"] = "cosine",
    ) -> None:
        """Nothing is clustered before the step.

        Args:
            setting: the parts that the method is built from.
            neighbours: how many nearest others of each sample UMAP keeps near.
            dimensions: of UMAP's space, at most the number of features.
            metric: by which neighbours are the nearest.

        Raises:
            UserError: umap-learn is not installed.
        """
        if find_spec("umap") is None:
            raise UserError(
                "the method 'umap-kmeans' needs umap-learn: uv sync --extra umap --inexact --no-dev, or use spectral"
            )
        super().__init__(setting, unit=metric == "cosine")
        self.neighbours, self.dimensions = neighbours, dimensions

    def partition(self, rows: NDArray[np.float32]) -> NDArray[np.int64]:
        """The clusters (n,) of rows (n, numbers); k-means of the rows where there are too few for UMAP."""
        if len(rows) <= self.dimensions + 2:
            return kmeans.kmeans(rows, self.n_clusters, seed=self.seed).labels
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import umap

            kind: Any = umap.UMAP
            model = kind(
                n_neighbors=min(self.neighbours, len(rows) - 1),
                n_components=min(self.dimensions, rows.shape[1]),
                min_dist=0.0,
                random_state=self.seed,
                n_jobs=1,
            )
            places = model.fit_transform(rows)
        return kmeans.kmeans(places.astype(np.float32), self.n_clusters, seed=self.seed, starts=10).labels
