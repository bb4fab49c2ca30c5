"""The clusters of one trial as parts of a page: sizes, samples, classes, terms or features, and a map."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from core.errors import counted
from jobs.present.leaderboard import Sheet
from jobs.present.tables import Column
from jobs.present.visible import one_line
from jobs.report import pieces
from jobs.report.cluster_contents import ClusterContents, distinct
from jobs.report.cluster_images import images, scene
from jobs.report.cluster_map import sample_map
from jobs.report.cluster_pieces import least_sure_words, one_cluster
from jobs.report.markup import Markup, join, tag

_TEXT = 240
"""The most characters of a text that is shown."""
_MATRIX = 25
"""The most classes, and the most clusters, of a confusion matrix that is drawn."""
_BARS = 60
"""The most clusters whose sizes are drawn, the largest ones."""

Part = tuple[str, str, Markup | None]
"""The name of a part in links, its title, and its body; None if there is nothing to show."""


def parts(found: ClusterContents) -> list[Part]:
    """All parts in their order; those without a body are left out."""
    every: list[Part] = [
        ("sizes", "Sizes", _sizes(found)),
        ("images", "Images", images(found)),
        ("scene", "Scene", scene(found)),
        ("terms", "Terms and texts", _texts(found)),
        ("features", "Features", _features(found)),
        ("classes", "Classes", _classes(found)),
        ("map", "Map", sample_map(found)),
    ]
    return [part for part in every if part[2]]


def introduction(found: ClusterContents) -> Markup:
    """What the clusters are of, and what is left out."""
    kept = found.clusters.kept
    of = "" if kept.part == "all" else " of the training part"
    told = f"{counted(kept.table.num_rows, 'sample')}{of}, clusters of epoch {kept.epoch}."
    return join([tag("p", f"{_sentence(found.why)} {told}"), [pieces.note(one) for one in found.notes]])


def subtitle(found: ClusterContents) -> str:
    """The number of clusters, and of samples."""
    filled = sum(size > 0 for size in found.sizes)
    return f"{counted(filled, 'cluster')} · {counted(sum(found.sizes), 'sample')}"


def section(found: ClusterContents) -> Markup:
    """All parts below each other, for a page on more than these clusters."""
    return join([introduction(found), *(join([tag("h3", title), body]) for _, title, body in parts(found))])


def reading() -> Markup:
    """How to read the parts."""
    return tag("ul", [tag("li", one) for one in _READING.split("\n\n")])


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


# Sizes


def _sizes(found: ClusterContents) -> Markup:
    from jobs.charts.bars import bars

    total = sum(found.sizes)
    order = sorted(range(len(found.sizes)), key=lambda one: (-found.sizes[one], one))
    drawn = sorted(order[:_BARS])
    shown = [f"{found.sizes[one]:,} ({found.sizes[one] / total:.1%})" for one in drawn]
    empty = found.sizes.count(0)
    words = (
        f"{counted(len(found.sizes), 'cluster')}; the largest is cluster {order[0]} with {found.sizes[order[0]]:,} of "
    )
    words += f"{counted(total, 'sample')}, the smallest cluster {order[-1]} with {found.sizes[order[-1]]:,}."
    told = [f"The {_BARS} largest of {len(order):,} clusters are drawn."] if len(order) > _BARS else []
    told += [f"{counted(empty, 'cluster', 'are')} empty."] if empty else []
    names = [f"cluster {one}" for one in drawn]
    chart = bars(names, [found.sizes[one] for one in drawn], shown, words)
    return join([map(pieces.note, told), pieces.drawing(chart)])


# Texts


def _texts(found: ClusterContents) -> Markup | None:
    from jobs.charts.bars import bars

    if not found.clusters.texts:
        return None
    told = pieces.note(
        "Bars: the weight (c-TF-IDF) of the terms that set a cluster apart from the others. Below: the texts nearest "
        f"to the centre of the cluster, then those {least_sure_words(found)}."
    )
    figures: list[Markup] = []
    for cluster in found.shown:
        terms = found.terms.get(cluster, ())
        names, values = [term for term, _ in terms], [weight for _, weight in terms]
        words = f"Terms of cluster {cluster}: {', '.join(names)}."
        chart = bars(distinct(names), values, [f"{one:.3f}" for one in values], words) if terms else None
        body = join([pieces.drawing(chart) if chart else None, _examples(found, cluster)])
        figures.append(one_cluster(found, cluster, body))
    return join([told, pieces.panels(figures)])


def _examples(found: ClusterContents, cluster: int) -> Markup:
    most = found.bounds.texts
    kinds = {"Nearest": found.nearest[cluster][:most], "Least sure": found.unsure[cluster][:most]}
    return tag(
        "dl",
        [
            join([tag("dt", kind), *(tag("dd", cut(found.clusters.texts[row])) for row in rows.tolist())])
            for kind, rows in kinds.items()
        ],
        class_="texts",
    )


def cut(text: str) -> str:
    """A text on one line of at most 240 characters."""
    line = one_line(" ".join(text.split()))
    return line if len(line) <= _TEXT else f"{line[: _TEXT - 1]}…"


# Features


def _features(found: ClusterContents) -> Markup | None:
    from jobs.charts.bars import bars

    data = found.clusters.data
    if data is None or not any(found.differences.values()):
        return None
    unit = "as in the file" if data.scaling is not None else "as in training"
    told = pieces.note(
        "Bars: how far the mean of the cluster lies above or below that of all other samples, in standard deviations. "
        f"Below: the means themselves, {unit}."
    )
    columns = [Column("feature", right=False), Column("in the cluster"), Column("in the others")]
    figures: list[Markup] = []
    for cluster in found.shown:
        if not (several := found.differences.get(cluster)):
            continue
        names = [found.feature_names[one.feature] for one in several]
        shown = [f"{one.effect:+.2f}" for one in several]
        told_all = "; ".join(f"{name} {text}" for name, text in zip(names, shown, strict=True))
        words = f"Cluster {cluster} against all others, difference in standard deviations: {told_all}."
        chart = pieces.drawing(bars(names, [one.effect for one in several], shown, words))
        rows = [[name, one.inside, one.outside] for name, one in zip(names, several, strict=True)]
        means = pieces.sheet_table(Sheet(columns, rows), f"Means of cluster {cluster}", sortable=False)
        body = join([chart, tag("details", tag("summary", "Means"), means)])
        figures.append(one_cluster(found, cluster, body))
    return join([told, pieces.panels(figures)])


# Classes


def _classes(found: ClusterContents) -> Markup | None:
    from jobs.charts.matrix import matrix

    table = found.confusion
    if table is None:
        return None
    counts = table.counts[:_MATRIX, :_MATRIX]
    classes = [found.class_names[one] for one in table.classes[:_MATRIX]]
    clusters = [f"{one}" for one in table.clusters[:_MATRIX]]
    words = f"Classes against clusters, matched one to one; accuracy {table.accuracy:.3f}. " + "; ".join(
        f"{name}: {recall:.0%}" for name, recall in zip(classes, table.recalls, strict=False)
    )
    chart = matrix(counts.tolist(), classes, clusters, ("class", "cluster"), words)
    drawing = pieces.drawing(chart)
    return join([map(pieces.note, _matching(found)), drawing, _recalls(found)])


def _matching(found: ClusterContents) -> Iterable[str]:
    """Sentences on the matching, and on what is left out of the drawing."""
    table = found.confusion
    if table is None:
        return
    yield (
        "Each class has the cluster with which most samples agree over all classes (Hungarian method): they lie on the "
        f"diagonal. Accuracy: {table.accuracy:.3f}."
    )
    n_classes, n_clusters = table.counts.shape
    if n_classes != n_clusters:
        both = f"{counted(n_clusters, 'cluster')} and {n_classes:,} class{'es' * (n_classes != 1)}"
        yield f"{both}: those without a partner stand last."
    if table.unlabelled:
        yield f"{counted(table.unlabelled, 'sample', 'have')} no label: left out here."
    if max(n_classes, n_clusters) > _MATRIX:
        yield (
            f"Drawn are the first {min(n_classes, _MATRIX)} of {n_classes:,} classes and the first "
            f"{min(n_clusters, _MATRIX)} of {n_clusters:,} clusters; confusion.csv of `conclus clusters` has all."
        )


def _recalls(found: ClusterContents) -> Markup:
    columns = [
        Column("class", right=False),
        Column("samples"),
        Column("its cluster"),
        Column("recall", strong=True),
        Column("most others in cluster"),
    ]
    rows = [[*before, f"{recall:.3f}", other] for *before, recall, other in recall_rows(found)]
    return pieces.sheet_table(Sheet(columns, rows), "Recall of each class")


def recall_rows(found: ClusterContents) -> Iterable[list[Any]]:
    """For each class: its name, its samples, its cluster, its recall, and the cluster with most of its others."""
    table = found.confusion
    if table is None:
        return
    for place, label in enumerate(table.classes.tolist()):
        counts = table.counts[place].copy()
        own = int(table.clusters[place]) if place < table.matched else None
        total = int(counts.sum())
        if own is not None:
            counts[place] = 0
        other = int(table.clusters[counts.argmax()]) if counts.any() else None
        yield [found.class_names[label], total, own, float(table.recalls[place]), other]


_READING = """\
A cluster has a number and no meaning of its own. What it holds is for you to say: by its samples, its terms or its
features.

The centre of a cluster is the mean of its samples' features in the trained model. A sample that is nearest to it is
typical. One of low probability may as well belong to the second-best cluster.

The recall of a class is the share of its samples that lie in the cluster of that class. Accuracy is that share over
all samples.

A bar or a cell tells its numbers where the pointer is."""
