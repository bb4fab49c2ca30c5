"""Class-based TF-IDF against a slow computation with plain numbers, word by word."""

import math
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from core.data.analyzer import settings
from core.errors import UserError
from core.evaluation.terms import c_tf_idf, count_terms, top_terms

TEXTS = [
    "The refund is late",
    "where is the REFUND of my money",
    "my card is lost",
    "the card was swallowed, the card!",
    "exchange rate of the euro",
]
GROUPS = np.array([0, 0, 1, 1, 3])


def slow(texts, groups, n_groups):
    """`tf * log(1 + A / f)` for each group, by dictionaries."""
    words = [Counter() for _ in range(n_groups)]
    for text, group in zip(texts, groups, strict=True):
        words[group].update(re.findall(r"\w\w+", text.lower()))
    every = sum(words, Counter())
    mean = every.total() / sum(1 for one in words if one)
    return [
        {word: count / one.total() * math.log(1 + mean / every[word]) for word, count in one.items()} for one in words
    ]


def test_weights_are_those_of_a_slow_count():
    counts, terms = count_terms(TEXTS, GROUPS, 4, {})
    weights = c_tf_idf(counts).toarray()
    wanted = slow(TEXTS, GROUPS, 4)
    assert terms == sorted({word for one in wanted for word in one})
    for row, one in zip(weights, wanted, strict=True):
        assert {terms[place]: row[place] for place in row.nonzero()[0]} == pytest.approx(one)
    assert not weights[2].any()


@given(st.lists(st.lists(st.integers(0, 9), min_size=4, max_size=4), min_size=1, max_size=5))
def test_weights_of_any_counts(counts):
    table = np.array(counts)
    weights = c_tf_idf(csr_matrix(table)).toarray()
    mean = table.sum() / max(table.any(axis=1).sum(), 1)
    for i, j in np.ndindex(table.shape):
        total, frequency = table[i].sum(), table[:, j].sum()
        wanted = table[i, j] / total * math.log(1 + mean / frequency) if table[i, j] else 0
        assert weights[i, j] == pytest.approx(wanted)


def test_groups_without_texts_change_no_weight():
    one, other = (count_terms(TEXTS[:4], groups, groups.max() + 1, {})[0] for groups in (GROUPS[:4], GROUPS[:4] * 9))
    assert one.shape[0] == 2
    assert other.shape[0] == 10
    assert np.array_equal(c_tf_idf(one).toarray(), c_tf_idf(other).toarray()[[0, 9]])


def test_top_terms_set_a_group_apart():
    counts, terms = count_terms(TEXTS, GROUPS, 4, {})
    found = top_terms(counts, terms, 2)
    assert found[0][0][0] == "refund"
    assert found[1][0][0] == "card"
    assert found[2] == []
    weights = c_tf_idf(counts).toarray()
    assert found[1][0][1] == pytest.approx(weights[1, terms.index("card")])
    # It is frequent in each group, so it sets none apart.
    every = {word for one in top_terms(counts, terms, 99) for word, _ in one}
    assert "the" not in every
    assert "card" in every


def test_equal_weights_come_in_sorted_order():
    counts, terms = count_terms(["b a d c", "xx yy"], np.array([0, 1]), 2, settings("char"))
    first = [word for word, _ in top_terms(counts, terms, 3)[0]]
    assert first == sorted(first)


def test_texts_without_words_are_told():
    with pytest.raises(UserError, match="no words are left"):
        count_terms([". .", "!"], np.array([0, 1]), 2, {})
