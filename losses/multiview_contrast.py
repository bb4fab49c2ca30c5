"""Contrast of several views of each sample, with or without labels: the loss of SupCon and of UMC."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from losses._precision import in_full
from losses._similarity import units

UNLABELLED = -1


@in_full
def multiview_contrast(
    views: Float[Tensor, "v n dim"], labels: Int[Tensor, " n"], temperature: float
) -> Float[Tensor, ""]:
    """Contrast each row with its positives against all other rows: v views of n samples are v·n rows.

    The positives P(i) of row i are the other views of its sample and, if the sample has a label, all views of all
    samples with the same label. With the unit vectors u and s = u uᵀ / temperature::

        loss = mean_i [ log sum_{j != i} exp(s_ij) - mean_{p in P(i)} s_ip ]

    Rows without positives (one view, and no other sample with the label) are left out of the mean. With two views and
    no labels it is `losses.nt_xent`. The memory is that of a matrix (v·n, v·n).

    Args:
        views: shape (v, n, dim); rows need not be normalised.
        labels: pseudo-labels, shape (n,), from 0; -1 for none.
        temperature: divides the cosine similarities; above 0.

    Returns:
        A scalar in nats; 0 if no row has a positive; log(v·n - 1) for constant rows.

    Raises:
        ValueError: there is no row, or the labels are not those of n samples.

    Reference:
        Khosla et al., "Supervised Contrastive Learning" (NeurIPS 2020), eq. 2, for v views; Zhang et al.,
        "Unsupervised Multimodal Clustering for Semantics Discovery in Multimodal Utterances" (ACL 2024).
    """
    if views.dim() != 3 or labels.shape != views.shape[1:2] or views.shape[:2].numel() == 0:
        raise ValueError(
            "views of shape (v, n, dim) with v, n of at least 1 and labels (n,) are needed, "
            f"got {tuple(views.shape)} and {tuple(labels.shape)}"
        )
    v, n = views.shape[:2]
    u = units(views.flatten(0, 1))
    # Without the row itself, the only row of a batch would have nothing to sum over.
    itself = torch.eye(v * n, dtype=torch.bool, device=u.device) if v * n > 1 else u.new_zeros(1, 1).bool()
    away = u.mul(1 / temperature).mm(u.t()).masked_fill(itself, -math.inf).logsumexp(dim=1)
    friends = _friends(labels).to(u.dtype)
    # The sum of all positives and the row itself: samples first, so that no second (v·n, v·n) matrix is needed.
    sums = friends @ u.unflatten(0, (v, n)).sum(dim=0)
    near = (torch.linalg.vecdot(u, sums.repeat(v, 1)) - torch.linalg.vecdot(u, u)) / temperature
    counts = (v * friends.sum(dim=1) - 1).repeat(v)
    each = torch.where(counts > 0, away - near / counts.clamp_min(1), 0)
    return each.sum() / (counts > 0).sum().clamp_min(1)


def _friends(labels: Int[Tensor, " n"]) -> Tensor:
    """A mask of the (n, n) pairs of samples with the same label, each sample with itself among them."""
    same = (labels[:, None] == labels) & (labels != UNLABELLED)
    return same.fill_diagonal_(fill_value=True)


class Loss:
    """`multiview_contrast` with its temperature fixed; called with two views (n, dim) and labels (n,)."""

    rescales = ("temperature",)

    def __init__(self, *, temperature: float = 0.5) -> None:
        """The loss at one temperature.

        Args:
            temperature: divides the similarities of samples; above 0.
        """
        self.temperature = temperature

    def __call__(
        self, a: Float[Tensor, "n dim"], b: Float[Tensor, "n dim"], labels: Int[Tensor, " n"]
    ) -> Float[Tensor, ""]:
        """Shape () from two views of shape (n, dim) and labels of shape (n,); see `multiview_contrast`."""
        return multiview_contrast(torch.stack([a, b]), labels, self.temperature)
