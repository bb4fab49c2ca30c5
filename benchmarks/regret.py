"""What a choice without labels costs: the regret of each label-free criterion, on every data set of two studies.

Run: CONCLUS_DATA=FOLDER uv run python benchmarks/regret.py [--results FOLDER] [--kept]. It runs the missing trials of
quality/selection.yaml (configurations of `cc`) and of quality/peers.yaml (methods), none with `--kept`, and prints two
tables for docs/scores.md. Regret is the NMI of the best configuration, a mean over seeds, less that of the chosen one.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean

import pyarrow as pa

from benchmarks.peers import data_name, score
from benchmarks.quality import load
from core.errors import UserError
from jobs.analysis.scores import CONSENSUS, CRITERIA
from jobs.analysis.selection import OTHERS, CriteriaReport, criteria_report
from jobs.execution import runner as running
from jobs.planning import plan as planning
from jobs.results.reader import read_results, take

STUDIES = ("selection", "peers")


def reports(name: str, results: str, *, kept: bool) -> dict[str, CriteriaReport]:
    """How the criteria choose on each data set of a study, by the name of the data set.

    A data set with fewer configurations than another has trials that are not done: it is left out.

    Raises:
        UserError: the study's data cannot be used, or there are no results.
    """
    study = load(name)
    if not kept:
        running.run(study, results=results, workers=1)
    planned = {one.trial_key for one in planning.make(study).trials}
    order = [data_name(one) for one in study.space["data"].finite or ()]
    table: pa.Table = read_results([str(Path(results, f"study={study.name}"))])
    rows: dict[str, list[int]] = {}
    for place, row in enumerate(table.to_pylist()):
        if row["trial_key"] in planned and row["status"] == "ok":
            rows.setdefault(score(row).data, []).append(place)
    found = {data: criteria_report(take(table, rows[data]))[0] for data in order if data in rows}
    counts = {data: max(choice.n for choice in one.choices) for data, one in found.items()}
    return {data: one for data, one in found.items() if counts[data] == max(counts.values())}


def regret(report: CriteriaReport, criterion: str) -> float | None:
    """The regret of a criterion, or of a choice by chance (an empty criterion)."""
    if not criterion:
        return None if report.best is None or report.average is None else report.best - report.average
    return next((one.regret for one in report.choices if one.criterion == criterion), None)


def lines(found: Mapping[str, CriteriaReport]) -> Iterable[str]:
    """The rows of both tables: of each data set, and of each criterion over all of them."""
    yield "| data | best | first by consensus is below it by | a choice by chance |"
    for data, one in found.items():
        cells = (one.best, regret(one, CONSENSUS), regret(one, ""))
        yield f"| {data} | {' | '.join('-' if cell is None else f'{cell:.3f}' for cell in cells)} |"
    yield "| criterion | mean regret | largest | data sets without any (below .005) | data sets |"
    for criterion in (CONSENSUS, *CRITERIA, *OTHERS, ""):
        known = [cell for one in found.values() if (cell := regret(one, criterion)) is not None]
        if known:
            none = sum(cell < 0.005 for cell in known)
            name = f"`{criterion}`" if criterion else "by chance"
            yield f"| {name} | {fmean(known):.3f} | {max(known):.3f} | {none} | {len(known)} |"


def main() -> None:
    """Prints the tables of each study."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--results", default="results", metavar="FOLDER")
    parser.add_argument("--kept", action="store_true")
    given = parser.parse_args()
    for name in STUDIES:
        try:
            found = reports(name, given.results, kept=given.kept)
        except UserError as error:
            print(f"{name}: left out: {error}")
            continue
        print(f"== {name}", *lines(found), sep="\n", flush=True)


if __name__ == "__main__":
    main()
