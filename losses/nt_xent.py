"""NT-Xent, the normalised temperature-scaled cross entropy of SimCLR."""

import math
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from losses._precision import in_full, without_autocast
from losses._similarity import COOLEST, across, differentiable, norms, parts, units


@in_full
def nt_xent(a: Float[Tensor, "n dim"], b: Float[Tensor, "n dim"], temperature: float) -> Float[Tensor, ""]:
    """Contrast row i of `a` with row i of `b` against all other rows of both.

    With the 2n unit vectors u of both views, i+ the other view of i and s = u uᵀ / temperature::

        loss = mean_i [ log sum_{j != i} exp(s_ij) - s_ii+ ]

    The loss is finite for any n ≥ 1 (for n = 1 there are no negatives and the loss is 0), and for zero vectors.

    Args:
        a: first view, shape (n, dim); rows need not be normalised.
        b: second view, shape (n, dim), row i belongs to row i of `a`.
        temperature: divides the cosine similarities; above 0.

    Returns:
        The mean over the 2n rows, a scalar in nats; `chance(n)` for constant rows.

    Raises:
        ValueError: the shapes differ, or there is no row.

    Reference:
        Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations" (2020), eq. 1.
    """
    if a.shape != b.shape or len(a) == 0:
        raise ValueError(
            f"two views of equal, non-empty shape (n, dim) are needed, got {tuple(a.shape)} and {tuple(b.shape)}"
        )
    rows = torch.cat([a, b])
    if temperature > COOLEST:
        return _Contrast.apply(rows, temperature, rows.requires_grad)[0]  # type: ignore[no-any-return]
    return _plain(rows, temperature)


def _plain(rows: Tensor, temperature: float) -> Tensor:
    """The loss of the stacked rows of both views, at any temperature, differentiable any number of times."""
    u = units(rows)
    similarities = u.mul(1 / temperature).mm(u.t())
    # In place and hidden from autograd, which saves a second (2n, 2n) matrix. If exp is 0, its gradient is 0 too.
    similarities.detach().fill_diagonal_(-math.inf)
    others = torch.arange(len(u), device=u.device).roll(len(u) // 2)
    return functional.cross_entropy(similarities, others)


class _Contrast(torch.autograd.Function):
    """The loss with its gradient: similarities are symmetric, so the gradient needs one product instead of two."""

    @staticmethod
    def forward(rows: Tensor, temperature: float, tracked: bool) -> tuple[Tensor, ...]:
        """The loss of the stacked rows of both views, and if `tracked`, the parts of its gradient."""
        shrink = 1 / norms(rows)
        u, n = rows * shrink[:, None], len(rows) // 2
        own = torch.linalg.vecdot(u[:n], u[n:]) / temperature
        e = (u * (1 / (math.log(2) * temperature))).mm(u.t()).fill_diagonal_(-math.inf)
        ones, sums = u.new_ones(2 * n), u.new_empty(2 * n)
        for part in parts(2 * n):
            # A product with ones is faster than a sum.
            torch.mv(e[part].exp2_(), ones, out=sums[part])
        if tracked:
            # The mean of the softmax and its transpose, less one for each other view, overwrites the exponentials.
            by = 0.5 / sums
            for part in parts(2 * n):
                e[part].mul_(by[part, None] + by)
            e.diagonal(n).sub_(1)
            e.diagonal(-n).sub_(1)
        return sums.log().mean() - own.mean(), u, shrink, e

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Keeps the parts of the gradient, and the rows for a gradient that is differentiated again."""
        rows, ctx.temperature, ctx.tracked = inputs
        _, *made = output
        ctx.mark_non_differentiable(*made)
        # The parts have no gradient: without this line, `backward` gets zeros of each shape, also (2n, 2n).
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(rows, *(made if ctx.tracked else ()))

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, *_: Any) -> tuple[Tensor | None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The weights of the forward pass, times the unit rows."""
        if grad is None:
            return None, None, None
        rows, *made = ctx.saved_tensors
        with without_autocast(grad):
            if torch.is_grad_enabled() or not ctx.tracked:
                (found,) = differentiable(partial(_plain, temperature=ctx.temperature), rows, grad=grad)
                return found, None, None
            u, shrink, weights = made
            scale = grad / (len(u) // 2 * ctx.temperature)
            return across(weights.mm(u), u, 1.0).mul_((shrink * scale)[:, None]), None, None


def chance(n: int) -> float:
    """The loss of constant outputs, log(2n - 1); divide by it to compare batch sizes."""
    return math.log(2 * n - 1)


class Loss:
    """`nt_xent` with its temperature fixed; called with two views of shape (n, dim)."""

    rescales = ("temperature",)

    def __init__(self, *, temperature: float = 0.5) -> None:
        """The loss at one temperature.

        Args:
            temperature: divides the similarities of samples; above 0.
        """
        self.temperature = temperature

    def __call__(self, a: Float[Tensor, "n dim"], b: Float[Tensor, "n dim"]) -> Float[Tensor, ""]:
        """Shape () from two views of shape (n, dim); see `nt_xent`."""
        return nt_xent(a, b, self.temperature)
