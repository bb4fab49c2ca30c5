"""Clusters by shared neighbours: the graph and the agreement against literal loops, and data of many forms."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import make_blobs, make_circles, make_moons
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import scale

from core.evaluation import shared_neighbours
from core.evaluation.shared_neighbours import NEIGHBOURS, SharedNeighbours


def rng(seed=0) -> np.random.Generator:
    return np.random.default_rng(seed)


def found(rows, k, seed=0) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return SharedNeighbours.of(np.asarray(rows, np.float32)).clusters(k, seed=seed)


@pytest.fixture(scope="module")
def blobs():
    return make_blobs(200, 8, centers=5, random_state=0)


@pytest.mark.parametrize(("n", "count"), [(60, NEIGHBOURS), (9, 8)])
def test_an_edge_weighs_the_share_of_common_neighbours(n, count):
    rows = rng().normal(size=(n, 3)).astype(np.float32)
    near = NearestNeighbors(n_neighbors=count).fit(rows).kneighbors(return_distance=False)
    sets = [{i, *near[i].tolist()} for i in range(n)]
    expected = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if i != j and (i in sets[j] or j in sets[i]):
                expected[i, j] = len(sets[i] & sets[j]) / len(sets[i] | sets[j])
    np.testing.assert_allclose(shared_neighbours._shared(rows).toarray(), expected, rtol=1e-6)


@pytest.mark.parametrize("labels", [np.arange(60) % 4, np.minimum(np.arange(60), 1), np.repeat([0, 2], 30)])
def test_agreement_is_the_assortativity_of_the_graph(labels):
    graph = SharedNeighbours.of(rng().normal(size=(60, 6)).astype(np.float32))
    edges, mixing = graph.graph.toarray(), np.zeros((4, 4))
    for i in range(60):
        for j in range(60):
            mixing[labels[i], labels[j]] += edges[i, j]
    mixing /= mixing.sum()
    chance = (mixing.sum(axis=0) * mixing.sum(axis=1)).sum()
    expected = (np.trace(mixing) - chance) / (1 - chance)
    assert graph.agreement(labels) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("rows", [np.zeros((30, 4)), rng().normal(size=(300, 5))])
def test_one_cluster_agrees_no_better_than_chance(rows):
    graph = SharedNeighbours.of(rows.astype(np.float32))
    assert graph.agreement(np.zeros(len(rows), np.int64)) == graph.agreement(np.full(len(rows), 2)) == 0


def test_blobs_are_found_and_agree_with_their_neighbours(blobs):
    rows, labels = blobs
    graph = SharedNeighbours.of(rows.astype(np.float32))
    own = graph.clusters(5, seed=0)
    assert adjusted_rand_score(labels, own) == 1
    assert graph.agreement(own) > 0.95
    assert graph.agreement(rng().permutation(own)) == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("make", [make_moons, lambda n, **options: make_circles(n, factor=0.5, **options)])
def test_clusters_may_have_any_form(make):
    rows, labels = make(300, noise=0.05, random_state=0)
    assert adjusted_rand_score(labels, found(scale(rows), 2)) == 1


def test_a_cluster_may_be_30_times_smaller_than_another():
    labels = np.arange(620) < 20
    own = found(scale(rng().normal(size=(620, 8)) + 6 * labels[:, None]), 2)
    small = own == own[0]
    assert small[labels].all()
    assert small.sum() <= 40


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: np.column_stack([rows, np.full(len(rows), 7.0), np.zeros(len(rows))]),  # constant columns
        lambda rows: rows * [20, *[1] * 7],  # one column in another unit
        lambda rows: rows + 300,
        lambda rows: rows * 1e-15,
        lambda rows: rows * 1e15,
        lambda rows: np.column_stack([rows, np.zeros((len(rows), 300))]),
    ],
)
def test_what_says_nothing_of_clusters_does_not_hide_them(change, blobs):
    rows, labels = blobs
    assert adjusted_rand_score(labels, found(change(rows), 5)) == 1


@pytest.mark.parametrize("copies", [10, 40])
def test_equal_samples_are_together(copies):
    rows = np.repeat(rng().normal(size=(4, 5)), copies, axis=0)
    assert adjusted_rand_score(np.repeat(np.arange(4), copies), found(rows, 4)) == 1


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(2, 24), st.data())
def test_there_are_as_many_clusters_as_are_asked_for(n, data):
    k = data.draw(st.integers(1, n), "clusters")
    columns = data.draw(st.sampled_from([1, 2, 5, 120]), "columns")
    different = data.draw(st.integers(1, n), "different rows")
    rows = rng(n).normal(size=(different, columns))[np.arange(n) % different]
    labels = found(rows, k)
    assert labels.shape == (n,)
    assert set(labels.tolist()) == set(range(k))


def test_the_same_seed_gives_the_same_bits(blobs):
    rows = rng().normal(size=(200, 8))
    first, again = (SharedNeighbours.of(rows.astype(np.float32)) for _ in range(2))
    assert (first.graph != again.graph).nnz == 0
    assert first.clusters(6, seed=3).tobytes() == again.clusters(6, seed=3).tobytes() == found(rows, 6, 3).tobytes()


def test_directions_are_those_of_a_discriminant_analysis(monkeypatch, blobs):
    monkeypatch.setattr(shared_neighbours, "_SHRUNK", 0.0)
    rows, labels = blobs
    expected = LinearDiscriminantAnalysis(solver="eigen").fit(rows, labels).transform(rows)
    directions = shared_neighbours._discriminants(rows.astype(np.float32), labels)[:, ::-1]
    assert directions.shape == (200, 4)
    for ours, theirs in zip(directions.T, expected.T, strict=True):
        assert abs(np.corrcoef(ours, theirs)[0, 1]) > 0.9999
        within = np.mean([ours[labels == k].var() for k in range(5)])
        assert within == pytest.approx(1, rel=1e-3)


def test_many_samples_have_four_scalings(monkeypatch):
    rows = rng().normal(size=(80, 6)).astype(np.float32)
    ranks = shared_neighbours._normal_ranks(rows)
    assert len(list(shared_neighbours._scalings(rows, ranks))) == 7
    monkeypatch.setattr(shared_neighbours, "_ALL_SCALINGS", 79)
    assert len(list(shared_neighbours._scalings(rows, ranks))) == 4


def test_ranks_are_quantiles_of_the_normal_distribution():
    from scipy.stats import norm

    ranks = shared_neighbours._normal_ranks(np.array([[5.0], [1.0], [9.0], [1.0]]))
    np.testing.assert_allclose(ranks[:, 0], norm.ppf([2.5 / 4, 1 / 4, 3.5 / 4, 1 / 4]), rtol=1e-6)
