"""Matched effects: their numbers by hand, their intervals and verdicts over simulated studies, their command."""

import csv
import io
import json
import re
from itertools import combinations, pairwise
from math import fsum
from statistics import fmean

import numpy as np
import pytest
from scipy import stats

from core.errors import UserError
from jobs.analysis.effect import against, all_pairs, compare, effect
from jobs.analysis.intervals import Spread, paired, seed_spread, seed_spreads
from jobs.analysis.scores import default_mode, is_loss
from jobs.analysis.trials import Trials, factor_of, gather, param_key
from jobs.present.effect import differences_sheet
from jobs.results import writer
from jobs.results.schema import Attempt, to_table
from tests.rates import highest, lowest


def attempts(values, *, study="s", metric="nmi", **changes):
    """Trials from `{(parameters as a tuple of pairs, seed): value}`."""
    return [
        Attempt(
            study=study,
            trial_key=f"{study}{i}",
            config_key=str(params),
            seed=seed,
            attempt_id=f"A{i}",
            params=dict(params),
            metrics={metric: value},
            **{"status": "ok", "data_hash": "d", **changes},
        )
        for i, ((params, seed), value) in enumerate(values.items())
    ]


def grid(value, rates=(0.1, 0.2, 0.4), widths=(1, 2, 3, 4), seeds=(0, 1)):
    return {
        ((("rate", rate), ("width", width)), seed): value(rate, width, seed)
        for rate in rates
        for width in widths
        for seed in seeds
    }


def found(values, key="rate", mode="max", metric="nmi", **changes):
    return effect(gather(to_table(attempts(values, metric=metric, **changes)), metric), key, mode)


def by_hand(values, low, high, comparisons=1):
    """The widest interval of a complete grid by scipy, and its p-value; `values` are level x configuration x seed.

    Both are corrected for the number of comparisons (Bonferroni).
    """
    levels, _, seeds = values.shape
    pairs = values[high] - values[low]
    spreads = [(values[i] - values[j]).mean(axis=0).var(ddof=1) for i, j in combinations(range(levels), 2)]
    own, pooled = pairs.mean(axis=0).var(ddof=1), fmean(spreads)
    weight = min(1.0, pooled / own) ** 2 if seeds > 2 else 0.0
    by_seed = (max(own, pooled) if seeds > 2 else own) / seeds, (seeds - 1) * (1 + weight * (levels - 2))
    by_configuration = pairs.mean(axis=1).var(ddof=1) / len(pairs), len(pairs) - 1
    (a, m), (b, n) = by_configuration, by_seed
    both = a + b - pairs.var(ddof=1) / pairs.size, (a + b) ** 2 / (a**2 / m + b**2 / n)
    errors = [by_configuration, by_seed, both]
    return (
        max(stats.t.isf(0.025 / comparisons, freedom) * max(0, square) ** 0.5 for square, freedom in errors),
        min(
            1, comparisons * max(2 * stats.t.sf(abs(pairs.mean()) / v**0.5, freedom) for v, freedom in errors if v > 0)
        ),
    )


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("shared", [0.0, 0.3])
def test_neighbours_are_compared_over_pairs_that_are_equal_in_everything_else(seeds, shared):
    rng = np.random.default_rng(seeds)
    noise = rng.normal(0, 0.1, (3, 4, seeds)) + rng.normal(0, shared, (3, 1, seeds))
    rates, widths = (0.1, 0.2, 0.4), (1, 2, 3, 4)
    values = np.add.outer(rates, widths)[..., None] + noise
    grid_ = grid(lambda r, w, s: float(values[rates.index(r), w - 1, s]), seeds=range(seeds))
    result = found(grid_)
    assert [(one.low, one.high) for one in result.differences] == [(0.1, 0.2), (0.2, 0.4)]
    for one, (low, high) in zip(result.differences, pairwise(range(3)), strict=True):
        pairs = values[high] - values[low]
        half_width, p = by_hand(values, low, high, 2)
        assert one.estimate.mean == pytest.approx(pairs.mean())
        assert (one.estimate.half_width, one.estimate.p) == (pytest.approx(half_width), pytest.approx(p))
        assert (one.n, one.wins, one.losses) == (4 * seeds, (pairs > 0).sum(), (pairs < 0).sum())
        assert one.mean_high - one.mean_low == pytest.approx(one.estimate.mean)
    assert result.blocks == 4 * seeds
    assert [level.n for level in result.levels] == [4 * seeds] * 3
    assert len(widths) == len(result.slices)


def test_every_pair_is_compared_without_a_correction_and_the_best_with_one_over_all_pairs():
    noise = np.random.default_rng(0).normal(0, 0.1, (3, 4, 3))
    rates = (0.1, 0.2, 0.4)
    trials = gather(
        to_table(attempts(grid(lambda r, w, s: float(noise[rates.index(r), w - 1, s]), seeds=range(3)))), "nmi"
    )
    pairs = all_pairs(trials, "rate", "max")
    assert [(one.low, one.high, one.verdict) for one in pairs] == [(0.1, 0.2, ""), (0.1, 0.4, ""), (0.2, 0.4, "")]
    assert [one.estimate.p for one in pairs] == [
        pytest.approx(by_hand(noise, low, high)[1]) for low, high in combinations(range(3), 2)
    ]
    told = against(trials, "rate", "max", 0.2)
    assert [(one.low, one.high) for one in told] == [(0.2, 0.1), (0.2, 0.4)]
    by_three = [by_hand(noise, low, high, 3) for low, high in [(0, 1), (1, 2)]]
    assert [(one.estimate.half_width, one.estimate.p) for one in told] == [pytest.approx(one) for one in by_three]


@pytest.mark.parametrize("configurations", [1, 2, 5])
def test_a_difference_is_shown_just_where_its_printed_interval_leaves_out_zero(configurations):
    """Over many effects near the limit, so that a verdict by any other correction than the interval's would differ."""
    rng, widths = np.random.default_rng(configurations), tuple(range(configurations))
    verdicts = set()
    for size in np.geomspace(0.01, 1, 30):
        noise = rng.normal(0, 0.1, (3, configurations, 4)) + np.array([0, size, 3 * size])[:, None, None]
        at = dict(zip((0.1, 0.2, 0.4), noise.tolist(), strict=True))
        made = found(grid(lambda r, w, s, at=at: at[r][w][s], widths=widths, seeds=range(4)))
        for one in made.differences:
            assert (abs(one.estimate.mean) > one.estimate.half_width) == (one.verdict in {"better", "worse"})
            verdicts.add(one.verdict)
    assert {"better", "no difference shown"} <= verdicts


def test_a_seed_that_favours_a_value_everywhere_is_one_observation():
    """Twelve pairs that agree within each of three seeds are three: their scatter alone gives the interval."""
    by_seed = np.array([0.5, 0.9, 0.4])
    differences = np.tile(by_seed, 4) + np.random.default_rng(0).normal(0, 1e-6, 12)
    known = paired(differences, np.repeat(np.arange(4), 3), np.tile(np.arange(3), 4))
    assert known.half_width == pytest.approx(stats.t.ppf(0.975, 2) * stats.sem(by_seed), rel=1e-4)
    assert (known.unit, known.seeds) == ("seed", 3)
    alone = paired(differences, np.repeat(np.arange(4), 3))
    assert alone.half_width < known.half_width / 3


def test_effects_of_configurations_and_of_seeds_add_up():
    """Ten configurations and ten seeds, each with its own effect and nothing else: the error is of both."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, (2, 10))
    differences = np.add.outer(a, b)
    known = paired(differences.ravel(), np.repeat(np.arange(10), 10), np.tile(np.arange(10), 10))
    one, other = a.var(ddof=1) / 10, b.var(ddof=1) / 10
    square = one + other - differences.var(ddof=1) / 100
    freedom = (one + other) ** 2 / (one**2 / 9 + other**2 / 9)
    assert (known.unit, known.half_width) == ("both", pytest.approx(stats.t.ppf(0.975, freedom) * square**0.5))


def test_trials_that_failed_in_training_are_told_and_other_failures_are_not():
    good = grid(lambda r, w, s: r + w + s / 10)
    failed = [
        attempts({((("rate", 0.1), ("width", 9)), 0): 0.0}, study=code, status="failed", reason=reason)[0]
        for code, reason in (("x", "DIVERGED: the loss is NaN"), ("y", "OUT_OF_MEMORY"), ("z", "LOST_WORKER"))
    ]
    notes = effect(gather(to_table([*attempts(good), *failed]), "nmi"), "rate", "max").notes
    assert sum(note.startswith("2 trials failed in training") for note in notes) == 1
    assert not any("failed in training" in note for note in found(good).notes)


def test_seeds_of_unequal_weight_have_the_expected_variance_and_freedom():
    """The variance is that of the seeds on average, and its scatter is that of its degrees of freedom."""
    rng = np.random.default_rng(0)
    owners, seeds = np.array([0] * 8 + [1, 1, 2, 2, 3, 3, 4, 4]), np.array([*range(8), *[0, 1] * 4])
    found_ = [seed_spread(rng.normal(0, 1, 8)[seeds], owners, seeds) for _ in range(4000)]
    variances = np.array([one.variance for one in found_])
    assert variances.mean() == pytest.approx(1, abs=4 * (2 / found_[0].freedom / 4000) ** 0.5)
    assert 2 / variances.var() == pytest.approx(found_[0].freedom, rel=0.15)
    assert 1 < found_[0].freedom < 3


def test_values_between_which_no_trial_differs_are_told_by_pairs_of_two_trials_and_more():
    same = {(1, 0): 0.111117, (1, 1): 0.222227, (2, 0): 0.333337}
    other = {(1, 0): 0.111117, (1, 1): 0.444447}
    trained = {
        ((("rate", rate), ("width", width)), seed): value
        for rate, values in {1.0: same, 2.0: dict([*same.items()][:2]), 3.0: other, 4.0: {(2, 0): 0.333337}}.items()
        for (width, seed), value in values.items()
    }
    told = [note for note in found(trained).notes if "equal to the last digit" in note]
    assert told == ["All pairs of 1 and 2 are equal to the last digit: it had no effect in these trials."]


def slow_spread(differences, owners, seeds):
    """(variance, freedom, noise) of one pair of values, from the weight and residual of each pair of trials."""
    configurations, known = sorted(set(owners)), sorted(set(seeds))
    weight = [1 / len(configurations) / owners.count(one) for one in owners]
    own = {one: fmean(d for d, of in zip(differences, owners, strict=True) if of == one) for one in configurations}
    together = len(configurations) >= 4 or len(configurations) == len(differences)
    centre = [fmean(own.values()) if together else own[one] for one in owners]
    groups = [0 if together else configurations.index(one) for one in owners]
    shares = [[0.0] * len(known) for _ in range(max(groups) + 1)]
    for group, seed, one in zip(groups, seeds, weight, strict=True):
        shares[group][known.index(seed)] += one
    total = [fsum(row[at] for row in shares) for at in range(len(known))]
    turned = [
        [total[i] * (i == j) - len(shares) * fsum(row[i] * row[j] for row in shares) for j in range(len(known))]
        for i in range(len(known))
    ]
    squared = [[fsum(row[i] * row[j] for row in turned) for j in range(len(known))] for i in range(len(known))]
    trace = fsum(squared[i][i] for i in range(len(known)))
    if trace <= 1e-9 * fsum(one * one for one in total):
        return None
    rows = list(zip(differences, centre, weight, seeds, strict=True))
    sums = [fsum(w * (d - c) for d, c, w, seed in rows if seed == one) for one in known]
    noise = fsum(w * w for w in weight) / fsum(one * one for one in total)
    freedom = trace**2 / fsum(one * one for row in squared for one in row)
    return fsum(one * one for one in sums) / trace, freedom, noise


@pytest.mark.parametrize(
    ("levels", "widths", "seeds", "missing"), [(7, 5, 3, 0.0), (9, 1, 5, 0.0), (6, 2, 4, 0.2), (8, 6, 3, 0.4)]
)
def test_spreads_of_all_pairs_of_values_at_once_are_those_of_a_slow_loop(levels, widths, seeds, missing):
    rng = np.random.default_rng(levels)
    values = {
        (rate, width, seed): 1000 + rng.normal(0, 0.1)
        for rate in range(levels)
        for width in range(widths)
        for seed in range(seeds)
        if rng.random() >= missing
    }
    trained = {((("rate", float(rate)), ("width", width)), seed): one for (rate, width, seed), one in values.items()}
    blocks = [(width, seed) for width in range(widths) for seed in range(seeds)]

    def matched(low, high):
        there = [one for one in blocks if (low, *one) in values and (high, *one) in values]
        gained = [values[high, *one] - values[low, *one] for one in there]
        return gained, [one[0] for one in there], [one[1] for one in there]

    pairs = [pair for pair in combinations(range(levels), 2) if len(matched(*pair)[0]) >= 3]
    spreads = {pair: one for pair in pairs if (one := slow_spread(*matched(*pair)))}
    assert spreads
    table = np.array([[values.get((rate, *one), np.nan) for rate in range(levels)] for one in blocks])
    table = table[(seen := np.isfinite(table).any(axis=1))]
    owners, known = np.array(blocks)[seen].T
    fast = seed_spreads(table, owners, known)
    assert fast.keys() == spreads.keys()
    for pair, (variance, freedom, noise) in spreads.items():
        assert [fast[pair].variance, fast[pair].freedom, fast[pair].noise] == approx([variance, freedom, noise])
    whole = fsum(freedom for _, freedom, _ in spreads.values())
    places = len({place for pair in spreads for place in pair})
    differences = found(trained).differences
    compared = sum(one.estimate is not None and one.estimate.p is not None for one in differences)
    for one in differences:
        pair = int(one.low), int(one.high)
        gained, owners, known = matched(*pair)
        pooled = None
        if pair in spreads:
            own = spreads[pair][2]
            scaled = fsum(freedom * variance * max(1, own / noise) for variance, freedom, noise in spreads.values())
            pooled = Spread(scaled / whole, 2 * whole / places, own)
        estimate = paired(np.array(gained), np.array(owners), np.array(known), 0.0, pooled)
        assert (estimate is None) == (one.estimate is None)
        if estimate is not None and estimate.p is not None:
            estimate = estimate.among(compared)
            numbers = [one.estimate.mean, one.estimate.half_width, one.estimate.p]
            assert numbers == approx([estimate.mean, estimate.half_width, estimate.p])


def approx(numbers):
    return pytest.approx(numbers, rel=1e-12, abs=1e-14)


def test_rounded_differences_that_agree_are_not_certain():
    known = paired(np.array([0.01, 0.01, 0.01]), np.zeros(3, int))
    assert known.half_width == pytest.approx(stats.t.ppf(0.975, 2) * (2 * 0.01**2 / 12 / 3) ** 0.5)
    assert known.p > 0.05
    exact = paired(np.array([0.01, 0.01, 0.01]) + 1e-7 / 3, np.zeros(3, int))
    assert exact.p < 1e-6


def test_neither_are_they_in_the_table_of_a_parameter():
    values = grid(lambda rate, *_: 0.84 + 0.01 * (rate == 0.2), rates=(0.1, 0.2), widths=(1, 2, 3), seeds=(0,))
    (one,) = found(values).differences
    assert one.estimate.half_width == pytest.approx(stats.t.ppf(0.975, 2) * (2 * 0.01**2 / 12 / 3) ** 0.5)
    assert one.verdict == "no difference shown"


def test_a_trial_that_is_missing_takes_its_pairs_along_and_no_others():
    values = grid(lambda r, w, _: r + w)
    del values[(("rate", 0.2), ("width", 1)), 0]
    result = found(values)
    assert [one.n for one in result.differences] == [7, 7]
    assert result.blocks == 7
    assert [level.matched for level in result.levels] == pytest.approx(
        [fmean((1, 2, 3, 4)) + r for r in (0.1, 0.2, 0.4)]
    )


def test_trials_of_other_data_or_with_another_seed_make_no_pair():
    one = {((("rate", 0.1),), seed): 1.0 for seed in range(4)}
    other = {((("rate", 0.2),), seed): 2.0 for seed in range(4)}
    rows = attempts(one, data_hash="a") + attempts(other, data_hash="b", study="t")
    assert effect(gather(to_table(rows), "nmi"), "rate", "max").differences[0].n == 0
    later = {(params, seed + 4): value for (params, seed), value in other.items()}
    assert found(one | later).differences[0].verdict == "not identifiable: 0 pairs"


def test_too_few_pairs_are_no_number():
    values = grid(lambda r, *_: r, widths=(1, 2), seeds=(0,))
    (first, second) = found(values).differences
    assert (first.estimate, second.estimate) == (None, None)
    assert first.verdict == "not identifiable: 2 pairs"


def test_few_configurations_are_judged_by_the_scatter_of_their_seeds():
    rng = np.random.default_rng(1)
    differences = rng.normal(0.3, 0.1, 6)
    owners = np.array([5, 5, 5, 9, 9, 9])
    known = paired(differences, owners)
    spread = np.sqrt((differences[:3].var(ddof=1) + differences[3:].var(ddof=1)) / 2 / 6)
    assert (known.unit, known.configurations) == ("seed", 2)
    assert known.half_width == pytest.approx(stats.t.ppf(0.975, 4) * spread)
    shared = paired(differences, owners, np.array([0, 1, 2, 0, 1, 2]))
    by_seed = stats.sem(differences.reshape(2, 3).mean(axis=0)) * stats.t.ppf(0.975, 2)
    assert shared.half_width == pytest.approx(max(known.half_width, by_seed))
    assert paired(differences, np.arange(6)).unit == "configuration"
    assert paired(differences[:3], np.array([1, 1, 2])).half_width is None


def test_each_configuration_counts_once_however_many_seeds_it_has():
    differences = np.array([1.0, 1.0, 1.0, 1.0, 3.0, 3.0, 3.0])
    assert paired(differences, np.array([0, 0, 0, 0, 1, 2, 3])).mean == pytest.approx(2.5)


def test_words_are_compared_with_the_most_frequent_one_whatever_its_score():
    values = {((("name", name),), seed): len(name) + seed / 100 for name in ("cc", "tcl") for seed in range(3)}
    values |= {((("name", "sccl"),), seed): 0.0 for seed in range(5)}
    result = found(values, "name")
    assert result.reference == "sccl"
    assert [(one.low, one.high, one.verdict) for one in result.differences] == [
        ("sccl", "cc", "better"),
        ("sccl", "tcl", "better"),
    ]
    assert any("compared with sccl" in note for note in result.notes)


def test_an_option_of_one_plug_in_goes_with_its_name():
    def trial(name, seed):
        return (("method.name", name), *([("method.threshold", 0.9 + seed / 100)] if name == "tcl" else []))

    values = {(trial(name, seed), seed): float(name == "tcl") for name in ("cc", "tcl") for seed in range(3)}
    result = found(values, "method.name")
    assert result.differences[0].n == 3
    assert any("method.threshold" in note for note in result.notes)


def test_what_a_method_does_not_use_goes_with_its_name():
    def trial(name, key, value):
        return (("method.name", name), *([(key, value)] if name != "nmf" else []))

    def against_nmf(key):
        cells = [(trial(name, key, value), seed) for name in ("bat", "nmf") for value in (10, 20) for seed in range(3)]
        return found({cell: float("nmf" in str(cell)) for cell in cells}, "method.name").differences[0]

    assert (against_nmf("epochs").n, against_nmf("epochs").verdict) == (3, "better")
    # What no method declares as unused stays fixed, also where one method lacks it.
    assert against_nmf("other").n == 0


def test_repeats_that_nothing_tells_apart_are_averaged():
    """Imported rows know no seed: all of them then share a block."""
    values = {((("rate", rate),), seed): rate + seed for rate in (1.0, 2.0) for seed in range(2)}
    trials = gather(to_table(attempts(values, source="import", data_hash="")), "nmi")
    unknown = Trials(
        trials.column, trials.values, factor_of("seed", [None] * 4), trials.data, trials.factors, {}, trials.seconds
    )
    result = effect(unknown, "rate", "max")
    assert (result.differences[0].n, result.differences[0].mean_low, result.differences[0].mean_high) == (1, 1.5, 2.5)
    assert [(point.n, point.minimum, point.maximum) for point in result.slices[0].points] == [(2, 1, 2), (2, 2, 3)]


@pytest.mark.parametrize("key", ["method.instance_temperature", "batch_size", "method.name", "method.loss_weight"])
def test_a_loss_is_not_ranked_across_what_rescales_it(key):
    values = {(((key, level), ("width", w)), 0): level + w for level in (1.0, 2.0) for w in range(5)}
    refused = found(values, key, "min", "loss")
    assert refused.differences == ()
    assert "not ranked by loss" in refused.refusal
    assert len(refused.slices) == 5
    for metric in ("nmi", "loss_share", "loss_instance_share"):
        allowed = found(values, key, default_mode(metric), metric)
        assert (allowed.refusal, len(allowed.differences)) == ("", 1)


def test_a_share_of_the_loss_is_no_loss_with_a_ruler_but_smaller_is_better():
    assert [is_loss(name) for name in ("loss", "loss_cluster", "best.loss", "loss_share")] == [True, True, True, False]
    assert default_mode("loss_share") == "min"


def test_what_does_not_vary_has_no_effect_to_show():
    trials = gather(to_table(attempts(grid(lambda r, *_: r, widths=(1,)))), "nmi")
    with pytest.raises(UserError, match=r"width is 1 in every finished trial.*as rate do"):
        param_key("width", trials)
    with pytest.raises(UserError, match="did you mean 'rate'"):
        param_key("rat", trials)


def test_a_plug_ins_name_goes_by_what_it_names():
    values = {((("method.name", name),), seed): 1.0 for name in ("cc", "tcl") for seed in range(3)}
    assert param_key("method", gather(to_table(attempts(values)), "nmi")) == "method.name"


# Over simulated studies. Seeds are fixed: these numbers do not change from run to run.

RATES = (1.0, 2.0, 3.0)


def simulated(rng, *, slope, spread, missing, widths=6, seeds=3, by_seed=0.0, noises=(1, 1, 1), digits=None):
    """A study with effects of configuration and seed, both in interaction with the rate, and with missing trials."""
    shape = (len(RATES), widths, seeds)
    truth = slope * np.arange(len(RATES))[:, None, None] + rng.normal(0, spread, shape[:2])[..., None]
    truth = truth + rng.normal(0, by_seed, (len(RATES), 1, seeds))
    values = truth + rng.normal(0, 0.05, shape[1:2])[:, None] + rng.normal(0, 0.02, seeds)
    values += rng.normal(0, 0.02, shape) * np.reshape(noises, (-1, 1, 1))
    values = values if digits is None else np.round(0.84 + rng.normal(0, 0.003, shape), digits)
    there = rng.random(shape) >= missing
    rate, width, seed = (axis[there].tolist() for axis in np.indices(shape))
    factors = {"rate": factor_of("rate", [RATES[i] for i in rate]), "width": factor_of("width", width)}
    seeds, data = factor_of("seed", seed), factor_of("data", ["d"] * len(rate))
    return Trials("metric.nmi", values[there], seeds, data, factors, {}, np.ones(len(rate)))


@pytest.mark.parametrize(
    "planted",
    [
        {"slope": 0.03, "spread": 0.01, "missing": 0.3, "widths": 12, "seeds": 3},
        {"slope": 0.0, "spread": 0.0, "missing": 0.15, "widths": 5, "seeds": 5},
        {"slope": -0.05, "spread": 0.0, "missing": 0.0, "widths": 2, "seeds": 4},
        {"slope": 0.0, "spread": 0.0, "missing": 0.0, "widths": 9, "seeds": 3, "by_seed": 0.01},
        {"slope": 0.0, "spread": 0.0, "missing": 0.1, "widths": 36, "seeds": 3, "by_seed": 0.02},
        {"slope": 0.0, "spread": 0.03, "missing": 0.0, "widths": 10, "seeds": 10, "by_seed": 0.03},
        {"slope": 0.0, "spread": 0.0, "missing": 0.0, "widths": 9, "seeds": 3, "noises": (3, 1, 1)},
        {"slope": 0.0, "spread": 0.0, "missing": 0.0, "widths": 1, "seeds": 3, "digits": 2},
        {"slope": 0.0, "spread": 0.0, "missing": 0.0, "widths": 4, "seeds": 1, "digits": 2},
    ],
)
def test_intervals_cover_the_planted_effect_and_nothing_is_found_where_nothing_is(planted, repeats):
    rng, slope = np.random.default_rng(7), planted["slope"]
    studies, covered, quiet, means = repeats(300), 0, 0, []
    for _ in range(studies):
        trials = simulated(rng, **planted)
        differences = compare(trials, "rate", "max")
        estimates = [one.estimate for one in differences]
        covered += sum(abs(one.mean - slope) <= one.half_width for one in estimates)
        means += [one.mean for one in estimates]
        quiet += all(one.verdict == "no difference shown" for one in differences)
    # The two intervals of a study depend on each other: they are counted as one.
    assert lowest(0.94, studies) <= covered / (2 * studies)
    assert fmean(means) == pytest.approx(slope, abs=0.004)
    if not slope:
        assert 1 - quiet / studies <= highest(0.05, studies)


def test_a_clear_effect_is_found_with_its_sign(repeats):
    rng = np.random.default_rng(3)
    verdicts = [
        one.verdict
        for _ in range(repeats(100))
        for one in compare(simulated(rng, slope=0.1, spread=0.01, missing=0.1), "rate", "min")
    ]
    assert verdicts.count("worse") / len(verdicts) > 0.95


# The command


@pytest.fixture
def results(tmp_path):
    for attempt in attempts(grid(lambda r, w, s: r + w / 10 + s / 100 + (r * w * 7 + s) % 0.03)):
        writer.write(str(tmp_path), attempt)
    return tmp_path


def test_the_command_shows_differences_values_and_slices_in_eighty_columns(results, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = command("effect", results, "rate", "--slices", "1")
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    assert "Effect of rate on nmi, over 24 finished trials; the larger the better." in out
    assert re.search(r"^ 0\.1 +0\.2 .* 8 +8/0/0 +better$", out, re.MULTILINE)
    said = " ".join(out.split())
    assert "for the configurations that were run, the wider of those by configuration and by seed, corrected" in said
    assert "corrected for the 2 comparisons (Bonferroni). A difference is shown where its interval leaves" in said
    assert "rate at width = 1" in out
    assert "rate at width = 2" not in out
    assert "3 more slices: --slices 4 or --format csv --table slices shows all." in said
    assert "1 more slice: --slices 4 or " in command("effect", results, "rate", "--slices", "3")[1]
    assert "more slice" not in command("effect", results, "rate", "--slices", "4")[1]


@pytest.mark.parametrize(("words", "told"), [(["rate"], "1: rate"), ([], "0: none was given")])
def test_a_missing_parameter_of_two_is_told(results, command, words, told):
    for place in ([results], []):
        code, _, err = command("interaction", *place, *words)
        assert (code, f"interaction takes two parameters, not {told}." in err) == (2, True), err


def test_machines_get_every_digit(results, command):
    _, out, err = command("effect", results, "rate", "--format", "json")
    first = json.loads(out)[0]
    assert (first["low"], first["high"], first["pairs"], first["unit"]) == (0.1, 0.2, 8, "seed")
    assert first["mean_high"] - first["mean_low"] == pytest.approx(first["difference"])
    assert "uses the labels" in err
    _, out, _ = command("effect", results, "rate", "--format", "csv", "--table", "slices")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert (len(rows), set(rows[0])) == (12, {"slice", "width", "rate", "nmi", "minimum", "maximum", "n"})


@pytest.mark.parametrize("ending", ["md", "tex", "csv", "json"])
def test_out_writes_by_its_ending(results, tmp_path, command, ending):
    out = tmp_path / f"effect.{ending}"
    assert command("effect", results, "rate", "--out", out)[0] == 0
    assert out.read_text().strip()


def test_the_ledgers_tables_and_why_they_are_no_ranking(tmp_path, command):
    losses = {0.01: 0.44, 0.03: 0.48, 0.05: 0.54, 0.1: 0.79, 0.2: 1.22, 0.3: 1.54, 0.4: 1.71}
    values = {
        ((("instance_temperature", t), ("learning_rate", 5e-4), ("threshold", 0.95)), 0): loss
        for t, loss in losses.items()
    }
    values |= {((("instance_temperature", 0.03), ("learning_rate", 1e-2), ("threshold", 0.95)), 0): 0.74}
    for attempt in attempts(values, metric="loss", source="import", data_hash=""):
        writer.write(str(tmp_path), attempt)
    code, out, _ = command("effect", tmp_path, "instance_temperature", "--on", "loss")
    assert code == 0
    assert "not ranked by loss: it can rescale the loss itself" in " ".join(out.split())
    assert "instance_temperature at learning_rate = 0.0005" in out
    rows = re.findall(r"^ +([\d.]+)  +([\d.]+)$", out, re.MULTILINE)
    assert {float(t): float(loss) for t, loss in rows} == losses
    code, _, err = command("effect", tmp_path, "instance_temperature", "--on", "loss", "--format", "csv")
    assert (code, "not ranked by loss" in err) == (2, True)


def test_a_wrong_name_is_one_line(results, command):
    code, _, err = command("effect", results, "widht")
    assert (code, err.count("\n")) == (2, 1)
    assert "did you mean 'width'?" in err


def test_an_unknown_parameter_is_told_with_those_that_vary(results, command):
    code, _, err = command("effect", results, "tau")
    assert (code, err.count("\n")) == (2, 1)
    assert "There is no parameter 'tau' that varies; rate and width do." in err


@pytest.mark.parametrize(
    ("words", "right"),
    [
        (["effect", "rate", "{}"], "effect {} rate"),
        (["effect", "{}"], "effect {} PARAM. These vary: rate, width"),
        (["interaction", "rate", "width", "{}"], "interaction {} rate width"),
    ],
)
def test_a_folder_in_the_place_of_a_parameter_is_told(results, command, words, right):
    code, _, err = command(*(word.replace("{}", str(results)) for word in words))
    told = f"The folder comes first, then the parameter: conclus {right.replace('{}', str(results))}"
    assert (code, told in err) == (2, True)


def test_without_a_parameter_those_that_vary_are_listed(results, command, monkeypatch):
    monkeypatch.chdir(results.parent)
    results.rename(results.parent / "results")
    assert "Name a parameter: conclus effect PARAM. These vary: rate, width" in command("effect")[2]
    assert command("effect", "--on", "nothing")[2].endswith("Name a parameter: conclus effect PARAM.\n")


def test_the_means_of_the_metric_stay_where_the_terminal_is_narrow():
    one = found(grid(lambda rate, width, seed: width + rate * (-1) ** (seed + width), seeds=(0, 1, 2)))
    table = differences_sheet(one).render("table", 80)
    assert "no difference shown" in table
    assert table.splitlines()[0].split() == ["from", "to", "nmi", "difference", "pairs", "verdict"]
