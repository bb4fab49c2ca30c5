"""The cluster-level contrast of CC: NT-Xent between the columns of two assignment matrices."""

from jaxtyping import Float
from torch import Tensor

from losses.nt_xent import nt_xent


def cluster_nt_xent(p: Float[Tensor, "n k"], q: Float[Tensor, "n k"], temperature: float) -> Float[Tensor, ""]:
    """Contrast column k of `p` with column k of `q` against all other columns of both.

    A column represents a cluster: its assignment probabilities over the batch. An empty cluster (a column of zeros) has
    cosine similarity 0 with all others, so the loss stays finite.

    Args:
        p: assignment probabilities of the first view, shape (n, k), rows sum to 1.
        q: assignment probabilities of the second view, shape (n, k).
        temperature: divides the cosine similarities; above 0.

    Returns:
        The mean over the 2k columns, a scalar in nats; equal columns give log(2k - 1).

    Raises:
        ValueError: the shapes differ, or there is no column.

    Reference:
        Li et al., "Contrastive Clustering" (AAAI 2021), eq. 6, without its entropy term (see
        `losses.marginal_entropy`).
    """
    return nt_xent(p.t(), q.t(), temperature)


class Loss:
    """`cluster_nt_xent` with its temperature fixed; called with two assignments of shape (n, k)."""

    rescales = ("temperature",)

    def __init__(self, *, temperature: float = 1.0) -> None:
        """The loss at one temperature.

        Args:
            temperature: divides the similarities of clusters; above 0.
        """
        self.temperature = temperature

    def __call__(self, p: Float[Tensor, "n k"], q: Float[Tensor, "n k"]) -> Float[Tensor, ""]:
        """Shape () from two assignments of shape (n, k); see `cluster_nt_xent`."""
        return cluster_nt_xent(p, q, self.temperature)
