"""Soft assignment with Student's t kernel, a sharper target made from it, and the divergence of the two."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from losses._precision import in_full


@in_full
def log_assignment(
    features: Float[Tensor, "n dim"], centroids: Float[Tensor, "k dim"], freedom: float = 1.0
) -> Float[Tensor, "n k"]:
    """Log of the probabilities that samples belong to centroids.

    With d the distance of sample j to centroid k, q_jk is proportional to (1 + d² / freedom)^(-(freedom + 1) / 2).

    Args:
        features: shape (n, dim).
        centroids: shape (k, dim), in the same space.
        freedom: degrees of freedom, above 0; a larger number gives lighter tails.

    Returns:
        Log-probabilities, shape (n, k); always finite.

    Reference:
        Xie et al., "Unsupervised Deep Embedding for Clustering Analysis" (ICML 2016), eq. 1.
    """
    # Distances do not depend on the origin; with the origin near the centroids, fewer digits cancel.
    origin = centroids.detach().mean(dim=0)
    x, c = features - origin, centroids - origin
    squares = x.square().sum(dim=1, keepdim=True) + c.square().sum(dim=1) - 2 * x @ c.t()
    return (-(freedom + 1) / 2 * torch.log1p(squares.clamp_min(0) / freedom)).log_softmax(dim=1)


@in_full
def target(log_q: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    """The target of the assignment: p_jk is proportional to q_jk² / (sum of column k over the batch).

    The square makes assignments more certain; the division keeps large clusters from growing. No gradient passes.

    Args:
        log_q: log-probabilities, shape (n, k).

    Returns:
        Log-probabilities, shape (n, k).

    Reference:
        Xie et al., "Unsupervised Deep Embedding for Clustering Analysis" (ICML 2016), eq. 3.
    """
    fixed = log_q.detach()
    return (2 * fixed - fixed.logsumexp(dim=0)).log_softmax(dim=1)


@in_full
def student_t_divergence(log_q: Float[Tensor, "n k"]) -> Float[Tensor, ""]:
    """The mean over samples of KL(p || q), where p is the `target` of q.

    Args:
        log_q: log-probabilities, shape (n, k), as from `log_assignment`.

    Returns:
        A scalar in nats, at least 0; 0 for one cluster, or if all rows are uniform.

    Reference:
        Zhang et al., "Supporting Clustering with Contrastive Learning" (NAACL 2021), eq. 5.
    """
    return functional.kl_div(log_q, target(log_q), reduction="batchmean", log_target=True)


class Loss:
    """`student_t_divergence` of the assignment of features (n, dim) to centroids (k, dim)."""

    rescales = ("freedom",)

    def __init__(self, *, freedom: float = 1.0) -> None:
        """The loss for one distribution.

        Args:
            freedom: degrees of freedom of Student's t; above 0.
        """
        self.freedom = freedom

    def __call__(self, features: Float[Tensor, "n dim"], centroids: Float[Tensor, "k dim"]) -> Float[Tensor, ""]:
        """Shape () from features of shape (n, dim) and centroids of shape (k, dim)."""
        return student_t_divergence(log_assignment(features, centroids, self.freedom))
