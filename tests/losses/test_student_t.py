"""Student's t assignment, target and divergence against literal loops in float64, gradients, closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from losses.student_t import Loss, log_assignment, student_t_divergence, target


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def literal_assignment(x: np.ndarray, c: np.ndarray, freedom: float) -> np.ndarray:
    q = np.array([[(1 + np.sum((u - v) ** 2) / freedom) ** (-(freedom + 1) / 2) for v in c] for u in x])
    return q / q.sum(axis=1, keepdims=True)


def literal_target(q: np.ndarray) -> np.ndarray:
    columns = [sum(row[k] for row in q) for k in range(q.shape[1])]
    p = np.array([[row[k] ** 2 / columns[k] for k in range(q.shape[1])] for row in q])
    return p / p.sum(axis=1, keepdims=True)


def literal_divergence(q: np.ndarray) -> float:
    p = literal_target(q)
    return sum(p[j, k] * math.log(p[j, k] / q[j, k]) for j in range(len(q)) for k in range(q.shape[1])) / len(q)


SHAPES = [(1, 1, 3), (1, 4, 2), (5, 1, 3), (7, 3, 4), (6, 3, 1)]


@pytest.mark.parametrize("freedom", [0.5, 1.0, 3.0])
@pytest.mark.parametrize(("n", "k", "dim"), SHAPES)
def test_all_are_the_literal_ones(n, k, dim, freedom):
    x, c = normal(1, n, dim), normal(2, k, dim)
    log_q = log_assignment(x, c, freedom)
    q = literal_assignment(x.numpy(), c.numpy(), freedom)
    np.testing.assert_allclose(log_q.exp(), q, rtol=1e-12)
    np.testing.assert_allclose(target(log_q).exp(), literal_target(q), rtol=1e-12)
    assert student_t_divergence(log_q).item() == pytest.approx(literal_divergence(q), abs=1e-12)


def test_the_kernel_is_that_of_the_t_distribution():
    x, c = normal(3, 4, 1), normal(4, 3, 1)
    density = stats.t(df=2.5).pdf((x - c.t()).numpy())
    np.testing.assert_allclose(
        log_assignment(x, c, 2.5).exp(), density / density.sum(axis=1, keepdims=True), rtol=1e-12
    )


def test_gradients():
    x, c = normal(5, 5, 3).requires_grad_(), normal(6, 4, 3).requires_grad_()
    fixed = target(log_assignment(x, c))
    # The target is a constant of the loss: numerical differences must not move it either.
    assert torch.autograd.gradcheck(lambda u, v: (fixed.exp() * (fixed - log_assignment(u, v))).sum(), (x, c))
    by_loss = torch.autograd.grad(Loss()(x, c), (x, c))
    by_hand = torch.autograd.grad((fixed.exp() * (fixed - log_assignment(x, c))).sum() / 5, (x, c))
    for one, other in zip(by_loss, by_hand, strict=True):
        torch.testing.assert_close(one, other)


def test_a_sample_on_its_centroid_has_a_finite_gradient():
    x = torch.zeros(3, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(Loss()(x, torch.cat([torch.zeros(1, 4), torch.ones(1, 4)])), x)
    assert torch.isfinite(gradient).all()


def test_uniform_rows_and_one_cluster_have_nothing_to_learn():
    assert Loss()(normal(7, 6, 3), torch.ones(4, 3, dtype=torch.float64)).item() == pytest.approx(0, abs=1e-12)
    assert Loss()(normal(7, 6, 3), torch.ones(1, 3, dtype=torch.float64)).item() == pytest.approx(0, abs=1e-12)


def test_the_target_is_surer_and_favours_the_smaller_cluster():
    q = torch.tensor([[0.8, 0.2], [0.7, 0.3], [0.4, 0.6]], dtype=torch.float64)
    p = target(q.log()).exp()
    assert p[0, 0] > q[0, 0]
    assert p[2, 1] > 0.36 / (0.36 + 0.16)


@pytest.mark.parametrize("scale", [1e-6, 1e3, 1e15])
def test_any_scale_is_finite_in_float32(scale):
    x, c = (scale * normal(seed, 4, 3).float() for seed in (8, 9))
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(Loss()(x, c), x)
    assert torch.isfinite(gradient).all()


def test_far_from_the_origin_no_digits_are_lost():
    x, c = normal(10, 5, 3).float(), normal(11, 4, 3).float()
    torch.testing.assert_close(log_assignment(x + 512, c + 512), log_assignment(x, c), rtol=1e-3, atol=1e-3)


def test_the_loss_counts_with_its_own_degrees_of_freedom():
    x, c = normal(7, 6, 3), normal(8, 4, 3)
    assert Loss(freedom=3.0)(x, c).item() == student_t_divergence(log_assignment(x, c, 3.0)).item()
    assert Loss(freedom=3.0)(x, c).item() != pytest.approx(Loss()(x, c).item(), rel=1e-3)
