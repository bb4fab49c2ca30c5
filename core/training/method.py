"""The interface between `fit` and a method: a method has its modules, its optimisers and its step."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.config.trial import Optimiser
from core.data.corpus import Corpus
from core.data.modalities import Modality
from core.data.source import Samples
from core.evaluation.outputs import Outputs
from core.evaluation.scoring import ClusterScoring, ScoredTrial, Scoring
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

    A family has an ordinary view, and may also have a weaker and a stronger one for methods that use them.

    The constructor takes the shape of a sample, or, where `by_modality` is true, the data set's modalities.

    `informed` says whether the views know more of the samples than these show: changes that leave the meaning as it is,
    such as a moved image. Views made of the samples alone, such as neighbours, do not.
    """

    by_modality: ClassVar[bool] = False
    informed: bool = False

    def attach(self, arrays: Mapping[str, Tensor]) -> None:  # noqa: B027 - most families do not need it
        """Called once, before `prepare`, with the data set's further arrays, each (n_samples, …)."""

    def prepare(self, samples: Samples) -> None:  # noqa: B027 - most families do not need it
        """Called once, before training, with all samples (n_samples, *sample_shape)."""

    @abstractmethod
    def __call__(self, batch: Batch) -> Tensor:
        """A view of each sample of the batch, of the same shape as its samples, drawn from `batch.views`."""

    def signals(self) -> dict[str, float]:
        """What `prepare` found, by name, for the first epoch; nothing by default."""
        return {}

    def weak(self, batch: Batch) -> Tensor:
        """A view with small changes; by default the ordinary view."""
        return self(batch)

    def strong(self, batch: Batch) -> Tensor:
        """A view with large changes; by default the ordinary view."""
        return self(batch)


class Encoder(nn.Module):
    """Base of all encoders: a module from samples (n, *sample_shape) to features (n, dim), with its `dim`.

    `gains_from_bf16` says whether `precision: auto` trains it in bf16 on hardware with bf16. A network of small
    matrices does not gain: its step consists of many short calls, and changes of format add more of them. `pixels` says
    whether the samples must be images with pixels in 0..1; it is read without importing, so it stands in the body of
    the class. `notes` are sentences on what was done with the samples, for `conclus plan`.

    The constructor takes the shape of a sample, or, where `by_modality` is true, the data set's modalities. Then the
    module gets rows in which a missing modality is NaN, see `core.data.modalities.Modality`.
    """

    by_modality: ClassVar[bool] = False

    gains_from_bf16: ClassVar[bool] = False
    pixels: ClassVar[bool] = False
    notes: tuple[str, ...] = ()
    dim: int


def first_argument(part: Any, sample_shape: tuple[int, ...], modalities: tuple[Modality, ...] = ()) -> Any:
    """What the constructor of an encoder or a family of views is given first: a shape, or modalities.

    Data of a single kind of measurement is one modality of the samples' shape.
    """
    alone = (Modality("samples", 0, sample_shape),)
    return modalities or alone if getattr(part, "by_modality", False) else sample_shape


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The parts that a method is built from.

    `arrays` are the data set's further arrays, each (n_samples, …). `n_clusters` is 0 for a method that does not
    cluster. `seed` is for random choices that use no stream, such as starts of k-means. `modalities` are those of the
    data set, at least one. `corpus` holds the training samples as documents, where they are such, and `words` the names
    of the features, where they have some.
    """

    sample_shape: tuple[int, ...]
    n_samples: int
    n_clusters: int
    build_encoder: Callable[[], Encoder]
    views: Views
    optimiser: Optimiser
    epochs: int
    seed: int
    modalities: tuple[Modality, ...]
    arrays: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    corpus: Corpus | None = None
    words: tuple[str, ...] = ()


class Method(nn.Module, ABC):
    """Base of all methods. Subclasses build modules and `self.optimisers` in their constructor.

    Whatever else an exact resume needs goes into buffers, or into `state` and `load_state`. `clusters` says whether it
    assigns samples to clusters; one that does not assigns False in its own body (where it is read without importing),
    and says in `scoring` what it is scored by. One that contrasts the samples of a batch says how many that must be at
    least (`least_batch`), likewise in its own body.

    A method also declares in its class body what it reports, so that a study with a wrong metric is refused before it
    starts. `loss_parts` holds all names that `step` returns besides `loss`. `scores` is `head` (clusters of its own
    head), `kmeans` (clusters of k-means, for a method without a head), `pairs`, or the names of its own scores.
    Without these declarations any metric is accepted, with a note that it may not be reported.

    `directions` says of scores and signals of its own which values are better: `{"my_score": "max"}`. One that nobody
    declares ranks only with a `mode`.

    `rescales` holds its options that change the value of its loss at the same weights, such as a temperature, and
    `encoder` (or a key such as `encoder.dim`) where the width of the features does. Losses are ranked only across other
    parameters. A method without this declaration, or one that results know by its file alone, has no such other ones.

    `unused` in the class body names the sections and keys of a trial that the method does not use: a study that gives
    one is refused. A method with `epochs` among them learns at once: its `step` is called one time, with all samples.

    `exclusive` in the class body holds groups of options of which a study may give one: `(("clip", "penalty"),)`.

    A method with `sparse` in its class body gets sparse samples as torch's compressed sparse rows in `step`, and in
    `outputs` either so or dense.

    `baseline` in the class body says that neural methods should do better than this one: those that do not are told so
    in the leaderboard.

    `any_epochs` in the class body says that an epoch is the same whatever the number of epochs, so that a finished
    trial can go on to more: True, or the names of options, shares of the epochs, that must be 0 for it.
    """

    clusters: ClassVar[bool] = True
    least_batch: ClassVar[int] = 1
    any_epochs: ClassVar[bool | tuple[str, ...]] = False
    unused: ClassVar[tuple[str, ...]] = ()
    sparse: ClassVar[bool] = False
    exclusive: ClassVar[tuple[tuple[str, ...], ...]] = ()
    baseline: ClassVar[bool] = False
    rescales: ClassVar[tuple[str, ...]]
    directions: ClassVar[Mapping[str, str]] = {}
    loss_parts: ClassVar[tuple[str, ...]]
    scores: ClassVar[str | tuple[str, ...]]
    optimisers: dict[str, torch.optim.Optimizer]

    def __init__(self) -> None:
        super().__init__()
        self.step_guard = StepGuard()

    def begin_epoch(self, epoch: int, samples: Samples) -> None:
        """Called before each epoch (from 1) with all samples; a method with stages begins the next stage here."""

    def end_epoch(self, epoch: int, samples: Samples) -> Outputs | None:
        """Called after each epoch with all samples, before the epoch is scored.

        A method that computes the outputs of all samples here, with its final weights of the epoch, returns them (on
        the CPU, float32); then they are not computed again for the scores.
        """

    @abstractmethod
    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Takes one optimisation step; returns `loss` and its parts `loss_<part>`, detached scalars in nats."""

    @abstractmethod
    def outputs(self, samples: Tensor) -> Outputs:
        """Features and probabilities of samples (n, *sample_shape), in evaluation mode, without views."""

    def input_clusters(self, samples: Samples) -> NDArray[np.int64] | None:
        """The clusters (n,) of all samples that it found in the input itself; None, the default, without.

        Their scores are told beside the trial's, and `BELOW_INPUT` compares with them.
        """
        del samples

    def scoring(self, trial: ScoredTrial) -> Scoring:
        """The object that scores the epochs of a trial; by default it scores clusterings."""
        return ClusterScoring(trial)

    def probe_views(self, samples: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor | None:
        """A view of each of some samples for the signals on views, drawn from a generator of their own.

        By default an ordinary view of the family that the method keeps as `self.views`; None without one.
        """
        views: Views | None = getattr(self, "views", None)
        return None if views is None else views(Batch(samples, rows, generator, generator))

    def signals(self) -> dict[str, float]:
        """The method's own signals after an epoch, by name; none by default."""
        return {}

    def view_signals(self, epoch: int) -> dict[str, float]:
        """The signals of the family of views that the method keeps as `self.views`, in the first epoch."""
        views: Views | None = getattr(self, "views", None)
        return {} if views is None or epoch > 1 else views.signals()

    def chance_losses(self, size: int) -> dict[str, float]:
        """The values of parts of the loss for constant outputs and batches of a size, by name; none by default.

        From them come the signals `loss_share_<part>`, which can be compared between batch sizes and numbers of
        clusters. (`loss_instance` of n samples in two views is log(2n - 1), `loss_cluster` log(2K - 1).)
        """
        del size
        return {}

    def descend(self, losses: Mapping[str, Tensor], optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
        """One optimiser step for `losses["loss"]`; `StepGuard` handles gradients that are not finite."""
        optimiser.zero_grad(set_to_none=True)
        losses["loss"].backward()
        self.step_guard.take(self, optimiser)
        return {name: loss.detach() for name, loss in losses.items()}

    def set_learning_rate(self, factor: float) -> None:
        """Sets every learning rate to `factor` times the configured one, times the scale of `StepGuard`."""
        for one in self.optimisers.values():
            for group in one.param_groups:
                group["lr"] = group["configured_lr"] * factor * self.step_guard.scale

    def state(self) -> dict[str, Any]:
        """Everything that an exact resume needs of the method, as copies that later steps do not change."""
        optimisers = {name: one.state_dict() for name, one in self.optimisers.items()}
        return {
            "modules": copy.deepcopy(self.state_dict()),
            "optimisers": copy.deepcopy(optimisers),
            "step_guard": self.step_guard.state(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restores a state from `state`; the state may come from a method with other learning rates.

        Later steps of the method do not change the state, so it can be loaded again.
        """
        self.load_state_dict(state["modules"])
        for name, one in self.optimisers.items():
            own = [{key: group[key] for key in _CONFIGURED} for group in one.param_groups]
            # Torch's optimisers keep the tensors that they load, and change them in place.
            one.load_state_dict(copy.deepcopy(state["optimisers"][name]))
            for group, configured in zip(one.param_groups, own, strict=True):
                group.update(configured)
        self.step_guard.load_state(state["step_guard"])


_CONFIGURED = ("configured_lr", "weight_decay")
"""Keys of an optimiser's groups that come from the configuration, not from training."""


class DivergedError(ArithmeticError):
    """Training produced values that are not finite in several steps."""


class StepGuard:
    """Skips a step whose gradient is not finite: the weights stay, and all learning rates are halved permanently.

    Those of the step's own optimisers are halved at once, those of others when the next epoch begins.

    Attributes:
        scale: the factor of the learning rates, 1 at first.
    """

    LIMIT = 3

    def __init__(self) -> None:
        self.scale = 1.0
        self.in_a_row: dict[str, int] = {}
        self._norms: list[float] = []
        self._skipped = 0

    def take(self, modules: nn.Module, *optimisers: torch.optim.Optimizer, name: str = "") -> bool:
        """Steps with all optimisers if all their gradients are finite; returns whether it did.

        `name` tells apart the optimisers that step at different times: bad steps in a row are counted by name.

        Raises:
            DivergedError: this is the third step in a row of that name with gradients that are not finite.
        """
        groups = [group for one in optimisers for group in one.param_groups]
        norm = float(
            nn.utils.get_total_norm([one.grad for group in groups for one in group["params"] if one.grad is not None])
        )
        if math.isfinite(norm):
            for one in optimisers:
                one.step()
            self.in_a_row[name] = 0
            self._norms.append(norm)
            return True
        self._skipped += 1
        self._undo(modules, groups, name)
        return False

    def signals(self) -> dict[str, float]:
        """`gradient_norm_mean` and `_max` of the steps since the last call, and `skipped_steps`, those not taken."""
        norms, skipped = self._norms, self._skipped
        self._norms, self._skipped = [], 0
        found = {"skipped_steps": float(skipped)}
        if norms:
            found |= {"gradient_norm_mean": sum(norms) / len(norms), "gradient_norm_max": max(norms)}
        return found

    def _undo(self, modules: nn.Module, groups: list[dict[str, Any]], name: str) -> None:
        self.in_a_row[name] = self.in_a_row.get(name, 0) + 1
        if self.in_a_row[name] >= self.LIMIT:
            raise DivergedError(f"{self.in_a_row[name]} steps in a row gave gradients that are not finite")
        self.scale /= 2
        for group in groups:
            group["lr"] /= 2
        for module in modules.modules():
            # The forward pass has already added the bad batch to the running statistics.
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and not _finite(module):
                module.reset_running_stats()

    def state(self) -> dict[str, Any]:
        """The state for a checkpoint, between two epochs."""
        return {"scale": self.scale, "in_a_row": dict(self.in_a_row)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restores a state from a checkpoint; older ones hold one number of bad steps in a row for all optimisers."""
        self.scale, bad = state["scale"], state["in_a_row"]
        self.in_a_row = {"": bad} if isinstance(bad, int) else dict(bad)


def _finite(module: nn.Module) -> bool:
    return all(bool(torch.isfinite(one).all()) for one in module.buffers())


def build_optimiser(
    modules: nn.Module, config: Optimiser, betas: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-8
) -> torch.optim.Optimizer:
    """The configured optimiser over all parameters of `modules`, those of encoders perhaps at a rate of their own.

    `betas` are the decay rates of Adam's averages of the gradient and of its square. `epsilon` is added to the root of
    the latter, so gradients that are not far above it move the weights less.
    """
    kinds = {"adam": optimisers.Adam, "adamw": optimisers.AdamW}
    groups = optimisers.groups(modules, Encoder, config.learning_rate, config.encoder_learning_rate)
    decay, kind = config.weight_decay, kinds[config.name]
    optimiser = kind(groups, lr=config.learning_rate, betas=betas, eps=epsilon, weight_decay=decay, fused=True)
    for group in optimiser.param_groups:
        group["configured_lr"] = group["lr"]
    return optimiser
