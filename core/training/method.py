"""The seam between `fit` and a method: a method owns its modules, its optimisers and its step."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from core.config.trial import Optimiser
from core.evaluation.outputs import Outputs
from core.evaluation.scoring import ClusterScoring, Scoring, Task
from core.training import optimisers


@dataclass(frozen=True)
class Batch:
    """One mini-batch: samples (n, *sample_shape), their rows in the data set (n,), and the random streams."""

    samples: Tensor
    rows: Tensor
    views: torch.Generator
    noise: torch.Generator


class Views(ABC):
    """Base of all families of views: draws a random view of each sample of a batch.

    A family has an ordinary view, and may have a weaker and a stronger one for methods that tell them apart.
    """

    def attach(self, arrays: Mapping[str, Tensor]) -> None:  # noqa: B027 - most families need nothing of it
        """Sees the data set's further arrays, each (n_samples, …), once, before `prepare`."""

    def prepare(self, samples: Tensor) -> None:  # noqa: B027 - most families need nothing of it
        """Sees all samples (n_samples, *sample_shape) once, before training."""

    @abstractmethod
    def __call__(self, batch: Batch) -> Tensor:
        """A view of each sample of the batch, of the same shape as its samples, drawn from `batch.views`."""

    def weak(self, batch: Batch) -> Tensor:
        """A view that changes little; the ordinary one unless a family says otherwise."""
        return self(batch)

    def strong(self, batch: Batch) -> Tensor:
        """A view that changes much; the ordinary one unless a family says otherwise."""
        return self(batch)


class Encoder(nn.Module):
    """Base of all encoders: a module from samples (n, *sample_shape) to features (n, dim), with its `dim`.

    `gains_from_bf16` says whether `precision: auto` trains it in bf16 on hardware that has it. A network of small
    matrices does not gain: its step is made of many short calls, and changing formats adds more of them.
    """

    gains_from_bf16: ClassVar[bool] = False
    dim: int


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a method is built from.

    `arrays` are those of the data set, (n_samples, …) each. `n_clusters` is 0 for a method that does not cluster.
    `seed` is for what is not drawn from a stream, such as starts of k-means.
    """

    sample_shape: tuple[int, ...]
    n_samples: int
    n_clusters: int
    build_encoder: Callable[[], Encoder]
    views: Views
    optimiser: Optimiser
    epochs: int
    seed: int
    arrays: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])


class Method(nn.Module, ABC):
    """Base of all methods. Subclasses build modules and `self.optimisers` in their constructor.

    Whatever else an exact resume needs goes into buffers, or into `state` and `load_state`. `clusters` says whether it
    assigns samples to clusters; one that does not assigns False in its own body (where it is read without importing),
    and says in `scoring` what it is scored by. One that contrasts the samples of a batch says how many that must be at
    least (`least_batch`), likewise in its own body.

    Likewise, a method declares in its own body what it reports, so that a study with a wrong metric is refused before
    it starts: in `loss_parts` the names that `step` ever gives beside `loss`, in `scores` what it is scored by: `head`
    (clusters of its own head), `kmeans` (those of k-means, having no head), `pairs`, or the names of its own scoring.
    Of one that does not, any metric is taken, and it is said that nobody knows whether it is reported.
    """

    clusters: ClassVar[bool] = True
    least_batch: ClassVar[int] = 1
    loss_parts: ClassVar[tuple[str, ...]]
    scores: ClassVar[str | tuple[str, ...]]
    optimisers: dict[str, torch.optim.Optimizer]

    def __init__(self) -> None:
        super().__init__()
        self.step_guard = StepGuard()

    def begin_epoch(self, epoch: int, samples: Tensor) -> None:
        """Called before each epoch (from 1) with all samples; a method with stages turns to the next one here."""

    def end_epoch(self, epoch: int, samples: Tensor) -> Outputs | None:
        """Called after each epoch with all samples, before the epoch is scored.

        A method that has made the outputs of all samples here, as the epoch leaves it, returns them (on the CPU,
        float32): they are then not made again for the scores.
        """

    @abstractmethod
    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Takes one optimisation step; returns `loss` and its parts `loss_<part>`, detached scalars in nats."""

    @abstractmethod
    def outputs(self, samples: Tensor) -> Outputs:
        """Features and probabilities of samples (n, *sample_shape), in evaluation mode, without views."""

    def scoring(self, task: Task) -> Scoring:
        """How the epochs of a trial are scored: as clusterings, unless a method says otherwise."""
        return ClusterScoring(task)

    def descend(self, losses: Mapping[str, Tensor], optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
        """Follows the gradient of `losses["loss"]` once; see `StepGuard` for what happens when it is not finite."""
        optimiser.zero_grad(set_to_none=True)
        losses["loss"].backward()
        self.step_guard.take(self, optimiser)
        return {name: loss.detach() for name, loss in losses.items()}

    def set_learning_rate(self, factor: float) -> None:
        """Sets every optimiser to `factor` times its configured rate, less what undone steps took from it."""
        for one in self.optimisers.values():
            for group in one.param_groups:
                group["lr"] = group["configured_lr"] * factor * self.step_guard.scale

    def state(self) -> dict[str, Any]:
        """Everything an exact resume needs of the method: copies, which later steps leave as they are."""
        optimisers = {name: one.state_dict() for name, one in self.optimisers.items()}
        return {
            "modules": copy.deepcopy(self.state_dict()),
            "optimisers": copy.deepcopy(optimisers),
            "step_guard": self.step_guard.state(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Puts the method into a state taken by `state`, also by a method with other learning rates than this one.

        The state stays as it is, whatever the method does then, and can be loaded again.
        """
        self.load_state_dict(state["modules"])
        for name, one in self.optimisers.items():
            own = [{key: group[key] for key in _CONFIGURED} for group in one.param_groups]
            # Torch's optimisers go on with the very tensors that they are given, and change them in place.
            one.load_state_dict(copy.deepcopy(state["optimisers"][name]))
            for group, configured in zip(one.param_groups, own, strict=True):
                group.update(configured)
        self.step_guard.load_state(state["step_guard"])


_CONFIGURED = ("configured_lr", "weight_decay")
"""What an optimiser's groups have from the configuration, not from training."""


class DivergedError(ArithmeticError):
    """Steps kept giving values that are not finite."""


class StepGuard:
    """Undoes a step whose gradient is not finite: the weights stay, and all learning rates are halved for good.

    Attributes:
        scale: what is left of the learning rates, 1 at first.
    """

    LIMIT = 3

    def __init__(self) -> None:
        self.scale = 1.0
        self.in_a_row = 0

    def take(self, modules: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Steps if all gradients are finite.

        Raises:
            DivergedError: this is the third step in a row that is not.
        """
        gradients = [one.grad for group in optimiser.param_groups for one in group["params"] if one.grad is not None]
        if torch.isfinite(nn.utils.get_total_norm(gradients)):
            optimiser.step()
            self.in_a_row = 0
            return
        self._undo(modules, optimiser)

    def _undo(self, modules: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        self.in_a_row += 1
        if self.in_a_row >= self.LIMIT:
            raise DivergedError(f"{self.in_a_row} steps in a row gave gradients that are not finite")
        self.scale /= 2
        for group in optimiser.param_groups:
            group["lr"] /= 2
        for module in modules.modules():
            # The forward pass has already put the bad batch into the running statistics.
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and not _finite(module):
                module.reset_running_stats()

    def state(self) -> dict[str, float | int]:
        """For a checkpoint."""
        return dict(vars(self))

    def load_state(self, state: Mapping[str, Any]) -> None:
        """From a checkpoint."""
        vars(self).update(state)


def _finite(module: nn.Module) -> bool:
    return all(bool(torch.isfinite(one).all()) for one in module.buffers())


def build_optimiser(modules: nn.Module, config: Optimiser) -> torch.optim.Optimizer:
    """The configured optimiser over all parameters of `modules`."""
    kinds = {"adam": optimisers.Adam, "adamw": optimisers.AdamW}
    optimiser = kinds[config.name](
        modules.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    for group in optimiser.param_groups:
        group["configured_lr"] = config.learning_rate
    return optimiser
