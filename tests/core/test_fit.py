"""The main path: same seed same rows, resume equals a straight run, any size of batch, any number of clusters."""

import numpy as np
import pytest
import torch

from core.config import plugins
from core.config.schema import Mistakes
from core.config.trial import TrialConfig, read_trial
from core.data.dataset import Dataset
from core.errors import UserError
from core.evaluation.monitor import PAIRS
from core.methods.conclus import Method as Conclus
from core.training.at_once import AtOnce
from core.training.fit import fit
from core.training.method import DivergedError
from core.training.state import TrainingState
from tests.core.topical import fitting, uses

METHODS = plugins.names("methods")


def config(**values) -> TrialConfig:
    mistakes = Mistakes()
    small = {
        "method": "cc",
        "encoder": {"name": "mlp", "widths": [16, 8]},
        "epochs": 4,
        "batch_size": 32,
        "evaluation": {"every": 2},
    }
    read = read_trial(small | values, (), mistakes)
    assert not mistakes.found
    return read


def blobs(n=90, dim=6, k=3, seed=0, *, labelled=True) -> Dataset:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % k
    samples = rng.normal(size=(k, dim))[labels] * 4 + rng.normal(size=(n, dim))
    return Dataset(
        name="blobs",
        samples=samples.astype(np.float32),
        labels=labels.astype(np.int64) if labelled else None,
        class_names=tuple("abcdefgh"[:k]) if labelled else (),
        fingerprint="blobs",
        # For methods that learn pairs; the others take no notice.
        arrays={"target": (samples @ rng.normal(size=(dim, 5))).astype(np.float32)},
    )


def plain(row) -> tuple:
    """A row without its clocks."""
    sizes = None if row.scores is None or row.scores.cluster_sizes is None else row.scores.cluster_sizes.tolist()
    return row.epoch, row.metrics, row.health, sizes


def rows(trial, data, **arguments) -> list[tuple]:
    return [plain(row) for row in fit(trial, data, **arguments)]


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_rows_and_another_others(method):
    few = {"iterations": 20} if method == "turtle" else {}
    trial, data = config(method={"name": method, **few}), fitting(method, blobs())
    first = rows(trial, data, seed=1)
    torch.randn(100)  # a worker that did something else in between
    np.random.default_rng(0).normal(size=10)
    assert rows(trial, data, seed=1) == first
    # Where all see the clusters, a method that clusters all samples at once finds them from any seed.
    assert rows(trial, data, seed=2) != first or issubclass(plugins.load("methods", method), AtOnce)


def test_what_a_method_says_of_all_samples_is_asked_once_an_epoch(monkeypatch):
    asked = []
    outputs = Conclus.outputs
    monkeypatch.setattr(Conclus, "outputs", lambda self, chunk: asked.append(len(chunk)) or outputs(self, chunk))
    counts = []
    # Nothing falls that far: no epoch is undone.
    trial = config(method={"name": "conclus", "warmup": 0.5, "tolerance": 9.0}, evaluation={"every": 1})
    for _ in fit(trial, blobs(), seed=0):
        counts.append(sum(asked))
        asked.clear()
    views = 2 * PAIRS
    # So few samples the monitor measures in the first of these epochs alone.
    assert counts == [90 + 90 + views, 90, 90, 90]


@pytest.mark.parametrize("method", [one for one in METHODS if uses(one, "epochs")])
def test_a_resumed_trial_equals_an_uninterrupted_one(method):
    trial, data = config(method={"name": method}), fitting(method, blobs())
    straight, kept = [], {}
    for row in fit(trial, data, seed=5):
        straight.append(plain(row))
        kept[row.epoch] = row.state().to_bytes(note="x")
    for epoch in (1, 2, 3):
        state, extra = TrainingState.from_bytes(kept[epoch])
        assert extra == {"note": "x"}
        assert straight[:epoch] + rows(trial, data, seed=5, resume=state) == straight


def test_training_leaves_the_global_generators_alone():
    torch.manual_seed(3)
    expected = torch.randn(3)
    torch.manual_seed(3)
    rows(config(), blobs(), seed=1)
    assert torch.equal(torch.randn(3), expected)


@pytest.mark.parametrize("batch_size", [1, 2, 7, 89, 90, 1000])
def test_any_batch_size_trains(batch_size):
    last = rows(config(batch_size=batch_size, epochs=1), blobs(), seed=0)[-1]
    assert np.isfinite(list(last[1].values())).all()


def test_every_sample_is_seen_once_an_epoch_in_batches_as_equal_as_can_be(monkeypatch):
    seen = []
    method = plugins.load("methods", "cc")
    step = method.step
    monkeypatch.setattr(method, "step", lambda self, batch: seen.append(batch.rows) or step(self, batch))
    rows(config(batch_size=43, epochs=1), blobs(n=90), seed=0)
    assert sorted(torch.cat(seen).tolist()) == list(range(90))
    assert [len(one) for one in seen] == [30, 30, 30]


@pytest.mark.parametrize("k", [1, 2, 5, 40])
def test_any_number_of_clusters_trains_and_is_scored(k):
    last = rows(config(n_clusters=k, epochs=2), blobs(), seed=0)[-1]
    assert len(last[3]) == k
    assert 0 <= last[1]["acc"] <= 1


def test_without_labels_health_is_there_and_scores_are_not():
    last = rows(config(n_clusters=3), blobs(labelled=False), seed=0)[-1]
    assert "acc" not in last[1]
    assert {"loss", "loss_instance", "loss_cluster", "loss_entropy"} <= set(last[1])
    assert {"cluster_size_min", "clusters_empty", "assignment_entropy", "label_flips"} <= set(last[2])
    assert sum(last[3]) == 90


def test_labels_are_used_for_scores_alone():
    labelled, unlabelled = (rows(config(n_clusters=3), blobs(labelled=one), seed=0) for one in (True, False))
    for with_labels, without in zip(labelled, unlabelled, strict=True):
        assert {name: with_labels[1][name] for name in without[1]} == without[1]
        assert {name: with_labels[2][name] for name in without[2]} == without[2]
        assert with_labels[3:] == without[3:]


def test_metrics_come_when_they_are_due_and_at_the_end():
    found = rows(config(epochs=5, evaluation={"every": 2}), blobs(), seed=0)
    assert [row[0] for row in found if "acc" in row[1]] == [2, 4, 5]
    assert "ami" in found[-1][1]


def test_what_is_scored_is_what_the_head_says():
    data = blobs(k=1, n=40)
    last = rows(config(n_clusters=1), data, seed=0)[-1]
    assert last[1]["acc"] == last[1]["nmi"] == 1.0


def test_an_unlabelled_set_needs_the_number_of_clusters():
    with pytest.raises(UserError, match=r"trial\.n_clusters: blobs has no labels"):
        next(fit(config(), blobs(labelled=False), seed=0))


def test_more_clusters_than_samples_are_refused():
    with pytest.raises(UserError, match="91 clusters are too many for the 90 samples"):
        next(fit(config(n_clusters=91), blobs(), seed=0))


def test_a_loss_that_is_not_finite_ends_the_trial():
    with pytest.raises(DivergedError, match="3 steps in a row"):
        rows(config(optimiser={"learning_rate": 1e30}), blobs(), seed=0)
