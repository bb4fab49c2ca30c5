"""What the losses that contrast rows share: unit rows and back, and exponentials of their similarities.

Similarities of unit rows lie within 1 / temperature of 0. Down to `COOLEST` their exponentials and sums of them stay
far from the ends of float32: no maximum needs to be taken from them, and one exponential of each serves the loss and
its gradient. They are taken to the base 2, which takes least time: divide by `log(2) * temperature`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

COOLEST = 1 / 30

_SHORTEST = 1e-12

# Numbers that stay in the processor's cache between two passes over them.
_CACHED = 2**18


def parts(n: int) -> list[slice]:
    """Rows of an (n, n) matrix to be taken at a time."""
    some = max(1, _CACHED // n)
    return [slice(start, start + some) for start in range(0, n, some)]


def norms(rows: Tensor) -> Tensor:
    """The rows' lengths, shape (n,); no zero row's is 0."""
    return torch.linalg.vector_norm(rows, dim=1).clamp_min(_SHORTEST)


def units(rows: Tensor) -> Tensor:
    """The rows at length 1, differentiable as often as one likes; a zero row stays zero, its derivatives finite."""
    zero = ~rows.any(dim=1, keepdim=True)
    # The length of a zero row has no second derivative: it is never taken.
    lengths = torch.linalg.vector_norm(rows.masked_fill(zero, 1), dim=1, keepdim=True)
    return rows / lengths.clamp_min(_SHORTEST).masked_fill(zero, _SHORTEST)


def across(grad: Tensor, rows: Tensor, length: float) -> Tensor:
    """The part of `grad` that turns the rows, all of one `length`, and leaves that as it is; overwrites it."""
    along = torch.linalg.vecdot(rows, grad)
    return grad.addcmul_(rows, along[:, None], value=-1 / length**2)


def differentiable(loss: Callable[..., Tensor], *inputs: Tensor, grad: Tensor) -> tuple[Tensor, ...]:
    """The gradient of a loss made of plain operations, times `grad`: it can be differentiated itself."""
    pull = torch.func.vjp(loss, *inputs)[1]
    return pull(grad)  # type: ignore[no-any-return]
