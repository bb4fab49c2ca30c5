"""K-means that is the same everywhere, and the number of clusters when nobody knows it."""

import numpy as np
import pytest

from core import assign
from core.config import count_clusters, read_trial
from core.data import Dataset
from core.schema import Mistakes


def blobs(k: int, n: int = 300, dim: int = 12) -> np.ndarray:
    rng = np.random.default_rng(k)
    centres = np.linalg.qr(rng.normal(size=(dim, dim)))[0][:k]
    return (centres[np.arange(n) % k] + 0.1 * rng.normal(size=(n, dim))).astype(np.float32)


@pytest.mark.parametrize("k", [2, 3, 7, 12])
def test_the_number_of_well_separated_groups_is_found(k):
    assert assign.estimate_n_clusters(blobs(k)) == k


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_handful_of_samples_has_some_number(n):
    assert 1 <= assign.estimate_n_clusters(blobs(2, n)) <= n


def test_auto_is_the_estimate():
    config = read_trial({"n_clusters": "auto"}, (), Mistakes())
    data = Dataset(name="b", samples=blobs(4), labels=None, class_names=(), fingerprint="auto-4")
    assert count_clusters(config, data) == 4


def test_the_same_seed_gives_the_same_bits_and_centroids_start_where_they_are_told():
    features = blobs(5)
    first, second = (assign.kmeans(features, 5, seed=3) for _ in range(2))
    assert np.array_equal(first.centroids, second.centroids)
    again = assign.kmeans(features, 5, seed=99, centroids=first.centroids)
    assert np.array_equal(again.labels, first.labels)


def test_starts_on_a_sample_end_where_starts_on_everything_do(monkeypatch):
    features = blobs(5, 3000)
    whole = assign.kmeans(features, 5, seed=0, starts=10)
    monkeypatch.setattr(assign, "SAMPLE", 200)
    first, second = (assign.kmeans(features, 5, seed=0, starts=10) for _ in range(2))
    assert np.array_equal(first.labels, second.labels)
    assert np.array_equal(first.centroids, second.centroids)
    # The same groups, perhaps under other numbers, and centroids that are means of all rows.
    assert len(set(zip(first.labels, whole.labels, strict=True))) == 5
    means = [features[first.labels == k].mean(axis=0) for k in range(5)]
    assert np.allclose(first.centroids, means, atol=1e-4)


def test_more_clusters_than_the_sample_has_rows_are_found(monkeypatch):
    monkeypatch.setattr(assign, "SAMPLE", 5)
    assert len(np.unique(assign.kmeans(blobs(12, 600), 12, seed=0, starts=3).labels)) == 12


def test_unit_rows_have_length_one_and_zero_stays_zero():
    rows = assign.unit_rows(np.array([[3.0, 4.0], [0, 0]], dtype=np.float32))
    assert rows.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0]]
