"""Twin Contrastive Learning (TCL): CC on a weak and a strong view, then boosted by its own confident labels.

In the boosting stage samples keep labels in a memory: a batch's surest samples of each cluster enter it, samples whose
confidence is below `threshold` leave it. What is labelled is learnt by the strong view and not pushed apart any more.

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
from core.evaluation.clustering import CHUNK, evaluation_mode
from core.evaluation.outputs import Outputs
from core.methods.cc import objective
from core.training.method import Batch, Setting, build_optimiser
from core.training.method import Method as Base
from losses.boosted import UNLABELLED, balanced_cross_entropy, boosted_nt_xent
from losses.nt_xent import nt_xent


class Method(Base):
    """CC's objective for the first epochs, boosting for the last share of them (`boost`).

    As in the paper, labels come batch by batch: from the samples themselves, without views, in evaluation mode, right
    before the step; the quota of a cluster is counted in the batch, so a class wants a batch of several times K.
    """

    loss_parts = ("loss_instance", "loss_cluster", "loss_entropy", "loss_labels")
    scores = "head"
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
            setting: what the method is built from.
            instance_temperature: divides the similarities of samples; a lower one weighs the nearest negatives more.
            cluster_temperature: divides the similarities of clusters.
            entropy_weight: weight of the term that draws clusters to equal sizes.
            instance_dim: width of the vectors that samples are contrasted by.
            boost: the share of the epochs, at the end, that learn from labels.
            threshold: the confidence below which a label is lost; `adaptive` takes, each epoch and for each cluster,
                the mean confidence of the samples assigned to it: no cluster then is without samples above it.
            gamma: how many samples of a batch of n a cluster may label, as a share of n / K.
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

    def begin_epoch(self, epoch: int, samples: Tensor) -> None:
        """Turns to boosting when it is time, and adapts the thresholds if they are to be."""
        self.epoch = epoch
        if self.adaptive and epoch >= self.first_boosted:
            with evaluation_mode(self):
                probabilities = torch.cat([self._tempered(chunk) for chunk in samples.split(CHUNK)])
            self.thresholds.copy_(mean_confidence(probabilities))

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """One step of the stage's objective; the first epoch of boosting fills the memory and changes no weight."""
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
        """The second stage's objective and its parts, with gradients; labels are learnt by the strong view alone."""
        z_a, z_b, _, strong = self._both(batch)
        labels = self.labels[batch.rows]
        instance = boosted_nt_xent(z_a, z_b, labels, self.instance_temperature)
        labelled = balanced_cross_entropy(strong, labels)
        return {"loss": instance + labelled, "loss_instance": instance, "loss_labels": labelled}

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
        """Probabilities (n, K) at the cluster temperature: confidence is counted in these."""
        return (self.cluster_head(self.encoder(samples)) / self.cluster_temperature).softmax(dim=1)

    def _label(self, batch: Batch) -> None:
        """Brings the batch's labels up to date."""
        with evaluation_mode(self):
            probabilities = self._tempered(batch.samples)
        quota = math.ceil(self.gamma * len(probabilities) / self.n_clusters)
        self.labels[batch.rows] = refresh(self.labels[batch.rows], probabilities, self.thresholds, quota)


def head(dim: int, out: int) -> nn.Sequential:
    """The head that TCL puts on its encoder twice: samples (n, dim) to (n, out)."""
    first = [nn.BatchNorm1d(dim), nn.ReLU(), nn.Linear(dim, dim)]
    return nn.Sequential(*first, nn.BatchNorm1d(dim), nn.ReLU(), nn.Linear(dim, out))


def start_small(modules: nn.Sequential) -> nn.Sequential:
    """The same modules, weights of linear layers drawn anew from a normal distribution of deviation 0.02."""
    for one in modules:
        if isinstance(one, nn.Linear):
            nn.init.trunc_normal_(one.weight, std=0.02)
    return modules


def refresh(labels: Tensor, probabilities: Tensor, thresholds: Tensor, quota: int) -> Tensor:
    """The labels of a batch after its new probabilities.

    Args:
        labels: what the memory holds, shape (n,), -1 for nothing.
        probabilities: shape (n, K).
        thresholds: the least confidence per cluster, shape (K,).
        quota: how many samples of each cluster, the surest, may get a label if they have none.

    Returns:
        Shape (n,): a label once given stays, whatever the assignment is now, until the confidence is too low.
    """
    # An assignment that is not a number is no confidence at all.
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
