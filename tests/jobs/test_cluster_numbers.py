"""The numbers on clusters, each against scikit-learn or a slow computation."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.decomposition import PCA
from sklearn.metrics import confusion_matrix, recall_score

from core.data.scaling import Scaling
from core.data.stored import Stored
from core.evaluation import metrics
from jobs.analysis.clusters import confusion, differing, drawn, least_sure, nearest, project


def clustering(seed, n_classes, n_clusters, n=300):
    """Labels, a third of them wrong, with names of clusters that are shuffled; some samples have no label."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_classes, n)
    names = rng.permutation(n_clusters)
    clusters = names[np.where(rng.random(n) < 0.6, labels % n_clusters, rng.integers(0, n_clusters, n))]
    labels[rng.random(n) < 0.1] = -1
    return clusters, labels


@pytest.mark.parametrize(("n_classes", "n_clusters"), [(5, 5), (4, 7), (7, 4), (1, 3), (3, 1)])
@pytest.mark.parametrize("seed", range(3))
def test_the_confusion_is_scikit_learns_after_matching(seed, n_classes, n_clusters):
    clusters, labels = clustering(seed, n_classes, n_clusters)
    found = confusion(clusters, labels)
    known = labels >= 0
    assert found.unlabelled == (~known).sum()
    assert found.matched == min(n_classes, n_clusters)
    # Each cluster takes the name of its class, those without one names that no class has.
    names = {int(c): 1000 + int(c) for c in found.clusters}
    names |= dict(zip(found.clusters[: found.matched].tolist(), found.classes[: found.matched].tolist(), strict=True))
    predicted = np.array([names[one] for one in clusters[known].tolist()])
    order = [names[one] for one in found.clusters.tolist()]
    every = confusion_matrix(
        labels[known], predicted, labels=[*found.classes.tolist(), *(o for o in order if o >= 1000)]
    )
    columns = [[*found.classes.tolist(), *(o for o in order if o >= 1000)].index(one) for one in order]
    assert (every[: len(found.classes)][:, columns] == found.counts).all()
    assert found.accuracy == pytest.approx(metrics.scores(clusters[known], labels[known])["acc"])
    recalls = recall_score(labels[known], predicted, labels=found.classes.tolist(), average=None, zero_division=0)
    assert found.recalls == pytest.approx(recalls)


def test_a_cluster_of_unlabelled_samples_alone_is_counted_as_empty():
    found = confusion(np.array([0, 0, 1, 2, 2]), np.array([1, 1, -1, 0, 0]))
    assert found.counts.tolist() == [[2, 0, 0], [0, 2, 0]]
    assert found.clusters.tolist() == [2, 0, 1]
    assert found.classes.tolist() == [0, 1]
    assert confusion(np.array([0, 1]), np.array([-1, -1])) is None


def test_typical_and_unsure_samples_also_where_numbers_are_missing():
    members = np.array([1, 3, 4, 6])
    nan = np.nan
    distances = np.array([0, 0.5, 0, 0.1, 0.9, 0, 0.1])
    probabilities = np.array([1, 0.9, 1, 0.8, 0.3, 1, 0.99])
    assert nearest(members, distances, probabilities, 3).tolist() == [6, 3, 1]
    assert least_sure(members, distances, probabilities, 2).tolist() == [4, 3]
    unknown = np.full(7, nan)
    assert nearest(members, unknown, probabilities, 2).tolist() == [6, 1]
    assert least_sure(members, distances, unknown, 2).tolist() == [4, 1]
    assert nearest(members, unknown, unknown, 9).tolist() == [1, 3, 4, 6]


def slow_effect(samples, clusters, cluster, feature):
    inside, outside = samples[clusters == cluster, feature], samples[clusters != cluster, feature]
    unit = np.sqrt((inside.var() + outside.var()) / 2) or samples[:, feature].std()
    return (inside.mean() - outside.mean()) / unit


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_features_that_differ_are_those_of_a_slow_computation(offset):
    rng = np.random.default_rng(0)
    clusters = np.repeat([0, 1, 4], [50, 30, 20])
    samples = rng.normal(size=(100, 6)) * [1, 2, 3, 4, 5, 0] + offset
    samples[clusters == 4, 2] += 9
    samples[:, 5] = clusters == 1  # Constant in each cluster: the deviation of all samples is the unit.
    found = differing(samples, clusters, 4)
    assert sorted(found) == [0, 1, 4]
    for cluster, several in found.items():
        every = [slow_effect(samples, clusters, cluster, feature) for feature in range(6)]
        order = sorted(range(6), key=lambda feature: -abs(every[feature]))[:4]
        assert [one.feature for one in several] == order
        assert [one.effect for one in several] == pytest.approx([every[feature] for feature in order], rel=1e-4)
        for one in several:
            assert one.inside == pytest.approx(samples[clusters == cluster, one.feature].mean())
            assert one.outside == pytest.approx(samples[clusters != cluster, one.feature].mean())


def test_a_sparse_matrix_gives_what_its_dense_one_gives():
    rng = np.random.default_rng(0)
    dense = rng.poisson(0.2, size=(90, 8)).astype(np.float32)
    clusters = np.arange(90) % 3
    stored = Stored(csr_matrix(dense), Scaling.of(dense, "none")[0], (0, float(dense.max())))
    assert differing(stored, clusters, 5) == differing(dense, clusters, 5)


def test_a_single_cluster_and_constant_features_have_no_difference():
    assert differing(np.ones((5, 2)), np.zeros(5, np.int64), 3) == {}
    assert differing(np.ones((4, 2)), np.array([0, 0, 1, 1]), 3) == {0: [], 1: []}


def test_the_map_by_pca_is_scikit_learns_and_the_sample_of_rows_repeats():
    samples = np.random.default_rng(0).normal(size=(60, 3, 2, 2)).astype(np.float32)
    rows = drawn(np.zeros(60), 40)
    assert rows.tolist() == drawn(np.zeros(60), 40).tolist() == sorted(set(rows.tolist()))
    assert drawn(np.zeros(60), 60).tolist() == list(range(60))
    found = project(samples[rows], rows, by_umap=False)
    reference = PCA(2, random_state=0).fit(samples[rows].reshape(40, -1))
    assert found.places == pytest.approx(reference.transform(samples[rows].reshape(40, -1)), abs=1e-5)
    assert found.explained == pytest.approx(reference.explained_variance_ratio_.sum())
    assert found.method == "PCA"


@pytest.mark.parametrize("samples", [np.ones((5, 3)), np.arange(4.0)[:, None], np.ones((1, 2))])
def test_a_map_of_odd_samples_is_on_a_plane(samples):
    found = project(samples, np.arange(len(samples)), by_umap=False)
    assert found.places.shape == (len(samples), 2)
    assert np.isfinite(found.places).all()
