"""The losses of TCL's boosting stage: instances and clusters, both told of pseudo-labels."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from losses._precision import in_full
from losses._similarity import units

UNLABELLED = -1


@in_full
def boosted_nt_xent(
    a: Float[Tensor, "n dim"], b: Float[Tensor, "n dim"], labels: Int[Tensor, " n"], temperature: float
) -> Float[Tensor, ""]:
    """NT-Xent in which samples of one pseudo-label do not push each other away.

    As `losses.nt_xent`, but the sum over j leaves out the rows of other samples with row i's label; the only positive
    is still the other view. Unlabelled samples (-1) are contrasted with everything.

    Args:
        a: first view, shape (n, dim); rows need not be normalised.
        b: second view, shape (n, dim), row i belongs to row i of `a`.
        labels: pseudo-labels, shape (n,), from 0; -1 where there is none.
        temperature: divides the cosine similarities; above 0.

    Returns:
        The mean over the 2n rows, a scalar in nats; 0 when all samples have one label.

    Raises:
        ValueError: the shapes differ, or there is no row.

    Reference:
        Li et al., "Twin Contrastive Learning for Online Clustering" (IJCV 2022), the boosting stage.
    """
    if a.shape != b.shape or len(a) != len(labels) or len(a) == 0:
        raise ValueError(
            "two views of equal, non-empty shape (n, dim) and labels (n,) are needed, "
            f"got {tuple(a.shape)}, {tuple(b.shape)} and {tuple(labels.shape)}"
        )
    u = units(torch.cat([a, b]))
    similarities = u.mul(1 / temperature).mm(u.t())
    n = len(a)
    positives = torch.cat([similarities.diagonal(n), similarities.diagonal(-n)])
    return (similarities.masked_fill(_left_out(labels), -math.inf).logsumexp(dim=1) - positives).mean()


def _left_out(labels: Int[Tensor, " n"]) -> Tensor:
    """Which of the (2n, 2n) pairs are not contrasted: a row with itself, and the same label in another sample."""
    same = (labels[:, None] == labels) & (labels != UNLABELLED)
    # A block of the diagonal holds a view against itself, the other two hold the positives.
    itself, positive = same.clone().fill_diagonal_(fill_value=True), same.fill_diagonal_(fill_value=False)
    return torch.cat([torch.cat([itself, positive], dim=1), torch.cat([positive, itself], dim=1)])


@in_full
def balanced_cross_entropy(logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> Float[Tensor, ""]:
    """Cross entropy on labelled samples, every class that is present weighing the same.

    A sample of class k weighs (number of labelled) / (number labelled k), and the sum is divided by all weights: what
    comes out is the mean over present classes of the mean over their samples.

    Args:
        logits: cluster logits, shape (n, k).
        labels: pseudo-labels, shape (n,), from 0 to k - 1; -1 where there is none.

    Returns:
        A scalar in nats; 0, with a gradient of 0, when nothing is labelled.

    Reference:
        Li et al., "Twin Contrastive Learning for Online Clustering" (IJCV 2022), the boosting stage.
    """
    labelled = labels[labels != UNLABELLED]
    counts = labelled.bincount(minlength=logits.shape[1])
    weights = len(labelled) / counts.clamp_min(1).to(logits.dtype)
    total = functional.cross_entropy(logits, labels, weight=weights, ignore_index=UNLABELLED, reduction="sum")
    return total / weights[labelled].sum().clamp_min(1)


class Loss:
    """`boosted_nt_xent` with its temperature fixed; called with two views (n, dim) and labels (n,)."""

    def __init__(self, *, temperature: float = 0.5) -> None:
        """Fixes the options.

        Args:
            temperature: divides the cosine similarities; above 0.
        """
        self.temperature = temperature

    def __call__(
        self, a: Float[Tensor, "n dim"], b: Float[Tensor, "n dim"], labels: Int[Tensor, " n"]
    ) -> Float[Tensor, ""]:
        """Shape () from two views of shape (n, dim) and labels of shape (n,); see `boosted_nt_xent`."""
        return boosted_nt_xent(a, b, labels, self.temperature)
