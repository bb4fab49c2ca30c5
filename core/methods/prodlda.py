"""ProdLDA: a variational autoencoder whose decoder is a product of experts, the topics.

The encoder gives a normal distribution of each document, whose draws become topic weights theta by a softmax. The words
of the document have the probabilities softmax(BN(theta B)). The prior is the Laplace approximation of a Dirichlet
distribution, which in the softmax basis is normal, too::

    mean_k = log a - mean log a = 0        variance_k = (1 - 2 / K) / a + 1 / (K a)

The loss of a document is the negative log-likelihood of its counts plus the Kullback-Leibler divergence of encoder and
prior, in nats. As the paper advises against collapsed topics: Adam with a beta_1 of .99, batch norm and dropout. Unlike
there, the encoder reads the documents' shares of weighted words, small numbers, so its first layer has batch norm.

Reference: Srivastava and Sutton, "Autoencoding Variational Inference for Topic Models" (ICLR 2017, arXiv 1703.01488).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.config.schema import Fraction, PositiveFloat, PositiveInt
from core.evaluation.outputs import Outputs
from core.evaluation.scoring import ScoredTrial, Scoring
from core.evaluation.topics import TopicScoring
from core.methods._documents import documents_of
from core.methods._words import WordMap
from core.training.method import Batch, Setting, build_optimiser
from core.training.method import Method as Base

_BETAS = (0.99, 0.999)


class Method(Base):
    """Encoder and topics; a document's cluster is its strongest topic."""

    sparse = True
    loss_parts = ("loss_reconstruction", "loss_kl")
    rescales = ("prior", "dropout")
    scores = "topics"
    unused = ("encoder", "views", "optimiser.encoder_learning_rate")
    least_batch = 2
    any_epochs = True

    def __init__(
        self,
        setting: Setting,
        *,
        hidden_dim: PositiveInt = 100,
        dropout: Fraction = 0.2,
        prior: PositiveFloat = 1.0,
        relevance: Fraction = 1.0,
    ) -> None:
        """The networks.

        Args:
            setting: the parts that the method is built from.
            hidden_dim: width of the two hidden layers of the encoder.
            dropout: the share of hidden values, and of topic weights, that a step leaves out.
            prior: each parameter of the Dirichlet distribution; a smaller one asks for fewer topics per document.
            relevance: how topics' words are ordered, 1: by their weight; less: by weight to this power, times lift
                (weight over the word's mean in the documents) to the rest. 0.6 suits readers, see Sievert and Shirley
                in `core.evaluation.topics`.

        Raises:
            UserError: the data are no documents.
        """
        super().__init__()
        self.corpus = documents_of(setting, "prodlda")
        n_words, n_topics = setting.sample_shape[0], setting.n_clusters
        self.dropout, self.relevance = dropout, relevance
        self.variance = max((1 - 2 / n_topics) / prior + 1 / (n_topics * prior), 1e-3)
        self.words = WordMap(n_words, hidden_dim)
        self.hidden = nn.Sequential(
            nn.BatchNorm1d(hidden_dim), nn.Softplus(), nn.Linear(hidden_dim, hidden_dim), nn.Softplus()
        )
        self.mean, self.log_variance = (
            nn.Sequential(nn.Linear(hidden_dim, n_topics), nn.BatchNorm1d(n_topics, affine=False)) for _ in range(2)
        )
        self.experts = nn.Parameter(nn.init.xavier_uniform_(torch.empty(n_topics, n_words)))
        self.norm = nn.BatchNorm1d(n_words, affine=False)
        self.optimisers = {"all": build_optimiser(self, setting.optimiser, _BETAS)}

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """One optimisation step; the parts are means over documents, in nats."""
        # Batch norms need two samples: a single sample is repeated.
        rows = batch.rows if len(batch.rows) > 1 else batch.rows.repeat(2)
        samples = batch.samples if len(batch.rows) > 1 else batch.samples.to_dense().repeat(2, 1)
        hidden = self._dropped(self.hidden(self.words(samples)), batch.noise)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        noise = torch.randn(mean.shape, generator=batch.noise, device=mean.device)
        theta = (mean + (log_variance / 2).exp() * noise).softmax(dim=1)
        logits = self.norm(self._dropped(theta, batch.noise) @ self.experts)
        counts = torch.from_numpy(self.corpus.counts[rows.cpu().numpy()].toarray()).to(logits)
        reconstruction = -(counts * functional.log_softmax(logits, dim=1)).sum(dim=1).mean()
        kl = self._divergence(mean, log_variance).mean()
        losses = {"loss": reconstruction + kl, "loss_reconstruction": reconstruction, "loss_kl": kl}
        return self.descend(losses, self.optimisers["all"])

    def outputs(self, samples: Tensor) -> Outputs:
        """The topic weights of the encoder's mean, as features and as probabilities."""
        theta = self.mean(self.hidden(self.words(samples))).softmax(dim=1)
        return Outputs(theta, theta)

    def topics(self) -> Tensor:
        """The probability of each word in a document of one topic alone, (K, V)."""
        return self.norm(self.experts).softmax(dim=1)

    def scoring(self, trial: ScoredTrial) -> Scoring:
        """Scores the topics and the clusters of documents."""
        return TopicScoring(trial, self.relevance)

    def _dropped(self, values: Tensor, generator: torch.Generator) -> Tensor:
        """Dropout that draws from the trial's own stream."""
        drawn = torch.rand(values.shape, generator=generator, device=values.device)
        return values * (drawn >= self.dropout) / (1 - min(self.dropout, 0.999))

    def _divergence(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        """The divergence of normal distributions (n, K) and the prior, (n,)."""
        ratio = log_variance.exp() / self.variance
        return ((ratio + mean.square() / self.variance - 1 - ratio.log()) / 2).sum(dim=1)
