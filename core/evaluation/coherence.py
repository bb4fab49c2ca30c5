"""The coherence of topics: how often the top words of a topic occur together in a corpus.

Probabilities are shares: of the documents, or of all windows of so many words that slide over the documents word by
word, in which a word or a pair of words occurs at least once. A document that is shorter than the window is one window.

All functions agree with gensim's `CoherenceModel` but where it is said. Its windows differ where a word occurs twice in
one window: gensim forgets the word as soon as the first of the two leaves the window. Here it is in the window as long
as one of them is, as in Roeder et al.

References: Roeder, Both and Hinneburg, "Exploring the Space of Topic Coherence Measures" (WSDM 2015); Mimno et al.,
"Optimizing Semantic Coherence in Topic Models" (EMNLP 2011); Bouma, "Normalized (Pointwise) Mutual Information in
Collocation Extraction" (GSCL 2009).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.data.corpus import Corpus

# Added to the probability of a pair, as in Roeder et al. (and gensim): the logarithm of a pair that never occurs is
# finite then.
EPSILON = 1e-12
# Topics are scored together as long as they have at most so many words: the table of all pairs takes 32 MB.
_WORDS = 2048
# Numbers of the matrix of windows and words that are made at once.
_BLOCK = 1 << 22

Values = NDArray[np.float64]
Words = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Counts:
    """In how many documents or windows the words of each topic occur.

    Attributes:
        total: all documents or windows.
        single: those with each word, (K, top).
        joint: those with both words of each pair, (K, top, top); on the diagonal those with the word.
    """

    total: int
    single: Values
    joint: Values

    @property
    def known(self) -> NDArray[np.bool_]:
        """Whether each word occurs at all, (K, top)."""
        return self.single > 0

    def first(self, top: int) -> Counts:
        """Those of the first words of each topic."""
        return Counts(self.total, self.single[:, :top], self.joint[:, :top, :top])


def by_documents(present: Any, words: Words) -> Counts:
    """Counts of documents.

    Args:
        present: from `presence`.
        words: columns of it, (K, top).
    """
    return _counted(present.shape[0], words, lambda distinct: _product(present[:, distinct]))


def presence(corpus: Corpus) -> Any:
    """Which words occur in which documents, a sparse matrix by columns, (n, V), of ones."""
    found = corpus.counts.tocsc()
    return type(found)((np.ones(len(found.data), np.float32), found.indices, found.indptr), shape=found.shape)


def by_windows(corpus: Corpus, words: Words, size: int) -> Counts:
    """Counts of windows of `size` words; a word outside the vocabulary has its place in them too.

    What a window holds changes only where a top word enters or leaves. So windows that follow each other and hold the
    same top words are counted as one, times their number.

    Args:
        corpus: one whose order of words is known.
        words: columns of it, (K, top).
        size: words in a window.

    Raises:
        ValueError: the order of the words is not known.
    """
    if corpus.sequence is None or corpus.ends is None:
        raise ValueError(f"the order of the words of {corpus.name} is not known")
    sequence, ends = corpus.sequence, corpus.ends
    lengths = np.diff(ends)
    windows = np.maximum(lengths - size + 1, 1)
    if corpus.rows is not None:
        meant = np.zeros(len(lengths), np.bool_)
        meant[corpus.rows] = True
        windows = np.where(meant, windows, 0)
    first = np.concatenate([[0], np.cumsum(windows)])

    def joint(distinct: Words) -> Values:
        place = np.full(corpus.values.shape[1] + 1, -1)  # The last one is for words outside the vocabulary, -1.
        place[distinct] = np.arange(len(distinct))
        at = np.flatnonzero((place >= 0)[sequence])
        document = np.searchsorted(ends, at, side="right") - 1
        chosen = windows[document] > 0
        at, document = at[chosen], document[chosen]
        inside, last = at - ends[document], windows[document] - 1
        begin = first[document] + np.clip(inside - size + 1, 0, last)
        end = first[document] + np.minimum(inside, last) + 1
        return _covered(*_merged(place[sequence[at]], begin, end), len(distinct), int(first[-1]))

    return _counted(int(first[-1]), words, joint)


def _counted(total: int, words: Words, joint: Any) -> Counts:
    """The counts of all topics, from a function that counts the pairs of distinct words, (U,) -> (U, U)."""
    topics, top = words.shape
    pairs = np.empty((topics, top, top))
    step = max(_WORDS // top, 1)
    for start in range(0, topics, step):
        part = slice(start, start + step)
        distinct, places = np.unique(words[part], return_inverse=True)
        places = places.reshape(words[part].shape)
        pairs[part] = joint(distinct)[places[:, :, None], places[:, None, :]]
    return Counts(total, pairs.diagonal(axis1=1, axis2=2), pairs)


def _product(present: Any) -> Values:
    return (present.T @ present).toarray().astype(np.float64)


def _merged(word: Words, begin: Words, end: Words) -> tuple[Words, Words, Words]:
    """The union of the ranges of windows of each word: words, first windows, ends; of ranges in ascending order."""
    order = np.argsort(word, kind="stable")
    word, begin, end = word[order], begin[order], end[order]
    if not len(word):
        return word, begin, end
    starts = np.flatnonzero(np.concatenate([[True], (word[1:] != word[:-1]) | (begin[1:] > end[:-1])]))
    return word[starts], begin[starts], end[np.concatenate([starts[1:], [len(word)]]) - 1]


def _covered(word: Words, begin: Words, end: Words, count: int, total: int) -> Values:
    """How many of `total` windows lie in a range of both words, for each pair of `count` words; ranges of `_merged`."""
    from scipy.sparse import csr_matrix

    found = np.zeros((count, count))
    is_edge = np.zeros(total + 1, np.bool_)
    is_edge[begin] = is_edge[end] = True
    rank = np.cumsum(is_edge, dtype=np.int32) - 1
    edges = np.flatnonzero(is_edge)
    widths = np.diff(edges, append=edges[-1:]).astype(np.float64)
    low, high = rank[begin], rank[end]
    # So many top words are in the windows from an edge to the next: the numbers of a row of the matrix below.
    held = np.cumsum(np.bincount(low, minlength=len(edges)) - np.bincount(high, minlength=len(edges)))
    block = np.cumsum(held) // _BLOCK
    for start, stop in pairwise([*np.flatnonzero(np.diff(block, prepend=-1)).tolist(), len(edges)]):
        own = np.flatnonzero((low < stop) & (high > start))
        left, right = np.maximum(low[own], start), np.minimum(high[own], stop)
        n = right - left
        columns = np.repeat(left - np.cumsum(n) + n, n) + np.arange(n.sum())
        ends = np.concatenate([[0], np.cumsum(np.bincount(word[own], n, minlength=count))]).astype(np.int64)
        inside, weighted = (
            csr_matrix((data, columns - start, ends), shape=(count, stop - start))
            for data in (np.ones(len(columns)), widths[columns])
        )
        found += (inside @ weighted.T).toarray()
    return found


def npmi(counts: Counts) -> Values:
    """The mean NPMI of the pairs of each topic's words, (K,); -1..1.

    `log(p(a, b) / (p(a) p(b))) / -log p(a, b)`, and its limits: -1 for a pair that never occurs together, 1 for one
    that always does. Gensim's `c_npmi` adds 1e-12 to p(a, b) instead, which makes about -.7 of the -1.

    Source: Bouma, equation 12; averaged as by Roeder et al.
    """
    p, both = _shares(counts)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.log(both / (p[:, :, None] * p[:, None, :])) / -np.log(both)
    return _mean_of_pairs(np.where(both > 0, np.where(both < 1, values, 1.0), -1.0), counts.known)


def uci(counts: Counts) -> Values:
    """The mean pointwise mutual information of the pairs of each topic's words, in nats, (K,); about -27 to 10.

    `log((p(a, b) + 1e-12) / (p(a) p(b)))`, as gensim's `c_uci` on windows of 10 words.

    Source: Newman et al., "Automatic Evaluation of Topic Coherence" (NAACL 2010), in the form of Roeder et al.
    """
    p, both = _shares(counts)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.log((both + EPSILON) / (p[:, :, None] * p[:, None, :]))
    return _mean_of_pairs(values, counts.known)


def umass(counts: Counts) -> Values:
    """The mean over pairs of `log((D(a, b) + 1) / D(b))`, b being the heavier word of the two, (K,); below or near 0.

    Source: Mimno et al., equation 1, divided by the number of pairs. Gensim's `u_mass` has the same pairs and mean, but
    adds 1e-12 to the share of documents instead of 1 to their number, so a pair that never occurs together counts
    about -25 there.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.log((counts.joint + 1) / counts.single[:, None, :])
    return _mean_of_pairs(values, counts.known)


def c_v(counts: Counts) -> Values:
    """The coherence C_V of each topic, of counts of windows of 110 words, (K,); 0..1 but for very poor topics.

    Each word is the vector of its NPMI (with 1e-12 added to the probability of a pair) with all top words, itself too.
    The value is the mean cosine of the words' vectors with the sum of them all.

    Source: Roeder et al., section 3, segmentation `S_one_set`; as gensim's `c_v`.
    """
    p, both = _shares(counts)
    pairs = counts.known[:, :, None] & counts.known[:, None, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        vectors = np.log((both + EPSILON) / (p[:, :, None] * p[:, None, :])) / -np.log(both + EPSILON)
    vectors = np.where(pairs, vectors, 0.0)
    whole = vectors.sum(axis=1)
    norms = np.linalg.norm(vectors, axis=2) * np.linalg.norm(whole, axis=1)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        cosines = np.einsum("kij,kj->ki", vectors, whole) / norms
    # A single word would be as coherent as can be with itself.
    return _mean(cosines, counts.known & (counts.known.sum(axis=1) > 1)[:, None])


def _shares(counts: Counts) -> tuple[Values, Values]:
    return counts.single / counts.total, counts.joint / counts.total


def _mean_of_pairs(values: Values, known: NDArray[np.bool_]) -> Values:
    """The mean over the pairs of a later and an earlier word (K, top, top) that both occur; NaN without such a pair."""
    later, earlier = np.tril_indices(values.shape[1], -1)
    return _mean(values[:, later, earlier], known[:, later] & known[:, earlier])


def _mean(values: Values, counted: NDArray[np.bool_]) -> Values:
    n = counted.sum(axis=1)
    return np.where(n > 0, np.where(counted, values, 0.0).sum(axis=1) / np.maximum(n, 1), np.nan)
