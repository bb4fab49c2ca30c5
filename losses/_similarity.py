"""Shared functions of the losses that contrast rows: unit rows with their gradients, and exponentials of similarities.

Similarities of unit rows divided by the temperature lie within 1 / temperature of 0. For temperatures above `COOLEST`,
their exponentials and the sums of these stay far from the limits of float32. So no maximum has to be subtracted, and
one exponential of each serves the loss and its gradient. Base 2 is fastest: divide by `log(2) * temperature`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

COOLEST = 1 / 30

_SHORTEST = 1e-12

# So many numbers stay in the processor's cache between two passes over them.
_CACHED = 2**18


def parts(n: int) -> list[slice]:
    """Slices of the rows of an (n, n) matrix, to be processed one at a time."""
    some = max(1, _CACHED // n)
    return [slice(start, start + some) for start in range(0, n, some)]


def norms(rows: Tensor) -> Tensor:
    """The lengths of the rows, shape (n,); for a zero row a tiny positive number."""
    return torch.linalg.vector_norm(rows, dim=1).clamp_min(_SHORTEST)


def units(rows: Tensor) -> Tensor:
    """The rows scaled to length 1, differentiable any number of times; a zero row stays zero with finite gradients."""
    zero = ~rows.any(dim=1, keepdim=True)
    # The length of a zero row has no second derivative, so it is never computed.
    lengths = torch.linalg.vector_norm(rows.masked_fill(zero, 1), dim=1, keepdim=True)
    return rows / lengths.clamp_min(_SHORTEST).masked_fill(zero, _SHORTEST)


def across(grad: Tensor, rows: Tensor, length: float) -> Tensor:
    """The part of `grad` that is orthogonal to the rows, which all have one `length`; it overwrites `grad`."""
    along = torch.linalg.vecdot(rows, grad)
    return grad.addcmul_(rows, along[:, None], value=-1 / length**2)


def differentiable(loss: Callable[..., Tensor], *inputs: Tensor, grad: Tensor) -> tuple[Tensor, ...]:
    """The gradient of a loss made of plain operations, times `grad`; the result can be differentiated again."""
    pull = torch.func.vjp(loss, *inputs)[1]
    return pull(grad)  # type: ignore[no-any-return]
