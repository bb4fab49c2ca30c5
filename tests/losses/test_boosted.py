"""TCL's boosting losses against literal loops in float64, their gradients, and values known in closed form."""

import inspect
import math

import numpy as np
import pytest
import torch

from losses.boosted import balanced_cross_entropy, boosted_nt_xent
from losses.nt_xent import nt_xent


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def literal_instances(a: np.ndarray, b: np.ndarray, labels: list[int], temperature: float) -> float:
    """Row by row; a row's denominator knows its positive and the rows of samples with another label, or none."""
    rows = [row / np.linalg.norm(row) for row in [*a, *b]]
    n, total = len(a), 0.0
    for i, u in enumerate(rows):
        partner, denominator = (i + n) % (2 * n), 0.0
        for j, v in enumerate(rows):
            friends = labels[i % n] == labels[j % n] != -1
            if j == partner or (j != i and not friends):
                denominator += math.exp(float(u @ v) / temperature)
        total -= math.log(math.exp(float(u @ rows[partner]) / temperature) / denominator)
    return total / (2 * n)


def literal_labels(logits: np.ndarray, labels: list[int]) -> float:
    """The mean over present classes of the mean cross entropy within the class."""
    within = []
    for k in {one for one in labels if one != -1}:
        rows = [row for row, label in zip(logits, labels, strict=True) if label == k]
        within.append(np.mean([math.log(sum(math.exp(x) for x in row)) - row[k] for row in rows]))
    return float(np.mean(within)) if within else 0.0


LABELS = [[-1], [0], [0, 0], [0, -1], [0, 1, 1, -1, -1, 2, 1], [2] * 6, [-1] * 5]


@pytest.mark.parametrize("temperature", [0.05, 0.5])
@pytest.mark.parametrize("labels", LABELS)
def test_instances_are_the_literal_ones(labels, temperature):
    a, b = normal(1, len(labels), 4), normal(2, len(labels), 4)
    expected = literal_instances(a.numpy(), b.numpy(), labels, temperature)
    assert boosted_nt_xent(a, b, torch.tensor(labels), temperature).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("labels", LABELS)
def test_labels_are_the_literal_ones(labels):
    logits = normal(3, len(labels), 3)
    expected = literal_labels(logits.numpy(), labels)
    assert balanced_cross_entropy(logits, torch.tensor(labels)).item() == pytest.approx(expected, abs=1e-12)


def test_gradients():
    a, b = (normal(seed, 5, 3).requires_grad_() for seed in (4, 5))
    labels = torch.tensor([0, 0, -1, 2, -1])
    assert torch.autograd.gradcheck(lambda u, v: boosted_nt_xent(u, v, labels, 0.3), (a, b))
    assert torch.autograd.gradcheck(lambda u: balanced_cross_entropy(u, labels), (a,))


def test_without_labels_it_is_nt_xent():
    a, b = normal(6, 7, 3), normal(7, 7, 3)
    assert boosted_nt_xent(a, b, torch.full((7,), -1), 0.5).item() == pytest.approx(nt_xent(a, b, 0.5).item())


def test_one_label_for_all_leaves_nothing_to_contrast():
    a, b = normal(8, 7, 3), normal(9, 7, 3)
    assert boosted_nt_xent(a, b, torch.zeros(7, dtype=torch.int64), 0.5).item() == pytest.approx(0, abs=1e-12)


def test_constant_rows_give_the_log_of_how_many_are_left():
    ones = torch.ones(5, 2, dtype=torch.float64)
    # Three of a label: each of their six rows is contrasted with its positive and the four rows of the other two.
    expected = (6 * math.log(5) + 4 * math.log(9)) / 10
    assert boosted_nt_xent(ones, ones, torch.tensor([1, 1, 1, -1, -1]), 0.5).item() == pytest.approx(expected)


def test_nothing_labelled_gives_no_gradient():
    logits = normal(10, 4, 3).requires_grad_()
    (gradient,) = torch.autograd.grad(balanced_cross_entropy(logits, torch.full((4,), -1)), logits)
    assert not gradient.any()


def test_a_rare_class_weighs_as_much_as_a_frequent_one():
    logits = torch.zeros(10, 2, dtype=torch.float64).requires_grad_()
    labels = torch.tensor([0] * 9 + [1])
    (gradient,) = torch.autograd.grad(balanced_cross_entropy(logits, labels), logits)
    assert gradient.sum(dim=0).tolist() == pytest.approx([0, 0], abs=1e-12)


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(3, 2\), \(3, 2\) and \(2,\)"):
        inspect.unwrap(boosted_nt_xent)(torch.ones(3, 2), torch.ones(3, 2), torch.zeros(2, dtype=torch.int64), 0.5)
