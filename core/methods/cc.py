"""Contrastive Clustering (CC): contrasts instances (rows) and clusters (columns) of two views of each sample.

Reference: Li et al., "Contrastive Clustering", AAAI 2021 (arXiv 2009.09687).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from core.config.schema import NonNegativeFloat, PositiveFloat, PositiveInt
from core.evaluation.outputs import Outputs
from core.training.method import Batch, Setting, build_optimiser
from core.training.method import Method as Base
from losses.cluster_nt_xent import cluster_nt_xent
from losses.marginal_entropy import marginal_entropy_gap
from losses.nt_xent import nt_xent


class Method(Base):
    """One encoder with two heads; the assignment is the cluster head's argmax."""

    loss_parts = ("loss_instance", "loss_cluster", "loss_entropy")
    rescales = ("instance_temperature", "cluster_temperature", "entropy_weight", "instance_dim")
    scores = "head"
    any_epochs = True
    least_batch = 2

    def __init__(
        self,
        setting: Setting,
        *,
        instance_temperature: PositiveFloat = 0.5,
        cluster_temperature: PositiveFloat = 1.0,
        entropy_weight: NonNegativeFloat = 1.0,
        instance_dim: PositiveInt = 128,
    ) -> None:
        """The encoder and the two heads.

        Args:
            setting: the parts that the method is built from.
            instance_temperature: divides the similarities of samples; a lower one gives near negatives more weight.
            cluster_temperature: divides the similarities of clusters.
            entropy_weight: weight of the term that pulls clusters to equal sizes.
            instance_dim: width of the vectors in which samples are contrasted.
        """
        super().__init__()
        self.views = setting.views
        self.n_clusters = setting.n_clusters
        self.instance_temperature = instance_temperature
        self.cluster_temperature = cluster_temperature
        self.entropy_weight = entropy_weight
        self.encoder = setting.build_encoder()
        dim = self.encoder.dim
        self.instance_head = head(dim, instance_dim)
        self.cluster_head = head(dim, setting.n_clusters)
        self.optimisers = {"all": build_optimiser(self, setting.optimiser)}

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """One step of CC's objective; see `Method.step` of the base."""
        return self.descend(self.losses(batch), self.optimisers["all"])

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The objective and its parts, with gradients."""
        both = torch.cat([self.views(batch), self.views(batch)])
        features = self.encoder(both)
        z_a, z_b = self.instance_head(features).chunk(2)
        p_a, p_b = self.cluster_head(features).softmax(dim=1).chunk(2)
        instance = nt_xent(z_a, z_b, self.instance_temperature)
        return objective(instance, p_a, p_b, self.cluster_temperature, self.entropy_weight)

    def chance_losses(self, size: int) -> dict[str, float]:
        """Those of both contrasts and, for the entropy term, the value for one cluster."""
        return {
            "loss_instance": math.log(2 * size - 1) if size > 1 else 0.0,
            "loss_cluster": math.log(2 * self.n_clusters - 1),
            "loss_entropy": 2 * math.log(self.n_clusters),
        }

    def outputs(self, samples: Tensor) -> Outputs:
        """The encoder's features and the cluster head's probabilities."""
        features = self.encoder(samples)
        return Outputs(features, self.cluster_head(features).softmax(dim=1))


def objective(
    instance: Tensor, p_a: Tensor, p_b: Tensor, temperature: float, entropy_weight: float
) -> dict[str, Tensor]:
    """CC's objective and its parts, from the loss of the instances and both views' probabilities (n, K)."""
    cluster = cluster_nt_xent(p_a, p_b, temperature)
    entropy = marginal_entropy_gap(p_a) + marginal_entropy_gap(p_b)
    return {
        "loss": instance + cluster + entropy_weight * entropy,
        "loss_instance": instance,
        "loss_cluster": cluster,
        "loss_entropy": entropy,
    }


def head(dim: int, out: int) -> nn.Sequential:
    """Linear, ReLU, linear: the form of CC's two heads."""
    return nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, out))
