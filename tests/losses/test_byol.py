"""BYOL's alignment against a literal loop in float64, its gradient, and values known in closed form."""

import numpy as np
import pytest
import torch

from losses.byol import byol


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("n", "dim"), [(1, 1), (1, 4), (5, 3)])
def test_it_is_the_squared_distance_of_unit_vectors(n, dim):
    p, t = normal(1, n, dim), normal(2, n, dim)
    pairs = zip(p.numpy(), t.numpy(), strict=True)
    expected = np.mean([np.sum((u / np.linalg.norm(u) - v / np.linalg.norm(v)) ** 2) for u, v in pairs])
    assert byol(p, t).item() == pytest.approx(expected, abs=1e-12)


def test_gradient():
    p, t = normal(3, 4, 3).requires_grad_(), normal(4, 4, 3)
    assert torch.autograd.gradcheck(lambda u: byol(u, t), (p,))


def test_aligned_orthogonal_and_opposite():
    eye = torch.eye(3, dtype=torch.float64)
    assert byol(eye, 5 * eye).item() == pytest.approx(0)
    assert byol(eye, eye.roll(1, 0)).item() == pytest.approx(2)
    assert byol(eye, -eye).item() == pytest.approx(4)


def test_no_gradient_reaches_the_targets():
    p, t = normal(5, 4, 3).requires_grad_(), normal(6, 4, 3).requires_grad_()
    byol(p, t).backward()
    assert p.grad is not None
    assert t.grad is None


def test_a_zero_row_is_finite():
    p = torch.zeros(2, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(byol(p, torch.ones(2, 3)), p)
    assert torch.isfinite(gradient).all()
