"""The entropy term of CC: what keeps all samples from falling into one cluster."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def marginal_entropy_gap(p: Float[Tensor, "n k"]) -> Float[Tensor, ""]:
    """How far the batch's cluster marginal is from uniform: log k - H(mean of the rows).

    Args:
        p: assignment probabilities, shape (n, k), non-negative; rows sum to 1.

    Returns:
        A scalar in nats: 0 for a balanced batch, log k when all mass lies in one cluster.

    Raises:
        ValueError: there is no row or no column.

    Reference:
        Li et al., "Contrastive Clustering" (AAAI 2021), the term H(Y) after eq. 6, as their code has it.
    """
    if p.numel() == 0:
        raise ValueError(f"assignments of shape (n, k) with n, k of at least 1 are needed, got {tuple(p.shape)}")
    marginal = p.sum(dim=0) / p.sum()
    # xlogy is 0 at 0, but its gradient there is infinite: the clamp keeps an empty cluster's finite.
    log_marginal = marginal.clamp_min(torch.finfo(p.dtype).tiny).log()
    return math.log(p.shape[1]) + (marginal * log_marginal).sum()


class Loss:
    """The sum of `marginal_entropy_gap` over both views; called with two assignments of shape (n, k)."""

    def __call__(self, p: Float[Tensor, "n k"], q: Float[Tensor, "n k"]) -> Float[Tensor, ""]:
        """Shape () from two assignments of shape (n, k)."""
        return marginal_entropy_gap(p) + marginal_entropy_gap(q)
