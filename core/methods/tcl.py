"""Twin Contrastive Learning (TCL): CC on a weak and a strong view, then boosted by its own confident labels.

In the boosting stage a memory keeps labels of samples. The surest samples of each cluster in a batch enter it, and
samples with a confidence below `threshold` leave it. The strong view learns these labels, and samples with the same
label no longer push each other apart.

References: Li et al., "Twin Contrastive Learning for Online Clustering", IJCV 2022 (arXiv 2210.11680). The mean
confidence as threshold: Wang et al., "FreeMatch: Self-adaptive Thresholding for Semi-supervised Learning", ICLR 2023.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.config.schema import Fraction, NonNegativeFloat, PositiveFloat, PositiveInt
from core.data.source import Samples
from core.evaluation.clustering import CHUNK, evaluation_mode
from core.evaluation.outputs import Outputs
from core.methods._labelled import labelled
from core.methods.cc import objective
from core.training.method import Batch, Setting, build_optimiser
from core.training.method import Method as Base
from losses.boosted import UNLABELLED, balanced_cross_entropy, boosted_nt_xent
from losses.nt_xent import nt_xent


class Method(Base):
    """CC's objective for the first epochs, boosting for the last share of them (`boost`).

    As in the paper, labels are updated batch by batch, right before the step, from the samples themselves, without
    views, in evaluation mode. The quota of a cluster is counted in the batch, so a batch should be several times K.
    """

    loss_parts = ("loss_instance", "loss_cluster", "loss_entropy", "loss_labels")
    rescales = (
        "instance_temperature",
        "cluster_temperature",
        "entropy_weight",
        "instance_dim",
        "boost",
        "threshold",
        "gamma",
    )
    scores = "head"
    any_epochs = ("boost",)
    least_batch = 2
    labels: Tensor
    thresholds: Tensor

    def __init__(
        self,
        setting: Setting,
        *,
        instance_temperature: PositiveFloat = 0.5,
        cluster_temperature: PositiveFloat = 1.0,
        entropy_weight: NonNegativeFloat = 1.0,
        instance_dim: PositiveInt = 128,
        boost: Fraction = 0.25,
        threshold: Fraction | Literal["adaptive"] = 0.99,
        gamma: Fraction = 0.5,
    ) -> None:
        """The encoder, the two heads and the memory of labels.

        Args:
            setting: the parts that the method is built from.
            instance_temperature: divides the similarities of samples; a lower one gives near negatives more weight.
            cluster_temperature: divides the similarities of clusters.
            entropy_weight: weight of the term that pulls clusters to equal sizes.
            instance_dim: width of the vectors in which samples are contrasted.
            boost: the share of the epochs, at the end, that learn from labels.
            threshold: the confidence below which a sample loses its label. `adaptive` takes the mean confidence of the
                samples of each cluster, in each epoch, so that every cluster has samples above it.
            gamma: how many samples of a batch of n each cluster may label, as a share of n / K.
        """
        super().__init__()
        self.views = setting.views
        self.instance_temperature = instance_temperature
        self.cluster_temperature = cluster_temperature
        self.entropy_weight = entropy_weight
        self.gamma = gamma
        self.adaptive = threshold == "adaptive"
        self.n_clusters = setting.n_clusters
        self.first_boosted = setting.epochs - round(boost * setting.epochs) + 1
        self.epoch = 0
        encoder = setting.build_encoder()
        dim = encoder.dim
        self.encoder = nn.Sequential(encoder, nn.Linear(dim, dim))
        self.instance_head = head(dim, instance_dim)
        self.cluster_head = start_small(head(dim, setting.n_clusters))
        self.register_buffer("labels", torch.full((setting.n_samples,), UNLABELLED))
        constant = 0.0 if threshold == "adaptive" else threshold
        self.register_buffer("thresholds", torch.full((setting.n_clusters,), constant))
        self.optimisers = {"all": build_optimiser(self, setting.optimiser)}

    def begin_epoch(self, epoch: int, samples: Samples) -> None:
        """Notes the epoch and, in the boosting stage, adapts the thresholds if they are adaptive."""
        self.epoch = epoch
        if self.adaptive and epoch >= self.first_boosted:
            with evaluation_mode(self):
                probabilities = torch.cat([self._tempered(chunk) for chunk in samples.split(CHUNK)])
            self.thresholds.copy_(mean_confidence(probabilities))

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """One step of the stage's objective; the first epoch of boosting only fills the memory of labels."""
        if self.epoch < self.first_boosted:
            return self.descend(self.losses(batch), self.optimisers["all"])
        self._label(batch)
        if self.epoch == self.first_boosted:
            with evaluation_mode(self):
                return self.boosted_losses(batch)
        return self.descend(self.boosted_losses(batch), self.optimisers["all"])

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The first stage's objective and its parts, with gradients."""
        z_a, z_b, logits_a, logits_b = self._both(batch)
        p_a, p_b = logits_a.softmax(dim=1), logits_b.softmax(dim=1)
        instance = nt_xent(z_a, z_b, self.instance_temperature)
        return objective(instance, p_a, p_b, self.cluster_temperature, self.entropy_weight)

    def boosted_losses(self, batch: Batch) -> dict[str, Tensor]:
        """The second stage's objective and its parts, with gradients; only the strong view learns the labels."""
        z_a, z_b, _, strong = self._both(batch)
        labels = self.labels[batch.rows]
        instance = boosted_nt_xent(z_a, z_b, labels, self.instance_temperature)
        labelled = balanced_cross_entropy(strong, labels)
        return {"loss": instance + labelled, "loss_instance": instance, "loss_labels": labelled}

    def chance_losses(self, size: int) -> dict[str, float]:
        """Those of both contrasts in the first stage; in the second the labels change the contrast of samples."""
        if self.epoch >= self.first_boosted:
            return {}
        cluster = math.log(2 * self.n_clusters - 1)
        return {"loss_instance": math.log(2 * size - 1) if size > 1 else 0.0, "loss_cluster": cluster}

    def signals(self) -> dict[str, float]:
        """In the boosting stage, how many samples are labelled."""
        return labelled(self.labels, self.n_clusters) if self.epoch >= self.first_boosted else {}

    def outputs(self, samples: Tensor) -> Outputs:
        """The encoder's features and the cluster head's probabilities."""
        features = self.encoder(samples)
        return Outputs(features, self.cluster_head(features).softmax(dim=1))

    def _both(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Instance vectors of the weak and the strong view, then their cluster logits."""
        features = self.encoder(torch.cat([self.views.weak(batch), self.views.strong(batch)]))
        z_a, z_b = self.instance_head(features).chunk(2)
        logits_a, logits_b = self.cluster_head(features).chunk(2)
        return z_a, z_b, logits_a, logits_b

    def _tempered(self, samples: Tensor) -> Tensor:
        """Probabilities (n, K) at the cluster temperature; these give the confidence."""
        return (self.cluster_head(self.encoder(samples)) / self.cluster_temperature).softmax(dim=1)

    def _label(self, batch: Batch) -> None:
        """Updates the labels of the batch."""
        with evaluation_mode(self):
            probabilities = self._tempered(batch.samples)
        quota = math.ceil(self.gamma * len(probabilities) / self.n_clusters)
        self.labels[batch.rows] = refresh(self.labels[batch.rows], probabilities, self.thresholds, quota)


def head(dim: int, out: int) -> nn.Sequential:
    """The form of TCL's two heads: samples (n, dim) to (n, out)."""
    first = [nn.BatchNorm1d(dim), nn.ReLU(), nn.Linear(dim, dim)]
    return nn.Sequential(*first, nn.BatchNorm1d(dim), nn.ReLU(), nn.Linear(dim, out))


def start_small(modules: nn.Sequential) -> nn.Sequential:
    """The same modules with new weights of the linear layers, from a normal distribution with deviation 0.02."""
    for one in modules:
        if isinstance(one, nn.Linear):
            nn.init.trunc_normal_(one.weight, std=0.02)
    return modules


def refresh(labels: Tensor, probabilities: Tensor, thresholds: Tensor, quota: int) -> Tensor:
    """The labels of a batch after its new probabilities.

    Args:
        labels: the labels in the memory, shape (n,), -1 for none.
        probabilities: shape (n, K).
        thresholds: the smallest confidence per cluster, shape (K,).
        quota: how many of the surest samples of each cluster may get a label if they have none.

    Returns:
        Shape (n,): a sample keeps its label, whatever its new assignment, until its confidence is too low.
    """
    # NaN counts as the lowest confidence.
    confidence, assigned = probabilities.nan_to_num(nan=-1.0).max(dim=1)
    order = confidence.argsort(descending=True, stable=True)
    among = functional.one_hot(assigned[order], probabilities.shape[1]).cumsum(dim=0)
    rank = among.gather(1, assigned[order, None]).squeeze(1)
    surest = order[rank <= quota]
    candidates = torch.full_like(labels, UNLABELLED)
    candidates[surest] = assigned[surest]
    kept = torch.where(labels == UNLABELLED, candidates, labels)
    return kept.masked_fill(confidence < thresholds[assigned], UNLABELLED)


def mean_confidence(probabilities: Tensor) -> Tensor:
    """The mean of the largest probability over the samples assigned to each cluster, (n, K) to (K,); 0 for none."""
    confidence, assigned = probabilities.max(dim=1)
    members = functional.one_hot(assigned, probabilities.shape[1]).to(confidence.dtype)
    return confidence @ members / members.sum(dim=0).clamp_min(1)
