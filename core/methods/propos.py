"""ProPos: aligns two views of a sample without negatives (BYOL), and pushes the prototypes of clusters apart.

Labels come from k-means of the target network's features before each epoch; there is no cluster head. The paper's
balanced re-sampling for two of its data sets and its batch shuffling over several GPUs are not implemented.

References: Huang et al., "Learning Representation for Clustering via Prototype Scattering and Positive Sampling",
TPAMI 2022 (arXiv 2111.11821); Grill et al., "Bootstrap Your Own Latent", NeurIPS 2020.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from core.config.schema import Fraction, NonNegativeFloat, PositiveFloat, PositiveInt
from core.data.source import Samples
from core.evaluation import kmeans
from core.evaluation.clustering import predict
from core.evaluation.outputs import Outputs
from core.training.method import Batch, Setting, build_optimiser
from core.training.method import Method as Base
from losses.byol import byol
from losses.prototype_scattering import prototype_scattering


class Method(Base):
    """An online network and its moving average, the target; the assignment is k-means of the target's projections."""

    loss_parts = ("loss_alignment", "loss_scattering")
    rescales = ("temperature", "scattering_weight", "noise", "warmup", "projection_dim")
    scores = "kmeans"
    any_epochs = ("warmup",)
    labels: Tensor

    def __init__(
        self,
        setting: Setting,
        *,
        temperature: PositiveFloat = 0.5,
        scattering_weight: NonNegativeFloat = 0.1,
        noise: NonNegativeFloat = 0.001,
        momentum: Fraction = 0.996,
        warmup: Fraction = 0.05,
        hidden: PositiveInt = 512,
        projection_dim: PositiveInt = 256,
        predictor_rate: PositiveFloat = 1.0,
    ) -> None:
        """The online network, the target network and the predictor.

        Args:
            setting: the parts that the method is built from.
            temperature: divides the similarities of prototypes.
            scattering_weight: weight of the term that pushes prototypes apart.
            noise: standard deviation of the noise that is added to a projection before the predictor.
            momentum: the share of its weights that the target network keeps in each step.
            warmup: the share of the epochs without scattering and noise.
            hidden: width of projector and predictor (4096 in the paper).
            projection_dim: width of the projections, which k-means clusters.
            predictor_rate: multiplies the predictor's learning rate. The paper uses 10 with SGD; with Adam 1 is better
                (on digits, three seeds, accuracy .952 against .912).
        """
        super().__init__()
        self.views = setting.views
        self.temperature = temperature
        self.scattering_weight = scattering_weight
        self.noise = noise
        self.momentum = momentum
        self.n_clusters = setting.n_clusters
        self.seed = setting.seed
        self.warmup_epochs = round(warmup * setting.epochs)
        self.scattering = False
        encoder = setting.build_encoder()
        self.online = nn.Sequential(encoder, mlp(encoder.dim, hidden, projection_dim))
        self.target = copy.deepcopy(self.online).requires_grad_(requires_grad=False)
        self.predictor = start_small(mlp(projection_dim, hidden, projection_dim))
        # Each epoch computes them again, so a checkpoint does not store them.
        self.register_buffer("labels", torch.zeros(setting.n_samples, dtype=torch.int64), persistent=False)
        optimiser = build_optimiser(self.online, setting.optimiser)
        rate = predictor_rate * setting.optimiser.learning_rate
        optimiser.add_param_group({"params": list(self.predictor.parameters()), "lr": rate, "configured_lr": rate})
        self.optimisers = {"all": optimiser}

    def begin_epoch(self, epoch: int, samples: Samples) -> None:
        """After the warm-up, labels the samples by k-means of their unit projections."""
        self.scattering = epoch > self.warmup_epochs
        if self.scattering:
            projections = kmeans.unit_rows(predict(self, samples).features.numpy())
            found = kmeans.kmeans(projections, self.n_clusters, seed=self.seed)
            self.labels.copy_(torch.from_numpy(found.labels))

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """One step of ProPos's objective; then the target is updated."""
        found = self.descend(self.losses(batch), self.optimisers["all"])
        self._follow()
        return found

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The objective and its parts, with gradients."""
        both = torch.cat([self.views(batch), self.views(batch)])
        projections = self.online(both)
        with torch.no_grad():
            targets = torch.cat(self.target(both).chunk(2)[::-1])
        if not self.scattering:
            alignment = byol(self.predictor(projections), targets)
            return {"loss": alignment, "loss_alignment": alignment}
        noise = torch.empty_like(projections).normal_(generator=batch.noise)
        alignment = byol(self.predictor(projections + self.noise * noise), targets)
        scattering = self._scattering(projections, targets, self.labels[batch.rows])
        return {
            "loss": alignment + self.scattering_weight * scattering,
            "loss_alignment": alignment,
            "loss_scattering": scattering,
        }

    def _scattering(self, projections: Tensor, targets: Tensor, labels: Tensor) -> Tensor:
        """The mean over both views, each against the other view's targets."""
        pairs = zip(projections.chunk(2), targets.chunk(2), strict=True)
        first, second = (prototype_scattering(q, k, labels, self.temperature) for q, k in pairs)
        return (first + second) / 2

    @torch.no_grad()
    def _follow(self) -> None:
        """Moves the target's weights towards the online weights; its batch norms keep their own statistics."""
        for slow, fast in zip(self.target.parameters(), self.online.parameters(), strict=True):
            slow.lerp_(fast, 1 - self.momentum)

    def outputs(self, samples: Tensor) -> Outputs:
        """The target's projections, which the paper clusters; no probabilities."""
        return Outputs(self.target(samples), None)


def mlp(dim: int, hidden: int, out: int) -> nn.Sequential:
    """Linear, batch norm, ReLU, linear: the form of projector and predictor."""
    return nn.Sequential(nn.Linear(dim, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, out))


def start_small(modules: nn.Sequential) -> nn.Sequential:
    """The same modules with new weights of the linear layers, from a normal distribution with deviation 0.01."""
    for one in modules:
        if isinstance(one, nn.Linear):
            nn.init.normal_(one.weight, std=0.01)
    return modules
