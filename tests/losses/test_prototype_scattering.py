"""ProPos's scattering against a literal loop in float64, its gradient, and values known in closed form."""

import inspect
import math

import numpy as np
import pytest
import torch

from losses.prototype_scattering import prototype_scattering


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def literal(online: np.ndarray, target: np.ndarray, labels: list[int], temperature: float) -> float:
    clusters = sorted(set(labels))

    def prototype(features: np.ndarray, k: int) -> np.ndarray:
        return unit(np.mean([unit(row) for row, label in zip(features, labels, strict=True) if label == k], axis=0))

    m = {k: prototype(online, k) for k in clusters}
    t = {k: prototype(target, k) for k in clusters}
    total = 0.0
    for k in clusters:
        own = math.exp(m[k] @ t[k] / temperature)
        others = sum(math.exp(m[k] @ m[j] / temperature) for j in clusters if j != k)
        total -= math.log(own / (own + others))
    return total / len(clusters)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize("labels", [[0], [3, 3], [1, 0], [0, 7, 7, 2, 0, 2, 2], [4] * 5])
def test_it_is_the_literal_one(labels, temperature):
    online, target = normal(1, len(labels), 4), normal(2, len(labels), 4)
    expected = literal(online.numpy(), target.numpy(), labels, temperature)
    found = prototype_scattering(online, target, torch.tensor(labels), temperature)
    assert found.item() == pytest.approx(expected, abs=1e-12)


def test_gradient():
    online, target = normal(3, 6, 3).requires_grad_(), normal(4, 6, 3)
    labels = torch.tensor([0, 0, 2, 2, 5, 5])
    assert torch.autograd.gradcheck(lambda u: prototype_scattering(u, target, labels, 0.5), (online,))


def test_equal_prototypes_give_the_chance_value_and_one_cluster_nothing():
    ones = torch.ones(6, 2, dtype=torch.float64)
    assert prototype_scattering(ones, ones, torch.arange(6), 0.5).item() == pytest.approx(math.log(6))
    assert prototype_scattering(ones, ones, torch.full((6,), 3), 0.5).item() == pytest.approx(0, abs=1e-12)


def test_orthogonal_prototypes_in_closed_form():
    eye = torch.eye(4, dtype=torch.float64)
    expected = math.log(math.exp(2) + 3) - 2
    assert prototype_scattering(eye, eye, torch.arange(4), 0.5).item() == pytest.approx(expected)


def test_names_of_clusters_do_not_matter():
    online, target = normal(5, 6, 3), normal(6, 6, 3)
    first, second = torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([9, 9, 0, 0, 4, 4])
    values = [prototype_scattering(online, target, labels, 0.5).item() for labels in (first, second)]
    assert values[0] == pytest.approx(values[1])


def test_a_cluster_whose_features_cancel_is_finite():
    online = torch.tensor([[1.0, 0], [-1, 0], [0, 1]], requires_grad=True)
    loss = prototype_scattering(online, online.detach(), torch.tensor([0, 0, 1]), 0.5)
    (gradient,) = torch.autograd.grad(loss, online)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(3, 2\), \(3, 2\) and \(2,\)"):
        inspect.unwrap(prototype_scattering)(torch.ones(3, 2), torch.ones(3, 2), torch.zeros(2, dtype=torch.int64), 0.5)
