"""A weighted sum of `cosine` and `mse`: mostly the direction counts, and the length too."""

from jaxtyping import Float
from torch import Tensor

from losses._precision import in_full
from losses.cosine import cosine
from losses.mse import mse


@in_full
def cosine_mse(
    predictions: Float[Tensor, "n dim"],
    targets: Float[Tensor, "n dim"],
    cosine_weight: float = 0.7,
    mse_weight: float = 0.3,
) -> Float[Tensor, ""]:
    """`cosine_weight` times `cosine` plus `mse_weight` times `mse`.

    Args:
        predictions: shape (n, dim).
        targets: shape (n, dim), row i is the target of row i of `predictions`.
        cosine_weight: at least 0.
        mse_weight: at least 0; its effect depends on the unit of the targets.

    Returns:
        A scalar, at least 0.

    Reference:
        See `losses.cosine` and `losses.mse` for the parts; the weights 0.7 and 0.3 are common practice.
    """
    return cosine_weight * cosine(predictions, targets) + mse_weight * mse(predictions, targets)


class Loss:
    """`cosine_mse` with its weights fixed; called with predictions and targets, both of shape (n, dim)."""

    rescales = ("cosine_weight", "mse_weight")

    def __init__(self, *, cosine_weight: float = 0.7, mse_weight: float = 0.3) -> None:
        """The loss with these weights.

        Args:
            cosine_weight: weight of the cosine loss; both weights are at least 0, and one is above 0.
            mse_weight: weight of the squared error, whose size depends on the unit of the targets.

        Raises:
            ValueError: a weight is negative, or both are 0.
        """
        if min(cosine_weight, mse_weight) < 0 or cosine_weight + mse_weight == 0:
            raise ValueError(
                f"cosine_weight {cosine_weight:g} and mse_weight {mse_weight:g} are wrong: "
                "neither may be negative, and one must be above 0"
            )
        self.cosine_weight, self.mse_weight = cosine_weight, mse_weight

    def __call__(self, predictions: Float[Tensor, "n dim"], targets: Float[Tensor, "n dim"]) -> Float[Tensor, ""]:
        """Shape () from predictions and targets of shape (n, dim)."""
        return cosine_mse(predictions, targets, self.cosine_weight, self.mse_weight)
