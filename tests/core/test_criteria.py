"""Label-free criteria against scikit-learn and slow loops, at the borders, and through `fit`."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import silhouette_score

from core.evaluation import label_free as criteria
from core.evaluation.clustering import evaluate
from core.evaluation.label_free import Subsample, euclidean, feature_criteria, label_free, silhouette, subsample_rows
from core.evaluation.outputs import Outputs


def points(m=60, dim=5, seed=0, scale=1.0, offset=0.0):
    return (np.random.default_rng(seed).normal(size=(m, dim)) * scale + offset).astype(np.float32)


def consistency(samples, labels):
    """The share of the ten nearest others that have the same label, one sample after the other."""
    shares = []
    for i, sample in enumerate(samples):
        order = np.argsort(np.linalg.norm(samples - sample, axis=1), kind="stable")
        nearest = [j for j in order if j != i][: criteria.NEIGHBOURS]
        shares.append(np.mean([labels[j] == labels[i] for j in nearest]))
    return float(np.mean(shares))


@pytest.mark.parametrize(("scale", "offset"), [(1, 0), (1e-4, 1), (1e18, 0), (1, 100)])
@pytest.mark.parametrize("dim", [1, 5, 5000])
def test_the_silhouette_is_that_of_scikit_learn(dim, scale, offset):
    samples = points(m=80, dim=dim, scale=scale, offset=offset)
    labels = np.random.default_rng(1).integers(0, 6, 80) * 3  # ids with gaps
    labels[0] = 50  # alone in its cluster
    centred = samples.astype(np.float64) - samples.astype(np.float64).mean(axis=0)
    expected = silhouette_score(centred / np.abs(centred).max(), labels)
    assert silhouette(euclidean(samples), labels) == pytest.approx(expected, abs=1e-5)


@given(st.integers(0, 10**6), st.integers(2, 40), st.integers(1, 8))
def test_the_silhouette_of_any_labels(seed, m, k):
    samples, labels = points(m, seed=seed), np.random.default_rng(seed).integers(0, k, m)
    found = silhouette(euclidean(samples), labels)
    if len(set(labels)) == 1:
        assert found is None
    elif len(set(labels)) == m:
        assert found == 0
    else:
        assert found == pytest.approx(silhouette_score(samples, labels), abs=1e-5)


def test_points_that_are_all_the_same_have_silhouette_zero():
    assert silhouette(euclidean(np.ones((6, 3), np.float32)), np.array([0, 0, 0, 1, 1, 1])) == 0


def test_distances_are_euclidean_up_to_one_factor():
    samples = points()
    expected = np.linalg.norm(samples[:, None] - samples[None], axis=2)
    found = euclidean(samples)
    factor = expected.max() / found.max()
    assert np.allclose(found * factor, expected, atol=1e-5)


@pytest.mark.parametrize("m", [2, 5, 11, 12, 60])
def test_neighbours_agree_with_a_slow_loop(m):
    samples, labels = points(m), np.random.default_rng(2).integers(0, 3, m)
    assert Subsample.of(samples).criteria(labels)["knn_consistency"] == pytest.approx(consistency(samples, labels))


def test_images_are_measured_as_vectors():
    images, labels = points(40, 12).reshape(40, 3, 2, 2), np.arange(40) % 4
    assert Subsample.of(images).criteria(labels) == Subsample.of(images.reshape(40, 12)).criteria(labels)


def test_duplicates_share_the_last_place_among_neighbours():
    samples = np.repeat(points(3), 20, axis=0)
    assert Subsample.of(samples).criteria(np.repeat([0, 1, 2], 20))["knn_consistency"] == 1


def test_one_cluster_has_no_silhouette_and_one_sample_no_neighbours():
    assert Subsample.of(points()).criteria(np.zeros(60, np.int64)) == {"knn_consistency": 0}
    assert Subsample.of(points(1)).criteria(np.zeros(1, np.int64)) == {}
    assert set(feature_criteria(points(), np.zeros(60, np.int64))) == {"feature_std"}


def test_the_probe_depends_on_the_number_of_samples_alone():
    assert subsample_rows(2000).tolist() == list(range(2000))
    rows = subsample_rows(60000)
    assert np.array_equal(rows, subsample_rows(60000))
    assert len(set(rows.tolist())) == criteria.SUBSAMPLE
    assert np.all(np.diff(rows) > 0)
    # Fair to data in order of class, and to data whose classes take turns.
    for labels in (np.arange(60000) // 6000, np.arange(60000) % 10):
        assert 150 < np.bincount(labels[rows]).min() <= np.bincount(labels[rows]).max() < 250


def test_the_criteria_know_a_good_clustering_from_chance():
    truth = np.arange(90) % 3
    samples = points(90) + np.eye(3, 5, dtype=np.float32)[truth] * 8
    subsample, chance = Subsample.of(samples), np.random.default_rng(0).permutation(truth)
    good, bad = subsample.criteria(truth), subsample.criteria(chance)
    assert good["raw_silhouette"] > bad["raw_silhouette"] + 0.4
    assert good["knn_consistency"] > bad["knn_consistency"] + 0.5


def test_the_spread_of_features_tells_a_sphere_from_a_point():
    sphere = points(2000, 64)
    sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
    labels = np.arange(2000) % 2
    assert feature_criteria(sphere, labels)["feature_std"] == pytest.approx(1, abs=0.02)
    point = np.tile(sphere[:1], (2000, 1))
    assert feature_criteria(point, labels)["feature_std"] == pytest.approx(0, abs=1e-5)


def test_the_label_free_score_is_the_mean_of_what_is_there():
    found = {"raw_silhouette": 0.2, "head_kmeans_nmi": 0.8, "knn_consistency": 0.7, "mutual_information": 0.5}
    assert label_free(found | {"silhouette": 9.0}) == pytest.approx((0.6 + 0.8 + 0.7 + 0.5) / 4)
    assert label_free({"knn_consistency": 0.7}) == 0.7
    assert label_free({"confidence": 1.0}) is None


class Fixed(torch.nn.Module):
    """A method whose outputs are given."""

    def __init__(self, features, probabilities=None):
        super().__init__()
        self.given = Outputs(torch.from_numpy(features), probabilities)

    def input_clusters(self, _samples):
        return None

    def outputs(self, _samples):
        return self.given


def scored(method, samples, k):
    return evaluate(
        method,
        torch.from_numpy(samples),
        None,
        n_clusters=k,
        seed=0,
        previous=None,
        last=True,
        subsample=Subsample.of(samples),
    )


def test_an_evaluation_holds_all_criteria_and_the_labels_of_the_probe():
    samples = points(90)
    ids = torch.tensor([0, 2, 4])[torch.arange(90) % 3]
    scores = scored(Fixed(samples, torch.nn.functional.one_hot(ids, 5).float()), samples, 5)
    names = {"raw_silhouette", "silhouette", "knn_consistency", "feature_std", "head_kmeans_nmi", "label_free"}
    assert names <= set(scores.health)
    assert scores.health["label_free"] == label_free(scores.health)
    assert scores.probe_labels.tolist() == [i % 3 for i in range(90)]
    assert scores.cluster_sizes.tolist() == [30, 0, 30, 0, 30]


def test_a_method_without_a_head_is_not_praised_for_agreeing_with_itself():
    samples = points(90)
    health = scored(Fixed(samples), samples, 3).health
    assert "head_kmeans_nmi" not in health
    assert {"raw_silhouette", "knn_consistency", "label_free"} <= set(health)


def test_one_cluster_is_evaluated():
    samples = points(30)
    health = scored(Fixed(samples, torch.ones(30, 1)), samples, 1).health
    assert "raw_silhouette" not in health
    assert 0 <= health["label_free"] <= 1
