"""`conclus next`: the direction of a planted optimum, and a study file that goes there and repeats nothing."""

import json
import math
import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from jobs.analysis.next_step import advise, decide, log_spaced
from jobs.analysis.trials import Trials, factor_of
from jobs.conclusions import proposal
from jobs.planning import plan as planning
from jobs.planning.next_study import Proposal, sentence
from jobs.results import writer
from jobs.results.schema import Attempt
from jobs.study import study as studies
from tests.rates import highest

RATES = (1e-4, 1e-3, 1e-2)


def trials(rng, score, *, noise=0.02, seeds=3, missing=0.1, column="metric.nmi"):
    """A grid of rates and widths with effects of both, of seeds and configurations, and trials that are missing."""
    rows = [row for row in product(RATES, range(4), range(seeds)) if rng.random() >= missing]
    lifts, blocks = rng.normal(0, 0.02, seeds), rng.normal(0, 0.05, 4)
    values = [score(rate) + blocks[width] + lifts[seed] + rng.normal(0, noise) for rate, width, seed in rows]
    factors = {
        "rate": factor_of("rate", [row[0] for row in rows]),
        "width": factor_of("width", [row[1] for row in rows]),
    }
    data, seed = factor_of("data", ["d"] * len(rows)), factor_of("seed", [row[2] for row in rows])
    return Trials(column, np.array(values), seed, data, factors, {}, np.array([10.0 / row[0] for row in rows]))


def peak(at):
    return lambda rate: 0.8 - 0.05 * (math.log10(rate) - at) ** 2


@pytest.mark.parametrize(
    ("at", "kind", "expected"),
    [(-1, "extend", (1e-2, 1e-1, 1.0)), (-5, "extend", (1e-4, 1e-5, 1e-6)), (-3, "refine", (10**-3.5, 1e-3, 10**-2.5))],
)
def test_the_direction_of_the_planted_optimum_is_found_in_95_of_100_studies(at, kind, expected, repeats):
    rng = np.random.default_rng(0)
    found = [decide(trials(rng, peak(at), noise=0.002), "rate", "max", 0.01) for _ in range(repeats(200))]
    right = [one for one in found if one.kind == kind]
    assert len(right) / len(found) >= 0.95
    assert all(one.values == pytest.approx(expected) for one in right)
    assert {one.kind for one in found} <= {kind, "noisy", "open", "keep"}


@pytest.mark.parametrize(("at", "kind"), [(0.2, "extend"), (-4.2, "extend"), (-2.0, "refine")])
def test_the_direction_is_found_among_values_drawn_at_random(at, kind, repeats):
    rng, studies = np.random.default_rng(0), repeats(200)
    hits = 0
    for _ in range(studies):
        rates, width = 10 ** rng.uniform(-3.2, -0.8, 40), rng.random(40)
        values = np.array([peak(at)(rate) for rate in rates]) + 0.1 * width + rng.normal(0, 0.02, 40)
        factors = {"rate": factor_of("rate", rates.tolist()), "width": factor_of("width", width.tolist())}
        ones = factor_of("seed", [0] * 40)
        one = decide(Trials("metric.nmi", values, ones, ones, factors, {}, np.ones(40)), "rate", "max", 0.01)
        if at == -2.0:
            right = one.values[0] < 1e-2 < one.values[-1]
        else:
            right = one.values[-1] > rates.max() if at > -2 else one.values[0] < rates.min()
        hits += one.kind == kind and one.is_range and right
    assert hits / studies >= 0.95


def test_where_smaller_is_better_the_other_end_is_extended():
    rng = np.random.default_rng(0)
    assert decide(trials(rng, peak(-1)), "rate", "min", 0.01).values[0] == 1e-4


def test_what_is_flat_is_fixed_at_the_cheapest_value():
    one = decide(trials(np.random.default_rng(0), lambda _: 0.8, noise=0.002), "rate", "max", 0.01)
    assert (one.kind, one.values) == ("fix", (1e-2,))
    assert "flat" in one.why


def test_what_is_noisy_gets_as_many_seeds_as_show_the_margin():
    one = decide(trials(np.random.default_rng(1), lambda _: 0.8, noise=0.05, missing=0), "rate", "max", 0.02)
    assert one.kind == "noisy"
    needed = (1.96 + 0.84) ** 2 * 2 * 0.05**2 / 0.02**2 / 4
    assert needed * 0.5 < one.seeds < needed * 2


def test_the_seeds_that_are_asked_for_are_the_fewest_with_80_percent_power():
    """Two rates, equal in the mean over four widths but not at each, with two seeds to both sides of every mean."""
    noise, margin = 0.08, 0.05
    rows = list(product(RATES[:2], range(4), range(2)))
    values = [0.8 + 0.05 * (-1) ** (width + (rate == RATES[0])) + noise * (-1) ** seed for rate, width, seed in rows]
    factors = {
        "rate": factor_of("rate", [row[0] for row in rows]),
        "width": factor_of("width", [str(row[1]) for row in rows]),
    }
    data, seed = factor_of("data", ["d"] * len(rows)), factor_of("seed", [row[2] for row in rows])
    made = Trials("metric.nmi", np.array(values), seed, data, factors, {}, np.ones(len(rows)))
    one = decide(made, "rate", "max", margin)
    variance = 2 * noise**2  # of two values that lie `noise` to both sides of their mean
    comparisons = 1 + 4 * 3 / 2  # of two rates and of four widths

    def power(seeds):
        """Of Student's test that the mean of the paired differences over seeds, each of four widths, is 0."""
        critical = stats.t.ppf(1 - 0.05 / comparisons / 2, seeds - 1)
        return stats.nct.sf(critical, seeds - 1, margin / math.sqrt(2 * variance / (4 * seeds)))

    assert one.kind == "noisy"
    assert power(one.seeds - 1) < 0.8 <= power(one.seeds)
    (seen,) = re.findall(
        f"about {one.seeds} seeds can show a difference of 0.05, the 10 that are proposed one of (.+)", one.why
    )
    critical = stats.t.ppf(1 - 0.05 / comparisons / 2, 9)
    assert stats.nct.sf(critical, 9, float(seen) / math.sqrt(2 * variance / 40)) == pytest.approx(0.8, abs=0.05)


def two_rates(rates, scores, broken):
    """Two or more rates over four widths and three seeds, with a score and a state for each rate."""
    rows = list(product(rates, range(4), range(3)))
    rng = np.random.default_rng(0)
    values = np.array([scores[rates.index(rate)] for rate, *_ in rows]) + rng.normal(0, 1e-3, len(rows))
    factors = {
        "rate": factor_of("rate", [row[0] for row in rows]),
        "width": factor_of("width", [str(row[1]) for row in rows]),
    }
    data, seed = factor_of("data", ["d"] * len(rows)), factor_of("seed", [row[2] for row in rows])
    states = np.array([broken[rates.index(rate)] for rate, *_ in rows])
    return Trials("metric.nmi", values, seed, data, factors, {}, np.ones(len(rows)), broken=states)


def test_a_range_is_extended_by_a_factor_of_ten_at_most_and_not_away_from_a_failure():
    far = decide(two_rates((1e-3, 1e6), (0.6, 0.2), (False, False)), "rate", "max", 0.01)
    assert (far.kind, far.values) == ("extend", pytest.approx((1e-3, 1e-4, 1e-5)))
    near = decide(two_rates((1e-3, 2e-3), (0.6, 0.2), (False, False)), "rate", "max", 0.01)
    assert (near.kind, near.values) == ("extend", pytest.approx((1e-3, 5e-4, 2.5e-4)))
    failed = decide(two_rates((1e-3, 1e6), (0.6, 0.0), (False, True)), "rate", "max", 0.01)
    assert (failed.kind, failed.values) == ("fix", (1e-3,))
    assert "1e+06 collapsed or diverged in every trial, which tells no direction" in failed.why
    inside = decide(two_rates((1e-4, 1e-3, 1e6), (0.2, 0.6, 0.0), (False, False, True)), "rate", "max", 0.01)
    assert (inside.kind, inside.values) == ("refine", pytest.approx((10**-3.5, 1e-3, 1e-2)))


def test_a_drawn_range_is_extended_by_a_factor_of_ten_at_most():
    rng = np.random.default_rng(0)
    rates = 10 ** rng.uniform(-9, 0, 40)
    ones = factor_of("seed", [0] * 40)
    factors = {"rate": factor_of("rate", rates.tolist())}
    values = np.log10(rates) / 100 + rng.normal(0, 1e-3, 40)
    one = decide(Trials("metric.nmi", values, ones, ones, factors, {}, np.ones(40)), "rate", "max", 0.01)
    assert (one.kind, one.values[1]) == ("extend", pytest.approx(10 * rates.max()))


def test_a_value_that_is_left_out_is_named():
    made = two_rates((1e-3, 1e-2, 1e-1), (0.6, 0.5995, 0.1), (False, False, False))
    factors = {"rate": replace(made.factors["rate"], levels=("a", "b", "c")), "width": made.factors["width"]}
    one = decide(replace(made, factors=factors), "rate", "max", 1e-5)
    assert (one.kind, one.values) == ("noisy", ("a", "b"))
    assert "; worse and left out: c;" in one.why


def test_a_worse_value_on_one_side_alone_is_no_reason_to_refine():
    one = decide(two_rates((1e-3, 1e-2, 1e-1), (0.1, 0.6, 0.5995), (False, False, False)), "rate", "max", 1e-5)
    assert (one.kind, one.values) == ("noisy", (1e-2, 1e-1))


def test_a_twentieth_less_time_is_no_reason_to_take_another_value():
    made = two_rates((1e-3, 1e-2), (0.6, 0.601), (False, False))
    for seconds, value in ((9.5, 1e-2), (8.5, 1e-3)):
        timed = replace(made, seconds=np.repeat([seconds, 10.0], 12))
        assert decide(timed, "rate", "max", 0.5).values == (value,)


def test_equal_trials_are_no_reason_to_prefer_the_cheaper_value():
    made = two_rates((1e-3, 1e-2), (0, 0), (False, False))
    equal = replace(made, values=np.tile(made.values[:12], 2), seconds=np.repeat([10.0, 1.0], 12))
    one = decide(equal, "rate", "max", 0.01)
    assert (one.kind, one.values) == ("fix", (1e-3,))
    assert one.why == "no effect: all pairs of trials are equal to the last digit"


def test_where_more_seeds_are_no_remedy_none_are_asked_for():
    """The rates' effect differs between widths, by far more than the seeds' noise."""
    rows = list(product(RATES[:2], range(4), range(5)))
    rng = np.random.default_rng(0)
    values = [0.8 + 0.05 * (-1) ** (width * (rate == RATES[0])) + rng.normal(0, 1e-3) for rate, width, _ in rows]
    factors = {
        "rate": factor_of("rate", [row[0] for row in rows]),
        "width": factor_of("width", [row[1] for row in rows]),
    }
    data, seed = factor_of("data", ["d"] * len(rows)), factor_of("seed", [row[2] for row in rows])
    one = decide(
        Trials("metric.nmi", np.array(values), seed, data, factors, {}, np.ones(len(rows))), "rate", "max", 0.01
    )
    assert (one.kind, one.values, one.seeds) == ("open", RATES[:2], 0)
    assert sentence(one).startswith("rate: go on with 0.0001, 0.001; no difference shown: ")


def test_a_better_edge_within_the_margin_is_no_reason_to_extend():
    made = trials(np.random.default_rng(0), peak(-1), noise=0.001, missing=0)
    assert decide(made, "rate", "max", 0.01).kind == "extend"
    one = decide(made, "rate", "max", 0.5)
    assert (one.kind, one.values) == ("fix", (1e-2,))
    rng = np.random.default_rng(0)
    rates, width = 10 ** rng.uniform(-3.2, -0.8, 40), rng.random(40)
    factors = {"rate": factor_of("rate", rates.tolist()), "width": factor_of("width", width.tolist())}
    ones = factor_of("seed", [0] * 40)
    drawn = Trials("metric.nmi", np.array([peak(1)(rate) for rate in rates]), ones, ones, factors, {}, np.ones(40))
    assert decide(drawn, "rate", "max", 0.01).kind == "extend"
    assert decide(drawn, "rate", "max", 5).kind == "fix"


@pytest.mark.parametrize("shape", [(3, 6, 3), (6, 6, 3), (3, 3, 3, 3), (5, 4, 3, 5)])
def test_without_any_difference_a_value_is_called_worse_in_6_of_100_studies_at_most(shape, repeats):
    """In every parameter, over all its pairs: a value is picked as the best by the same trials."""
    rng, count = np.random.default_rng(0), repeats(60)
    places = np.indices(shape).reshape(len(shape), -1)
    factors = {f"p{i}": factor_of(f"p{i}", (2.0 ** places[i]).tolist()) for i in range(len(shape) - 1)}
    seed, data = factor_of("seed", places[-1].tolist()), factor_of("data", ["d"] * places.shape[1])
    wrong = 0
    for _ in range(count):
        values = rng.standard_normal(places.shape[1])
        made = Trials("metric.nmi", values, seed, data, factors, {}, np.ones(len(values)))
        found = advise(made, "max", 1e-9)
        # With so small a margin, all that is shown to be worse moves or narrows a range.
        wrong += any(
            one.kind in {"extend", "refine", "fix"} or len(one.values) < len(factors[one.key].levels) for one in found
        )
    assert wrong / count <= highest(0.06, count)


def test_the_slopes_of_all_ranges_are_corrected_together(repeats):
    rng, count = np.random.default_rng(0), repeats(300)
    ones, wrong = factor_of("seed", [0] * 40), 0
    for _ in range(count):
        factors = {key: factor_of(key, rng.random(40).tolist()) for key in "pqrstu"}
        made = Trials("metric.nmi", rng.standard_normal(40), ones, ones, factors, {}, np.ones(40))
        wrong += any(one.kind != "open" for one in advise(made, "max", 1e-9))
    assert wrong / count <= highest(0.06, count)


def test_a_parameter_that_rescales_a_loss_is_not_judged_by_it():
    made = trials(np.random.default_rng(0), peak(-1), column="metric.loss")
    factors = {"temperature": factor_of("temperature", [RATES[code] for code in made.factors["rate"].codes])}
    renamed = Trials(made.column, made.values, made.seeds, made.data, factors, {}, made.seconds)
    (one,) = advise(renamed, "min", 0.01)
    assert (one.kind, "can rescale the loss" in one.why) == ("keep", True)


@pytest.mark.parametrize(
    ("levels", "is_log"),
    [
        ((1, 10, 100), True),
        ((2e-4, 5e-4, 1e-3), True),
        ((0.3, 0.5, 0.7), False),
        ((0.3, 0.5), False),
        ((1, 2), True),
        ((0, 1), False),
    ],
)
def test_ratios_are_told_from_differences(levels, is_log):
    assert log_spaced(levels) is is_log


# The study file

STUDY = """
study: demo
trial:
  data: {name: digits}
  method: {name: tcl}
space:
  learning_rate: {grid: [2.0e-4, 1.0e-3, 5.0e-3]}
  threshold: {grid: [0.9, 0.95, 1.0]}
  batch_size: {grid: [128, 256]}
seeds: [0, 1, 2]
"""


@pytest.fixture
def results(tmp_path):
    """The study's own trials, with planned scores: better with the rate and the threshold, which cannot pass 1."""
    study = studies.parse(STUDY, "demo", Path())
    rng = np.random.default_rng(0)
    for one in planning.make(study).trials:
        params = one.parameters
        score = 0.5 + 0.02 * math.log(params["optimiser.learning_rate"]) + params["method.threshold"]
        attempt = Attempt(
            study="demo",
            trial_key=one.trial_key,
            config_key=one.config_key,
            seed=one.seed,
            attempt_id=one.trial_key,
            status="ok",
            params=dict(params),
            data_hash=one.data_hash,
            seconds=90.0,
            metrics={"nmi": score + rng.normal(0, 0.002)},
        )
        writer.write(str(tmp_path / "results"), attempt)
    content = {"source": study.source, "select": {"metric": "nmi", "mode": "max"}}
    (tmp_path / "results" / "study=demo" / "study.json").write_text(json.dumps(content))
    return tmp_path / "results"


def test_the_next_study_is_planned_and_what_is_done_is_not_run_again(results, tmp_path, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    out = tmp_path / "next.yaml"
    code, text, err = command("next", results, "--out", out)
    assert (code, err) == (0, "")
    assert max(len(line) for line in text.splitlines() if str(tmp_path) not in line) <= 80
    written = studies.load(out)
    assert {key: one.finite for key, one in written.space.items()} == {"optimiser.learning_rate": (5e-3, 0.025, 0.125)}
    assert written.trial["method"]["threshold"] == 1.0
    assert "no value beyond it is allowed" in " ".join(text.split())
    assert written.trial["batch_size"] in {128, 256}
    assert "9 trials, 6 of them to run: about 9 min on one worker (90 s" in " ".join(text.split())
    assert "3 done, 6 missing" in command("plan", out, "--results", results)[1]
    said = " ".join(command("next", results, "--where", "seed < 2")[1].split())
    assert re.search(r"The advice is from the \d+ trials that --where chose; the next study has \d+ trials, ", said)
    assert "--where" not in text


def test_a_study_of_which_all_is_done_says_that_it_adds_nothing():
    assert "none of them to run: this study adds nothing" in proposal._cost(Proposal("", (), 6, 0, "", []), 1.0)


def test_a_file_that_is_there_is_written_over_with_yes_alone(results, tmp_path, command):
    out = tmp_path / "next.yaml"
    out.write_text("mine")
    code, shown, err = command("next", results, "--out", out)
    assert (code, shown, err) == (
        2,
        "",
        f"Error: --out {out}: this file is there already: name another one, or give --yes\n",
    )
    assert out.read_text() == "mine"
    assert command("next", results, "--out", out, "--yes")[0] == 0
    assert studies.load(out).space


def test_without_out_nothing_is_written(results, tmp_path, command):
    before = sorted(tmp_path.rglob("*"))
    code, text, _ = command("next", results)
    assert (code, "optimiser.learning_rate: extend to" in text) == (0, True)
    assert sorted(tmp_path.rglob("*")) == before


def test_rows_that_no_study_planned_have_no_next(results, command):
    (results / "study=demo" / "study.json").unlink()
    code, _, err = command("next", results, "--on", "nmi")
    assert (code, "_study.json is missing" in err, err.count("\n")) == (2, True, 1)


def test_of_several_studies_one_is_named(results, command):
    (results / "study=other").mkdir()
    code, _, err = command("next", results)
    assert (code, "has several studies, demo, other: choose one with --study NAME" in err) == (2, True)
    assert command("next", results, "--study", "demo")[0] == 0


def test_values_that_break_a_constraint_of_the_study_are_told(results, command):
    """The advice goes by one metric; what else the study asks for is said, with the values that cannot give it."""
    file = results / "study=demo" / "study.json"
    content = json.loads(file.read_text())
    told = []
    for limit in (0.0, 1.32):
        content["select"]["constraints"] = {"nmi": {"at_least": limit}}
        file.write_text(json.dumps(content))
        told.append(" ".join(command("next", results)[1].split()))
    assert "constraints" not in told[0]
    assert "This advice does not know the study's constraints (nmi at least 1.32); no configuration" in told[1]
    assert re.search(r"keeps them with: [^:]*method\.threshold [^;]*0\.9[.;]", told[1])
