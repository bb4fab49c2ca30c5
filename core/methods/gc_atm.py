"""GC-ATM: BAT with a contrast (InfoNCE) in the generator, for documents.

Each made document is contrasted with the others of its batch: its hidden vector, projected, must find the embedding of
its own topic weights. See `core.methods.bat` for the rest.

References: Wang et al., "Neural Topic Modeling with Bidirectional Adversarial Training" (ACL 2020, arXiv 2004.12331);
Kang and Park, "ContraGAN: Contrastive Learning for Conditional Image Generation" (NeurIPS 2020).
"""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor, nn

from core.config.schema import Fraction, NonNegativeFloat, PositiveFloat, PositiveInt
from core.methods._adversarial import AdversarialTopics, Options
from core.training.method import Setting
from losses.conditional_contrast import conditional_contrast
from losses.nt_xent import nt_xent


class Method(AdversarialTopics):
    """Generator with its contrast, encoder and critic; a document's cluster is its strongest topic."""

    loss_parts = ("loss_critic", "loss_generator", "loss_encoder", "loss_contrast", "loss_agreement")
    rescales = ("n_critic", "clip", "penalty", "loss", "label_embedding", "temperature", "embedding_dim")
    scores = "topics"
    sparse = True
    unused = ("encoder", "views", "optimiser.encoder_learning_rate")
    exclusive = (("clip", "penalty"),)
    any_epochs = True
    least_batch = 2

    def __init__(
        self,
        setting: Setting,
        *,
        hidden_dim: PositiveInt = 128,
        n_critic: PositiveInt = 2,
        clip: PositiveFloat | None = None,
        penalty: PositiveFloat | None = None,
        generator_learning_rate: PositiveFloat | Literal["lr", "lr/3", "lr/10", "lr/100"] = "lr/3",
        agreement: NonNegativeFloat = 0.003,
        averaging: Fraction = 0.99,
        relevance: Fraction = 1.0,
        loss: Literal["info_nce", "conditional"] = "info_nce",
        label_embedding: Literal["argmax", "weighted", "none"] = "weighted",
        temperature: PositiveFloat = 0.5,
        embedding_dim: PositiveInt = 128,
    ) -> None:
        """The three networks, the projection and the embedding of topics.

        Args:
            setting: the parts that the method is built from.
            hidden_dim: width of the hidden layer of each network.
            n_critic: generator and encoder learn in each so many-th step, the critic in every one.
            clip: the critic's weights are kept within this of 0; null: 0.01 without a `penalty`.
            penalty: weight of the gradient penalty, which replaces clipping (10 in its paper); the critic then has
                layer norm instead of batch norm.
            generator_learning_rate: a number, or a share of `optimiser.learning_rate`, as `lr/100`.
            agreement: weight of the agreement between two views of each document in the encoder's loss; 0: none, as in
                the paper. The critic's part of this loss is about .001 in size where its weights are clipped.
            averaging: topics and shares are those of averaged weights; this share of the average is kept in each step
                of generator and encoder. 0: those of the last step.
            relevance: how topics' words are ordered, 1: by their weight; less: by weight to this power, times lift
                (weight over the word's mean in the documents) to the rest. 0.6 suits readers, see Sievert and Shirley
                in `core.evaluation.topics`.
            loss: `info_nce` contrasts each document with all others of the batch; `conditional` does not count those
                of the same strongest topic as different.
            label_embedding: what stands for a document's topic weights: the embedding of its strongest topic
                (`argmax`), or the average of all topics' embeddings by these weights (`weighted`). With `none` there
                is no contrast, as in `bat`.
            temperature: divides the similarities; a lower one gives near negatives more weight.
            embedding_dim: width of the vectors that are contrasted.
        """
        super().__init__(
            setting,
            Options(
                hidden_dim=hidden_dim,
                n_critic=n_critic,
                clip=clip,
                penalty=penalty,
                generator_learning_rate=generator_learning_rate,
                agreement=agreement,
                averaging=averaging,
                relevance=relevance,
            ),
        )
        self.conditional = loss == "conditional"
        self.label_embedding = label_embedding
        self.temperature = temperature
        if label_embedding == "none":
            return
        self.projection = nn.Sequential(
            nn.Linear(hidden_dim, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, embedding_dim)
        )
        self.embedding = nn.Embedding(setting.n_clusters, embedding_dim)
        self.train_generator(self.projection, self.embedding)

    def contrast(self, hidden: Tensor, weights: Tensor) -> Tensor | None:
        """The contrast of made documents with the embeddings of their topics, a scalar; None without an embedding."""
        if self.label_embedding == "none":
            return None
        strongest = weights.argmax(dim=1)
        weighted = self.label_embedding == "weighted"
        labels = weights @ self.embedding.weight if weighted else self.embedding(strongest)
        projected = self.projection(hidden)
        if self.conditional:
            return conditional_contrast(projected, labels, strongest, self.temperature)
        return nt_xent(projected, labels, self.temperature)

    def chance_losses(self, size: int) -> dict[str, float]:
        """That of the contrast with all others; the other contrast's depends on the topics in the batch."""
        if self.conditional or self.label_embedding == "none":
            return {}
        return {"loss_contrast": math.log(2 * max(size, 2) - 1)}
