"""The coherence of topics, against counting loops written apart and against gensim."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from scipy import sparse

from core.data.corpus import Corpus
from core.evaluation import coherence
from core.evaluation.coherence import by_documents, by_windows, c_v, npmi, presence, uci, umass

V, EPSILON = 40, 1e-12


def corpus_of(documents, words=V):
    bag = np.zeros((len(documents), words), np.int32)
    for row, document in zip(bag, documents, strict=True):
        np.add.at(row, [word for word in document if word >= 0], 1)
    ends = np.cumsum([0, *map(len, documents)])
    return Corpus("made", sparse.csr_matrix(bag), np.concatenate(documents).astype(np.int32), ends)


def repeating(n=60, seed=0, longest=150):
    """Documents in which words come again, some of no word and some with words outside the vocabulary."""
    draw = np.random.default_rng(seed)
    return [draw.integers(-1, V - 5, length) for length in [0, 1, 10, 110, 111, *draw.integers(1, longest, n - 5)]]


def without_repeats(n=100, seed=0):
    draw = np.random.default_rng(seed)
    return [draw.permutation(V)[: draw.integers(3, V)] for _ in range(n)]


def topics(k=4, top=10, seed=1, words=V):
    draw = np.random.default_rng(seed)
    return np.stack([draw.permutation(words)[:top] for _ in range(k)])


def holding(documents, size=None):
    """The sets of known words of all windows of so many words; of all documents without a size."""
    for document in documents:
        for start in range(1 if size is None else max(1, len(document) - size + 1)):
            yield {int(word) for word in (document if size is None else document[start : start + size]) if word >= 0}


def shares(documents, size=None):
    sets = list(holding(documents, size))
    return lambda *words: sum(all(word in one for word in words) for one in sets) / len(sets)


def mean_of_pairs(topic, p, of_pair):
    """Over pairs of a later and an earlier word that both occur; NaN without one."""
    found = [of_pair(b, a) for a, b in combinations(topic, 2) if p(a) and p(b)]
    return sum(found) / len(found) if found else math.nan


def slow_npmi(topic, p):
    def of_pair(a, b):
        joint = p(a, b)
        return -1.0 if joint == 0 else 1.0 if joint == 1 else math.log(joint / (p(a) * p(b))) / -math.log(joint)

    return mean_of_pairs(topic, p, of_pair)


def slow_c_v(topic, p):
    known = [word for word in topic if p(word)]
    if len(known) < 2:
        return math.nan

    def confirmed(a, b):
        joint = p(a, b) + EPSILON
        return math.log(joint / (p(a) * p(b))) / -math.log(joint)

    vectors = [[confirmed(a, b) for b in known] for a in known]
    whole = [sum(column) for column in zip(*vectors, strict=True)]
    return sum(
        sum(x * y for x, y in zip(one, whole, strict=True)) / (math.hypot(*one) * math.hypot(*whole)) for one in vectors
    ) / len(known)


@pytest.mark.parametrize("size", [1, 2, 10, 110])
def test_windows_are_counted_as_by_a_loop(size, monkeypatch):
    documents, words = repeating(), topics()
    for block in (coherence._BLOCK, 40):
        monkeypatch.setattr(coherence, "_BLOCK", block)
        counts = by_windows(corpus_of(documents), words, size)
        sets = list(holding(documents, size))
        assert counts.total == len(sets)
        for topic, single, joint in zip(words, counts.single, counts.joint, strict=True):
            assert single.tolist() == [sum(word in one for one in sets) for word in topic]
            assert joint.tolist() == [[sum(a in one and b in one for one in sets) for b in topic] for a in topic]


def test_documents_and_their_parts_are_counted_as_by_a_loop(monkeypatch):
    documents, words, rows = repeating(), topics(), np.array([0, 3, 4, 7, 40, 41])
    part = corpus_of(documents).take(rows)
    chosen = [documents[row] for row in rows]
    for most in (coherence._WORDS, 20):  # all topics together, or two at a time
        monkeypatch.setattr(coherence, "_WORDS", most)
        for counts, size in ((by_documents(presence(part), words), None), (by_windows(part, words, 10), 10)):
            sets = list(holding(chosen, size))
            assert counts.total == len(sets)
            wanted = [[[sum(a in one and b in one for one in sets) for b in topic] for a in topic] for topic in words]
            assert counts.joint.tolist() == wanted


def test_many_topics_are_counted_in_parts_of_2048_words_at_most(monkeypatch):
    draw, sizes = np.random.default_rng(0), []
    corpus = corpus_of([draw.integers(0, 3000, 40) for _ in range(300)], words=3000)
    words = draw.permutation(3000).reshape(300, 10)
    product = coherence._product

    def counted(present):
        sizes.append(present.shape[1])
        return product(present)

    monkeypatch.setattr(coherence, "_product", counted)
    present = presence(corpus)
    found = by_documents(present, words)
    assert sizes == [2040, 960]
    for topic in (0, 203, 204, 299):
        alone = by_documents(present, words[topic : topic + 1])
        assert np.array_equal(found.joint[topic], alone.joint[0])
        assert np.array_equal(found.single[topic], alone.single[0])


def test_each_coherence_against_a_loop():
    """Five words of the vocabulary occur nowhere: they are left out. Of the last topic a single word occurs."""
    documents = repeating(30, longest=40)
    words = np.vstack([topics(), [0, *range(V - 5, V), 1, 2, 3, 4]])
    words[-1, 6:] = range(V - 5, V - 1)  # repeated absent words: only one word of this topic occurs
    corpus = corpus_of(documents)
    p = shares(documents)
    counts = by_documents(presence(corpus), words)
    n = counts.total
    assert (~counts.known).sum() >= 9
    np.testing.assert_allclose(npmi(counts), [slow_npmi(topic, p) for topic in words], atol=1e-12)
    of_mimno = [mean_of_pairs(topic, p, lambda a, b: math.log((n * p(a, b) + 1) / (n * p(b)))) for topic in words]
    np.testing.assert_allclose(umass(counts), of_mimno, atol=1e-12)
    p = shares(documents, 110)
    np.testing.assert_allclose(c_v(by_windows(corpus, words, 110)), [slow_c_v(topic, p) for topic in words], atol=1e-9)
    p = shares(documents, 10)
    pmi = [mean_of_pairs(topic, p, lambda a, b: math.log((p(a, b) + EPSILON) / (p(a) * p(b)))) for topic in words]
    np.testing.assert_allclose(uci(by_windows(corpus, words, 10)), pmi, atol=1e-12)
    assert [math.isnan(value) for value in npmi(counts)] == [False] * 4 + [True]
    assert math.isnan(c_v(by_windows(corpus, words, 110))[-1])


def test_top_words_of_which_none_occurs():
    corpus = corpus_of(repeating(10))
    words = np.array([range(V - 5, V)])
    for counts in (by_documents(presence(corpus), words), by_windows(corpus, words, 10)):
        assert not counts.known.any()
        assert all(np.isnan(of(counts)).all() for of in (npmi, umass, c_v, uci))


def test_limits_of_npmi():
    """Always together, never together, and independent: each pair by itself."""
    documents = [[0, 1, 2], [0, 1, 3], [4, 5, 2], [4, 3]]
    pairs = np.array([[0, 1], [0, 4], [0, 2]])
    assert npmi(by_documents(presence(corpus_of(documents)), pairs)).tolist() == pytest.approx([1, -1, 0])
    every = [[0, 1]] * 3
    assert npmi(by_documents(presence(corpus_of(every)), np.array([[0, 1]]))).tolist() == [1]


def test_windows_need_the_order_of_words():
    bag = Corpus("bag", sparse.csr_matrix(np.ones((2, V), np.int32)))
    with pytest.raises(ValueError, match="the order of the words of bag is not known"):
        by_windows(bag, topics(), 10)


def named(documents):
    return [[f"w{word}" for word in document] for document in documents]


def model_of_gensim(measure, documents, words):
    gensim_models = pytest.importorskip("gensim.models", reason="gensim has no wheel for this version of Python")
    from gensim.corpora import Dictionary

    dictionary = Dictionary(named([range(V)]))
    texts = named(documents)
    return gensim_models.CoherenceModel(
        topics=named(words),
        texts=texts,
        corpus=[dictionary.doc2bow(text) for text in texts],
        dictionary=dictionary,
        coherence=measure,
        topn=words.shape[1],
        processes=1,
    )


@pytest.mark.parametrize("seed", range(3))
def test_windows_equal_gensim(seed):
    documents, words = without_repeats(seed=seed), topics(seed=seed + 10)
    corpus = corpus_of(documents)
    for measure, of, size in (("c_v", c_v, 110), ("c_uci", uci, 10)):
        found = of(by_windows(corpus, words, size))
        np.testing.assert_allclose(
            found, model_of_gensim(measure, documents, words).get_coherence_per_topic(), rtol=0, atol=1e-6
        )
    # Where each pair occurs in a window, gensim's 1e-12 changes nothing in NPMI.
    counts = by_windows(corpus, words, 10)
    assert counts.joint.min() > 0
    gensims = model_of_gensim("c_npmi", documents, words).get_coherence_per_topic()
    np.testing.assert_allclose(npmi(counts), gensims, rtol=0, atol=1e-6)


def test_documents_equal_gensim(monkeypatch):
    """UMass with the 1 of Mimno et al. in place of gensim's 1e-12; NPMI with a window that holds whole documents."""
    documents, words = without_repeats(), topics()
    counts = by_documents(presence(corpus_of(documents)), words)
    whole = model_of_gensim("c_npmi", documents, words)
    whole.window_size = V
    np.testing.assert_allclose(npmi(counts), whole.get_coherence_per_topic(), rtol=0, atol=1e-6)
    from gensim.topic_coherence import direct_confirmation_measure

    monkeypatch.setattr(direct_confirmation_measure, "EPSILON", 1 / len(documents))
    gensims = model_of_gensim("u_mass", documents, words).get_coherence_per_topic()
    np.testing.assert_allclose(umass(counts), gensims, rtol=0, atol=1e-6)


def test_gensim_forgets_a_repeated_word():
    """The difference that the module tells of: in the windows `a a b` and `a b c`, gensim has `a` in the first only."""
    documents = [[0, 0, 1, 2]]
    words = np.array([[0, 1]])
    assert by_windows(corpus_of(documents), words, 3).single.tolist() == [[2, 2]]
    model = model_of_gensim("c_uci", documents, words)
    model.window_size = 3
    model.get_coherence()
    assert model._accumulator["w0"] == 1


@pytest.mark.parametrize("measure", ["c_v", "c_uci"])
def test_repeated_words_equal_gensim_with_its_index_of_windows(measure):
    """Gensim's other way of counting, by an index from words to windows, forgets nothing; it needs known words only."""
    draw = np.random.default_rng(0)
    documents = [draw.integers(0, V, length) for length in draw.integers(1, 60, 30)]
    words, size = np.arange(V).reshape(4, 10), {"c_v": 110, "c_uci": 10}[measure]
    model = model_of_gensim(measure, documents, words)
    from gensim.topic_coherence.text_analysis import InvertedIndexAccumulator

    model._accumulator = InvertedIndexAccumulator({*range(V)}, model.dictionary).accumulate(named(documents), size)
    of = {"c_v": c_v, "c_uci": uci}[measure]
    found = of(by_windows(corpus_of(documents), words, size))
    np.testing.assert_allclose(found, model.get_coherence_per_topic(), rtol=0, atol=1e-6)
