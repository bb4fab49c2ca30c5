"""What a method that labels its own samples tells of these labels."""

from __future__ import annotations

from torch import Tensor

from core.evaluation import metrics


def labelled(labels: Tensor, n_clusters: int) -> dict[str, float]:
    """How many samples are labelled, which share of all that is, and how many of the cluster with the fewest.

    Args:
        labels: of all samples, (n,); below 0 for none.
        n_clusters: the number of clusters.
    """
    known = labels[labels >= 0].cpu().numpy()
    return {
        "selected": float(len(known)),
        "selected_share": len(known) / len(labels),
        "selected_min": float(metrics.cluster_sizes(known, n_clusters).min()),
    }
