"""The default method: its second head starts as k-means, every class keeps labels, a bad epoch is undone."""

import numpy as np
import pytest
import torch

from core.config.schema import Mistakes
from core.config.trial import read_trial
from core.evaluation import kmeans
from core.evaluation.clustering import predict
from core.evaluation.outputs import Outputs
from core.methods.conclus import UNLABELLED
from core.training.fit import build
from core.training.method import Batch


def samples(n=120, k=4, dim=6) -> torch.Tensor:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(k, dim))[np.arange(n) % k] * 4 + rng.normal(size=(n, dim))
    return torch.from_numpy(rows.astype(np.float32))


def lopsided() -> torch.Tensor:
    rng = np.random.default_rng(0)
    groups = np.maximum(np.arange(90) % 8 - 5, 0)
    rows = 3 * rng.normal(size=(3, 6))[groups] + rng.normal(size=(90, 6))
    return torch.from_numpy(rows.astype(np.float32))


def made(rows=None, k=4, **options):
    trial = {
        "encoder": {"name": "mlp", "widths": [16, 8]},
        "method": {"name": "conclus", "warmup": 0.5, "entropy_weight": 0.0, **options},
        "views": "noise",
        "epochs": 4,
    }
    return build(read_trial(trial, (), Mistakes()), samples() if rows is None else rows, k, seed=0)


@pytest.fixture
def method():
    return made()


def batch(method) -> Batch:
    rows = torch.arange(60)
    return Batch(samples()[rows], rows, torch.Generator().manual_seed(0), torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("rows", "marginal", "find"),
    [
        (samples(), "uniform", kmeans.balanced_kmeans),
        (samples(), "learned", kmeans.kmeans),
        # One group of three in four, two of one in eight: clusters of equal size cut the first, at a price.
        (lopsided(), "uniform", kmeans.kmeans),
    ],
)
def test_the_second_head_assigns_as_k_means_of_the_features_does(rows, marginal, find):
    k = len(rows) // 30
    method = made(rows, k, marginal=marginal)
    method.end_epoch(1, rows)
    assert method.best is None
    method.end_epoch(2, rows)
    outputs = predict(method, rows)
    features = kmeans.unit_rows(outputs.features.numpy())
    expected = find(features, k, seed=method.seed, starts=10)
    assert np.array_equal(outputs.probabilities.argmax(dim=1).numpy(), expected.labels)
    other = kmeans.kmeans if find is kmeans.balanced_kmeans else kmeans.balanced_kmeans
    assert not np.array_equal(other(features, k, seed=method.seed, starts=10).labels, expected.labels)


@pytest.mark.parametrize(("counts", "unequal"), [((400, 40, 40, 40), True), ((130, 130, 130, 130), False)])
def test_the_second_head_starts_from_very_unequal_clusters_only_where_there_are_such(counts, unequal):
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(4), counts)
    rows = torch.from_numpy((8 * rng.normal(size=(4, 6))[groups] + rng.normal(size=(520, 6))).astype(np.float32))
    auto, uniform = made(rows, marginal="auto"), made(rows, marginal="uniform")
    for method in (auto, uniform):
        method.end_epoch(2, rows)
    sizes = np.bincount(predict(auto, rows).probabilities.argmax(dim=1).numpy(), minlength=4)
    assert (sizes.max() > 300) == unequal
    assert (float(auto.prior.max()) > 0.6) == unequal
    assert torch.equal(auto.prototypes.weight, uniform.prototypes.weight) != unequal


def test_the_entropy_term_is_left_out_only_until_the_sizes_are_found():
    method = made(entropy_weight=3.0, marginal="auto")
    parts = method.losses(batch(method))
    assert parts["loss"].item() == pytest.approx((parts["loss_instance"] + parts["loss_cluster"]).item(), rel=1e-6)
    method.end_epoch(2, samples())
    parts = method.losses(batch(method))
    expected = parts["loss_instance"] + parts["loss_labels"] + 3 * parts["loss_entropy"]
    assert parts["loss"].item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize(("epoch", "undone"), [(2, False), (3, False), (3, True), (4, True)])
def test_an_epoch_ends_with_what_the_method_then_says_of_all_samples(method, epoch, undone):
    assert method.end_epoch(1, samples()) is None
    if epoch > 2:
        method.end_epoch(2, samples())
    method.step(batch(method))
    if undone:
        method.prototypes.bias.data[0] = -1e6
    returned = method.end_epoch(epoch, samples())
    assert method.rollbacks == undone
    expected = predict(method, samples())
    assert torch.equal(returned.features, expected.features)
    torch.testing.assert_close(returned.probabilities, expected.probabilities)


@pytest.mark.parametrize("marginal", ["uniform", "learned"])
def test_the_marginal_is_uniform_or_that_of_k_means(marginal):
    few = samples()[torch.cat([torch.arange(0, 120, 4), torch.arange(1, 40, 4)])]
    trial = {"method": {"name": "conclus", "warmup": 0.5, "marginal": marginal}, "views": "noise", "epochs": 2}
    method = build(read_trial(trial, (), Mistakes()), few, 2, seed=0)
    method.end_epoch(1, few)
    sizes = torch.bincount(predict(method, few).probabilities.argmax(dim=1), minlength=2)
    expected = sizes / 40 if marginal == "learned" else torch.tensor([0.5, 0.5])
    assert torch.allclose(method.prior, expected)


def test_every_class_is_labelled_by_its_surest_in_the_share_of_its_confidence(method):
    p = torch.full((120, 4), 0.1)
    assigned = torch.arange(120) % 3  # the fourth cluster is empty
    p[torch.arange(120), assigned] = 0.5 + torch.arange(120) / 600
    p /= p.sum(dim=1, keepdim=True)
    method._label(Outputs(torch.zeros(120, 8), p))
    for k in range(3):
        members = (assigned == k).nonzero().squeeze(1)
        confidence = p[members].max(dim=1).values
        labelled = members[method.labels[members] == k]
        assert len(labelled) == int(confidence.mean() * len(members))
        assert set(labelled.tolist()) == set(members[confidence.argsort(descending=True)[: len(labelled)]].tolist())
    assert set(method.labels.tolist()) == {UNLABELLED, 0, 1, 2}
    assert torch.isfinite(method.class_weights).all()


def test_an_epoch_that_loses_a_class_is_undone(method):
    method.end_epoch(2, samples())
    good = {name: value.clone() for name, value in method.state_dict().items() if "prototypes" in name}
    method.prototypes.bias.data[0] = -1e6  # no sample goes to cluster 0 any more
    method.end_epoch(3, samples())
    assert method.rollbacks == 1
    assert all(torch.equal(method.state_dict()[name], value) for name, value in good.items())
    assert len(torch.unique(predict(method, samples()).probabilities.argmax(dim=1))) == 4


def test_an_epoch_that_lowers_the_label_free_score_is_undone_and_a_better_one_is_kept(method):
    method.end_epoch(2, samples())
    start = method.best_score
    method.prototypes.weight.data *= 0.01  # the same assignment, hardly any confidence
    method.end_epoch(3, samples())
    assert (method.rollbacks, method.best_score) == (1, start)
    method.prototypes.weight.data *= 3
    method.prototypes.bias.data *= 3
    method.end_epoch(4, samples())
    assert method.rollbacks == 1
    assert method.best_score > start


def test_the_last_epoch_may_be_undone_too(method):
    method.end_epoch(2, samples())
    method.prototypes.weight.data.zero_()
    method.end_epoch(4, samples())
    assert method.rollbacks == 1


def test_self_labelling_follows_labels_and_instances(method):
    warm_up = method.step(batch(method))
    assert {"loss", "loss_instance", "loss_cluster", "loss_entropy"} == set(warm_up)
    method.end_epoch(2, samples())
    assert {"loss", "loss_instance", "loss_labels", "loss_entropy"} == set(method.step(batch(method)))


def test_a_restored_state_knows_the_best(method):
    method.end_epoch(2, samples())
    kept = method.state()
    method.prototypes.bias.data[0] = -1e6
    method.load_state(kept)
    method.prototypes.bias.data[0] = -1e6
    method.end_epoch(3, samples())
    assert method.rollbacks == 1


def test_what_is_sure_and_balanced_is_not_undone_where_k_means_disagrees(method):
    """k-means may end elsewhere each time: it has no say in what is kept."""
    method.end_epoch(2, samples())
    outputs = predict(method, samples())
    shuffled = outputs.probabilities[torch.randperm(120, generator=torch.Generator().manual_seed(0))]
    assert method._keep(Outputs(outputs.features, shuffled))
    assert method.rollbacks == 0
