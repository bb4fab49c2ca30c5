"""The losses of pairs against slow, literal implementations in float64, their gradients, bounds and memory."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from losses import _similarity, cosine, cosine_mse, info_nce, mse, nt_xent


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def literal_cosine(p, t) -> float:
    total = 0.0
    for u, v in zip(p, t, strict=True):
        total += 1 - float(u @ v) / (np.linalg.norm(u) * np.linalg.norm(v))
    return total / len(p)


def literal_mse(p, t) -> float:
    return (
        sum((float(x) - float(y)) ** 2 for u, v in zip(p, t, strict=True) for x, y in zip(u, v, strict=True)) / p.size
    )


def literal_info_nce(p, t, temperature) -> float:
    """CLIP's loss, term by term; a pair whose target equals another's is not contrasted with it."""
    total = 0.0
    for i in range(len(p)):
        for queries, keys in ((p, t), (t, p)):
            similar = [
                float(queries[i] @ keys[j]) / (np.linalg.norm(queries[i]) * np.linalg.norm(keys[j])) / temperature
                for j in range(len(p))
                if j == i or not np.array_equal(t[j], t[i])
            ]
            own = float(queries[i] @ keys[i]) / (np.linalg.norm(queries[i]) * np.linalg.norm(keys[i])) / temperature
            total -= math.log(math.exp(own) / sum(map(math.exp, similar)))
    return total / (2 * len(p))


@pytest.mark.parametrize(("n", "dim"), [(1, 3), (2, 1), (5, 4), (17, 8)])
def test_mse_cosine_and_their_sum_are_the_literal_ones(n, dim):
    p, t = normal(1, n, dim), normal(2, n, dim)
    squares, angles = literal_mse(p.numpy(), t.numpy()), literal_cosine(p.numpy(), t.numpy())
    assert mse.mse(p, t).item() == pytest.approx(squares, rel=1e-12)
    assert cosine.cosine(p, t).item() == pytest.approx(angles, rel=1e-12)
    for a, b in ((0.7, 0.3), (0.5, 0.5), (1.0, 0.0), (0.0, 2.0)):
        loss = cosine_mse.Loss(cosine_weight=a, mse_weight=b)
        assert loss(p, t).item() == pytest.approx(a * angles + b * squares, rel=1e-12)


@pytest.mark.parametrize("temperature", [0.02, 0.05, 0.07, 1.0])  # below and above the one at which the way changes
@pytest.mark.parametrize(("n", "dim"), [(1, 3), (2, 1), (5, 4), (17, 8)])
def test_info_nce_is_the_literal_one(n, dim, temperature):
    p, t = normal(1, n, dim), normal(2, n, dim)
    expected = literal_info_nce(p.numpy(), t.numpy(), temperature)
    assert info_nce.info_nce(p, t, temperature).item() == pytest.approx(expected, rel=1e-11, abs=1e-11)


@pytest.mark.parametrize("temperature", [0.02, 0.07])
def test_equal_targets_are_not_contrasted(temperature):
    p, t = normal(3, 6, 4), normal(4, 6, 4)
    t[3], t[5] = t[0], t[0]
    expected = literal_info_nce(p.numpy(), t.numpy(), temperature)
    assert info_nce.info_nce(p, t, temperature).item() == pytest.approx(expected, rel=1e-11)
    assert info_nce.info_nce(p[:1].expand(3, 4), t[[0, 3, 5]], temperature).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("temperature", [0.02, 0.07, 0.5])
def test_gradients(temperature):
    p, t = (normal(seed, 5, 3).requires_grad_() for seed in (5, 6))
    assert torch.autograd.gradcheck(lambda a, b: info_nce.info_nce(a, b, temperature), (p, t))
    same = t.detach().clone()
    same[1] = same[0]
    assert torch.autograd.gradcheck(lambda a: info_nce.info_nce(a, same, temperature), (p,))
    for loss in (mse.mse, cosine.cosine, cosine_mse.cosine_mse):
        assert torch.autograd.gradcheck(loss, (p, t))


def test_blocks_change_nothing_but_rounding(monkeypatch):
    p, t = normal(7, 30, 4).requires_grad_(), normal(8, 30, 4).requires_grad_()
    t.data[20] = t.data[2]
    for loss in (info_nce.info_nce, nt_xent.nt_xent):
        with monkeypatch.context() as patch:
            whole = loss(p, t, 0.07)
            expected = torch.autograd.grad(whole, (p, t))
            patch.setattr(_similarity, "_CACHED", 7 * 30)
            parts = loss(p, t, 0.07)
        assert parts.item() == pytest.approx(whole.item(), rel=1e-12)
        for one, other in zip(torch.autograd.grad(parts, (p, t)), expected, strict=True):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("loss", [info_nce.info_nce, nt_xent.nt_xent])
def test_in_float32_both_ways_of_low_and_high_temperatures_are_as_exact(loss):
    """Just above and below the temperature from which no maximum is taken; also where rows are all but equal."""
    for spread in (1.0, 1e-3):
        p = normal(7, 300, 16)
        t = p + spread * normal(8, 300, 16)
        for temperature in (0.99 * _similarity.COOLEST, 1.01 * _similarity.COOLEST, 0.5):
            exact = [one.requires_grad_() for one in (p.clone(), t.clone())]
            single = [one.float().detach().requires_grad_() for one in (p, t)]
            value, expected = loss(*single, temperature), loss(*exact, temperature)
            assert value.item() == pytest.approx(expected.item(), rel=2e-5, abs=2e-5)
            found, wanted = (torch.autograd.grad(one, both) for one, both in ((value, single), (expected, exact)))
            for one, other in zip(found, wanted, strict=True):
                torch.testing.assert_close(one.double(), other, rtol=2e-3, atol=2e-5)


@given(n=st.integers(1, 300), temperature=st.floats(0.01, 5))
def test_constant_predictions_give_the_chance_value_by_row(n, temperature):
    """Of n constant predictions each column is uniform; with constant similarities the rows are as well."""
    p, t = torch.ones(n, 2, dtype=torch.float64), torch.ones(n, 2, dtype=torch.float64)
    t *= torch.arange(1, n + 1)[:, None]  # one direction, no two equal
    assert info_nce.info_nce(p, t, temperature).item() == pytest.approx(math.log(n), abs=1e-9)
    assert info_nce.chance(n) == pytest.approx(math.log(n))


@given(st.integers(0, 1000), st.sampled_from([torch.float32, torch.float64]), st.sampled_from([0, 8]))
def test_equal_rows_are_found_and_no_others(seed, kind, alike):
    few = torch.randint(0, 2, (12, 3), generator=torch.Generator().manual_seed(seed)).to(kind) / 2
    few = torch.cat([torch.ones(12, alike, dtype=kind), few], dim=1)
    found = info_nce.equal_rows(few)
    expected = [[i != j and bool((few[i] == few[j]).all()) for j in range(12)] for i in range(12)]
    assert (found is None and not np.any(expected)) or found.tolist() == expected


def test_minus_zero_is_zero():
    assert info_nce.equal_rows(torch.tensor([[0.0, 1.0], [-0.0, 1.0]])).tolist() == [[False, True], [True, False]]


@given(temperature=st.floats(0.005, 0.1))
def test_low_temperatures_stay_finite_in_float32(temperature):
    p, t = normal(8, 6, 4).float().requires_grad_(), -normal(8, 6, 4).float()
    loss = info_nce.info_nce(p, t, temperature)
    (gradient,) = torch.autograd.grad(loss, p)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()


def test_a_zero_vector_leaves_values_and_gradients_finite():
    for loss in (cosine.cosine, info_nce.info_nce):
        p = torch.zeros(3, 4, requires_grad=True)
        (gradient,) = torch.autograd.grad(loss(p, normal(1, 3, 4).float()), p)
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize(("a", "b"), [(-0.1, 0.3), (0.7, -1.0), (0.0, 0.0)])
def test_weights_that_are_negative_or_all_zero_are_refused(a, b):
    with pytest.raises(ValueError, match="neither may be negative, and one must be above 0"):
        cosine_mse.Loss(cosine_weight=a, mse_weight=b)


@pytest.mark.parametrize("temperature", [0.0, -0.1])
def test_a_temperature_that_is_not_above_0_is_refused(temperature):
    with pytest.raises(ValueError, match="a number above 0 is needed"):
        info_nce.Loss(temperature=temperature)


PEAK = """
import torch
from pathlib import Path

def size(name):
    (line,) = [one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith(name)]
    return int(line.split()[1]) / 1024

torch.set_num_threads(1)
"""


def peak(code: str, root) -> float:
    """MB that code takes beyond what its process had, at most; it calls `work` once before, on little."""
    code = f"""{PEAK}
{code}
work(64)
before = size("VmRSS:")
Path("/proc/self/clear_refs").write_text("5")
work(4096)
print(size("VmHWM:") - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    return float(done.stdout)


def test_a_batch_of_4096_takes_under_300_mb(root):
    """In a process of its own, whose largest size says what forward and backward took: one matrix is 64 MB."""
    code = """
from losses.info_nce import info_nce
def work(n):
    info_nce(torch.randn(n, 64, requires_grad=True), torch.randn(n, 64)).backward()
"""
    assert 60 < peak(code, root) < 300
