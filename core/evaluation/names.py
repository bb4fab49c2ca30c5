"""The names of all scores and signals that trials report, known without numpy and torch."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from core.config import plugins
from core.config.schema import did_you_mean, nearest
from core.data.dataset import PARTS
from core.errors import UserError

_AGAINST_LABELS = ("acc", "oa", "nmi", "ari", "fmi", "pair_f1", "macro_f1", "balanced_acc", "kappa", "purity")
_OF_INPUT = ("input_kmeans_acc", "input_kmeans_nmi", "input_kmeans_acc_std", "input_kmeans_nmi_std")
_OF_CANDIDATE = ("candidate_acc", "candidate_nmi")
AT_THE_END = ("ami", "kmeans_ami", *_OF_INPUT, *_OF_CANDIDATE)
"""The scores of the last epoch only. Those of a candidate are what a trial is compared with, and only some have one."""
_LABELLED = (*_AGAINST_LABELS, *(f"kmeans_{name}" for name in _AGAINST_LABELS), "ami", "kmeans_ami", *_OF_INPUT)
_OF_ASSIGNMENT = (
    *("cluster_size_min", "cluster_size_max", "clusters_empty", "imbalance_pred", "label_flips"),
    *("raw_silhouette", "knn_consistency", "silhouette", "feature_std", "label_free"),
)
_OF_HEAD = ("head_kmeans_nmi", "marginal_entropy", "assignment_entropy", "mutual_information", "confidence")
_SIGNALS_OF_TOPICS = ("topic_word_overlap", "active_topics", "topic_oov")
SIGNALS = (*_OF_ASSIGNMENT, *_OF_HEAD, *_SIGNALS_OF_TOPICS)
"""The label-free signals; their columns begin with `health.`."""
_RETRIEVAL = ("recall_at_1", "recall_at_5", "recall_at_10", "mrr")
_OF_PAIRS = ("cosine_similarity", "mse", "retrieval_accuracy", "retrieval_chance")
_HELD_OUT = ("recall_chance", *_RETRIEVAL, *(f"reverse_{name}" for name in _RETRIEVAL))

_BY_DOCUMENTS, _SLIDING = "words occur together in a document", "words occur together in a sliding window of"
TOPIC_SCORES = {
    "npmi": f"mean NPMI of the pairs of a topic's top 10 words, mean over topics; {_BY_DOCUMENTS}",
    "npmi_15": f"mean NPMI of the pairs of a topic's top 15 words, mean over topics; {_BY_DOCUMENTS}",
    "umass": f"UMass of a topic's top 10 words, mean over pairs and topics; {_BY_DOCUMENTS}",
    "c_v": f"C_V of a topic's top 10 words, mean over topics; {_SLIDING} 110 words",
    "uci": f"UCI (mean PMI) of the pairs of a topic's top 10 words, mean over topics; {_SLIDING} 10 words",
    "topic_diversity": "share of different words among the top 10 words of all topics",
    "inverted_rbo": "1 less the mean rank-biased overlap (p = .9) of two topics' top 10 words",
    "topic_word_overlap": "share of a topic's top 10 words that its most similar other topic has too, mean over topics",
    "active_topics": "share of the topics whose weight varies from document to document",
    "topic_oov": "top 10 words of all topics that do not occur in the documents in which pairs are counted",
}
"""The scores of topics and the signals on them, known without labels, each with its top words and its window."""
WINDOWED = ("c_v", "uci")
"""Those that need the order of the words."""
OF_DOCUMENTS = ("nmi", "acc", "purity")
"""The scores of held-out documents, with `validation_` or `test_` before them."""
SCORINGS = ("head", "kmeans", "pairs", "topics")
"""The kinds of scoring that a method may name in `scores`."""


@dataclass(frozen=True, slots=True)
class ScoreScale:
    """What the values of a score mean.

    Attributes:
        better: which values are better, the larger (`max`) or the smaller (`min`); empty where neither is.
        low, high: the smallest and the largest value that it can have; infinite where there is none.
    """

    better: Literal["max", "min", ""]
    low: float = -math.inf
    high: float = math.inf


_SHARE, _CHANCE_CORRECTED = ScoreScale("max", 0.0, 1.0), ScoreScale("max", -math.inf, 1.0)
# J. E. Chacon and A. I. Rastrojo, Minimum adjusted Rand index for two clusterings of a given size, Adv. Data Anal.
# Classif. 17 (2023): -1/2.
_ADJUSTED_RAND = ScoreScale("max", -0.5, 1.0)
_COSINE, _POSITIVE = ScoreScale("max", -1.0, 1.0), ScoreScale("max", 0.0)
_BAD_SHARE, _BAD_POSITIVE = ScoreScale("min", 0.0, 1.0), ScoreScale("min", 0.0)
_NEITHER = ScoreScale("", 0.0)
SCALES = {
    **dict.fromkeys(("acc", "oa", "balanced_acc", "macro_f1", "purity", "nmi", "fmi", "pair_f1", "f"), _SHARE),
    **dict.fromkeys(("homogeneity", "completeness", "v_measure"), _SHARE),
    **dict.fromkeys(("ami", "kappa"), _CHANCE_CORRECTED),
    "ari": _ADJUSTED_RAND,
    **dict.fromkeys(("input_kmeans_acc", "input_kmeans_nmi", *_OF_CANDIDATE), _SHARE),
    **dict.fromkeys(("input_kmeans_acc_std", "input_kmeans_nmi_std"), _NEITHER),
    **dict.fromkeys(("raw_silhouette", "silhouette"), _COSINE),
    **dict.fromkeys(("knn_consistency", "head_kmeans_nmi", "mutual_information", "confidence"), _SHARE),
    **dict.fromkeys(("label_free", "stability", "consensus"), _SHARE),
    **dict.fromkeys(("marginal_entropy", "feature_std", "calinski_harabasz"), _POSITIVE),
    **dict.fromkeys(("assignment_entropy", "clusters_empty", "davies_bouldin", "perplexity"), _BAD_POSITIVE),
    "imbalance_pred": ScoreScale("min", 1.0),
    "label_flips": _BAD_SHARE,
    **dict.fromkeys(("cluster_size_min", "cluster_size_max"), _NEITHER),
    **dict.fromkeys(("recall_at_1", "recall_at_5", "recall_at_10", "mrr", "retrieval_accuracy"), _SHARE),
    **dict.fromkeys((f"reverse_{name}" for name in _RETRIEVAL), _SHARE),
    **dict.fromkeys(("recall_chance", "retrieval_chance"), ScoreScale("", 0.0, 1.0)),
    "cosine_similarity": _COSINE,
    **dict.fromkeys(("mse", "seconds"), _BAD_POSITIVE),
    **dict.fromkeys(("npmi", "npmi_15", "c_v"), _COSINE),
    **dict.fromkeys(("umass", "uci"), ScoreScale("max")),
    **dict.fromkeys(("topic_diversity", "inverted_rbo", "active_topics"), _SHARE),
    "topic_word_overlap": _BAD_SHARE,
    "topic_oov": _BAD_POSITIVE,
}
"""The scale of each score and signal by its own name, without `kmeans_` or a part of the data before it.

Whatever is not here, nor declared by a method (`directions`), has no direction: nobody knows which values are better.
"""


def without_prefix(metric: str) -> str:
    """A metric's name without the column's prefix: `kmeans_nmi` for `best.kmeans_nmi`."""
    return metric.rsplit(".", 1)[-1]


def bare(metric: str) -> str:
    """The metric's own name: `nmi` for `best.nmi`, `kmeans_nmi` and `test_nmi`, `mse` for `validation_mse`."""
    name = without_prefix(metric).removeprefix("kmeans_")
    part, _, rest = name.partition("_")
    return rest if part in PARTS else name


def scale(metric: str) -> ScoreScale | None:
    """The scale of a score of conclus; None where it has none in `SCALES`."""
    return SCALES.get(without_prefix(metric)) or SCALES.get(bare(metric))


def is_loss_share(metric: str) -> bool:
    """Whether the metric is a loss divided by its value for chance, such as `loss_share`."""
    name = without_prefix(metric)
    return name.startswith("loss_") and name.endswith("share")


def is_own_loss(metric: str) -> bool:
    """Whether the name is one that conclus or a method's `step` gives a loss: `loss_<part>`, `validation_loss`."""
    name = without_prefix(metric)
    return name == "loss" or name.startswith("loss_") or name in {f"{part}_loss" for part in PARTS}


def direction(metric: str, methods: Iterable[str] = ()) -> Literal["max", "min", ""]:
    """`max` or `min`, whichever is declared as better for the metric; empty where nothing is declared.

    `SCALES` declares it of the scores of conclus, and a method of its own ones (`directions` in its class body).

    Args:
        metric: its name, such as `nmi` or `metric.best.kmeans_acc`.
        methods: names or paths of methods that may report it; those of conclus are asked, too.
    """
    if is_loss_share(metric) or is_own_loss(metric):
        return "min"
    if found := scale(metric):
        return found.better
    name = without_prefix(metric)
    for one in dict.fromkeys((*methods, *plugins.names("methods"))):
        if better := declared_directions(one).get(name):
            return better
    return ""


def declared_directions(method: str) -> Mapping[str, Literal["max", "min"]]:
    """What a method declares of its own scores and signals, read without importing it; empty where it cannot be read.

    Raises:
        UserError: it is not a mapping of names to `max` or `min`.
    """
    try:
        found = plugins.constant("methods", method, "directions", default=None) or {}
    except UserError:
        return {}
    if not isinstance(found, dict) or not {"max", "min"}.issuperset(map(str, found.values())):
        raise UserError(f"{plugins.source('methods', method)}: 'directions' must give each name max or min")
    return found


def undeclared(metric: str) -> str:
    """The sentence on a metric without a direction; what is nearly its name is suggested."""
    known = [*SCALES, "loss", *(name for name in _LABELLED if name not in SCALES)]
    near = "" if scale(metric) else did_you_mean(without_prefix(metric), known)
    return f"nothing declares whether larger or smaller values of {metric!r} are better{near}"


def reported(
    scores: str | Iterable[str], *, labelled: Collection[str], parts: Collection[str], ordered: bool
) -> set[str]:
    """The names of all scores and signals that a scoring reports during a trial.

    Args:
        scores: as a method declares it, see `core.training.method.Method`.
        labelled: the parts in `core.data.dataset.PARTS` whose samples have labels.
        parts: those that hold samples.
        ordered: whether the order of words is known in the documents in which topics are scored.
    """
    if scores == "pairs":
        return {name for part in parts for name in _of_part(part)}
    if scores in {"head", "kmeans", "topics"}:
        own = {*_OF_ASSIGNMENT, *(() if scores == "kmeans" else _OF_HEAD), *(_LABELLED if "train" in labelled else ())}
        return own | (_of_topics(labelled, ordered=ordered) if scores == "topics" else set())
    return set(scores)


def _of_topics(labelled: Collection[str], *, ordered: bool) -> set[str]:
    held_out = {f"{part}_{name}" for part in labelled if part != "train" for name in OF_DOCUMENTS}
    return held_out | (set(TOPIC_SCORES) - (set() if ordered else {*WINDOWED}))


def _of_part(part: str) -> list[str]:
    prefix = "" if part == "validation" else f"{part}_"
    scored = (*_OF_PAIRS, *(() if part == "train" else _HELD_OUT))
    return [f"{part}_loss", *(f"{prefix}{name}" for name in scored)]


PREFIXED = ("best", "mean5", "health", "metric")
"""What may stand before the name of a metric, with a dot."""


def refuse_unreported(place: str, metric: str, names: Iterable[str], of: str = "the trial's scores") -> None:
    """Checks that the metric at a place of the study file is one of these names.

    Raises:
        UserError: it is not; the message suggests the nearest name, and lists some.
    """
    known = sorted(names)
    if metric not in known:
        prefix, _, name = metric.rpartition(".")
        near = "; did you mean 'npmi'?" if name == "coherence" and "npmi" in known else did_you_mean(name, known)
        if prefix in PREFIXED and name not in known:
            near = near.replace("'", f"'{prefix}.", 1)
        if name in WINDOWED and "npmi" in known:
            near = ": it needs the order of the words, which the documents do not tell."
        raise UserError(f"{place}: {metric!r} is none of {of}{near or '.'} They are {nearest(name, known)}")
