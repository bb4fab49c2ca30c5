"""Runs every method on every data set of benchmarks/quality, one seed each, and checks that bad results give a warning.

Run: CONCLUS_DATA=FOLDER uv run python benchmarks/methods.py [NAME …]. It prints the scores beside those of k-means of
the input, and the warnings of the trial's row. Results are kept in results/ and not run again. The exit code is 1 if a
trial has an empty cluster, or is worse than k-means of its input by more than .02 NMI, without a warning. Trials are
shortened (see `SHORT`) to save time.
"""

from __future__ import annotations

import sys
from typing import Any

from quality import RESULTS, TARGETS, load

from core.config import plugins
from jobs.execution import runner as running
from jobs.planning import plan as planning
from jobs.results.reader import read_results

# Data sets with images of which another study uses a part.
ALREADY = ("fashion_full",)
SHORT = {
    "digits": ["epochs=60"],
    "fashion": ["epochs=4"],
    "stackoverflow": ["epochs=8"],
    "banking77": ["epochs=16"],
}


def row(name: str, method: str) -> dict[str, Any]:
    """The row of one method on one data set."""
    overrides = [f"study=methods-{name}-{method}", f"method.name={method}", "seeds=[0]", *SHORT.get(name, [])]
    study = load(name, overrides)
    running.run(study, results=RESULTS, workers=1)
    (trial,) = planning.make(study).trials
    rows: list[dict[str, Any]] = read_results([f"{RESULTS}/study={study.name}"]).to_pylist()
    return next(one for one in rows if one["trial_key"] == trial.trial_key)


def unseen(found: dict[str, Any]) -> bool:
    """Whether the trial has a bad result and no warning."""
    if found["status"] != "ok":
        return not found["reason"]
    worse = found["metric.nmi"] < found["metric.input_kmeans_nmi"] - 0.02
    lost = found["health.clusters_empty"] > 0
    return (worse and "BELOW_INPUT" not in found["reason"]) or (lost and "EMPTY_CLUSTERS" not in found["reason"])


def main() -> None:
    """Prints one line per method and data set."""
    bad = False
    for name in sys.argv[1:] or [one for one in TARGETS if one not in ALREADY]:
        for method in (one for one in plugins.names("methods") if plugins.load("methods", one).clusters):
            found = row(name, method)
            bad |= unseen(found)
            scores = [found.get(f"metric.{key}") or float("nan") for key in ("acc", "nmi", "input_kmeans_nmi")]
            acc, nmi, start = scores
            told = found["reason"] or "-"
            print(f"{name:19} {method:8} acc {acc:.3f}  nmi {nmi:.3f}  input {start:.3f}  {told}", flush=True)
    sys.exit(bad)


if __name__ == "__main__":
    main()
