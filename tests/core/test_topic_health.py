"""Faults of topic models and their codes; bounds lie between the numbers of good and bad runs on 20 Newsgroups.

Numbers of epochs 5 to 15 on ng20_clean_like1883 (K = 20, batches of 256, rate .001), seed 0:

- `topic_word_overlap`: .16 to .31 in GC-ATM, .09 in NMF, .19 in NMF with K = 100; .63 in GC-ATM with a rate of .03.
- `active_topics`: 1 in GC-ATM after 15 epochs, 1 in NMF, .96 in NMF with K = 100; .4 in GC-ATM with a rate of .0001.
- `critic_accuracy`: .83 to .93 in GC-ATM; from epoch 5 on above .995 with 50 steps of the critic to one of the others.
  `npmi` is .04 then. In 600 made-up documents of three topics they were .98 to 1 and .73 (six trials).
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.data.source import on_device
from core.evaluation.health import Course, judge
from core.evaluation.rules import RULES
from core.evaluation.scoring import ScoredTrial
from core.evaluation.topics import TopicScoring
from tests.core.test_topic_scoring import Fixed, planted
from tests.core.topical import topical

CODES = ("TOPIC_COLLAPSE", "DEAD_TOPICS", "CRITIC_WON", "IMBALANCED", "BELOW_INPUT")


def codes(model, data, clusters=None):
    """The codes of a trial whose two epochs both have this model."""
    training = data.part("train")
    samples = on_device(training.samples, torch.device("cpu"))
    k = len(model.weights) if clusters is None else clusters
    scoring = TopicScoring(ScoredTrial(data=data, samples=samples, n_clusters=k, batch_size=50, seed=0))
    history = []
    for epoch in (1, 2):
        found = scoring(model, due=True, last=epoch == 2, outputs=None)
        history += [(epoch, name, value) for name, value in (found.metrics | found.health).items()]
    history += [(1, "imbalance_true", 1.0)]
    return {one.code for one in judge(Course.of(history, epochs=2, n_clusters=k)) if one.code in CODES}


def test_planted_topics_are_well():
    assert codes(Fixed(planted()), topical()) == set()


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
def test_all_topics_alike():
    assert codes(Fixed(planted(alike=True)), topical()) == {"TOPIC_COLLAPSE", "DEAD_TOPICS"}


def test_two_topics_of_each_kind_share_all_words():
    """The diversity is a half, and each topic has a twin."""
    assert codes(Fixed(np.repeat(planted(), 2, axis=0)), topical()) == {"TOPIC_COLLAPSE"}


def test_topics_that_have_little_weight_in_every_document():
    data = topical(topics=3, words=60)
    absent = np.zeros((3, 60))
    absent[:, 45:] = np.random.default_rng(0).random((3, 15)) * 1e-6
    weights = np.vstack([planted(3), absent + 1e-9])
    assert codes(Fixed(weights), data) >= {"DEAD_TOPICS"}


def series(**values):
    return Course(series={name: list(enumerate(found, 1)) for name, found in values.items()}, epochs=10)


def test_a_critic_that_has_won():
    winning = [0.92, 0.93, 0.87, *[0.85] * 4, 0.995, 0.999, 1.0]
    found = judge(series(critic_accuracy=winning, npmi=[0.04] * 10))
    assert [(one.code, one.since) for one in found] == [("CRITIC_WON", 8)]
    assert "critic_accuracy 1" in found[0].sentence
    assert judge(series(critic_accuracy=winning, npmi=[0.73] * 10)) == ()
    assert judge(series(critic_accuracy=[0.92, 0.999, 0.999, 0.999, *[0.93] * 6], npmi=[0.04] * 10)) == ()
    assert judge(series(critic_accuracy=[0.93] * 10, npmi=[0.04] * 10)) == ()


def test_rules_on_classes_are_not_applied_to_topics():
    """More topics than classes differ more in size, and k-means of the input is a better clustering than NMF."""
    unequal = {"imbalance_pred": [454.0], "imbalance_true": [1.6], "nmi": [0.29], "input_kmeans_nmi": [0.37]}
    assert {one.code for one in judge(series(**unequal))} == {"IMBALANCED", "BELOW_INPUT"}
    assert judge(series(**unequal, active_topics=[0.96])) == ()
    assert {rule.code for rule in RULES if rule.unless} == {"IMBALANCED", "BELOW_INPUT"}


def test_the_loss_of_a_critic_has_no_scale():
    """It begins anywhere near 0: ten times of that is no divergence, and the same value again is no standstill."""
    losses = {"loss": [4e-4, *[9e-3] * 9]}
    assert {one.code for one in judge(series(**losses))} == {"DIVERGED"}
    assert judge(series(**losses, loss_critic=losses["loss"])) == ()
    assert {one.code for one in judge(series(loss=[0.1] * 10))} == {"STALLED"}
    assert judge(series(loss=[0.1] * 10, loss_critic=[0.1] * 10)) == ()
    broken = [4e-4, float("nan")]
    assert {one.code for one in judge(series(loss=broken, loss_critic=broken))} == {"DIVERGED"}
