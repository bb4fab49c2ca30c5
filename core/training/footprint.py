"""Measures the time and the graphics memory of a trial; the caller measures the main memory."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from core.config.trial import Evaluation, TrialConfig, unused
from core.data.dataset import Dataset
from core.data.source import on_device
from core.training.device import CONTEXT_BYTES
from core.training.fit import build, fit, kinds_of
from core.training.n_clusters import count_clusters
from core.training.state import TrainingState

STAGE_EPOCHS = 20
_FEW = 256


@dataclass(frozen=True)
class Footprint:
    """Time and graphics memory of one epoch.

    Attributes:
        train_seconds: time of training one epoch.
        evaluation_seconds: time of scoring it as the last epoch, which takes longest.
        gpu_bytes: the most memory of the card that the process held, CUDA itself included; 0 on the CPU.
        gpu_total: memory of the card in bytes; 0 on the CPU.
    """

    train_seconds: float
    evaluation_seconds: float
    gpu_bytes: int
    gpu_total: int


def measure(config: TrialConfig, data: Dataset, *, seed: int, device: str = "cpu") -> Footprint:
    """Trains, scores and checkpoints one epoch.

    First a short trial on a few batches runs through all stages of the method and is resumed once. So everything is
    loaded before the epoch, and the memory is that of the largest stage in a resumed trial.

    Raises:
        UserError: configuration and data do not fit together.
        DivergedError: the training diverges.
    """
    config = replace(config, n_clusters=count_clusters(config, data.part("train")))
    resumed = _all_stages(config, data, seed=seed, device=device)
    row = next(fit(replace(config, epochs=1), data, seed=seed, device=device))
    row.state().to_bytes()
    del resumed  # only here, since a resumed trial also holds the state that it began with
    return Footprint(row.train_seconds, row.evaluation_seconds, *_card(torch.device(device)))


def count_parameters(config: TrialConfig, data: Dataset) -> int:
    """The number of trained parameters of the method.

    Raises:
        UserError: configuration and data do not fit together.
    """
    training = data.part("train")
    arrays = {name: torch.from_numpy(array) for name, array in training.arrays.items()}
    clusters = count_clusters(config, training)
    samples = on_device(training.samples, torch.device("cpu"))
    method = build(config, samples, clusters, seed=0, arrays=arrays, **kinds_of(training))
    return sum(one.numel() for one in method.parameters() if one.requires_grad)


def _all_stages(config: TrialConfig, data: Dataset, *, seed: int, device: str) -> TrainingState:
    """Runs a trial of STAGE_EPOCHS epochs, so all stages occur; returns the state before its last epoch.

    A method without epochs runs its one, and the state is that of its end.
    """
    batches = math.ceil(max(_FEW, int(config.n_clusters or 1)) / config.batch_size)
    small = data.take(slice(batches * config.batch_size))
    epochs = 1 if "epochs" in unused(config.method.name) else STAGE_EPOCHS
    short = replace(config, epochs=epochs, evaluation=Evaluation(every=epochs))
    content = b""
    for row in fit(short, small, seed=seed, device=device):
        if row.epoch == max(epochs - 1, 1):
            content = row.state().to_bytes()
            break
    state, _ = TrainingState.from_bytes(content, device)
    next(fit(short, small, seed=seed, device=device, resume=state), None)
    return state


def _card(device: torch.device) -> tuple[int, int]:
    """The most bytes of the card that this process held, and the total bytes of the card."""
    if device.type != "cuda":
        return 0, 0
    held = torch.cuda.max_memory_reserved(device) + CONTEXT_BYTES
    return held, torch.cuda.get_device_properties(device).total_memory
