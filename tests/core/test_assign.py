"""K-means that is the same everywhere, and the number of clusters of a trial."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

from core.config import plugins
from core.config.schema import Mistakes
from core.config.trial import read_trial, to_mapping
from core.data.dataset import Dataset
from core.evaluation import cluster_count, clustering, kmeans
from core.evaluation.cluster_count import ClusterCount
from core.training.fit import fit
from core.training.n_clusters import count_clusters, found_signals
from jobs.execution.runner import check_data
from jobs.study.sections import Select


def blobs(k: int, n: int = 300, dim: int = 12) -> np.ndarray:
    rng = np.random.default_rng(k)
    centres = np.linalg.qr(rng.normal(size=(dim, dim)))[0][:k]
    return (centres[np.arange(n) % k] + 0.1 * rng.normal(size=(n, dim))).astype(np.float32)


def test_auto_is_the_estimate():
    config = read_trial({"n_clusters": "auto"}, (), Mistakes())
    data = Dataset(name="b", samples=blobs(4), labels=None, class_names=(), fingerprint="auto-4")
    assert count_clusters(config, data) == 4


def in_parts(fingerprint: str) -> Dataset:
    """3 groups to train on, and 5 more that are held out."""
    groups = np.arange(320) % 8
    samples = blobs(8, 320)
    return Dataset("b", samples, None, (), fingerprint, parts=np.where(groups < 3, 0, 2).astype(np.int8))


def test_the_estimate_of_a_part_is_its_own_whatever_was_asked_before():
    config = read_trial({"n_clusters": "auto"}, (), Mistakes())
    data = in_parts("parts")
    asked = [data.part("train"), data, data.part("train"), data.part("test"), data]
    assert [count_clusters(config, one) for one in asked] == [3, 8, 3, 5, 8]
    assert count_clusters(config, in_parts("again").part("test")) == 5


def test_the_data_check_estimates_on_what_is_trained_on(monkeypatch):
    asked: list[int] = []

    def estimated(samples: np.ndarray) -> ClusterCount:
        asked.append(len(samples))
        return ClusterCount(3, 2, 5, {}, "as told")

    monkeypatch.setattr(cluster_count, "estimate_n_clusters", estimated)
    monkeypatch.setattr(plugins, "load", lambda _kind, _name: lambda **_options: in_parts("checked"))
    config = read_trial({"n_clusters": "auto"}, (), Mistakes())
    trial = SimpleNamespace(config=config, config_key="c", data_hash="x")
    search = SimpleNamespace(name="grid", scheduler="none")
    study = SimpleNamespace(
        search=search, select=Select(metric="consensus"), metric_written=True, trial=to_mapping(config), space={}
    )
    check_data(SimpleNamespace(trials=[trial], study=study))
    assert asked == [120]
    assert count_clusters(config, in_parts("checked").part("train")) == 3
    signals = {"n_clusters_found": 3.0, "n_clusters_low": 2.0, "n_clusters_high": 5.0}
    training = in_parts("checked").part("train")
    assert found_signals(config, training, 1) == signals
    assert found_signals(config, training, 2) == found_signals(replace(config, n_clusters=3), training, 1) == {}
    assert asked == [120]  # and training finds it


def test_a_trial_tells_what_was_found_once():
    given = {"n_clusters": "auto", "method": {"name": "cc"}, "epochs": 2, "encoder": {"name": "mlp", "widths": [8]}}
    config = read_trial(given, (), Mistakes())
    first, second = fit(config, in_parts("trained"), seed=0)
    found = {name: value for name, value in first.health.items() if name.startswith("n_clusters")}
    assert found.keys() == {"n_clusters_found", "n_clusters_low", "n_clusters_high"}
    assert found["n_clusters_found"] == 3
    assert not any(name.startswith("n_clusters") for name in second.health)


def test_the_same_seed_gives_the_same_bits_and_centroids_start_where_they_are_told():
    features = blobs(5)
    first, second = (kmeans.kmeans(features, 5, seed=3) for _ in range(2))
    assert np.array_equal(first.centroids, second.centroids)
    again = kmeans.kmeans(features, 5, seed=99, centroids=first.centroids)
    assert np.array_equal(again.labels, first.labels)


def test_starts_on_a_sample_end_where_starts_on_everything_do(monkeypatch):
    features = blobs(5, 3000)
    whole = kmeans.kmeans(features, 5, seed=0, starts=10)
    monkeypatch.setattr(kmeans, "SAMPLE", 200)
    first, second = (kmeans.kmeans(features, 5, seed=0, starts=10) for _ in range(2))
    assert np.array_equal(first.labels, second.labels)
    assert np.array_equal(first.centroids, second.centroids)
    # The same groups, perhaps under other numbers, and centroids that are means of all rows.
    assert len(set(zip(first.labels, whole.labels, strict=True))) == 5
    means = [features[first.labels == k].mean(axis=0) for k in range(5)]
    assert np.allclose(first.centroids, means, atol=1e-4)


def test_more_clusters_than_the_sample_has_rows_are_found(monkeypatch):
    monkeypatch.setattr(kmeans, "SAMPLE", 5)
    assert len(np.unique(kmeans.kmeans(blobs(12, 600), 12, seed=0, starts=3).labels)) == 12


def unequal(n: int = 600, k: int = 4, dim: int = 6) -> np.ndarray:
    """Groups that touch, one of two thirds of the rows."""
    rng = np.random.default_rng(0)
    groups = np.maximum(rng.integers(2 * k - 2, size=n) - (k - 1), 0)
    return (1.5 * rng.normal(size=(k, dim))[groups] + rng.normal(size=(n, dim))).astype(np.float32)


def touching(apart: float, n: int = 600) -> np.ndarray:
    """Ten groups of equal size."""
    rng = np.random.default_rng(0)
    return (apart * rng.normal(size=(10, 6))[np.arange(n) % 10] + rng.normal(size=(n, 6))).astype(np.float32)


def squared_distances(rows: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    return np.square(rows[:, None] - centroids).sum(axis=2)


@pytest.mark.parametrize("find", [kmeans.kmeans, kmeans.balanced_kmeans])
def test_a_row_belongs_to_the_cluster_of_least_squared_distance_less_its_offset(find):
    rows = unequal()
    found = find(rows, 4, seed=0, starts=3)
    assert np.array_equal((squared_distances(rows, found.centroids) - found.offsets).argmin(axis=1), found.labels)


def test_clusters_of_equal_size_are_those_of_an_exact_assignment():
    rows = unequal()
    assert np.bincount(kmeans.kmeans(rows, 4, seed=0, starts=10).labels).max() > 1.2 * 150
    found = kmeans.balanced_kmeans(rows, 4, seed=0, starts=10)
    sizes = np.bincount(found.labels, minlength=4)
    assert sizes.min() > 0.9 * 150
    assert sizes.max() < 1.1 * 150
    # The best of all assignments of 150 rows to each of the same centroids.
    places = np.repeat(np.arange(4), 150)
    distances = squared_distances(rows, found.centroids)
    exact = places[linear_sum_assignment(distances[:, places])[1]]
    assert (found.labels == exact).mean() > 0.95
    means = np.stack([rows[exact == k].mean(axis=0) for k in range(4)])
    assert np.abs(means - found.centroids).max() < 0.1


@pytest.mark.parametrize("apart", [2.0, 3.0])
def test_single_starts_with_equal_sizes_end_in_one_place_where_those_with_free_sizes_do_not(apart):
    rows = touching(apart)
    free, equal = (
        [find(rows, 10, seed=seed).labels for seed in range(10)] for find in (kmeans.kmeans, kmeans.balanced_kmeans)
    )
    assert min(adjusted_rand_score(equal[0], other) for other in equal) > 0.9
    assert min(adjusted_rand_score(free[0], other) for other in free) < 0.9


def test_clusters_of_equal_size_on_a_sample_are_those_of_all_rows_and_the_same_bits_again(monkeypatch):
    rows = touching(3.0, 6000)
    whole = kmeans.balanced_kmeans(rows, 10, seed=0, starts=3)
    monkeypatch.setattr(kmeans, "SAMPLE", 600)
    first, second = (kmeans.balanced_kmeans(rows, 10, seed=0, starts=3) for _ in range(2))
    assert np.array_equal(first.labels, second.labels)
    assert np.array_equal(first.centroids, second.centroids)
    assert adjusted_rand_score(first.labels, whole.labels) > 0.95
    assert np.bincount(first.labels, minlength=10).min() > 0.9 * 600


@pytest.mark.parametrize(
    ("rows", "k"),
    [(np.ones((30, 3), np.float32), 3), (np.zeros((5, 2), np.float32), 5), (blobs(5, 5), 5), (blobs(2, 20), 1)],
)
def test_equal_sizes_of_rows_that_cannot_be_told_apart_or_hardly_suffice(rows, k):
    found = kmeans.balanced_kmeans(rows, k, seed=2**32 - 1, starts=2)
    assert np.isfinite(found.centroids).all()
    assert np.isfinite(found.offsets).all()
    assert set(found.labels) <= set(range(k))
    if len(np.unique(rows, axis=0)) == k:
        assert len(set(found.labels)) == k


def test_unit_rows_have_length_one_and_zero_stays_zero():
    rows = kmeans.unit_rows(np.array([[3.0, 4.0], [0, 0]], dtype=np.float32))
    assert rows.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0]]


@pytest.mark.parametrize("find", [kmeans.kmeans, kmeans.balanced_kmeans])
def test_blocks_of_rows_and_a_bound_of_passes_change_little(monkeypatch, find):
    rows = touching(3.0, 6000)
    whole = find(rows, 10, seed=0, starts=3)
    monkeypatch.setattr(kmeans, "_ROWS", 700)
    assert adjusted_rand_score(find(rows, 10, seed=0, starts=3).labels, whole.labels) > 0.99
    monkeypatch.setattr(kmeans, "LARGE", 2000)
    monkeypatch.setattr(kmeans, "SAMPLE", 2000)
    found = find(rows, 10, seed=0, starts=3)
    assert kmeans.inertia(rows, found) < 1.01 * kmeans.inertia(rows, whole)


def test_sums_and_inertia_are_as_by_hand(monkeypatch):
    monkeypatch.setattr(kmeans, "_ROWS", 7)
    rows = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    found = kmeans.kmeans(rows, 4, seed=0)
    expected = [rows[found.labels == one].sum(axis=0) for one in range(4)]
    assert np.allclose(kmeans.sums_of(rows, found.labels, 5), [*expected, np.zeros(3)], atol=1e-5)
    by_hand = np.mean([((row - found.centroids[one]) ** 2).sum() for row, one in zip(rows, found.labels, strict=True)])
    assert kmeans.inertia(rows, found) == pytest.approx(by_hand, rel=1e-5)
    assert np.array_equal(kmeans.nearest(rows, found.centroids), found.labels)


def test_of_more_than_100_clusters_at_most_three_starts_are_tried():
    rows = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)

    def found(starts, clusters=101):
        return [kmeans.kmeans(rows, clusters, seed=seed, starts=starts).labels.tolist() for seed in range(3)]

    assert found(10) == found(3) != found(1)
    assert found(10, 100) != found(3, 100)


def test_entropies_of_blocks_of_rows_are_those_of_all(monkeypatch):
    draws = torch.rand(50, 4, generator=torch.Generator().manual_seed(0))
    p = (draws / draws.sum(dim=1, keepdim=True)).double()
    by_hand = (torch.special.entr(p.mean(dim=0)).sum(), torch.special.entr(p).sum(dim=1).mean())
    monkeypatch.setattr(clustering, "_ROWS", 7)
    assert clustering.entropies(p) == pytest.approx([float(one) / math.log(4) for one in by_hand], rel=1e-12)
