"""BAT: topics by bidirectional adversarial training, for documents.

A generator makes documents of topic weights, an encoder infers topic weights from documents, and a critic tells the
pairs of both apart. A topic is the document that the generator makes of it alone. See `core.methods._adversarial`.

Reference: Wang et al., "Neural Topic Modeling with Bidirectional Adversarial Training" (ACL 2020, arXiv 2004.12331).
"""

from __future__ import annotations

from typing import Literal

from core.config.schema import Fraction, NonNegativeFloat, PositiveFloat, PositiveInt
from core.methods._adversarial import AdversarialTopics, Options
from core.training.method import Setting


class Method(AdversarialTopics):
    """Generator, encoder and critic; a document's cluster is its strongest topic."""

    loss_parts = ("loss_critic", "loss_generator", "loss_encoder", "loss_agreement")
    rescales = ("n_critic", "clip", "penalty")
    scores = "topics"
    sparse = True
    unused = ("encoder", "views", "optimiser.encoder_learning_rate")
    exclusive = (("clip", "penalty"),)
    any_epochs = True

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
    ) -> None:
        """The three networks.

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
