"""The map of samples, by cluster and by class."""

from __future__ import annotations

from typing import Any

from core.data.dataset import UNLABELLED
from jobs.report import pieces
from jobs.report.cluster_contents import ClusterContents
from jobs.report.markup import Markup, join, tag

_UNLABELLED = "unlabelled"


def sample_map(found: ClusterContents) -> Markup | None:
    """Samples on a plane, drawn by cluster and, with labels, by class; None without samples."""
    if found.map is None:
        return None
    figures = [pieces.figure(f"By {name}", "", pieces.drawing(one)) for name, one in charts(found).items()]
    return join([pieces.note(_how(found)), tag("div", figures, class_="maps")])


def charts(found: ClusterContents) -> dict[str, dict[str, Any]]:
    """The samples on a plane by `cluster` and, with labels, by `class`, as Vega-Lite; none without samples."""
    from jobs.charts.points import points

    table, labels = found.map, found.labels()
    if table is None:
        return {}
    rows = table.rows.tolist()
    clusters = found.clusters.kept.table["cluster"].take(table.rows).to_pylist()
    ids = [str(one) for one in found.clusters.kept.table["id"].take(table.rows).to_pylist()]
    places = [(float(x), float(y)) for x, y in table.places]
    titles = (f"{table.method} 1", f"{table.method} 2")
    told: dict[str, list[str]] = {"sample": _cut_ids(ids)}
    classes = None
    if labels is not None:
        classes = [_UNLABELLED if one == UNLABELLED else found.class_names[one] for one in labels[rows].tolist()]
    by_cluster = points(
        places,
        [str(one) for one in clusters],
        signs={str(one): one for one in sorted(set(clusters))},
        told=told if classes is None else {**told, "class": classes},
        titles=(*titles, "cluster"),
        words=f"{len(rows):,} samples on a plane, by cluster.",
    )
    if classes is None:
        return {"cluster": by_cluster}
    by_class = points(
        places,
        classes,
        signs=_class_signs(found, set(classes)),
        told={**told, "cluster": [str(one) for one in clusters]},
        titles=(*titles, "class"),
        words=f"The same {len(rows):,} samples, by class.",
        below=_UNLABELLED,
    )
    return {"cluster": by_cluster, "class": by_class}


def _class_signs(found: ClusterContents, there: set[str]) -> dict[str, int]:
    """The classes on the map, each with the number of its cluster, so that both have one colour and one shape."""
    table = found.confusion
    own: dict[str, int] = {}
    if table is not None:
        matched = zip(table.classes[: table.matched].tolist(), table.clusters[: table.matched].tolist(), strict=True)
        own = {found.class_names[label]: cluster for label, cluster in matched}
    free = iter(number for number in range(len(found.class_names) + len(own) + 1) if number not in own.values())
    named = [name for name in [*found.class_names, _UNLABELLED] if name in there]
    return {name: own[name] if name in own else next(free) for name in dict.fromkeys(named)}


def _cut_ids(ids: list[str]) -> list[str]:
    return [one if len(one) <= 60 else f"{one[:59]}…" for one in ids]


def _how(found: ClusterContents) -> str:
    """How the map was made."""
    table = found.map
    if table is None:
        return ""
    total = found.clusters.kept.table.num_rows
    drawn = (
        f"all {total:,} samples"
        if len(table.rows) == total
        else f"{len(table.rows):,} of {total:,} samples, drawn at random"
    )
    of = "the features of the saved model" if found.of_features else "the input, as it was scaled for training"
    if table.method == "UMAP":
        how = "UMAP: near samples are alike, distances between far groups and their sizes mean nothing"
    else:
        why = "" if found.bounds.umap else "; `conclus clusters` makes it by UMAP where that is installed"
        missing = "; with `uv sync --extra umap --inexact --no-dev` it is made by UMAP" if found.bounds.umap else why
        how = f"PCA, whose two axes hold {table.explained or 0:.0%} of the variance{missing}"
    return f"A map of {drawn}, of {of}. It is made by {how}. {_signs(found)}"


def _signs(found: ClusterContents) -> str:
    same = "" if found.confusion is None else " A class has the colour and the shape of its cluster."
    return f"A number or a name stands in the middle of its group.{same}"
