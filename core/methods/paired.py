"""Paired embeddings: an encoder learns to map each input to its target vector, with any loss for pairs.

The data set holds inputs and targets (`data: {name: pairs, path: …}`); views are not used. Losses: `mse`, `cosine`,
`cosine_mse`, `info_nce`, or your own file. Compare runs with different losses by cosine similarity and by retrieval on
the held-out parts (see `core.evaluation.pairs`), never by their losses.

References: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (ICML 2021) for
`info_nce`; Frome et al., "DeViSE: A Deep Visual-Semantic Embedding Model" (NeurIPS 2013) for maps to given vectors.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from core.config.schema import LossPlugIn
from core.config.trial import build_loss
from core.data.source import Samples
from core.errors import UserError
from core.evaluation.outputs import Outputs
from core.evaluation.pairs import PairScoring
from core.evaluation.scoring import ScoredTrial, Scoring
from core.training.method import Batch, Setting, build_optimiser
from core.training.method import Method as Base


class Method(Base):
    """An encoder and a linear map to the targets' space."""

    clusters: ClassVar[bool] = False
    loss_parts = ()
    rescales = ("loss", "standardise")
    scores = "pairs"
    any_epochs = True
    mean: Tensor
    deviation: Tensor

    def __init__(self, setting: Setting, *, loss: LossPlugIn = "cosine", standardise: bool = True) -> None:
        """The encoder and the linear map.

        The mean and the variance of the training inputs are part of the weights: a loaded model takes raw inputs.

        Args:
            setting: the parts that the method is built from.
            loss: the loss of outputs and targets: `mse`, `cosine`, `cosine_mse`, `info_nce`, or your own file.
            standardise: whether each feature of the inputs (of images: each channel) gets mean 0 and variance 1.

        Raises:
            UserError: the data has no targets, or the loss cannot be built.
        """
        super().__init__()
        if "target" not in setting.arrays:
            raise UserError(
                "the method 'paired' learns from inputs and their targets, and the data has no targets: "
                "use `data: {name: pairs, path: …}`, or a method that clusters"
            )
        self.targets = setting.arrays["target"]
        self.loss = build_loss(loss)
        self.standardise = standardise
        self.encoder = setting.build_encoder()
        self.head = nn.Linear(self.encoder.dim, self.targets.shape[1])
        shape = (setting.sample_shape[0], *(1 for _ in setting.sample_shape[1:]))
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("deviation", torch.ones(shape))
        self.optimisers = {"all": build_optimiser(self, setting.optimiser)}

    def begin_epoch(self, epoch: int, samples: Samples) -> None:
        """Before the first epoch, computes the mean and the standard deviation of the inputs."""
        if epoch > 1 or not self.standardise:
            return
        inputs = samples[:].double()
        axes = (0, *range(2, inputs.ndim))
        # Compared by equality: the deviation of a constant in floats is not 0, and dividing by it makes huge inputs.
        constant = inputs.amin(dim=axes) == inputs.amax(dim=axes)
        deviation = torch.where(constant, 1.0, inputs.std(dim=axes, correction=0))
        self.mean.copy_(inputs.mean(dim=axes).reshape(self.mean.shape))
        self.deviation.copy_(deviation.reshape(self.deviation.shape))

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """One optimisation step; see `Method.step` of the base."""
        # Batch norms need two samples: a single sample is repeated.
        samples, rows = (one if len(one) > 1 else one.repeat_interleave(2, 0) for one in (batch.samples, batch.rows))
        loss = self.loss(self._predict(samples), self.targets[rows])
        return self.descend({"loss": loss}, self.optimisers["all"])

    def outputs(self, samples: Tensor) -> Outputs:
        """The predictions, in the targets' space, as features."""
        return Outputs(self._predict(samples), None)

    def scoring(self, trial: ScoredTrial) -> Scoring:
        """Scores predictions by their similarity to the targets, and by retrieval."""
        return PairScoring(trial, self.loss)

    def _predict(self, samples: Tensor) -> Tensor:
        return self.head(self.encoder((samples - self.mean) / self.deviation))
