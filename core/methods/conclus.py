"""The default: CC, then a second head that learns from its own surest labels; measured by clusters of the input.

After the warm-up, clusters are found among the samples as they are (`core.training.candidate`). They are the answer
unless training does better. Whether it does cannot be seen without labels, but it can be seen what it learns from:
- Views of images, of texts or with words left out say what changes nothing about a sample, which the samples alone do
  not say. Then the clusters of the features are the answer, with two exceptions: there are too few samples for it
  (below 64 a cluster), or they contradict the input's neighbours (an agreement lower by more than .2).
- Views that are made of the samples alone (neighbours, noise) add little, and the second stage starts from the clusters
  of the input. In the end clusters are found again, in the neighbours of the input and of the features together. The
  head is the answer if it agrees with the input's neighbours at least as well as these.

Published boosting stages lose classes, and so accuracy. Here the second head starts from k-means, whose partition of
CC's features is better than that of CC's own head. Every class keeps labels in proportion to its size and confidence.
An epoch that loses a class or lowers the mutual information of samples and labels is undone.

If classes are assumed to be of equal size, the k-means uses clusters of equal size, unless this raises the inertia too
much. With free sizes, very different partitions have inertias within a thousandth of each other, and chance decides
which one is found.

References: warm-up: Li et al., "Contrastive Clustering" (AAAI 2021). Labels by confidence: Jia et al., "Towards
Calibrated Deep Clustering Network" (ICLR 2025). Weak labels for strong views: Van Gansbeke et al., "SCAN" (ECCV 2020).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from core.config.schema import Fraction, NonNegativeFloat, PositiveFloat, PositiveInt
from core.data.source import Samples
from core.evaluation import kmeans, metrics
from core.evaluation.assignment import centres_of
from core.evaluation.clustering import evaluation_mode, mutual_information, predict
from core.evaluation.outputs import Outputs
from core.evaluation.spectral import unequal_clusters
from core.methods._labelled import labelled
from core.methods.cc import Method as ContrastiveClustering
from core.training.candidate import Candidate
from core.training.method import Batch, Setting, build_optimiser
from losses.marginal_entropy import marginal_divergence
from losses.nt_xent import nt_xent

UNLABELLED = -1
# What changes after the warm-up and is no tensor; the prior's kind is known from it.
_STAGE = (
    *("best", "best_score", "start_score", "rollbacks", "kept", "unequal"),
    *("candidate_agreement", "head_agreement"),
)

# The most that clusters of equal size may raise the inertia. On features of Fashion-MNIST and digits they raise it by
# 1 % to 6 %. With only half or a fifth of the samples of five digits it is 16 % to 23 %, and ACC falls by up to .10.
_MOST_INERTIA = 0.1
# With fewer samples a cluster, views of images do not say enough; chosen with labels in sight between the 29 of UMIST's
# faces, where training is far worse than the input's clusters, and the 180 of digits, where it is better.
_LEAST_SAMPLES = 64
# How much less than the input's clusters those of informed views may agree with the neighbours in the input. On
# Fashion-MNIST it is .15 less, and the classes themselves .18; on UMIST .2 to .4. Chosen with labels in sight, too.
_LOST_AGREEMENT = 0.2
# Agreements of the same clusters, summed in another order, differ by less.
_ROUNDING = 1e-6


class Method(ContrastiveClustering):
    """CC for the first share of the epochs (`warmup`), self-labelling for the rest."""

    loss_parts = ("loss_instance", "loss_cluster", "loss_entropy", "loss_labels")
    rescales = (
        "instance_temperature",
        "cluster_temperature",
        "entropy_weight",
        "instance_dim",
        "warmup",
        "sharpness",
        "marginal",
        "candidate",
    )
    scores = "head"
    least_batch = 2
    labels: Tensor
    class_weights: Tensor
    prior: Tensor
    input_answers: Tensor

    def __init__(
        self,
        setting: Setting,
        *,
        instance_temperature: PositiveFloat = 0.5,
        cluster_temperature: PositiveFloat = 1.0,
        entropy_weight: NonNegativeFloat = 1.0,
        instance_dim: PositiveInt = 128,
        warmup: Fraction = 0.75,
        sharpness: PositiveFloat = 10.0,
        tolerance: NonNegativeFloat = 0.01,
        marginal: Literal["uniform", "learned", "auto"] = "uniform",
        candidate: Literal["auto", "none"] = "auto",
    ) -> None:
        """The encoder, CC's two heads and the second head.

        The label-free score is the mutual information of samples and the head's assignment as a share of log K. It was
        chosen with the help of labels: on digits, 10,000 images of Fashion-MNIST, pbmc68k and Stack Overflow it rises
        and falls with NMI from epoch to epoch. (An earlier score was half from the head's agreement with k-means, which
        differs by a tenth between starts of k-means.)

        Args:
            setting: the parts that the method is built from.
            instance_temperature: divides the similarities of samples; a lower one gives near negatives more weight.
            cluster_temperature: divides the similarities of clusters.
            entropy_weight: weight of the term that pulls clusters to equal sizes.
            instance_dim: width of the vectors in which samples are contrasted.
            warmup: the share of the epochs that train with CC, before the second head learns from its own labels.
            sharpness: multiplies the cosines to the centroids from which the second head starts.
            tolerance: how far the label-free score may fall below its best value before an epoch is undone.
            marginal: the cluster sizes to which the second stage's entropy term pulls: equal sizes (`uniform`), or the
                sizes found by k-means (`learned`, for classes of unequal size). `uniform` starts with equal sizes if
                this raises the inertia of k-means by a tenth at most, and else is `learned`. `auto` starts from the
                clusters and the sizes of spectral clustering of the features if they are very unequal; else it is
                `uniform`. Before that, in the warm-up, it leaves the entropy term out.
            candidate: `auto` finds clusters of the input, too, which may start the second stage (then it pulls to
                their sizes) or be the answer; `none` trains without them.
        """
        super().__init__(
            setting,
            instance_temperature=instance_temperature,
            cluster_temperature=cluster_temperature,
            entropy_weight=0.0 if marginal == "auto" else entropy_weight,
            instance_dim=instance_dim,
        )
        self.seed = setting.seed
        self.last_epoch = setting.epochs
        self.warmup_epochs = max(1, round(warmup * setting.epochs))
        self.sharpness = sharpness
        self.tolerance = tolerance
        self.later_entropy_weight = entropy_weight
        self.marginal = marginal
        self.prototypes = nn.Linear(self.encoder.dim, setting.n_clusters)
        self.register_buffer("labels", torch.full((setting.n_samples,), UNLABELLED))
        self.register_buffer("class_weights", torch.ones(setting.n_clusters))
        self.register_buffer("prior", torch.full((setting.n_clusters,), 1 / setting.n_clusters))
        self.optimisers = {"all": build_optimiser(self, setting.optimiser)}
        self.unequal = self.marginal == "learned"
        self.best: dict[str, Any] | None = None
        self.best_score = self.start_score = self.candidate_agreement = self.head_agreement = 0.0
        self.rollbacks = self.kept = 0
        found = Candidate(setting.n_samples, setting.sample_shape, setting.n_clusters) if candidate == "auto" else None
        self.candidate = found
        self.informed = setting.views.informed and setting.n_samples >= _LEAST_SAMPLES * setting.n_clusters
        self.register_buffer("input_answers", torch.zeros((), dtype=torch.bool))

    def end_epoch(self, epoch: int, samples: Samples) -> Outputs | None:
        """Ends the warm-up, or keeps or undoes the epoch; chooses the labels for the next epoch, and who answers."""
        if epoch < self.warmup_epochs:
            return None
        outputs = self._predicted(samples)
        starts = epoch == self.warmup_epochs
        if starts:
            # Not before the first epoch: nothing needs them until now, and a million samples would wait for minutes.
            if self.candidate is not None:
                self.candidate.find(samples, seed=self.seed)
                self.candidate_agreement = self.candidate.agreement(samples)
            outputs = self._start(outputs.features, samples)
        if not self._keep(outputs):
            outputs = self._predicted(samples)
        if epoch == self.last_epoch and not starts and self._learns_from_views():
            # The features have become better since the second stage began, and k-means of them with them.
            outputs = self._set_head(outputs.features, self._kmeans(kmeans.unit_rows(outputs.features.numpy())))
        elif epoch < self.last_epoch and not (starts and not self._learns_from_views()):
            self._label(outputs)
        if epoch == self.last_epoch and self.candidate is not None and not self.informed:
            self.candidate.join(samples, outputs.features, seed=self.seed)
            self.candidate_agreement = self.candidate.agreement(samples)
        return self._better(outputs, samples)

    def signals(self) -> dict[str, float]:
        """After the warm-up: the labelled samples, and how the second stage and the input's clusters compare.

        - `kept_epochs`, `rollbacks`: epochs of the second stage that were kept, and that were undone.
        - `start_score`: the label-free score of the head at its start.
        - `candidate_agreement`, `head_agreement`: of the input's clusters and of the head's, with the neighbours in the
          input; see `core.evaluation.shared_neighbours`.
        - `training_helped`: 1 if the head is the answer, 0 if the input's clusters are.
        """
        if self.best is None:
            return {}
        found = labelled(self.labels, self.n_clusters)
        found |= {
            "kept_epochs": float(self.kept),
            "rollbacks": float(self.rollbacks),
            "start_score": self.start_score,
        }
        if self.candidate is not None:
            found |= {
                "candidate_agreement": self.candidate_agreement,
                "head_agreement": self.head_agreement,
                "training_helped": float(not self.input_answers),
            }
        return found

    def input_clusters(self, samples: Samples) -> NDArray[np.int64] | None:
        """The clusters (n,) of the candidate; None without one."""
        if self.candidate is None:
            return None
        if self.best is None:  # The trial ended in its warm-up.
            self.candidate.find(samples, seed=self.seed)
        return self.candidate.of_all(samples).argmax(dim=1).cpu().numpy()

    def outputs(self, samples: Tensor) -> Outputs:
        """The features, and the probabilities of the head that is in use, or of the input's clusters if they answer."""
        features = self.encoder(samples)
        if self.candidate is not None and bool(self.input_answers):
            return Outputs(features, self.candidate(samples))
        return Outputs(features, self._logits(features).softmax(dim=1))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """CC's objective in the warm-up; after it, the label loss replaces the cluster loss."""
        if self.best is None:
            return super().losses(batch)
        both = torch.cat([self.views(batch), self.views.strong(batch)])
        features = self.encoder(both)
        z_a, z_b = self.instance_head(features).chunk(2)
        logits = self._logits(features)
        instance = nt_xent(z_a, z_b, self.instance_temperature)
        labels = functional.cross_entropy(
            logits,
            self.labels[batch.rows].repeat(2),
            weight=self.class_weights,
            ignore_index=UNLABELLED,
            reduction="sum",
        ) / len(both)
        p_a, p_b = logits.softmax(dim=1).chunk(2)
        entropy = marginal_divergence(p_a, self.prior) + marginal_divergence(p_b, self.prior)
        return {
            "loss": instance + labels + self.later_entropy_weight * entropy,
            "loss_instance": instance,
            "loss_labels": labels,
            "loss_entropy": entropy,
        }

    def _logits(self, features: Tensor) -> Tensor:
        if self.best is None:
            return self.cluster_head(features)
        return self.prototypes(functional.normalize(features, dim=1))

    def _learns_from_views(self) -> bool:
        return self.candidate is None or self.informed

    def _predicted(self, samples: Samples) -> Outputs:
        """The outputs of all samples with the head's probabilities."""
        self.input_answers.zero_()
        return predict(self, samples)

    def _start(self, features: Tensor, samples: Samples) -> Outputs:
        """The second head assigns each sample as k-means of the unit features does, or as the input's clusters do.

        Takes the features of all samples; returns them with the head's probabilities.
        """
        rows = kmeans.unit_rows(features.numpy())
        if self.candidate is None or self.informed:
            return self._set_head(features, self._kmeans(rows))
        labels = self.candidate.of_all(samples).argmax(dim=1).cpu()
        self.labels.copy_(labels)
        self.unequal = True
        found, none = labels.numpy(), np.zeros(self.n_clusters, np.float32)
        centroids = np.nan_to_num(centres_of(rows, found, self.n_clusters))
        return self._set_head(features, kmeans.KMeansResult(found, centroids, none))

    def _set_head(self, features: Tensor, found: kmeans.KMeansResult) -> Outputs:
        """The second head assigns each sample to the nearest centroid of its unit features, less the offset."""
        centroids, offsets = torch.from_numpy(found.centroids), torch.from_numpy(found.offsets)
        with torch.no_grad():
            self.prototypes.weight.copy_(self.sharpness * centroids)
            self.prototypes.bias.copy_(self.sharpness / 2 * (offsets - centroids.square().sum(dim=1)))
        if self.unequal:
            sizes = torch.from_numpy(metrics.cluster_sizes(found.labels, self.n_clusters)).clamp_min(1)
            self.prior.copy_(sizes / sizes.sum())
        self.best = self.best or {}
        with evaluation_mode(self):
            logits = self._logits(features.to(self.prototypes.weight.device))
        return Outputs(features, logits.softmax(dim=1).cpu())

    def _better(self, outputs: Outputs, samples: Samples) -> Outputs:
        """The outputs with the probabilities of the input's clusters, if these are the answer."""
        if self.candidate is None:
            return outputs
        labels = _probabilities(outputs).argmax(dim=1).numpy()
        self.head_agreement = self.candidate.agreement(samples, labels)
        lost = _LOST_AGREEMENT if self.informed else _ROUNDING
        self.input_answers.fill_(self.head_agreement < self.candidate_agreement - lost)
        if not bool(self.input_answers):
            return outputs
        return Outputs(outputs.features, self.candidate.of_all(samples).cpu())

    def _kmeans(self, rows: kmeans.Matrix) -> kmeans.KMeansResult:
        if self.marginal == "auto" and (found := unequal_clusters(rows, self.n_clusters, seed=self.seed)):
            self.unequal = True
            return found
        free = kmeans.kmeans(rows, self.n_clusters, seed=self.seed, starts=10)
        if self.marginal == "learned":
            return free
        equal = kmeans.balanced_kmeans(rows, self.n_clusters, seed=self.seed, starts=10)
        if kmeans.inertia(rows, equal) <= (1 + _MOST_INERTIA) * kmeans.inertia(rows, free):
            return equal
        self.unequal = True  # else the entropy term would draw these clusters to the sizes that were just refused
        return free

    def _keep(self, outputs: Outputs) -> bool:
        """Keeps the epoch, or restores the best state so far; True if the epoch was kept."""
        score = self._score(outputs)
        if self.best and score < self.best_score - self.tolerance:
            super().load_state(self.best)
            self.rollbacks += 1
            return False
        if not self.best:
            self.start_score = score
        else:
            self.kept += 1
        if not self.best or score > self.best_score:
            self.best, self.best_score = super().state(), score
        return True

    def _score(self, outputs: Outputs) -> float:
        """The label-free score; -1 if a cluster has no sample."""
        probabilities = _probabilities(outputs)
        sizes = metrics.cluster_sizes(probabilities.argmax(dim=1).numpy(), self.n_clusters)
        return mutual_information(probabilities) if sizes.all() else -1.0

    def _label(self, outputs: Outputs) -> None:
        """Labels the surest samples of every class; the labelled share of a class is its mean confidence."""
        confidence, assigned = _probabilities(outputs).max(dim=1)
        labels = torch.full_like(self.labels, UNLABELLED)
        counts = torch.zeros(self.n_clusters)
        sizes = torch.bincount(assigned, minlength=self.n_clusters).tolist()
        for k, members in enumerate(assigned.argsort(stable=True).split(sizes)):
            if len(members):
                count = max(1, int(confidence[members].mean() * len(members)))
                labels[members[confidence[members].topk(count).indices]] = k
                counts[k] = count
        self.labels.copy_(labels)
        self.class_weights.copy_(counts.sum() / (counts.clamp_min(1) * self.n_clusters))

    def state(self) -> dict[str, Any]:
        """The state of the base class, and the best state so far."""
        return super().state() | {"stage": {name: getattr(self, name) for name in _STAGE}}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restores a state from a checkpoint; one of an earlier version has no clusters of the input."""
        if "input_answers" not in state["modules"]:
            self.candidate = None
            state = {**state, "modules": state["modules"] | {"input_answers": self.input_answers}}
        super().load_state(state)
        vars(self).update(state["stage"])


def _probabilities(outputs: Outputs) -> Tensor:
    if outputs.probabilities is None:
        raise TypeError("this method has a head, so its outputs have probabilities")
    return outputs.probabilities
