"""One trial seed, several independent streams: nothing here or elsewhere touches the global generators for good."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, fields

import torch


def derive(seed: int, purpose: str) -> int:
    """A 32-bit seed for one purpose (32: scikit-learn's limit), unrelated to the seeds of the others."""
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
        """Fresh streams of a trial seed; `order` is drawn on the CPU, the others where the data is."""
        devices = {"order": torch.device("cpu"), "views": device, "method": device}
        return cls(**{name: torch.Generator(where).manual_seed(derive(seed, name)) for name, where in devices.items()})

    def state(self) -> dict[str, torch.Tensor]:
        """Where each stream stands."""
        return {one.name: getattr(self, one.name).get_state() for one in fields(self)}

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """Puts each stream back to where it stood."""
        for name, value in state.items():
            getattr(self, name).set_state(value.cpu())  # also the state of a GPU's generator lives on the CPU


@contextmanager
def initialisation(seed: int, device: torch.device) -> Generator[None]:
    """Modules built inside take their weights from the trial's seed; the global generators come back untouched.

    torch's layers initialise themselves from the global generator and take no other.
    """
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(derive(seed, "initialisation"))
        yield
