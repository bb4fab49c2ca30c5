"""Scores a method on its whole data set: the head's assignment, and k-means on its features.

Some label-free signals in `Scores.health` use only the model's own features or probabilities (`silhouette`,
`feature_std`, `confidence`, `assignment_entropy`). They compare the epochs of one model, but not different models,
since each model has its own feature space. `raw_silhouette` and `knn_consistency` measure in the input space, which all
models of a data set share. Models without labels are ranked by these two, `head_kmeans_nmi` and `mutual_information`
(see `core.evaluation.label_free`).
"""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.data.dataset import UNLABELLED
from core.data.source import Samples, SampleSource, sparse_rows
from core.evaluation import kmeans, metrics
from core.evaluation.assignment import assigned, centres_of
from core.evaluation.components import vectors
from core.evaluation.label_free import Subsample, feature_criteria, label_free
from core.evaluation.outputs import EvaluatedModel, Outputs, Previous, Scores

# Samples per forward pass: few enough that a convolution's output stays in the cache; 8,192 take 1.7 times as long.
CHUNK = 256
# Runs of k-means on the input, with whose mean a trial is compared.
_RUNS = 5
# Rows of assignments that are doubles at once.
_ROWS = 1 << 14


def evaluate(
    method: EvaluatedModel,
    samples: Samples,
    labels: NDArray[np.int64] | None,
    *,
    n_clusters: int,
    seed: int,
    previous: Previous | None,
    last: bool,
    subsample: Subsample | None = None,
    outputs: Outputs | None = None,
) -> Scores:
    """Assigns and scores all samples (n, *sample_shape) in evaluation mode, without views.

    Samples without a label (`UNLABELLED`) are left out of the scores against labels.

    K-means starts from the centroids of the last evaluation. In the last epoch it uses ten new starts instead, so that
    the final score does not depend on earlier epochs. `subsample` and `outputs` (from `predict`) are those of the
    samples; they are computed if they are not given.
    """
    subsample = subsample or Subsample.of(
        samples.stored if isinstance(samples, SampleSource) else samples.cpu().numpy()
    )
    outputs = outputs or predict(method, samples)
    features = kmeans.unit_rows(outputs.features.numpy())
    begin = None if last or previous is None else previous.centroids
    by_kmeans = kmeans.kmeans(features, n_clusters, seed=seed, starts=10 if last else 1, centroids=begin)
    # A method without a head is assigned by k-means.
    head, centres, probabilities = by_kmeans.labels, by_kmeans.centroids, None
    if outputs.probabilities is not None:
        head, probabilities = outputs.probabilities.argmax(dim=1).numpy(), outputs.probabilities.numpy()
        centres = centres_of(features, head, n_clusters)
    sizes = metrics.cluster_sizes(head, n_clusters)
    health = _size_health(sizes) | _flips(head, previous)
    health |= signals(subsample, features, head, by_kmeans.labels, outputs.probabilities)
    found: dict[str, float] = {}
    if labels is not None and (labels != UNLABELLED).any():
        found = _label_scores(head, by_kmeans.labels, labels, last=last)
        if last:
            found |= _input_scores(samples, labels, n_clusters=n_clusters, seed=seed)
            if (before := method.input_clusters(samples)) is not None:
                found |= _of_candidate(before, labels)
    probe_labels = np.unique(head[subsample.rows], return_inverse=True)[1]
    assignment = assigned(features, head, centres, probabilities)
    return Scores(found, health, sizes, Previous(head, by_kmeans.centroids, centres), probe_labels, assignment)


def signals(
    subsample: Subsample,
    features: kmeans.Matrix,
    head: NDArray[np.int64],
    by_kmeans: NDArray[np.int64],
    probabilities: Tensor | None,
) -> dict[str, float]:
    """Label-free signals of clusters, and their mean as `label_free`; see `core.evaluation.label_free`.

    Args:
        subsample: of the samples.
        features: of all samples, of length 1, (n, dim).
        head: the clusters, (n,).
        by_kmeans: the clusters of k-means on the features, (n,).
        probabilities: of the clusters, (n, K); None without a head.
    """
    found = _criteria(subsample, features, head)
    if probabilities is not None:
        found |= _agreement(head, by_kmeans) | _entropies(probabilities)
    overall = label_free(found)
    return found if overall is None else found | {"label_free": overall}


def predict(method: EvaluatedModel, samples: Samples) -> Outputs:
    """The method's outputs for all samples, in chunks, on the CPU, float32.

    They are copied into arrays for all: small ones that stay between the large ones of each chunk would keep the
    allocator from giving those back (3.5 GB instead of .6 for 200,000 sparse rows of 20,000 numbers).
    """
    features: Tensor | None = None
    probabilities: Tensor | None = None
    place = 0
    given = sparse_rows(samples) if getattr(method, "sparse", False) else samples
    with evaluation_mode(method):
        for chunk in given.split(CHUNK):
            found = method.outputs(chunk)
            rows = slice(place, place + len(chunk))
            features = _filled(features, rows, found.features, len(samples))
            if found.probabilities is not None:
                probabilities = _filled(probabilities, rows, found.probabilities, len(samples))
            place = rows.stop
    if features is None:
        raise ValueError("there are no samples")
    return Outputs(features, probabilities)


def _filled(whole: Tensor | None, rows: slice, part: Tensor, n: int) -> Tensor:
    """The array for all n samples, made for the first of them, with these rows of it filled."""
    if whole is None:
        with torch.inference_mode(mode=False):  # a method may train with it
            whole = torch.empty(n, *part.shape[1:], dtype=torch.float32)
    whole[rows] = part.to("cpu", torch.float32)
    return whole


@contextmanager
def evaluation_mode(method: EvaluatedModel) -> Generator[None]:
    """Turns on evaluation mode without gradients for a with-block, and restores the former mode."""
    before = method.training
    method.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        method.train(before)


def _label_scores(
    head: NDArray[np.int64], by_kmeans: NDArray[np.int64], labels: NDArray[np.int64], *, last: bool
) -> dict[str, float]:
    known = labels != UNLABELLED
    head, by_kmeans, labels = head[known], by_kmeans[known], labels[known]
    found = metrics.scores(head, labels)
    found |= {f"kmeans_{name}": value for name, value in metrics.scores(by_kmeans, labels).items()}
    if last:
        found |= {"ami": metrics.ami(head, labels), "kmeans_ami": metrics.ami(by_kmeans, labels)}
    return found


def _input_scores(samples: Samples, labels: NDArray[np.int64], *, n_clusters: int, seed: int) -> dict[str, float]:
    """Scores of k-means on the input itself: a method with lower scores has learned nothing useful.

    They are the means of five runs, each from one start, with their standard deviations (`_std`): a single run is luck.
    With more than 20,000 samples each finds its centroids as the starts of `core.evaluation.kmeans.kmeans` do, among
    that many. Samples in stored form that are too many numbers are reduced first, see `core.evaluation.components`.
    """
    rows = kmeans.unit_rows(vectors(samples).cpu().numpy())
    known = labels != UNLABELLED
    runs = [metrics.scores(found[known], labels[known]) for found in kmeans.runs(rows, n_clusters, _RUNS, seed=seed)]
    told: dict[str, float] = {}
    for name in ("acc", "nmi"):
        values = [run[name] for run in runs]
        told[f"input_kmeans_{name}"] = float(np.mean(values))
        told[f"input_kmeans_{name}_std"] = float(np.std(values, ddof=1))
    return told


def _of_candidate(clusters: NDArray[np.int64], labels: NDArray[np.int64]) -> dict[str, float]:
    """Scores of the clusters that the method found in the input itself."""
    known = labels != UNLABELLED
    found = metrics.scores(clusters[known], labels[known])
    return {"candidate_acc": found["acc"], "candidate_nmi": found["nmi"]}


def _size_health(sizes: NDArray[np.int64]) -> dict[str, float]:
    smallest, largest = int(sizes.min()), int(sizes.max())
    return {
        "cluster_size_min": float(smallest),
        "cluster_size_max": float(largest),
        "clusters_empty": float((sizes == 0).sum()),
        "imbalance_pred": largest / max(smallest, 1),
    }


def _criteria(subsample: Subsample, features: kmeans.Matrix, head: NDArray[np.int64]) -> dict[str, float]:
    """Criteria of the assignment on the subsample, in the input space and in the unit-length features (n, dim)."""
    labels = head[subsample.rows]
    return subsample.criteria(labels) | feature_criteria(features[subsample.rows], labels)


def _agreement(head: NDArray[np.int64], by_kmeans: NDArray[np.int64]) -> dict[str, float]:
    """The agreement of the head with k-means, as NMI."""
    return {"head_kmeans_nmi": metrics.nmi(metrics.contingency(head, by_kmeans))}


def _flips(head: NDArray[np.int64], previous: Previous | None) -> dict[str, float]:
    """The share of samples whose label changed since the last evaluation; empty at the first one."""
    return {} if previous is None else {"label_flips": float((head != previous.labels).mean())}


def _entropies(probabilities: Tensor) -> dict[str, float]:
    marginal, assignment = entropies(probabilities)
    return {
        "marginal_entropy": marginal,
        "assignment_entropy": assignment,
        "mutual_information": marginal - assignment,
        "confidence": float(probabilities.max(dim=1).values.double().mean()),
    }


def entropies(probabilities: Tensor) -> tuple[float, float]:
    """The entropy of the mean row of assignments (n, K), and the mean entropy of the rows, both as shares of log K."""
    n, k = probabilities.shape
    scale = math.log(k) or 1.0
    # As doubles, and their entropies, all rows would take four times the memory.
    sums, entropy = torch.zeros(k, dtype=torch.float64, device=probabilities.device), 0.0
    for block in probabilities.split(_ROWS):
        p = block.double()
        sums += p.sum(dim=0)
        entropy += float(torch.special.entr(p).sum())
    return float(torch.special.entr(sums / n).sum()) / scale, entropy / n / scale


def mutual_information(probabilities: Tensor) -> float:
    """An estimate of the mutual information of samples and assignments (n, K), as a share of log K.

    It is 1 if all assignments are certain and all clusters have the same size.
    """
    marginal, assignment = entropies(probabilities)
    return marginal - assignment
