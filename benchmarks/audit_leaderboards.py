"""What a leaderboard says: signs, intervals, the best, collapsed seeds, several data sets, the Pareto front."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.audit_claims import Claim, Draw, cell_of, covers, finds
from benchmarks.audit_studies import (
    DEAD,
    LEVEL,
    LOST,
    NOISE,
    Grid,
    Study,
    Values,
    better,
    drawn,
    near,
    normal,
    stored,
    uneven,
)
from jobs.analysis.comparison import comparison, friedman, leaderboards
from jobs.analysis.leaderboard import Leaderboard, leaderboard
from jobs.analysis.pareto import Aims
from jobs.planning.power import detectable
from jobs.results import schema


def boards(studies: Iterable[Study]) -> Iterator[Leaderboard]:
    """The leaderboard of each."""
    for table in stored(studies):
        yield leaderboard(table, "nmi", "max")


def some_excluded(make: Grid, shape: tuple[int, ...], rng: Draw, count: int, digits: int | None = None) -> Values:
    """Studies of equal configurations in which one is said to be worse than the best."""
    found = boards(drawn(make, shape, rng, count, digits))
    return np.array([any(one.tied is False for one in board.entries[1:]) for board in found], np.float64)


def lossy(shape: tuple[int, int], cut: float, rng: Draw, count: int) -> Iterator[Study]:
    """Equal configurations, of which one diverges with every seed that would score below `cut` SD."""
    for _ in range(count):
        values = normal(rng, *shape)
        gone = values[0] < LEVEL + cut * NOISE
        values[0, gone] = np.nan
        yield Study(values, reasons={(0, int(seed)): LOST for seed in np.flatnonzero(gone)})


def lost_seeds(
    shape: tuple[int, int], cut: float, judge: Callable[[Leaderboard], bool], rng: Draw, count: int
) -> Values:
    """What `judge` says of the leaderboards of such studies."""
    return np.array([judge(board) for board in boards(lossy(shape, cut, rng, count))], np.float64)


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


def picking(make: Grid, shape: tuple[int, int], spread: float, rng: Draw, count: int) -> Iterator[tuple[Values, Study]]:
    """Studies whose true means have an SD of `spread` times the noise, and what these means are above `LEVEL`."""
    for truth in spread * NOISE * rng.standard_normal((count, shape[0])):
        yield truth, Study(truth[:, None] + make(rng, *shape))


def picked(make: Grid, shape: tuple[int, int], spread: float, rng: Draw, count: int) -> Iterator[float]:
    """Whether the interval that is printed for the mean of the configuration that was picked as best holds it."""
    made = list(picking(make, shape, spread, rng, count))
    for (truth, _), board in zip(made, boards(study for _, study in made), strict=True):
        first, mean = board.entries[0], board.best
        if mean is None or mean.sentence not in board.notes:
            raise ValueError(f"no sentence on the best in {board.notes}")
        yield mean.low <= LEVEL + truth[int(first.config_key.rpartition("-")[2])] <= mean.high


def with_blocks(rng: Draw, *shape: int) -> Values:
    """Equal configurations; what a seed adds to all of them alike has an SD as large as the noise."""
    return normal(rng, *shape) + NOISE * rng.standard_normal(shape[-1])


def log_normal(rng: Draw, *shape: int) -> Values:
    """Equal configurations whose noise has a long tail of better values: log-normal with a sigma of 1."""
    noise = rng.lognormal(0.0, 1.0, shape) - math.exp(0.5)
    return LEVEL + NOISE * noise / math.sqrt(math.exp(2) - math.e)


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


def off_front(make: Grid, shape: tuple[int, int], steps: Sequence[float], rng: Draw, count: int) -> Iterator[float]:
    """Studies in which a configuration is said to be off the front of nmi and imbalance (the less the better).

    The true means of the two rise by these steps, in SD, from one configuration to the next.
    """
    rise = NOISE * np.arange(shape[0])[:, None]
    pairs = ([one + step * rise for one, step in zip(make(rng, *shape), steps, strict=True)] for _ in range(count))
    aims = Aims({"nmi": "max", "imbalance_pred": "min"})
    for table in stored(Study(nmi, signals={"imbalance_pred": imbalance}) for nmi, imbalance in pairs):
        yield any(one.standing.front == "no" for one in leaderboard(table, "nmi", "max", aims).entries)


def both(rng: Draw, *shape: int) -> Values:
    """Two metrics of equal configurations."""
    return normal(rng, 2, *shape)


def both_uneven(rng: Draw, *shape: int) -> Values:
    """Two metrics with three times the noise in a quarter of the configurations."""
    return np.stack([uneven(rng, *shape), uneven(rng, *shape)])


def claims() -> Iterator[Claim]:
    """The claims on leaderboards."""
    yield from _lost_and_best()
    yield from _intervals_and_ties()
    yield from _front()
    yield from _data_sets()


def _lost_and_best() -> Iterator[Claim]:
    lost = "a configuration that lost its worst seeds to DIVERGED"
    for shape, cut in [((8, 5), 0.0), ((8, 5), -0.5), ((8, 10), 0.0)]:
        cell = f"{cell_of(shape)}, one loses every seed below {cut:+g} SD"
        yield Claim(f"{lost} comes first", cell, 0.155, partial(lost_seeds, shape, cut, is_first))
        yield Claim(f"{lost} comes first alone", cell, 0.06, partial(lost_seeds, shape, cut, is_alone))
    yield Claim("seeds that machines lost are not told", "8 x 5, one lost 2", 0.0, untold_machines, 20)
    for shape in [(2, 3), (3, 3), (8, 3), (36, 3), (200, 3), (8, 5), (36, 5), (36, 2)]:
        for spread in (0.0, 1.0):
            cell = f"{cell_of(shape)}, true differences of SD {spread:g}"
            measure = partial(picked, normal, shape, spread)
            yield covers("the best's interval", cell, measure, 400 if shape[0] > 100 else 1000)
    for shape in [(8, 3), (8, 10), (36, 5)]:
        cell = f"{cell_of(shape)}, log-normal noise, true differences of SD 0.5"
        yield covers("the best's interval", cell, partial(picked, log_normal, shape, 0.5))
    for make, cell in [(with_blocks, "what seeds share has SD 1"), (uneven, "a quarter at 3 x SD")]:
        yield covers("the best's interval", f"36 x 5, {cell}", partial(picked, make, (36, 5), 0.0))
    for shape in [(8, 5), (36, 3), (8, 10)]:
        measure = partial(falsely_collapsed, shape)
        yield Claim("a configuration is said to have collapsed seeds", f"{cell_of(shape)}, normal noise", 0.01, measure)
    measure = partial(told_collapsed, (8, 5))
    yield Claim("the number of collapsed seeds is told", "8 x 5, 15 % collapse by 10 SD", 0.8, measure, is_floor=True)
    yield Claim("unequal noise is not mentioned", "8 x 3", 0.0, unsaid_few, 20)


def _intervals_and_ties() -> Iterator[Claim]:
    for seeds in (3, 5, 10):
        yield covers("intervals of normal noise", f"8 x {seeds}", partial(covered_means, normal, LEVEL, (8, seeds)))
    for a, b in [(30, 1), (10, 1), (30, 2)]:
        for seeds in (3, 5, 10):
            measure = partial(covered_means, partial(beta, a, b), a / (a + b), (8, seeds))
            yield covers("intervals near a bound", f"Beta({a}, {b}), 8 x {seeds}", measure)
    for shape, bound in [((200, 5), 0.07), ((36, 5), 0.07), ((8, 5), 0.07), ((36, 3), 0.2)]:
        cell = f"{cell_of(shape)}, a quarter at 3 x SD"  # At three seeds it cannot be known, and the words say so.
        yield Claim("an equal one is excluded", cell, bound, partial(some_excluded, uneven, shape), 500)
    for shape, noise in [((8, 3), 0.003), ((8, 2), 0.005), ((36, 3), 0.005)]:
        cell = f"{cell_of(shape)}, two decimals, SD {noise:g}"
        yield Claim(
            "an equal one is excluded", cell, 0.06, partial(some_excluded, partial(near, noise), shape, digits=2)
        )
    for shape in [(8, 3), (36, 3), (36, 5), (200, 3), (200, 5)]:
        cell, studies = f"{cell_of(shape)}, equal noise", 500 if shape[0] > 100 else 1000
        yield Claim("an equal one is excluded", cell, 0.06, partial(some_excluded, normal, shape), studies)
    for size, shape in [(4, (8, 3)), (3, (8, 5)), (3, (36, 5))]:
        cell = f"{cell_of(shape)}, one is better by {size} SD"
        yield finds("the leaderboard", cell, partial(some_excluded, partial(better, size, normal), shape))
    for shape in [(8, 3), (30, 5), (3, 10)]:
        for bound, is_floor in [(0.75, True), (0.85, False)]:
            cell = f"{cell_of(shape)}, better by what plan names"
            what = f"the others are called worse, at {'least' if is_floor else 'most'}"
            yield Claim(what, cell, bound, partial(detected, shape), 300, is_floor)


def _front() -> Iterator[Claim]:
    what = "one is wrongly called off the Pareto front"
    rising = "each better in one by .001 SD and worse in the other by 10 SD"
    for shape, make, noise, bound in [
        ((8, 5), both, "equal noise", 0.06),
        ((36, 3), both, "equal noise", 0.06),
        ((36, 5), both_uneven, "a quarter at 3 x SD", 0.07),
    ]:
        for steps, means in [((0.0, 0.0), "equal means"), ((0.001, 10.0), rising)]:
            cell = f"{cell_of(shape)}, {noise}, {means}"
            yield Claim(what, cell, bound, partial(off_front, make, shape, steps), 300)
    cell = "8 x 5, each better in both by 1 SD than the one before"
    yield finds("the Pareto front", cell, partial(off_front, both, (8, 5), (1.0, -1.0)))


def _data_sets() -> Iterator[Claim]:
    yield Claim("a rank depends on another data set", "two data sets", 0.0, compared_across_data, 20)
    what, cell = "average ranks are said to differ", "4 x 6 data sets, 3 seeds"
    yield Claim(what, cell, 0.06, partial(some_rank_differs, 6), 300)
    yield Claim("critical differences of ranks differ from scipy's by", "2, 4, 8 methods", 1e-4, critical_ranks, 0)
