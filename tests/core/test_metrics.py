"""Scores against scikit-learn, a brute-force matching, and loops over pairs."""

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from core.evaluation import metrics

labelings = (
    st.integers(1, 60)
    .flatmap(lambda n: st.tuples(*[st.lists(st.integers(0, 5), min_size=n, max_size=n)] * 2))
    .map(lambda pair: tuple(np.array(one, dtype=np.int64) for one in pair))
)


@given(labelings)
def test_what_scikit_learn_has_is_equal(pair):
    predicted, true = pair
    found = metrics.scores(predicted, true)
    assert found["nmi"] == pytest.approx(sk.normalized_mutual_info_score(true, predicted), abs=1e-12)
    assert found["ari"] == pytest.approx(sk.adjusted_rand_score(true, predicted), abs=1e-12)
    assert found["fmi"] == pytest.approx(sk.fowlkes_mallows_score(true, predicted), abs=1e-12)
    matched = relabelled(predicted, true)
    assert found["acc"] == pytest.approx(sk.accuracy_score(true, matched), abs=1e-12)
    assert found["balanced_acc"] == pytest.approx(np.mean(recalls(true, matched)), abs=1e-12)


def recalls(true, matched):
    return [float((matched[true == one] == one).mean()) for one in np.unique(true)]


def relabelled(predicted, true):
    """The prediction with clusters renamed to the classes that they are matched with, surplus ones to new names."""
    table = metrics.match(metrics.contingency(predicted, true))
    square = np.zeros_like(table)
    np.add.at(square, (predicted, true), 1)
    names = {}
    for row in range(len(square)):
        where = [j for j in range(len(table)) if (table[j] == square[row]).all() and j not in names.values()]
        names[row] = where[0]
    return np.array([names[one] for one in predicted])


@given(labelings)
def test_f1_and_kappa_after_matching(pair):
    predicted, true = pair
    matched = relabelled(predicted, true)
    found = metrics.scores(predicted, true)
    every = np.union1d(matched, true)
    assert found["macro_f1"] == pytest.approx(sk.f1_score(true, matched, labels=every, average="macro"), abs=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns where it divides by 0
        expected = sk.cohen_kappa_score(true, matched)
    assert found["kappa"] == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_kappa_of_one_group_is_undefined():
    assert np.isnan(metrics.scores(np.zeros(1, np.int64), np.zeros(1, np.int64))["kappa"])
    assert np.isnan(metrics.scores(np.zeros(5, np.int64), np.zeros(5, np.int64))["kappa"])
    assert metrics.scores(np.zeros(4, np.int64), np.array([0, 0, 1, 1]))["kappa"] == 0


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(*[st.lists(st.integers(0, 3), min_size=n, max_size=n)] * 2)))
def test_accuracy_is_that_of_the_best_matching_of_all(pair):
    predicted, true = (np.array(one, dtype=np.int64) for one in pair)
    best = max(np.mean(np.array(names)[predicted] == true) for names in itertools.permutations(range(4)))
    assert metrics.scores(predicted, true)["acc"] == pytest.approx(best)


@given(labelings)
def test_pair_f1_counts_pairs(pair):
    predicted, true = pair
    both = clusters = classes = 0
    for i, j in itertools.combinations(range(len(true)), 2):
        in_cluster, in_class = predicted[i] == predicted[j], true[i] == true[j]
        both, clusters, classes = both + (in_cluster and in_class), clusters + in_cluster, classes + in_class
    expected = 2 * both / (clusters + classes) if both else 0.0
    assert metrics.scores(predicted, true)["pair_f1"] == pytest.approx(expected)


@given(labelings, st.permutations(range(6)))
def test_names_of_clusters_do_not_matter(pair, names):
    predicted, true = pair
    one, other = metrics.scores(predicted, true), metrics.scores(np.array(names)[predicted], true)
    # Several matchings may be equally accurate; scores of single classes depend on which is taken.
    for name in set(one) - {"macro_f1", "balanced_acc", "kappa"}:
        assert one[name] == pytest.approx(other[name]), name


def test_surplus_clusters_are_errors_for_accuracy_and_not_for_purity():
    found = metrics.scores(np.arange(4), np.array([0, 0, 1, 1]))
    assert found["acc"] == 0.5
    assert found["oa"] == found["acc"]
    assert found["purity"] == 1.0


def test_adjusted_mutual_information_is_scikit_learns_and_silent_for_many_clusters():
    true = np.repeat(np.arange(30), 2)
    assert metrics.ami(np.arange(60), true) == pytest.approx(0, abs=1e-9)


def test_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="2 and 3"):
        metrics.contingency(np.zeros(2, dtype=np.int64), np.zeros(3, dtype=np.int64))
