"""The mutual information of two views against a literal loop, closed forms, and its gradient."""

import inspect
import math

import pytest
import torch

from losses.mutual_information import mutual_information


def literal(p: torch.Tensor, q: torch.Tensor) -> float:
    """IIC's equation 3, term by term."""
    n, k = p.shape
    cells = [[sum(float(p[i, a] * q[i, b] + q[i, a] * p[i, b]) for i in range(n)) / (2 * n) for b in range(k)]
             for a in range(k)]  # fmt: skip
    sums = [sum(row) for row in cells]
    return -sum(cells[a][b] * math.log(cells[a][b] / (sums[a] * sums[b])) for a in range(k) for b in range(k))


def test_it_is_the_literal_one():
    chance = torch.Generator().manual_seed(0)
    p, q = (torch.randn(7, 3, dtype=torch.float64, generator=chance).softmax(dim=1) for _ in range(2))
    assert mutual_information(p, q).item() == pytest.approx(literal(p, q), abs=1e-12)


def test_certain_views_that_agree_have_all_information_and_one_cluster_none():
    certain = torch.eye(4, dtype=torch.float64).repeat(3, 1)
    assert mutual_information(certain, certain).item() == pytest.approx(-math.log(4))
    assert mutual_information(certain, torch.full_like(certain, 0.25)).item() == pytest.approx(0, abs=1e-12)
    assert mutual_information(certain[:1], certain[:1]).item() == pytest.approx(0, abs=1e-12)


def test_its_gradient_is_right_and_finite_for_an_empty_cluster():
    p, q = (torch.rand(5, 3, dtype=torch.float64).softmax(dim=1).requires_grad_() for _ in range(2))
    assert torch.autograd.gradcheck(mutual_information, (p, q))
    hard = torch.eye(3)[:2].repeat(2, 1).requires_grad_()
    mutual_information(hard, hard).backward()
    assert torch.isfinite(hard.grad).all()


@pytest.mark.parametrize("shapes", [((2, 3), (3, 3)), ((0, 3), (0, 3)), ((2, 0), (2, 0))])
def test_wrong_shapes_are_refused(shapes):
    with pytest.raises(ValueError, match="two assignments of equal"):
        inspect.unwrap(mutual_information)(*(torch.ones(shape) for shape in shapes))
