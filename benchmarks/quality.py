"""The quality of methods: runs missing trials of the studies in benchmarks/quality, and prints tables.

Run: CONCLUS_DATA=FOLDER uv run python benchmarks/quality.py [NAME …] [--results FOLDER] [--kept]. CONCLUS_DATA has the
data sets that are not built in. Results are kept in the folder (`results`) and not run again, so that what was
interrupted goes on. `--kept` runs nothing: it prints what is in the folder, and in the CSV files beside the studies.
The exit code is 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks import peers
from benchmarks.rows import tell
from core.errors import UserError
from jobs.analysis.intervals import half_width
from jobs.execution import runner as running
from jobs.planning import plan as planning
from jobs.results.reader import read_results
from jobs.study import study as studies
from jobs.study.study import Study

FOLDER = Path(__file__).with_name("quality")
# The description of each study.
WHAT = {
    "peers": "every development set",
    "fashion_full": "Fashion-MNIST, all 70,000",
    "wiki_pairs": "images and texts of Wikipedia, ten seeds, test part",
    "noisy_titles": "titles with three words in ten left out to whole titles, 2,000 held out",
    "topics": "20 Newsgroups, 1,883 words, 20 topics",
    "topics50": "20 Newsgroups, 1,883 words, 50 topics",
    "topics_ecrtm": "20 Newsgroups, 5,000 words, 50 topics",
}
# Studies of methods on data sets, and the least NMI and ACC that `conclus` must reach without an option but the data.
GOALS: dict[str, dict[str, tuple[float, float]]] = {
    "peers": {
        "digits": (0.945, 0.975),
        "fashion_mnist_10k": (0.67, 0.74),
        "stackoverflow_minilm": (0.72, 0.78),
        "stackoverflow with TF-IDF": (0.82, 0.885),
        "banking77_minilm": (0.835, 0.70),
        "pbmc68k_reduced": (0.70, 0.76),
        "mv_scene15": (0.47, 0.47),
        "mv_landuse21": (0.36, 0.30),
    },
    "fashion_full": {"fashion-mnist": (0.707, 0.77)},
}
# Studies of pairs: each loss is measured on the test part, at the best epoch of the validation part.
PAIRS = ("wiki_pairs", "noisy_titles")
PAIR_COLUMNS = ("cosine_similarity", "mse", "recall_at_1", "recall_at_10", "mrr")

# Studies of topics, and the least means that one adversarial method must reach; `nmf`: those of NMF in the study.
TOPICS: dict[str, dict[str, float] | str] = {
    "topics": {"npmi": 0.27, "topic_diversity": 0.92, "test_nmi": 0.40},
    "topics50": "nmf",
    "topics_ecrtm": {},
}
TOPIC_COLUMNS = ("npmi", "topic_diversity", "test_nmi", "test_purity")
ADVERSARIAL = ("bat", "gc-atm")


def _mean(values: list[float], digits: int = 3) -> str:
    return f"{fmean(values):.{digits}f} ±{half_width(values) or 0:.{digits}f}"


def load(name: str, overrides: Sequence[str] = ()) -> Study:
    """A study of benchmarks/quality.

    Raises:
        UserError: there is no such study, or a file that it names is not in the folder that CONCLUS_DATA names.
    """
    return studies.load(FOLDER / f"{name}.yaml", overrides)


def run(study: Study, results: str, *, kept: bool = False) -> list[dict[str, Any]]:
    """Runs the missing trials of a study in this process, none if `kept`; returns its rows that are finished."""
    if not kept:
        running.run(study, results=results, workers=1)
    planned = {one.trial_key for one in planning.make(study).trials}
    folder = Path(results, f"study={study.name}")
    rows: list[dict[str, Any]] = read_results([str(folder)]).to_pylist() if folder.is_dir() else []
    return [row for row in rows if row["trial_key"] in planned and row["status"] in {"ok", "failed"}]


def measure_methods(name: str, results: str, *, kept: bool) -> bool:
    """Prints the rows of the data sets of a study of methods, and keeps its scores in its CSV file.

    Returns whether a goal was missed.
    """
    study, file = load(name), FOLDER / f"{name}.csv"
    rows = run(study, results, kept=kept)
    data = study.space["data"].finite if "data" in study.space else (study.trial["data"],)
    methods = study.space["method"].finite or ()
    order = [(peers.data_name(one), method, seed) for one in data or () for method in methods for seed in study.seeds]
    peers.write(file, peers.joined(peers.read(file), map(peers.score, rows), order))
    return peers.tell_table(WHAT[name], peers.read(file), GOALS[name])


def measure_pairs(name: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Prints the rows of the losses of a study of pairs; returns whether InfoNCE missed its target.

    Its recall at 1 must be three times the chance level, and above that of the other losses.
    """
    losses: dict[str, dict[int, Mapping[str, Any]]] = {}
    for row in rows:
        losses.setdefault(row["param.method.loss.name"], {})[row["seed"]] = row
    found = {loss: {key: _test(rows, key) for key in PAIR_COLUMNS} for loss, rows in losses.items()}
    chance = fmean(_test(losses["info_nce"], "recall_chance"))
    retrieval = PAIR_COLUMNS[2:]
    for loss, scores in found.items():
        figures = " / ".join(_mean(scores[key], 4) for key in retrieval)
        tell(f"{WHAT[name]}, `{loss}`: recall at 1 / at 10 / MRR", f"{figures}; recall at 1 by chance {chance:.4f}")
        print(*(f"{key} {_mean(scores[key], 4)}" for key in PAIR_COLUMNS[:2]), sep=", ")
    gains = " / ".join(_gain(found["info_nce"][key], found["cosine"][key]) for key in retrieval)
    tell(f"{WHAT[name]}, `info_nce` over `cosine`, matched by seed: recall at 1 / at 10 / MRR", gains)
    reached = fmean(found["info_nce"]["recall_at_1"])
    others = [fmean(scores["recall_at_1"]) for loss, scores in found.items() if loss != "info_nce"]
    return reached < 3 * chance or reached <= max(others)


def measure_topics(name: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Prints the rows of the methods of a study of topics, at the last epoch; returns whether it missed its target.

    NPMI and diversity are of the top 10 words, in the training documents; NMI and purity of the test documents, by
    their strongest topic.
    """
    methods: dict[str, dict[int, Mapping[str, Any]]] = {}
    for row in rows:
        embedding, relevance = row.get("param.method.label_embedding"), row["param.method.relevance"]
        shown = row["param.method.name"] + (f" {embedding}" if embedding else "")
        shown += "" if relevance == 1 else f", relevance {relevance:g}"
        methods.setdefault(shown, {})[row["seed"]] = row
    found = {
        method: {key: [rows[seed][f"metric.{key}"] for seed in sorted(rows)] for key in TOPIC_COLUMNS}
        for method, rows in methods.items()
    }
    for method, scores in found.items():
        seconds = max(row["seconds"] for row in methods[method].values())
        figures = " / ".join(_mean(scores[key]) for key in TOPIC_COLUMNS)
        seeds = zip(sorted(methods[method]), zip(*scores.values(), strict=True), strict=True)
        each = ", ".join(f"seed {seed}: {' / '.join(f'{one:.3f}' for one in values)}" for seed, values in seeds)
        what = f"{WHAT[name]}, `{method}`: NPMI / diversity / document NMI / purity"
        tell(what, f"{figures}; {each}; at most {seconds:.0f} s")
    for method, scores in found.items():
        other = "bat" + method.partition(",")[1] + method.partition(",")[2]
        if method.startswith("gc-atm") and other in found:
            gains = " / ".join(_difference(scores[key], found[other][key]) for key in TOPIC_COLUMNS)
            tell(f"{WHAT[name]}, `{method}` less `{other}`, matched by seed: the same", gains)
    wanted = TOPICS[name]
    least = {key: fmean(found["nmf"][key]) for key in ("npmi", "test_nmi")} if isinstance(wanted, str) else wanted
    return not any(
        all(fmean(scores[key]) >= value for key, value in least.items())
        for method, scores in found.items()
        if method.startswith(ADVERSARIAL)
    )


def _difference(now: Sequence[float], before: Sequence[float]) -> str:
    """The mean difference of matched values and its 95 % interval."""
    gaps = [a - b for a, b in zip(now, before, strict=True)]
    return f"{fmean(gaps):+.3f} ±{half_width(gaps) or 0:.3f}"


def _test(rows: Mapping[int, Mapping[str, Any]], key: str) -> list[float]:
    return [rows[seed][f"best.test_{key}"] for seed in sorted(rows)]


def _gain(now: Sequence[float], before: Sequence[float]) -> str:
    """The mean difference of matched values and its 95 % interval, in percent of the mean before."""
    gaps = [100 * (a - b) / fmean(before) for a, b in zip(now, before, strict=True)]
    return f"{fmean(gaps):+.0f} % ±{half_width(gaps) or 0:.0f}"


def main() -> None:
    """Prints the rows as studies end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=list(WHAT), metavar="NAME")
    parser.add_argument("--results", default="results", metavar="FOLDER")
    parser.add_argument("--kept", action="store_true")
    given = parser.parse_args()
    missed = False
    for name in given.names:
        try:
            if name in GOALS:
                missed |= measure_methods(name, given.results, kept=given.kept)
                continue
            rows = [row for row in run(load(name), given.results, kept=given.kept) if row["status"] == "ok"]
            missed |= (measure_pairs if name in PAIRS else measure_topics)(name, rows)
        except UserError as error:
            print(f"{name}: left out: {error}")
    sys.exit(missed)


if __name__ == "__main__":
    main()
