"""The mutual information of the clusters of two views (IIC): both views agree, and all clusters are used."""

import torch
from jaxtyping import Float
from torch import Tensor

from losses._precision import in_full


@in_full
def mutual_information(p: Float[Tensor, "n k"], q: Float[Tensor, "n k"]) -> Float[Tensor, ""]:
    """The negative mutual information of the clusters that two views of the same samples are in.

    With P = (p^T q + q^T p) / 2n the joint distribution of the clusters of both views, and m its marginal::

        loss = -sum_kl P_kl (log P_kl - log m_k - log m_l)

    Args:
        p: assignment probabilities of one view, shape (n, k), non-negative; rows sum to 1.
        q: those of the other view of the same samples, shape (n, k).

    Returns:
        A scalar in nats: -log k if both views agree with certainty and all clusters have the same size; 0 if the
        views have nothing in common, or all samples are in one cluster.

    Raises:
        ValueError: the shapes differ, or there is no row or no column.

    Reference:
        Ji et al., "Invariant Information Clustering for Unsupervised Image Classification and Segmentation" (ICCV
        2019), eq. 3.
    """
    if p.shape != q.shape or p.numel() == 0:
        raise ValueError(
            f"two assignments of equal, non-empty shape (n, k) are needed, got {tuple(p.shape)} and {tuple(q.shape)}"
        )
    joint = p.t() @ q / len(p)
    joint = (joint + joint.t()) / 2
    # x log x is 0 at 0, but its gradient there is infinite; the clamp keeps the gradient of an empty cluster finite.
    tiny = torch.finfo(joint.dtype).tiny
    logs, marginal = joint.clamp_min(tiny).log(), joint.sum(dim=1).clamp_min(tiny).log()
    return -(joint * (logs - marginal[:, None] - marginal)).sum()


class Loss:
    """`mutual_information`; called with two assignments of shape (n, k)."""

    rescales = ()

    def __call__(self, p: Float[Tensor, "n k"], q: Float[Tensor, "n k"]) -> Float[Tensor, ""]:
        """Shape () from two assignments of shape (n, k)."""
        return mutual_information(p, q)
