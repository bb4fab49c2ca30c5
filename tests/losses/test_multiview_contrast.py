"""The contrast of several views against a literal loop in float64, and values known in closed form."""

import inspect
import math

import numpy as np
import pytest
import torch

from losses.multiview_contrast import multiview_contrast
from losses.nt_xent import nt_xent


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def literal(views: np.ndarray, labels: list[int], temperature: float) -> float:
    """Row by row, positive by positive, as UMC's paper writes it."""
    n = len(labels)
    rows = [row / np.linalg.norm(row) for view in views for row in view]
    each = []
    for i, u in enumerate(rows):
        similar = [float(u @ v) / temperature for v in rows]
        total = math.log(sum(math.exp(one) for j, one in enumerate(similar) if j != i) or 1)
        positives = [j for j in range(len(rows)) if j != i and (j % n == i % n or labels[j % n] == labels[i % n] != -1)]
        if positives:
            each.append(-sum(similar[j] - total for j in positives) / len(positives))
    return float(np.mean(each)) if each else 0.0


LABELS = [[-1], [0], [0, 0], [0, -1], [0, 1, 1, -1, -1, 2, 1], [2] * 5, [-1] * 5]


@pytest.mark.parametrize("temperature", [0.07, 0.5, 10.0])
@pytest.mark.parametrize("v", [1, 2, 3, 6])
@pytest.mark.parametrize("labels", LABELS)
def test_it_is_the_literal_one(labels, v, temperature):
    views = normal(v, v, len(labels), 4)
    expected = literal(views.numpy(), labels, temperature)
    assert multiview_contrast(views, torch.tensor(labels), temperature).item() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("v", [1, 3])
def test_gradients(labels, v):
    views, told = normal(v, v, len(labels), 3).requires_grad_(), torch.tensor(labels)
    assert torch.autograd.gradcheck(lambda one: multiview_contrast(one, told, 0.3), (views,))


def test_two_views_without_labels_are_nt_xent():
    views = normal(3, 2, 9, 5)
    found = multiview_contrast(views, torch.full((9,), -1), 0.4)
    assert found.item() == pytest.approx(nt_xent(views[0], views[1], 0.4).item())


def test_it_depends_neither_on_the_order_of_views_nor_of_samples_nor_on_the_names_of_labels():
    views, labels = normal(4, 3, 6, 5), torch.tensor([0, 1, 0, -1, 2, 1])
    expected = multiview_contrast(views, labels, 0.4).item()
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    for other in (
        multiview_contrast(views.flip(0), labels, 0.4),
        multiview_contrast(views[:, order], labels[order], 0.4),
        multiview_contrast(views, torch.tensor([7, 0, 7, -1, 5, 0]), 0.4),
    ):
        assert other.item() == pytest.approx(expected)


@pytest.mark.parametrize("labels", [[0, 0, 1, -1], [-1] * 4, [1] * 4])
def test_constant_rows_give_the_log_of_the_other_rows(labels):
    ones = torch.ones(3, 4, 2, dtype=torch.float64)
    assert multiview_contrast(ones, torch.tensor(labels), 0.2).item() == pytest.approx(math.log(11))


def test_two_opposite_classes_have_a_closed_form():
    """Rows of a class are equal, those of the other opposite: v·m - 1 rows at 1/t, as many as the other has at -1/t."""
    views = torch.tensor([[1.0], [1.0], [-1.0], [-1.0]], dtype=torch.float64).expand(3, 4, 1)
    found = multiview_contrast(views, torch.tensor([0, 0, 1, 1]), 0.5)
    assert found.item() == pytest.approx(math.log(5 + 6 * math.exp(-4)))


def test_rows_without_positives_do_not_count():
    view = normal(5, 1, 4, 3)
    assert multiview_contrast(view, torch.tensor([-1, 0, 1, 2]), 0.5).item() == 0
    some = multiview_contrast(view, torch.tensor([0, 0, 1, -1]), 0.5).item()
    assert some == pytest.approx(literal(view.numpy(), [0, 0, 1, -1], 0.5))


def test_a_low_temperature_is_finite():
    views = normal(6, 3, 8, 4).float().requires_grad_()
    value = multiview_contrast(views, torch.arange(8) % 2, 1e-3)
    value.backward()
    assert math.isfinite(value.item())
    assert torch.isfinite(views.grad).all()


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(3, 2\) and \(2,\)"):
        inspect.unwrap(multiview_contrast)(torch.ones(3, 2), torch.zeros(2, dtype=torch.int64), 0.5)
