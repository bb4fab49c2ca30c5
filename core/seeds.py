"""Derives several independent random streams from one trial seed; the global generators stay unchanged."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, fields

import torch


def derive(seed: int, purpose: str) -> int:
    """A 32-bit seed for one purpose, independent of the seeds for other purposes; scikit-learn allows 32 bits."""
    digest = hashlib.sha256(f"{seed}:{purpose}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


@dataclass(frozen=True)
class Streams:
    """The random streams that training draws from; their states are part of a checkpoint."""

    order: torch.Generator
    views: torch.Generator
    method: torch.Generator

    @classmethod
    def of(cls, seed: int, device: torch.device) -> Streams:
        """New streams of a trial seed; `order` is on the CPU, the others are on the device of the data."""
        devices = {"order": torch.device("cpu"), "views": device, "method": device}
        return cls(**{name: torch.Generator(where).manual_seed(derive(seed, name)) for name, where in devices.items()})

    def state(self) -> dict[str, torch.Tensor]:
        """The state of each stream."""
        return {one.name: getattr(self, one.name).get_state() for one in fields(self)}

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """Restores the state of each stream; one from another kind of device does not fit, and the stream stays new."""
        for name, value in state.items():
            stream: torch.Generator = getattr(self, name)
            if value.numel() == stream.get_state().numel():
                stream.set_state(value.cpu())  # the state of a GPU's generator is on the CPU too


@contextmanager
def initialisation(seed: int, device: torch.device) -> Generator[None]:
    """Modules that are built in this with-block get their weights from the trial's seed.

    torch's layers always use the global generators, so these are seeded here and restored afterwards.
    """
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(derive(seed, "initialisation"))
        yield
