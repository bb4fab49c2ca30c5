"""NT-Xent, the normalised temperature-scaled cross entropy of SimCLR."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def nt_xent(a: Float[Tensor, "n dim"], b: Float[Tensor, "n dim"], temperature: float) -> Float[Tensor, ""]:
    """Contrast row i of `a` with row i of `b` against all other rows of both.

    With the 2n unit vectors u of both views, i+ the other view of i and s = u uᵀ / temperature::

        loss = mean_i [ log sum_{j != i} exp(s_ij) - s_ii+ ]

    It is safe for any n ≥ 1 (n = 1 has no negatives: the loss is 0) and for zero vectors.

    Args:
        a: first view, shape (n, dim); rows need not be normalised.
        b: second view, shape (n, dim), row i belongs to row i of `a`.
        temperature: divides the cosine similarities; above 0.

    Returns:
        The mean over the 2n rows, a scalar in nats. Constant rows give `chance(n)`.

    Raises:
        ValueError: the shapes differ, or there is no row.

    Reference:
        Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations" (2020), eq. 1.
    """
    if a.shape != b.shape or len(a) == 0:
        raise ValueError(
            f"two views of equal, non-empty shape (n, dim) are needed, got {tuple(a.shape)} and {tuple(b.shape)}"
        )
    units = functional.normalize(torch.cat([a, b]), dim=1)
    similarities = units.mul(1 / temperature).mm(units.t())
    # In place and past autograd: no second (2n, 2n) matrix, also on the way back. Where exp is 0, so is the gradient.
    similarities.detach().fill_diagonal_(-math.inf)
    # A row's class is its other view. One fused pass over the matrix, and one back, instead of five.
    others = torch.arange(len(units), device=units.device).roll(len(a))
    return functional.cross_entropy(similarities, others)


def chance(n: int) -> float:
    """The loss of constant outputs, log(2n - 1): divide by it to compare batch sizes."""
    return math.log(2 * n - 1)


class Loss:
    """`nt_xent` with its temperature fixed; called with two views of shape (n, dim)."""

    def __init__(self, *, temperature: float = 0.5) -> None:
        self.temperature = temperature

    def __call__(self, a: Float[Tensor, "n dim"], b: Float[Tensor, "n dim"]) -> Float[Tensor, ""]:
        """Shape () from two views of shape (n, dim); see `nt_xent`."""
        return nt_xent(a, b, self.temperature)
