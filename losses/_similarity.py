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
_CACHED = 2**17


def parts(n: int) -> list[slice]:
    """Rows of an (n, n) matrix to be taken at a time."""
    some = max(1, _CACHED // n)
    return [slice(start, start + some) for start in range(0, n, some)]


def units(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Rows at length 1, and their lengths (n, 1); a zero row stays zero."""
    norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_min(1e-12)
    return rows / norms, norms


def before_units(grad: Tensor, units: Tensor, norms: Tensor) -> Tensor:
    """The gradient of the rows from that of `units`, which are the rows at length 1; overwrites it."""
    along = torch.linalg.vecdot(units, grad)
    return grad.addcmul_(units, along[:, None], value=-1).div_(norms)
