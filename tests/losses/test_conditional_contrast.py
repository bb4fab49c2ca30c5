"""The conditional contrast against a literal loop in float64, its gradient, and values known in closed form."""

import inspect
import math

import numpy as np
import pytest
import torch

from losses.conditional_contrast import conditional_contrast


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def literal(rows: np.ndarray, targets: np.ndarray, labels: list[int], temperature: float) -> float:
    """ContraGAN's equation 8, term by term."""
    z, c = ([one / np.linalg.norm(one) for one in side] for side in (rows, targets))
    total = 0.0
    for i in range(len(z)):
        own = math.exp(float(z[i] @ c[i]) / temperature)
        same, others = own, own
        for j in range(len(z)):
            if j != i:
                value = math.exp(float(z[i] @ z[j]) / temperature)
                others += value
                same += value if labels[j] == labels[i] != -1 else 0
        total -= math.log(same / others)
    return total / len(z)


@pytest.mark.parametrize("temperature", [0.05, 0.5])
@pytest.mark.parametrize("labels", [[0], [0, 1], [0, 1, 1, -1, -1, 2, 1], [2] * 5, [-1] * 5])
def test_it_is_the_literal_one(labels, temperature):
    rows, targets = normal(1, len(labels), 4), normal(2, len(labels), 4)
    expected = literal(rows.numpy(), targets.numpy(), labels, temperature)
    found = conditional_contrast(rows, targets, torch.tensor(labels), temperature)
    assert found.item() == pytest.approx(expected, abs=1e-12)


def test_gradient():
    rows, targets = (normal(seed, 5, 3).requires_grad_() for seed in (4, 5))
    labels = torch.tensor([0, 0, -1, 2, -1])
    assert torch.autograd.gradcheck(lambda u, v: conditional_contrast(u, v, labels, 0.3), (rows, targets))


def test_one_label_for_all_leaves_nothing_to_contrast():
    rows, targets = normal(6, 7, 3), normal(7, 7, 3)
    assert conditional_contrast(rows, targets, torch.zeros(7, dtype=torch.int64), 0.5).item() == pytest.approx(0)


def test_constant_rows_of_labels_of_their_own_give_the_log_of_how_many_there_are():
    ones = torch.ones(5, 2, dtype=torch.float64)
    assert conditional_contrast(ones, ones, torch.arange(5), 0.5).item() == pytest.approx(math.log(5))


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(3, 2\), \(3, 2\) and \(2,\)"):
        inspect.unwrap(conditional_contrast)(torch.ones(3, 2), torch.ones(3, 2), torch.zeros(2, dtype=torch.int64), 0.5)
