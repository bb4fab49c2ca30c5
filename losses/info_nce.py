"""InfoNCE of pairs, the symmetric form of CLIP: each prediction finds its target in the batch, and the other way."""

import math
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

# Down to this temperature exp(cosine / temperature - 1 / temperature) stays far from float32's smallest numbers.
_COOLEST = 1 / 30
# Rows that are worked on at a time: what the matrix product has just written is still in the processor's cache.
_BLOCK = 256


def info_nce(
    predictions: Float[Tensor, "n dim"], targets: Float[Tensor, "n dim"], temperature: float = 0.07
) -> Float[Tensor, ""]:
    """The mean of two cross entropies: of the targets given a prediction, and of the predictions given a target.

    With s the (n, n) cosine similarities of predictions and targets, divided by the temperature::

        loss = mean_i [ log sum_j exp(s_ij) + log sum_j exp(s_ji) - 2 s_ii ] / 2

    Of pairs with equal targets each is as right as the other: both sums leave out j ≠ i with the target of i. It is
    safe for any n ≥ 1 (n = 1 has no negatives: the loss is 0), and for zero vectors. A batch of 4,096 keeps one matrix
    of 4,096², 64 MB, at any temperature above 0.033.

    Args:
        predictions: shape (n, dim); rows need not be normalised.
        targets: shape (n, dim), row i belongs to row i of `predictions`.
        temperature: divides the cosine similarities; above 0.

    Returns:
        A scalar in nats. Constant rows give `chance(n)` if no targets are equal.

    Reference:
        Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (ICML 2021), figure 3;
        van den Oord et al., "Representation Learning with Contrastive Predictive Coding" (2018), eq. 4.
    """
    p, t = functional.normalize(predictions, dim=1), functional.normalize(targets, dim=1)
    left_out = equal_rows(targets)
    own = (p * t).sum(dim=1) / temperature
    if temperature > _COOLEST:
        return _LogSums.apply(p, t, temperature, left_out) - own.mean()  # type: ignore[no-any-return]
    s = p.mul(1 / temperature).mm(t.t())
    if left_out is not None:
        s = s.masked_fill(left_out, -math.inf)
    return ((s.logsumexp(dim=1) + s.logsumexp(dim=0)) / 2 - own).mean()


def equal_rows(rows: Float[Tensor, "n dim"]) -> Bool[Tensor, "n n"] | None:
    """Which rows of shape (n, dim) equal which others, shape (n, n), False on the diagonal; None where none do."""
    ids = row_ids(rows)
    if len(ids.unique()) == len(ids):
        return None
    return (ids[:, None] == ids).fill_diagonal_(fill_value=False)


def row_ids(rows: Float[Tensor, "n dim"]) -> Tensor:
    """A whole number for each row of shape (n, dim), shape (n,): the same for equal rows, else another.

    It is a 64-bit hash of the numbers' bits: unlike a float's sum it depends on nothing but the row.
    """
    bits = (rows.detach() + 0.0).view(torch.int64 if rows.dtype == torch.float64 else torch.int32).long()
    factors = torch.arange(1, bits.shape[1] + 1, device=rows.device) * 0x5851F42D4C957F2D | 1
    mixed = (bits ^ (bits >> 13)) * factors
    return (mixed ^ (mixed >> 29)).sum(dim=1)


def chance(n: int) -> float:
    """The loss of constant outputs, log n: divide by it to compare batch sizes."""
    return math.log(n)


class _LogSums(torch.autograd.Function):
    """The mean of half the log-sums over rows and columns of exp(s); one exponential serves both, and the gradient."""

    @staticmethod
    def forward(ctx: Any, p: Tensor, t: Tensor, temperature: float, left_out: Tensor | None) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """`p` and `t` are unit rows: no similarity is above 1 / temperature, which is taken from all of them."""
        n = len(p)
        e = p.new_empty(n, n)
        rows, columns = p.new_empty(n), p.new_zeros(n)
        shift = p.new_full((1,), -1 / temperature)
        for start in range(0, n, _BLOCK):
            part = slice(start, start + _BLOCK)
            block = torch.addmm(shift, p[part], t.t(), alpha=1 / temperature, out=e[part]).exp_()
            if left_out is not None:
                block.masked_fill_(left_out[part], 0)
            rows[part] = block.sum(dim=1)
            columns += block.sum(dim=0)
        ctx.save_for_backward(p, t, e, rows, columns)
        ctx.temperature = temperature
        return (rows.log() + columns.log()).mean() / 2 + 1 / temperature

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The sums of both softmaxes, over 2n and the temperature, times the other side's rows."""
        p, t, e, rows, columns = ctx.saved_tensors
        scale = grad / (2 * len(p) * ctx.temperature)
        by_row, by_column = scale / rows, scale / columns
        p_grad, t_grad = torch.empty_like(p), torch.zeros_like(t) if ctx.needs_input_grad[1] else None
        for start in range(0, len(p), _BLOCK):
            part = slice(start, start + _BLOCK)
            weights = e[part] * (by_row[part, None] + by_column)
            p_grad[part] = weights @ t
            if t_grad is not None:
                t_grad.addmm_(weights.t(), p[part])
        return p_grad, t_grad, None, None


class Loss:
    """`info_nce` with its temperature fixed; called with predictions and targets, both of shape (n, dim).

    `least_batch` samples are needed in a batch for a negative; fewer than `advised_batch` teach little.
    """

    least_batch = 2
    advised_batch = 16

    def __init__(self, *, temperature: float = 0.07) -> None:
        """`temperature` divides the cosine similarities: 0.05 is hard, 0.1 soft.

        Raises:
            ValueError: it is not above 0.
        """
        if temperature <= 0:
            raise ValueError(f"temperature {temperature:g} is wrong: a number above 0 is needed")
        self.temperature = temperature

    def __call__(self, predictions: Float[Tensor, "n dim"], targets: Float[Tensor, "n dim"]) -> Float[Tensor, ""]:
        """Shape () from predictions and targets of shape (n, dim)."""
        return info_nce(predictions, targets, self.temperature)
