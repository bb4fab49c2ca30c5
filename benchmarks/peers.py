"""Every method on every data set of a study in benchmarks/quality: scores of each seed, and `conclus` beside the best.

The scores of each seed are lines of a CSV file beside the study, which is committed; tables are made from it alone.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import fmean, median, variance
from typing import Any

from benchmarks.rows import tell
from jobs.analysis.intervals import half_width, quantile

OURS = "conclus"
OTHERS = ("kmeans", "gmm", "ward", "spectral", "leiden", "umap-kmeans", "turtle")
BELOW = -0.03
"""A data set on which `conclus` has less than this against the best of the others, in NMI, is counted as lost."""


@dataclass(frozen=True)
class Score:
    """What one method reached on one data set with one seed: NMI and ACC of its clusters, nan if the trial failed."""

    data: str
    method: str
    seed: int
    nmi: float
    acc: float
    seconds: float
    reason: str

    @property
    def place(self) -> tuple[str, str, int]:
        """What tells it from others."""
        return self.data, self.method, self.seed


@dataclass(frozen=True)
class Gap:
    """The NMI of `conclus` on a data set less that of the other method with the highest mean, and its 95 % interval."""

    best: str
    mean: float
    half_width: float


def data_name(data: str | Mapping[str, Any]) -> str:
    """What a data set is called in tables: its table, the name of its file, or its plug-in."""
    options = {"name": data} if isinstance(data, str) else data
    name = options.get("table") or Path(options.get("path") or options["name"]).stem
    return f"{name} with TF-IDF" if options.get("tfidf_weight") else str(name)


def score(row: Mapping[str, Any]) -> Score:
    """The score of a row of the results."""
    options = {key: row.get(f"param.data.{key}") for key in ("name", "table", "path", "tfidf_weight")}
    nmi, acc = (math.nan if row.get(key) is None else float(row[key]) for key in ("metric.nmi", "metric.acc"))
    return Score(data_name(options), row["param.method.name"], row["seed"], nmi, acc, row["seconds"], row["reason"])


def read(file: Path) -> list[Score]:
    """The lines of a CSV file; none if it is not there."""
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as lines:
        return [_parsed(line) for line in csv.DictReader(lines)]


def _parsed(line: Mapping[str, str]) -> Score:
    nmi, acc, seconds = (float(line[key] or "nan") for key in ("nmi", "acc", "seconds"))
    return Score(line["data"], line["method"], int(line["seed"]), nmi, acc, seconds, line["reason"])


def write(file: Path, scores: Iterable[Score]) -> None:
    """Writes the lines of a CSV file: scores with four decimals, seconds with one."""
    with file.open("w", newline="", encoding="utf-8") as lines:
        table = csv.DictWriter(lines, [one.name for one in fields(Score)], lineterminator="\n")
        table.writeheader()
        for one in scores:
            values = {"nmi": one.nmi, "acc": one.acc}
            cells = {key: "" if math.isnan(value) else f"{value:.4f}" for key, value in values.items()}
            table.writerow({**asdict(one), **cells, "seconds": f"{one.seconds:.1f}"})


def joined(known: Iterable[Score], new: Iterable[Score], order: Sequence[tuple[str, str, int]]) -> list[Score]:
    """All scores of these places in their order, a new one in place of a known one; others are left out."""
    found = {one.place: one for one in (*known, *new)}
    return [found[place] for place in order if place in found]


def gap(ours: Sequence[float], others: Mapping[str, Sequence[float]]) -> Gap | None:
    """How far ours are above the best of the others; None if there are none of either.

    The interval is Welch's, of two independent means. That the best was chosen by its mean is in its favour.
    """
    if not ours or not others:
        return None
    best = max(others, key=lambda method: fmean(others[method]))
    errors = [variance(values) / len(values) if len(values) > 1 else math.inf for values in (ours, others[best])]
    square = sum(errors)
    if not square or math.isinf(square):
        return Gap(best, fmean(ours) - fmean(others[best]), 0.0 if not square else math.inf)
    parts = zip(errors, (ours, others[best]), strict=True)
    freedom = square**2 / sum(error**2 / (len(values) - 1) for error, values in parts)
    return Gap(best, fmean(ours) - fmean(others[best]), quantile(freedom) * math.sqrt(square))


def tell_table(what: str, scores: Sequence[Score], goals: Mapping[str, tuple[float, float]]) -> bool:
    """Prints a row for each data set and one on all of them; returns whether a goal was missed or is unknown.

    Args:
        what: what the study is called.
        scores: of all methods, data sets and seeds.
        goals: the least NMI and ACC of `conclus` by data set.
    """
    gaps: dict[str, Gap] = {}
    missed = False
    for data in dict.fromkeys(one.data for one in scores):
        own = [one for one in scores if one.data == data]
        cells = {method: _cell([one for one in own if one.method == method]) for method in (OURS, *OTHERS)}
        found = gap(_values(own, OURS), {one: _values(own, one) for one in OTHERS if _values(own, one)})
        if found is not None:
            gaps[data] = found
        reached = _reached(own, goals[data]) if data in goals else ""
        missed |= bool(reached) and not reached.endswith("reached")
        told = "-" if found is None else f"{_signed(found.mean)} ±{_short(found.half_width)} ({found.best})"
        tell(data, {**cells, "less the best: NMI": told, "goal": reached or "-"})
    about = f"{what}: `{OURS}` against the best of the other methods, in NMI"
    if not gaps:
        tell(about, f"no trial of `{OURS}` yet")
        return True
    means = [one.mean for one in gaps.values()]
    lost = [f"{data} {_signed(one.mean)}" for data, one in gaps.items() if one.mean < BELOW]
    above = sum(one > 0 for one in means)
    tell(
        about,
        f"below by more than .03 on {len(lost)} of {len(gaps)} data sets ({', '.join(lost) or 'none'}); median "
        f"difference {_signed(median(means))}; above all on {above}",
    )
    return missed or bool(lost) or median(means) < 0 or 2 * above < len(gaps)


def _values(scores: Iterable[Score], method: str) -> list[float]:
    return [one.nmi for one in scores if one.method == method and not math.isnan(one.nmi)]


def _cell(scores: Sequence[Score]) -> str:
    """NMI / ACC of one method, each the mean over seeds and its 95 % interval."""
    if failed := [one for one in scores if math.isnan(one.nmi)]:
        return f"{len(failed)} of {len(scores)} failed: {failed[0].reason}"
    if not scores:
        return "-"
    return " / ".join(_mean([getattr(one, key) for one in scores]) for key in ("nmi", "acc"))


def _mean(values: Sequence[float]) -> str:
    width = half_width(values)
    return f"{_short(fmean(values))} ±{'?' if width is None else _short(width)}"


def _reached(scores: Iterable[Score], goal: tuple[float, float]) -> str:
    ours = [one for one in scores if one.method == OURS and not math.isnan(one.nmi)]
    said = f"{_short(goal[0])} / {_short(goal[1])}"
    if not ours:
        return f"{said}: not run"
    missed = [
        key for key, least in zip(("nmi", "acc"), goal, strict=True) if fmean(getattr(one, key) for one in ours) < least
    ]
    return f"{said}: {' and '.join(missed).upper()} missed" if missed else f"{said}: reached"


def _short(value: float) -> str:
    """Three decimals without the zero before them."""
    return "?" if math.isinf(value) else f"{value:.3f}".replace("0.", ".", 1) if value < 1 else f"{value:.3f}"


def _signed(value: float) -> str:
    return f"{'-' if value < 0 else '+'}{_short(abs(value))}"
