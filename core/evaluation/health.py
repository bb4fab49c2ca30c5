"""What a finished trial has to say for itself: codes for what went wrong without stopping it."""

from __future__ import annotations

from collections.abc import Mapping

# A clustering that says less of the classes than k-means of its untouched input has learned nothing useful; within
# this difference of NMI the two are called equal.
MARGIN = 0.02
# Share of log K below which most samples share few clusters.
COLLAPSED = 0.5


def warnings(metrics: Mapping[str, float], health: Mapping[str, float]) -> list[str]:
    """Codes for the last epoch's scores and signals; none when all is well.

    - `EMPTY_CLUSTERS=n`: the assignment leaves n clusters without a sample.
    - `COLLAPSED`: the assignment's marginal entropy is under half of its maximum.
    - `BELOW_INPUT`: the assignment's NMI is lower by more than 0.02 than that of k-means of the input (labelled data
      only).

    Args:
        metrics: label-based scores by name; those that are missing raise no code.
        health: label-free signals by name; likewise.
    """
    found: list[str] = []
    if empty := int(health.get("clusters_empty", 0)):
        found.append(f"EMPTY_CLUSTERS={empty}")
    if health.get("marginal_entropy", 1.0) < COLLAPSED:
        found.append("COLLAPSED")
    if "input_kmeans_nmi" in metrics:
        reached, start = metrics["nmi"], metrics["input_kmeans_nmi"]
        if reached < start - MARGIN:
            found.append(f"BELOW_INPUT: nmi {reached:.3f} against {start:.3f}")
    return found
