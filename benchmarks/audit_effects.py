"""What is said of pairs of trials: `effect`, `importance`, `interaction` and `diff`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.audit_claims import Claim, Draw, cell_of, covers, finds
from benchmarks.audit_studies import (
    NOISE,
    PARAMETERS,
    Grid,
    Study,
    Values,
    better,
    crossed_uneven,
    drawn,
    gathered,
    near,
    normal,
    stored,
    with_seed_effects,
)
from jobs.analysis import importance, interaction
from jobs.analysis.difference import difference
from jobs.analysis.effect import effect
from jobs.present.difference import difference_text


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


def some_matters(make: Grid, shape: tuple[int, ...], parts: Sequence[str], rng: Draw, count: int) -> Iterator[float]:
    """Studies without an effect in which `importance` says that a parameter, or a pair of them, matters."""
    for one in gathered(drawn(make, shape, rng, count)):
        found = importance.importance(one)
        yield any(share.verdict.startswith("matters") for part in parts for share in getattr(found, part))


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


def claims() -> Iterator[Claim]:
    """The claims on pairs of trials."""
    yield from _effects()
    yield from _rounded_and_changed()
    yield from _held_and_found()


def _effects() -> Iterator[Claim]:
    for shape, studies in [((4, 9, 3), 1000), ((4, 36, 3), 500), ((4, 6, 6, 5), 300)]:
        cell = f"{cell_of(shape)}, seed x level .5 SD"
        yield covers("effect", cell, partial(covered_effects, with_seed_effects, shape), studies)
        yield Claim("effect: a false verdict", cell, 0.06, partial(some_verdict, with_seed_effects, shape), studies)
    for shape in [(4, 3, 3, 3), (4, 6, 6, 3)]:
        cell = f"{cell_of(shape)}, seed x level .5 SD"
        yield _matters(with_seed_effects, shape, cell, 500)
    for make, cell in [(with_seed_interactions, "seed x pair .5 SD"), (normal, "equal noise")]:
        measure = partial(depends, make, (3, 3, 9, 3))
        yield Claim("interaction: a false dependence", f"3 x 3 x 9 x 3, {cell}", 0.06, measure, 500)
    for spread in (0.5, 1.0, 2.0):
        cell = f"4 x 3 x 3, true differences of SD {spread:g}"
        yield covers("the share of luck", cell, partial(covered_luck, spread, (4, 3, 3)))
    yield _matters(crossed_uneven, (4, 3, 3, 3), "4 x 3 x 3 x 3, a quarter at 3 x SD")
    for shape in [(3, 4, 5), (6, 6, 3), (4, 3, 3, 3)]:
        yield _matters(with_gaps, shape, f"{cell_of(shape)}, a quarter of the trials missing")


def _rounded_and_changed() -> Iterator[Claim]:
    for shape in [(8, 3), (36, 3)]:
        for shared in (0.5, 0.0):
            cell = f"{cell_of(shape)}, seed x side {shared:g} SD"
            yield Claim(
                "diff: over all configurations, 0 is excluded", cell, 0.06, partial(overall, shape, shared), 500
            )
    for shape, noise, digits in [((8, 2), 0.01, 2), ((8, 3), 0.005, 2), ((36, 3), 0.01, 2), ((36, 3), 0.01, None)]:
        cell = f"{cell_of(shape)}, {digits or 'all'} decimals, SD {noise:g}"
        yield Claim("diff: a false verdict", cell, 0.06, partial(some_changed, shape, noise, digits), 500)
    for shape, noise in [((2, 3), 0.003), ((2, 3), 0.01), ((2, 4, 1), 0.003)]:
        cell = f"{cell_of(shape)}, two decimals, SD {noise:g}"
        yield Claim("effect: a false verdict", cell, 0.06, partial(some_verdict, partial(near, noise), shape, digits=2))


def _held_and_found() -> Iterator[Claim]:
    cell = "3 x 3 x 3 x 5, a quarter of the trials missing"
    yield covers("effect", cell, partial(covered_effects, with_gaps, (3, 3, 3, 5)))
    yield Claim("effect: a false verdict", cell, 0.06, partial(some_verdict, with_gaps, (3, 3, 3, 5)))
    yield _matters(normal, (4, 3, 3, 3), "4 x 3 x 3 x 3, equal noise")
    yield Claim("p-values differ from statsmodels' by", "3 x 4 x 5 with gaps, type II", 1e-9, anova, 0)
    for make, shape, extra in [(normal, (2, 9, 3), ""), (with_seed_effects, (2, 9, 5), ", seed x level .5 SD")]:
        measure = partial(some_verdict, partial(better, 2, make), shape)
        yield finds("effect", f"{cell_of(shape)}, one is better by 2 SD{extra}", measure)
    measure = partial(some_matters, partial(better, 2, normal), (4, 3, 3, 3), ["parameters"])
    yield finds("importance", "4 x 3 x 3 x 3, one is better by 2 SD", measure)


def _matters(make: Grid, shape: tuple[int, ...], cell: str, studies: int = 1000) -> Claim:
    """The claim on all rows of a table together, as its sentence makes it."""
    measure = partial(some_matters, make, shape, ["parameters", "interactions"])
    return Claim("importance: a parameter or a pair matters", cell, 0.06, measure, studies)
