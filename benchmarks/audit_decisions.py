"""What decides on more runs: gates, `next` and `confirm`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from functools import partial

import pyarrow as pa

from benchmarks.audit_claims import Claim, Draw, cell_of, covers, finds
from benchmarks.audit_studies import (
    LEVEL,
    NOISE,
    PARAMETERS,
    Grid,
    Study,
    better,
    drawn,
    gathered,
    normal,
    stored,
    uneven,
    with_seed_effects,
)
from jobs.analysis import gate, next_step, race
from jobs.analysis.leaderboard import leaderboard
from jobs.analysis.outcomes import by_seed
from jobs.present.race import end_text


def advised(make: Grid, shape: tuple[int, ...], keys: Collection[str], rng: Draw, count: int) -> Iterator[float]:
    """Studies without an effect in which `next` leaves out a value of one of these parameters as worse."""
    for one in gathered(drawn(make, shape, rng, count)):
        advice = [found for found in next_step.advise(one, "max", NOISE / 1e4) if found.key in keys]
        yield any(
            found.kind in {"extend", "refine", "fix"} or {*one.factors[found.key].levels} - {*found.values}
            for found in advice
        )


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


def claims() -> Iterator[Claim]:
    """The claims on decisions."""
    yield from _gates()
    yield from _next()
    yield from _confirm()


def _gates() -> Iterator[Claim]:
    for shape in [(8, 3), (36, 3)]:
        yield Claim("a gate improves is open", f"{cell_of(shape)}, equal stages", 0.06, partial(improved, shape))
    what = "a gate at_least is open"
    for shape in [(1, 3), (8, 3), (36, 3), (200, 3)]:
        cell, studies = f"{cell_of(shape)}, all one SD below", 400 if shape[0] > 100 else 1000
        yield Claim(what, cell, 0.06, partial(opened, normal, shape), studies)
    yield Claim(what, "36 x 5, all below, a quarter at 3 x SD", 0.06, partial(opened, uneven, (36, 5)))
    measure = partial(opened, partial(better, 5, normal), (8, 3))
    yield finds("a gate at_least", "8 x 3, one lies 4 SD above", measure)


def _next() -> Iterator[Claim]:
    what = "next: a false worse"
    for shape in [(3, 9, 3), (5, 9, 3), (6, 9, 3)]:
        yield Claim(what, cell_of(shape), 0.06, partial(advised, normal, shape, PARAMETERS[:1]))
    for make, cell in [(normal, "three parameters"), (with_seed_effects, "seed x level .5 SD")]:
        measure = partial(advised, make, (4, 3, 3, 3), PARAMETERS)
        yield Claim(what, f"4 x 3 x 3 x 3, {cell}", 0.06, measure, 500)
    measure = partial(advised, partial(better, 2, normal), (4, 9, 3), PARAMETERS[:1])
    yield finds("next", "4 x 9 x 3, one is better by 2 SD", measure)


def _confirm() -> Iterator[Claim]:
    what = "confirm: an equal one is called worse"
    yield Claim(what, "36 x 3, a quarter at 3 x SD", 0.07, partial(raced, uneven, (36, 3)), 500)
    for shape in [(2, 3), (8, 3)]:
        yield Claim(what, f"{cell_of(shape)}, at any look", 0.06, partial(raced, normal, shape))
    for shown, said in [("differ by at most", "at most"), ("the winner's mean", "ends")]:
        for shape in [(8, 3), (36, 3)]:
            cell = f"{cell_of(shape)}, true differences of SD 1"
            yield covers(f"confirm: {shown}", cell, partial(confirmed, said, shape), 500)
