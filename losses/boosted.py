"""The losses of TCL's boosting stage, for instances and for clusters, both with pseudo-labels."""

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
    """NT-Xent in which samples with the same pseudo-label do not push each other away.

    As `losses.nt_xent`, but the sum over j leaves out the rows of other samples with row i's label. The other view is
    still the only positive. Unlabelled samples (-1) are contrasted with all others.

    Args:
        a: first view, shape (n, dim); rows need not be normalised.
        b: second view, shape (n, dim), row i belongs to row i of `a`.
        labels: pseudo-labels, shape (n,), from 0; -1 for none.
        temperature: divides the cosine similarities; above 0.

    Returns:
        The mean over the 2n rows, a scalar in nats; 0 if all samples have the same label.

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
    """A mask of the (2n, 2n) pairs that are not contrasted: a row with itself, and other samples with its label."""
    same = (labels[:, None] == labels) & (labels != UNLABELLED)
    # The two blocks on the diagonal hold a view against itself; the other two hold the positives on their diagonals.
    itself, positive = same.clone().fill_diagonal_(fill_value=True), same.fill_diagonal_(fill_value=False)
    return torch.cat([torch.cat([itself, positive], dim=1), torch.cat([positive, itself], dim=1)])


@in_full
def balanced_cross_entropy(logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> Float[Tensor, ""]:
    """Cross entropy on labelled samples, in which every class in the batch has the same weight.

    A sample of class k has the weight (number of labelled) / (number labelled k), and the sum is divided by the sum of
    the weights. The result is the mean over the classes in the batch of the mean over their samples.

    Args:
        logits: cluster logits, shape (n, k).
        labels: pseudo-labels, shape (n,), from 0 to k - 1; -1 for none.

    Returns:
        A scalar in nats; 0, with a gradient of 0, if no sample is labelled.

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
        """Shape () from two views of shape (n, dim) and labels of shape (n,); see `boosted_nt_xent`."""
        return boosted_nt_xent(a, b, labels, self.temperature)
