"""What is refused or told: losses of other scales, consensus over unlike trials, words that promise too much."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.audit_claims import Claim, Draw
from benchmarks.audit_studies import PARAMETERS, Study, normal
from core.errors import UserError
from core.evaluation import metrics
from jobs import analysis
from jobs.analysis import selection
from jobs.analysis.leaderboard import leaderboard
from jobs.analysis.scores import default_mode
from jobs.results import schema

SCALED = [
    ("loss", {"method.instance_temperature": (0.5, 0.1)}),
    ("loss", {"method.cluster_temperature": (0.5, 0.1)}),
    ("loss", {"batch_size": (64, 256)}),
    ("loss", {"n_clusters": (5, 10)}),
    ("loss", {"method.entropy_weight": (1.0, 0.0)}),
    ("loss", {"method.name": ("cc", "tcl")}),
    ("loss", {"views.noise": (0.1, 0.5)}),
    ("loss", {"method.instance_dim": (16, 128)}),
    ("loss", {"method.tau": (0.5, 0.1)}),
    ("loss", {"data.name": ("digits", "stackoverflow")}),
    *((name, {"method.instance_temperature": (0.5, 0.1)}) for name in ("val_loss", "contrastive_loss")),
    *((name, {"method.instance_temperature": (0.5, 0.1)}) for name in ("objective", "normalised_loss")),
]
"""A loss, and a parameter that rescales it with two of its values."""
_TELLS = re.compile(r"rescale|scale of|no direction|declare|cannot be compared|not known|unknown", re.IGNORECASE)


def ranked_in_silence(rng: Draw, _: int) -> Iterator[float]:
    """The number of `SCALED` that are ranked without a word on it, and of imported losses without a temperature."""
    silent = 0
    for name, varied in [*SCALED, ("loss", {"import": ("", "")})]:
        rows = []
        for level in (0, 1):
            also = {key: values[level] for key, values in varied.items()}
            imported = also.pop("import", None) is not None
            made = Study(rng.random((1, 3)) + level, name, also=also, data=also.get("data.name", "d")).attempts("s")
            for one in made:
                one.config_key, one.trial_key = f"{level}", f"{level}-{one.seed}"
                one.params[PARAMETERS[0]] = float(level)
                if imported:
                    one.source, one.params = "import", {PARAMETERS[0]: float(level)}
                rows.append(one)
        silent += _is_silent(schema.to_table(rows), name)
    yield silent


def _is_silent(table: pa.Table, name: str) -> bool:
    """Whether it is ranked without a word, by the metric's own direction or by one that is given."""
    return _is_ranked(table, name, lambda: default_mode(name)) or _is_ranked(table, name, lambda: "min")


def _is_ranked(table: pa.Table, name: str, mode: Callable[[], str]) -> bool:
    try:
        board = leaderboard(table, name, mode())
    except UserError:
        return False
    return not any(map(_TELLS.search, board.notes))


CRITERIA = ("raw_silhouette", "head_kmeans_nmi", "knn_consistency", "mutual_information")


def consensus_over_k(rng: Draw, _: int) -> Iterator[float]:
    """Whether the consensus ranks configurations with several numbers of clusters."""
    rows: list[schema.Attempt] = []
    for clusters in (5, 10):
        signals = {name: rng.random((3, 2)) for name in CRITERIA}
        for one in Study(normal(rng, 3, 2), also={"n_clusters": clusters}, signals=signals).attempts("s"):
            one.config_key, one.trial_key = f"{clusters}{one.config_key}", f"{clusters}{one.trial_key}"
            rows.append(one)
    try:
        leaderboard(schema.to_table(rows), "consensus", "max")
    except UserError:
        yield 0.0
    else:
        yield 1.0


def consensus_over_data(rng: Draw, _: int) -> Iterator[float]:
    """How much the consensus of a data set's trials changes when those of another come in."""
    own, other = (
        Study(normal(rng, 4, 2), data=data, signals={name: rng.random((4, 2)) for name in CRITERIA}).attempts("s")
        for data in ("d", "e")
    )
    first = list(own)
    alone = selection.with_consensus(schema.to_table(first))[selection.CONSENSUS_COLUMN].to_pylist()
    both = selection.with_consensus(schema.to_table([*first, *other]))[selection.CONSENSUS_COLUMN].to_pylist()
    yield float(np.abs(np.array(alone) - np.array(both[: len(alone)])).max())


WORDS = re.compile(r"\bsurely\b|configurations like these|similar configurations", re.IGNORECASE)
PRINTING = ("analysis", "present", "commands", "planning", "report", "charts")


def bold_words(_: Draw, count: int) -> Iterator[float]:
    """The number of texts in the program that promise more than was shown."""
    files = [file for name in PRINTING for file in sorted(Path(analysis.__file__).parents[1].glob(f"{name}/*.py"))]
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    yield count * sum(bool(WORDS.search(" ".join(text.split()))) for text in texts)


def scores_of_labels(rng: Draw, _: int) -> Iterator[float]:
    """The largest difference of a score from scikit-learn's, over label sets with empty and unequal clusters."""
    from scipy.optimize import linear_sum_assignment
    from sklearn import metrics as known

    apart = []
    for _ in range(50):
        true = rng.integers(0, rng.integers(2, 9), 200)
        mixed = np.where(rng.random(200) < rng.random(), true, rng.integers(0, rng.integers(2, 12), 200))
        found = metrics.scores(mixed, true) | {"ami": metrics.ami(mixed, true)}
        table = known.cluster.contingency_matrix(mixed, true)
        rows, columns = linear_sum_assignment(table, maximize=True)
        pairs = known.cluster.pair_confusion_matrix(true, mixed)
        expected = {
            "nmi": known.normalized_mutual_info_score(true, mixed),
            "ami": known.adjusted_mutual_info_score(true, mixed),
            "ari": known.adjusted_rand_score(true, mixed),
            "fmi": known.fowlkes_mallows_score(true, mixed),
            "acc": table[rows, columns].sum() / 200,
            "purity": table.max(axis=1).sum() / 200,
            "pair_f1": 2 * pairs[1, 1] / (2 * pairs[1, 1] + pairs[0, 1] + pairs[1, 0]),
        }
        apart += [abs(found[name] - value) for name, value in expected.items()]
    yield max(apart)


def claims() -> Iterator[Claim]:
    """The claims on what is refused or told, and on the scores themselves."""
    yield Claim("losses are ranked in silence", "15 cases", 0.0, ranked_in_silence, 0)
    yield Claim("consensus ranks over numbers of clusters", "5 and 10 clusters", 0.0, consensus_over_k, 0)
    yield Claim("consensus depends on other data", "two data sets", 0.0, consensus_over_data, 0)
    yield Claim("texts that promise too much", "all strings of the program", 0.0, bold_words, 0)
    yield Claim("scores differ from scikit-learn's by", "50 pairs of labellings", 1e-12, scores_of_labels, 0)
