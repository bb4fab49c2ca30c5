"""The signals of every epoch: what they measure, and that they change nothing of the training."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from core.config import plugins
from core.config.schema import Mistakes
from core.config.trial import read_trial
from core.data.dataset import Dataset
from core.evaluation import monitor
from core.evaluation.monitor import Monitor
from core.training.fit import fit
from core.training.method import Method
from core.training.state import TrainingState
from tests.core.topical import fitting

OF_THE_PROBE = {
    *("probe_feature_std", "effective_rank", "uniformity", "alignment", "infonce_accuracy", "infonce_chance"),
    *("probe_cluster_size_min", "probe_cluster_size_max", "probe_clusters_empty", "view_agreement"),
    *("probe_marginal_entropy", "probe_assignment_entropy", "probe_confidence"),
}


def blobs(n=1000, k=3, *, labelled=True):
    generator = np.random.default_rng(0)
    labels = np.arange(n) % k
    samples = (generator.normal(size=(k, 6))[labels] * 4 + generator.normal(size=(n, 6))).astype(np.float32)
    return Dataset(
        name="blobs",
        samples=samples,
        labels=labels if labelled else None,
        class_names=tuple("abc"[:k]) if labelled else (),
        fingerprint="blobs",
        arrays={"target": samples[:, :4] * 2},
    )


def config(method="cc", **values):
    mistakes = Mistakes()
    small = {"method": method, "encoder": {"name": "mlp", "widths": [16, 8]}, "epochs": 4, "batch_size": 125}
    read = read_trial(small | {"evaluation": {"every": 2}} | values, (), mistakes)
    assert not mistakes.found
    return read


def unit(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(*shape, generator=generator), dim=1)


@pytest.mark.parametrize("method", plugins.names("methods"))
def test_a_trial_is_bit_equal_to_one_without_the_monitor(method, monkeypatch):
    # Each of TURTLE's iterations is the same: few will do.
    few = {"name": method, "iterations": 20} if method == "turtle" else method
    data = fitting(method, blobs())

    def trained():
        torch.manual_seed(1)
        rows = list(fit(config(few), data, seed=1))
        scores = [row.scores and (row.scores.metrics, row.scores.health) for row in rows]
        state = rows[-1].state()
        weights = [one for name, one in state.method["modules"].items() if "num_batches" not in name]
        return [(row.losses, one) for row, one in zip(rows, scores, strict=True)], weights, state.streams, torch.rand(3)

    watched = trained()
    monkeypatch.setattr(Monitor, "__call__", lambda *_: {})
    bare = trained()
    assert watched[0] == bare[0]
    assert all(torch.equal(a, b) for a, b in zip(watched[1], bare[1], strict=True))
    assert all(torch.equal(watched[2][name], bare[2][name]) for name in bare[2])
    assert torch.equal(watched[3], bare[3])


def test_views_of_a_user_that_draw_from_the_global_generator_do_not_change_it(monkeypatch):
    def global_views(_, samples, *__):
        return samples + torch.rand_like(samples)

    monkeypatch.setattr(Method, "probe_views", global_views)
    torch.manual_seed(1)
    list(fit(config(), blobs(), seed=0))
    after = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(3))


@pytest.mark.parametrize("labelled", [True, False])
def test_every_epoch_has_signals(labelled):
    rows = list(fit(config(n_clusters=3), blobs(labelled=labelled), seed=0))
    assert all(set(row.signals) >= OF_THE_PROBE for row in rows)
    assert all("probe_label_flips" in row.signals for row in rows[1:])
    assert all(np.isfinite(list(row.health.values())).all() for row in rows)
    assert all(row.signals["gradient_norm_max"] >= row.signals["gradient_norm_mean"] > 0 for row in rows)
    known = {"duplicates"} | ({"classes", "smallest_class", "imbalance_true"} if labelled else set())
    assert known <= set(rows[0].signals)
    assert not known & set(rows[1].signals)
    shares = {"loss_share_instance", "loss_share_cluster", "loss_share_entropy"}
    assert all(0 <= row.signals[name] < 1.2 for row in rows for name in shares)
    assert "label_free" in rows[1].health
    assert "label_free" not in rows[0].health


def test_a_resumed_trial_has_the_signals_of_an_uninterrupted_one():
    trial, data = config(), blobs()
    rows, kept = [], b""
    for row in fit(trial, data, seed=0):
        rows.append(row)
        if row.epoch == 2:
            kept = row.state().to_bytes()
    state, _ = TrainingState.from_bytes(kept)
    resumed = list(fit(trial, data, seed=0, resume=state))
    assert "probe_label_flips" in rows[2].signals
    assert [row.signals for row in resumed] == [row.signals for row in rows[2:]]


def test_what_does_not_cluster_has_no_signals_of_clusters_and_views():
    found = list(fit(config("paired"), blobs(), seed=0))[-1].signals
    assert {"probe_feature_std", "effective_rank", "gradient_norm_mean", "skipped_steps"} <= set(found)
    assert not {"alignment", "view_agreement", "probe_marginal_entropy"} & set(found)


def test_a_short_epoch_is_not_always_measured():
    rows = list(fit(config(batch_size=300), blobs(), seed=0))
    assert ["alignment" in row.signals for row in rows] == [True, False, True, False]
    assert all("gradient_norm_mean" in row.signals for row in rows)
    assert [monitor.every(n, 64) for n in (1000, 999, 150, 1)] == [1, 2, 7, 1000]
    assert [monitor.every(1000, size) for size in (125, 126, 143, 1000)] == [1, 1, 2, 8]


def test_the_probe_depends_on_the_number_of_samples_alone(monkeypatch):
    monkeypatch.setattr(monitor, "_HELD", 0)  # nothing is kept between epochs
    drawn = [row.signals for row in fit(config(), blobs(), seed=0)]
    monkeypatch.undo()
    assert [row.signals for row in fit(config(), blobs(), seed=0)] == drawn


def test_effective_rank():
    assert monitor.effective_rank(torch.eye(6)) == pytest.approx(6)
    for shape in ((64, 128), (128, 64)):
        assert monitor.effective_rank(unit(1, shape[1]).expand(shape)) == pytest.approx(1, abs=1e-5)
        assert monitor.effective_rank(torch.zeros(shape)) == 1
    values = unit(30, 8)
    s = np.linalg.svd(values.numpy(), compute_uv=False)
    shares = s / s.sum()
    assert monitor.effective_rank(values) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-3)
    assert math.isnan(monitor.effective_rank(torch.full((4, 2), math.nan)))


def test_alignment_and_uniformity_are_those_of_wang_and_isola():
    a, b = unit(20, 5), unit(20, 5, seed=1)
    assert monitor.alignment(a, b) == pytest.approx(float((a - b).norm(dim=1).pow(2).mean()))
    assert monitor.alignment(a, a) == 0
    expected = float(torch.pdist(a).pow(2).mul(-2).exp().mean().log())
    assert monitor.uniformity(a) == pytest.approx(expected, abs=1e-5)
    assert monitor.uniformity(a[:1].repeat(9, 1)) == pytest.approx(0, abs=1e-5)


def test_infonce_accuracy():
    a = unit(20, 5)
    assert monitor.infonce_accuracy(a, a) == 1
    assert monitor.infonce_accuracy(a, a.roll(1, 0)) == 0
    same = a[:1].repeat(20, 1)
    assert monitor.infonce_accuracy(same, same) == 0
    near = torch.cat([a[:10], unit(10, 5, seed=3)])
    assert 0.4 <= monitor.infonce_accuracy(a, near) <= 0.8


def test_flips_are_counted_after_matching():
    labels = np.array([0, 0, 1, 1, 2, 2])
    assert monitor.label_flips(labels, labels) == 0
    assert monitor.label_flips(np.array([2, 2, 0, 0, 1, 1]), labels) == 0
    assert monitor.label_flips(np.array([2, 2, 0, 0, 1, 0]), labels) == pytest.approx(1 / 6)
    assert monitor.label_flips(np.zeros(6, np.int64), labels) == pytest.approx(4 / 6)


def test_duplicates_are_counted():
    data = blobs(n=100)
    data.samples[50:75] = data.samples[0]
    found = next(iter(fit(config(), data, seed=0))).signals
    assert found["duplicates"] == pytest.approx(0.26)
