"""Clusters of the input, with which trials are compared: the mean of five k-means, and a method's own candidate."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score

from core.config.schema import Mistakes
from core.config.trial import read_trial
from core.data.dataset import Dataset
from core.evaluation import kmeans
from core.evaluation.clustering import _input_scores
from core.seeds import derive
from core.training.candidate import Candidate
from core.training.fit import fit


def groups(n=150, k=6):
    rng = np.random.default_rng(3)
    labels = np.arange(n) % k
    return (rng.normal(size=(k, 4))[labels] + 0.9 * rng.normal(size=(n, 4))).astype(np.float32), labels


def test_the_score_is_the_mean_of_five_runs_and_its_spread_their_deviation():
    rows, labels = groups()
    found = _input_scores(torch.from_numpy(rows), np.where(labels == 5, -1, labels), n_clusters=6, seed=7)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    known = labels < 5
    runs = [KMeans(6, n_init=1, random_state=7 + run).fit(unit).labels_[known] for run in range(5)]
    values = [normalized_mutual_info_score(labels[known], run) for run in runs]
    assert max(values) - min(values) > 0.01
    assert np.allclose(found["input_kmeans_nmi"], sum(values) / 5)
    deviation = (sum((value - sum(values) / 5) ** 2 for value in values) / 4) ** 0.5
    assert np.allclose(found["input_kmeans_nmi_std"], deviation)


def test_of_many_rows_the_others_follow_the_nearest_centroid(monkeypatch):
    monkeypatch.setattr(kmeans, "SAMPLE", 80)
    rows, _ = groups()
    drawn = rows[np.random.default_rng(1).choice(150, 80, replace=False)]
    found = list(kmeans.runs(rows, 6, 2, seed=1))
    assert len(found) == 2
    assert not np.array_equal(*found)
    for run, labels in enumerate(found):
        centroids = KMeans(6, n_init=1, random_state=1 + run).fit(drawn).cluster_centers_
        assert np.array_equal(labels, cdist(rows, centroids).argmin(axis=1))


def test_the_clusters_that_the_method_found_first_are_scored_beside_the_trial(monkeypatch):
    monkeypatch.setattr(Candidate, "join", lambda *_, **__: None)  # the end of the training adds its neighbours
    rows, labels = groups()
    data = Dataset("d", rows, np.where(labels == 5, -1, labels), ("a", "b", "c", "d", "e"), "f")
    told = []
    for candidate in ("auto", "none"):
        method = {"name": "conclus", "candidate": candidate}
        trial = {"method": method, "encoder": {"name": "mlp", "widths": [8]}, "epochs": 2, "n_clusters": 6}
        told += [row.metrics for row in fit(read_trial(trial, (), Mistakes()), data, seed=0)]
    found = Candidate(150, (4,), 6)
    found.find(torch.from_numpy(rows), seed=derive(0, "method") % 2**32)
    known = labels < 5
    nmi = normalized_mutual_info_score(labels[known], found.clusters.numpy()[known])
    assert nmi < 0.95
    assert [one.get("candidate_nmi") for one in told] == [None, pytest.approx(nmi), None, None]
