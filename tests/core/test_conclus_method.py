"""The default method: how its second head starts, that every class keeps labels, and a bad epoch is undone.

Most of it is told of a method without clusters of the input; the last tests are of these.
"""

import numpy as np
import pytest
import torch

from core.config.schema import Mistakes
from core.config.trial import read_trial
from core.data.dataset import Dataset
from core.evaluation import kmeans
from core.evaluation.clustering import predict
from core.evaluation.outputs import Outputs
from core.methods import conclus
from core.methods.conclus import UNLABELLED
from core.training.candidate import Candidate
from core.training.fit import build, fit
from core.training.method import Batch
from core.training.state import TrainingState
from tests.core.test_states import the_same


def samples(n=120, k=4, dim=6) -> torch.Tensor:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(k, dim))[np.arange(n) % k] * 4 + rng.normal(size=(n, dim))
    return torch.from_numpy(rows.astype(np.float32))


def lopsided() -> torch.Tensor:
    rng = np.random.default_rng(0)
    groups = np.maximum(np.arange(90) % 8 - 5, 0)
    rows = 3 * rng.normal(size=(3, 6))[groups] + rng.normal(size=(90, 6))
    return torch.from_numpy(rows.astype(np.float32))


def made(rows=None, k=4, views="noise", **options):
    trial = {
        "encoder": {"name": "mlp", "widths": [16, 8]},
        "method": {"name": "conclus", "warmup": 0.5, "entropy_weight": 0.0, "candidate": "none", **options},
        "views": views,
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
    free = find is kmeans.kmeans
    assert torch.allclose(method.prior, torch.bincount(torch.from_numpy(expected.labels)) / len(rows)) == free
    other = kmeans.balanced_kmeans if free else kmeans.kmeans
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
    method = made(few, 2, marginal=marginal)
    method.end_epoch(2, few)
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


def begun(rows, k=4, **options):
    """A method with clusters of the input after its warm-up, and what it said of the samples then."""
    method = made(rows, k, candidate="auto", **options)
    return method, method.end_epoch(2, rows)


def informed(n) -> torch.Tensor:
    """Images of 8 by 8 pixels, for `affine` views; in four groups, three in ten of the first."""
    rng = np.random.default_rng(0)
    groups = np.maximum(np.arange(n) % 10 - 6, 0)
    images = rng.random((4, 1, 8, 8))[groups] + 0.3 * rng.normal(size=(n, 1, 8, 8))
    return torch.from_numpy(images.astype(np.float32)).clamp(0, 1)


def config(epochs=4, views="neighbours", **options):
    method = {"name": "conclus", "warmup": 0.5, **options}
    trial = {
        "n_clusters": 4,
        "encoder": {"name": "mlp", "widths": [16, 8]},
        "method": method,
        "views": views,
        "epochs": epochs,
        "batch_size": 60,
        "evaluation": {"every": 1},
    }
    return read_trial(trial, (), Mistakes())


def dataset(rows) -> Dataset:
    return Dataset("made", rows.numpy(), None, (), "")


@pytest.mark.parametrize("views", ["noise", "neighbours"])
def test_the_second_head_starts_from_the_clusters_of_the_input(views):
    rows = lopsided()
    method, outputs = begun(rows, 3, views=views)
    found = method.candidate(rows).argmax(dim=1)
    assert torch.equal(method.labels, found)
    sizes = torch.bincount(found, minlength=3) / 90
    assert sizes.max() > 0.6
    torch.testing.assert_close(method.prior, sizes)
    features = kmeans.unit_rows(outputs.features.numpy())
    for k in range(3):
        expected = method.sharpness * features[(found == k).numpy()].mean(axis=0)
        np.testing.assert_allclose(method.prototypes.weight[k].detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    method.step(Batch(rows, torch.arange(90), *(torch.Generator().manual_seed(seed) for seed in (0, 1))))
    method.end_epoch(3, rows)
    assert (method.labels == UNLABELLED).any()


def test_the_clusters_of_the_input_are_known_of_a_trial_that_ends_in_its_warm_up():
    rows = lopsided()
    method = made(rows, 3, candidate="auto", views="neighbours")
    method.end_epoch(1, rows)
    expected = Candidate(len(rows), rows.shape[1:], 3)
    expected.find(rows, seed=method.seed)
    assert method.best is None
    assert np.array_equal(method.input_clusters(rows), expected.of_all(rows).argmax(dim=1).numpy())


@pytest.mark.parametrize("worse", [True, False])
def test_training_answers_unless_it_contradicts_the_neighbours_in_the_input(worse, monkeypatch):
    monkeypatch.setattr(Candidate, "join", lambda *_, **__: None)  # it would find the clusters that are set here again
    rows = samples()
    method, _ = begun(rows)
    own = method.candidate(rows).argmax(dim=1)
    if not worse:
        method.candidate.clusters.copy_(torch.arange(120) % 7 % 4)
        method.candidate_agreement = method.candidate.agreement(rows)
    else:
        method.prototypes.weight.data.copy_(torch.randn(4, 8, generator=torch.Generator().manual_seed(0)))
        method.best_score = -1.0
    with torch.no_grad():
        head = method.eval()._logits(method.encoder(rows)).argmax(dim=1)
    outputs = method.train().end_epoch(4, rows)
    assert torch.equal(outputs.probabilities.argmax(dim=1), own if worse else head)
    assert not torch.equal(own, head) or not worse
    signals = method.signals()
    assert signals["training_helped"] == (not worse)
    assert signals["head_agreement"] == pytest.approx(method.candidate.agreement(rows, head.numpy()))
    assert signals["candidate_agreement"] == pytest.approx(method.candidate.agreement(rows))
    torch.testing.assert_close(predict(method, rows).probabilities, outputs.probabilities)


@pytest.mark.parametrize(("n", "learns"), [(256, True), (252, False)])
def test_informed_views_begin_and_end_with_k_means_where_a_cluster_has_64_samples(n, learns):
    rows = informed(n)
    method = made(rows, views="affine", candidate="auto")
    assert method._learns_from_views() == learns
    for epoch in (2, 4):
        outputs = method.end_epoch(epoch, rows)
        method.input_answers.zero_()
        head = predict(method, rows).probabilities.argmax(dim=1).numpy()
        again = method._kmeans(kmeans.unit_rows(outputs.features.numpy())).labels
        assert np.array_equal(head, again) == learns


@pytest.mark.parametrize(("lost", "answers"), [(0.19, False), (0.21, True)])
def test_informed_views_may_lose_a_fifth_of_the_agreement(lost, answers):
    rows = informed(256)
    method, _ = begun(rows, views="affine")
    method.candidate_agreement = method.head_agreement + lost
    method.end_epoch(3, rows)
    assert bool(method.input_answers) == answers
    assert method.signals()["training_helped"] == (not answers)


def test_without_clusters_of_the_input_there_are_neither_their_signals_nor_their_tensors():
    method = made()
    assert method.signals() == {}
    method.end_epoch(2, samples())
    assert {"kept_epochs", "rollbacks", "start_score"} <= set(method.signals())
    assert not {"candidate_agreement", "head_agreement", "training_helped"} & set(method.signals())
    assert not [name for name in method.state_dict() if name.startswith("candidate")]


def test_clusters_of_the_input_change_nothing_in_what_informed_views_train(monkeypatch):
    """With them or without: the same losses, and answers unless these contradict the neighbours."""
    monkeypatch.setattr(conclus, "_LOST_AGREEMENT", 2.0)
    rows = informed(256)
    with_, without = (
        list(fit(config(views="affine", candidate=one), dataset(rows), seed=1)) for one in ("auto", "none")
    )
    for one, other in zip(with_, without, strict=True):
        assert one.losses == other.losses
    assert with_[-1].health["training_helped"] == 1
    assert np.array_equal(with_[-1].scores.assignment.clusters, without[-1].scores.assignment.clusters)


def test_kept_epochs_and_rollbacks_are_counted_and_the_start_is_told(method):
    method.end_epoch(2, samples())
    start = method.best_score
    method.end_epoch(3, samples())
    method.prototypes.bias.data[0] = -1e6
    method.end_epoch(4, samples())
    found = method.signals()
    assert (found["kept_epochs"], found["rollbacks"], found["start_score"]) == (1, 1, start)


@pytest.mark.parametrize("after", [1, 3, 4, 5])
def test_a_trial_that_goes_on_after_an_interruption_has_the_same_rows_to_the_bit(after):
    """Also while the clusters of the input answer."""
    rows = samples()
    chosen = config(6)
    whole = [(row, row.state()) for row in fit(chosen, dataset(rows), seed=2)]
    assert {row.health.get("training_helped") for row, _ in whole} == {None, 0.0}
    resume, _ = TrainingState.from_bytes(whole[after - 1][1].to_bytes(), "cpu")
    rest = [(row, row.state()) for row in fit(chosen, dataset(rows), seed=2, resume=resume)]
    assert len(rest) == 6 - after
    for (row, found), (expected, state) in zip(rest, whole[after:], strict=True):
        assert (row.losses, row.health) == (expected.losses, expected.health)
        assert np.array_equal(row.scores.assignment.clusters, expected.scores.assignment.clusters)
        assert row.scores.assignment.probabilities.tobytes() == expected.scores.assignment.probabilities.tobytes()
        the_same(found.method, state.method)


def test_a_loaded_model_answers_for_new_samples_by_the_clusters_of_the_input():
    rows = samples()
    method, outputs = begun(rows)
    method.head_agreement, method.candidate_agreement = 0.0, 2.0
    method.end_epoch(4, rows)
    other = made(rows, candidate="auto")
    other.load_state(method.state())
    new = rows[:30] + 0.01
    expected = method.candidate(rows)[:30].argmax(dim=1)
    found = predict(other, new).probabilities
    assert torch.equal(found.argmax(dim=1), expected)
    assert torch.equal(found, method.candidate(new))
    assert outputs.probabilities.shape == (120, 4)
