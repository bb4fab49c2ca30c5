"""Documents that were made of known topics, for methods that learn topics; how tests tell these from others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import sparse

from core.config import plugins
from core.config.trial import unused
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


def name_of(method: str | Mapping[str, Any]) -> str:
    """The name of a method, given alone or with options."""
    return method if isinstance(method, str) else method["name"]


def learns_topics(method: str | Mapping[str, Any]) -> bool:
    """Whether a method learns topics of documents, as its class says."""
    return plugins.constant("methods", name_of(method), "scores", default=None) == "topics"


def uses(method: str | Mapping[str, Any], *keys: str) -> bool:
    """Whether a method uses all of these sections and keys of a trial, as its class says."""
    return not {*keys} & {*unused(name_of(method))}


def fitting(method: str | Mapping[str, Any], data: Dataset) -> Dataset:
    """The data, or, for a method that learns topics, as many documents; they have labels where the data has some."""
    if not learns_topics(method):
        return data
    found = topical(data.n_samples)
    return found if data.labels is not None else replace(found, labels=None, class_names=())
