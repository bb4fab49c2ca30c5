"""The entropy term of CC, which keeps the samples from falling into one cluster."""

import torch
from jaxtyping import Float
from torch import Tensor

from losses._precision import in_full


@in_full
def marginal_entropy_gap(p: Float[Tensor, "n k"]) -> Float[Tensor, ""]:
    """The distance of the batch's cluster marginal from the uniform one: log k - H(mean of the rows).

    Args:
        p: assignment probabilities, shape (n, k), non-negative; rows sum to 1.

    Returns:
        A scalar in nats: 0 for a balanced batch, log k if all mass is in one cluster.

    Raises:
        ValueError: there is no row or no column.

    Reference:
        Li et al., "Contrastive Clustering" (AAAI 2021), the term H(Y) after eq. 6, as in their code.
    """
    if p.numel() == 0:
        raise ValueError(f"assignments of shape (n, k) with n, k of at least 1 are needed, got {tuple(p.shape)}")
    return marginal_divergence(p, torch.full_like(p[0], 1 / p.shape[1]))


@in_full
def marginal_divergence(p: Float[Tensor, "n k"], prior: Float[Tensor, " k"]) -> Float[Tensor, ""]:
    """The Kullback-Leibler divergence KL(marginal, prior) of the batch's cluster marginal from a given one.

    Args:
        p: assignment probabilities, shape (n, k), non-negative; rows sum to 1.
        prior: the expected marginal, shape (k,), above 0; sums to 1. A uniform one gives `marginal_entropy_gap`.

    Returns:
        A scalar in nats: 0 if the marginal is equal to the prior.

    Raises:
        ValueError: there is no row or no column.
    """
    if p.numel() == 0:
        raise ValueError(f"assignments of shape (n, k) with n, k of at least 1 are needed, got {tuple(p.shape)}")
    marginal = p.sum(dim=0) / p.sum()
    # xlogy is 0 at 0, but its gradient there is infinite; the clamp keeps the gradient of an empty cluster finite.
    log_marginal = marginal.clamp_min(torch.finfo(p.dtype).tiny).log()
    return (marginal * (log_marginal - prior.log())).sum()


class Loss:
    """The sum of `marginal_entropy_gap` over both views; called with two assignments of shape (n, k)."""

    rescales = ()

    def __call__(self, p: Float[Tensor, "n k"], q: Float[Tensor, "n k"]) -> Float[Tensor, ""]:
        """Shape () from two assignments of shape (n, k)."""
        return marginal_entropy_gap(p) + marginal_entropy_gap(q)
