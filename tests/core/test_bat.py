"""The adversarial topic models; what holds for every method is in test_methods.py."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.config import plugins
from core.config.schema import Mistakes
from core.config.trial import read_trial
from core.data.source import on_device, sparse_rows
from core.errors import UserError
from core.methods._adversarial import Critic, half_of_words
from core.methods._words import WordMap
from core.seeds import Streams
from core.training.fit import build, fit, kinds_of
from core.training.method import Batch, DivergedError, StepGuard
from core.training.state import TrainingState
from losses.conditional_contrast import conditional_contrast
from losses.nt_xent import nt_xent
from tests.core.topical import topical

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
BOTH = ["bat", "gc-atm"]


def trial(method, **values):
    mistakes = Mistakes()
    read = read_trial({"method": method, "n_clusters": 4, **values}, (), mistakes)
    assert not mistakes.found
    return read


def built(method, data=None, device="cpu", **values):
    """A method, its training samples as they are given to its steps, and a function that takes a step."""
    training = (data or topical()).part("train")
    samples = on_device(training.samples, torch.device(device))
    made = build(trial(method, **values), samples, 4, seed=1, **kinds_of(training))
    streams, given = Streams.of(2, torch.device(device)), sparse_rows(samples)

    def step(rows=slice(0, 64), *, dense=False):
        chosen = given[rows].to_dense() if dense else given[rows]
        return made.step(Batch(chosen, torch.arange(len(chosen)), streams.views, streams.method))

    return made, given, step


def weights(module) -> list[torch.Tensor]:
    return [one.detach().clone() for one in module.parameters()]


def same(first, second) -> bool:
    return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("device", DEVICES)
def test_documents_are_given_sparse_and_have_the_product_and_the_gradient_of_dense_ones(device):
    _, given, _ = built("bat", device=device)
    rows = given[torch.tensor([5, 0, 7, 7])]
    assert rows.layout == torch.sparse_csr
    words = WordMap(60, 8).to(device)
    factor = torch.randn(4, 8, generator=torch.Generator().manual_seed(0)).to(device)
    found = []
    for documents in (rows, rows.to_dense()):
        product = words(documents)
        (gradient,) = torch.autograd.grad((product * factor).sum(), words.weight)
        found.append((product, gradient))
    for sparse, dense in zip(*found, strict=True):
        assert dense.abs().max() > 0
        torch.testing.assert_close(sparse, dense, rtol=0, atol=1e-6)


def test_a_document_without_words_is_a_row_of_zeros():
    empty = torch.tensor([[0.0, 0.0], [0.5, 0.5]]).to_sparse_csr()
    assert WordMap(2, 3)(empty)[0].tolist() == [0, 0, 0]


# The random halves of words of dense documents are others than those of sparse ones.
@pytest.mark.parametrize("more", [{"name": "bat"}, {"name": "gc-atm"}, {"name": "bat", "penalty": 10.0}], ids=str)
def test_sparse_and_dense_documents_give_the_same_steps(more):
    found = []
    for dense in (False, True):
        made, _, step = built({**more, "agreement": 0.0})
        losses = [step(dense=dense) for _ in range(5)][-1]
        found.append((losses, [one.grad for one in made.parameters() if one.grad is not None]))
    (losses, gradients), (others, also) = found
    assert {name: float(one) for name, one in losses.items()} == pytest.approx(
        {name: float(one) for name, one in others.items()}, abs=1e-5
    )
    for one, other in zip(gradients, also, strict=True):
        assert float((one - other).abs().max()) <= 1e-3 * float(other.abs().max()) + 1e-6


def test_a_view_keeps_a_random_half_of_the_words_with_doubled_weights():
    _, given, _ = built("bat")
    for documents in (given[:], given[:].to_dense()):
        first, second = (half_of_words(documents, torch.Generator().manual_seed(seed)).to_dense() for seed in (1, 2))
        whole, kept = given[:].to_dense(), first > 0
        assert torch.equal(first[kept], 2 * whole[kept])
        assert float(kept.sum() / (whole > 0).sum()) == pytest.approx(0.5, abs=0.05)
        assert not torch.equal(first, second)


def test_topics_and_shares_are_those_of_the_averaged_weights():
    for averaging, equal in ((0.0, True), (0.9, False)):
        made, given, step = built({"name": "bat", "averaging": averaging})
        for _ in range(30):
            step()
        made.eval()
        now = (made.generator(torch.eye(4))[1], made.encoder(given[:]))
        assert [
            torch.equal(*pair) for pair in zip((made.topics(), made.outputs(given[:]).probabilities), now, strict=True)
        ] == [equal] * 2
    made, _, step = built({"name": "bat", "averaging": 0.5, "n_critic": 1})
    # The share of the past is .5 from the ninth step on.
    for _ in range(9):
        before = made.averaged["encoder"].words.weight.clone()
        step()
    expected = (before + made.encoder.words.weight) / 2
    torch.testing.assert_close(made.averaged["encoder"].words.weight, expected)


def test_clipping_bounds_every_weight_of_the_critic_and_none_of_the_others():
    made, _, step = built({"name": "bat", "clip": 0.02})
    for _ in range(3):
        step()
    assert all(float(one.abs().max()) <= 0.02 + 1e-9 for one in weights(made.critic))
    assert all(max(float(one.abs().max()) for one in weights(net)) > 0.1 for net in (made.generator, made.encoder))


def test_the_penalty_is_that_of_autograd_on_whole_pairs():
    torch.manual_seed(0)
    critic = Critic(3, 7, 5, in_batch=False)
    theta, real, made = (torch.rand(4, width).softmax(dim=1) for width in (3, 7, 7))
    other, shares = torch.rand(4, 3).softmax(dim=1), torch.rand(4, 1)
    (_, first), (_, second) = critic(theta, real), critic(other, made)
    found = critic.penalty(first, second, shares)
    between = [one + shares * (two - one) for one, two in ((theta, other), (real, made))]
    pair = [one.clone().requires_grad_() for one in between]
    slopes = torch.cat(torch.autograd.grad(critic(*pair)[0].sum(), pair, create_graph=True), dim=1)
    expected = (slopes.norm(dim=1) - 1).square().mean()
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    of = list(critic.parameters())
    for one, two in zip(
        torch.autograd.grad(found, of, allow_unused=True, materialize_grads=True),
        torch.autograd.grad(expected, of, allow_unused=True, materialize_grads=True),
        strict=True,
    ):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)


def test_with_a_penalty_the_critic_does_not_mix_the_documents_of_a_batch():
    for values, alone in (({}, False), ({"penalty": 10.0}, True)):
        made, given, _ = built({"name": "bat", **values})
        rows, theta = given[slice(0, 6)].to_dense(), torch.rand(6, 4).softmax(dim=1)
        few, all_ = made.critic(theta[:3], rows[:3])[0], made.critic(theta, rows)[0]
        assert torch.allclose(few, all_[:3], atol=1e-6) == alone


def test_generator_and_encoder_learn_in_each_n_critic_th_step_across_a_resume():
    made, _, step = built({"name": "bat", "n_critic": 3})
    seen = []
    for number in range(1, 7):
        if number == 3:
            state, other = made.state(), built({"name": "bat", "n_critic": 3})
            made, step = other[0], other[2]
            made.load_state(state)
        before = [weights(net) for net in (made.generator, made.encoder, made.critic)]
        losses = step()
        changed = [not same(one, weights(net)) for one, net in zip(before, (made.generator, made.encoder, made.critic))]  # noqa: B905
        assert changed[2]
        assert changed[0] == changed[1] == ("loss_generator" in losses) == ("loss_encoder" in losses)
        seen.append(changed[0])
    assert seen == [False, False, True] * 2


def test_without_an_embedding_of_topics_gc_atm_is_bat():
    plain, _, step = built("bat")
    other, _, other_step = built({"name": "gc-atm", "label_embedding": "none"})
    for _ in range(5):
        assert {k: float(v) for k, v in step().items()} == {k: float(v) for k, v in other_step().items()}
    assert same(weights(plain), weights(other))


@pytest.mark.parametrize("loss", ["info_nce", "conditional"])
@pytest.mark.parametrize("embedding", ["argmax", "weighted"])
def test_the_contrast_teaches_generator_projection_and_embedding(loss, embedding):
    made, _, step = built({"name": "gc-atm", "loss": loss, "label_embedding": embedding, "n_critic": 1})
    before = [weights(net) for net in (made.projection, made.embedding, made.generator.block)]
    assert float(step()["loss_contrast"]) > 0
    assert not any(
        same(one, weights(net))
        for one, net in zip(before, (made.projection, made.embedding, made.generator.block), strict=True)
    )


@pytest.mark.parametrize("loss", ["info_nce", "conditional"])
def test_the_contrast_is_the_one_asked_for_at_its_temperature(loss):
    made, _, _ = built({"name": "gc-atm", "loss": loss, "temperature": 0.2})
    generator = torch.Generator().manual_seed(3)
    hidden, theta = torch.randn(20, 128, generator=generator), torch.rand(20, 4, generator=generator)
    projected, labels = made.projection(hidden), theta @ made.embedding.weight
    expected = {
        "info_nce": nt_xent(projected, labels, 0.2),
        "conditional": conditional_contrast(projected, labels, theta.argmax(dim=1), 0.2),
    }
    assert made.contrast(hidden, theta).item() == pytest.approx(expected[loss].item(), rel=1e-6)
    assert abs(expected["info_nce"].item() - expected["conditional"].item()) > 0.01


@pytest.mark.parametrize(("given", "rate"), [("lr", 0.02), ("lr/10", 0.002), ("lr/100", 0.0002), (0.5, 0.5)])
def test_the_generators_rate_is_a_number_or_a_share(given, rate):
    made, *_ = built({"name": "bat", "generator_learning_rate": given}, optimiser={"learning_rate": 0.02})
    made.set_learning_rate(0.5)
    rates = {name: one.param_groups[0]["lr"] for name, one in made.optimisers.items()}
    assert rates == pytest.approx({"generator": rate / 2, "encoder": 0.01, "critic": 0.01})
    assert {one.param_groups[0]["betas"] for one in made.optimisers.values()} == {(0.5, 0.999)}


@pytest.mark.parametrize("wrong", ["lr/0", "lr*2", "10", 0, -1.0])
def test_a_wrong_rate_is_refused_before_the_start(wrong):
    mistakes = Mistakes()
    read_trial({"method": {"name": "gc-atm", "generator_learning_rate": wrong}}, (), mistakes)
    (mistake,) = mistakes.found
    assert mistake.place == ("method", "generator_learning_rate")
    assert "'lr/100'" in mistake.text


def test_the_name_with_an_underscore_is_the_method_too():
    assert plugins.source("methods", "gc_atm") == plugins.source("methods", "gc-atm")
    assert trial("gc_atm").method.options == trial("gc-atm").method.options


@pytest.mark.parametrize("method", BOTH)
def test_two_bounds_of_the_critic_are_refused_before_the_start(method):
    mistakes = Mistakes()
    read_trial({"method": {"name": method, "clip": 0.01, "penalty": 10.0}}, (), mistakes)
    (mistake,) = mistakes.found
    assert mistake.place == ("method", "penalty")
    assert "clip and penalty exclude each other" in mistake.text


def test_samples_that_are_no_documents_are_refused():
    with pytest.raises(UserError, match="name: documents"):
        next(fit(trial("bat"), replace(topical(40), corpus=None), seed=0))


@pytest.mark.parametrize("device", DEVICES)
def test_topic_weights_are_drawn_from_the_prior_also_for_many_topics(device):
    for topics in (1, 2, 300):
        training = topical(40).part("train")
        samples = on_device(training.samples, torch.device(device))
        made = build(trial("bat"), samples, topics, seed=0, **kinds_of(training))
        drawn, again = (made._prior(4000, torch.Generator(device).manual_seed(5)) for _ in range(2))
        assert torch.equal(drawn, again)
        assert drawn.sum(dim=1).cpu().numpy() == pytest.approx(np.ones(4000), abs=1e-5)
        # The variance of a weight is (1/K)(1 - 1/K) / 2 where all parameters are 1/K.
        expected = (1 / topics) * (1 - 1 / topics) / 2
        assert float(drawn.double().var(dim=0).mean()) == pytest.approx(expected, rel=0.1, abs=1e-12)
        assert float(drawn.mean()) == pytest.approx(1 / topics, rel=1e-4)


def test_topics_and_shares_are_on_the_simplex_and_do_not_depend_on_the_batch():
    made, given, step = built("bat")
    for _ in range(10):
        step()
    made.eval()
    topics, whole = made.topics(), made.outputs(given[slice(0, 8)])
    assert topics.shape == (4, 60)
    assert torch.allclose(topics.sum(dim=1), torch.ones(4), atol=1e-5)
    assert torch.allclose(whole.probabilities.sum(dim=1), torch.ones(8), atol=1e-5)
    assert torch.allclose(whole.features[:2], made.outputs(given[slice(0, 2)].to_dense()).features, atol=1e-6)


def test_signals_are_those_of_the_epoch():
    made, _, step = built("bat")
    assert made.signals() == {}
    losses = [step() for _ in range(5)]
    found = made.signals()
    assert found["critic_gap"] == pytest.approx(-np.mean([float(one["loss_critic"]) for one in losses]), rel=1e-5)
    assert 0 <= found["critic_accuracy"] <= 1
    assert found["generator_gradient_norm"] > 0
    assert made.signals() == {}


def test_a_step_of_two_optimisers_is_taken_by_both_or_none():
    first, second = (torch.nn.Linear(1, 1) for _ in range(2))
    both = torch.nn.ModuleList([first, second])
    optimisers = [torch.optim.SGD(one.parameters(), lr=0.1) for one in (first, second)]
    before, guard = weights(both), StepGuard()
    for one, value in ((first, 1.0), (second, torch.nan)):
        for parameter in one.parameters():
            parameter.grad = torch.full_like(parameter, value)
    assert not guard.take(both, *optimisers)
    assert same(before, weights(both))
    assert [one.param_groups[0]["lr"] for one in optimisers] == [0.05, 0.05]
    for parameter in second.parameters():
        parameter.grad = torch.ones_like(parameter)
    assert guard.take(both, *optimisers)
    assert not any(torch.equal(one, other) for one, other in zip(before, weights(both), strict=True))


def spoil(module):
    """Makes the gradients of a module's parameters NaN from now on."""
    for parameter in module.parameters():
        parameter.register_hook(lambda gradient: gradient * torch.nan)


def test_a_generator_whose_gradients_are_never_finite_diverges_also_across_a_resume():
    made, _, step = built({"name": "bat", "n_critic": 2})
    spoil(made.generator)
    for _ in range(4):
        step()
    state, other = made.state(), built({"name": "bat", "n_critic": 2})
    made, step = other[0], other[2]
    made.load_state(state)
    spoil(made.generator)
    step()
    with pytest.raises(DivergedError, match="3 steps in a row"):
        step()
    assert state["step_guard"]["in_a_row"] == {"critic": 0, "others": 2}


def test_an_older_checkpoint_goes_on_counting_the_bad_steps_of_one_optimiser():
    guard, one = StepGuard(), torch.nn.Linear(1, 1)
    guard.load_state({"scale": 0.25, "in_a_row": 2})
    for parameter in one.parameters():
        parameter.grad = torch.full_like(parameter, torch.nan)
    with pytest.raises(DivergedError, match="3 steps in a row"):
        guard.take(one, torch.optim.SGD(one.parameters(), lr=0.1))
    assert guard.scale == 0.25


def test_nobody_learns_where_the_critic_cannot():
    made, _, step = built({"name": "bat", "n_critic": 1})
    spoil(made.critic)
    before = weights(made)
    assert "loss_generator" not in step()
    assert same(before, weights(made))


@pytest.mark.parametrize("method", BOTH)
def test_it_finds_the_topics_that_the_documents_were_made_of(method):
    data = topical(400)
    settings = {"epochs": 20, "batch_size": 64, "optimiser": {"learning_rate": 0.003}, "evaluation": {"every": 20}}
    *_, last = fit(trial(method, **settings), data, seed=0)
    found = {frozenset(int(word[1:]) // 15 for word in words[:10]) for words in last.scores.topics.words}
    assert found == {frozenset({topic}) for topic in range(4)}
    assert last.metrics["nmi"] >= 0.95


@pytest.mark.gpu
@pytest.mark.parametrize("method", BOTH)
def test_on_a_card_it_is_deterministic_and_resumes(method):
    straight, kept = [], b""
    for row in fit(trial(method, epochs=4), topical(), seed=3, device="cuda"):
        straight.append(row.metrics)
        kept = row.state().to_bytes() if row.epoch == 2 else kept
    assert [row.metrics for row in fit(trial(method, epochs=4), topical(), seed=3, device="cuda")] == straight
    state, _ = TrainingState.from_bytes(kept, "cuda")
    resumed = fit(trial(method, epochs=4), topical(), seed=3, device="cuda", resume=state)
    assert [row.metrics for row in resumed] == straight[2:]
