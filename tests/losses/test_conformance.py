"""What holds for every file in `losses/`: a new loss is tested by existing."""

import inspect
import math

import pytest
import torch

from core import registry

NAMES = registry.names("losses")


def inputs(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(6, 4, generator=generator).softmax(dim=1).requires_grad_() for _ in range(2))


@pytest.mark.parametrize("name", NAMES)
def test_scalar_finite_and_differentiable_for_any_batch(name):
    loss = registry.load("losses", name)()
    for n in (1, 2, 6):
        a, b = (one[:n] for one in inputs(n))
        value = loss(a, b)
        assert value.shape == ()
        assert math.isfinite(value.item())
        assert all(torch.isfinite(one).all() for one in torch.autograd.grad(value, (a, b)))


@pytest.mark.parametrize("name", NAMES)
def test_it_does_not_depend_on_the_order_of_the_batch(name):
    loss, (a, b) = registry.load("losses", name)(), inputs(3)
    assert loss(a, b).item() == pytest.approx(loss(a.flip(0), b.flip(0)).item(), abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_docstrings_give_shapes_and_a_source(name):
    module = inspect.getmodule(registry.load("losses", name))
    functions = [one for one in vars(module).values() if inspect.isfunction(one) and one.__module__ == module.__name__]
    documented = " ".join(inspect.getdoc(one) or "" for one in functions)
    assert "shape (" in documented
    assert "Reference:" in documented
