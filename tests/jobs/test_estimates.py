"""Means with intervals near a bound, the mean of a picked best, and collapsed seeds."""

import math
from dataclasses import replace
from statistics import fmean, variance

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import integrate, stats

from jobs.analysis.estimates import Picked, collapsed, score, shrunk
from jobs.analysis.intervals import half_width, plus_minus
from tests.rates import SIGMAS, highest, lowest

UNIT = (0.0, 1.0)


def logit(p):
    return math.log(p / (1 - p))


@given(st.lists(st.floats(0.01, 0.99), min_size=2, max_size=10))
def test_near_a_bound_the_interval_is_students_for_the_logit_of_the_mean(values):
    found, mean = score(values, UNIT, rounded=0.0), fmean(values)
    half = stats.t.ppf(0.975, len(values) - 1) * math.sqrt(variance(values) / len(values))
    assert found.half_width == pytest.approx(half, abs=1e-12)
    if half <= 0.25 * min(mean, 1 - mean):
        assert (found.low, found.high) == (mean - found.half_width, mean + found.half_width)
        return
    step = half / (mean * (1 - mean))
    assume(step < 20)
    assert logit(found.low) == pytest.approx(logit(mean) - step, rel=1e-6, abs=1e-6)
    assert logit(found.high) == pytest.approx(logit(mean) + step, rel=1e-4, abs=1e-4)


def test_with_one_bound_it_is_students_for_the_logarithm_of_the_distance():
    values = [0.1, 0.5, 0.3]
    half, mean = half_width(values), fmean(values)
    found = score(values, (0.0, math.inf))
    assert (found.low, found.high) == pytest.approx((mean * math.exp(-half / mean), mean * math.exp(half / mean)))
    mirrored = score([-value for value in values], (-math.inf, 0.0))
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low))


def test_without_bounds_or_far_from_them_the_interval_is_students():
    for bounds in ((-math.inf, math.inf), UNIT):
        found = score([0.50, 0.52, 0.51], bounds)
        assert (found.low, found.high) == (found.mean - found.half_width, found.mean + found.half_width)


@pytest.mark.parametrize("values", [[1.0, 1.0], [1.0, 0.9], [1.2, 0.9], [0.0, 0.0], [0.999, 0.001]])
def test_no_interval_near_a_bound_fails(values):
    found = score(values, UNIT)
    assert found.low <= found.mean <= found.high


def test_an_interval_that_is_not_even_shows_both_ends():
    assert score([0.51, 0.52, 0.50], UNIT).text == "0.510 ±0.025"
    assert score([0.99, 0.95, 0.96], UNIT).text == "0.967 -0.113 +0.026"
    assert score([0.9], UNIT).text == "0.900"


@pytest.mark.parametrize("shape", [(30, 1), (10, 1), (30, 2)])
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_it_covers_the_mean_of_skewed_noise_near_the_bound(shape, seeds, repeats):
    draws = np.random.default_rng(1).beta(*shape, (repeats(1000), seeds)).tolist()
    found = [score(row, UNIT) for row in draws]
    truth = shape[0] / sum(shape)
    assert fmean(one.low <= truth <= one.high for one in found) >= lowest(0.935, len(found))


def test_students_interval_does_not(repeats):
    draws = np.random.default_rng(1).beta(30, 1, (repeats(1000), 5)).tolist()
    plain = fmean(abs(fmean(row) - 30 / 31) <= half_width(row) for row in draws)
    assert plain < lowest(0.935, len(draws))


def ordered(values):
    """Configurations by seed, the best first, and the order."""
    order = np.argsort(-values.mean(1))
    return [dict(enumerate(row)) for row in values[order].tolist()], order


@pytest.mark.parametrize("count", [2, 3, 9])
def test_the_estimate_is_bayes_mean_over_all_shares_of_noise(count):
    values = np.random.default_rng(3).standard_normal((count, 4))
    values += 0.7 * np.random.default_rng(4).standard_normal((count, 1))
    values = values[np.argsort(-values.mean(1))]
    # Every configuration has seeds of its own, so there is nothing that a seed adds to all.
    cells = [{4 * i + seed: float(value) for seed, value in enumerate(row)} for i, row in enumerate(values)]
    means, error = values.mean(1), values.var(axis=1, ddof=1).mean() / 4
    lead, squares = means[0] - means.mean(), ((means - means.mean()) ** 2).sum() / error

    def moment(power):
        """Of the share of noise B: its likelihood is B^((k - 1) / 2) exp(-B s / 2)."""
        return integrate.quad(lambda b: b ** (power + (count - 1) / 2) * math.exp(-b * squares / 2), 0, 1)[0]

    share, square = moment(1) / moment(0), moment(2) / moment(0)
    expected = means.mean() + (1 - share) * lead
    spread = error * (1 - (count - 1) / count * share) + (square - share**2) * lead**2
    found = shrunk(cells, maximise=True)
    assert found.mean == pytest.approx(expected, rel=1e-3)
    own = (2 * 4 * error + 3 * values[0].var(ddof=1)) / 5
    t = stats.t.ppf(0.975, 3 * count)
    half = t * math.sqrt(spread * max(1, own / (4 * error)))
    skewness = stats.kstat(values, 3, axis=1).mean() / (4 * error) ** 1.5
    longer = max(1, 1 + skewness * (1 + 2 * t**2) / (6 * t * math.sqrt(4)))
    assert found.high == pytest.approx(expected + half * longer, rel=1e-3)
    assert found.low <= expected - half + 1e-3


@pytest.mark.parametrize(("count", "most"), [(2, 0.19), (3, 0.24), (4, 0.26), (5, 0.28), (8, 0.28), (36, 0.28)])
def test_little_of_the_luck_is_left_in_the_corrected_mean_of_equal_ones(count, most, repeats):
    rng, studies = np.random.default_rng(count), repeats(100)
    means = [shrunk(ordered(rng.standard_normal((count, 3)))[0], maximise=True).mean for _ in range(studies)]
    assert fmean(means) <= most + SIGMAS * np.std(means) / math.sqrt(studies)
    raw = [max(map(fmean, rng.standard_normal((count, 3)).tolist())) for _ in range(studies)]
    assert fmean(means) < fmean(raw)


def coverage(count, seeds, spread, studies, *, raw=False, worse=0.0, shared=0.0):
    rng, hits = np.random.default_rng(count * seeds), 0
    for _ in range(studies):
        truths = spread * rng.standard_normal(count) - worse * (np.arange(count) < count // 2)
        values = truths[:, None] + rng.standard_normal((count, seeds)) + shared * rng.standard_normal(seeds)
        cells, order = ordered(values)
        found, truth = shrunk(cells, maximise=True), truths[order[0]]
        low, high = found.low, found.high
        if raw:
            plain = score(list(cells[0].values()))
            low, high = plain.low, plain.high
        hits += low <= truth <= high
    return hits / studies


@pytest.mark.parametrize(("count", "seeds"), [(2, 3), (3, 2), (8, 3), (36, 3), (36, 2)])
@pytest.mark.parametrize("spread", [0, 1])
def test_the_corrected_interval_covers_the_mean_of_the_picked_one(count, seeds, spread, repeats):
    studies = repeats(100)
    assert coverage(count, seeds, spread, studies) >= lowest(0.95, studies)


def test_it_does_so_with_configurations_that_learn_nothing_and_with_effects_of_seeds(repeats):
    studies = repeats(100)
    assert coverage(36, 5, 0, studies, worse=3) >= lowest(0.95, studies)
    # The posterior's interval alone, which takes the true means as normal, covers 0.4 here.
    assert coverage(200, 3, 0, studies // 2, worse=4) >= lowest(0.95, studies // 2)
    assert coverage(36, 3, 0, studies, shared=1) >= lowest(0.95, studies)


def test_it_does_so_where_the_noise_has_a_long_tail(repeats):
    rng, studies = np.random.default_rng(8), repeats(300)
    hits = {True: 0, False: 0}
    for _ in range(studies):
        truths = 0.5 * rng.standard_normal(5)
        values = truths[:, None] + (rng.lognormal(0, 1, (5, 10)) - math.exp(0.5)) / math.sqrt(math.exp(2) - math.e)
        for better in hits:
            cells, order = ordered(values if better else -values)
            found = shrunk(cells, maximise=True)
            hits[better] += found.low <= (1 if better else -1) * truths[order[0]] <= found.high
    assert min(hits.values()) / studies >= lowest(0.95, studies, ordinary=0.94)  # Without the longer half, it is .91.


def test_it_does_so_where_the_best_has_the_lucky_seeds(repeats):
    """Seeds act on all configurations alike, with 3 times the noise, and half of the trials are missing."""
    rng, studies, hits, without = np.random.default_rng(5), repeats(100), 0, 0
    for _ in range(studies):
        values = rng.standard_normal((36, 5)) + 3 * rng.standard_normal(5)
        cells = [{s: v for s, v in enumerate(row) if rng.random() < 0.5} for row in values.tolist()]
        cells = sorted((cell for cell in cells if cell), key=lambda cell: -fmean(cell.values()))
        found = shrunk(cells, maximise=True)
        hits += found.low <= 0 <= found.high
        without += found.mean < fmean(cells[0].values())
    assert hits / studies >= lowest(0.95, studies)
    assert without == studies


def test_values_beyond_the_declared_bounds_are_not_pressed_into_them():
    for scale, start in ((100, 0), (1, -0.9)):
        cells = [{seed: scale * (start + 0.5 + 0.01 * (seed - i)) for seed in range(3)} for i in range(4)]
        cells = [
            {seed: value + scale * 0.001 * (i * seed % 3) for seed, value in one.items()} for i, one in enumerate(cells)
        ]
        found = shrunk(cells, maximise=True, bounds=UNIT)
        assert found.low <= found.mean <= found.high
        assert found.mean == pytest.approx(fmean(cells[0].values()), rel=0.1)


def test_the_plain_interval_of_the_best_of_36_does_not(repeats):
    studies = repeats(100)
    assert coverage(36, 5, 0, studies, raw=True) < lowest(0.95, studies)


def test_configurations_far_below_do_not_hide_the_luck_of_the_best():
    rng = np.random.default_rng(0)
    good = rng.normal(0, 1, (18, 3))
    with_bad, _ = ordered(np.concatenate([good, rng.normal(-50, 1, (18, 3))]))
    assert shrunk(with_bad, maximise=True).mean < fmean(with_bad[0].values()) - 0.5


def test_a_smaller_value_is_better_where_it_is():
    cells, _ = ordered(np.random.default_rng(2).standard_normal((8, 3)))
    found = shrunk(cells, maximise=True)
    mirrored = shrunk([{seed: -value for seed, value in cell.items()} for cell in cells], maximise=False)
    assert (mirrored.mean, mirrored.low, mirrored.high) == pytest.approx((-found.mean, -found.high, -found.low))


def test_without_a_choice_or_without_repeats_there_is_no_correction():
    assert shrunk([{0: 0.5, 1: 0.6}], maximise=True) is None
    assert shrunk([{0: 0.5}, {0: 0.4}, {0: 0.3}], maximise=True) is None
    assert shrunk([{0: 0.1 * i, 1: 0.1 * i} for i in range(9)], maximise=True, picked=8) is not None  # rounded
    assert shrunk([{0: i / 7, 1: i / 7} for i in range(9)], maximise=True, picked=8) is None


def test_the_corrected_mean_and_its_interval_are_told_in_one_form_and_stay_within_the_bounds():
    for cells in ([{0: 0.9, 1: 0.8}, {0: 0.7, 1: 0.3}], [{0: 0.9, 1: 0.8}, *({0: 0.7, 1: 0.1 * i} for i in range(5))]):
        found = shrunk(cells, maximise=True, bounds=UNIT)
        assert found.mean < 0.85
        assert 0 <= found.low <= found.mean <= found.high <= 1
        places = f"{found.mean:.3f} (95 %: {found.low:.3f} to {found.high:.3f})"
        assert f"is too good: corrected, with the noise of all, it is {places}." in found.sentence


def test_rounded_values_are_not_known_to_the_last_digit():
    found = score([0.8, 0.8, 0.8], UNIT, rounded=0.01**2 / 12)
    assert found.half_width == pytest.approx(stats.t.ppf(0.975, 2) * 0.01 / math.sqrt(36))
    assert score([0.80, 0.81, 0.80]).half_width >= found.half_width
    assert found.text == "0.800 ±0.007"
    assert score([0.7, 0.7, 0.7]).text == "0.700 ±0.072"


def test_rounded_values_at_a_bound_reach_to_one_side():
    found = score([1.0, 1.0, 1.0], UNIT, rounded=0.01**2 / 12)
    assert (found.low, found.high) == (pytest.approx(1 - found.half_width), 1.0)
    assert found.text == "1.000 -0.007 +0.000"
    assert score([0.0, 0.0, 0.0], UNIT, rounded=0.01**2 / 12).text == "0.000 -0.000 +0.007"
    # Values beyond the bounds are of another scale.
    assert score([1.2, 0.8], UNIT).high > 1


def test_what_is_left_of_equal_values_makes_no_digits():
    assert plus_minus(0.7, 1.4e-16) == "0.700 ±0.000"
    assert plus_minus(0.7, 0.00002) == "0.700000 ±0.000020"


TABLE = [[0.90, 0.91, 0.92, 0.90, 0.91], [0.92, 0.91, 0.60, 0.90, 0.62], [0.91, 0.90, 0.89, 0.92, 0.90]]


def test_seeds_in_two_groups_are_counted():
    cells = [dict(enumerate(row)) for row in TABLE]
    assert collapsed(cells, maximise=True) == [0, 2, 0]
    assert collapsed(cells, maximise=False) == [0, 3, 0]
    assert collapsed([{0: 0.9, 1: 0.1}, {0: 0.9, 1: 0.9}], maximise=True) == [0, 0]


def test_configurations_that_learn_nothing_do_not_set_the_noise_of_others():
    usual = {0: 0.481, 1: 0.477, 2: 0.348}
    alone = collapsed([usual], maximise=True)
    assert alone == [0]
    for dead in (0.0, 1e-6):
        assert collapsed([usual, {0: dead, 1: 0.0, 2: dead / 2}], maximise=True) == [0, 0]
    cells = [dict(enumerate(row)) for row in TABLE]
    assert collapsed([*cells, *({0: 0.0, 1: 0.0, 2: 0.0} for _ in range(5))], maximise=True) == [0, 2, 0, *[0] * 5]


def slow_ratio(table, place):
    """The largest gap of one configuration in units of the noise, one value at a time."""

    def split(row):
        row = sorted(row)
        gap, at = max((row[i + 1] - row[i], -i) for i in range(len(row) - 1))
        groups = row[: 1 - at], row[1 - at :]
        return gap, sum((one - fmean(group)) ** 2 for group in groups for one in group)

    inside = [split(row)[1] for row in table]
    common = sum(inside) / sum(len(row) - 2 for row in table)
    return split(table[place])[0] / math.sqrt(max(common, inside[place] / (len(table[place]) - 2)))


@pytest.mark.parametrize(("count", "seeds"), [(4, 3), (8, 5), (36, 5)])
def test_a_gap_is_told_in_1_of_100_configurations_of_normal_noise(count, seeds, repeats):
    rng, tables = np.random.default_rng(6), repeats(4000 // count)
    draws = rng.standard_normal((tables, count, seeds)).tolist()
    told = [place > 0 for one in draws for place in collapsed([dict(enumerate(row)) for row in one], maximise=True)]
    # The bound is a quantile of simulated tables as well, so the rate has the error of both.
    assert fmean(told) <= highest(0.011, tables * count)
    ratios = [slow_ratio(one, place) for one in draws[:20] for place in range(count)]
    flags = told[: 20 * count]
    assert max((r for r, f in zip(ratios, flags, strict=True) if not f), default=0) < min(
        (r for r, f in zip(ratios, flags, strict=True) if f), default=math.inf
    )


def test_collapsed_seeds_are_found():
    rng = np.random.default_rng(7)
    gone = rng.random((36, 5)) < 0.15
    values = rng.normal(0.9, 0.01, (36, 5)) - 0.1 * gone
    told = np.array(collapsed([dict(enumerate(row)) for row in values.tolist()], maximise=True))
    assert (told == gone.sum(1)).mean() >= 0.9


def test_a_correction_that_changes_no_shown_digit_is_none_and_its_interval_is_told():
    found = Picked(0.5461, 0.34, 0.752, 4, seen=0.5459)
    assert found.text == replace(found, mean=found.seen).text
    assert "too good" not in found.sentence
    assert found.sentence.endswith("with the noise of all, its mean is 0.546 (95 %: 0.340 to 0.752).")
    assert "corrected, with the noise of all, it is 0.546" in Picked(0.5461, 0.34, 0.752, 4, seen=0.551).sentence
    cells = [{0: 0.9, 1: 0.8}, {0: 0.1, 1: 0.12}]
    assert shrunk(cells, maximise=True).seen == pytest.approx(0.85)
