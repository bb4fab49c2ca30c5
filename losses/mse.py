"""Mean squared error of predictions and targets, the baseline: outliers count most, and lengths count too."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from losses._precision import in_full


@in_full
def mse(predictions: Float[Tensor, "n dim"], targets: Float[Tensor, "n dim"]) -> Float[Tensor, ""]:
    """The mean over rows and columns of (prediction - target)².

    Args:
        predictions: shape (n, dim).
        targets: shape (n, dim), row i is the target of row i of `predictions`.

    Returns:
        A scalar, at least 0, in squares of the targets' unit.

    Reference:
        The squared error of least squares regression, also divided by the number of columns, as torch's `mse_loss`.
    """
    return functional.mse_loss(predictions, targets)


class Loss:
    """`mse`; called with predictions and targets, both of shape (n, dim)."""

    rescales = ()

    def __call__(self, predictions: Float[Tensor, "n dim"], targets: Float[Tensor, "n dim"]) -> Float[Tensor, ""]:
        """Shape () from predictions and targets of shape (n, dim)."""
        return mse(predictions, targets)
