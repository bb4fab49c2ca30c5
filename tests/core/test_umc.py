"""UMC's curriculum: which samples are labelled, against a literal loop, and what odd clusters do to it."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config.schema import Mistakes
from core.config.trial import read_trial
from core.data.dataset import Dataset
from core.data.modalities import side_by_side
from core.methods import _selection
from core.methods._selection import NEIGHBOURS, select
from core.seeds import Streams
from core.training.fit import build, fit, train_epoch

torch.set_num_threads(1)


def literal(features, share, least) -> set[int]:
    """UMC's rule for one cluster, sample by sample."""
    n = len(features)
    count = min(n, max(int(n * share), least, 1))
    if count == n:
        return set(range(n))
    apart = [[math.dist(one, other) for other in features] for one in features]
    best, best_score = set(), -1.0
    for neighbours in NEIGHBOURS:
        k = max(int(n * neighbours), 1)
        means = [sum(sorted(apart[i][j] for j in range(n) if j != i)[:k]) / k for i in range(n)]
        chosen = sorted(range(n), key=lambda i: (round(means[i], 6), i))[:count]
        score = sum(min(apart[i][j] for j in chosen if j != i) for i in chosen) / count if count > 1 else 0.0
        if score > best_score + 1e-9:
            best, best_score = set(chosen), score
    return best


def chosen(features, labels, k, **options) -> set[int]:
    return set(np.flatnonzero(select(np.asarray(features, np.float32), np.asarray(labels), k, seed=0, **options)))


@pytest.mark.parametrize("share", [0.1, 0.35, 0.8, 1.0])
@pytest.mark.parametrize(("n", "least"), [(7, 1), (40, 5), (61, 1)])
def test_it_is_the_literal_rule_in_every_cluster(n, least, share):
    random = np.random.default_rng(n)
    # Small whole numbers: no rounding decides, and there are ties.
    features, labels = random.integers(0, 9, size=(n, 3)).astype(np.float32), random.integers(0, 3, size=n)
    expected = set()
    for k in range(3):
        members = np.flatnonzero(labels == k)
        expected |= {int(members[i]) for i in literal(features[members].tolist(), share, least)}
    assert chosen(features, labels, 3, share=share, least=least) == expected


def test_the_middle_of_a_cluster_comes_before_its_rim():
    random = np.random.default_rng(0)
    features = np.concatenate([random.normal(size=(50, 4)), 8 * random.normal(size=(50, 4))])
    found = chosen(features, np.zeros(100, int), 1, share=0.4, least=1)
    assert len(found) == 40
    assert sum(one < 50 for one in found) >= 38


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.sampled_from([0, 1, 2, 3, 30]), min_size=1, max_size=6),
    share=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    least=st.sampled_from([1, 5, 1000]),
    duplicates=st.booleans(),
)
def test_any_sizes_and_duplicates(sizes, share, least, duplicates):
    """The count of every cluster is that of the rule, also where all distances are 0."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    features = np.zeros((len(labels), 2)) if duplicates else np.random.default_rng(1).normal(size=(len(labels), 2))
    found = chosen(features, labels, len(sizes), share=share, least=least)
    counts = np.bincount(labels[sorted(found)], minlength=len(sizes)) if found else np.zeros(len(sizes))
    assert counts.tolist() == [min(n, max(int(n * share), least, 1)) for n in sizes]


def test_a_large_cluster_is_compared_with_some_of_its_samples(monkeypatch):
    """Of 600 samples 200 random ones are looked at: nearly the same ones are taken."""
    features, labels = np.random.default_rng(0).normal(size=(600, 2)), np.zeros(600, int)
    exact = chosen(features, labels, 1, share=0.3, least=1)
    seen = []
    plain = _selection._distances
    monkeypatch.setattr(_selection, "_distances", lambda a, b: seen.append((len(a), len(b))) or plain(a, b))
    monkeypatch.setattr(_selection, "LARGEST", 200)
    monkeypatch.setattr(_selection, "_CHUNK", 64)
    drawn = chosen(features, labels, 1, share=0.3, least=1)
    assert len(drawn) == len(exact) == 180
    assert len(drawn & exact) > 130
    assert max(others for _, others in seen) == 200
    assert chosen(features, labels, 1, share=0.3, least=1) == drawn


def config(**values):
    mistakes = Mistakes()
    small = {"encoder": {"name": "multiview", "base_dim": 16, "hidden": [32]}, "epochs": 8, "batch_size": 64}
    read = read_trial(small | {"method": {"name": "umc"}, "evaluation": {"every": 1}} | values, (), mistakes)
    assert not mistakes.found
    return read


def dataset(counts, *, duplicated=False) -> Dataset:
    """Two modalities; each class lies around a point of its own, or every sample on it."""
    random, labels = np.random.default_rng(0), np.repeat(np.arange(len(counts)), counts)
    samples = 3 * random.normal(size=(len(counts), 10))[labels]
    samples = samples if duplicated else samples + random.normal(size=samples.shape)
    return Dataset(
        name="classes",
        samples=samples.astype(np.float32),
        labels=labels,
        class_names=tuple(map(str, range(len(counts)))),
        fingerprint=str((counts, duplicated)),
        modalities=side_by_side({"text": (6,), "sound": (4,)}),
    )


@pytest.mark.parametrize(
    ("counts", "duplicated", "clusters"), [((900, 1), False, 2), ((30, 20, 10), True, 3), ((30, 20, 10), False, 9)]
)
def test_imbalance_duplicates_and_other_numbers_of_clusters_are_finite(counts, duplicated, clusters):
    trial = config(n_clusters=clusters, method={"name": "umc", "delta": 0.3})
    for row in fit(trial, dataset(counts, duplicated=duplicated), seed=0):
        assert all(math.isfinite(one) for one in (*row.metrics.values(), *row.health.values()))


def test_the_labelled_share_grows_by_the_option_and_is_told():
    trial, data = config(method={"name": "umc", "warmup": 0.25, "thres": 0.2, "delta": 0.3}), dataset((40, 60, 100))
    samples, streams = torch.from_numpy(data.samples), Streams.of(0, torch.device("cpu"))
    umc = build(trial, samples, 3, seed=0, modalities=data.modalities)
    shares, smallest = [], []
    for epoch in range(1, 7):
        umc.begin_epoch(epoch, samples)
        parts = train_epoch(umc, samples, 64, streams)
        assert ("loss_supervised" in parts) == (epoch > 2)
        umc.end_epoch(epoch, samples)
        if not (told := umc.signals()):
            assert epoch == 1
            continue
        assert told["selected"] == int((umc.labels != -1).sum())
        shares.append(told["selected_share"])
        smallest.append(told["selected_min"])
    assert shares == pytest.approx([0.2, 0.5, 0.8, 1, 1], abs=0.02)
    assert all(one >= 5 for one in smallest)


def test_a_part_of_the_loss_is_its_mean_over_the_samples_of_the_steps_that_have_it(monkeypatch):
    trial, data = config(method={"name": "umc", "warmup": 0.125, "thres": 0.97, "delta": 0.0}), dataset((40, 60, 100))
    samples, streams = torch.from_numpy(data.samples), Streams.of(0, torch.device("cpu"))
    umc = build(trial, samples, 3, seed=0, modalities=data.modalities)
    steps = []
    losses = type(umc).losses

    def recorded(self, batch):
        found = losses(self, batch)
        steps.append((len(batch.rows), {name: float(one.detach()) for name, one in found.items()}))
        return found

    monkeypatch.setattr(type(umc), "losses", recorded)
    for epoch in range(1, 4):
        umc.begin_epoch(epoch, samples)
        steps.clear()
        parts = train_epoch(umc, samples, 8, streams)
        umc.end_epoch(epoch, samples)
        for name, value in parts.items():
            those = [(count, one[name]) for count, one in steps if name in one]
            mean = sum(count * one for count, one in those) / sum(count for count, _ in those)
            assert value == pytest.approx(mean, rel=1e-6), name
    assert 0 < sum("loss_unsupervised" in one for _, one in steps) < len(steps)


def test_the_least_of_a_class_is_labelled_however_small_the_share_is():
    trial, data = config(method={"name": "umc", "thres": 0.0, "min_per_class": 7, "warmup": 0.1}), dataset((50, 50))
    samples, streams = torch.from_numpy(data.samples), Streams.of(0, torch.device("cpu"))
    umc = build(trial, samples, 2, seed=0, modalities=data.modalities)
    train_epoch(umc, samples, 64, streams)
    umc.end_epoch(1, samples)
    assert umc.signals()["selected"] == 14


@pytest.mark.parametrize(
    ("marginal", "counts", "kept"),
    [
        ("auto", (900, 90, 80, 70), True),
        ("auto", (60, 50, 40, 30), False),
        ("learned", (900, 90, 80, 70), False),
    ],
)
def test_only_very_unequal_sizes_that_spectral_clustering_finds_are_kept(marginal, counts, kept):
    trial, data = config(method={"name": "umc", "warmup": 0.1, "marginal": marginal}), dataset(counts)
    samples, streams = torch.from_numpy(data.samples), Streams.of(0, torch.device("cpu"))
    umc = build(trial, samples, 4, seed=0, modalities=data.modalities)
    train_epoch(umc, samples, 64, streams)
    for epoch in (1, 2):
        umc.end_epoch(epoch, samples)
        assert bool(umc.sizes.any()) == kept
    if kept:
        assert umc.sizes.sort().values.tolist() == pytest.approx([70, 80, 90, 900], abs=30)
