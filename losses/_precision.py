"""Computes losses in float32 or float64.

Under torch's autocast a product of matrices has half precision. Then similarities at a low temperature keep only two
digits, and exponentials, squares and sums in float16 soon overflow.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")

_HALF = (torch.float16, torch.bfloat16)


def in_full(loss: Callable[P, R]) -> Callable[P, R]:
    """The same loss, in float32 for tensors of half precision and under autocast; float64 stays float64.

    Each gradient has the format of its tensor.
    """

    @functools.wraps(loss)
    def full(*given: P.args, **named: P.kwargs) -> R:
        tensors = [one for one in (*given, *named.values()) if isinstance(one, Tensor)]
        if tensors and torch.is_autocast_enabled(tensors[0].device.type):
            with without_autocast(tensors[0]):
                return full(*given, **named)
        if all(one.dtype not in _HALF for one in tensors):
            return loss(*given, **named)
        return loss(*map(_widened, given), **{name: _widened(one) for name, one in named.items()})  # type: ignore[arg-type]

    return full


def without_autocast(tensor: Tensor) -> AbstractContextManager[object]:
    """A context that turns torch's autocast off on the tensor's device."""
    kind = tensor.device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()


def _widened(one: object) -> object:
    return one.float() if isinstance(one, Tensor) and one.dtype in _HALF else one
