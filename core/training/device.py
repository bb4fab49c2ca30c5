"""Prepares the device of a trial before it trains: limits its threads and its share of a graphics card."""

from __future__ import annotations

import gc
import platform
from functools import lru_cache

import torch
from threadpoolctl import ThreadpoolController

from core.errors import UserError

CONTEXT_BYTES = 1_000_000_000
"""Bytes of a card that a process needs beside its tensors: CUDA's context and kernels, which torch does not count.

On an H100 (torch 2.11, CUDA 13): 0.55 GB before the first tensor, and 0.81 GB once convolutions have run.
"""


def named(name: str) -> torch.device:
    """The device of a name, once torch can compute there.

    Raises:
        UserError: torch has none of that name, or not on this machine.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, NotImplementedError, AssertionError, TypeError) as error:
        raise UserError(
            f"device: {name!r} cannot be used here: 'cpu', or 'cuda' where torch sees a graphics card "
            "(`conclus doctor` shows them)"
        ) from error
    return torch.device("cpu") if device.type == "cpu" else device  # Files of weights know no `cpu:0`.


def prepare(name: str, *, threads: int, share: float) -> str:
    """Limits this process to its threads and its share of the card, and makes the card exact and deterministic.

    A trial that needs more than its share fails alone (torch.OutOfMemoryError), even if the card has free memory.
    Memory in torch's cache from the last trial of this process is released. Products of matrices and convolutions in
    f32 are computed in f32, not in TF32; for speed use `precision: bf16`.

    Args:
        name: the trial's device, as torch names it.
        threads: number of CPU threads.
        share: share of the card, up to 1; larger numbers of cards count as 1.

    Returns:
        The name of the device in the result's row: `cpu`, or the card's name.

    Raises:
        UserError: torch sees no card, or the share is too small for CUDA itself.
    """
    limit_threads(threads)
    device = torch.device(name)
    if device.type != "cuda":
        return name
    if not torch.cuda.is_available():
        raise UserError(
            f"torch sees no GPU on {platform.node()}: see `conclus doctor`; start a cluster's node without a card by "
            "`ray start --num-gpus 0`, or run on this machine's CPU with `conclus run --allow-cpu`"
        )
    if device == torch.device("cuda"):  # torch's memory limit needs the card's number
        device = torch.device("cuda", torch.cuda.current_device())
    gc.collect()
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(allocatable(share, total), device)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    return torch.cuda.get_device_name(device)


def limit_threads(threads: int) -> None:
    """Limits the threads of torch and of all loaded libraries of numpy and scipy in this process.

    By default each of them uses one thread per core, so two trials at once would use every core twice.
    """
    torch.set_num_threads(threads)
    # Not used as a context: the limit holds until the next trial sets another.
    _libraries().limit(limits=threads)


@lru_cache(maxsize=1)
def _libraries() -> ThreadpoolController:
    """Cached, since a search through all loaded libraries takes milliseconds. Callers of scikit-learn limit it."""
    return ThreadpoolController()


def allocatable(share: float, total: int) -> float:
    """The part of a card of `total` bytes that torch may allocate in a process with this share of it.

    Raises:
        UserError: the share is too small for CUDA itself.
    """
    part = min(share, 1.0) - CONTEXT_BYTES / total
    if part <= 0:
        raise UserError(
            f"resources.gpu: {share:g} of a card of {total / 1e9:.1f} GB is less than CUDA needs for each process "
            f"({CONTEXT_BYTES / 1e9:.1f} GB): give trials a larger share"
        )
    return part
