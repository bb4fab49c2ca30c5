"""Scores of topics: their words, and the clusters of documents."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from sklearn.metrics import normalized_mutual_info_score

from core.data.dataset import UNLABELLED
from core.data.source import on_device
from core.datasets.documents import simplex
from core.errors import UserError
from core.evaluation import coherence, names
from core.evaluation.coherence import by_documents, by_windows, presence
from core.evaluation.health import warnings
from core.evaluation.outputs import Outputs
from core.evaluation.scoring import ClusterScoring, ScoredTrial
from core.evaluation.topics import TopicScoring, active_topics, heaviest, inverted_rbo, shared, strongest, word_overlap
from jobs.analysis.scores import default_mode, uses_labels
from tests.core.topical import topical


class Fixed:
    """A model of given topics (K, V); a document's weights are those of its words."""

    training = False

    def __init__(self, weights):
        self.weights = torch.from_numpy(np.asarray(weights, np.float64))

    def topics(self):
        return self.weights

    def input_clusters(self, _samples):
        return None

    def outputs(self, samples):
        known = samples.to_dense().double() @ self.weights.T + 1e-9
        theta = (known / known.sum(dim=1, keepdim=True)).float()
        return Outputs(theta, theta)

    def eval(self):
        return self

    def train(self, mode=True):
        self.training = mode


def planted(topics=4, words=60, *, alike=False):
    """The topics of `topical`, a word that comes earlier a little heavier; or one of them K times."""
    own = np.arange(words) // (words // topics) == np.arange(topics)[:, None]
    return np.where(own[[0] * topics] if alike else own, 1.0, 0.0) - np.linspace(0, 1e-3, words) + 1e-3


def scored(model, data, *, last=True, relevance=1.0):
    training = data.part("train")
    samples = on_device(training.samples, torch.device("cpu"))
    trial = ScoredTrial(data=data, samples=samples, n_clusters=len(model.weights), batch_size=50, seed=0)
    found = TopicScoring(trial, relevance)(model, due=True, last=last, outputs=None)
    assert found is not None
    return found


def test_scores_of_planted_topics():
    data = topical()
    found = scored(Fixed(planted()), data)
    training = data.part("train")
    words = np.stack([np.arange(10) + 15 * k for k in range(4)])
    counts = by_documents(presence(training.corpus), words)
    assert found.metrics["npmi"] == pytest.approx(coherence.npmi(counts).mean())
    assert found.metrics["umass"] == pytest.approx(coherence.umass(counts).mean())
    assert found.metrics["c_v"] == pytest.approx(coherence.c_v(by_windows(training.corpus, words, 110)).mean())
    assert found.metrics["uci"] == pytest.approx(coherence.uci(by_windows(training.corpus, words, 10)).mean())
    wide = by_documents(presence(training.corpus), np.stack([np.arange(15) + 15 * k for k in range(4)]))
    assert found.metrics["npmi_15"] == pytest.approx(coherence.npmi(wide).mean())
    assert (found.metrics["topic_diversity"], found.metrics["inverted_rbo"]) == (1, 1)
    assert (found.health["topic_word_overlap"], found.health["active_topics"], found.health["topic_oov"]) == (0, 1, 0)
    assert [found.metrics[f"test_{name}"] for name in ("nmi", "acc", "purity")] == pytest.approx([1, 1, 1])
    assert found.topics is not None
    assert found.topics.words[1][:2] == ("w015", "w016")
    assert found.topics.weights.shape == (4, 15)
    assert np.allclose(found.topics.weights.sum(axis=1), 1, atol=0.05)
    assert found.topics.scored_on == "240 training documents of topical, words in their order"
    for topic, rows in enumerate(found.topics.documents):
        assert len(rows) == 3
        assert {training.labels[row] for row in rows} == {topic}


@pytest.mark.parametrize("relevance", [1.0, 0.6, 0.0])
def test_words_are_ordered_by_relevance(relevance):
    data = topical()
    weights = np.random.default_rng(0).random((4, 60))
    mean = data.part("train").samples[:].mean(axis=0)
    model = Fixed(weights)
    topics = scored(model, data, relevance=relevance).topics
    assert topics is not None
    for topic, words in enumerate(topics.words):
        logs = [
            relevance * math.log(w) + (1 - relevance) * math.log(w / m)
            for w, m in zip(weights[topic], mean, strict=True)
        ]
        assert words == tuple(f"w{word:03}" for word in sorted(range(60), key=lambda word: -logs[word])[:15])
    assert (topics.words == scored(model, data).topics.words) == (relevance == 1)


def test_a_word_in_no_training_document_is_in_no_list_by_lift():
    data = topical()
    counts = data.corpus.values.copy().tolil()
    training = np.flatnonzero(data.parts == 0)
    counts[training, 3] = 0
    bag = counts.tocsr()
    bag.eliminate_zeros()
    without = replace(
        data, samples=simplex(bag, data.parts == 0), corpus=replace(data.corpus, values=bag, sequence=None, ends=None)
    )
    weights = planted() + (np.arange(60) == 3)
    assert "w003" in scored(Fixed(weights), without).topics.words[2]
    assert "w003" not in scored(Fixed(weights), without, relevance=0.6).topics.words[2]


def test_the_scores_have_the_names_that_are_declared():
    data = topical()
    bag = replace(data, corpus=replace(data.corpus, sequence=None, ends=None))
    unlabelled = replace(data, labels=None, class_names=())
    both = ("train", "test")
    for one, ordered, labelled in (
        (data, True, both),
        (bag, False, both),
        (unlabelled, True, ()),
    ):
        found = scored(Fixed(planted()), one)
        declared = names.reported("topics", labelled=labelled, parts=both, ordered=ordered)
        assert {*found.metrics, *found.health} | {"label_flips"} == declared
        assert {*found.health} <= {*names.SIGNALS}
        assert not {*found.metrics} & {*names.SIGNALS}
    assert "words of unknown order, which `c_v` and `uci` need" in scored(Fixed(planted()), bag).topics.scored_on


def test_a_score_that_needs_the_order_of_words_is_refused_for_a_bag():
    bag = names.reported("topics", labelled=(), parts=("train",), ordered=False)
    with pytest.raises(UserError, match="'c_v' is none of the trial's scores: it needs the order of the words"):
        names.refuse_unreported("select.metric", "c_v", bag)
    with pytest.raises(UserError, match=r"'npmj' is none of .*did you mean 'npmi'"):
        names.refuse_unreported("select.metric", "npmj", bag)
    names.refuse_unreported("select.metric", "c_v", names.reported("topics", labelled=(), parts=(), ordered=True))


def test_what_names_of_scores_tell():
    assert all(uses_labels(name) for name in ("test_nmi", "validation_purity", "best.test_acc"))
    assert not any(uses_labels(name) for name in (*names.TOPIC_SCORES, "validation_mse"))
    lower = {name for name in names.TOPIC_SCORES if default_mode(name) == "min"}
    assert lower == {"topic_word_overlap", "topic_oov"}


def test_only_a_reference_counts_where_there_is_one():
    """Its documents lack the words of the last topic: they are counted, and the topic has no coherence."""
    data, other = topical(), topical(150, seed=5)
    few = other.corpus.values.copy()
    few = few.multiply(np.arange(60) < 45).tocsr()
    few.eliminate_zeros()
    sequence = np.where(other.corpus.sequence < 45, other.corpus.sequence, -1).astype(np.int32)
    reference = replace(other.corpus, name="wiki", values=few, sequence=sequence)
    found = scored(Fixed(planted()), replace(data, reference=reference))
    assert found.health["topic_oov"] == 10
    assert found.topics.scored_on == "150 reference documents of wiki, words in their order"
    assert np.isnan(found.topics.coherence).tolist() == [False, False, False, True]
    counts = by_documents(presence(reference), np.stack([np.arange(10) + 15 * k for k in range(3)]))
    assert found.metrics["npmi"] == pytest.approx(coherence.npmi(counts).mean())


def test_held_out_documents_without_a_label_are_left_out():
    data = topical()
    labels = data.labels.copy()
    test = np.flatnonzero(data.parts == 2)
    labels[test[:20]] = UNLABELLED
    model = Fixed(np.roll(planted(), 3, axis=1))
    found = scored(model, replace(data, labels=labels)).metrics
    theta = model.outputs(torch.from_numpy(data.samples[test[20:]])).probabilities
    truth = normalized_mutual_info_score(labels[test[20:]], theta.argmax(dim=1).numpy())
    assert found["test_nmi"] == pytest.approx(truth)
    parts = np.where(data.parts == 2, 1, data.parts).astype(np.int8)
    assert {"validation_nmi", "validation_acc", "validation_purity"} <= {
        *scored(model, replace(data, parts=parts)).metrics
    }


def slow_rbo(first, second, p=0.9):
    """Webber et al., equation 23."""
    agreement = [len({*first[:depth]} & {*second[:depth]}) / depth for depth in range(1, len(first) + 1)]
    tail = agreement[-1] * p ** len(first)
    return tail + (1 - p) / p * sum(one * p**depth for depth, one in enumerate(agreement, 1))


def test_overlaps_against_loops():
    draw = np.random.default_rng(0)
    words = np.stack([draw.permutation(25)[:10] for _ in range(6)])
    rbo = [slow_rbo(a.tolist(), b.tolist()) for a, b in combinations(words, 2)]
    assert inverted_rbo(shared(words)) == pytest.approx(1 - sum(rbo) / len(rbo))
    nearest = [max(len({*words[i]} & {*words[j]}) for j in range(6) if j != i) / 10 for i in range(6)]
    assert word_overlap(shared(words)) == pytest.approx(sum(nearest) / 6)
    same = shared(words[[0, 0, 0]])
    assert (inverted_rbo(same), word_overlap(same)) == (pytest.approx(0), 1)
    assert inverted_rbo(shared(words[:2, ::-1])) != pytest.approx(inverted_rbo(shared(words[:2])))


def test_topics_that_do_not_vary_are_not_active():
    hard = np.eye(5, dtype=np.float32)[np.arange(100) % 4]  # the last topic has no document
    assert active_topics(hard) == pytest.approx(0.8)
    assert active_topics(np.full((100, 5), 0.2, np.float32)) == 0
    swaying = np.full((100, 5), 0.2, np.float32)
    swaying[:, 0] += np.where(np.arange(100) % 2, 0.041, -0.041)  # its variance is .00168, the bound .0016
    swaying[:, 1] += np.where(np.arange(100) % 2, 0.039, -0.039)
    assert active_topics(swaying) == pytest.approx(0.2)


@pytest.mark.parametrize("words", [4, 15, 16, 300])
def test_the_heaviest_words_are_those_of_a_stable_sort(words):
    draw = np.random.default_rng(words)
    weights = draw.integers(0, 9, (20, words)).astype(np.float64)  # with many that are equal
    weights[1:3] = [[np.nan], [0.5]]
    weights[3, : words // 2] = np.nan
    expected = np.argsort(-weights, axis=1, kind="stable")[:, :15]
    assert heaviest(weights).tolist() == expected.tolist()


def test_strongest_documents():
    theta = np.array(
        [[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.9, 0.1, 0.0], [0.95, 0.05, 0.0], [0.9, 0.1, 0.0]], np.float32
    )
    assert strongest(theta) == ((3, 0, 2), (1, 0, 2), ())
    assert strongest(theta[:2]) == ((0, 1), (1, 0), ())


def test_documents_are_near_by_their_direction():
    """Of two documents of the same words, the longer one has the smaller weights; they are the nearest all the same."""
    data = topical(words=200, length=60)
    training = data.part("train")
    samples = on_device(training.samples, torch.device("cpu"))
    scoring = ClusterScoring(ScoredTrial(data=data, samples=samples, n_clusters=4, batch_size=50, seed=0))
    rows = training.samples[:]
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    found = scoring._subsample.distances
    wanted = np.linalg.norm(unit[:, None] - unit, axis=2)
    assert np.allclose(found / found.max(), wanted / wanted.max(), atol=1e-4)


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
def test_a_topic_model_is_warned_of_as_a_clustering_is():
    assert warnings(*_of(planted())) == []
    assert warnings(*_of(planted(alike=True)))[0].startswith("EMPTY_CLUSTERS")


def _of(weights):
    found = scored(Fixed(weights), topical())
    return found.metrics, found.health


def test_one_topic_has_no_overlap():
    found = scored(Fixed(planted()[:1]), topical(topics=4))
    assert "inverted_rbo" not in found.metrics
    assert math.isfinite(found.metrics["npmi"])
