"""Each loss against a slow, literal implementation in float64, its gradient, and values known in closed form."""

import inspect
import math

import jaxtyping
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from losses import cluster_nt_xent, marginal_entropy, nt_xent


def literal_nt_xent(a: np.ndarray, b: np.ndarray, temperature: float) -> float:
    """SimCLR's equation 1, term by term."""
    rows = [row / np.linalg.norm(row) for row in [*a, *b]]
    n, total = len(a), 0.0
    for i, u in enumerate(rows):
        partner = (i + n) % (2 * n)
        denominator = sum(math.exp(float(u @ v) / temperature) for j, v in enumerate(rows) if j != i)
        total -= math.log(math.exp(float(u @ rows[partner]) / temperature) / denominator)
    return total / (2 * n)


def literal_entropy_gap(p: np.ndarray) -> float:
    """log k minus the entropy of the marginal, term by term."""
    k, total = p.shape[1], float(p.sum())
    shares = [sum(float(row[j]) for row in p) / total for j in range(k)]
    return math.log(k) + sum(share * math.log(share) for share in shares if share > 0)


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("temperature", [0.05, 0.5, 1.0])
@pytest.mark.parametrize(("n", "dim"), [(1, 3), (2, 1), (5, 4), (17, 8)])
def test_nt_xent_is_the_literal_one(n, dim, temperature):
    a, b = normal(1, n, dim), normal(2, n, dim)
    expected = literal_nt_xent(a.numpy(), b.numpy(), temperature)
    assert nt_xent.nt_xent(a, b, temperature).item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(("n", "k"), [(1, 2), (5, 1), (6, 3), (16, 10)])
def test_cluster_nt_xent_is_the_literal_one_on_columns(n, k):
    p, q = normal(3, n, k).softmax(dim=1), normal(4, n, k).softmax(dim=1)
    expected = literal_nt_xent(p.numpy().T, q.numpy().T, 0.7)
    assert cluster_nt_xent.cluster_nt_xent(p, q, 0.7).item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(("n", "k"), [(1, 1), (1, 4), (9, 3)])
def test_entropy_gap_is_the_literal_one(n, k):
    p = normal(5, n, k).softmax(dim=1)
    assert marginal_entropy.marginal_entropy_gap(p).item() == pytest.approx(literal_entropy_gap(p.numpy()), abs=1e-12)


@pytest.mark.parametrize("k", [2, 5])
def test_the_divergence_from_a_marginal_is_the_literal_one_and_zero_where_it_is_met(k):
    p = normal(12, 20, k).softmax(dim=1)
    prior = normal(13, k).softmax(dim=0)
    shares = [float(column.mean()) for column in p.T]
    expected = sum(share * math.log(share / float(prior[j])) for j, share in enumerate(shares))
    assert marginal_entropy.marginal_divergence(p, prior).item() == pytest.approx(expected, abs=1e-12)
    assert marginal_entropy.marginal_divergence(p, p.mean(dim=0)).item() == pytest.approx(0, abs=1e-12)


def test_gradients():
    a, b = (normal(seed, 4, 3).requires_grad_() for seed in (6, 7))
    for temperature in (0.02, 0.3):
        assert torch.autograd.gradcheck(lambda u, v: nt_xent.nt_xent(u, v, temperature), (a, b))  # noqa: B023
    assert torch.autograd.gradcheck(
        lambda u, v: cluster_nt_xent.cluster_nt_xent(u.softmax(1), v.softmax(1), 0.9), (a, b)
    )
    assert torch.autograd.gradcheck(lambda u: marginal_entropy.marginal_entropy_gap(u.softmax(1)), (a,))


@given(n=st.integers(1, 300), dim=st.integers(1, 5), temperature=st.floats(0.05, 5))
def test_constant_outputs_give_the_chance_value(n, dim, temperature):
    constant = torch.ones(n, dim, dtype=torch.float64)
    assert nt_xent.nt_xent(constant, constant, temperature).item() == pytest.approx(math.log(2 * n - 1), abs=1e-9)
    assert nt_xent.chance(n) == pytest.approx(math.log(2 * n - 1))


@pytest.mark.parametrize("k", [1, 2, 10, 77])
def test_equal_columns_give_the_chance_value(k):
    uniform = torch.full((8, k), 1 / k, dtype=torch.float64)
    assert cluster_nt_xent.cluster_nt_xent(uniform, uniform, 1.0).item() == pytest.approx(
        math.log(2 * k - 1), abs=1e-12
    )


@pytest.mark.parametrize("k", [1, 2, 10])
def test_entropy_gap_is_zero_when_balanced_and_log_k_when_collapsed(k):
    balanced = torch.eye(k, dtype=torch.float64)
    collapsed = torch.zeros(4, k, dtype=torch.float64)
    collapsed[:, 0] = 1
    assert marginal_entropy.marginal_entropy_gap(balanced).item() == pytest.approx(0, abs=1e-12)
    assert marginal_entropy.marginal_entropy_gap(collapsed).item() == pytest.approx(math.log(k), abs=1e-12)


def test_an_empty_cluster_leaves_value_and_gradient_finite():
    p = torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 0, 0]], requires_grad=True)
    loss = cluster_nt_xent.cluster_nt_xent(p, p.detach(), 1.0) + marginal_entropy.marginal_entropy_gap(p)
    (gradient,) = torch.autograd.grad(loss, p)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()


def test_a_zero_vector_leaves_value_and_gradient_finite():
    a = torch.zeros(3, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(nt_xent.nt_xent(a, torch.ones(3, 4), 0.1), a)
    assert torch.isfinite(gradient).all()


@given(temperature=st.floats(0.005, 0.05))
def test_low_temperatures_do_not_overflow_float32(temperature):
    a, b = normal(8, 6, 4).float(), normal(9, 6, 4).float()
    assert torch.isfinite(nt_xent.nt_xent(a, b, temperature))


def test_nt_xent_is_symmetric_in_its_views_and_blind_to_the_order_of_pairs():
    a, b = normal(10, 7, 5), normal(11, 7, 5)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    value = nt_xent.nt_xent(a, b, 0.5).item()
    assert nt_xent.nt_xent(b, a, 0.5).item() == pytest.approx(value, rel=1e-12)
    assert nt_xent.nt_xent(a[order], b[order], 0.5).item() == pytest.approx(value, rel=1e-12)
    assert nt_xent.nt_xent(a, b[order], 0.5).item() != pytest.approx(value, rel=1e-3)


def test_shapes_are_checked_as_types_under_pytest():
    with pytest.raises(jaxtyping.TypeCheckError, match="f32\\[4,2\\]"):
        nt_xent.nt_xent(torch.ones(3, 2), torch.ones(4, 2), 0.5)


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(3, 2\).*\(4, 2\)"):
        inspect.unwrap(nt_xent.nt_xent)(torch.ones(3, 2), torch.ones(4, 2), 0.5)
    with pytest.raises(ValueError, match=r"\(0, 3\)"):
        marginal_entropy.marginal_entropy_gap(torch.ones(0, 3))
