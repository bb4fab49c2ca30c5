"""UMC: contrasts views of several modalities, then learns from the densest samples of its clusters, more each epoch.

In the first stage the views of a sample, in which modalities are left out, are pulled together. In the second stage
k-means clusters the features after each epoch, and the samples that lie densest in their cluster are its labelled ones:
all views of all of them are pulled together. The share of labelled samples grows by `delta` an epoch; the others are
contrasted as before.

The paper's temperatures of 10 to 20 leave the softmax almost flat; those here are those of CC. The first centroids are
those of clusters of equal size, later ones are those of k-means: sizes are learned, unless `marginal` is `uniform`.
If spectral clustering finds very unequal clusters, the first clusters are these, and their sizes are kept.

Reference: Zhang et al., "Unsupervised Multimodal Clustering for Semantics Discovery in Multimodal Utterances" (ACL
2024).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from core.config.schema import Fraction, PositiveFloat, PositiveInt
from core.data.source import Samples
from core.evaluation import kmeans, metrics
from core.evaluation.clustering import predict
from core.evaluation.outputs import Outputs
from core.evaluation.spectral import unequal_clusters
from core.methods._labelled import labelled
from core.methods._selection import select
from core.training.method import Batch, Setting, build_optimiser
from core.training.method import Method as Base
from losses.multiview_contrast import UNLABELLED, multiview_contrast


class Method(Base):
    """An encoder and a head for the contrast; the assignment is that of the clusters' centroids."""

    loss_parts = ("loss_unsupervised", "loss_supervised")
    rescales = (
        "warmup",
        "thres",
        "delta",
        "min_per_class",
        "unsupervised_temperature",
        "supervised_temperature",
        "contrast_dim",
        "n_views",
    )
    scores = "head"
    least_batch = 2
    labels: Tensor
    centroids: Tensor
    offsets: Tensor
    sizes: Tensor

    def __init__(
        self,
        setting: Setting,
        *,
        warmup: Fraction = 0.5,
        thres: Fraction = 0.1,
        delta: Fraction = 0.05,
        min_per_class: PositiveInt = 5,
        unsupervised_temperature: PositiveFloat = 0.5,
        supervised_temperature: PositiveFloat = 0.5,
        contrast_dim: PositiveInt = 128,
        n_views: PositiveInt = 3,
        sharpness: PositiveFloat = 10.0,
        marginal: Literal["uniform", "learned", "auto"] = "auto",
    ) -> None:
        """The encoder, the head and the memory of labels.

        Args:
            setting: the parts that the method is built from.
            warmup: the share of the epochs without labels.
            thres: the share of a cluster's samples that is labelled in the first epoch with labels.
            delta: how much the share grows each epoch, up to 1.
            min_per_class: how many samples of a cluster are labelled at least, as far as it has them.
            unsupervised_temperature: divides the similarities of samples without labels.
            supervised_temperature: divides the similarities of labelled samples.
            contrast_dim: width of the vectors in which samples are contrasted.
            n_views: views of a sample: one of all modalities, the others of some of them.
            sharpness: multiplies the cosines to the centroids in the probabilities.
            marginal: the sizes of clusters: those that k-means finds (`learned`), equal ones (`uniform`), or those that
                spectral clustering of the features finds after the warm-up if they are very unequal, else as `learned`
                (`auto`).
        """
        super().__init__()
        self.views = setting.views
        self.n_clusters = setting.n_clusters
        self.seed = setting.seed
        self.last_epoch = setting.epochs
        self.warmup_epochs = max(1, round(warmup * setting.epochs))
        self.thres, self.delta, self.min_per_class = thres, delta, min_per_class
        self.unsupervised_temperature = unsupervised_temperature
        self.supervised_temperature = supervised_temperature
        self.n_views = n_views
        self.sharpness = sharpness
        self.marginal = marginal
        self.placed = False
        self.encoder = setting.build_encoder()
        dim = self.encoder.dim
        self.contrast_head = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, contrast_dim))
        self.register_buffer("labels", torch.full((setting.n_samples,), UNLABELLED))
        self.register_buffer("centroids", torch.zeros(setting.n_clusters, dim))
        self.register_buffer("offsets", torch.zeros(setting.n_clusters))
        # Those that are kept; all 0 if sizes are free.
        self.register_buffer("sizes", torch.zeros(setting.n_clusters))
        self.optimisers = {"all": build_optimiser(self, setting.optimiser)}

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """One step: the contrast of the batch's labelled samples, and that of the others."""
        return self.descend(self.losses(batch), self.optimisers["all"])

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The objective and its parts, with gradients; a part weighs as many as the samples it is of."""
        views = [self.views.weak(batch), *(self.views(batch) for _ in range(self.n_views - 1))]
        z = self.contrast_head(self.encoder(torch.cat(views))).unflatten(0, (len(views), -1))
        labels = self.labels[batch.rows]
        known = labels != UNLABELLED
        found: dict[str, Tensor] = {}
        total = z.new_zeros(())
        for name, rows, temperature in (
            ("loss_unsupervised", ~known, self.unsupervised_temperature),
            ("loss_supervised", known, self.supervised_temperature),
        ):
            count = int(rows.sum())
            if count:
                found[name] = multiview_contrast(z[:, rows], labels[rows], temperature)
                total = total + found[name] * (count / len(labels))
        return {"loss": total, **found}

    def end_epoch(self, epoch: int, samples: Samples) -> Outputs | None:
        """After the warm-up, places the centroids anew and chooses the labels for the next epoch."""
        if epoch < self.warmup_epochs:
            return None
        outputs = predict(self, samples)
        features = kmeans.unit_rows(outputs.features.numpy())
        found = self._kmeans(features)
        self.centroids.copy_(torch.from_numpy(found.centroids))
        self.offsets.copy_(torch.from_numpy(found.offsets))
        if epoch < self.last_epoch:
            share = min(1.0, self.thres + self.delta * (epoch - self.warmup_epochs))
            chosen = select(
                features, found.labels, self.n_clusters, share=share, least=self.min_per_class, seed=self.seed
            )
            self.labels.copy_(torch.from_numpy(np.where(chosen, found.labels, UNLABELLED)))
        return Outputs(outputs.features, self._probabilities(outputs.features.to(self.centroids.device)).cpu())

    def _kmeans(self, features: kmeans.Matrix) -> kmeans.KMeansResult:
        """From the last centroids, at first from those of `_first`; with sizes that are given, or free ones."""
        if self.placed:
            begin = kmeans.KMeansResult(
                self.labels.cpu().numpy(), self.centroids.cpu().numpy(), self.offsets.cpu().numpy()
            )
        else:
            begin = self._first(features)
            self.placed = True
        if self.sizes.any():
            return kmeans.of_sizes(features, begin.centroids, begin.offsets, self.sizes.cpu().numpy())
        return kmeans.kmeans(features, self.n_clusters, seed=self.seed, centroids=begin.centroids)

    def _first(self, features: kmeans.Matrix) -> kmeans.KMeansResult:
        """Very unequal clusters if there are such ones, else clusters of equal size, which spread over all samples.

        From k-means++, chance decides among partitions of nearly the same inertia. On the raw views of landuse21 the
        start from equal clusters gave an NMI of .348 instead of .313, on three other sets nearly the same.
        """
        if self.marginal == "auto" and (found := unequal_clusters(features, self.n_clusters, seed=self.seed)):
            self.sizes.copy_(torch.from_numpy(metrics.cluster_sizes(found.labels, self.n_clusters)))
            return found
        if self.marginal == "uniform":
            self.sizes.fill_(1)
        return kmeans.balanced_kmeans(features, self.n_clusters, seed=self.seed, starts=3)

    def outputs(self, samples: Tensor) -> Outputs:
        """The features, and after the warm-up the probabilities of the clusters."""
        features = self.encoder(samples)
        return Outputs(features, self._probabilities(features) if self.placed else None)

    def _probabilities(self, features: Tensor) -> Tensor:
        """A softmax over the squared distances of unit features to the centroids, (n, K)."""
        offsets = (self.offsets - self.centroids.square().sum(dim=1)) / 2
        cosines = functional.normalize(features, dim=1) @ self.centroids.t() + offsets
        return (self.sharpness * cosines).softmax(dim=1)

    def signals(self) -> dict[str, float]:
        """After the warm-up, how many samples are labelled for the next epoch."""
        return labelled(self.labels, self.n_clusters) if self.placed else {}

    def state(self) -> dict[str, Any]:
        """The state of the base class, and whether the centroids are placed."""
        return super().state() | {"stage": {"placed": self.placed}}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restores a state from a checkpoint."""
        super().load_state(state)
        vars(self).update(state["stage"])
