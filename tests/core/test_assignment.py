"""Each sample's cluster, probability, second-best cluster and distance, against slow literal code."""

import numpy as np
import pytest

from conclus import ContrastiveClustering
from core.evaluation import assignment, kmeans
from core.evaluation.kmeans import unit_rows


@pytest.fixture
def features():
    return unit_rows(np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32))


@pytest.mark.parametrize("rows", [7, 1000])
@pytest.mark.parametrize("head", [True, False])
def test_against_literal_code(features, monkeypatch, rows, head):
    monkeypatch.setattr(kmeans, "_ROWS", rows)  # the last of several blocks is smaller
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.ones(3), size=50).astype(np.float32)
    centroids = unit_rows(rng.normal(size=(3, 4)).astype(np.float32))
    apart = np.array([[np.linalg.norm(one - centre) for centre in centroids] for one in features])
    clusters = p.argmax(axis=1) if head else apart.argmin(axis=1)
    centres = np.stack([features[clusters == k].mean(axis=0) for k in range(3)]) if head else centroids
    if head:
        np.testing.assert_allclose(assignment.centres_of(features, clusters, 3), centres, rtol=1e-5, atol=1e-7)
    found = assignment.assigned(features, clusters, centres, p if head else None)
    order = np.argsort(-p if head else apart, axis=1)
    assert found.clusters.tolist() == order[:, 0].tolist()
    assert found.seconds.tolist() == order[:, 1].tolist()
    distances = [np.linalg.norm(one - centres[k]) for one, k in zip(features, clusters, strict=True)]
    np.testing.assert_allclose(found.distances, distances, rtol=1e-5)
    assert found.probabilities is None if not head else found.probabilities.tolist() == p.max(axis=1).tolist()


def test_of_equal_probabilities_the_nearer_centre_is_second(features, monkeypatch):
    monkeypatch.setattr(kmeans, "_ROWS", 7)
    centres = unit_rows(np.random.default_rng(1).normal(size=(4, 4)).astype(np.float32))
    apart = np.array([[np.linalg.norm(one - centre) for centre in centres] for one in features])
    nearest = apart.argsort(axis=1)
    p = np.full((50, 4), 0.1, np.float32)  # The others share what is left, as for clusters of the input.
    p[np.arange(50), nearest[:, 0]] = 0.7
    assert assignment.assigned(features, nearest[:, 0], centres, p).seconds.tolist() == nearest[:, 1].tolist()
    p[:, 3] += 0.05  # Unless it is the best, it is second, however far it is.
    seconds = assignment.assigned(features, nearest[:, 0], centres, p).seconds
    assert set(seconds[nearest[:, 0] != 3]) == {3}
    centres[nearest[:, 1][0]] = np.nan
    assert (assignment.assigned(features, nearest[:, 0], centres, p).seconds != nearest[:, 0]).all()


def test_where_something_is_not_defined(features):
    ones = np.zeros(50, np.int64)
    alone = assignment.assigned(features, ones, features[:1], np.ones((50, 1), np.float32))
    assert alone.seconds is None
    assert set(alone.probabilities) == {1.0}
    centres = assignment.centres_of(features, ones, 2)  # the second cluster is empty
    assert np.isnan(centres[1]).all()
    unknown = assignment.assigned(features, ones + 1, centres, np.ones((50, 2), np.float32) / 2)
    assert np.isnan(unknown.distances).all()
    assert set(unknown.seconds) == {0}  # of equal probabilities the first other one


@pytest.mark.parametrize("method", ["cc", "propos"])
def test_the_estimator_gives_the_same_columns(method):
    rng = np.random.default_rng(0)
    samples = np.concatenate([rng.normal(size=(30, 5)) + 6 * one for one in np.eye(5)[:3]])
    model = ContrastiveClustering(3, method=method, epochs=2, batch_size=30, random_state=0).fit(samples)
    found = model.assignments_
    assert list(found) == ["id", "cluster", "probability", "second", "distance"]
    assert found["id"].tolist() == list(range(90))
    assert found["cluster"].tolist() == model.labels_.tolist()
    assert (found["second"] != found["cluster"]).all()
    features = unit_rows(model.transform(samples))
    if method == "cc":
        p = model.predict_proba(samples)
        np.testing.assert_allclose(found["probability"], p.max(axis=1), rtol=1e-6)
        assert found["second"].tolist() == np.argsort(-p, axis=1)[:, 1].tolist()
    else:
        assert np.isnan(found["probability"]).all()
    for one in set(model.labels_) if method == "cc" else ():
        inside = features[model.labels_ == one]
        apart = np.linalg.norm(inside - inside.mean(axis=0), axis=1)
        np.testing.assert_allclose(found["distance"][model.labels_ == one], apart, rtol=1e-3, atol=1e-5)
    assert found["distance"].min() >= 0
    assert found["distance"].max() <= 2
