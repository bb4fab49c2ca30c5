"""The quality of methods: runs missing trials of the studies in benchmarks/quality, and prints tables.

Run: CONCLUS_DATA=FOLDER uv run python benchmarks/quality.py [NAME …]. The folder has the data sets that are not built
in. Results are kept in results/ and not run again. The exit code is 1 if a target is missed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.rows import tell
from core.errors import UserError
from core.formats.catalog import find_named
from jobs.analysis.intervals import half_width
from jobs.execution import runner as running
from jobs.results.reader import read_results
from jobs.study import study as studies
from jobs.study.study import Study

FOLDER = Path(__file__).with_name("quality")
RESULTS = "results"
COLUMNS = ("acc", "nmi", "kmeans_acc", "kmeans_nmi", "input_kmeans_acc", "input_kmeans_nmi")
# The description of each study.
WHAT = {
    "digits": "digits, 120 epochs",
    "fashion": "Fashion-MNIST, 10,000 images",
    "fashion_full": "Fashion-MNIST, all 70,000, 5 epochs",
    "stackoverflow": "Stack Overflow titles, MiniLM vectors, 20 classes",
    "stackoverflow_words": "the same titles, MiniLM beside TF-IDF",
    "banking77": "Banking77 intents, MiniLM vectors, 77 classes",
    "pbmc": "pbmc68k_reduced, 30:1 imbalance",
    "wiki_pairs": "images and texts of Wikipedia, ten seeds, test part",
    "noisy_titles": "titles with three words in ten left out to whole titles, 2,000 held out",
    "topics": "20 Newsgroups, 1,883 words, 20 topics",
    "topics50": "20 Newsgroups, 1,883 words, 50 topics",
    "topics_ecrtm": "20 Newsgroups, 5,000 words, 50 topics",
}
# The targets of each study: the least mean over seeds of a score, and the longest trial in seconds.
TARGETS = {
    "digits": {"acc": 0.955, "nmi": 0.925, "seconds": 60},
    "fashion": {"acc": 0.70, "nmi": 0.63, "seconds": 600},
    "fashion_full": {"acc": 0.74, "nmi": 0.68, "seconds": 600},
    "stackoverflow": {"acc": 0.78, "nmi": 0.74},
    "stackoverflow_words": {"acc": 0.78, "nmi": 0.74},
    "banking77": {"acc": 0.66, "nmi": 0.80},
    "pbmc": {"acc": 0.68},
}
# Vectors are found by the name of their file; for a study of texts, the path is filled in.
TEXTS = {
    "stackoverflow_words": "stackoverflow",
    "wiki_pairs": "wiki_pairs",
    "noisy_titles": "stackoverflow_noisy",
    "topics": "ng20_clean_like1883",
    "topics50": "ng20_clean_like1883",
    "topics_ecrtm": "ng20_ecrtm5000",
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


@dataclass(frozen=True)
class Line:
    """One study's scores over its seeds."""

    name: str
    scores: dict[str, list[float]]
    seconds: list[float]

    def missed(self) -> list[str]:
        """The targets that were not reached."""
        wanted = TARGETS[self.name]
        found = [key for key, target in wanted.items() if key != "seconds" and fmean(self.scores[key]) < target]
        return found + (["seconds"] if max(self.seconds) > wanted.get("seconds", max(self.seconds)) else [])

    def tell(self) -> None:
        """Prints the row of the table."""
        wanted, missed = TARGETS[self.name], self.missed()
        mean = {key: _mean(values) for key, values in self.scores.items()}
        columns = {
            "ACC": mean["acc"],
            "NMI": mean["nmi"],
            "k-means of the input: ACC / NMI": f"{mean['input_kmeans_acc']} / {mean['input_kmeans_nmi']}",
            "longest trial": f"{max(self.seconds):.0f} s",
            "target": ", ".join(
                f"{key} {value}: {'missed' if key in missed else 'reached'}" for key, value in wanted.items()
            ),
        }
        tell(WHAT[self.name], columns)
        print(f"k-means of the features: ACC {mean['kmeans_acc']}, NMI {mean['kmeans_nmi']}")


def _mean(values: list[float], digits: int = 3) -> str:
    return f"{fmean(values):.{digits}f} ±{half_width(values) or 0:.{digits}f}"


def load(name: str, overrides: Sequence[str] = ()) -> Study:
    """A study of benchmarks/quality; its file of texts is searched in CONCLUS_DATA.

    Raises:
        UserError: there is no such study, or no such file.
    """
    if name in TEXTS:
        found = find_named(TEXTS[name])
        if found is None:
            raise UserError(f"there is no file {TEXTS[name]} in the folder that CONCLUS_DATA names")
        overrides = [*overrides, f"data.path={found}"]
    return studies.load(FOLDER / f"{name}.yaml", overrides)


def measure(name: str) -> Line:
    """Runs the missing trials of a study in this process, and reads its rows as one line."""
    rows = run(name)
    scores = {key: [row[f"metric.{key}"] for row in rows] for key in COLUMNS}
    return Line(name, scores, [row["seconds"] for row in rows])


def run(name: str) -> list[dict[str, Any]]:
    """Runs the missing trials of a study in this process; returns its finished rows."""
    study = load(name)
    running.run(study, results=RESULTS, workers=1)
    planned = {one.trial_key for one in running.planning.make(study).trials}
    rows: list[dict[str, Any]] = read_results([f"{RESULTS}/study={study.name}"]).to_pylist()
    return [row for row in rows if row["trial_key"] in planned and row["status"] == "ok"]


def measure_pairs(name: str) -> bool:
    """Prints the rows of the losses of a study of pairs; returns whether InfoNCE missed its target.

    Its recall at 1 must be three times the chance level, and above that of the other losses.
    """
    losses: dict[str, dict[int, dict[str, Any]]] = {}
    for row in run(name):
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


def measure_topics(name: str) -> bool:
    """Prints the rows of the methods of a study of topics, at the last epoch; returns whether it missed its target.

    NPMI and diversity are of the top 10 words, in the training documents; NMI and purity of the test documents, by
    their strongest topic.
    """
    methods: dict[str, dict[int, dict[str, Any]]] = {}
    for row in run(name):
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
        tell(f"{WHAT[name]}, `{method}`: NPMI / diversity / document NMI / purity", f"{figures}; {seconds:.0f} s")
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


def _test(rows: dict[int, dict[str, Any]], key: str) -> list[float]:
    return [rows[seed][f"best.test_{key}"] for seed in sorted(rows)]


def _gain(now: Sequence[float], before: Sequence[float]) -> str:
    """The mean difference of matched values and its 95 % interval, in percent of the mean before."""
    gaps = [100 * (a - b) / fmean(before) for a, b in zip(now, before, strict=True)]
    return f"{fmean(gaps):+.0f} % ±{half_width(gaps) or 0:.0f}"


def main() -> None:
    """Prints the rows as studies end."""
    names = sys.argv[1:] or [*TARGETS, *PAIRS, *TOPICS]
    missed = False
    for name in names:
        try:
            if name in PAIRS:
                missed |= measure_pairs(name)
                continue
            if name in TOPICS:
                missed |= measure_topics(name)
                continue
            line = measure(name)
        except UserError as error:
            print(f"{name}: left out: {error}")
            continue
        missed |= bool(line.missed())
        line.tell()
    sys.exit(missed)


if __name__ == "__main__":
    main()
