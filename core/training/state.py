"""Everything that an exact resume needs, and its bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from core.config.trial import TrialConfig, parameters
from core.errors import UserError
from core.evaluation.scoring import Scoring
from core.seal import seal, unseal
from core.seeds import Streams
from core.training.early_stopping import Patience
from core.training.method import Method


@dataclass(frozen=True)
class TrainingState:
    """A trial between two epochs: plain dictionaries of tensors and numbers.

    `previous` is what scoring carries, `patience` what early stopping does; `origin` is what the trial is of, as
    `origin_of` gives it.
    """

    epoch: int
    method: dict[str, Any]
    streams: dict[str, torch.Tensor]
    previous: dict[str, torch.Tensor] | None
    patience: dict[str, Any] = field(default_factory=dict[str, Any])
    origin: dict[str, Any] = field(default_factory=dict[str, Any])

    @classmethod
    def take(
        cls,
        epoch: int,
        method: Method,
        streams: Streams,
        *,
        scoring: Scoring,
        patience: Patience,
        origin: dict[str, Any],
    ) -> TrainingState:
        """The state after `epoch`; later steps leave it as it is."""
        return cls(epoch, method.state(), streams.state(), scoring.state(), patience.state(), origin)

    def restore(self, method: Method, streams: Streams, scoring: Scoring, patience: Patience) -> int:
        """Puts everything back; returns the epoch that is done."""
        method.load_state(self.method)
        streams.load_state(self.streams)
        scoring.load_state(self.previous)
        patience.load_state(self.patience)
        return self.epoch

    def refuse_other(self, origin: Mapping[str, Any]) -> None:
        """Checks that the state is of the method, loss, encoder, data and split that a trial has.

        Other parameters may differ: a member of a population goes on with the weights of another.

        Raises:
            UserError: it is not; the message names both values of all that differ.
        """
        changed = differences(self.origin, {key: value for key, value in origin.items() if _decides(key)})
        if changed:
            raise UserError(f"the checkpoint is of another trial: {changed}; only the same can go on from it")

    def to_bytes(self, **extra: Any) -> bytes:
        """The state and plain `extra` values as one file's content, with a digest of all of it."""
        buffer = io.BytesIO()
        torch.save({"state": vars(self), "extra": extra}, buffer)
        return seal(buffer.getvalue())

    @classmethod
    def from_bytes(cls, content: bytes, device: str = "cpu") -> tuple[TrainingState, dict[str, Any]]:
        """Reads what `to_bytes` wrote: the state and the extra values.

        Raises:
            ValueError: the content is damaged, holds no digest, or is no state.
            Exception: it is foreign (whatever torch raises for it).
        """
        loaded = torch.load(io.BytesIO(unseal(content)), map_location=device, weights_only=True)
        parts: dict[str, Any] = loaded["state"]
        if any(not isinstance(value, _TYPES[name]) for name, value in [*parts.items(), ("extra", loaded["extra"])]):
            raise ValueError("it is no state of a trial")
        return cls(**parts), loaded["extra"]


_TYPES: dict[str, Any] = {
    **dict.fromkeys(("method", "streams", "patience", "origin", "extra"), dict),
    "epoch": int,
    "previous": (dict, type(None)),
}


def origin_of(config: TrialConfig, data_hash: str, seed: int) -> dict[str, Any]:
    """What a trial is: its parameters by dotted key, the start of its data's fingerprint, and its seed."""
    own = {key: list(value) if isinstance(value, tuple) else value for key, value in parameters(config).items()}
    return own | {"data content": data_hash[:12], "seed": seed}


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Each key of `now` whose value was another one before, with both values; empty where there is none."""
    changed = [key for key in now if before.get(key) != now[key]]
    return ", ".join(f"{key} was {before.get(key, 'not set')} and is {now[key]}" for key in changed)


def _decides(key: str) -> bool:
    """Whether no trial goes on from a checkpoint in which this was another one."""
    if key in {"method.name", "method.loss.name", "data content"}:
        return True
    return key != "data.path" and key.startswith(("data.", "encoder."))
