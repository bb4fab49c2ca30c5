"""Warning codes of a finished trial: problems that did not stop it."""

from __future__ import annotations

from collections.abc import Mapping

# A clustering with a lower NMI than k-means of the input has learned nothing useful; a difference of NMI up to this
# counts as equal.
MARGIN = 0.02
# Share of log K below which most samples share few clusters.
COLLAPSED = 0.5


def warnings(metrics: Mapping[str, float], health: Mapping[str, float]) -> list[str]:
    """Codes for the scores and signals of the last epoch; empty if there is no problem.

    - `EMPTY_CLUSTERS=n`: n clusters have no sample.
    - `COLLAPSED`: the assignment's marginal entropy is below half of its maximum.
    - `BELOW_INPUT`: the assignment's NMI is more than 0.02 below that of k-means of the input (labelled data only).

    Args:
        metrics: label-based scores by name; missing ones give no code.
        health: label-free signals by name; missing ones give no code.
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
