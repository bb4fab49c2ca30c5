"""What a page or a section on the clusters of one trial shows, gathered once; drawing is done elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from core.data.dataset import UNLABELLED
from core.data.stored import dense
from core.errors import UserError
from jobs.analysis import clusters as numbers
from jobs.analysis import selection
from jobs.analysis.intervals import fixed
from jobs.analysis.scores import NO_FAIR_SCORE, across_numbers, metric_column, metric_name, numbers_of_clusters
from jobs.models import assignments
from jobs.report import cluster_data
from jobs.report.cluster_data import TrialClusters
from jobs.results.layout import folders_of, study_name
from jobs.results.names import PARAM
from jobs.results.reader import column_cells, take

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from core.data.dataset import Dataset
    from jobs.analysis.clusters import Confusion, FeatureDifference, Map

_NAME = 60
"""The most characters of the name of a class or a feature."""
_N_CLUSTERS = f"{PARAM}n_clusters"
COLUMNS = ("study", "trial_key", "attempt_id", "cluster_sizes", "data_hash", "params_json")
"""The columns that `of_best` reads, besides those of `jobs.analysis.selection` and the metric."""
_NO_CLUSTERS = (
    "No trial's clusters are stored: these ran before conclus kept them, or with `select: {save_assignments: false}`. "
    "A new run keeps those of the best trial."
)


@dataclass(frozen=True, slots=True)
class ShownAtMost:
    """How much is shown.

    Attributes:
        clusters: The most clusters that are shown one by one, the largest ones.
        nearest: Images of a cluster nearest to its centre.
        unsure: Images that are the least sure.
        texts: Texts of a cluster nearest to its centre, and as many that are the least sure.
        terms: Terms or features of a cluster.
        points: Samples on the map.
        umap: Whether the map may be made by UMAP, which takes seconds.
    """

    clusters: int
    nearest: int
    unsure: int
    texts: int
    terms: int
    points: int
    umap: bool


PAGE = ShownAtMost(clusters=30, nearest=16, unsure=8, texts=5, terms=8, points=2000, umap=True)
SECTION = ShownAtMost(clusters=12, nearest=8, unsure=8, texts=2, terms=5, points=800, umap=False)


@dataclass(frozen=True, eq=False)
class ClusterContents:
    """What is shown of the clusters of one trial.

    Attributes:
        clusters: The trial's clusters and samples.
        why: A sentence on the trial and what it was chosen by.
        bounds: How much is shown.
        sizes: Samples by cluster; 0 for an empty one.
        shown: The clusters that are shown one by one, in ascending order.
        nearest: For each of those the samples nearest to the centre, as rows.
        unsure: For each of those the samples that are the least sure, as rows.
        confusion: Clusters against classes; None without labels.
        class_names: The name of each class, all different.
        feature_names: The name of each feature of vectors, all different.
        differences: The features by which a cluster differs most from the others, in the units of the file if known.
        terms: The terms that set a cluster apart, with their weights.
        map: The samples on a plane; None without samples.
        of_features: Whether the map is of the saved model's features; else it is of the input.
        notes: What is not shown, or only in part, as sentences.
    """

    clusters: TrialClusters
    why: str
    bounds: ShownAtMost
    sizes: Sequence[int]
    shown: Sequence[int]
    nearest: Mapping[int, NDArray[np.int64]]
    unsure: Mapping[int, NDArray[np.int64]]
    confusion: Confusion | None = None
    class_names: list[str] = field(default_factory=list[str])
    feature_names: list[str] = field(default_factory=list[str])
    differences: Mapping[int, Sequence[FeatureDifference]] = field(default_factory=dict[int, Any])
    terms: Mapping[int, Sequence[tuple[str, float]]] = field(default_factory=dict[int, Any])
    map: Map | None = None
    of_features: bool = False
    notes: list[str] = field(default_factory=list[str])

    @property
    def has_images(self) -> bool:
        """Whether the samples are images, and not the pixels of a scene with those around them."""
        data = self.clusters.data
        return data is not None and len(data.sample_shape) == 3 and not self.is_scene

    @property
    def is_scene(self) -> bool:
        """Whether the samples are the pixels of a scene."""
        data = self.clusters.data
        return data is not None and len(data.scene) == 2 and data.ids is not None

    @property
    def has_probabilities(self) -> bool:
        """Whether the method gives the probability of a cluster."""
        return self.clusters.kept.table["probability"].null_count < self.clusters.kept.table.num_rows

    def examples(self) -> list[tuple[str, int, Mapping[int, NDArray[np.int64]]]]:
        """What samples are shown as, how many of a cluster at most, and their rows by cluster."""
        near, far = self.bounds.nearest, self.bounds.unsure
        if self.clusters.texts:
            near = far = self.bounds.texts
        return [("nearest", near, self.nearest), ("least sure", far, self.unsure)]

    def class_of(self, row: int) -> str | None:
        """The class of a sample; None without a label."""
        labels = self.labels()
        return None if labels is None or labels[row] == UNLABELLED else self.class_names[int(labels[row])]

    def labels(self) -> NDArray[np.int64] | None:
        """The class of each sample; None without labels."""
        return None if self.clusters.data is None else self.clusters.data.labels


def of_best(
    paths: Sequence[str], studies: Sequence[str], table: pa.Table, metric: str, mode: str
) -> ClusterContents | str:
    """The clusters of the best trial by the metric among those whose clusters are stored, or why there are none.

    Args:
        paths: Folders of results.
        studies: The studies of them; all if empty.
        table: The rows that are ranked.
        metric: What the best is chosen by.
        mode: `max` or `min`.
    """
    folders = {study_name(folder): folder for folder in folders_of(paths, studies)}
    names = {(study, *keys) for study, folder in folders.items() for keys in assignments.stored(folder)}
    if not names:
        return _NO_CLUSTERS
    is_consensus = metric == selection.CONSENSUS
    if is_consensus:
        table = selection.with_consensus(table)
    column = metric_column(table.column_names, metric)
    wanted = [name for name in (*COLUMNS, column) if name in table.column_names]
    table = table.filter(table[column].is_valid())
    parts = selection.comparable(table, metric)
    found = {
        name: [
            row
            for row in part.select(wanted).to_pylist()
            if (row["study"], row["trial_key"], row["attempt_id"]) in names and isfinite(row[column])
        ]
        for name, part in parts
    }
    # Of several that no score compares, the first with clusters is shown.
    data, rows = next((pair for pair in found.items() if pair[1]), ("", []))
    if not rows:
        return _NO_CLUSTERS
    best = min(rows, key=lambda row: (-row[column] if mode == "max" else row[column], row["attempt_id"]))
    which = f"trial {best['trial_key']}, {metric_name(metric)} {fixed(best[column])}"
    on = f" {'of' if is_consensus else 'on'} {data}" if len(parts) > 1 else ""
    others = f"the best of the {len(rows):,}" if len(rows) > 1 else "the only one"
    across = "" if is_consensus else across_numbers(column, column_cells(dict(parts)[data], _N_CLUSTERS))
    why = f"{which}, {others}{on} whose clusters are stored{across}"
    try:
        kept = assignments.read(folders[best["study"]], best)
    except (UserError, FileNotFoundError) as error:
        return f"The clusters of trial {best['trial_key']} cannot be shown: {error}."
    shown = gather(cluster_data.read(folders[best["study"]], best, kept), why, SECTION)
    of_study = [row for row, study in enumerate(table["study"].to_pylist()) if study == best["study"]]
    counts = numbers_of_clusters(column_cells(take(table, of_study), _N_CLUSTERS))
    if not is_consensus or len(counts) < 2:
        return shown
    said = f"This is the best of one number of clusters only. Each has a consensus of its own ({', '.join(counts)})."
    others = "`conclus clusters --trial KEY` shows those of another trial."
    return replace(shown, notes=[f"{said} {NO_FAIR_SCORE} {others}", *shown.notes])


def gather(found: TrialClusters, why: str, bounds: ShownAtMost) -> ClusterContents:
    """What is shown of the clusters of a trial.

    Args:
        found: The trial's clusters and samples.
        why: A sentence on the trial and what it was chosen by.
        bounds: How much is shown.
    """
    import numpy as np

    clusters, distances, probabilities = (_column(found, name) for name in ("cluster", "distance", "probability"))
    clusters = clusters.astype(np.int64)
    sizes = np.bincount(clusters, minlength=len(found.row.get("cluster_sizes") or ()))
    order = np.argsort(-sizes, kind="stable")[: bounds.clusters]
    shown = sorted(int(cluster) for cluster in order if sizes[cluster])
    most = max(bounds.nearest, bounds.texts), max(bounds.unsure, bounds.texts)
    members = numbers.members_of(clusters, shown)
    general: dict[str, Any] = {
        "clusters": found,
        "why": why,
        "bounds": bounds,
        "sizes": sizes.tolist(),
        "shown": shown,
        "nearest": {i: numbers.nearest(one, distances, probabilities, most[0]) for i, one in members.items()},
        "unsure": {i: numbers.least_sure(one, distances, probabilities, most[1]) for i, one in members.items()},
    }
    filled = int(np.count_nonzero(sizes))
    notes = [f"Of {filled:,} clusters the {len(shown)} largest are shown one by one."] if filled > len(shown) else []
    if found.data is None:
        return ClusterContents(**general, notes=[*notes, _without(found)])
    of_data = _of_data(found, found.data, clusters, bounds, notes)
    return ClusterContents(**general, **of_data, notes=notes)


def by_umap(found: TrialClusters, bounds: ShownAtMost) -> bool:
    """Whether the map is made by UMAP, which needs neighbours."""
    return bounds.umap and found.data is not None and found.data.n_samples > 3 and numbers.has_umap()


def _column(found: TrialClusters, name: str) -> NDArray[Any]:
    """A column of the stored clusters; NaN for null."""
    import numpy as np

    return np.array(found.kept.table[name].to_pylist(), np.float64)


def _without(found: TrialClusters) -> str:
    """What to do where there are no samples."""
    return (
        f"The samples cannot be shown, because {found.missing}. Samples, classes, features and the map need the data "
        "as it was when the trial ran, in the place that the study names."
    )


def _of_data(
    found: TrialClusters, data: Dataset, clusters: NDArray[np.int64], bounds: ShownAtMost, notes: list[str]
) -> dict[str, Any]:
    """The parts that need the samples; what cannot be made is told in `notes`."""
    contents: dict[str, Any] = {}
    if data.labels is not None:
        contents["confusion"] = numbers.confusion(clusters, data.labels)
        contents["class_names"] = distinct(data.class_names)
    if found.texts:
        contents["terms"] = _terms(found, clusters, bounds, notes)
    elif len(data.sample_shape) == 1:
        named = data.feature_names or [f"feature {place + 1}" for place in range(data.sample_shape[0])]
        contents["feature_names"] = distinct(named)
        contents["differences"] = _differences(data, clusters, bounds)
    return contents | _map(found, data, clusters, bounds, notes)


def _terms(
    found: TrialClusters, clusters: NDArray[np.int64], bounds: ShownAtMost, notes: list[str]
) -> dict[int, list[tuple[str, float]]]:
    from core.evaluation.terms import count_terms, top_terms

    try:
        counts, terms = count_terms(found.texts, clusters, int(clusters.max()) + 1, cluster_data.splitting(found))
    except UserError as error:
        notes.append(f"The terms of the clusters are left out: {error}.")
        return {}
    return dict(enumerate(top_terms(counts, terms, bounds.terms)))


def _differences(data: Dataset, clusters: NDArray[np.int64], bounds: ShownAtMost) -> dict[int, list[FeatureDifference]]:
    """The features that differ, their means in the units of the file."""
    import numpy as np

    from core.data.modalities import filled

    samples = filled(dense(data.samples)) if data.modalities else data.samples
    found = numbers.differing(samples, clusters, bounds.terms, only_more=data.corpus is not None)
    if data.scaling is None:
        return found
    offset, divisor = (np.broadcast_to(one, data.sample_shape) for one in data.scaling)
    return {
        cluster: [
            numbers.FeatureDifference(
                one.feature,
                one.effect,
                float(one.inside * divisor[one.feature] + offset[one.feature]),
                float(one.outside * divisor[one.feature] + offset[one.feature]),
            )
            for one in several
        ]
        for cluster, several in found.items()
    }


def _map(
    found: TrialClusters, data: Dataset, clusters: NDArray[np.int64], bounds: ShownAtMost, notes: list[str]
) -> dict[str, Any]:
    from core.data.modalities import filled

    rows = numbers.drawn(clusters, bounds.points)
    features = None
    try:
        features = cluster_data.features(found, rows)
    except UserError as error:
        notes.append(f"The map is of the input, because the saved model cannot be used: {error}.")
    vectors = filled(data.samples[rows]) if features is None else features
    projected = numbers.project(vectors, rows, by_umap=by_umap(found, bounds))
    return {"map": projected, "of_features": features is not None}


def distinct(names: Sequence[str]) -> list[str]:
    """Names of at most 60 characters; with numbers before them if some would be equal."""
    cut = [name if len(name) <= _NAME else f"{name[: _NAME - 1]}…" for name in names]
    return cut if len(set(cut)) == len(cut) else [f"{place + 1}: {name}" for place, name in enumerate(cut)]
