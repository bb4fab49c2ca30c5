"""A mixture of Gaussians with variances of their own along the principal axes of the samples. It learns at once.

Reference: Fraley and Raftery, "Model-Based Clustering, Discriminant Analysis, and Density Estimation" (JASA 2002).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.config.schema import PositiveFloat, PositiveInt
from core.training.at_once import AtOnce
from core.training.method import Setting


class Method(AtOnce):
    """scikit-learn's `GaussianMixture` with diagonal covariances, after a principal component analysis."""

    loss_parts = ()
    rescales = ()
    scores = "head"
    unused = ("encoder", "views", "optimiser", "batch_size", "epochs", "precision", "evaluation", "early_stopping")

    def __init__(
        self, setting: Setting, *, components: PositiveInt = 50, starts: PositiveInt = 3, least: PositiveFloat = 1e-3
    ) -> None:
        """Nothing is clustered before the step.

        Args:
            setting: the parts that the method is built from.
            components: the most principal axes.
            starts: how often it starts, by k-means; the highest likelihood is kept.
            least: what is added to each variance, as a share of the mean variance of the axes.
        """
        super().__init__(setting)
        self.components, self.starts, self.least = components, starts, least

    def partition(self, rows: NDArray[np.float32]) -> NDArray[np.int64]:
        """The clusters (n,) of rows (n, numbers)."""
        from sklearn import decomposition, mixture

        analysis: Any = decomposition.PCA(min(self.components, *rows.shape), random_state=self.seed)
        model: Any = mixture.GaussianMixture(
            self.n_clusters,
            covariance_type="diag",
            reg_covar=self.least,
            n_init=self.starts,
            random_state=self.seed,
        )
        with np.errstate(invalid="ignore"):  # of equal rows no axis explains a share of the variance
            places = analysis.fit_transform(rows)
        return model.fit_predict(places / (places.std() or 1))
