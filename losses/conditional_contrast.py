"""The contrast of generated samples with their labels in which samples of the same label are not negatives (2C)."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from losses._precision import in_full
from losses._similarity import units

UNLABELLED = -1


@in_full
def conditional_contrast(
    rows: Float[Tensor, "n dim"], targets: Float[Tensor, "n dim"], labels: Int[Tensor, " n"], temperature: float
) -> Float[Tensor, ""]:
    """Each sample is drawn to the embedding of its label and to the samples of its label, and away from the others.

    With s the cosine similarities divided by the temperature, z the samples and c the embeddings of their labels::

        loss = mean_i -log [ (exp s(z_i, c_i) + sum_{j != i, l_j = l_i} exp s(z_i, z_j))
                             / (exp s(z_i, c_i) + sum_{j != i} exp s(z_i, z_j)) ]

    The loss is finite for any n ≥ 1 (for n = 1 there are no negatives and the loss is 0), and for zero vectors.

    Args:
        rows: the samples, shape (n, dim); rows need not be normalised.
        targets: the embedding of each sample's label, shape (n, dim).
        labels: shape (n,), from 0; -1 for none: such a sample has no others of its label.
        temperature: divides the cosine similarities; above 0.

    Returns:
        The mean over the n samples, a scalar in nats, not negative; 0 if all samples have the same label.

    Raises:
        ValueError: the shapes differ, or there is no row.

    Reference:
        Kang and Park, "ContraGAN: Contrastive Learning for Conditional Image Generation" (NeurIPS 2020), eq. 8.
    """
    if rows.shape != targets.shape or len(rows) != len(labels) or len(rows) == 0:
        raise ValueError(
            "samples and embeddings of equal, non-empty shape (n, dim) and labels (n,) are needed, "
            f"got {tuple(rows.shape)}, {tuple(targets.shape)} and {tuple(labels.shape)}"
        )
    u, t = units(rows), units(targets)
    between = u.mul(1 / temperature).mm(u.t())
    itself = torch.eye(len(u), dtype=torch.bool, device=u.device)
    # The embedding's similarity stands in the place of each sample's similarity to itself.
    between = torch.where(itself, ((u * t).sum(dim=1) / temperature)[:, None], between)
    same = ((labels[:, None] == labels) & (labels != UNLABELLED)) | itself
    return (between.logsumexp(dim=1) - between.masked_fill(~same, -math.inf).logsumexp(dim=1)).mean()


class Loss:
    """`conditional_contrast` at one temperature; called with samples and embeddings (n, dim) and labels (n,)."""

    rescales = ("temperature",)

    def __init__(self, *, temperature: float = 0.5) -> None:
        """The loss at one temperature.

        Args:
            temperature: divides the similarities; above 0.
        """
        self.temperature = temperature

    def __call__(
        self, rows: Float[Tensor, "n dim"], targets: Float[Tensor, "n dim"], labels: Int[Tensor, " n"]
    ) -> Float[Tensor, ""]:
        """Shape () from samples and embeddings of shape (n, dim) and labels (n,); see `conditional_contrast`."""
        return conditional_contrast(rows, targets, labels, self.temperature)
