"""NMF: topics are the factors of the matrix of documents and words, both not negative. It learns at once.

The rows are the documents' TF-IDF at unit length: on 20 Newsgroups with 20 topics the NPMI is .29, on the simplex .21.
It starts from a singular value decomposition (NNDSVDa), so seeds differ little: by the random projection of the
decomposition alone.

Any neural topic model should do better than this; where one does not, the leaderboard says so.

References: Lee and Seung, "Learning the parts of objects by non-negative matrix factorization" (Nature 1999);
Boutsidis and Gallopoulos, "SVD based initialization" (Pattern Recognition 2008) for the start.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from torch import Tensor

from core.config.schema import Fraction, PositiveInt
from core.evaluation.label_free import one_thread
from core.evaluation.outputs import Outputs
from core.evaluation.scoring import ScoredTrial, Scoring
from core.evaluation.topics import TopicScoring
from core.methods._documents import documents_of, shares, sparse_matrix
from core.training.method import Batch, Setting
from core.training.method import Method as Base


class Method(Base):
    """Non-negative factors of the documents: scikit-learn's `NMF`, by coordinate descent."""

    baseline = True
    sparse = True
    loss_parts = ()
    rescales = ()
    scores = "topics"
    unused = ("encoder", "views", "optimiser", "batch_size", "epochs", "precision", "evaluation", "early_stopping")
    factors: Tensor

    def __init__(self, setting: Setting, *, iterations: PositiveInt = 200, relevance: Fraction = 1.0) -> None:
        """The factors, which are 0 before the step.

        Args:
            setting: the parts that the method is built from.
            iterations: the most passes of the coordinate descent; it ends when it no longer improves.
            relevance: how topics' words are ordered, 1: by their weight; less: by weight to this power, times lift
                (weight over the word's mean in the documents) to the rest. 0.6 suits readers, see Sievert and Shirley
                in `core.evaluation.topics`.

        Raises:
            UserError: the data are no documents.
        """
        super().__init__()
        documents_of(setting, "nmf")
        self.seed, self.iterations, self.relevance = setting.seed, iterations, relevance
        self.register_buffer("factors", torch.zeros(setting.n_clusters, setting.sample_shape[0], dtype=torch.float64))
        self.optimisers = {}

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Finds the factors of all documents; the loss is the squared error per document, of 1 for no topics at all."""
        from sklearn import decomposition

        kind: Any = decomposition.NMF
        rows = _unit(batch.samples)
        if not math.isfinite(rows.data.sum()):
            return {"loss": self.factors.new_tensor(math.nan)}
        clusters = len(self.factors)
        model = kind(
            clusters,
            init="nndsvda" if clusters <= min(rows.shape) else "random",
            max_iter=self.iterations,
            random_state=self.seed % 2**32,
        )
        with one_thread(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the limit of iterations is an option
            model.fit(rows)
        self.factors.copy_(torch.from_numpy(model.components_))
        return {"loss": self.factors.new_tensor(model.reconstruction_err_**2 / rows.shape[0])}

    def outputs(self, samples: Tensor) -> Outputs:
        """A document's shares of the topics, as features and as probabilities; its weights are found for given topics.

        Weights w >= 0 of a document x minimise |x - w H|^2, by coordinate descent.
        """
        from sklearn import decomposition

        factorise: Any = decomposition.non_negative_factorization
        rows, factors = _unit(samples), self.factors.cpu().numpy()
        with one_thread(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = factorise(rows, H=factors, n_components=len(factors), update_H=False, max_iter=self.iterations)
        theta = shares(torch.from_numpy(found[0])).to(self.factors.device, torch.float32)
        return Outputs(theta, theta)

    def topics(self) -> Tensor:
        """The weight of each word in each topic, (K, V)."""
        return self.factors

    def scoring(self, trial: ScoredTrial) -> Scoring:
        """Scores the topics and the clusters of documents."""
        return TopicScoring(trial, self.relevance)


def _unit(samples: Tensor) -> Any:
    """Documents (n, V) at unit length, a scipy matrix."""
    from sklearn.preprocessing import normalize

    rows = sparse_matrix(samples)
    return normalize(rows) if math.isfinite(rows.data.sum()) else rows
