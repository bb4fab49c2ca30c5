"""Documents that were made of known topics."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from core.data.corpus import Corpus
from core.data.dataset import Dataset
from core.datasets.documents import simplex


def topical(n: int = 300, words: int = 60, topics: int = 4, *, length: int = 30, seed: int = 0) -> Dataset:
    """Documents of about `length` words, nine tenths of them from the document's own topic, a fifth held out as test.

    Topic k has the words k * words / topics and following; a label is the document's topic.
    """
    draw = np.random.default_rng(seed)
    labels = np.arange(n) % topics
    per = words // topics
    own = labels[:, None] * per + draw.integers(0, per, (n, length))
    drawn = np.where(draw.random((n, length)) < 0.9, own, draw.integers(0, words, (n, length))).astype(np.int32)
    counts = np.zeros((n, words), np.int32)
    np.add.at(counts, (np.arange(n)[:, None], drawn), 1)
    bag = sparse.csr_matrix(counts)
    parts = np.where(np.arange(n) % 5 == 4, 2, 0).astype(np.int8)
    corpus = Corpus("topical", bag, drawn.reshape(-1), np.arange(n + 1, dtype=np.int64) * length)
    names = tuple(f"w{i:03}" for i in range(words))
    classes = tuple(f"t{i}" for i in range(topics))
    samples = simplex(bag, parts == 0)
    return Dataset(
        "topical", samples, labels, classes, f"topical-{n}-{seed}", parts=parts, feature_names=names, corpus=corpus
    )
