"""InfoNCE of pairs in CLIP's symmetric form: each prediction finds its target in the batch, and the reverse."""

import math
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from losses._precision import in_full, without_autocast
from losses._similarity import COOLEST, across, differentiable, norms, parts, units

# Rows are first compared in so many columns; all columns are compared only if some rows are equal in these.
_FIRST_COLUMNS = 8


@in_full
def info_nce(
    predictions: Float[Tensor, "n dim"], targets: Float[Tensor, "n dim"], temperature: float = 0.07
) -> Float[Tensor, ""]:
    """The mean of two cross entropies: of the targets given a prediction, and of the predictions given a target.

    With s the (n, n) cosine similarities of predictions and targets, divided by the temperature::

        loss = mean_i [ log sum_j exp(s_ij) + log sum_j exp(s_ji) - 2 s_ii ] / 2

    Pairs with equal targets are not negatives of each other: both sums leave out j ≠ i with the target of i. The loss
    is finite for any n ≥ 1 (for n = 1 there are no negatives and the loss is 0), and for zero vectors. A batch of 4,096
    keeps one matrix of 4,096², 64 MB, at any temperature above 0.033.

    Args:
        predictions: shape (n, dim); rows need not be normalised.
        targets: shape (n, dim), row i belongs to row i of `predictions`.
        temperature: divides the cosine similarities; above 0.

    Returns:
        A scalar in nats; `chance(n)` for constant similarities if no targets are equal.

    Reference:
        Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (ICML 2021), figure 3;
        van den Oord et al., "Representation Learning with Contrastive Predictive Coding" (2018), eq. 4.
    """
    left_out = equal_rows(targets)
    if temperature > COOLEST:
        tracked = predictions.requires_grad or targets.requires_grad
        return _Symmetric.apply(predictions, targets, left_out, temperature, tracked)[0]  # type: ignore[no-any-return]
    return _plain(predictions, targets, left_out, temperature)


def _plain(predictions: Tensor, targets: Tensor, left_out: Tensor | None, temperature: float) -> Tensor:
    """The loss at any temperature, differentiable any number of times."""
    p, t = units(predictions), units(targets)
    s = p.mul(1 / temperature).mm(t.t())
    if left_out is not None:
        s = s.masked_fill(left_out, -math.inf)
    return ((s.logsumexp(dim=1) + s.logsumexp(dim=0)) / 2 - s.diagonal()).mean()


def equal_rows(rows: Float[Tensor, "n dim"]) -> Bool[Tensor, "n n"] | None:
    """A mask of the pairs of equal rows (n, dim), shape (n, n), False on the diagonal; None if no rows are equal."""
    first = row_ids(rows[:, :_FIRST_COLUMNS])
    if len(first.unique()) == len(rows):
        return None
    ids = row_ids(rows)
    if len(ids.unique()) == len(ids):
        return None
    return (ids[:, None] == ids).fill_diagonal_(fill_value=False)


def row_ids(rows: Float[Tensor, "n dim"]) -> Tensor:
    """A whole number for each row of shape (n, dim), shape (n,): equal rows have equal numbers, others differ.

    It is a 64-bit hash of the bits of the row. Unlike a sum of floats, it depends only on the row.
    """
    numbers = rows.detach() + 0.0 if rows.dtype == torch.float64 else rows.detach().float() + 0.0
    bits = numbers.view(torch.int64 if numbers.dtype == torch.float64 else torch.int32).long()
    factors = torch.arange(1, bits.shape[1] + 1, device=rows.device) * 0x5851F42D4C957F2D | 1
    mixed = (bits ^ (bits >> 13)) * factors
    return (mixed ^ (mixed >> 29)).sum(dim=1)


def chance(n: int) -> float:
    """The loss of constant outputs, log n; divide by it to compare batch sizes."""
    return math.log(n)


class _Symmetric(torch.autograd.Function):
    """The loss with its gradient: one exponential of each similarity serves both sums and the gradient."""

    @staticmethod
    def forward(
        predictions: Tensor,
        targets: Tensor,
        left_out: Tensor | None,
        temperature: float,
        tracked: bool,
    ) -> tuple[Tensor, ...]:
        """The loss, and if `tracked`, all parts of the gradient before its last products."""
        n, rate = len(predictions), math.log(2) * temperature
        p_shrink, t_shrink = (1 / norms(rows) for rows in (predictions, targets))
        p, t = predictions * (p_shrink / rate)[:, None], targets * t_shrink[:, None]
        e = p.mm(t.t())
        own = e.diagonal() * math.log(2)
        ones, rows, columns = p.new_ones(n), p.new_empty(n), p.new_zeros(n)
        for part in parts(n):
            block = e[part].exp2_()
            if left_out is not None:
                block.masked_fill_(left_out[part], 0)
            # Products with ones are faster than sums.
            torch.mv(block, ones, out=rows[part])
            columns.addmv_(block.t(), ones[part])
        if tracked:
            # The mean of both softmaxes less the identity overwrites the exponentials.
            by_row, by_column = 0.5 / rows, 0.5 / columns
            for part in parts(n):
                e[part].mul_(by_row[part, None] + by_column)
            e.diagonal().sub_(1)
        return ((rows.log() + columns.log()) / 2 - own).mean(), p, p_shrink, t, t_shrink, e

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Keeps the parts of the gradient, and the inputs for a gradient that is differentiated again."""
        *given, ctx.temperature, ctx.tracked = inputs
        _, *made = output
        ctx.mark_non_differentiable(*made)
        # The parts have no gradient: without this line, `backward` gets zeros of each shape, also (n, n).
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*given, *(made if ctx.tracked else ()))

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The weights of the forward pass, divided by n and the temperature, times the rows of the other side."""
        if grad is None:
            return (None,) * 5
        predictions, targets, left_out, *made = ctx.saved_tensors
        with without_autocast(grad):
            if torch.is_grad_enabled() or not ctx.tracked:
                plain = partial(_plain, left_out=left_out, temperature=ctx.temperature)
                return *differentiable(plain, predictions, targets, grad=grad), None, None, None
            p, p_shrink, t, t_shrink, weights = made
            scale, rate = grad / (len(p) * ctx.temperature), math.log(2) * ctx.temperature
            p_grad = t_grad = None
            if ctx.needs_input_grad[0]:
                p_grad = across(weights.mm(t), p, 1 / rate).mul_((p_shrink * scale)[:, None])
            if ctx.needs_input_grad[1]:
                t_grad = across(weights.t().mm(p), t, 1.0).mul_((t_shrink * scale * rate)[:, None])
        return p_grad, t_grad, None, None, None


class Loss:
    """`info_nce` with its temperature fixed; called with predictions and targets, both of shape (n, dim).

    A batch needs at least `least_batch` samples to have a negative; with fewer than `advised_batch` it learns little.
    """

    least_batch = 2
    advised_batch = 16

    rescales = ("temperature",)

    def __init__(self, *, temperature: float = 0.07) -> None:
        """The loss at one temperature.

        Args:
            temperature: divides the cosine similarities; a low one (0.05) gives hard negatives more weight than 0.1.

        Raises:
            ValueError: the temperature is not above 0.
        """
        if temperature <= 0:
            raise ValueError(f"temperature {temperature:g} is wrong: a number above 0 is needed")
        self.temperature = temperature

    def __call__(self, predictions: Float[Tensor, "n dim"], targets: Float[Tensor, "n dim"]) -> Float[Tensor, ""]:
        """Shape () from predictions and targets of shape (n, dim)."""
        return info_nce(predictions, targets, self.temperature)
