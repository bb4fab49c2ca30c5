"""What the losses that contrast rows share: unit rows and back, and exponentials of their similarities.

Similarities of unit rows lie within 1 / temperature of 0. Down to `COOLEST` their exponentials and sums of them stay
far from the ends of float32: no maximum needs to be taken from them, and one exponential of each serves the loss and
its gradient. They are taken to the base 2, which takes least time: divide by `log(2) * temperature`.
"""

from __future__ import annotations

import torch
from torch import Tensor

COOLEST = 1 / 30

# Numbers that stay in the processor's cache between two passes over them.
_CACHED = 2**18


def parts(n: int) -> list[slice]:
    """Rows of an (n, n) matrix to be taken at a time."""
    some = max(1, _CACHED // n)
    return [slice(start, start + some) for start in range(0, n, some)]


def norms(rows: Tensor) -> Tensor:
    """The rows' lengths, shape (n,); no zero row's is 0."""
    return torch.linalg.vector_norm(rows, dim=1).clamp_min(1e-12)


def across(grad: Tensor, rows: Tensor, length: float) -> Tensor:
    """The part of `grad` that turns the rows, all of one `length`, and leaves that as it is; overwrites it."""
    along = torch.linalg.vecdot(rows, grad)
    return grad.addcmul_(rows, along[:, None], value=-1 / length**2)
