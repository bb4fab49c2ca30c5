"""Ranks, recall and reciprocal ranks against a slow implementation, in any chunks; what is equal finds nothing."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.evaluation import retrieval
from tests.losses.test_pairs import peak
from tests.rates import highest, lowest


def literal_ranks(p, t) -> tuple[list[int], list[int]]:
    """One by one: how many others (but for those with the same target) are at least as similar as the own one."""
    p = [row / np.linalg.norm(row) for row in p.numpy()]
    u = [row / np.linalg.norm(row) for row in t.numpy()]
    n = len(p)
    others = [[j for j in range(n) if not np.array_equal(t[j], t[i])] for i in range(n)]
    forward = [1 + sum(p[i] @ u[j] >= p[i] @ u[i] - 1e-6 for j in others[i]) for i in range(n)]
    backward = [1 + sum(p[j] @ u[i] >= p[i] @ u[i] - 1e-6 for j in others[i]) for i in range(n)]
    return forward, backward


@given(seed=st.integers(0, 10_000), n=st.integers(1, 25), held=st.sampled_from([1, 40, 100, 1 << 24]))
def test_ranks_are_the_literal_ones_in_any_chunks(seed, n, held):
    generator = torch.Generator().manual_seed(seed)
    p = torch.randn(n, 3, dtype=torch.float64, generator=generator)
    t = torch.randn(n, 3, dtype=torch.float64, generator=generator)
    t[: n // 3] = t[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrieval, "_HELD", held)
        forward, backward = retrieval.ranks(p, t)
    assert (forward.tolist(), backward.tolist()) == literal_ranks(p, t)


def test_perfect_predictions_find_everything_and_shifted_ones_nothing():
    t = torch.randn(50, 20, generator=torch.Generator().manual_seed(0))
    perfect, shifted = retrieval.scores(3 * t, t), retrieval.scores(t.roll(1, dims=0), t)
    assert {name: perfect[name] for name in ("recall_at_1", "mrr", "reverse_recall_at_1", "reverse_mrr")} == {
        "recall_at_1": 1.0,
        "mrr": 1.0,
        "reverse_recall_at_1": 1.0,
        "reverse_mrr": 1.0,
    }
    assert shifted["recall_at_1"] == shifted["reverse_recall_at_1"] == 0
    assert perfect["recall_chance"] == 1 / 50


def test_predictions_that_have_collapsed_find_nothing():
    """All equal: whoever breaks ties by order would count one of them right, or all."""
    t = torch.randn(30, 4, generator=torch.Generator().manual_seed(1))
    found = retrieval.scores(torch.ones(30, 4), t)
    assert found["reverse_recall_at_1"] == found["reverse_recall_at_10"] == 0
    assert found["recall_at_1"] == pytest.approx(1 / 30)  # the target nearest to that one point
    assert retrieval.accuracy(torch.ones(30, 4), t) == pytest.approx(1 / 30)


def test_recall_and_reciprocal_rank_are_those_of_the_ranks():
    p, t = (torch.randn(200, 5, generator=torch.Generator().manual_seed(seed)) for seed in (2, 3))
    found, (forward, backward) = retrieval.scores(p, t), retrieval.ranks(p, t)
    for prefix, places in (("", forward), ("reverse_", backward)):
        for depth in (1, 5, 10):
            assert found[f"{prefix}recall_at_{depth}"] == pytest.approx(np.mean(places.numpy() <= depth))
        assert found[f"{prefix}mrr"] == pytest.approx(np.mean(1 / places.numpy()))


def test_random_predictions_retrieve_as_chance_does(repeats):
    """400 pairs, ten times: recall at 10 of chance is 0.025, its deviation over 4,000 queries 0.0025."""
    found = []
    for seed in range(repeats(10)):
        generator = torch.Generator().manual_seed(seed)
        found.append(
            retrieval.scores(torch.randn(400, 8, generator=generator), torch.randn(400, 8, generator=generator))
        )
    chance, queries = 10 * found[0]["recall_chance"], 400 * len(found)
    recall = np.mean([one["recall_at_10"] for one in found])
    assert lowest(chance, queries, ordinary=0.015) <= recall <= highest(chance, queries, ordinary=0.035)


def test_memory_does_not_grow_with_the_square(root):
    """8,192 x 8,192 similarities are 256 MB, and twice that with what is made of them: it must take a part of it."""
    code = """
from core.evaluation.retrieval import ranks
def work(n):
    ranks(torch.randn(2 * n, 8), torch.randn(2 * n, 8))
"""
    assert peak(code, root) < 200
