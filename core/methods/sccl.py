"""Supporting Clustering with Contrastive Learning (SCCL): contrasts two views, and pulls samples to centroids.

It is made for features that are already good (from a language model): the centroids start from k-means of the features
before training. For an encoder without pre-training, set a `warmup`, in which only the contrast is trained.

Reference: Zhang et al., "Supporting Clustering with Contrastive Learning", NAACL 2021 (arXiv 2103.12953).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from core.config.schema import Fraction, NonNegativeFloat, PositiveFloat, PositiveInt
from core.data.source import Samples
from core.evaluation import kmeans
from core.evaluation.clustering import CHUNK, predict
from core.evaluation.outputs import Outputs
from core.methods.cc import head
from core.training.method import Batch, Setting, build_optimiser
from core.training.method import Method as Base
from losses.nt_xent import nt_xent
from losses.student_t import log_assignment, student_t_divergence


class Method(Base):
    """An encoder with a contrastive head, and centroids in its feature space; the likeliest is the assignment."""

    loss_parts = ("loss_instance", "loss_cluster")
    rescales = ("instance_temperature", "instance_weight", "instance_dim", "freedom", "warmup", "encoder")
    scores = "head"
    any_epochs = ("warmup",)
    least_batch = 2

    def __init__(
        self,
        setting: Setting,
        *,
        instance_temperature: PositiveFloat = 0.5,
        instance_weight: NonNegativeFloat = 10.0,
        instance_dim: PositiveInt = 128,
        freedom: PositiveFloat = 1.0,
        head_rate: PositiveFloat = 1.0,
        warmup: Fraction = 0.0,
    ) -> None:
        """The encoder, the contrastive head and the centroids.

        Args:
            setting: the parts that the method is built from.
            instance_temperature: divides the similarities of samples; a lower one gives near negatives more weight.
            instance_weight: weight of the contrast of samples against the cluster term; the paper's eta.
            instance_dim: width of the vectors in which samples are contrasted.
            freedom: degrees of freedom of Student's t; the paper's alpha.
            head_rate: multiplies the learning rate of head and centroids (100 in the paper, for a language model).
            warmup: the share of the epochs before the centroids are placed; 0 (as in the paper) places them before the
                first epoch.
        """
        super().__init__()
        self.views = setting.views
        self.instance_temperature = instance_temperature
        self.instance_weight = instance_weight
        self.freedom = freedom
        self.n_clusters = setting.n_clusters
        self.seed = setting.seed
        self.placing_epoch = round(warmup * setting.epochs) + 1
        self.placed = False
        self.encoder = setting.build_encoder()
        self.instance_head = head(self.encoder.dim, instance_dim)
        self.centroids = nn.Embedding(setting.n_clusters, self.encoder.dim)
        self.optimisers = {"all": self._optimiser(setting, head_rate)}

    def _optimiser(self, setting: Setting, head_rate: float) -> torch.optim.Optimizer:
        rate = setting.optimiser.learning_rate
        heads = nn.ModuleList([self.instance_head, self.centroids])
        optimiser = build_optimiser(heads, replace(setting.optimiser, learning_rate=head_rate * rate))
        # A group of its own, which may be empty: not every encoder has parameters.
        own = setting.optimiser.encoder_learning_rate or rate
        optimiser.add_param_group({"params": list(self.encoder.parameters()), "lr": own, "configured_lr": own})
        return optimiser

    def begin_epoch(self, epoch: int, samples: Samples) -> None:
        """Places the centroids in their epoch, by k-means of the features."""
        if epoch == self.placing_epoch:
            if epoch == 1:
                settle(self.encoder, samples)
            self._place(samples)

    def _place(self, samples: Samples) -> None:
        found = kmeans.kmeans(predict(self, samples).features.numpy(), self.n_clusters, seed=self.seed, starts=10)
        with torch.no_grad():
            self.centroids.weight.copy_(torch.from_numpy(found.centroids))
        self.placed = True

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """One step of SCCL's objective; see `Method.step` of the base."""
        return self.descend(self.losses(batch), self.optimisers["all"])

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The objective and its parts, with gradients; views are contrasted, and the samples themselves clustered."""
        n = len(batch.samples)
        features = self.encoder(torch.cat([self.views(batch), self.views(batch), batch.samples]))
        z_a, z_b = self.instance_head(features[: 2 * n]).chunk(2)
        instance = nt_xent(z_a, z_b, self.instance_temperature)
        if not self.placed:
            return {"loss": self.instance_weight * instance, "loss_instance": instance}
        cluster = student_t_divergence(self._log_assignment(features[2 * n :]))
        return {
            "loss": self.instance_weight * instance + cluster,
            "loss_instance": instance,
            "loss_cluster": cluster,
        }

    def chance_losses(self, size: int) -> dict[str, float]:
        """That of the contrast of samples."""
        return {"loss_instance": math.log(2 * size - 1) if size > 1 else 0.0}

    def outputs(self, samples: Tensor) -> Outputs:
        """The encoder's features and, once there are centroids, the assignment to them."""
        features = self.encoder(samples)
        if not self.placed:
            return Outputs(features, None)
        return Outputs(features, self._log_assignment(features).exp())

    def _log_assignment(self, features: Tensor) -> Tensor:
        return log_assignment(features, self.centroids.weight, self.freedom)

    def state(self) -> dict[str, Any]:
        """The state of the base class, and whether the centroids are placed."""
        return super().state() | {"placed": self.placed}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restores a state from a checkpoint."""
        super().load_state(state)
        self.placed = state["placed"]


def settle(encoder: nn.Module, samples: Samples) -> None:
    """Sets the running statistics of batch norms to those of the samples; before training they are only defaults."""
    norms = [one for one in encoder.modules() if isinstance(one, nn.BatchNorm1d | nn.BatchNorm2d)]
    momenta = [one.momentum for one in norms]
    encoder.eval()
    for one in norms:
        one.train()
        one.momentum = None  # a plain average over chunks
    with torch.no_grad():
        for chunk in samples.tensor_split(math.ceil(len(samples) / CHUNK)):
            encoder(chunk)
    encoder.train()
    for one, momentum in zip(norms, momenta, strict=True):
        one.momentum = momentum
