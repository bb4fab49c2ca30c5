"""The terms that set a group of texts apart from the others, by class-based TF-IDF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.errors import UserError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


def count_terms(
    texts: Sequence[str], groups: NDArray[np.int64], n_groups: int, settings: Mapping[str, Any]
) -> tuple[csr_matrix, list[str]]:
    """How often each term occurs in the texts of each group.

    Args:
        texts: n texts.
        groups: the group of each, (n,), in 0..n_groups-1.
        n_groups: the number of groups.
        settings: how a text is split, as arguments of scikit-learn's vectorizers (`core.data.analyzer.settings`).

    Returns:
        Counts (n_groups, terms), and the terms in sorted order.

    Raises:
        UserError: there are no words in the texts.
    """
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import CountVectorizer

    try:
        counter = CountVectorizer(**settings)
        counts = csr_matrix(counter.fit_transform(texts))
    except ValueError as error:
        raise UserError(f"no words are left in the texts ({error})") from error
    places = (np.asarray(groups), np.arange(len(texts)))
    members = csr_matrix((np.ones(len(texts), counts.dtype), places), shape=(n_groups, len(texts)))
    return csr_matrix(members @ counts), counter.get_feature_names_out().tolist()


def c_tf_idf(counts: csr_matrix) -> csr_matrix:
    """The weight of each term in each group: `tf(x, c) * log(1 + A / f(x))`.

    `tf(x, c)` is the share of term x among all terms of group c, `f(x)` how often x occurs in all groups, and A the
    mean number of terms of a group that has any. A term that one group uses often and the others seldom has a large
    weight.

    Source: Grootendorst, "BERTopic: Neural topic modeling with a class-based TF-IDF procedure" (arXiv 2203.05794),
    section 3.3, with the shares in place of the counts, as in the program of its author: so weights of groups of
    different sizes can be compared.

    Args:
        counts: (groups, terms), not negative; an empty group has the weight 0 everywhere.

    Returns:
        Weights (groups, terms).
    """
    from scipy.sparse import csr_matrix, diags

    totals = np.asarray(counts.sum(axis=1), np.float64).ravel()
    frequencies = np.asarray(counts.sum(axis=0), np.float64).ravel()
    mean = totals.sum() / max(np.count_nonzero(totals), 1)
    inverse = np.log1p(mean / np.maximum(frequencies, 1))
    shares = diags(1 / np.maximum(totals, 1)) @ counts.astype(np.float64)
    return csr_matrix(shares @ diags(inverse))


def top_terms(counts: csr_matrix, terms: Sequence[str], most: int) -> list[list[tuple[str, float]]]:
    """The terms of each group with the largest weights, the largest first; of equal ones the first in sorted order.

    A term is left out if its share in the group is less than twice its share in all the others. Such a term, as "the",
    may have a large weight where it is frequent, but it does not set the group apart.

    Args:
        counts: (groups, terms), from `count_terms`.
        terms: the terms.
        most: how many of each group, at most.

    Returns:
        Terms with their weights of `c_tf_idf`, for each group.
    """
    from scipy.sparse import csr_matrix

    weights, names = c_tf_idf(counts), list(terms)
    frequencies = np.asarray(counts.sum(axis=0), np.float64).ravel()
    found: list[list[tuple[str, float]]] = []
    for group, inside in enumerate(np.asarray(counts.sum(axis=1), np.float64).ravel()):
        own, outside = csr_matrix(counts.getrow(group)), frequencies.sum() - inside
        places = own.indices[own.data * outside >= 2 * (frequencies[own.indices] - own.data) * inside]
        values = weights.getrow(group).toarray().ravel()[places]
        order = np.lexsort((places, -values))[:most]
        found.append([(names[places[place]], float(values[place])) for place in order])
    return found
