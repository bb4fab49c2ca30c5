"""NMF, LDA and ProdLDA, and what a method does not use."""

import numpy as np
import pytest
import torch
from scipy.optimize import nnls
from sklearn.decomposition import LatentDirichletAllocation
from sklearn.feature_extraction.text import TfidfTransformer
from torch.distributions import Normal, kl_divergence

from core.config.schema import Mistakes, PlugIn
from core.config.trial import TrialConfig, as_used, parameters, read_trial, unused
from core.data.corpus import inverse_frequencies
from core.data.source import on_device
from core.datasets.documents import simplex
from core.errors import UserError
from core.methods._documents import shares
from core.training.fit import build, fit, kinds_of
from core.training.footprint import measure
from core.training.method import Batch
from tests.core.topical import topical


def trial(method, **values) -> TrialConfig:
    mistakes = Mistakes()
    found = read_trial({"method": method, **values}, (), mistakes)
    assert not mistakes.found
    return found


def learned(method, **values):
    """The method after its one step or an epoch, and the training documents."""
    data = topical().part("train")
    samples = on_device(data.samples, torch.device("cpu"))
    made = build(trial(method, **values), samples, 4, seed=1, **kinds_of(data))
    generator = torch.Generator().manual_seed(0)
    made.step(Batch(samples[:], torch.arange(len(samples)), generator, generator))
    return made.eval(), data


def test_nmf_weights_of_a_document_are_those_of_least_squares():
    nmf, data = learned("nmf")
    rows = data.samples.raw(slice(20)).toarray().astype(float)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    exact = torch.from_numpy(np.stack([nnls(nmf.factors.numpy().T, row)[0] for row in rows]))
    found = nmf.outputs(torch.from_numpy(data.samples[:20])).probabilities
    torch.testing.assert_close(found.double(), shares(exact), atol=2e-3, rtol=0)


def test_a_document_without_a_topic_has_equal_shares():
    assert shares(torch.tensor([[0.0, 0.0], [1.0, 3.0]])).tolist() == [[0.5, 0.5], [0.25, 0.75]]


def test_lda_infers_from_samples_what_scikit_learn_does_from_counts():
    lda, data = learned("lda")
    model = LatentDirichletAllocation(4, max_doc_update_iter=10, random_state=0)
    model.partial_fit(data.corpus.counts)
    model.components_ = lda.components.numpy()
    psi = torch.digamma(lda.components)
    model.exp_dirichlet_component_ = (psi - torch.digamma(lda.components.sum(dim=1, keepdim=True))).exp().numpy()
    # A document whose rarest word occurs twice is known but for a factor.
    known = np.flatnonzero([row.data.min() == 1 for row in data.corpus.counts])
    expected = model.transform(data.corpus.counts[known])
    found = lda.outputs(torch.from_numpy(data.samples[known])).probabilities
    assert len(known) > 100
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)


def test_lda_knows_samples_of_logarithms_of_counts():
    plain, data = learned("lda")
    logs = simplex(data.corpus.counts, None, sublinear=True)
    samples = torch.from_numpy(logs[:])
    generator = torch.Generator().manual_seed(0)
    before = plain.outputs(torch.from_numpy(data.samples[:])).probabilities
    plain.step(Batch(samples, torch.arange(len(samples)), generator, generator))
    assert plain.sublinear
    torch.testing.assert_close(plain.outputs(samples).probabilities, before, atol=1e-4, rtol=0)


def test_the_factors_of_words_are_those_that_the_samples_were_made_with():
    data = topical()
    factors = inverse_frequencies(data.part("train").corpus.counts)
    made = data.corpus.counts.toarray() * factors
    np.testing.assert_allclose(data.samples[:], made / made.sum(axis=1, keepdims=True), atol=1e-6)
    theirs = TfidfTransformer().fit(data.part("train").corpus.counts).idf_
    np.testing.assert_allclose(factors, theirs, rtol=1e-12)


@pytest.mark.parametrize("prior", [1.0, 0.1])
def test_prodlda_prior_is_the_laplace_approximation_and_its_divergence_that_of_normal_distributions(prior):
    prodlda, _ = learned({"name": "prodlda", "prior": prior})
    alphas = np.full(4, prior)
    variance = float(((1 - 2 / 4) / alphas + (1 / alphas).sum() / 4**2)[0])
    assert prodlda.variance == pytest.approx(variance)
    mean, log_variance = torch.randn(5, 4), torch.randn(5, 4)
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, variance**0.5)).sum(dim=1)
    torch.testing.assert_close(prodlda._divergence(mean, log_variance), expected)


def test_prodlda_learns_the_topics_and_its_parts_add_up():
    config = trial("prodlda", epochs=40, batch_size=64, optimiser={"learning_rate": 0.01}, evaluation={"every": 40})
    first, *_, last = fit(config, topical(), seed=0)
    assert last.losses["loss"] == pytest.approx(last.losses["loss_reconstruction"] + last.losses["loss_kl"])
    assert last.losses["loss"] < first.losses["loss"]
    assert last.metrics["topic_diversity"] >= 0.9


@pytest.mark.parametrize("method", ["nmf", "lda", "prodlda"])
def test_topics_need_documents(method):
    data = topical().part("train")
    samples = on_device(data.samples, torch.device("cpu"))
    with pytest.raises(UserError, match=r"data: \{name: documents"):
        build(trial(method), samples, 4, seed=0)


def test_a_method_without_epochs_has_one_row_and_a_footprint():
    config = trial("nmf", epochs=60)
    assert config.epochs == 1
    (row,) = fit(config, topical(), seed=0)
    assert row.last
    assert "label_flips" not in row.health
    assert measure(config, topical(), seed=0).train_seconds > 0


def test_what_is_not_used_is_no_parameter_and_changes_none():
    given = {"epochs": 9, "batch_size": 7, "encoder": "linear", "optimiser": {"learning_rate": 0.5}}
    assert trial("nmf", **given) == trial("nmf")
    own = {"method.name", "method.iterations", "method.relevance"}
    assert set(parameters(trial("nmf", **given))) == {"data.name", "n_clusters", *own}
    assert trial("prodlda", encoder="linear") == trial("prodlda")
    assert parameters(trial("prodlda", **given))["epochs"] == 9
    assert unused("conclus") == ()


def test_a_single_key_of_a_section_may_be_unused(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text('class Method:\n    unused = ("optimiser.warmup",)\n\n    def __init__(self, setting): ...\n')
    found = trial(str(file), optimiser={"warmup": 0.5, "learning_rate": 0.5}).optimiser
    assert (found.warmup, found.learning_rate) == (0.0, 0.5)
    assert "optimiser.warmup" not in parameters(trial(str(file)))
    file.write_text('class Method:\n    unused = ("data", "epoch")\n\n    def __init__(self, setting): ...\n')
    with pytest.raises(UserError, match="'unused' must be a tuple of sections and keys of a trial"):
        as_used(TrialConfig(method=PlugIn(name=str(file))))
