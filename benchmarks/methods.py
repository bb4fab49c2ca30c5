"""Runs every method that trains on every data set of benchmarks/quality, and checks that bad results give a warning.

Run: CONCLUS_DATA=FOLDER uv run python benchmarks/methods.py [NAME …]; a name is that of a data set. With one seed
each it prints the scores beside those of k-means of the input, and the warnings of the trial's row. Results are kept in
results/ and not run again. The exit code is 1 if a trial has an empty cluster, or is worse than k-means of its input by
more than .02 NMI, without a warning. Trials are shortened (see `EPOCHS`) to save time.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from benchmarks.peers import data_name
from benchmarks.quality import load
from core.config import plugins
from core.errors import UserError
from jobs.execution import runner as running
from jobs.planning import plan as planning
from jobs.results.reader import read_results

RESULTS = "results"
# The epochs of data sets whose epochs take long; others have 20.
EPOCHS = {"fashion_mnist_10k": 4, "stackoverflow_minilm": 8, "stackoverflow with TF-IDF": 8, "snips": 8}


def sets() -> dict[str, str | Mapping[str, Any]]:
    """The data sets of the table of methods, by name."""
    found = load("peers").space["data"].finite or ()
    return {data_name(one): one for one in found}


def row(name: str, data: str | Mapping[str, Any], method: str) -> dict[str, Any]:
    """The row of one method on one data set."""
    overrides = [f"study=methods-{method}", f"method={method}", "seeds=[0]", f"epochs={EPOCHS.get(name, 20)}"]
    study = load("peers", [*overrides, f"data={json.dumps(data)}"])
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
    known = sets()
    found = {one: plugins.load("methods", one) for one in plugins.names("methods")}
    methods = [name for name, one in found.items() if one.clusters and "epochs" not in one.unused]
    for name in sys.argv[1:] or known:
        for method in methods:
            try:
                trial = row(name, known[name], method)
            except UserError as error:
                print(f"{name:25} {method:12} left out: {error}", flush=True)
                continue
            bad |= unseen(trial)
            scores = [trial.get(f"metric.{key}") or float("nan") for key in ("acc", "nmi", "input_kmeans_nmi")]
            acc, nmi, start = scores
            told = trial["reason"] or "-"
            print(f"{name:25} {method:12} acc {acc:.3f}  nmi {nmi:.3f}  input {start:.3f}  {told}", flush=True)
    sys.exit(bad)


if __name__ == "__main__":
    main()
