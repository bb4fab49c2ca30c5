"""TURTLE: the labelling that linear classifiers learn fastest, over the samples as they are, in one or several spaces.

A labelling is the mean of softmax(theta_s z_s) over the spaces s, the modalities of the data. In each step new linear
classifiers learn the labels of a batch in a few steps; the labelling moves to what they have learned, while an entropy
term keeps the clusters apart and of similar size. It learns at once.

Reference: Gadetsky, Jiang and Brbic, "Let Go of Your Labels with Unsupervised Transfer" (ICML 2024, arXiv 2406.07236).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.config.schema import NonNegativeFloat, PositiveFloat, PositiveInt
from core.evaluation.label_free import one_thread
from core.evaluation.outputs import Outputs
from core.training.at_once import centre, usable
from core.training.method import Batch, Setting
from core.training.method import Method as Base

_BETAS, _EPSILON = (0.9, 0.999), 1e-8
_WIDTH = 384


class Method(Base):
    """One linear map with rows of free length per space; a sample that lacks a space is judged by the others."""

    loss_parts = ("loss_label", "loss_entropy")
    rescales = ("inner_steps", "mini_batch", "inner_rate", "entropy_weight")
    scores = "head"
    unused = ("encoder", "views", "optimiser", "batch_size", "epochs", "precision", "evaluation", "early_stopping")
    scale: Tensor
    centre: Tensor

    def __init__(
        self,
        setting: Setting,
        *,
        iterations: PositiveInt = 300,
        inner_steps: PositiveInt = 10,
        mini_batch: PositiveInt = 2500,
        rate: PositiveFloat = 0.01,
        inner_rate: PositiveFloat = 1e-3,
        entropy_weight: NonNegativeFloat = 10.0,
    ) -> None:
        """The maps at random.

        Args:
            setting: the parts that the method is built from.
            iterations: the steps of the labelling.
            inner_steps: the steps of the new classifiers in each.
            mini_batch: the samples of a step, drawn at random; at most all.
            rate: the learning rate of the labelling (Adam).
            inner_rate: that of the classifiers (Adam) in a space of at least 384 numbers. In a narrower one it is as
                many times higher: a step of Adam changes a logit by about the rate times the width.
            entropy_weight: weight of the entropy of the cluster sizes.
        """
        super().__init__()
        self.iterations, self.inner_steps, self.mini_batch = iterations, inner_steps, mini_batch
        self.rate, self.inner_rate, self.entropy_weight = rate, inner_rate, entropy_weight
        self.modalities = setting.modalities
        self.n_clusters = setting.n_clusters
        widths = [math.prod(one.shape) for one in self.modalities]
        self.maps = nn.ModuleList(
            [nn.utils.parametrizations.weight_norm(nn.Linear(width, self.n_clusters)) for width in widths]
        )
        # Rows are centred, and their length is about the root of their width, as that of the vectors in the paper.
        self.register_buffer("scale", torch.ones(len(widths)))
        self.register_buffer("centre", torch.zeros(sum(widths)))
        self.optimisers = {}

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Finds the labelling of all samples; the losses are means over the last tenth of the iterations."""
        if not usable(batch.samples):
            return dict.fromkeys(("loss", *self.loss_parts), self.scale.new_tensor(math.nan))
        self.centre.copy_(centre(batch.samples))
        spaces = self._spaces(batch.samples)
        for place, (rows, there) in enumerate(spaces):
            length = rows[there].square().sum(dim=1).mean().sqrt() if bool(there.any()) else rows.new_ones(())
            self.scale[place] = math.sqrt(rows.shape[1]) / length.clamp_min(1e-12)
        spaces = [(rows * self.scale[place], there) for place, (rows, there) in enumerate(spaces)]
        with one_thread():
            label, entropy = self._label(spaces, batch.noise)
        return {"loss": label - self.entropy_weight * entropy, "loss_label": label, "loss_entropy": -entropy}

    def _label(self, spaces: list[tuple[Tensor, Tensor]], noise: torch.Generator) -> tuple[Tensor, Tensor]:
        """Takes the steps of the labelling; the means of both parts of the loss over the last tenth of them."""
        optimiser = torch.optim.Adam(self.maps.parameters(), self.rate, _BETAS, _EPSILON)
        n, kept = len(spaces[0][0]), max(1, self.iterations // 10)
        sums = torch.zeros(2, dtype=torch.float64, device=self.scale.device)
        for iteration in range(self.iterations):
            chosen = torch.randperm(n, generator=noise, device=noise.device)[: self.mini_batch].to(self.scale.device)
            label, entropy = self._losses([(rows[chosen], there[chosen]) for rows, there in spaces], noise)
            optimiser.zero_grad(set_to_none=True)
            (label - self.entropy_weight * entropy).backward()
            optimiser.step()
            if iteration >= self.iterations - kept:
                sums += torch.stack([label.detach(), entropy.detach()]).double() / kept
        label, entropy = sums.to(self.scale.dtype)
        return label, entropy

    def outputs(self, samples: Tensor) -> Outputs:
        """The samples as rows, all spaces side by side, and the labelling."""
        spaces = [(rows * self.scale[place], there) for place, (rows, there) in enumerate(self._spaces(samples))]
        return Outputs(torch.cat([rows for rows, _ in spaces], dim=1), self._labelling(spaces)[0])

    def _spaces(self, samples: Tensor) -> list[tuple[Tensor, Tensor]]:
        """For each space, its rows (n, width), 0 where a sample lacks it, and which samples have it."""
        rows = samples.flatten(1) - self.centre
        parts = [rows[:, one.place] for one in self.modalities]
        return [(part.nan_to_num(), ~part.isnan().all(dim=1)) for part in parts]

    def _labelling(self, spaces: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, list[Tensor]]:
        """The mean over the spaces that a sample has (n, K), and that of each space."""
        each = [one(rows).softmax(dim=1) for one, (rows, _) in zip(self.maps, spaces, strict=True)]
        weights = torch.stack([there.to(each[0].dtype) for _, there in spaces])[:, :, None]
        mean = (torch.stack(each) * weights).sum(dim=0) / weights.sum(dim=0).clamp_min(1)
        return mean, each

    def _losses(self, spaces: list[tuple[Tensor, Tensor]], noise: torch.Generator) -> tuple[Tensor, Tensor]:
        """The cross entropy of the labelling and what the classifiers learned of it, and the entropies of the sizes."""
        labelling, each = self._labelling(spaces)
        target = labelling.detach()
        learned = [self._learned(rows, there, target, noise) for rows, there in spaces]
        label = sum(
            (-(labelling * logits.log_softmax(dim=1)).sum(dim=1)[there].mean() if bool(there.any()) else 0.0)
            for logits, (_, there) in zip(learned, spaces, strict=True)
        )
        means = [one[there].mean(dim=0) for one, (_, there) in zip(each, spaces, strict=True) if bool(there.any())]
        entropy = sum(-(mean * mean.clamp_min(1e-12).log()).sum() for mean in means)
        return torch.as_tensor(label), torch.as_tensor(entropy)

    def _learned(self, rows: Tensor, there: Tensor, target: Tensor, noise: torch.Generator) -> Tensor:
        """The logits (n, K) of a new linear classifier after its steps on these labels, by Adam.

        The gradient is written out: with automatic differentiation a step of 96 samples takes three times as long.
        """
        bound, size = 1 / math.sqrt(rows.shape[1]), (self.n_clusters, rows.shape[1] + 1)
        weights = torch.empty(size, device=noise.device).uniform_(-bound, bound, generator=noise).to(rows.device)
        rate = self.inner_rate * max(1.0, _WIDTH / rows.shape[1])
        first, second = torch.zeros_like(weights), torch.zeros_like(weights)
        given = functional.pad(rows, (0, 1), value=1.0)
        mine, wanted = given[there], target[there]
        for step in range(1, self.inner_steps + 1 if len(mine) else 1):
            slope = ((mine @ weights.t()).softmax(dim=1) - wanted).t() @ mine / len(mine)
            first.lerp_(slope, 1 - _BETAS[0])
            second.lerp_(slope.square(), 1 - _BETAS[1])
            scale = (second / (1 - _BETAS[1] ** step)).sqrt_().add_(_EPSILON)
            weights.addcdiv_(first, scale, value=-rate / (1 - _BETAS[0] ** step))
        return given @ weights.t()
