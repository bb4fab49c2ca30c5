"""The state of a trial between two epochs, for an exact resume, and its conversion to bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from core.config.trial import FILES, TrialConfig, parameters
from core.errors import UserError
from core.evaluation.monitor import Monitor
from core.evaluation.scoring import Scoring
from core.seal import seal, unseal
from core.seeds import Streams
from core.training.early_stopping import Patience
from core.training.method import Method


@dataclass(frozen=True)
class TrainingState:
    """A trial between two epochs: plain dictionaries of tensors and numbers.

    `previous` is the state of the scoring, `patience` that of early stopping, `monitor` that of the signals; `origin`
    identifies the trial, see `origin_of`.
    """

    epoch: int
    method: dict[str, Any]
    streams: dict[str, torch.Tensor]
    previous: dict[str, torch.Tensor] | None
    patience: dict[str, Any] = field(default_factory=dict[str, Any])
    origin: dict[str, Any] = field(default_factory=dict[str, Any])
    monitor: torch.Tensor | None = None

    @classmethod
    def take(
        cls,
        epoch: int,
        method: Method,
        streams: Streams,
        *,
        scoring: Scoring,
        patience: Patience,
        monitor: Monitor,
        origin: dict[str, Any],
    ) -> TrainingState:
        """The state after `epoch`; later steps do not change it."""
        return cls(epoch, method.state(), streams.state(), scoring.state(), patience.state(), origin, monitor.state())

    def restore(self, method: Method, streams: Streams, scoring: Scoring, patience: Patience, monitor: Monitor) -> int:
        """Restores the state; returns the number of its epoch."""
        method.load_state(self.method)
        streams.load_state(self.streams)
        scoring.load_state(self.previous)
        patience.load_state(self.patience)
        monitor.load_state(self.monitor)
        return self.epoch

    def refuse_other(self, origin: Mapping[str, Any]) -> None:
        """Checks that the state has the method, loss, encoder, data and split of a trial.

        Other parameters may differ: in a population, a member continues with the weights of another.

        Raises:
            UserError: one differs; the message names both values of each difference.
        """
        changed = differences(self.origin, {key: value for key, value in origin.items() if _decides(key)})
        if changed:
            raise UserError(f"the checkpoint is of another trial: {changed}; only the same trial can continue from it")

    def to_bytes(self, **extra: Any) -> bytes:
        """The state and plain `extra` values as the content of one file, with a digest."""
        buffer = io.BytesIO()
        torch.save({"state": vars(self), "extra": extra}, buffer)
        return seal(buffer.getvalue())

    @classmethod
    def from_bytes(cls, content: bytes, device: str = "cpu") -> tuple[TrainingState, dict[str, Any]]:
        """Reads the state and the extra values that `to_bytes` wrote.

        Raises:
            ValueError: the content is damaged, has no digest, or is not a state.
            Exception: any error of torch for content of another kind.
        """
        loaded = torch.load(io.BytesIO(unseal(content)), map_location=device, weights_only=True)
        parts: dict[str, Any] = loaded["state"]
        if any(not isinstance(value, _TYPES[name]) for name, value in [*parts.items(), ("extra", loaded["extra"])]):
            raise ValueError("it is not the state of a trial")
        return cls(**parts), loaded["extra"]


_TYPES: dict[str, Any] = {
    **dict.fromkeys(("method", "streams", "patience", "origin", "extra"), dict),
    "epoch": int,
    "previous": (dict, type(None)),
    "monitor": (torch.Tensor, type(None)),
}


def origin_of(config: TrialConfig, data_hash: str, seed: int) -> dict[str, Any]:
    """The identity of a trial: its parameters by dotted key, the start of its data's fingerprint, and its seed."""
    own = {key: list(value) if isinstance(value, tuple) else value for key, value in parameters(config).items()}
    return own | {"data content": data_hash[:12], "seed": seed}


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Each key of `now` whose value differs from `before`, with both values; empty if none differs."""
    changed = [key for key in now if before.get(key) != now[key]]
    return ", ".join(f"{key} was {before.get(key, 'not set')} and is {now[key]}" for key in changed)


def _decides(key: str) -> bool:
    """Whether a checkpoint with another value of this key must be refused."""
    if key in {"method.name", "method.loss.name", "data content"}:
        return True
    return key not in FILES and key.startswith(("data.", "encoder."))
