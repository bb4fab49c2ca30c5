"""Signals on the state of a training, after each epoch, on a fixed probe of the data.

The probe is at most 2,048 samples, and up to 64 of them, the pairs, are also measured in two views. Which they are
depends on the number of samples alone, and the two views are the same in every epoch: differences between epochs are
those of the model. Nothing is drawn from the trial's random streams.

The cost is kept below 5 % of the training by the sizes, which depend on the number of samples and the batch size and
never on the clock; see `benchmarks/health.py`. Where an epoch is short, not every one is measured (`every`).

References: Wang and Isola, "Understanding Contrastive Representation Learning through Alignment and Uniformity on the
Hypersphere" (ICML 2020); Garrido et al., "RankMe" (ICML 2023).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from core.data.dataset import UNLABELLED
from core.data.source import Samples
from core.evaluation import metrics
from core.evaluation.clustering import CHUNK, entropies, evaluation_mode
from core.evaluation.outputs import EvaluatedModel, Outputs
from core.evaluation.scoring import ScoredTrial
from core.seeds import derive

OF_LABELS = ("classes", "smallest_class", "imbalance_true")
"""The signals that only data with labels has; they tell of the data, and nothing is trained or chosen by them."""
SIGNALS = (
    *("duplicates", *OF_LABELS, "effective_rank", "uniformity", "alignment", "infonce_accuracy", "infonce_chance"),
    *("view_agreement", "gradient_norm_mean", "gradient_norm_max", "skipped_steps", "neighbour_recall"),
    *(f"probe_{name}" for name in ("cluster_size_min", "cluster_size_max", "clusters_empty", "label_flips")),
    *(f"probe_{name}" for name in ("marginal_entropy", "assignment_entropy", "confidence", "feature_std")),
)
"""All signals of the monitor and of the steps; which of them a trial has depends on its method."""
PAIRS = 64
"""The samples of the probe that are measured in two views."""
_LEAST, _MOST, _PART = 128, 2048, 16
"""The probe is a sixteenth of the samples within these bounds."""
_STEPS, _TRAINED = 8, 1000
"""The steps of training from one measurement to the next, and the samples in them, at least."""
_HELD = 1 << 23
"""The numbers of the probe and its views that are kept from epoch to epoch; more of them are read and drawn again."""
_COMPARED, _NUMBERS = 20_000, 1 << 24
"""The samples among which duplicates are counted: so many, or so many numbers, but a thousand samples at least."""
_ROUNDING = 1e-6
"""Cosines that differ by less count as equal."""


class MonitoredModel(EvaluatedModel, Protocol):
    """The interface of a method that the monitor uses; see `core.training.method.Method`."""

    def probe_views(self, samples: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor | None:
        """A view of each sample, or None."""
        ...


def every(n_samples: int, batch_size: int) -> int:
    """The epochs from one measurement to the next."""
    return max(math.ceil(_STEPS / math.ceil(n_samples / batch_size)), math.ceil(_TRAINED / n_samples))


class Monitor:
    """Measures the signals of a trial's epochs.

    All are of the probe, in evaluation mode. Those that scored epochs have of all samples begin with `probe_` here.

    - `probe_cluster_size_min`, `_max`, `probe_clusters_empty`: counts of the assigned clusters.
    - `probe_marginal_entropy`, `probe_assignment_entropy` (shares of log K), `probe_confidence`: of the probabilities.
    - `probe_label_flips`: the share of samples whose cluster changed since the last measurement, after the best
      matching of the two.
    - `probe_feature_std`: the mean standard deviation of the unit features' dimensions times the root of dim.
    - `effective_rank`: RankMe, the exponential of the entropy of the features' singular values (as shares of their
      sum), of the pairs; at most 64.
    - `uniformity`: log of the mean of exp(-2 d^2) over pairs of unit features; 0 if all are one point, -4 at best.
    - `alignment`: the mean squared distance of a sample's two views, as unit features.
    - `infonce_accuracy`: the share of views whose nearest other view, by cosine, is that of the same sample;
      `infonce_chance`: its value by chance.
    - `view_agreement`: the share of samples whose two views are assigned to one cluster.

    The first epoch also has what is known of the data: `duplicates`, the share of samples (of at most 20,000) that
    equal another one; and, with labels, `classes`, `smallest_class` (samples) and `imbalance_true`.
    """

    def __init__(self, trial: ScoredTrial) -> None:
        self._samples, self._n_clusters = trial.samples, trial.n_clusters
        n, device = len(trial.samples), trial.samples.device
        order = np.random.default_rng(0).permutation(n)
        self._rows = torch.from_numpy(order[: min(n, _MOST, max(_LEAST, n // _PART))]).to(device)
        compared = min(_COMPARED, max(1000, _NUMBERS // trial.samples.shape[1:].numel()))
        self._compared = torch.from_numpy(order[:compared]).to(device)
        self._labels = trial.data.part("train").labels
        self._seed = derive(trial.seed, "monitor")
        self._drawn: Tensor | None = None
        self._whole: Tensor | None = None
        self._previous: NDArray[np.int64] | None = None
        self._every = every(n, trial.batch_size)

    def __call__(self, method: MonitoredModel, epoch: int, outputs: Outputs | None) -> dict[str, float]:
        """The signals after an epoch; empty if it is not measured.

        Args:
            method: the method after the epoch.
            epoch: its number, from 1.
            outputs: the method's outputs for all samples, if they are known.
        """
        if (epoch - 1) % self._every:
            return {}
        of_data = self._of_data() if epoch == 1 else {}
        return of_data | self._of_model(method, outputs)

    def state(self) -> Tensor | None:
        """The probe's clusters at the last measurement, for a checkpoint."""
        return None if self._previous is None else torch.from_numpy(self._previous)

    def load_state(self, state: Tensor | None) -> None:
        """Restores a state from `state`."""
        self._previous = None if state is None else state.cpu().numpy()

    def _of_data(self) -> dict[str, float]:
        found = {"duplicates": _duplicates(self._samples, self._compared)}
        if self._labels is None or not (known := self._labels[self._labels != UNLABELLED]).size:
            return found
        sizes = np.bincount(known)
        sizes = sizes[sizes > 0]
        found |= {"classes": float(len(sizes)), "smallest_class": float(sizes.min())}
        return found | {"imbalance_true": float(sizes.max() / sizes.min())}

    def _of_model(self, method: MonitoredModel, known: Outputs | None) -> dict[str, float]:
        views = self._views(method)
        with evaluation_mode(method):
            made = [method.outputs(part) for part in self._parts(views, views_only=known is not None)]
        features = [one.features.to("cpu", torch.float32) for one in made]
        probabilities = [one.probabilities.to("cpu", torch.float32) for one in made if one.probabilities is not None]
        if known is not None:
            rows = self._rows.cpu()
            features.append(known.features[rows])
            probabilities += [] if known.probabilities is None else [known.probabilities[rows]]
        drawn = len(views)
        h = functional.normalize(torch.cat(features), dim=1)
        found = _of_features(h[drawn:])
        if drawn:
            found |= _of_views(h[:drawn])
        if probabilities:
            p = torch.cat(probabilities)
            found |= _of_probabilities(p[drawn:])
            found |= self._of_clusters(p[drawn:].argmax(dim=1).numpy())
            if drawn:
                first, second = p[:drawn].argmax(dim=1).chunk(2)
                found["view_agreement"] = float((first == second).double().mean())
        return found

    def _views(self, method: MonitoredModel) -> Tensor:
        """The first views of the pairs, then the second ones, (2m, *sample_shape); none if the method has no views."""
        if self._drawn is not None:
            return self._drawn
        rows, device = self._rows[:PAIRS], self._samples.device
        generator = torch.Generator(device).manual_seed(self._seed)
        samples = self._samples[rows]
        # Views of a user's own file may draw from the global generators.
        with torch.no_grad(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            pair = [method.probe_views(samples, rows, generator) for _ in range(2 if len(rows) > 1 else 0)]
        drawn = torch.cat([samples[:0], *(one for one in pair if one is not None)])
        if drawn.numel() <= _HELD:
            self._drawn = drawn
        return drawn

    def _parts(self, views: Tensor, *, views_only: bool) -> Iterable[Tensor]:
        """The views and, unless they alone are asked for, the samples of the probe, in chunks."""
        if views_only:
            return views.split(CHUNK) if len(views) else []
        if self._whole is None:
            chunks = (self._samples[rows] for rows in self._rows.split(CHUNK))
            if len(self._rows) * self._samples.shape[1:].numel() + views.numel() > _HELD:
                return itertools.chain([views] if len(views) else [], chunks)
            self._whole = torch.cat([views, *chunks])
        return self._whole.split(CHUNK)

    def _of_clusters(self, labels: NDArray[np.int64]) -> dict[str, float]:
        sizes = metrics.cluster_sizes(labels, self._n_clusters)
        found = {
            "probe_cluster_size_min": float(sizes.min()),
            "probe_cluster_size_max": float(sizes.max()),
            "probe_clusters_empty": float((sizes == 0).sum()),
        }
        if self._previous is not None:
            found["probe_label_flips"] = label_flips(labels, self._previous)
        self._previous = labels
        return found


def label_flips(labels: NDArray[np.int64], previous: NDArray[np.int64]) -> float:
    """The share of samples (n,) whose cluster changed, after the best one-to-one matching of the clusters."""
    if np.array_equal(labels, previous):
        return 0.0
    table = metrics.contingency(labels, previous)
    # No matching is better than one with every cluster's largest count, and scipy is not imported for it.
    kept = np.trace(table)
    return 1.0 - float(kept if kept == table.max(axis=1).sum() else np.trace(metrics.match(table))) / len(labels)


def effective_rank(features: Tensor) -> float:
    """RankMe of features (n, dim): exp of the entropy of their singular values as shares of the sum; 1 to min(n, dim).

    It is 1 if all features are 0, as if they are one other point; NaN if one is not finite. The squares of the singular
    values are the eigenvalues of the smaller one of the two Gram matrices.
    """
    features = features.double()  # Rounding of the squares in single precision would look like more dimensions.
    gram = features @ features.T if len(features) <= features.shape[1] else features.T @ features
    if not torch.isfinite(gram).all():
        return math.nan
    values = torch.linalg.eigvalsh(gram).clamp_min(0).sqrt()
    total = values.sum()
    return float(torch.special.entr(values / total).sum().exp()) if total > 0 else 1.0


def alignment(first: Tensor, second: Tensor) -> float:
    """The mean squared distance of the two views of each sample, as unit features (n, dim) each; 0 to 4."""
    return float((first - second).square().sum(dim=1).mean())


def uniformity(features: Tensor) -> float:
    """Log of the mean over pairs of exp(-2 d^2), of unit features (n, dim), n > 1; -4 to 0, lower is more uniform."""
    cosines = features @ features.T
    above = cosines[torch.ones_like(cosines, dtype=torch.bool).triu(1)]
    return float((4 * above - 4).exp().mean().log())


def infonce_accuracy(first: Tensor, second: Tensor) -> float:
    """The share of views whose nearest among the 2n - 1 other views is the other one of the same sample.

    Others that are as near rank before it, so equal features have the value 0.

    Args:
        first: unit features (n, dim) of one view of each sample.
        second: of the other view.
    """
    own = (first * second).sum(dim=1).repeat(2)
    both = torch.cat([first, second])
    cosines = both @ both.T
    n = len(first)
    cosines.fill_diagonal_(-2)
    cosines.diagonal(n).fill_(-2)
    cosines.diagonal(-n).fill_(-2)
    return float((cosines.amax(dim=1) < own - _ROUNDING).double().mean())


def _of_features(h: Tensor) -> dict[str, float]:
    pairs = h[:PAIRS]
    found = {
        "probe_feature_std": float(h.std(dim=0, correction=0).mean()) * h.shape[1] ** 0.5,
        "effective_rank": effective_rank(pairs),
    }
    return found if len(pairs) < 2 else found | {"uniformity": uniformity(pairs)}


def _of_views(h: Tensor) -> dict[str, float]:
    first, second = h.chunk(2)
    return {
        "alignment": alignment(first, second),
        "infonce_accuracy": infonce_accuracy(first, second),
        "infonce_chance": 1 / (len(h) - 1),
    }


def _of_probabilities(p: Tensor) -> dict[str, float]:
    marginal, assignment = entropies(p)
    return {
        "probe_marginal_entropy": marginal,
        "probe_assignment_entropy": assignment,
        "probe_confidence": float(p.max(dim=1).values.mean()),
    }


def _duplicates(samples: Samples, rows: Tensor) -> float:
    """The share of these samples that equal another one of them, bit for bit; a sum of its bits stands for each."""
    size = samples.shape[1:].numel()
    factors = torch.from_numpy(np.random.default_rng(0).integers(1, 2**31, size)).to(samples.device)
    sums = [
        (samples[part].float().flatten(1).contiguous().view(torch.int32) * factors).sum(dim=1)
        for part in rows.split(CHUNK)
    ]
    counts = torch.cat(sums).unique(return_counts=True)[1]
    return float(counts[counts > 1].sum()) / len(rows)
