"""Where a trial computes, made ready before it trains: so many threads, and its share of a graphics card."""

from __future__ import annotations

import gc
from functools import lru_cache

import torch
from threadpoolctl import ThreadpoolController

from core.errors import UserError

CONTEXT_BYTES = 1_000_000_000
"""What a process takes of a card beside its tensors: CUDA's context and kernels, which torch does not count.

On an H100 (torch 2.11, CUDA 13) 0.55 GB before the first tensor, and 0.81 GB once convolutions have run.
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
    """Leaves this process its threads, its share of the card and no more, and makes the card exact and repeatable.

    A trial that wants more than its share fails alone (torch.OutOfMemoryError), also where another leaves room. What
    the trial before it in this process has left in torch's cache is given back. Products of matrices and convolutions
    in f32 are computed in f32, not in TF32: `precision: bf16` is the choice for speed.

    Args:
        name: where the trial trains, as torch names it.
        threads: of the CPU.
        share: of the card, up to 1; more than one card is no larger share of the first.

    Returns:
        What a result's row calls the device: `cpu`, or the card's name.

    Raises:
        UserError: torch sees no card, or the share is too small for CUDA itself.
    """
    limit_threads(threads)
    device = torch.device(name)
    if device.type != "cuda":
        return name
    if not torch.cuda.is_available():
        raise UserError("torch sees no GPU: see `conclus doctor`, or run on the CPU with `conclus run --allow-cpu`")
    if device == torch.device("cuda"):  # without a number, which torch's limit does not take
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
    """Leaves this process so many threads in torch, and in each library of numpy and scipy that it has loaded.

    Each of them takes one thread per core otherwise: two trials beside each other would want every core twice.
    """
    torch.set_num_threads(threads)
    # Not as a context: it stays until the next trial says otherwise.
    _libraries().limit(limits=threads)


@lru_cache(maxsize=1)
def _libraries() -> ThreadpoolController:
    """Found once: looking through all loaded libraries costs milliseconds. Scikit-learn's limit is its caller's."""
    return ThreadpoolController()


def allocatable(share: float, total: int) -> float:
    """The part of a card of `total` bytes that torch may hand out to a process with this share of it.

    Raises:
        UserError: nothing is left of the share.
    """
    part = min(share, 1.0) - CONTEXT_BYTES / total
    if part <= 0:
        raise UserError(
            f"resources.gpu: {share:g} of a card of {total / 1e9:.1f} GB is less than CUDA takes for each process "
            f"({CONTEXT_BYTES / 1e9:.1f} GB): give trials a larger share"
        )
    return part
