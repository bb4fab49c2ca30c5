"""Prototype scattering of ProPos: pushes the mean of each cluster away from the means of the others."""

from jaxtyping import Float, Int
from torch import Tensor

from losses._precision import in_full
from losses._similarity import units


@in_full
def prototype_scattering(
    online: Float[Tensor, "n dim"], target: Float[Tensor, "n dim"], labels: Int[Tensor, " n"], temperature: float
) -> Float[Tensor, ""]:
    """Contrast each online prototype with its target prototype, against the other online prototypes.

    The prototype of a cluster is the unit mean of its samples' unit features. With m the prototypes of `online` and
    t those of `target`, over the K' clusters of the batch::

        loss = -mean_k log[ exp(m_k t_k / T) / (exp(m_k t_k / T) + sum_{j != k} exp(m_k m_j / T)) ]

    Clusters without a sample in the batch are left out.

    Args:
        online: features of the online network, which is trained, shape (n, dim); rows need not be normalised.
        target: features of the same samples from the target network, shape (n, dim).
        labels: pseudo-labels, shape (n,).
        temperature: T, divides the cosine similarities; above 0.

    Returns:
        A scalar in nats; 0 for a batch of one cluster, log K' if all prototypes are equal.

    Raises:
        ValueError: the shapes differ, or there is no row.

    Reference:
        Huang et al., "Learning Representation for Clustering via Prototype Scattering and Positive Sampling"
        (TPAMI 2022), the prototype scattering loss.
    """
    if online.shape != target.shape or len(online) != len(labels) or len(online) == 0:
        raise ValueError(
            "features of equal, non-empty shape (n, dim) and labels (n,) are needed, "
            f"got {tuple(online.shape)}, {tuple(target.shape)} and {tuple(labels.shape)}"
        )
    members = (labels == labels.unique()[:, None]).to(online.dtype)
    m, t = (_prototypes(features, members) for features in (online, target))
    similarities = m.mm(m.t()) / temperature
    positives = (m * t).sum(dim=1) / temperature
    return (similarities.diagonal_scatter(positives).logsumexp(dim=1) - positives).mean()


def _prototypes(features: Float[Tensor, "n dim"], members: Float[Tensor, "k n"]) -> Float[Tensor, "k dim"]:
    """The prototypes: unit sums, which have the direction of the means."""
    return units(members @ units(features))


class Loss:
    """`prototype_scattering` with its temperature fixed; called with features (n, dim) twice and labels (n,)."""

    rescales = ("temperature",)

    def __init__(self, *, temperature: float = 0.5) -> None:
        """The loss at one temperature.

        Args:
            temperature: divides the similarities of prototypes; above 0.
        """
        self.temperature = temperature

    def __call__(
        self, online: Float[Tensor, "n dim"], target: Float[Tensor, "n dim"], labels: Int[Tensor, " n"]
    ) -> Float[Tensor, ""]:
        """Shape () from features of shape (n, dim) twice and labels of shape (n,)."""
        return prototype_scattering(online, target, labels, self.temperature)
