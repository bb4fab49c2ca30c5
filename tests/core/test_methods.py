"""What holds for every file in `core/methods/`: a new method is tested by existing."""

from functools import cache
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import linalg

from core.config import plugins
from core.config.schema import Mistakes
from core.config.trial import TrialConfig, read_trial
from core.data.dataset import Dataset
from core.data.source import on_device
from core.evaluation import monitor
from core.methods.tcl import mean_confidence, refresh
from core.seeds import Streams
from core.training.fit import build, fit, kinds_of, train_epoch
from core.training.method import Batch
from core.training.reported import reported
from core.training.state import TrainingState
from tests.core.topical import fitting, uses
from tests.covering import one_of_each

METHODS = plugins.names("methods")
CLUSTERING = [one for one in METHODS if plugins.load("methods", one).clusters]
# Stages that the defaults reach late or with nothing to carry over: labels in the memory, centroids placed half-way.
STAGED = [
    {"name": "tcl", "boost": 0.5, "threshold": 0.0},
    {"name": "tcl", "boost": 0.5, "threshold": "adaptive"},
    {"name": "sccl", "warmup": 0.5},
    {"name": "propos", "warmup": 0.5, "noise": 0.1},
    *({"name": "paired", "loss": loss} for loss in ("mse", "cosine_mse", "info_nce")),
]
# Documents of thirty words are no blobs. LDA finds two of the topics as one from seed 0, none from seeds 1 and 2.
OF_TOPICS = {
    **dict.fromkeys(("bat", "gc-atm"), ({"epochs": 20, "batch_size": 64, "optimiser": {"learning_rate": 0.003}}, 0.95)),
    "lda": ({}, 0.75),
    "prodlda": ({"epochs": 20, "batch_size": 64, "optimiser": {"learning_rate": 0.01}}, 0.95),
}
EPOCHS = 8


def config(method, **values) -> TrialConfig:
    mistakes = Mistakes()
    small = {"encoder": {"name": "mlp", "widths": [32, 16]}, "epochs": EPOCHS, "batch_size": 32}
    read = read_trial(small | {"method": method, "evaluation": {"every": 1}} | values, (), mistakes)
    assert not mistakes.found
    return read


def data_for(method, n=96, *, labelled=True) -> Dataset:
    """Documents for a method that learns topics, blobs for all others."""
    return fitting(method, blobs(n, labelled=labelled))


def blobs(n=96, *, labelled=True) -> Dataset:
    """Four clusters in eight dimensions, ten deviations apart; every feature tells of them, so views may drop some."""
    labels = np.arange(n) % 4
    samples = 2.5 * linalg.hadamard(8)[1:5][labels] + np.random.default_rng(0).normal(size=(n, 8))
    return Dataset(
        name="blobs",
        samples=samples.astype(np.float32),
        labels=labels.astype(np.int64) if labelled else None,
        class_names=("a", "b", "c", "d") if labelled else (),
        fingerprint="blobs",
        # For methods that learn pairs; the others take no notice.
        arrays={"target": (samples @ linalg.hadamard(8)[:, :5]).astype(np.float32)},
    )


def plain(row) -> tuple:
    """A row without its clocks."""
    sizes = row.scores.cluster_sizes
    return row.epoch, row.metrics, row.health, None if sizes is None else sizes.tolist()


def rows(trial, data, **arguments) -> list[tuple]:
    return [plain(row) for row in fit(trial, data, **arguments)]


@cache
def rows_of_four(method, *, labelled) -> list[tuple]:
    """The rows of a trial for four clusters; only read.

    At such a rate none of the methods ends with one cluster, which has no silhouette.
    """
    trial = config(method, n_clusters=4, optimiser={"learning_rate": 0.01})
    return rows(trial, data_for(method, labelled=labelled), seed=0)


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_a_method_reports_in_the_course_of_a_trial_what_it_declares_and_nothing_else(method, labelled):
    trial, data = config(method, n_clusters=4), data_for(method, labelled=labelled)
    found = {name for _, scores, health, _ in rows_of_four(method, labelled=labelled) for name in (*scores, *health)}
    own = ("loss_share_", "selected", "critic_", "generator_", "candidate_", "head_agreement", "training_helped")
    own += ("kept_epochs", "rollbacks", "start_score")
    of_steps = {name for name in found if name.startswith(own)} | set(monitor.SIGNALS)
    assert found - of_steps == reported(trial, data)
    of_gradients = {"gradient_norm_mean"} if uses(method, "optimiser") else set()
    assert {*of_gradients, "effective_rank", "duplicates"} <= found


def built(method, data, **values) -> tuple:
    """A method ready to train, its samples and streams."""
    training = data.part("train")
    samples = on_device(training.samples, torch.device("cpu"))
    return new(config(method, **values), data, seed=3), samples, Streams.of(3, samples.device)


def new(trial, data, seed):
    training = data.part("train")
    samples = on_device(training.samples, torch.device("cpu"))
    return build(trial, samples, 4, seed=seed, arrays=tensors(data), **kinds_of(training))


def tensors(data) -> dict:
    return {name: torch.from_numpy(array) for name, array in data.arrays.items()}


@pytest.mark.parametrize("method", CLUSTERING)
def test_it_finds_clusters_that_anyone_sees(method):
    slow, bar = OF_TOPICS.get(method, ({"epochs": 20, "batch_size": 64}, 0.95))
    *_, last = fit(config(method, evaluation={"every": 60}, **slow), data_for(method, n=400), seed=0)
    assert max(last.metrics["nmi"], last.metrics["kmeans_nmi"]) >= bar


# The smallest batches and numbers of clusters are the dangerous ones: these run always, for each method.
SIZES = [(96, {"n_clusters": 1}), (12, {"batch_size": 1}), (96, {"n_clusters": 40}), (12, {"batch_size": 2})]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", one_of_each(SIZES, lambda size: tuple(size[1])), ids=str)
def test_any_number_of_clusters_and_any_batch_is_finite_in_every_stage(method, size):
    n, values = size
    for epoch, metrics, health, _ in rows(config(method, **values), data_for(method, n), seed=0):
        assert np.isfinite([*metrics.values(), *health.values()]).all(), epoch


@pytest.mark.parametrize("method", METHODS)
def test_labels_are_used_for_scores_alone(method):
    labelled, unlabelled = (rows_of_four(method, labelled=one) for one in (True, False))
    for with_labels, without in zip(labelled, unlabelled, strict=True):
        assert without[1]
        assert {name: with_labels[1][name] for name in without[1]} == without[1]
        of_data = {name: value for name, value in with_labels[2].items() if name in monitor.OF_LABELS}
        assert {**without[2], **of_data} == with_labels[2]
        assert with_labels[3:] == without[3:]


def straight_and_resumed(method, device="cpu", *, ahead=EPOCHS) -> list[tuple]:
    """A trial's rows, seen to be those of the same trial resumed after each of its epochs.

    After the first epoch it goes on to the end, after others for so many epochs.
    """
    trial, data, kept, straight = config(method), data_for(method), {}, []
    for row in fit(trial, data, seed=5, device=device):
        straight.append(plain(row))
        kept[row.epoch] = row.state().to_bytes()
    for epoch, content in kept.items():
        on = fit(trial, data, seed=5, device=device, resume=TrainingState.from_bytes(content, device)[0])
        resumed = [plain(row) for row in islice(on, ahead if epoch > 1 else None)]
        assert resumed == straight[epoch : epoch + len(resumed)], f"resumed after epoch {epoch}"
        assert len(resumed) == min(len(straight) - epoch, ahead if epoch > 1 else EPOCHS)
    return straight


@pytest.mark.parametrize("method", [*METHODS, *STAGED], ids=str)
def test_resumed_after_any_epoch_it_goes_on_as_if_nothing_had_been(method, repeats):
    straight_and_resumed(method, ahead=repeats(1))


@pytest.mark.parametrize("method", METHODS)
def test_what_a_state_says_of_samples_does_not_need_the_next_epoch(method):
    """An estimator loads the last state and predicts: the stage must be in the state."""
    trial, data = config(method), data_for(method)
    trained, samples, streams = built(method, data)
    for epoch in range(1, trial.epochs + 1):
        one_epoch(trained, epoch, samples, streams)
    fresh = new(trial, data, seed=9)
    fresh.load_state(
        TrainingState.from_bytes(TrainingState(EPOCHS, trained.state(), streams.state(), None).to_bytes())[0].method
    )
    expected, found = (one.eval().outputs(samples[:]) for one in (trained, fresh))
    assert torch.equal(expected.features, found.features)
    assert (expected.probabilities is None) == (found.probabilities is None)
    assert expected.probabilities is None or torch.equal(expected.probabilities, found.probabilities)


def test_other_trials_before_those_by_umap_too_leave_no_trace():
    """Every method before and after trials of all others; another method is the last before it the second time."""
    first = {method: rows(config(method), data_for(method), seed=1) for method in METHODS}
    for other in METHODS:
        rows(config(other, epochs=2), data_for(other, n=60), seed=7)
    for method in reversed(METHODS):
        assert rows(config(method), data_for(method), seed=1) == first[method], method


def one_epoch(method, epoch, samples, streams) -> None:
    method.begin_epoch(epoch, samples)
    train_epoch(method, samples, 32, streams)
    method.end_epoch(epoch, samples)


def weights(method) -> list[torch.Tensor]:
    """What the optimisers may change; without any, what a step may."""
    if not method.optimisers:
        return [one.detach().clone() for one in method.state_dict().values()]
    groups = [group for one in method.optimisers.values() for group in one.param_groups]
    return [one.detach().clone() for group in groups for one in group["params"]]


@pytest.mark.parametrize("method", [*METHODS, *STAGED], ids=str)
def test_a_sample_that_is_not_a_number_changes_nothing_in_any_stage(method):
    # Neighbours as views are made of all samples, not of those of the batch.
    trained, samples, streams = built(method, data_for(method), **({"views": "noise"} if uses(method, "views") else {}))
    broken = samples[:32].clone()
    broken[5] = torch.nan
    for epoch in range(1, config(method).epochs + 1):
        trained.begin_epoch(epoch, samples)
        before = weights(trained)
        losses = trained.step(Batch(broken, torch.arange(32), streams.views, streams.method))
        assert not torch.isfinite(losses["loss"]), epoch
        assert all(torch.equal(one, other) for one, other in zip(before, weights(trained), strict=True)), epoch
        found = train_epoch(trained, samples, 32, streams)
        assert np.isfinite(list(found.values())).all(), epoch
        trained.end_epoch(epoch, samples)
    state = trained.state_dict().values()
    assert all(torch.isfinite(one).all() for one in state if one.is_floating_point())
    # At half the rate at most, every epoch: what is left must still be a rate.
    assert 0 < trained.step_guard.scale < 1 or not uses(method, "optimiser")


@pytest.mark.parametrize("method", METHODS)
def test_an_encoder_without_parameters_will_do(method):
    *_, last = rows(config(method, encoder={"name": "identity"}), data_for(method), seed=0)
    assert np.isfinite([*last[1].values(), *last[2].values()]).all()


def literal_refresh(labels, probabilities, thresholds, quota) -> list[int]:
    """TCL's rule, sample by sample."""
    confidence, assigned = [max(row) for row in probabilities], [row.index(max(row)) for row in probabilities]
    found = list(labels)
    for i, k in enumerate(assigned):
        surer = sum(assigned[j] == k and (-confidence[j], j) < (-confidence[i], i) for j in range(len(labels)))
        if found[i] == -1 and surer < quota:
            found[i] = k
        if confidence[i] < thresholds[k]:
            found[i] = -1
    return found


@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 20),
    k=st.integers(1, 5),
    quota=st.integers(0, 6),
    thresholds=st.lists(st.sampled_from([0.0, 0.4, 0.6, 0.9]), min_size=5, max_size=5),
)
def test_tcl_keeps_labels_by_the_rule(seed, n, k, quota, thresholds):
    generator = torch.Generator().manual_seed(seed)
    probabilities = torch.randn(n, k, generator=generator).mul(2).softmax(dim=1)
    labels = torch.randint(-1, k, (n,), generator=generator)
    found = refresh(labels, probabilities, torch.tensor(thresholds[:k]), quota)
    in_float32 = torch.tensor(thresholds).tolist()
    assert found.tolist() == literal_refresh(labels.tolist(), probabilities.tolist(), in_float32, quota)


def test_tcl_gives_no_label_to_what_is_not_a_number():
    probabilities = torch.tensor([[torch.nan, torch.nan], [0.9, 0.1]])
    assert refresh(torch.tensor([1, -1]), probabilities, torch.zeros(2), 2).tolist() == [-1, 0]


def test_tcl_adaptive_threshold_is_the_mean_confidence_of_a_cluster():
    probabilities = torch.tensor([[0.9, 0.1, 0], [0.5, 0.4, 0.1], [0.2, 0.8, 0]])
    assert mean_confidence(probabilities).tolist() == pytest.approx([0.7, 0.8, 0])


def test_tcl_first_epoch_of_boosting_fills_labels_and_changes_no_weight():
    tcl, samples, streams = built({"name": "tcl", "threshold": 0.0}, blobs())
    for epoch in range(1, 7):
        one_epoch(tcl, epoch, samples, streams)
    before = weights(tcl)
    assert (tcl.labels == -1).all()
    one_epoch(tcl, 7, samples, streams)
    assert (tcl.labels != -1).any()
    assert all(torch.equal(one, other) for one, other in zip(before, weights(tcl), strict=True))
    one_epoch(tcl, 8, samples, streams)
    assert not all(torch.equal(one, other) for one, other in zip(before, weights(tcl), strict=True))


def test_tcl_without_a_confident_sample_goes_on():
    """A threshold of 1 is hardly ever reached: nothing is labelled, instances are contrasted as before."""
    trial = config({"name": "tcl", "threshold": 1.0, "boost": 0.5})
    *_, last = rows(trial, blobs(), seed=0)
    assert last[1]["loss_labels"] == 0.0
    assert np.isfinite(last[1]["loss"])


def test_sccl_and_propos_have_a_rate_for_their_heads():
    sccl, *_ = built({"name": "sccl", "head_rate": 100.0}, blobs())
    propos, *_ = built({"name": "propos", "predictor_rate": 10.0}, blobs())
    for method in (sccl, propos):
        method.set_learning_rate(0.5)
    rates = [[group["lr"] for group in one.optimisers["all"].param_groups] for one in (sccl, propos)]
    assert rates[0] == pytest.approx([0.05, 0.0005])
    assert rates[1] == pytest.approx([0.0005, 0.005])


def test_sccl_places_its_centroids_after_the_warmup():
    sccl, samples, streams = built({"name": "sccl", "warmup": 0.5}, blobs())
    for epoch in range(1, 5):
        one_epoch(sccl, epoch, samples, streams)
        assert sccl.outputs(samples).probabilities is None
    one_epoch(sccl, 5, samples, streams)
    assert sccl.outputs(samples).probabilities.shape == (96, 4)


def test_sccl_places_them_among_features_as_training_sees_them():
    """Before training, running statistics of batch norms are those of nothing."""
    sccl, samples, _ = built("sccl", blobs())
    sccl.begin_epoch(1, samples)
    seen, placed = sccl.encoder(samples), sccl.eval().encoder(samples)
    torch.testing.assert_close(placed, seen, rtol=0.05, atol=0.05)
    assert sccl.centroids.weight.norm(dim=1).min() > seen.norm(dim=1).min() / 2


def test_propos_target_follows_slowly_and_without_gradient():
    propos, samples, streams = built({"name": "propos", "momentum": 0.5}, blobs())
    slow, fast = (next(one.parameters()) for one in (propos.target, propos.online))
    start = slow.clone()
    propos.begin_epoch(1, samples)
    propos.step(Batch(samples[:32], torch.arange(32), streams.views, streams.method))
    torch.testing.assert_close(slow, (start + fast.detach()) / 2)
    assert slow.grad is None
