"""Very unequal clusters: found by the graph of neighbours where k-means cuts the largest, and nowhere else."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from core.evaluation import kmeans
from core.evaluation.spectral import unequal_clusters

COUNTS = (900, 60, 40, 30)


def groups(counts) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows: the first group is wide, the others lie close together beside it."""
    random, labels = np.random.default_rng(0), np.repeat(np.arange(len(counts)), counts)
    rows = np.eye(8)[labels] + 0.05 * random.normal(size=(len(labels), 8))
    rows[labels == 0, 4:7] += random.uniform(-1, 1, size=(counts[0], 3))
    return kmeans.unit_rows(rows.astype(np.float32)), labels


def test_very_unequal_clusters_are_found_where_k_means_cuts_the_largest():
    rows, labels = groups(COUNTS)
    assert adjusted_rand_score(labels, kmeans.kmeans(rows, 4, seed=0, starts=10).labels) < 0.3
    found = unequal_clusters(rows, 4, seed=0)
    assert found is not None
    assert adjusted_rand_score(labels, found.labels) > 0.8
    assert np.bincount(found.labels, minlength=4).max() > 800


def test_clusters_of_about_equal_size_are_left_to_k_means():
    random, labels = np.random.default_rng(0), np.repeat(np.arange(4), (150, 120, 100, 80))
    rows = kmeans.unit_rows((np.eye(8)[labels] + 0.3 * random.normal(size=(450, 8))).astype(np.float32))
    assert unequal_clusters(rows, 4, seed=0) is None


def test_a_sample_of_many_rows_finds_them_too_and_the_same_bits_again(monkeypatch):
    rows, labels = groups(tuple(4 * one for one in COUNTS))
    monkeypatch.setattr(kmeans, "SAMPLE", 1500)
    first, second = (unequal_clusters(rows, 4, seed=3) for _ in range(2))
    assert len(first.labels) == len(labels)
    assert adjusted_rand_score(labels, first.labels) > 0.8
    assert all(np.array_equal(getattr(first, one), getattr(second, one)) for one in ("labels", "centroids", "offsets"))


@pytest.mark.parametrize("rows", [np.zeros((40, 3)), np.ones((5, 3)), np.repeat(np.eye(5), (1, 1, 30, 300, 2), axis=0)])
@pytest.mark.parametrize("clusters", [1, 4, 9])
def test_rows_that_cannot_be_told_apart_or_hardly_suffice(rows, clusters):
    found = unequal_clusters(kmeans.unit_rows(rows.astype(np.float32)), clusters, seed=0)
    assert found is None or (np.isfinite(found.centroids).all() and set(found.labels) <= set(range(clusters)))


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (6, 2, 1, 1)])
def test_clusters_get_the_sizes_that_are_given(sizes):
    rows = np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32)
    begin = kmeans.kmeans(rows, 4, seed=0)
    found = kmeans.of_sizes(rows, begin.centroids, begin.offsets, np.array(sizes, np.float32))
    assert np.bincount(found.labels, minlength=4) / 1000 == pytest.approx(np.array(sizes) / sum(sizes), abs=0.06)
