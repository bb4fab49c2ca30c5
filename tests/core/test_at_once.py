"""Methods that cluster all samples at once, against scikit-learn, slow literal forms, and odd data."""

import itertools
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn import cluster, datasets, decomposition, mixture
from sklearn.metrics import adjusted_rand_score
from torch import nn
from torch.nn import functional

from conclus import ContrastiveClustering
from core.config import plugins
from core.data.dataset import Dataset
from core.data.modalities import joined
from core.errors import UserError
from core.evaluation import graph, kmeans
from core.evaluation.clustering import predict
from core.evaluation.nearest import nearest
from core.methods import ward as ward_module
from core.training import several
from core.training.at_once import AtOnce
from core.training.fit import build, fit, kinds_of
from core.training.method import Batch
from tests.core.test_methods import blobs, config

METHODS = [one for one in plugins.names("methods") if issubclass(plugins.load("methods", one), AtOnce)]
ALL = [*METHODS, "turtle"]
FAST = [one for one in ALL if one != "umap-kmeans"]  # UMAP compiles for seconds.
BY_NEIGHBOURS = {"leiden", "spectral"}


def digits(n=1797) -> Dataset:
    samples, labels = datasets.load_digits(return_X_y=True)
    samples = ((samples - samples.mean(axis=0)) / (samples.std(axis=0) + 1e-9)).astype(np.float32)[:n]
    return Dataset("digits", samples, labels[:n], tuple("0123456789"), f"digits {n}")


def quick(method):
    """The method where it matters not how good its clusters are: TURTLE with few of its iterations."""
    return {"name": method, "iterations": 10} if method == "turtle" else method


def trained(method, data, *, seed=0, order=None, clusters=4):
    """A method after its step, with the samples in a given order, as the loop gives them in a random one."""
    samples = torch.from_numpy(data.part("train").samples)
    order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(1)) if order is None else order
    found = build(config(method, n_clusters=clusters), samples, clusters, seed=seed, **kinds_of(data.part("train")))
    draws = torch.Generator().manual_seed(seed)
    losses = found.step(Batch(samples[order], order, draws, draws))
    assert math.isfinite(losses["loss"])
    return found


def labels_of(method, samples) -> np.ndarray:
    return predict(method, torch.from_numpy(samples)).probabilities.argmax(dim=1).numpy()


def clusters_of(method, data, **arguments) -> np.ndarray:
    return labels_of(trained(method, data, **arguments), data.samples)


def the_same(one, other) -> bool:
    return adjusted_rand_score(one, other) == 1


# Against scikit-learn


@pytest.mark.parametrize("seed", [0, 1])
def test_k_means_is_that_of_scikit_learn(seed):
    data = digits()
    expected = min(
        (cluster.KMeans(10, n_init=10, random_state=one).fit(data.samples) for one in range(3)),
        key=lambda one: one.inertia_,
    )
    found = trained("kmeans", data, seed=seed, clusters=10)
    labels = labels_of(found, data.samples)
    means = np.stack([data.samples[labels == one].mean(axis=0) for one in range(10)])
    assert np.square(data.samples - means[labels]).sum() == pytest.approx(expected.inertia_, rel=0.005)
    assert adjusted_rand_score(labels, expected.labels_) > 0.85
    assert found.rows.shape == (10, 64)


def test_ward_is_that_of_scikit_learn():
    data = digits()
    expected = cluster.AgglomerativeClustering(10, linkage="ward").fit_predict(data.samples)
    assert the_same(clusters_of("ward", data, clusters=10), expected)
    unit = cluster.AgglomerativeClustering(10).fit_predict(kmeans.unit_rows(data.samples))
    assert the_same(clusters_of({"name": "ward", "unit": True}, data, clusters=10), unit)


def test_the_mixture_is_that_of_scikit_learn():
    data = digits(600)
    found = trained({"name": "gmm", "components": 10, "starts": 2}, data, clusters=10)
    places = decomposition.PCA(10, random_state=found.seed).fit_transform(data.samples - data.samples.mean(axis=0))
    expected = mixture.GaussianMixture(
        10, covariance_type="diag", reg_covar=1e-3 * places.var(), n_init=2, random_state=found.seed
    ).fit_predict(places)
    assert adjusted_rand_score(labels_of(found, data.samples), expected) > 0.95


def test_spectral_finds_what_that_of_scikit_learn_finds():
    data = digits(600)
    near = cluster.SpectralClustering(10, affinity="nearest_neighbors", n_neighbors=15, random_state=0)
    expected = near.fit_predict(kmeans.unit_rows(data.samples))
    found = clusters_of("spectral", data, clusters=10)
    assert adjusted_rand_score(found, expected) > 0.75
    assert adjusted_rand_score(found, data.labels) > adjusted_rand_score(expected, data.labels) - 0.02


def test_what_no_centroid_can_follow_is_found_by_neighbours_alone():
    samples, labels = datasets.make_moons(300, noise=0.05, random_state=0)
    moons = Dataset("moons", samples.astype(np.float32), labels, ("a", "b"), "moons")
    for method in BY_NEIGHBOURS:
        found = clusters_of({"name": method, "metric": "euclidean"}, moons, clusters=2)
        assert adjusted_rand_score(found, labels) > 0.97, method
    assert adjusted_rand_score(clusters_of("kmeans", moons, clusters=2), labels) < 0.6


# The graph, literally


def literal_neighbours(rows, count) -> list[set[int]]:
    found = []
    for place, row in enumerate(rows):
        others = sorted((math.dist(row, other), at) for at, other in enumerate(rows) if at != place)
        found.append({at for _, at in others[:count]})
    return found


def literal_modularity(neighbours, labels) -> float:
    """Newman and Girvan's sum over all pairs of samples."""
    n = len(labels)
    weight = np.zeros((n, n))
    for place, near in enumerate(neighbours):
        for other in near:
            weight[place, other] += 1
            weight[other, place] += 1
    degrees, total = weight.sum(axis=1), weight.sum()
    pairs = itertools.product(range(n), repeat=2)
    return sum(weight[i, j] - degrees[i] * degrees[j] / total for i, j in pairs if labels[i] == labels[j]) / total


def test_neighbours_and_edges_are_as_by_hand():
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(40, 3)).astype(np.float32)
    found = nearest(rows, 5, metric="euclidean").rows
    assert [set(one) for one in found.tolist()] == literal_neighbours(rows.tolist(), 5)
    both = graph.edges(found).toarray()
    assert (both == both.T).all()
    assert both[3, found[3][0]] == 1 + (3 in found[found[3][0]])


@pytest.mark.parametrize("count", [1, 2, 5, 12, 40])
def test_leiden_gives_the_number_of_communities_that_is_wanted(count):
    rows = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
    found = graph.communities(nearest(rows, 15, metric="euclidean").rows, count, seed=0)
    assert count <= len(np.unique(found)) <= count + 1  # no clusters are in it, and Leiden draws at random
    data = Dataset("noise", rows, None, (), "noise")
    assert len(np.unique(clusters_of("leiden", data, clusters=count))) == count


def test_the_communities_have_a_high_modularity():
    rows = kmeans.unit_rows(digits(300).samples)
    near = nearest(rows, 15, metric="euclidean").rows
    labels = graph.communities(near, 8, seed=0)
    spectral = clusters_of("spectral", digits(300), clusters=8)
    assert literal_modularity(near.tolist(), labels) > literal_modularity(near.tolist(), spectral) - 0.01
    assert literal_modularity(near.tolist(), labels) > 0.6
    shuffled = np.random.default_rng(0).permutation(labels)
    assert abs(literal_modularity(near.tolist(), shuffled)) < 0.05


def test_more_connected_parts_than_clusters_are_united():
    labels = np.repeat(np.arange(6), 30)
    rows = 20 * np.eye(6)[labels] + np.random.default_rng(0).normal(size=(180, 6))
    data = Dataset("parts", rows.astype(np.float32), labels, tuple("abcdef"), "parts")
    assert len(np.unique(graph.communities(nearest(data.samples, 15, metric="euclidean").rows, 3, seed=0))) == 6
    found = clusters_of({"name": "leiden", "metric": "euclidean"}, data, clusters=3)
    assert len(np.unique(found)) == 3
    assert all(len({*found[labels == one]}) == 1 for one in range(6))


# Seeds, orders, resumes


@pytest.mark.parametrize("method", FAST)
def test_a_seed_gives_the_same_bits_in_whatever_order_the_samples_come(method):
    data = digits(300)
    first, again = (trained(quick(method), data, seed=4, clusters=10).state_dict() for _ in range(2))
    assert all(torch.equal(one, again[name]) for name, one in first.items())
    other = trained(quick(method), data, seed=4, clusters=10, order=torch.arange(300))
    if method != "turtle":  # which draws batches of the samples as they come
        assert all(torch.equal(one, other.state_dict()[name]) for name, one in first.items())


@pytest.mark.parametrize("method", ["gmm", "kmeans", "leiden", "turtle"])
def test_where_clusters_are_not_clear_another_seed_gives_others(method):
    rows = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    data = Dataset("noise", rows, None, (), "noise")
    one, other = (clusters_of(quick(method), data, seed=seed, clusters=6) for seed in (0, 1))
    assert not the_same(one, other)
    assert the_same(clusters_of("ward", data, seed=0), clusters_of("ward", data, seed=1))


# New samples


@pytest.mark.parametrize("method", ALL)
def test_samples_of_training_keep_their_clusters_and_new_ones_get_those_of_the_nearest(method):
    data = blobs(200)
    found = trained(method, data)
    assert the_same(labels_of(found, data.samples), data.labels)
    new = replace(data, samples=data.samples + 0.5)
    assert the_same(labels_of(found, new.samples), data.labels)
    assert labels_of(found, data.samples[5:6]) == labels_of(found, data.samples)[5:6]


def test_a_new_sample_gets_the_cluster_of_the_nearest_of_all():
    data = digits(300)
    found = trained("ward", data, clusters=10)
    new = digits().samples[300:400]
    distances = np.linalg.norm(new[:, None].astype(np.float64) - data.samples[None], axis=2)
    assert (labels_of(found, new) == labels_of(found, data.samples)[distances.argmin(axis=1)]).all()


def test_far_from_the_origin_clusters_are_the_same():
    data = blobs(200)
    far = replace(data, samples=data.samples + np.float32(1e5))
    for method in ("kmeans", "gmm", "ward", "turtle", {"name": "leiden", "metric": "euclidean"}):
        assert the_same(clusters_of(method, far), data.labels), method


@pytest.mark.parametrize("method", FAST)
def test_the_held_out_part_takes_no_part_and_can_be_assigned(method):
    data = blobs(200)
    parts = np.where(np.arange(200) % 5 == 4, 2, 0).astype(np.int8)
    divided = replace(data, parts=parts)
    *_, last = fit(config(method, n_clusters=4), divided, seed=0)
    assert last.scores.cluster_sizes.sum() == 160
    found = trained(method, divided)
    assert method in {"kmeans", "turtle"} or len(found.rows) == 160
    assert the_same(labels_of(found, data.samples[parts == 2]), data.labels[parts == 2])


# Odd data


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize(("n", "clusters"), [(12, 1), (12, 11), (12, 12), (3, 2), (2, 2)])
def test_any_number_of_clusters_of_few_samples(method, n, clusters):
    rows = np.random.default_rng(0).normal(size=(n, 3)).astype(np.float32)
    found = clusters_of(quick(method), Dataset("few", rows, None, (), "few"), clusters=clusters)
    assert set(found) <= set(range(clusters))
    if method in {"kmeans", "ward", "leiden"}:
        assert len(set(found)) == clusters


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")  # scikit-learn's, of k-means
@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize(
    "rows",
    [np.zeros((40, 3)), np.ones((40, 3)), np.repeat(np.eye(5), (1, 1, 30, 60, 2), axis=0)],
    ids=["zeros", "ones", "duplicates"],
)
def test_samples_that_cannot_be_told_apart(method, rows):
    data = Dataset("same", rows.astype(np.float32), None, (), "same")
    found = trained(quick(method), data)
    labels = labels_of(found, data.samples)
    assert set(labels) <= set(range(4))
    _, same = np.unique(rows, axis=0, return_inverse=True)
    same = same.ravel()  # numpy 2.0 keeps an axis
    assert all(len({*labels[same == one]}) == 1 for one in set(same))


@pytest.mark.parametrize("method", ALL)
def test_a_sample_without_a_modality_is_judged_by_the_others(method):
    data = blobs(200)
    views = {"left": data.samples.copy(), "right": data.samples[:, ::-1].copy()}
    views["left"][3] = np.nan
    views["right"][10:14] = np.nan
    both = joined(views, "views", sequences="mean", scale="standard")
    found = replace(data, samples=both.samples, modalities=both.modalities)
    assert adjusted_rand_score(clusters_of(method, found), data.labels) > 0.97
    *_, last = fit(config(method, n_clusters=4), found, seed=0)
    assert last.metrics["nmi"] > 0.97


def test_views_for_several_modalities_are_no_matter_of_a_method_without_an_encoder():
    data = blobs(200)
    both = joined({"a": data.samples, "b": data.samples}, "views", sequences="mean", scale="standard")
    found = replace(data, samples=both.samples, modalities=both.modalities)
    with pytest.raises(UserError, match="takes whole rows"):
        several.check_modalities(config("cc"), found)
    several.check_modalities(config("kmeans"), found)


def test_views_that_a_method_does_not_use_are_not_prepared(monkeypatch):
    prepared = []
    monkeypatch.setattr(plugins.load("views", "auto"), "prepare", lambda _, samples: prepared.append(len(samples)))
    trained("kmeans", blobs())
    assert not prepared
    build(config("cc"), torch.from_numpy(blobs().samples), 4, seed=0)
    assert prepared == [96]


def test_sparse_samples_are_taken_as_numbers_and_too_many_are_refused(monkeypatch):
    dense = np.random.default_rng(0).random((200, 50), np.float32)
    counts = sparse.csr_array(np.where(dense < 0.2, dense, 0))
    model = ContrastiveClustering(method="kmeans", n_clusters=3, random_state=0, scale="none")
    dense = ContrastiveClustering(method="kmeans", n_clusters=3, random_state=0, scale="none")
    assert (model.fit_predict(counts) == dense.fit_predict(counts.toarray())).all()
    monkeypatch.setattr(several, "MOST_AT_ONCE", 9_999)
    said = r"kmeans takes all samples at once, and those of X are 10,000 numbers, zeros counted: at most 9,999"
    with pytest.raises(ValueError, match=said):
        model.fit(counts)


@pytest.mark.filterwarnings("ignore")
def test_ward_of_more_rows_than_its_bound_clusters_a_sample(monkeypatch):
    seen = []
    whole = ward_module.kmeans.SAMPLE
    assert whole == 20_000
    monkeypatch.setattr(ward_module.kmeans, "SAMPLE", 150)
    agglomerative = cluster.AgglomerativeClustering

    class Watched(agglomerative):
        def fit_predict(self, rows):
            seen.append(len(rows))
            return super().fit_predict(rows)

    monkeypatch.setattr(cluster, "AgglomerativeClustering", Watched)
    data = blobs(400)
    assert the_same(clusters_of("ward", data), data.labels)
    assert seen == [150]


# TURTLE, literally


def literal_turtle(spaces, clusters, *, seed, maps, iterations, inner, batch, rate, inner_rate, gamma):
    """The formulas as they are written: classifiers and Adam of torch, one space after the other."""
    noise = torch.Generator().manual_seed(seed)
    outer = torch.optim.Adam([one for each in maps for one in each.parameters()], rate)
    for _ in range(iterations):
        chosen = torch.randperm(len(spaces[0]), generator=noise)[:batch]
        each = [theta(space[chosen]).softmax(dim=1) for theta, space in zip(maps, spaces, strict=True)]
        labelling = sum(each) / len(each)
        loss = torch.zeros(())
        for space, softmax in zip(spaces, each, strict=True):
            width = space.shape[1]
            drawn = torch.empty(clusters, width + 1).uniform_(-(width**-0.5), width**-0.5, generator=noise)
            classifier = nn.Linear(width, clusters)
            classifier.load_state_dict({"weight": drawn[:, :-1], "bias": drawn[:, -1]})
            adam = torch.optim.Adam(classifier.parameters(), inner_rate * 384 / width)
            for _ in range(inner):
                adam.zero_grad()
                functional.cross_entropy(classifier(space[chosen]), labelling.detach()).backward()
                adam.step()
            logits = classifier(space[chosen]).detach()
            loss = loss - (labelling * logits.log_softmax(dim=1)).sum(dim=1).mean()
            mean = softmax.mean(dim=0)
            loss = loss + gamma * (mean * mean.log()).sum()
        outer.zero_grad()
        loss.backward()
        outer.step()
    return sum(theta(space).softmax(dim=1) for theta, space in zip(maps, spaces, strict=True)) / len(spaces)


@pytest.mark.parametrize("spaces", [1, 2])
def test_turtle_takes_the_steps_of_its_formulas(spaces):
    data = blobs(120)
    views = {"a": data.samples, "b": data.samples[:, :5] ** 3}
    both = joined({name: views[name] for name in [*views][:spaces]}, "views", sequences="mean", scale="standard")
    found = replace(data, samples=both.samples, modalities=both.modalities)
    options = {"iterations": 15, "inner_steps": 7, "mini_batch": 50, "inner_rate": 0.02, "entropy_weight": 3.0}
    samples = torch.from_numpy(found.samples)
    made = build(config({"name": "turtle", **options}), samples, 4, seed=0, modalities=found.modalities)
    maps = [nn.utils.parametrizations.weight_norm(nn.Linear(one.stop - one.start, 4)) for one in found.modalities]
    for one, theta in zip(maps, made.maps, strict=True):
        one.load_state_dict(theta.state_dict())
    centred = samples - samples.mean(dim=0)
    parts = [centred[:, one.place] for one in found.modalities]
    parts = [one * math.sqrt(one.shape[1]) / one.square().sum(dim=1).mean().sqrt() for one in parts]
    rest = {"iterations": 15, "inner": 7, "batch": 50, "rate": 0.01, "inner_rate": 0.02, "gamma": 3.0}
    expected = literal_turtle(parts, 4, seed=3, maps=maps, **rest)
    draws = torch.Generator().manual_seed(3)
    made.step(Batch(samples, torch.arange(120), draws, draws))
    torch.testing.assert_close(predict(made, samples).probabilities, expected.detach(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("option", ["inner_steps", "mini_batch", "rate", "inner_rate", "entropy_weight"])
def test_what_turtle_declares_as_rescaling_its_loss_does(option):
    """At the same weights: of the first iteration. (More iterations draw more samples.)"""
    usual = {
        "iterations": 1,
        "inner_steps": 5,
        "mini_batch": 40,
        "rate": 0.01,
        "inner_rate": 0.01,
        "entropy_weight": 10,
    }
    one, other = (
        next(fit(config({"name": "turtle", **values}), blobs(), seed=0)).losses["loss"]
        for values in (usual, usual | {option: 2 * usual[option]})
    )
    rescales = plugins.constant("methods", "turtle", "rescales", default=())
    assert (abs(one / other - 1) > 1e-5) is (option in rescales)
    assert "iterations" not in rescales


# Rows, commands, the estimator, start-up


@pytest.mark.parametrize("method", METHODS)
def test_the_loss_is_the_mean_squared_distance_to_the_mean_of_the_cluster(method):
    data = blobs()
    *_, last = fit(config(method, n_clusters=4), data, seed=0)
    options = {"unit": False, "metric": "cosine"} | {
        one.name: one.default for one in plugins.options("methods", method)
    }
    unit = options["unit"] or (options["metric"] == "cosine" and method in {*BY_NEIGHBOURS, "umap-kmeans"})
    rows = kmeans.unit_rows(data.samples) if unit else data.samples
    means = np.stack([rows[data.labels == one].mean(axis=0) for one in range(4)])
    assert last.metrics["nmi"] == pytest.approx(1)
    assert last.losses["loss"] == pytest.approx(np.square(rows - means[data.labels]).sum(axis=1).mean(), rel=1e-4)
    scaled = {
        one for one in ("unit", "metric") if one in {option.name for option in plugins.options("methods", method)}
    }
    assert set(plugins.constant("methods", method, "rescales", default=())) == scaled


@pytest.mark.parametrize("method", FAST)
def test_the_estimator_takes_it(method):
    data = blobs(200)
    model = ContrastiveClustering(method=method, n_clusters=4, random_state=0).fit(data.samples)
    assert the_same(model.labels_, data.labels)
    assert the_same(model.predict(data.samples + 0.1), data.labels)
    assert (model.predict(data.samples[:7]) == model.labels_[:7]).all()
    with pytest.raises(ValueError, match=f"the method {method} does not use it"):
        ContrastiveClustering(method=method, n_clusters=4, epochs=3).fit(data.samples)


def test_no_method_loads_scikit_learn_scipy_or_umap_before_it_is_used():
    code = f"""
import sys
from core.config import plugins
before = {{one for one in sys.modules}}
for name in {ALL}:
    plugins.load("methods", name)
assert not {{"sklearn", "umap", "graspologic_native"}} & {{one.partition(".")[0] for one in sys.modules}}
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_umap_the_error_says_what_to_install(monkeypatch):
    module = sys.modules[plugins.load("methods", "umap-kmeans").__module__]
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"needs umap-learn: uv sync --extra umap --inexact --no-dev"):
        trained("umap-kmeans", blobs())
