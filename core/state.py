"""Everything that an exact resume needs, and its bytes."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import torch

from core.method import Method
from core.scoring import Scoring
from core.seeds import Streams


@dataclass(frozen=True)
class State:
    """A trial between two epochs: plain dictionaries of tensors and numbers; `previous` is what scoring carries."""

    epoch: int
    method: dict[str, Any]
    streams: dict[str, torch.Tensor]
    previous: dict[str, torch.Tensor] | None

    @classmethod
    def take(cls, epoch: int, method: Method, streams: Streams, scoring: Scoring) -> State:
        """The state after `epoch`; its tensors are the method's own, valid until the next step."""
        return cls(epoch, method.state(), streams.state(), scoring.state())

    def restore(self, method: Method, streams: Streams, scoring: Scoring) -> int:
        """Puts method, streams and scoring back; returns the epoch that is done."""
        method.load_state(self.method)
        streams.load_state(self.streams)
        scoring.load_state(self.previous)
        return self.epoch

    def to_bytes(self, **extra: Any) -> bytes:
        """The state and plain `extra` values as one file's content."""
        buffer = io.BytesIO()
        torch.save({"state": vars(self), "extra": extra}, buffer)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes, device: str = "cpu") -> tuple[State, dict[str, Any]]:
        """Reads what `to_bytes` wrote: the state and the extra values.

        Raises:
            Exception: the content is torn or foreign (whatever torch raises for it).
        """
        loaded = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
        return cls(**loaded["state"]), loaded["extra"]
