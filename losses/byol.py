"""The alignment of BYOL: pulls a prediction to the direction of its target, without negatives."""

from jaxtyping import Float
from torch import Tensor

from losses._precision import in_full
from losses._similarity import units


@in_full
def byol(predictions: Float[Tensor, "n dim"], targets: Float[Tensor, "n dim"]) -> Float[Tensor, ""]:
    """The mean over rows of 2 - 2 cos(prediction, target): the squared distance of the unit vectors.

    No gradient passes to the targets. A zero row has cosine 0 with everything.

    Args:
        predictions: shape (n, dim); rows need not be normalised.
        targets: shape (n, dim), row i is the target of row i of `predictions`.

    Returns:
        A scalar from 0 (aligned) to 4 (opposite), without unit.

    Reference:
        Grill et al., "Bootstrap Your Own Latent" (NeurIPS 2020), eq. 2.
    """
    p, t = units(predictions), units(targets.detach())
    return (2 - 2 * (p * t).sum(dim=1)).mean()


class Loss:
    """`byol`; called with predictions and targets, both of shape (n, dim)."""

    rescales = ()

    def __call__(self, predictions: Float[Tensor, "n dim"], targets: Float[Tensor, "n dim"]) -> Float[Tensor, ""]:
        """Shape () from predictions and targets of shape (n, dim)."""
        return byol(predictions, targets)
