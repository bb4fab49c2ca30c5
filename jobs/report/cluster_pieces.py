"""Words and pieces on one cluster that several parts use."""

from __future__ import annotations

from core.errors import counted
from jobs.report.cluster_contents import ClusterContents
from jobs.report.markup import Markup, tag


def least_sure_words(found: ClusterContents) -> str:
    """Which samples are the least sure."""
    if found.has_probabilities:
        return "whose probability of the cluster is lowest"
    return "that are farthest from the centre (the method gives no probabilities)"


def one_cluster(found: ClusterContents, cluster: int, body: Markup) -> Markup:
    """A part of one cluster under its number, its size and its class."""
    name = tag("figcaption", tag("b", f"Cluster {cluster}"), f" {_told(found, cluster)}")
    return tag("figure", name, body, class_="cluster")


def _told(found: ClusterContents, cluster: int) -> str:
    size = counted(found.sizes[cluster], "sample")
    table = found.confusion
    if table is None or cluster not in table.clusters:
        return size
    counts = table.counts[:, table.clusters.tolist().index(cluster)]
    if not counts.sum():
        return f"{size}, none of them labelled"
    most, labelled = int(counts.argmax()), int(counts.sum())
    name, number = found.class_names[table.classes[most]], int(counts[most])
    if labelled == found.sizes[cluster]:
        return f"{size}, {number / labelled:.0%} of class {name}"
    return f"{size}; {number:,} of {counted(labelled, 'labelled sample')} {'is' if number == 1 else 'are'} class {name}"
