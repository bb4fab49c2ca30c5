"""LDA: each document is a mixture of topics, each topic a distribution over words. It learns at once.

It learns from counts of words, by online variational Bayes on mini-batches. With 20 topics of 20 Newsgroups the NPMI
after five passes over mini-batches of 256, with ten updates of a document's topics each, is .185 and .193 (two seeds):
as high as after six passes with the usual 128 and up to 100 updates (.173, one seed), in a sixth of the time.

References: Blei, Ng and Jordan, "Latent Dirichlet Allocation" (JMLR 2003); Hoffman, Blei and Bach, "Online Learning for
Latent Dirichlet Allocation" (NeurIPS 2010).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.config.schema import Fraction, PositiveInt
from core.data.corpus import inverse_frequencies
from core.evaluation.label_free import one_thread
from core.evaluation.outputs import Outputs
from core.evaluation.scoring import ScoredTrial, Scoring
from core.evaluation.topics import TopicScoring
from core.methods._documents import documents_of, sparse_matrix
from core.training.method import Batch, Setting
from core.training.method import Method as Base

_UPDATES, _DECAY = 10, 0.5


class Method(Base):
    """Topics by scikit-learn's `LatentDirichletAllocation`, with its symmetric priors of 1 / K."""

    sparse = True
    loss_parts = ()
    rescales = ()
    scores = "topics"
    unused = ("encoder", "views", "optimiser", "batch_size", "epochs", "precision", "evaluation", "early_stopping")
    components: Tensor
    idf: Tensor
    sublinear: Tensor

    def __init__(
        self, setting: Setting, *, passes: PositiveInt = 5, mini_batch: PositiveInt = 256, relevance: Fraction = 1.0
    ) -> None:
        """The topics, which are uniform before the step.

        Args:
            setting: the parts that the method is built from.
            passes: how often it passes over all documents.
            mini_batch: the documents of one update of the topics, at most a twentieth of all.
            relevance: how topics' words are ordered, 1: by their weight; less: by weight to this power, times lift
                (weight over the word's mean in the documents) to the rest. 0.6 suits readers, see Sievert and Shirley
                in `core.evaluation.topics`.

        Raises:
            UserError: the data are no documents.
        """
        super().__init__()
        self.corpus = documents_of(setting, "lda")
        self.seed, self.passes, self.mini_batch, self.relevance = setting.seed, passes, mini_batch, relevance
        self.register_buffer("components", torch.ones(setting.n_clusters, len(setting.words), dtype=torch.float64))
        self.register_buffer("idf", torch.from_numpy(inverse_frequencies(self.corpus.counts)).to(self.components))
        self.register_buffer("sublinear", torch.zeros((), dtype=torch.bool))
        self.optimisers = {}

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Learns the topics of all documents; the loss is the negative variational bound per word, in nats."""
        if not math.isfinite(sparse_matrix(batch.samples).data.sum()):
            return {"loss": self.components.new_tensor(math.nan)}
        model = self._model(min(self.mini_batch, math.ceil(len(batch.rows) / 20)))
        counts = self.corpus.counts[batch.rows.cpu().numpy()]
        logs, often = counts.astype(np.float64), self._often(batch.samples)
        logs.data = 1 + np.log(logs.data)
        self.sublinear.fill_(bool(abs(often - logs).sum() < abs(often - counts).sum()))
        with one_thread():
            model.fit(counts)
        self.components.copy_(torch.from_numpy(model.components_))
        return {"loss": self.components.new_tensor(math.log(model.bound_))}  # what it calls a bound is the perplexity

    def outputs(self, samples: Tensor) -> Outputs:
        """A document's shares of the topics, as features and as probabilities, inferred with the topics as they are.

        Samples are counts, or 1 + log(counts), times inverse frequencies, divided by their sum. So the counts are known
        but for a factor: the rarest words of a document count as occurring once.
        """
        from scipy.special import digamma

        rows = self._often(samples)
        if self.sublinear:
            rows.data = np.exp(rows.data - 1)
        model, components = self._model(self.mini_batch), self.components.cpu().numpy()
        model.components_, model.doc_topic_prior_ = components, 1 / len(components)
        model.exp_dirichlet_component_ = np.exp(digamma(components) - digamma(components.sum(axis=1, keepdims=True)))
        with one_thread():
            theta = torch.from_numpy(model.transform(rows)).to(self.components.device, torch.float32)
        return Outputs(theta, theta)

    def topics(self) -> Tensor:
        """The probability of each word in each topic, (K, V)."""
        return self.components / self.components.sum(dim=1, keepdim=True)

    def scoring(self, trial: ScoredTrial) -> Scoring:
        """Scores the topics and the clusters of documents."""
        return TopicScoring(trial, self.relevance)

    def _often(self, samples: Tensor) -> Any:
        """Samples without the inverse frequencies, 1 for the rarest words of each document."""
        rows = sparse_matrix(samples)
        rows.data /= self.idf.cpu().numpy()[rows.indices]
        filled = np.diff(rows.indptr) > 0
        least = np.ones(rows.shape[0])
        least[filled] = np.minimum.reduceat(rows.data, rows.indptr[:-1][filled]) if filled.any() else 1.0
        rows.data /= np.repeat(least, np.diff(rows.indptr))
        return rows

    def _model(self, mini_batch: int) -> Any:
        from sklearn import decomposition

        kind: Any = decomposition.LatentDirichletAllocation
        return kind(
            len(self.components),
            learning_method="online",
            learning_decay=_DECAY,
            max_iter=self.passes,
            batch_size=mini_batch,
            max_doc_update_iter=_UPDATES,
            random_state=self.seed % 2**32,
        )
