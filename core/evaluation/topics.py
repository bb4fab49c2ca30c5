"""Scores a topic model: its topics by the coherence of their words, and its clusters of documents.

References for the scores of topics that are not of `core.evaluation.coherence`: Dieng et al., "Topic Modeling in
Embedding Spaces" (TACL 2020); Webber et al., "A Similarity Measure for Indefinite Rankings" (TOIS 2010), as Bianchi et
al., "Pre-training is a Hot Topic" (ACL 2021) use it; Burda et al., "Importance Weighted Autoencoders" (ICLR 2016). For
the order of words: Sievert and Shirley, "LDAvis: A Method for Visualizing and Interpreting Topics" (Workshop on
Interactive Language Learning, Visualization, and Interfaces, ACL 2014).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from core.data.corpus import Corpus
from core.data.dataset import UNLABELLED, Dataset
from core.data.source import on_device
from core.data.stored import Stored
from core.errors import UserError
from core.evaluation import coherence, metrics
from core.evaluation.clustering import evaluation_mode, predict
from core.evaluation.names import OF_DOCUMENTS
from core.evaluation.outputs import EvaluatedModel, Outputs, Scores, Topics
from core.evaluation.scoring import ClusterScoring, ScoredTrial, Scoring

TOP, SHOWN = 10, 15
"""The words of a topic that are scored, and those that are kept (and scored by `npmi_15`)."""
WIDE, NARROW = 110, 10
"""The words in a window of C_V and of UCI, as in Roeder et al."""
STRONGEST = 3
"""The documents that are kept of each topic."""
_PERSISTENCE = 0.9
_ACTIVE = 0.01


class TopicModel(EvaluatedModel, Protocol):
    """A method that has topics."""

    def topics(self) -> Tensor:
        """The weight of each word in each topic, (K, V), not negative; a larger one is a more typical word."""
        ...


class TopicScoring(Scoring):
    """Scores the clusters of documents as `ClusterScoring` does, a document's cluster being its strongest topic.

    If the epoch is due, it also scores the topics, on the training documents or on the reference; and the clusters of
    the held-out documents that have labels, by `test_nmi`, `test_acc` and `test_purity` (or `validation_`).

    A topic's words are ordered by relevance: w^r (w / m)^(1 - r), with w the weight of a word in the topic, m its mean
    weight in the training documents, and r the `relevance`, from 0 to 1. With 1 it is the weight.
    """

    def __init__(self, trial: ScoredTrial, relevance: float = 1.0) -> None:
        training = trial.data.part("train")
        if training.corpus is None:
            raise UserError("topics are scored on documents: use `data: {name: documents, path: …}`")
        self._clusters, self._samples = ClusterScoring(trial), trial.samples
        self._words = training.feature_names
        self._divisor = _mean(training) ** (1 - relevance)
        self._corpus = trial.data.reference or training.corpus
        self._present = coherence.presence(self._corpus)
        self._scored_on = _told(self._corpus, is_reference=trial.data.reference is not None)
        self._held_out = {
            name: trial.data.part(name) for name in trial.data.labelled_parts if name in {"validation", "test"}
        }

    def __call__(self, method: EvaluatedModel, *, due: bool, last: bool, outputs: Outputs | None) -> Scores | None:
        """The scores of the epoch if it is due; else None."""
        if not due:
            return None
        outputs = outputs or predict(method, self._samples)
        found = self._clusters(method, due=due, last=last, outputs=outputs)
        if found is None or outputs.probabilities is None:
            raise TypeError(f"{type(method).__name__}.outputs gives no probabilities of topics")
        model: Any = method
        with evaluation_mode(method):
            weights = model.topics().double().cpu().numpy() / self._divisor
        weights = weights / np.maximum(weights.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
        order = heaviest(weights)
        theta = outputs.probabilities.numpy()
        by_topic, scores, oov = self._coherence(order)
        topics = Topics(
            words=tuple(tuple(self._words[word] for word in row) for row in order),
            weights=np.take_along_axis(weights, order, axis=1),
            coherence=by_topic,
            documents=strongest(theta),
            scored_on=self._scored_on,
        )
        ranked = order[:, :TOP]
        overlaps = shared(ranked)
        scores |= {"topic_diversity": len(np.unique(ranked)) / ranked.size}
        signals = {"active_topics": active_topics(theta), "topic_oov": oov}
        if len(ranked) > 1:
            scores |= {"inverted_rbo": inverted_rbo(overlaps)}
            signals |= {"topic_word_overlap": word_overlap(overlaps)}
        for name, part in self._held_out.items():
            scores |= self._of_documents(name, method, part)
        return replace(found, metrics=found.metrics | scores, health=found.health | signals, topics=topics)

    def state(self) -> dict[str, Tensor] | None:
        """That of the clusters."""
        return self._clusters.state()

    def load_state(self, state: dict[str, Tensor] | None) -> None:
        """Restores that of the clusters."""
        self._clusters.load_state(state)

    def _coherence(self, order: NDArray[np.int64]) -> tuple[NDArray[np.float64], dict[str, float], float]:
        """NPMI of each topic, (K,); the mean of each kind of coherence, where a topic has it; and unknown top words."""
        ranked = order[:, :TOP]
        shown = coherence.by_documents(self._present, order)
        counts = shown.first(TOP)
        npmi = coherence.npmi(counts)
        found = {"npmi": npmi, "npmi_15": coherence.npmi(shown), "umass": coherence.umass(counts)}
        if self._corpus.sequence is not None:
            found["c_v"] = coherence.c_v(coherence.by_windows(self._corpus, ranked, WIDE))
            found["uci"] = coherence.uci(coherence.by_windows(self._corpus, ranked, NARROW))
        means = {name: float(np.nanmean(values)) for name, values in found.items() if not np.isnan(values).all()}
        return npmi, means, float((~counts.known).sum())

    def _of_documents(self, name: str, method: EvaluatedModel, part: Dataset) -> dict[str, float]:
        labels, theta = part.labels, predict(method, on_device(part.samples, self._samples.device)).probabilities
        if labels is None or theta is None:
            raise TypeError(f"the documents of the {name} part have no labels or no topics")
        known = labels != UNLABELLED
        scores = metrics.scores(theta.argmax(dim=1).numpy()[known], labels[known])
        return {f"{name}_{score}": scores[score] for score in OF_DOCUMENTS}


def _mean(documents: Dataset) -> NDArray[np.float64]:
    """The mean weight of each word in documents, (V,); infinite for a word that is in none, whose lift is not known."""
    samples = documents.samples
    rows = samples.raw(slice(None)) if isinstance(samples, Stored) else samples
    mean = np.asarray(rows.mean(axis=0), np.float64).reshape(-1)
    return np.where(mean > 0, mean, np.inf)


def _told(corpus: Corpus, *, is_reference: bool) -> str:
    kind = "reference" if is_reference else "training"
    order = " of unknown order, which `c_v` and `uci` need" if corpus.sequence is None else " in their order"
    return f"{len(corpus)} {kind} documents of {corpus.name}, words{order}"


def heaviest(weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """The columns of the largest 15 weights of each row, the largest first, of equal ones the first; of (K, V).

    Only those that may be among them are sorted: sorting 2,000 rows of 20,000 takes seconds.
    """
    count = min(SHOWN, weights.shape[1])
    found = np.empty((len(weights), count), np.int64)
    for topic, row in enumerate(weights):
        # NaN comes last in partition and in sort.
        last = np.partition(-row, count - 1)[count - 1]
        columns = np.flatnonzero(~(-row > last))
        found[topic] = columns[np.argsort(-row[columns], kind="stable")[:count]]
    return found


def shared(words: NDArray[np.int64]) -> NDArray[np.float64]:
    """How many words the first 1, 2, … top words of each two topics have in common, (top, K, K), of words (K, top)."""
    from scipy.sparse import csr_matrix

    topics, top = words.shape
    distinct, places = np.unique(words, return_inverse=True)
    places = places.reshape(words.shape)
    found = np.empty((top, topics, topics))
    for depth in range(1, top + 1):
        chosen = (np.repeat(np.arange(topics), depth), places[:, :depth].ravel())
        inside = csr_matrix((np.ones(topics * depth), chosen), shape=(topics, len(distinct)))
        found[depth - 1] = (inside @ inside.T).toarray()
    return found


def inverted_rbo(overlaps: NDArray[np.float64]) -> float:
    """1 less the mean rank-biased overlap of two topics, p = .9; 0 if all topics are equal, 1 if none share a word.

    Source: Webber et al., equation 23 (extrapolated to the depth of the lists), of `shared`.
    """
    top, topics, _ = overlaps.shape
    depths = np.arange(1, top + 1)
    agreement = overlaps / depths[:, None, None]
    p = _PERSISTENCE
    values = agreement[-1] * p**top + (1 - p) / p * np.tensordot(p**depths, agreement, axes=1)
    return 1 - float(values[np.triu_indices(topics, 1)].mean())


def word_overlap(overlaps: NDArray[np.float64]) -> float:
    """The share of a topic's top words that its most similar other topic has too, mean over topics; of `shared`."""
    among = overlaps[-1].copy()
    np.fill_diagonal(among, 0)
    return float(among.max(axis=1).mean()) / len(overlaps)


def active_topics(theta: NDArray[np.float32]) -> float:
    """The share of the topics whose weight varies from document to document, of weights (n, K).

    A latent unit is active if the variance of its mean over the data is more than .01 of that of its prior (Burda et
    al.). Here the measure is the variance of a topic that one in K documents is wholly of, (K - 1) / K^2.
    """
    topics = theta.shape[1]
    variance = theta.var(axis=0, dtype=np.float64)
    return float((variance > _ACTIVE * (topics - 1) / topics**2).mean())


def strongest(theta: NDArray[np.float32]) -> tuple[tuple[int, ...], ...]:
    """The rows of up to three documents in which each topic is strongest, the strongest first, of weights (n, K).

    Of equal ones the first; documents without the topic are none.
    """
    found: list[tuple[int, ...]] = []
    for column in theta.T:
        least = np.partition(column, -STRONGEST)[-STRONGEST] if len(column) > STRONGEST else 0.0
        rows = np.flatnonzero((column >= least) & (column > 0))
        found.append(tuple(rows[np.lexsort((rows, -column[rows]))][:STRONGEST].tolist()))
    return tuple(found)
