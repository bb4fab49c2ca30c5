"""How often the conclusions err: every claim, its bound, and what simulated studies measure.

Run: python -m benchmarks.audit [--small] [WORD …]; with words, only the claims whose text has one of them.
It takes under an hour on two cores (`--small`: under a minute, with fewer studies). Exit code 1 if a rate lies beyond
its bound by more than three standard errors.

The studies are simulated here, written with the store's own writer, read with its reader, and judged by the functions
that the commands call. What the truth is, is known by construction, or computed by numpy, scipy, scikit-learn and
statsmodels; nothing of `jobs.analysis` is used for that. Scores have a noise (SD between seeds) of `NOISE`.
"""

from __future__ import annotations

import ast
import math
import re
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar
from zlib import crc32

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.errors import UserError
from core.evaluation import metrics
from jobs import analysis
from jobs.analysis import gate, importance, interaction, next_step, race, selection, trials
from jobs.analysis.comparison import comparison, friedman, leaderboards
from jobs.analysis.difference import difference
from jobs.analysis.effect import effect
from jobs.analysis.leaderboard import Leaderboard, by_seed, leaderboard
from jobs.analysis.scores import default_mode
from jobs.planning.power import detectable
from jobs.present.difference import difference_text
from jobs.present.race import end_text
from jobs.results import schema, writer
from jobs.results.reader import read_results

Values = NDArray[np.float64]
Draw = np.random.Generator
Measure = Callable[[Draw, int], Iterable[float]]
"""Gives one number per simulated study: 0 or 1, or a share."""

SIGMAS = 3
SMALL = 0.04
"""The share of the studies in the small form, which is a test."""
NOISE = 0.01
LEVEL = 0.5
"""The true score; far from the bounds of a score."""
BATCH = 50
"""Studies in one file of the store."""
PARAMETERS = ("optimiser.learning_rate", "optimiser.weight_decay", "encoder.dropout")
LOST = "DIVERGED: the loss is not finite"
DEAD = "DIED: the worker died"


@dataclass(frozen=True)
class Claim:
    """A claim and how to measure it.

    Attributes:
        what: The claim, in a few words.
        cell: The kind of studies for which it is measured.
        bound: The rate that must not be passed.
        measure: What measures it.
        studies: The number of studies; 0 for what is no rate.
        is_floor: Whether the rate must be at least the bound, as coverage must.
    """

    what: str
    cell: str
    bound: float
    measure: Measure
    studies: int = 1000
    is_floor: bool = False

    def row(self, share: float = 1.0) -> Row:
        """Measures it over this share of its studies; the random numbers depend on the claim alone."""
        count = max(20, round(self.studies * share)) if self.studies else 0
        rng = np.random.default_rng(crc32(f"{self.what}|{self.cell}".encode()))
        found = np.array(list(self.measure(rng, count or 1)), np.float64)
        error = float(found.std(ddof=1)) / math.sqrt(len(found)) if len(found) > 1 else 0.0
        return Row(self, float(found.mean()), error, len(found))


@dataclass(frozen=True)
class Row:
    """What was measured of a claim: the mean over its studies and the standard error of that mean."""

    HEAD: ClassVar = "| claim | studies | bound | measured | standard error | n | |"
    claim: Claim
    measured: float
    error: float
    studies: int

    @property
    def is_beyond(self) -> bool:
        """Whether the rate lies beyond its bound by more than `SIGMAS` standard errors."""
        beyond = self.claim.bound - self.measured if self.claim.is_floor else self.measured - self.claim.bound
        return beyond > SIGMAS * self.error

    def told(self) -> str:
        """The row for people, in Markdown."""
        claim = self.claim
        figures = (
            [f"{self.measured:.3g}", f"{self.error:.2g}", f"{self.studies:,}"]
            if claim.studies
            else [f"{self.measured:.2g}", "", ""]
        )
        cells = [claim.what, claim.cell, f"{'≥' if claim.is_floor else '≤'} {claim.bound:.3g}", *figures]
        return f"| {' | '.join(cells)} | {'beyond' if self.is_beyond else ''} |"


# Studies in the store


@dataclass(frozen=True)
class Study:
    """A study's trials as a grid.

    Attributes:
        values: The scores, one axis per parameter, the seeds last; NaN where there is none.
        metric: Their name.
        reasons: Why a trial without a score failed, by its place; where there is none, it was not run.
        also: Further parameters, the same in all trials.
        data: The hash of the data.
        signals: Label-free signals by name, in the shape of `values`.
    """

    values: Values
    metric: str = "nmi"
    reasons: Mapping[tuple[int, ...], str] = field(default_factory=dict)
    also: Mapping[str, Any] = field(default_factory=dict)
    data: str = "d"
    signals: Mapping[str, Values] = field(default_factory=dict)

    def attempts(self, name: str) -> Iterator[schema.Attempt]:
        """The rows of its trials."""
        usual = {"method.name": "cc", "data.name": "digits", **self.also}
        for number, place in enumerate(np.ndindex(self.values.shape)):
            value, reason = float(self.values[place]), self.reasons.get(place, "")
            if math.isnan(value) and not reason:
                continue
            config = f"{self.data}-{'-'.join(map(str, place[:-1]))}"
            yield schema.Attempt(
                study=name,
                trial_key=f"{config}-{place[-1]}",
                config_key=config,
                seed=place[-1],
                attempt_id=f"{number:026}",
                status="failed" if reason else "ok",
                reason=reason,
                params=usual | {key: 2.0**level for key, level in zip(PARAMETERS, place[:-1], strict=False)},
                metrics={} if reason else {self.metric: value},
                health={name: float(signal[place]) for name, signal in self.signals.items()},
                data_hash=self.data,
                seconds=1.0,
            )


def stored(studies: Iterable[Study]) -> Iterator[pa.Table]:
    """The rows of each study as the store's reader gives them, many studies to a file."""
    rest = iter(studies)
    while batch := list(islice(rest, BATCH)):
        names = [f"s{number:03}" for number in range(len(batch))]
        rows = [row for name, one in zip(names, batch, strict=True) for row in one.attempts(name)]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "part.parquet")
            writer.put(file, writer.serialise(schema.to_table(rows)))
            table = read_results(str(file))
        owners = np.array(table["study"].to_pylist())
        ends = np.searchsorted(owners, names, side="right")
        for begin, end in zip([0, *ends[:-1]], ends, strict=True):
            yield table.slice(begin, end - begin)


def normal(rng: Draw, *shape: int) -> Values:
    """Scores of studies in which nothing has an effect."""
    return LEVEL + NOISE * rng.standard_normal(shape)


def uneven(rng: Draw, configurations: int, seeds: int) -> Values:
    """The same with three times the noise in a quarter of the configurations."""
    noise = np.where(np.arange(configurations) < configurations // 4, 3.0, 1.0)
    return LEVEL + NOISE * noise[:, None] * rng.standard_normal((configurations, seeds))


def with_seed_effects(rng: Draw, *shape: int) -> Values:
    """No level of the first parameter is better, but each seed favours one by chance: an SD of half of the noise."""
    seeds = rng.standard_normal((shape[0], *(1,) * (len(shape) - 2), shape[-1]))
    return normal(rng, *shape) + 0.5 * NOISE * seeds


def crossed_uneven(rng: Draw, *shape: int) -> Values:
    """No effect, but three times the noise at the first level of the first parameter, as at a high learning rate."""
    noise = np.ones((shape[0], *(1,) * (len(shape) - 1)))
    noise[0] = 3.0
    return LEVEL + NOISE * noise * rng.standard_normal(shape)


def boards(studies: Iterable[Study]) -> Iterator[Leaderboard]:
    """The leaderboard of each."""
    for table in stored(studies):
        yield leaderboard(table, "nmi", "max")


Grid = Callable[..., Values]


def drawn(make: Grid, shape: tuple[int, ...], rng: Draw, count: int, digits: int | None = None) -> Iterator[Study]:
    """`count` studies by one of the functions above; with `digits`, written down with so many decimals."""
    for _ in range(count):
        values = make(rng, *shape)
        yield Study(values if digits is None else values.round(digits))


# The leaderboard


def some_excluded(make: Grid, shape: tuple[int, ...], rng: Draw, count: int, digits: int | None = None) -> Values:
    """Studies of equal configurations in which one is said to be worse than the best."""
    found = boards(drawn(make, shape, rng, count, digits))
    return np.array([any(one.tied is False for one in board.entries[1:]) for board in found], np.float64)


def near(noise: float, rng: Draw, *shape: int) -> Values:
    """Equal configurations with this noise, which is small beside the step of two decimals."""
    return 0.84 + noise * rng.standard_normal(shape)


def lost_seeds(
    shape: tuple[int, int], cut: float, judge: Callable[[Leaderboard], bool], rng: Draw, count: int
) -> Values:
    """Equal configurations, of which one diverges with every seed that would score below `cut` SD."""

    def studies() -> Iterator[Study]:
        for _ in range(count):
            values = normal(rng, *shape)
            gone = values[0] < LEVEL + cut * NOISE
            values[0, gone] = np.nan
            yield Study(values, reasons={(0, int(seed)): LOST for seed in np.flatnonzero(gone)})

    return np.array([judge(board) for board in boards(studies())], np.float64)


def is_first(board: Leaderboard) -> bool:
    """Whether the configuration that lost seeds comes first."""
    return board.entries[0].config_key == "d-0"


def is_alone(board: Leaderboard) -> bool:
    """Whether it comes first, and an equal one is said to be worse."""
    return is_first(board) and any(one.tied is False for one in board.entries[1:])


def untold_machines(rng: Draw, count: int) -> Iterator[float]:
    """Studies with five seeds, of which one configuration lost two to machines, and no sentence says so."""

    def studies() -> Iterator[Study]:
        for _ in range(count):
            values = normal(rng, 8, 5)
            gone = rng.choice(5, 2, replace=False)
            values[0, gone] = np.nan
            yield Study(values, reasons={(0, int(seed)): DEAD for seed in gone})

    for board in boards(studies()):
        yield not any(re.search(r"missing.*\b2\b", note) for note in board.notes)


def covered_means(make: Grid, truth: float, shape: tuple[int, int], rng: Draw, count: int) -> Iterator[float]:
    """The share of a study's configurations whose printed interval holds their true mean."""
    for board in boards(drawn(make, shape, rng, count)):
        yield float(np.mean([holds(one.score, truth) for one in board.entries]))


def holds(score: Any, truth: float) -> bool:
    """Whether the interval of a score holds a value."""
    return score.low <= truth <= score.high


def beta(a: float, b: float, rng: Draw, *shape: int) -> Values:
    """Scores near 1."""
    return rng.beta(a, b, shape)


def picked(make: Grid, shape: tuple[int, int], spread: float, rng: Draw, count: int) -> Iterator[float]:
    """Whether the interval that is printed for the mean of the configuration that was picked as best holds it.

    The true means have an SD of `spread` times the noise.
    """
    truths = spread * NOISE * rng.standard_normal((count, shape[0]))
    studies = (Study(truth[:, None] + make(rng, *shape)) for truth in truths)
    for truth, board in zip(truths, boards(studies), strict=True):
        first, mean = board.entries[0], board.best
        if mean is None or mean.sentence not in board.notes:
            raise ValueError(f"no sentence on the best in {board.notes}")
        yield mean.low <= LEVEL + truth[int(first.config_key.rpartition("-")[2])] <= mean.high


def with_blocks(rng: Draw, *shape: int) -> Values:
    """Equal configurations; what a seed adds to all of them alike has an SD as large as the noise."""
    return normal(rng, *shape) + NOISE * rng.standard_normal(shape[-1])


def collapsing(rng: Draw, *shape: int) -> Values:
    """Equal configurations, of which 15 of 100 seeds collapse by ten times the noise."""
    return normal(rng, *shape) - 10 * NOISE * (rng.random(shape) < 0.15)


def falsely_collapsed(shape: tuple[int, int], rng: Draw, count: int) -> Iterator[float]:
    """The share of a study's configurations that is said to have collapsed seeds, where the noise is normal."""
    for board in boards(drawn(normal, shape, rng, count)):
        yield float(np.mean([one.collapsed > 0 for one in board.entries]))


def told_collapsed(shape: tuple[int, int], rng: Draw, count: int) -> Iterator[float]:
    """Of the configurations with some collapsed seeds, but not all, the share whose number is told rightly."""
    made = list(drawn(collapsing, shape, rng, count))
    for study, board in zip(made, boards(made), strict=True):
        gone = (study.values < LEVEL - 5 * NOISE).sum(axis=1)
        told = {int(one.config_key.rpartition("-")[2]): one.collapsed for one in board.entries}
        some = [told[place] == gone[place] for place in range(shape[0]) if 0 < gone[place] < shape[1]]
        if some:
            yield float(np.mean(some))


def unsaid_few(rng: Draw, count: int) -> Iterator[float]:
    """Studies of three seeds whose leaderboard does not say that unequal noise cannot be known from them."""
    for board in boards(drawn(normal, (8, 3), rng, count)):
        yield not any(re.search(r"noise", note) for note in board.notes)


def detected(shape: tuple[int, int], rng: Draw, count: int) -> Iterator[float]:
    """The share of the others that are called worse where one is better by what `plan` says that a study can see."""
    for board in boards(drawn(partial(better, detectable(*shape), normal), shape, rng, count)):
        yield float(np.mean([one.tied is False for one in board.entries if one.config_key != f"d-{shape[0] - 1}"]))


# Comparisons of trials that are equal in everything else


def gathered(studies: Iterable[Study]) -> Iterator[trials.Trials]:
    """The trials of each."""
    for table in stored(studies):
        yield trials.gather(table, "nmi")


def some_verdict(
    make: Grid, shape: tuple[int, ...], rng: Draw, count: int, digits: int | None = None
) -> Iterator[float]:
    """Studies without an effect in which `effect` finds a value better or worse."""
    for one in gathered(drawn(make, shape, rng, count, digits)):
        yield any(step.verdict in {"better", "worse"} for step in effect(one, PARAMETERS[0], "max").differences)


def covered_effects(make: Grid, shape: tuple[int, ...], rng: Draw, count: int) -> Iterator[float]:
    """The share of `effect`'s intervals that hold 0, where nothing has an effect."""
    for one in gathered(drawn(make, shape, rng, count)):
        known = [step.estimate for step in effect(one, PARAMETERS[0], "max").differences if step.estimate]
        yield float(np.mean([abs(found.mean) <= found.half_width for found in known if found.half_width is not None]))


def with_gaps(rng: Draw, *shape: int) -> Values:
    """No effect; a quarter of the trials is missing by chance, so numbers of seeds differ."""
    values = normal(rng, *shape)
    values[rng.random(shape) < 0.25] = np.nan
    return values


def some_matters(make: Grid, shape: tuple[int, ...], part: str, rng: Draw, count: int) -> Iterator[float]:
    """Studies without an effect in which `importance` says that a parameter, or a pair of them, matters."""
    for one in gathered(drawn(make, shape, rng, count)):
        found = getattr(importance.importance(one), part)
        yield any(share.verdict.startswith("matters") for share in found)


def advised(make: Grid, shape: tuple[int, ...], keys: Collection[str], rng: Draw, count: int) -> Iterator[float]:
    """Studies without an effect in which `next` leaves out a value of one of these parameters as worse."""
    for one in gathered(drawn(make, shape, rng, count)):
        advice = [found for found in next_step.advise(one, "max", NOISE / 1e4) if found.key in keys]
        yield any(
            found.kind in {"extend", "refine", "fix"} or {*one.factors[found.key].levels} - {*found.values}
            for found in advice
        )


def with_seed_interactions(rng: Draw, *shape: int) -> Values:
    """No effect depends on another, but each seed favours a pair of levels by chance: an SD of half of the noise."""
    seeds = rng.standard_normal((*shape[:2], *(1,) * (len(shape) - 3), shape[-1]))
    return normal(rng, *shape) + 0.5 * NOISE * seeds


def depends(make: Grid, shape: tuple[int, ...], rng: Draw, count: int) -> Iterator[float]:
    """Studies in which `interaction` finds that the effect of the first parameter depends on the second."""
    for one in gathered(drawn(make, shape, rng, count)):
        found = interaction.interaction(one, *PARAMETERS[:2])
        yield any(contrast.verdict == "depends" for contrast in found.contrasts)


def covered_luck(spread: float, shape: tuple[int, ...], rng: Draw, count: int) -> Iterator[float]:
    """Whether the interval of `luck` holds the share of the seeds in the variance of these configurations' trials.

    The true means have an SD of `spread` times the noise.
    """
    truths = spread * NOISE * rng.standard_normal((count, *shape[:-1]))
    for truth, one in zip(truths, gathered(Study(t[..., None] + normal(rng, *shape)) for t in truths), strict=True):
        low, high = importance.importance(one).luck_interval or (math.nan, math.nan)
        yield low <= NOISE**2 / (NOISE**2 + float(truth.var(ddof=1))) <= high


def better(size: float, make: Grid, rng: Draw, *shape: int) -> Values:
    """As `make`, but the last level of the first parameter is better by `size` SD."""
    values = make(rng, *shape)
    values[-1] += size * NOISE
    return values


# Two sets of results


def pairs_of(sides: Iterable[tuple[Study, Study]]) -> Iterator[Any]:
    """`diff` of each pair of studies."""
    tables = stored(one for pair in sides for one in pair)
    for before, after in zip(tables, tables, strict=True):
        yield difference(before, after, "nmi", "max")


def two_sides(
    shape: tuple[int, int], noise: float, rng: Draw, count: int, *, digits: int | None = None, shared: float = 0.0
) -> Iterator[tuple[Study, Study]]:
    """The same configurations twice; each seed favours a side by chance, by `shared` SD."""
    for _ in range(count):
        a, b = 0.84 + noise * rng.standard_normal((2, *shape))
        b += shared * noise * rng.standard_normal((1, shape[1]))
        yield (Study(a), Study(b)) if digits is None else (Study(a.round(digits)), Study(b.round(digits)))


def some_changed(shape: tuple[int, int], noise: float, digits: int | None, rng: Draw, count: int) -> Iterator[float]:
    """Studies in which `diff` calls some configuration better or worse, where nothing has changed."""
    for found in pairs_of(two_sides(shape, noise, rng, count, digits=digits)):
        yield any(pair.verdict in {"better", "worse"} for pair in found.pairs)


def overall(shape: tuple[int, int], shared: float, rng: Draw, count: int) -> Iterator[float]:
    """Studies in which the printed interval "Over the N configurations" leaves out 0, where nothing has changed."""
    for found in pairs_of(two_sides(shape, 5 * NOISE, rng, count, shared=shared)):
        text = " ".join(difference_text(found, ("a", "b"), "table").split())
        told = re.search(r"Over the \d+ configurations[^:]*: ([+-]\d+\.\d+) ±(\d+\.\d+)", text)
        if told is None:
            raise ValueError(f"no interval over the configurations in: {text}")
        yield abs(float(told[1])) > float(told[2])


# Gates and races


def values_of(table: pa.Table) -> list[dict[int, float]]:
    """The scores of each configuration by seed."""
    return list(by_seed(table, "metric.nmi").values())


def improved(shape: tuple[int, int], rng: Draw, count: int) -> Iterator[float]:
    """Gates `improves` that open though the stage before was as good."""
    tables = stored(drawn(normal, shape, rng, 2 * count))
    for before, now in zip(tables, tables, strict=True):
        yield gate.improves("nmi", values_of(now), values_of(before), maximise=True).is_open


def opened(make: Grid, shape: tuple[int, int], rng: Draw, count: int) -> Iterator[float]:
    """Gates that open though every configuration truly lies one SD below the threshold."""
    for table in stored(drawn(make, shape, rng, count)):
        yield gate.reaches("nmi", values_of(table), at_least=LEVEL + NOISE, at_most=None).is_open


def races(tables: Iterable[pa.Table], first: int) -> Iterator[tuple[pa.Table, race.Race, race.RaceRule]]:
    """The race of each study: it begins with `first` seeds, and its rows hold those that it may add, ten in all."""
    rule = race.RaceRule(looks=race.looks(first, 10), top=5, margin=0.0, maximise=True)
    for table in tables:
        future = {key: found for (_, key), found in by_seed(table, "metric.nmi").items()}
        known = {key: {seed: found[seed] for seed in range(first)} for key, found in future.items()}
        while (state := race.race(known, range(10), rule)).lacking:
            for key, seed in state.lacking:
                known[key][seed] = future[key][seed]
        yield table, state, rule


def raced(make: Grid, shape: tuple[int, int], rng: Draw, count: int) -> Iterator[float]:
    """Races among equal configurations in which one is called worse, at any look."""
    tables = stored(drawn(make, (shape[0], 10), rng, count))
    for _, state, _ in races(tables, shape[1]):
        yield any(one.verdict == "worse" for _, standings in state.rounds for one in standings)


SAID = {
    "at most": re.compile(r"by at most ([\d.]+) \(95 %\)"),
    "ends": re.compile(r"contenders, it is -?[\d.]+ \(95 %: (-?[\d.]+) to (-?[\d.]+)\)"),
}


def confirmed(said: str, shape: tuple[int, int], rng: Draw, count: int) -> Iterator[float]:
    """Whether what `confirm` prints at its end is true, among the races that print it.

    By `at most`, no remaining configuration is truly farther from the first. The `ends` hold the first's true mean.
    The true means have an SD as large as the noise.
    """
    truths = LEVEL + NOISE * rng.standard_normal((count, shape[0]))
    made = (Study(truth[:, None] + NOISE * rng.standard_normal((shape[0], 10))) for truth in truths)
    for truth, (table, state, rule) in zip(truths, races(stored(made), shape[1]), strict=True):
        text = " ".join(end_text(leaderboard(table, "nmi", "max"), state, rule, 500).split())
        mean = {one.key: float(truth[int(one.key.rpartition("-")[2])]) for one in state.rounds[-1][1]}
        left = [mean[one.key] for one in state.rounds[-1][1] if one.verdict != "worse"]
        if (found := SAID[said].search(text)) is None:
            continue
        if said == "at most":
            yield max(abs(one - left[0]) for one in left) <= float(found[1])
        else:
            yield float(found[1]) <= left[0] <= float(found[2])


# Losses, consensus, data sets, words

SCALED = [
    ("loss", {"method.instance_temperature": (0.5, 0.1)}),
    ("loss", {"method.cluster_temperature": (0.5, 0.1)}),
    ("loss", {"batch_size": (64, 256)}),
    ("loss", {"n_clusters": (5, 10)}),
    ("loss", {"method.entropy_weight": (1.0, 0.0)}),
    ("loss", {"method.name": ("cc", "tcl")}),
    ("loss", {"views.noise": (0.1, 0.5)}),
    ("loss", {"method.instance_dim": (16, 128)}),
    ("loss", {"method.tau": (0.5, 0.1)}),
    ("loss", {"data.name": ("digits", "stackoverflow")}),
    *((name, {"method.instance_temperature": (0.5, 0.1)}) for name in ("val_loss", "contrastive_loss")),
    *((name, {"method.instance_temperature": (0.5, 0.1)}) for name in ("objective", "normalised_loss")),
]
"""A loss, and a parameter that rescales it with two of its values."""
_TELLS = re.compile(r"rescale|scale of|no direction|declare|cannot be compared|not known|unknown", re.IGNORECASE)


def ranked_in_silence(rng: Draw, _: int) -> Iterator[float]:
    """The number of `SCALED` that are ranked without a word on it, and of imported losses without a temperature."""
    silent = 0
    for name, varied in [*SCALED, ("loss", {"import": ("", "")})]:
        rows = []
        for level in (0, 1):
            also = {key: values[level] for key, values in varied.items()}
            imported = also.pop("import", None) is not None
            made = Study(rng.random((1, 3)) + level, name, also=also, data=also.get("data.name", "d")).attempts("s")
            for one in made:
                one.config_key, one.trial_key = f"{level}", f"{level}-{one.seed}"
                one.params[PARAMETERS[0]] = float(level)
                if imported:
                    one.source, one.params = "import", {PARAMETERS[0]: float(level)}
                rows.append(one)
        silent += _is_silent(schema.to_table(rows), name)
    yield silent


def _is_silent(table: pa.Table, name: str) -> bool:
    """Whether it is ranked without a word, by the metric's own direction or by one that is given."""
    return _is_ranked(table, name, lambda: default_mode(name)) or _is_ranked(table, name, lambda: "min")


def _is_ranked(table: pa.Table, name: str, mode: Callable[[], str]) -> bool:
    try:
        board = leaderboard(table, name, mode())
    except UserError:
        return False
    return not any(map(_TELLS.search, board.notes))


CRITERIA = ("raw_silhouette", "head_kmeans_nmi", "knn_consistency", "mutual_information")


def consensus_over_k(rng: Draw, _: int) -> Iterator[float]:
    """Whether the consensus ranks configurations with several numbers of clusters."""
    rows: list[schema.Attempt] = []
    for clusters in (5, 10):
        signals = {name: rng.random((3, 2)) for name in CRITERIA}
        for one in Study(normal(rng, 3, 2), also={"n_clusters": clusters}, signals=signals).attempts("s"):
            one.config_key, one.trial_key = f"{clusters}{one.config_key}", f"{clusters}{one.trial_key}"
            rows.append(one)
    try:
        leaderboard(schema.to_table(rows), "consensus", "max")
    except UserError:
        yield 0.0
    else:
        yield 1.0


def consensus_over_data(rng: Draw, _: int) -> Iterator[float]:
    """How much the consensus of a data set's trials changes when those of another come in."""
    own, other = (
        Study(normal(rng, 4, 2), data=data, signals={name: rng.random((4, 2)) for name in CRITERIA}).attempts("s")
        for data in ("d", "e")
    )
    first = list(own)
    alone = selection.with_consensus(schema.to_table(first))[selection.CONSENSUS_COLUMN].to_pylist()
    both = selection.with_consensus(schema.to_table([*first, *other]))[selection.CONSENSUS_COLUMN].to_pylist()
    yield float(np.abs(np.array(alone) - np.array(both[: len(alone)])).max())


def several_data(methods: int, sets: int, rng: Draw, count: int) -> Iterator[list[Study]]:
    """Equal configurations on several data sets, which differ in how hard they are."""
    for _ in range(count):
        values = normal(rng, sets, methods, 3) + rng.uniform(-0.2, 0.2, (sets, 1, 1))
        yield [Study(one, data=f"d{i}", also={"data.name": f"set{i}"}) for i, one in enumerate(values)]


def together(studies: Sequence[Study]) -> pa.Table:
    """The rows of several data sets in one study."""
    return schema.to_table([row for one in studies for row in one.attempts("s")])


def compared_across_data(rng: Draw, count: int) -> Iterator[float]:
    """Studies of two data sets in which a rank or a tie of one is not what it is alone."""
    for studies in several_data(4, 2, rng, count):
        both = [board.entries for _, board in leaderboards(together(studies), "nmi", "max")]
        alone = [leaderboard(together([one]), "nmi", "max").entries for one in studies]
        seen, expected = ([[(e.config_key, e.rank, e.tied) for e in one] for one in of] for of in (both, alone))
        yield seen != expected


def some_rank_differs(sets: int, rng: Draw, count: int) -> Iterator[float]:
    """Studies of equal configurations in which the test of average ranks finds a difference."""
    for studies in several_data(4, sets, rng, count):
        table = together(studies)
        found = comparison(table, leaderboards(table, "nmi", "max"))
        ranks = [row.average_rank for row in found.rows if row.average_rank is not None]
        yield found.test is not None and found.test.p <= 0.05 and max(ranks) - min(ranks) >= found.test.critical


def critical_ranks(_: Draw, count: int) -> Iterator[float]:
    """The largest difference of the critical difference of average ranks from scipy's studentised range."""
    from scipy.stats import studentized_range

    sets = 5 * count
    yield max(
        abs(friedman(np.tile(np.arange(k) + 1.0, (sets, 1))).critical - range_ * math.sqrt(k * (k + 1) / 12 / sets))
        for k in (2, 4, 8)
        for range_ in [float(studentized_range.ppf(0.95, k, np.inf))]
    )


WORDS = re.compile(r"\bsurely\b|configurations like these|similar configurations", re.IGNORECASE)
PRINTING = ("analysis", "present", "commands", "planning", "report", "charts")


def bold_words(_: Draw, count: int) -> Iterator[float]:
    """The number of texts in the program that promise more than was shown."""
    files = [file for name in PRINTING for file in sorted(Path(analysis.__file__).parents[1].glob(f"{name}/*.py"))]
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    yield count * sum(bool(WORDS.search(" ".join(text.split()))) for text in texts)


# What is computed exactly


def anova(rng: Draw, _: int) -> Iterator[float]:
    """The largest difference of a p-value of `importance` from statsmodels' analysis of variance of type II."""
    import pandas as pd
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    values = normal(rng, 3, 4, 5, 1) + NOISE * np.arange(3)[:, None, None, None]
    values[rng.random(values.shape) < 0.2] = np.nan
    (one,) = gathered([Study(values)])
    frame = pd.DataFrame({name: one.factors[key].codes for name, key in zip("abc", PARAMETERS, strict=True)})
    frame = frame.assign(y=one.values)
    found = importance.importance(one)
    names = dict(zip(PARAMETERS, "abc", strict=True))
    main = anova_lm(ols("y ~ C(a) + C(b) + C(c)", frame).fit(), typ=2)
    apart = [abs(share.p - main.loc[f"C({names[share.keys[0]]})", "PR(>F)"]) for share in found.parameters]
    for share in found.interactions:
        first, second = sorted(names[key] for key in share.keys)
        pair = f"C({first}):C({second})"
        fitted = anova_lm(ols(f"y ~ C(a) + C(b) + C(c) + {pair}", frame).fit(), typ=2)
        apart.append(abs(share.p - fitted.loc[pair, "PR(>F)"]))
    yield max(apart)


def scores_of_labels(rng: Draw, _: int) -> Iterator[float]:
    """The largest difference of a score from scikit-learn's, over label sets with empty and unequal clusters."""
    from scipy.optimize import linear_sum_assignment
    from sklearn import metrics as known

    apart = []
    for _ in range(50):
        true = rng.integers(0, rng.integers(2, 9), 200)
        mixed = np.where(rng.random(200) < rng.random(), true, rng.integers(0, rng.integers(2, 12), 200))
        found = metrics.scores(mixed, true) | {"ami": metrics.ami(mixed, true)}
        table = known.cluster.contingency_matrix(mixed, true)
        rows, columns = linear_sum_assignment(table, maximize=True)
        pairs = known.cluster.pair_confusion_matrix(true, mixed)
        expected = {
            "nmi": known.normalized_mutual_info_score(true, mixed),
            "ami": known.adjusted_mutual_info_score(true, mixed),
            "ari": known.adjusted_rand_score(true, mixed),
            "fmi": known.fowlkes_mallows_score(true, mixed),
            "acc": table[rows, columns].sum() / 200,
            "purity": table.max(axis=1).sum() / 200,
            "pair_f1": 2 * pairs[1, 1] / (2 * pairs[1, 1] + pairs[0, 1] + pairs[1, 0]),
        }
        apart += [abs(found[name] - value) for name, value in expected.items()]
    yield max(apart)


# The claims


def claims() -> list[Claim]:
    """All claims: those that an audit found too bold, then those that held."""
    return [*_leaderboard(), *_effects(), *_rounded_and_changed(), *_tests(), *_confirmed(), *_exact(), *_power()]


def _leaderboard() -> Iterator[Claim]:
    lost = "a configuration that lost its worst seeds to DIVERGED"
    for shape, cut in [((8, 5), 0.0), ((8, 5), -0.5), ((8, 10), 0.0)]:
        cell = f"{_cell(shape)}, one loses every seed below {cut:+g} SD"
        yield Claim(f"{lost} comes first", cell, 0.155, partial(lost_seeds, shape, cut, is_first))
        yield Claim(f"{lost} comes first alone", cell, 0.06, partial(lost_seeds, shape, cut, is_alone))
    yield Claim("seeds that machines lost are not told", "8 x 5, one lost 2", 0.0, untold_machines, 20)
    for shape in [(2, 3), (3, 3), (8, 3), (36, 3), (200, 3), (8, 5), (36, 5), (36, 2)]:
        for spread in (0.0, 1.0):
            cell = f"{_cell(shape)}, true differences of SD {spread:g}"
            measure = partial(picked, normal, shape, spread)
            yield _covers("the best's interval", cell, measure, 400 if shape[0] > 100 else 1000)
    for make, cell in [(with_blocks, "what seeds share has SD 1"), (uneven, "a quarter at 3 x SD")]:
        yield _covers("the best's interval", f"36 x 5, {cell}", partial(picked, make, (36, 5), 0.0))
    for shape in [(8, 5), (36, 3), (8, 10)]:
        measure = partial(falsely_collapsed, shape)
        yield Claim("a configuration is said to have collapsed seeds", f"{_cell(shape)}, normal noise", 0.01, measure)
    measure = partial(told_collapsed, (8, 5))
    yield Claim("the number of collapsed seeds is told", "8 x 5, 15 % collapse by 10 SD", 0.8, measure, is_floor=True)
    yield Claim("unequal noise is not mentioned", "8 x 3", 0.0, unsaid_few, 20)
    for a, b in [(30, 1), (10, 1), (30, 2)]:
        for seeds in (3, 5, 10):
            measure = partial(covered_means, partial(beta, a, b), a / (a + b), (8, seeds))
            yield _covers("intervals near a bound", f"Beta({a}, {b}), 8 x {seeds}", measure)
    for shape, bound in [((36, 5), 0.07), ((8, 5), 0.07), ((36, 3), 0.2)]:
        cell = f"{_cell(shape)}, a quarter at 3 x SD"  # At three seeds it cannot be known, and the words say so.
        yield Claim("an equal one is excluded", cell, bound, partial(some_excluded, uneven, shape), 500)
    for shape, noise in [((8, 3), 0.003), ((8, 2), 0.005), ((36, 3), 0.005)]:
        cell = f"{_cell(shape)}, two decimals, SD {noise:g}"
        yield Claim(
            "an equal one is excluded", cell, 0.06, partial(some_excluded, partial(near, noise), shape, digits=2)
        )
    yield Claim("a rank depends on another data set", "two data sets", 0.0, compared_across_data, 20)


def _cell(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _covers(what: str, cell: str, measure: Measure, studies: int = 1000) -> Claim:
    return Claim(f"coverage of {what}", cell, 0.93, measure, studies, is_floor=True)


def _effects() -> Iterator[Claim]:
    for shape, studies in [((4, 9, 3), 1000), ((4, 36, 3), 500), ((4, 6, 6, 5), 300)]:
        cell = f"{_cell(shape)}, seed x level .5 SD"
        yield _covers("effect", cell, partial(covered_effects, with_seed_effects, shape), studies)
        yield Claim("effect: a false verdict", cell, 0.06, partial(some_verdict, with_seed_effects, shape), studies)
    for shape in [(4, 3, 3, 3), (4, 6, 6, 3)]:
        cell = f"{_cell(shape)}, seed x level .5 SD"
        for part in ("parameters", "interactions"):
            yield Claim(
                f"importance: one of the {part} matters",
                cell,
                0.06,
                partial(some_matters, with_seed_effects, shape, part),
                500,
            )
    for make, cell in [(with_seed_interactions, "seed x pair .5 SD"), (normal, "equal noise")]:
        measure = partial(depends, make, (3, 3, 9, 3))
        yield Claim("interaction: a false dependence", f"3 x 3 x 9 x 3, {cell}", 0.06, measure, 500)
    for spread in (0.5, 1.0, 2.0):
        cell = f"4 x 3 x 3, true differences of SD {spread:g}"
        yield _covers("the share of luck", cell, partial(covered_luck, spread, (4, 3, 3)))
    cell = "4 x 3 x 3 x 3, a quarter at 3 x SD"
    for part in ("parameters", "interactions"):
        yield Claim(
            f"importance: one of the {part} matters",
            cell,
            0.06,
            partial(some_matters, crossed_uneven, (4, 3, 3, 3), part),
        )


def _rounded_and_changed() -> Iterator[Claim]:
    for shape in [(8, 3), (36, 3)]:
        for shared in (0.5, 0.0):
            cell = f"{_cell(shape)}, seed x side {shared:g} SD"
            yield Claim(
                "diff: over all configurations, 0 is excluded", cell, 0.06, partial(overall, shape, shared), 500
            )
    for shape, noise, digits in [((8, 2), 0.01, 2), ((8, 3), 0.005, 2), ((36, 3), 0.01, 2), ((36, 3), 0.01, None)]:
        cell = f"{_cell(shape)}, {digits or 'all'} decimals, SD {noise:g}"
        yield Claim("diff: a false verdict", cell, 0.06, partial(some_changed, shape, noise, digits), 500)
    for shape, noise in [((2, 3), 0.003), ((2, 3), 0.01), ((2, 4, 1), 0.003)]:
        cell = f"{_cell(shape)}, two decimals, SD {noise:g}"
        yield Claim("effect: a false verdict", cell, 0.06, partial(some_verdict, partial(near, noise), shape, digits=2))


def _tests() -> Iterator[Claim]:
    for shape in [(8, 3), (36, 3)]:
        yield Claim("a gate improves is open", f"{_cell(shape)}, equal stages", 0.06, partial(improved, shape))
    for configurations in (1, 8, 36, 200):
        shape = configurations, 3
        cell = f"{_cell(shape)}, all one SD below"
        yield Claim(
            "a gate at_least is open", cell, 0.06, partial(opened, normal, shape), 400 if configurations > 100 else 1000
        )
    yield Claim(
        "a gate at_least is open", "36 x 5, all below, a quarter at 3 x SD", 0.06, partial(opened, uneven, (36, 5))
    )
    for levels in (3, 5, 6):
        shape = levels, 9, 3
        yield Claim("next: a false worse", f"{_cell(shape)}", 0.06, partial(advised, normal, shape, PARAMETERS[:1]))
    yield Claim(
        "next: a false worse",
        "4 x 3 x 3 x 3, three parameters",
        0.06,
        partial(advised, normal, (4, 3, 3, 3), PARAMETERS),
        500,
    )
    yield Claim(
        "next: a false worse",
        "4 x 3 x 3 x 3, seed x level .5 SD",
        0.06,
        partial(advised, with_seed_effects, (4, 3, 3, 3), PARAMETERS),
        500,
    )
    yield Claim("losses are ranked in silence", "15 cases", 0.0, ranked_in_silence, 0)
    yield Claim("consensus ranks over numbers of clusters", "5 and 10 clusters", 0.0, consensus_over_k, 0)
    yield Claim("consensus depends on other data", "two data sets", 0.0, consensus_over_data, 0)
    yield Claim("texts that promise too much", "all strings of the program", 0.0, bold_words, 0)
    yield Claim(
        "confirm: an equal one is called worse",
        "36 x 3, a quarter at 3 x SD",
        0.07,
        partial(raced, uneven, (36, 3)),
        500,
    )


def _confirmed() -> Iterator[Claim]:
    for what, said in [("confirm: differ by at most", "at most"), ("confirm: the winner's mean", "ends")]:
        for shape in [(8, 3), (36, 3)]:
            cell = f"{_cell(shape)}, true differences of SD 1"
            yield _covers(what, cell, partial(confirmed, said, shape), 500)


def _exact() -> Iterator[Claim]:
    for seeds in (3, 5, 10):
        measure = partial(covered_means, normal, LEVEL, (8, seeds))
        yield _covers("intervals of normal noise", f"8 x {seeds}", measure)
    for shape in [(8, 3), (36, 3), (36, 5), (200, 3)]:
        yield Claim(
            "an equal one is excluded",
            f"{_cell(shape)}, equal noise",
            0.06,
            partial(some_excluded, normal, shape),
            400 if shape[0] > 100 else 1000,
        )
    cell = "3 x 3 x 3 x 5, a quarter of the trials missing"
    yield _covers("effect", cell, partial(covered_effects, with_gaps, (3, 3, 3, 5)))
    yield Claim("effect: a false verdict", cell, 0.06, partial(some_verdict, with_gaps, (3, 3, 3, 5)))
    for part in ("parameters", "interactions"):
        yield Claim(
            f"importance: one of the {part} matters",
            "4 x 3 x 3 x 3, equal noise",
            0.06,
            partial(some_matters, normal, (4, 3, 3, 3), part),
        )
    for shape in [(2, 3), (8, 3)]:
        yield Claim(
            "confirm: an equal one is called worse",
            f"{_cell(shape)}, at any look",
            0.06,
            partial(raced, normal, shape),
            1000,
        )
    yield Claim(
        "average ranks are said to differ", "4 x 6 data sets, 3 seeds", 0.06, partial(some_rank_differs, 6), 300
    )
    yield Claim("critical differences of ranks differ from scipy's by", "2, 4, 8 methods", 1e-4, critical_ranks, 0)
    yield Claim("p-values differ from statsmodels' by", "3 x 4 x 5 with gaps, type II", 1e-9, anova, 0)
    yield Claim("scores differ from scikit-learn's by", "50 pairs of labellings", 1e-12, scores_of_labels, 0)


def _power() -> Iterator[Claim]:
    """What is there is found: a rule that never says anything would keep every bound above."""
    for size, shape in [(4, (8, 3)), (3, (8, 5)), (3, (36, 5))]:
        cell = f"{_cell(shape)}, one is better by {size} SD"
        yield _finds("the leaderboard", cell, partial(some_excluded, partial(better, size, normal), shape))
    for make, shape, extra in [(normal, (2, 9, 3), ""), (with_seed_effects, (2, 9, 5), ", seed x level .5 SD")]:
        measure = partial(some_verdict, partial(better, 2, make), shape)
        yield _finds("effect", f"{_cell(shape)}, one is better by 2 SD{extra}", measure)
    for shape in [(8, 3), (30, 5), (3, 10)]:
        for bound, is_floor in [(0.75, True), (0.85, False)]:
            cell = f"{_cell(shape)}, better by what plan names"
            what = f"the others are called worse, at {'least' if is_floor else 'most'}"
            yield Claim(what, cell, bound, partial(detected, shape), 300, is_floor)
    measure = partial(some_matters, partial(better, 2, normal), (4, 3, 3, 3), "parameters")
    yield _finds("importance", "4 x 3 x 3 x 3, one is better by 2 SD", measure)
    yield _finds(
        "next",
        "4 x 9 x 3, one is better by 2 SD",
        partial(advised, partial(better, 2, normal), (4, 9, 3), PARAMETERS[:1]),
    )
    measure = partial(opened, partial(better, 5, normal), (8, 3))
    yield _finds("a gate at_least", "8 x 3, one lies 4 SD above", measure)


def _finds(what: str, cell: str, measure: Measure) -> Claim:
    return Claim(f"{what} finds a difference", cell, 0.8, measure, 300, is_floor=True)


def _row(claim: Claim, share: float) -> tuple[Row, float]:
    begin = time.process_time()
    return claim.row(share), time.process_time() - begin


def main() -> None:
    """Prints the rows as a table in Markdown, and what they took."""
    wanted = [word for word in sys.argv[1:] if word != "--small"]
    share = SMALL if "--small" in sys.argv[1:] else 1.0
    chosen = [one for one in claims() if not wanted or any(word in f"{one.what}: {one.cell}" for word in wanted)]
    print(Row.HEAD, "| --- " * Row.HEAD.count(" | ") + "| --- |", sep="\n", flush=True)
    beyond, took = 0, 0.0
    with ProcessPoolExecutor(2) as pool:
        for row, seconds in pool.map(_row, chosen, [share] * len(chosen)):
            print(row.told(), flush=True)
            beyond, took = beyond + row.is_beyond, took + seconds
    print(f"\n{len(chosen)} rows in {took / 60:.1f} minutes of a core.")
    print(f"{beyond} of them lie beyond their bounds by more than {SIGMAS} standard errors.")
    sys.exit(beyond > 0)


if __name__ == "__main__":
    main()
