"""The seam between `fit` and a method: a method owns its modules, its optimisers and its step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from core.config import Optimiser


class Views(Protocol):
    """Draws one random view of each sample of a batch."""

    def __call__(self, samples: Tensor, generator: torch.Generator) -> Tensor:
        """Shape in = shape out, (n, *sample_shape)."""
        ...


class Encoder(nn.Module):
    """Base of all encoders: a module from samples (n, *sample_shape) to features (n, dim), with its `dim`."""

    dim: int


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a method is built from."""

    sample_shape: tuple[int, ...]
    n_samples: int
    n_clusters: int
    build_encoder: Callable[[], Encoder]
    views: Views
    optimiser: Optimiser
    epochs: int


@dataclass(frozen=True)
class Outputs:
    """What a trained method says of n samples: features (n, dim) and, with a cluster head, probabilities (n, K)."""

    features: Tensor
    probabilities: Tensor | None


@dataclass(frozen=True)
class Batch:
    """One mini-batch: samples (n, *sample_shape), their rows in the data set (n,), and the random streams."""

    samples: Tensor
    rows: Tensor
    views: torch.Generator
    noise: torch.Generator


class Method(nn.Module, ABC):
    """Base of all methods. Subclasses build modules and `self.optimisers` in their constructor."""

    optimisers: dict[str, torch.optim.Optimizer]

    @abstractmethod
    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Takes one optimisation step; returns `loss` and its parts `loss_<part>`, detached scalars in nats."""

    @abstractmethod
    def outputs(self, samples: Tensor) -> Outputs:
        """Features and probabilities of samples (n, *sample_shape), in evaluation mode, without views."""

    def state(self) -> dict[str, Any]:
        """Everything an exact resume needs of the method."""
        return {
            "modules": self.state_dict(),
            "optimisers": {name: one.state_dict() for name, one in self.optimisers.items()},
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Puts the method back into a state taken by `state`."""
        self.load_state_dict(state["modules"])
        for name, one in self.optimisers.items():
            one.load_state_dict(state["optimisers"][name])


def build_optimiser(modules: nn.Module, config: Optimiser) -> torch.optim.Optimizer:
    """The configured optimiser over all parameters of `modules`."""
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return kinds[config.name](
        modules.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
