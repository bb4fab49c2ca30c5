"""What holds for every file in `losses/`: a new loss is tested by existing."""

import inspect
import math

import pytest
import torch

from core import registry

NAMES = registry.names("losses")


def arguments(loss, n: int) -> list[torch.Tensor]:
    """What the loss is called with, told by the names of its parameters: two views or assignments if nothing is said.

    Rows are those of an assignment: fit for losses of features, which take anything, as well.
    """
    generator = torch.Generator().manual_seed(n)
    found = []
    for name in inspect.signature(loss).parameters:
        if name == "labels":
            found.append(torch.randint(-1, 3, (n,), generator=generator))
        else:
            rows = 3 if name == "centroids" else n
            found.append(torch.randn(rows, 4, generator=generator).softmax(dim=1).requires_grad_())
    return found


def reordered(loss, values: list[torch.Tensor]) -> list[torch.Tensor]:
    """The batch the other way round; centroids are not of the batch."""
    names = inspect.signature(loss).parameters
    return [value if name == "centroids" else value.flip(0) for name, value in zip(names, values, strict=True)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [1, 2, 6])
def test_scalar_finite_and_differentiable_for_any_batch(name, n):
    loss = registry.load("losses", name)()
    values = arguments(loss, n)
    value = loss(*values)
    assert value.shape == ()
    assert math.isfinite(value.item())
    inputs = [one for one in values if one.requires_grad]
    gradients = torch.autograd.grad(value, inputs, allow_unused=True, materialize_grads=True)
    assert all(torch.isfinite(one).all() for one in gradients)


@pytest.mark.parametrize("name", NAMES)
def test_it_does_not_depend_on_the_order_of_the_batch(name):
    loss = registry.load("losses", name)()
    values = arguments(loss, 6)
    assert loss(*values).item() == pytest.approx(loss(*reordered(loss, values)).item(), abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_docstrings_give_shapes_and_a_source(name):
    module = inspect.getmodule(registry.load("losses", name))
    functions = [one for one in vars(module).values() if inspect.isfunction(one) and one.__module__ == module.__name__]
    documented = " ".join(inspect.getdoc(one) or "" for one in functions)
    assert "shape (" in documented
    assert "Reference:" in documented
