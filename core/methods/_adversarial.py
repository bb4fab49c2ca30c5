"""What the adversarial topic models have in common: a generator, an encoder, a critic, and their steps.

With G the generator, E the encoder, D the critic, x a batch of documents on the simplex of the words, and t topic
weights drawn from a Dirichlet distribution with all parameters 1 / K::

    critic      -mean D(E(x), x) + mean D(t, G(t)) (+ penalty)   in every step
    generator   -mean D(t, G(t)) (+ contrast)                    in each n_critic-th step, after the critic
    encoder      mean D(E(x), x) (- agreement)                   in the same steps

The agreement is the mutual information of the topics of two views of the documents, each with a random half of their
words (Ji et al., ICCV 2019). Topics and shares are those of averaged weights of generator and encoder: the weights
themselves go back and forth from step to step.

References: Wang et al., "Neural Topic Modeling with Bidirectional Adversarial Training" (ACL 2020, arXiv 2004.12331);
Gulrajani et al., "Improved Training of Wasserstein GANs" (NeurIPS 2017), for the gradient penalty.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from core.config.trial import Optimiser
from core.evaluation.outputs import Outputs
from core.evaluation.scoring import ScoredTrial, Scoring
from core.evaluation.topics import TopicScoring
from core.methods._words import WordMap
from core.training.method import Batch, Setting, build_optimiser
from core.training.method import Method as Base
from losses.mutual_information import mutual_information

_BETAS = (0.5, 0.999)
_EPSILON = 3e-9
"""Adam's. With clipped weights the critic's gradients by the generator's word weights are about 1e-9, below the usual
1e-8. Values from 3e-10 to 1e-8 differed less than seeds did; docs/topics.md has the figures."""
_SHORTEST = 1e-24
"""The least squared length of a gradient whose root is taken."""


class Generator(nn.Module):
    """Topic weights (n, K) to their hidden vectors (n, hidden) and documents on the simplex (n, V)."""

    def __init__(self, n_topics: int, n_words: int, hidden: int) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Linear(n_topics, hidden), nn.BatchNorm1d(hidden), nn.LeakyReLU())
        self.words = nn.Linear(hidden, n_words)

    def forward(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden vectors and documents."""
        hidden = self.block(weights)
        return hidden, self.words(hidden).softmax(dim=1)


class DocumentEncoder(nn.Module):
    """Documents (n, V), dense or sparse, to their topic weights (n, K)."""

    def __init__(self, n_words: int, n_topics: int, hidden: int) -> None:
        super().__init__()
        self.words = WordMap(n_words, hidden)
        self.rest = nn.Sequential(nn.BatchNorm1d(hidden), nn.LeakyReLU(), nn.Linear(hidden, n_topics))

    def forward(self, documents: Tensor) -> Tensor:
        """Topic weights, rows of sum 1."""
        return self.rest(self.words(documents)).softmax(dim=1)


class Critic(nn.Module):
    """Pairs of topic weights (n, K) and documents (n, V) to scores (n,).

    Its first layer is the sum of a map of the weights and a map of the documents, so that sparse documents stay sparse.
    With a gradient penalty the samples of a batch must not depend on each other: then it has layer norm.
    """

    def __init__(self, n_topics: int, n_words: int, hidden: int, *, in_batch: bool) -> None:
        super().__init__()
        self.topics = WordMap(n_topics, hidden, n_topics + n_words)
        self.words = WordMap(n_words, hidden, n_topics + n_words)
        norm = nn.BatchNorm1d(hidden) if in_batch else nn.LayerNorm(hidden)
        self.rest = nn.Sequential(norm, nn.LeakyReLU(), nn.Linear(hidden, 1))

    def forward(self, weights: Tensor, documents: Tensor) -> tuple[Tensor, Tensor]:
        """The scores, and the first layer's values (n, hidden)."""
        first = self.topics(weights) + self.words(documents)
        return self.rest(first).squeeze(1), first

    def penalty(self, real: Tensor, made: Tensor, shares: Tensor) -> Tensor:
        """The mean squared distance from 1 of the gradient's length, at points between real pairs and made ones.

        The first layer is linear: its values at a point between two pairs lie between theirs, and the gradient by the
        pair is the gradient by these values, times the layer's matrix. So nothing of the width of the vocabulary is
        needed per sample.

        Args:
            real: the first layer's values of the real pairs, (n, hidden).
            made: those of the made ones, (n, hidden).
            shares: how near each point lies to the made pair, (n, 1), from 0 to 1.
        """
        between = real + shares * (made - real)
        (slopes,) = torch.autograd.grad(self.rest(between).sum(), between, create_graph=True)
        products = self.topics.weight.t() @ self.topics.weight + self.words.weight.t() @ self.words.weight
        squares = ((slopes @ products) * slopes).sum(dim=1)
        return (squares.clamp_min(_SHORTEST).sqrt() - 1).square().mean()


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of all adversarial topic models; see `core.methods.bat`."""

    hidden_dim: int
    n_critic: int
    clip: float | None
    penalty: float | None
    generator_learning_rate: float | str
    agreement: float
    averaging: float
    relevance: float


class AdversarialTopics(Base):
    """The bidirectional adversarial topic model; subclasses may add a loss to the generator's."""

    def __init__(self, setting: Setting, options: Options) -> None:
        """Generator, encoder and critic."""
        super().__init__()
        self.penalty, self.relevance = options.penalty, options.relevance
        self.clip = (options.clip or 0.01) if options.penalty is None else None
        self.n_critic = options.n_critic
        self.n_topics = setting.n_clusters
        n_words, hidden = setting.sample_shape[0], options.hidden_dim
        self.generator = Generator(self.n_topics, n_words, hidden)
        self.encoder = DocumentEncoder(n_words, self.n_topics, hidden)
        self.critic = Critic(self.n_topics, n_words, hidden, in_batch=self.penalty is None)
        self.averaged = copy.deepcopy(nn.ModuleDict({"generator": self.generator, "encoder": self.encoder}))
        self.averaged.requires_grad_(requires_grad=False)  # it follows the others, no optimiser changes it
        self.agreement, self.averaging = options.agreement, options.averaging
        self.steps = 0
        self.optimisers = {
            "critic": build_optimiser(self.critic, setting.optimiser, _BETAS, _EPSILON),
            "encoder": build_optimiser(self.encoder, setting.optimiser, _BETAS, _EPSILON),
        }
        self.generator_optimiser = replace(
            setting.optimiser, learning_rate=rate_of(options.generator_learning_rate, setting.optimiser)
        )
        self.train_generator()
        self._seen: list[Tensor] = []
        self._norms: list[float] = []

    def train_generator(self, *more: nn.Module) -> None:
        """Makes the optimiser of the generator, and of further modules that learn with it."""
        modules = nn.ModuleList([self.generator, *more])
        self.optimisers["generator"] = build_optimiser(modules, self.generator_optimiser, _BETAS, _EPSILON)

    def contrast(self, hidden: Tensor, weights: Tensor) -> Tensor | None:
        """A further loss of the generator, from its hidden vectors (n, hidden) and topic weights (n, K); here none."""
        del hidden, weights
        return None

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """One step of the critic, and in each `n_critic`-th step one of generator and encoder after it.

        `loss` is what the critic minimises, and `loss_critic` this without the penalty: the negative gap between its
        mean scores of real and of made pairs. Neither is a signal of progress, since the critic's opponents learn too;
        with clipped weights they are about .001 in size. Where the critic's gradient is not finite, nobody learns.
        """
        samples = batch.samples
        if len(samples) == 1:  # batch norms need two samples
            samples = torch.cat([samples.to_dense()] * 2)
        weights = self._prior(len(samples), batch.noise)
        self.steps += 1
        due = self.steps % self.n_critic == 0
        with torch.set_grad_enabled(due):
            hidden, made = self.generator(weights)
            inferred = self.encoder(samples)
        losses, taken = self._teach_critic(samples, inferred.detach(), weights, made.detach(), batch.noise)
        if due and taken:
            losses |= self._teach_others(samples, inferred, weights, (hidden, made), batch.noise)
        return {name: loss.detach() for name, loss in losses.items()}

    def _teach_critic(
        self, samples: Tensor, inferred: Tensor, weights: Tensor, made: Tensor, noise: torch.Generator
    ) -> tuple[dict[str, Tensor], bool]:
        real, real_first = self.critic(inferred, samples)
        fake, fake_first = self.critic(weights, made)
        loss = gap = fake.mean() - real.mean()
        if self.penalty is not None:
            shares = torch.rand(len(real), 1, generator=noise, device=real.device)
            loss = loss + self.penalty * self.critic.penalty(real_first, fake_first, shares)
        optimiser = self.optimisers["critic"]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        taken = self.step_guard.take(self, optimiser, name="critic")
        if self.clip is not None and taken:
            with torch.no_grad():
                for one in self.critic.parameters():
                    one.clamp_(-self.clip, self.clip)
        if taken:
            self._seen.append(torch.stack([-gap.detach(), (real > fake).float().mean()]))
        return {"loss": loss, "loss_critic": gap}, taken

    def _teach_others(
        self,
        samples: Tensor,
        inferred: Tensor,
        weights: Tensor,
        generated: tuple[Tensor, Tensor],
        noise: torch.Generator,
    ) -> dict[str, Tensor]:
        hidden, made = generated
        generator, encoder = (self.optimisers[name] for name in ("generator", "encoder"))
        found = {"loss_generator": -self.critic(weights, made)[0].mean()}
        found["loss_encoder"] = self.critic(inferred, samples)[0].mean()
        if (contrast := self.contrast(hidden, weights)) is not None:
            found["loss_contrast"] = contrast
        total = torch.stack(list(found.values())).sum()
        if self.agreement:
            first, second = (self.encoder(half_of_words(samples, noise)) for _ in range(2))
            found["loss_agreement"] = mutual_information(first, second)
            total = total + self.agreement * found["loss_agreement"]
        for one in (generator, encoder):
            one.zero_grad(set_to_none=True)
        learners = [parameters(one) for one in (generator, encoder)]
        # Only their gradients: those of the critic would cost as much again.
        total.backward(inputs=[*learners[0], *learners[1]])
        norm = float(nn.utils.get_total_norm([one.grad for one in learners[0] if one.grad is not None]))
        if self.step_guard.take(self, generator, encoder, name="others"):
            self._norms.append(norm)
            self._average()
        return found

    @torch.no_grad()
    def _average(self) -> None:
        """Moves the averaged weights, and the statistics of their batch norms, towards those of this step.

        The share of the past begins low, so that the first weights are soon forgotten.
        """
        learned = self.steps // self.n_critic
        keep = min(self.averaging, learned / (learned + 9))
        now = nn.ModuleDict({"generator": self.generator, "encoder": self.encoder})
        for slow, fast in zip(self.averaged.state_dict().values(), now.state_dict().values(), strict=True):
            if slow.is_floating_point():
                slow.lerp_(fast, 1 - keep)

    def _prior(self, n: int, noise: torch.Generator) -> Tensor:
        """Topic weights (n, K) from the Dirichlet distribution with all parameters 1 / K.

        They are drawn in float64: most of their logarithms are far below those of float32's smallest number.
        """
        device = next(self.generator.parameters()).device
        concentration = torch.full((n, self.n_topics), 1 / self.n_topics, dtype=torch.float64, device=device)
        # torch.distributions.Dirichlet, the public way to this function, takes no generator.
        drawn: Tensor = torch._sample_dirichlet(concentration, generator=noise)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
        return drawn.float()

    def topics(self) -> Tensor:
        """The documents that the generator makes of single topics, (K, V): rows of sum 1."""
        return self.averaged["generator"](torch.eye(self.n_topics, device=next(self.generator.parameters()).device))[1]

    def outputs(self, samples: Tensor) -> Outputs:
        """The topic weights that the encoder infers, as features and as probabilities."""
        found = self.averaged["encoder"](samples)
        return Outputs(found, found)

    def scoring(self, trial: ScoredTrial) -> Scoring:
        """Scores the topics and the clusters of documents."""
        return TopicScoring(trial, self.relevance)

    def signals(self) -> dict[str, float]:
        """`critic_gap`, `critic_accuracy` and `generator_gradient_norm`, means over the epoch's steps.

        The gap is that of the critic's mean scores of real and made pairs. The accuracy is the share of real pairs
        with a higher score than a made one; it is 1/2 by chance.
        """
        seen, norms = self._seen, self._norms
        self._seen, self._norms = [], []
        found: dict[str, float] = {}
        if seen:
            gap, accuracy = torch.stack(seen).double().mean(dim=0).tolist()
            found |= {"critic_gap": gap, "critic_accuracy": accuracy}
        if norms:
            found["generator_gradient_norm"] = sum(norms) / len(norms)
        return found

    def state(self) -> dict[str, Any]:
        """The state of the base class, and the number of steps, which decides when the generator learns."""
        return super().state() | {"steps": self.steps}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restores a state from a checkpoint."""
        super().load_state(state)
        self.steps = state["steps"]


def half_of_words(documents: Tensor, noise: torch.Generator) -> Tensor:
    """Documents (n, V), dense or sparse, each with a random half of its words, whose weights are doubled."""
    values = documents.values() if documents.layout == torch.sparse_csr else documents
    kept = 2 * values * (torch.rand(values.shape, generator=noise, device=values.device) < 0.5)
    if documents.layout != torch.sparse_csr:
        return kept
    parts = (documents.crow_indices(), documents.col_indices(), kept)
    return torch.sparse_csr_tensor(*parts, documents.shape, check_invariants=False)


def rate_of(given: float | str, optimiser: Optimiser) -> float:
    """A learning rate from a number, or from a share of the optimiser's: `lr`, `lr/10`."""
    if isinstance(given, str):
        return optimiser.learning_rate / float(given.partition("/")[2] or 1)
    return given


def parameters(optimiser: torch.optim.Optimizer) -> list[Tensor]:
    """The tensors that an optimiser changes."""
    return [one for group in optimiser.param_groups for one in group["params"]]
