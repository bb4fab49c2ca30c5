"""The names of all scores and signals that trials report, known without numpy and torch."""

from __future__ import annotations

from collections.abc import Iterable

from core.config.schema import did_you_mean
from core.errors import UserError

_AGAINST_LABELS = ("acc", "oa", "nmi", "ari", "fmi", "pair_f1", "macro_f1", "balanced_acc", "kappa", "purity")
AT_THE_END = ("ami", "kmeans_ami", "input_kmeans_acc", "input_kmeans_nmi")
"""The scores of the last epoch only."""
_LABELLED = (*_AGAINST_LABELS, *(f"kmeans_{name}" for name in _AGAINST_LABELS), *AT_THE_END)
_OF_ASSIGNMENT = (
    *("cluster_size_min", "cluster_size_max", "clusters_empty", "imbalance_pred", "label_flips"),
    *("raw_silhouette", "knn_consistency", "silhouette", "feature_std", "label_free"),
)
_OF_HEAD = ("head_kmeans_nmi", "marginal_entropy", "assignment_entropy", "mutual_information", "confidence")
SIGNALS = (*_OF_ASSIGNMENT, *_OF_HEAD)
"""The label-free signals; their columns begin with `health.`."""
_RETRIEVAL = ("recall_at_1", "recall_at_5", "recall_at_10", "mrr")
_OF_PAIRS = ("cosine_similarity", "mse", "retrieval_accuracy", "retrieval_chance")
_HELD_OUT = ("recall_chance", *_RETRIEVAL, *(f"reverse_{name}" for name in _RETRIEVAL))


OF_TOPICS = ("npmi", "topic_diversity")
"""The scores of topics, known without labels."""
SCORINGS = ("head", "kmeans", "pairs", "topics")
"""The kinds of scoring that a method may name in `scores`."""


def reported(scores: str | Iterable[str], *, labelled: bool, parts: Iterable[str]) -> set[str]:
    """The names of all scores and signals that a scoring reports during a trial.

    Args:
        scores: as a method declares it, see `core.training.method.Method`.
        labelled: whether training samples have labels.
        parts: the parts in `core.data.dataset.PARTS` that hold samples.
    """
    if scores == "pairs":
        return {name for part in parts for name in _of_part(part)}
    if scores in {"head", "kmeans", "topics"}:
        own = (*(() if scores == "kmeans" else _OF_HEAD), *(OF_TOPICS if scores == "topics" else ()))
        return {*_OF_ASSIGNMENT, *own, *(_LABELLED if labelled else ())}
    return set(scores)


def _of_part(part: str) -> list[str]:
    prefix = "" if part == "validation" else f"{part}_"
    scored = (*_OF_PAIRS, *(() if part == "train" else _HELD_OUT))
    return [f"{part}_loss", *(f"{prefix}{name}" for name in scored)]


def refuse_unreported(place: str, metric: str, names: Iterable[str], of: str = "the trial's scores") -> None:
    """Checks that the metric at a place of the study file is one of these names.

    Raises:
        UserError: it is not; the message lists all names, and suggests the nearest.
    """
    known = sorted(names)
    if metric not in known:
        near = did_you_mean(metric.rpartition(".")[2], known)
        raise UserError(f"{place}: {metric!r} is none of {of}{near or '.'} They are {', '.join(known)}")
