"""One minus the cosine similarity of prediction and target: only the direction counts, not the length."""

from jaxtyping import Float
from torch import Tensor

from losses._precision import in_full
from losses._similarity import units


@in_full
def cosine(predictions: Float[Tensor, "n dim"], targets: Float[Tensor, "n dim"]) -> Float[Tensor, ""]:
    """The mean over rows of 1 - cos(prediction, target).

    A zero row has cosine 0 with all others, and a finite gradient.

    Args:
        predictions: shape (n, dim); rows need not be normalised.
        targets: shape (n, dim), row i is the target of row i of `predictions`.

    Returns:
        A scalar from 0 (aligned) to 2 (opposite), without unit.

    Reference:
        The cosine distance of vector retrieval; Salton et al., "A Vector Space Model" (CACM 1975).
    """
    p, t = units(predictions), units(targets)
    return 1 - (p * t).sum(dim=1).mean()


class Loss:
    """`cosine`; called with predictions and targets, both of shape (n, dim)."""

    rescales = ()

    def __call__(self, predictions: Float[Tensor, "n dim"], targets: Float[Tensor, "n dim"]) -> Float[Tensor, ""]:
        """Shape () from predictions and targets of shape (n, dim)."""
        return cosine(predictions, targets)
