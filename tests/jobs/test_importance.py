"""Shares of variance against planted ones; what cannot be told is said; interactions are found where they are."""

import csv
import io
import json
import re
from dataclasses import replace
from itertools import count, product

import numpy as np
import pytest
from scipy import stats
from scipy.special import ncfdtr

from core.errors import UserError
from jobs.analysis.effect import effect
from jobs.analysis.importance import Means, _noncentrality, importance
from jobs.analysis.interaction import interaction
from jobs.analysis.trials import Trials, factor_of
from jobs.present.importance import importance_sheet, remarks
from jobs.results import writer
from jobs.results.schema import Attempt
from tests.rates import highest, lowest


def trials(rows, values, column="metric.nmi", seeds=None):
    """Trials from parameters (dicts) and values."""
    factors = {key: factor_of(key, [row.get(key) for row in rows]) for key in rows[0]}
    count = len(rows)
    return Trials(
        column,
        np.asarray(values, float),
        factor_of("seed", seeds or [0] * count),
        factor_of("data", ["d"] * count),
        factors,
        {},
        np.ones(count),
    )


def planted(rng, *, missing=0.1, product_of=0.0):
    """A 3 x 4 x 2 grid with three seeds in which `a` and `b` matter and `c` does not, and the true shares."""
    cells = np.array(list(product(range(3), range(4), range(2))), float)
    level = 0.03 * (cells[:, 0] - 1) + 0.01 * (cells[:, 1] - 1.5) + product_of * (cells[:, 0] - 1) * (cells[:, 1] - 1.5)
    there = rng.random((24, 3)) >= missing
    there[:, 0] = True
    values = (level[:, None] + rng.normal(0, 0.02, (24, 3)))[there]
    rows = [dict(zip("abc", cells[cell], strict=True)) for cell, _ in np.argwhere(there)]
    total = level.var(ddof=1) + 0.02**2
    parts = [(0.03 * (cells[:, 0] - 1)).var(ddof=1), (0.01 * (cells[:, 1] - 1.5)).var(ddof=1), 0.0]
    return trials(rows, values, seeds=np.argwhere(there)[:, 1].tolist()), [part / total for part in parts]


@pytest.mark.parametrize("value", [0.5, 0.1, 0.0, 1e-300, -3e280])
@pytest.mark.parametrize("seeds", [1, 3])
def test_of_equal_values_nothing_is_explained_by_anything(value, seeds):
    rows = [{"a": float(a), "b": float(b)} for a, b in product(range(3), range(3)) for _ in range(seeds)]
    made = trials(rows, [value] * len(rows), seeds=[*range(seeds)] * 9)
    with pytest.raises(UserError, match="All finished trials have the same nmi: there is nothing to explain"):
        importance(made)
    # Of two data sets only what differs within one counts.
    data = factor_of("data", ["d", "e", "d"] * (3 * seeds))
    values = np.where(data.codes == 0, value, 0.3)
    with pytest.raises(UserError, match="All finished trials of each data set have the same nmi"):
        importance(replace(made, data=data, values=values))


def test_shares_are_the_same_in_any_unit():
    rng = np.random.default_rng(5)
    made, _ = planted(rng)
    each = [importance(replace(made, values=made.values * unit)) for unit in (1.0, 1e99)]
    shares = [[(one.share, one.low, one.high, one.p) for one in found.parameters] for found in each]
    np.testing.assert_allclose(shares[1], shares[0], rtol=1e-6)


def test_the_intervals_hold_the_planted_shares_and_what_does_nothing_is_not_found(repeats):
    rng = np.random.default_rng(2)
    studies, covered, quiet = repeats(400), np.zeros(3), 0
    for _ in range(studies):
        made, truth = planted(rng)
        found = importance(made)
        shares = {one.keys[0]: one for one in found.parameters}
        covered += [shares[key].low <= true <= shares[key].high + 1e-12 for key, true in zip("abc", truth, strict=True)]
        quiet += all(one.verdict == "not shown to matter" for one in found.interactions)
    assert (covered / studies >= lowest(0.95, studies, ordinary=0.94)).all()
    assert quiet / studies >= lowest(0.95, studies, ordinary=0.94)


def grid(values):
    """Trials of an array of shape (values of a, of b, …, seeds)."""
    places = np.indices(values.shape).reshape(values.ndim, -1).T
    rows = [dict(zip("abcd", map(float, place[:-1]), strict=False)) for place in places]
    return trials(rows, values.ravel(), seeds=places[:, -1].tolist())


@pytest.mark.parametrize(
    ("shape", "by_seed", "noisy"),
    [((4, 9, 3), 0.5, 1), ((2, 2, 2, 3), 0.5, 1), ((4, 6, 3), 0.0, 3), ((4, 6, 5), 0.0, 3), ((3, 4, 2, 3), 0.5, 3)],
)
def test_nothing_matters_by_the_seeds_that_favour_a_value_or_by_unequal_noise(shape, by_seed, noisy, repeats):
    rng, studies, false = np.random.default_rng(6), repeats(100), np.zeros(2)
    for _ in range(studies):
        values = rng.normal(0, 1, shape)
        values[0] *= noisy
        values += rng.normal(0, by_seed, (shape[0], *[1] * (len(shape) - 2), shape[-1]))
        found = importance(grid(values))
        false += [any(one.verdict == "matters" for one in shares) for shares in (found.parameters, found.interactions)]
    assert (false / studies <= highest(0.05, studies)).all()


def test_one_error_is_shared_by_all_rows_of_the_table():
    rng = np.random.default_rng(7)

    def close(shape, part):
        """The verdict of the first share whose p-value is between half of the error and all of it."""
        shares = (one for _ in count() for one in getattr(importance(grid(rng.normal(0, 1, shape))), part))
        return next(one for one in shares if 0.025 < one.p <= 0.05).verdict

    assert close((3, 4, 5), "interactions") == "not shown to matter"
    assert close((6, 5), "parameters") == "matters"  # It is the only row.


def test_a_share_is_tested_over_configurations_and_over_seeds_as_by_hand():
    """The larger p-value of the two F tests of a complete grid, with equal scatter in all cells, by numpy and scipy."""
    rng, decided = np.random.default_rng(0), set[bool]()
    cell = np.array([-1.0, 0.2, 0.8])  # The same squares in every cell: equal noise.
    for is_shared in [False, True] * 5:
        turns = [[rng.permutation(cell)] * 4 if is_shared else [rng.permutation(cell) for _ in range(4)] for _ in "abc"]
        values = rng.normal(0, 0.3, (3, 4, 1)) + np.array(turns)
        means, seeds = values.mean(axis=2), values.mean(axis=1)
        squares = 4 * ((means.mean(axis=1) - means.mean()) ** 2).sum() / 2
        rest = means - means.mean(axis=1)[:, None] - means.mean(axis=0) + means.mean()
        crossed = seeds - seeds.mean(axis=1)[:, None] - seeds.mean(axis=0) + seeds.mean()
        by_configuration = stats.f.sf(squares / ((rest**2).sum() / 6), 2, 6)
        over_seeds = stats.f.sf(squares / (4 * (crossed**2).sum() / 4 / 3), 2, 4)
        (found,) = [one for one in importance(grid(values)).parameters if one.keys == ("a",)]
        assert found.p == pytest.approx(max(by_configuration, over_seeds))
        decided.add(bool(by_configuration > over_seeds))
    assert decided == {True, False}


def test_unequal_noise_takes_degrees_of_freedom_away_as_by_hand():
    """Box's freedom with matrices in full, and without the part of the squares that comes from estimated variances."""
    rng, decided = np.random.default_rng(1), set[bool]()
    centred = np.eye(3) - 1 / 3
    levels, both = np.kron(centred, np.ones((4, 4)) / 4), np.kron(centred, np.eye(4) - 1 / 4)

    def freedom(space, variances, most):
        crossed = space @ np.diag(variances)
        squares = np.trace(crossed @ crossed) - (np.diag(crossed) ** 2 * 2 / 4).sum()
        return min(most, max(1, np.trace(crossed) ** 2 / squares))

    for _ in range(10):
        values = rng.normal(0, 1, (3, 4, 3))
        values[0] *= 4
        means, variances = values.mean(axis=2).ravel(), values.var(axis=2, ddof=1).ravel() / 3
        own = means @ levels @ means
        by_seed = [values[..., seed].ravel() - means for seed in range(3)]
        crossed = sum(one @ levels @ one for one in by_seed) / 2 / 3
        rank, rest = freedom(levels, variances, 2), freedom(both, variances, 6)
        tests = stats.f.sf(own / 2 / (means @ both @ means / 6), rank, rest), stats.f.sf(own / crossed, rank, 2 * rank)
        (found,) = [one for one in importance(grid(values)).parameters if one.keys == ("a",)]
        assert found.p == pytest.approx(max(tests))
        decided.add(tests[0] > tests[1])
    assert len(decided) == 2


@pytest.mark.parametrize(
    ("shift", "shared", "noisy"), [(0, 0, 1), (1, 1, 1), (4, 0, 1), (4, 1, 1), (2, 0, 3), (8, 4, 1)]
)
def test_the_interval_of_luck_holds_the_planted_share(shift, shared, noisy, repeats):
    rng, studies, covered = np.random.default_rng(3), repeats(100), 0
    truth = np.zeros((3, 4, 1))
    truth[-1] = shift
    scale = np.ones((3, 4, 1))
    scale[0] = noisy
    noise = (scale**2).mean() + shared**2
    for _ in range(studies):
        values = truth + scale * rng.normal(0, 1, (3, 4, 3)) + shared * rng.normal(0, 1, 3)
        low, high = importance(grid(values)).luck_interval
        covered += low <= noise / (noise + truth.var(ddof=1)) <= high + 1e-9
    assert covered / studies >= lowest(0.94, studies)


def test_what_is_said_of_one_seed_or_of_trials_without_training_is_limited_to_them():
    rng = np.random.default_rng(0)
    made = grid(rng.normal(0, 1, (4, 4, 1)))
    assert "All trials have the same seed: this holds for that seed alone." in importance(made).notes
    failed = replace(grid(rng.normal(0, 1, (4, 4, 3))), lost=2)
    for found in (importance(failed), interaction(failed, "a", "b"), effect(failed, "a", "max")):
        assert any(note.startswith("2 trials failed in training") for note in found.notes)
        assert not any("that seed alone" in note for note in found.notes)


def test_no_share_and_no_contrast_compares_scores_across_data_sets():
    rng = np.random.default_rng(0)
    values = rng.normal(0, 0.1, (3, 2, 4)) + np.array([0, 0.3, 0.6])[:, None, None]
    alone = importance(grid(values))
    sets = np.concatenate([values[:, None], values[:, None] + 5], axis=1)
    made = grid(sets)
    data = made.factors["b"]
    renamed = {"a": made.factors["a"], "data.name": replace(data, key="data.name"), "c": made.factors["c"]}
    both = replace(made, factors=renamed, data=factor_of("data", ["xy"[code] for code in data.codes]))
    found = importance(both)
    assert sorted(one.keys for one in found.parameters) == [("a",), ("c",)]
    assert [one.keys for one in found.interactions] == [("a", "c")]
    shares = [{one.keys[0]: one.share for one in each.parameters}["a"] for each in (alone, found)]
    assert shares[0] == pytest.approx(shares[1], abs=0.05)
    assert any("mean of their data set" in note for note in found.notes)
    tested = interaction(both, "a", "data.name")
    assert (tested.contrasts, "no score is compared across data sets" in tested.refusal) == ((), True)


def test_a_share_below_one_per_cent_is_not_shown_as_nothing():
    rng = np.random.default_rng(0)
    values = 100 * np.arange(3)[:, None, None] + np.arange(4)[:, None] + 0.01 * rng.normal(0, 1, (3, 4, 5))
    rows = importance_sheet(importance(grid(values))).rows
    assert [row[1] for row in rows if row[0] == "b"] == ["<1%"]
    assert not any(row[1] == "0%" and row[-1].startswith("matters") for row in rows)


@pytest.mark.parametrize(("levels", "slope", "noise", "seeds"), [(3, 0.08, 0.01, 3), (3, 0.05, 0.01, 1)])
def test_a_parameter_that_does_nearly_all_is_given_nearly_all(levels, slope, noise, seeds, repeats):
    rng, studies = np.random.default_rng(1), repeats(200)
    cells = list(product(range(levels), range(3)))
    planted = np.array([slope * a for a, _ in cells])
    truth = planted.var(ddof=1) / (planted.var(ddof=1) + noise**2)
    rows = [{"a": float(a), "b": float(b)} for a, b in cells] * seeds
    owners = [seed for seed in range(seeds) for _ in cells]
    shares, held = [], 0
    for _ in range(studies):
        values = np.tile(planted, seeds) + rng.normal(0, noise, len(rows))
        one = next(one for one in importance(trials(rows, values, seeds=owners)).parameters if one.keys == ("a",))
        shares.append(one.share)
        held += one.low <= truth <= one.high
    assert np.mean(shares) == pytest.approx(truth, abs=0.03)
    assert held / studies >= lowest(0.95, studies, ordinary=0.93)


def test_shares_of_a_grid_without_noise_are_those_of_the_sums_of_squares():
    rows = [{"a": a, "b": b} for a in (0.0, 1.0, 2.0) for b in (0.0, 1.0)]
    found = importance(trials(rows * 2, [2 * row["a"] + row["b"] for row in rows * 2], seeds=[0] * 6 + [1] * 6))
    shares = {one.keys[0]: one.share for one in found.parameters}
    total = np.var([2 * row["a"] + row["b"] for row in rows])
    assert shares == pytest.approx({"a": 4 * np.var([0, 1, 2]) / total, "b": 0.25 / total})
    assert (found.luck, found.configurations) == (0.0, 6)


def test_the_variance_is_that_of_a_single_trial_however_often_each_configuration_was_repeated():
    rng = np.random.default_rng(3)
    counts = 1 + np.arange(4000) % 4
    owners = np.repeat(np.arange(4000), counts)
    values = rng.normal(0, 0.5, 4000)[owners] + rng.normal(0, 1, len(owners))
    seeds = [seed for count in counts for seed in range(count)]
    means = Means.of(trials([{"a": float(owner)} for owner in owners], values, seeds=seeds))
    assert means.variance == pytest.approx(0.5**2 + 1, rel=0.03)


@pytest.mark.parametrize(("rank", "freedom"), [(1, 20), (2, 8), (3, 60), (6, 500)])
@pytest.mark.parametrize("square", [5001, 40000])
def test_the_interval_of_a_large_non_centrality_holds_95_of_100(rank, freedom, square):
    ratio = square / rank
    low, high = _noncentrality(ratio, rank, freedom)
    assert ncfdtr(rank, freedom, low, ratio) - ncfdtr(rank, freedom, high, ratio) == pytest.approx(0.95, abs=0.01)


def test_an_interaction_is_not_hidden():
    made, _ = planted(np.random.default_rng(0), product_of=0.02)
    found = importance(made)
    verdicts = {one.keys: one.verdict for one in found.interactions}
    assert verdicts["a", "b"] == "matters"
    assert {verdicts["a", "c"], verdicts["b", "c"]} == {"not shown to matter"}


def test_parameters_that_move_together_are_not_told_apart():
    rng = np.random.default_rng(0)
    rows = [{"a": a, "twin": 10 * a, "b": b} for a in range(4) for b in range(4)] * 2
    found = importance(trials(rows, [row["a"] + rng.normal(0, 0.1) for row in rows], seeds=[0] * 16 + [1] * 16))
    verdicts = {one.keys[0]: one.verdict for one in found.parameters}
    assert verdicts["a"] == "cannot be told from twin"
    assert verdicts["twin"] == "cannot be told from a"
    assert verdicts["b"] == "not shown to matter"
    (told,) = [one for one in remarks(found) if "only together" in one]
    assert told.startswith("Without a share are a, twin: they changed only together")
    alone = importance(trials([{"a": row["a"], "b": row["b"]} for row in rows], [float(row["a"]) for row in rows]))
    assert not any("only together" in one for one in remarks(alone))


def test_too_few_trials_are_said_to_be_too_few():
    rows = [{"a": a, "b": b} for a in range(2) for b in range(2)]
    found = importance(trials(rows, [0.0, 1.0, 2.0, 3.5]))
    assert {one.verdict for one in found.parameters} == {"too few trials"}
    assert found.luck is None
    assert any("too few" in note for note in found.notes)
    assert any("the share of luck is unknown" in note for note in found.notes)


def test_values_drawn_at_random_need_no_grid():
    rng = np.random.default_rng(0)
    rows = [
        {"a": float(10 ** rng.uniform(-4, -1)), "b": float(rng.random()), "c": float(rng.random())} for _ in range(60)
    ]
    values = [-((np.log10(row["a"]) + 2.5) ** 2) + 0.5 * row["b"] + rng.normal(0, 0.1) for row in rows]
    found = importance(trials(rows, values))
    assert [one.keys[0] for one in found.parameters if one.verdict == "matters"] == ["a", "b"]
    assert found.parameters[0].share > 0.6


def test_an_option_of_one_method_is_no_twin_of_the_method():
    rng = np.random.default_rng(0)
    rows = [
        {"method.name": m, "method.threshold": 0.9 if m == "tcl" else None, "b": b}
        for m in ("cc", "tcl")
        for b in range(5)
    ]
    values = [(row["method.name"] == "tcl") + rng.normal(0, 0.1) for row in rows]
    assert importance(trials(rows, values)).parameters[0].verdict == "matters"


def test_a_loss_is_not_shared_out_across_what_rescales_it():
    rows = [{"temperature": float(t), "optimiser.beta": float(b)} for t in range(3) for b in range(3)]
    with pytest.raises(UserError, match="temperature, which can rescale the loss"):
        importance(trials(rows, range(9), column="metric.loss"))
    found = interaction(trials(rows, range(9), column="metric.loss"), "temperature", "optimiser.beta")
    assert "temperature" in found.refusal
    assert found.contrasts == ()
    assert len(found.cells) == 9


# Two parameters


def test_differences_of_differences_are_those_of_matched_trials():
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (2, 2, 5))
    rows = [{"a": a, "b": b, "c": c} for a in (1.0, 2.0) for b in (1.0, 2.0) for c in range(5)]
    (one,) = interaction(trials(rows, values.ravel()), "a", "b").contrasts
    expected = values[1, 1] - values[0, 1] - values[1, 0] + values[0, 0]
    assert (one.estimate.mean, one.n) == (pytest.approx(expected.mean()), 5)
    assert one.estimate.half_width == pytest.approx(2.7764451 * expected.std(ddof=1) / np.sqrt(5))


def test_several_differences_of_differences_are_corrected_together():
    values = np.random.default_rng(1).normal(0, 1, (3, 2, 5))
    rows = [{"a": a, "b": b, "c": c} for a in (1.0, 2.0, 3.0) for b in (1.0, 2.0) for c in range(5)]
    found = interaction(trials(rows, values.ravel()), "a", "b").contrasts
    steps = np.diff(values[:, 1] - values[:, 0], axis=0)
    halves = stats.t.ppf(1 - 0.025 / 2, 4) * steps.std(axis=1, ddof=1) / np.sqrt(5)
    assert [one.estimate.half_width for one in found] == pytest.approx(halves.tolist())


def test_rounded_differences_of_differences_that_agree_are_not_certain():
    values = np.full((2, 2, 3), 0.84)
    values[1, 1] = 0.85
    rows = [{"a": a, "b": b, "c": c} for a in (1.0, 2.0) for b in (1.0, 2.0) for c in range(3)]
    (one,) = interaction(trials(rows, values.ravel()), "a", "b").contrasts
    assert one.estimate.half_width == pytest.approx(stats.t.ppf(0.975, 2) * (4 * 0.01**2 / 12 / 3) ** 0.5)
    assert one.verdict == "no dependence shown"


def test_without_interaction_none_is_found_and_a_planted_one_is(repeats):
    rng, studies = np.random.default_rng(4), repeats(200)
    rows = [{"a": a, "b": b, "c": c} for a in range(3) for b in range(2) for c in range(4)] * 3
    seeds = [seed for seed in range(3) for _ in range(24)]
    counts = {0.0: 0, 0.15: 0}
    for size in counts:
        for _ in range(studies):
            values = [0.1 * r["a"] + 0.1 * r["b"] + size * (r["a"] == 2) * r["b"] + rng.normal(0, 0.02) for r in rows]
            found = interaction(trials(rows, values, seeds=seeds), "a", "b")
            counts[size] += any(one.verdict == "depends" for one in found.contrasts)
    assert counts[0.0] / studies <= highest(0.05, studies, ordinary=0.08)
    assert counts[0.15] / studies >= 0.95


def test_no_dependence_is_found_in_seeds_that_favour_a_pair_of_values(repeats):
    rng, studies, false = np.random.default_rng(5), repeats(100), 0
    for _ in range(studies):
        values = rng.normal(0, 1, (3, 2, 9, 3)) + rng.normal(0, 0.5, (3, 2, 1, 3))
        false += any(one.verdict == "depends" for one in interaction(grid(values), "a", "b").contrasts)
    assert false / studies <= highest(0.05, studies)


@pytest.fixture
def results(tmp_path):
    rng = np.random.default_rng(0)
    for number, (rate, width, seed) in enumerate(product((0.1, 0.2, 0.4), (1, 2), (0, 1, 2))):
        if (rate, width) != (0.4, 2):
            params, score = {"rate": rate, "width": width}, {"nmi": rate + rng.normal(0, 0.01)}
            attempt = Attempt(
                study="s",
                trial_key=f"{number}",
                config_key=f"{rate}{width}",
                seed=seed,
                attempt_id=f"A{number}",
                status="ok",
                params=params,
                metrics=score,
            )
            writer.write(str(tmp_path), attempt)
    return tmp_path


def test_the_commands_fit_eighty_columns_and_show_empty_cells(results, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = command("importance", results)
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert re.search(r"^rate +\d+% .* matters$", out, re.MULTILINE)
    assert "luck (the seed)" in out
    code, out, _ = command("interaction", results, "width", "rate")
    assert code == 0
    assert re.search(r"^ *0\.4 +█ 0\.\d+ \(3\) +·$", out, re.MULTILINE)
    assert "1 of 6 cells were not run" in out
    assert max(map(len, out.splitlines())) <= 80


def test_machines_get_every_share_and_every_cell(results, command):
    rows = json.loads(command("importance", results, "--format", "json")[1])
    assert [row["first"] for row in rows if row["second"] is None] == ["rate", "width", "luck"]
    assert rows[-1]["low"] < rows[-1]["share"] < rows[-1]["high"]
    cells = list(csv.DictReader(io.StringIO(command("interaction", results, "rate", "width", "--format", "csv")[1])))
    assert [cell["n"] for cell in cells] == ["3", "3", "3", "3", "3", "0"]


def test_latex_holds_nothing_that_latex_does_not_know(results, command):
    for arguments in (("importance", results), ("interaction", results, "rate", "width")):
        code, out, _ = command(*arguments, "--format", "latex")
        tabular = "".join(line for line in out.splitlines() if not line.startswith("%"))
        assert (code, tabular.isascii(), "tabular" in tabular) == (0, True, True)


def test_a_wrong_metric_gets_a_suggestion(results, command):
    code, _, err = command("importance", results, "--on", "mni")
    assert (code, "did you mean 'nmi'?" in err) == (2, True)


def test_two_names_of_one_parameter_are_refused(results, command):
    code, _, err = command("interaction", results, "rate", "rate")
    assert (code, "name two parameters" in err) == (2, True)


@pytest.mark.parametrize(
    ("counts", "missing"),
    [
        ([[5], [1], [1], [1], [1], [1]], 0.0),
        ([[10], [1], [1], [1], [1]], 0.0),
        ([[3] * 6] * 6, 0.7),
        ([[3] * 5] * 5, 0.5),
    ],
)
def test_configurations_that_were_run_once_are_no_observations_of_noise(counts, missing, repeats):
    """Nothing has an effect; few configurations have more than one seed, so little is known of the noise.

    Parameters and interactions are two families, each corrected for itself, with a bound of .06 each as in the audit;
    with trials missing, anything of either matters in .08 of 500 studies.
    """
    rng, studies, false = np.random.default_rng(7), repeats(150), np.zeros(2)
    for _ in range(studies):
        rows = [
            (i, j, seed)
            for i, row in enumerate(counts)
            for j, count in enumerate(row)
            for seed in range(count)
            if rng.random() >= missing
        ]
        params = [{"a": str(i), "b": str(j)} if missing else {"a": str(i)} for i, j, _ in rows]
        found = importance(trials(params, rng.normal(0.5, 0.01, len(rows)), seeds=[seed for *_, seed in rows]))
        families = (found.parameters, found.interactions)
        false += [any(one.verdict == "matters" for one in family) for family in families]
    assert false.max() / studies <= highest(0.06, studies, ordinary=0.1)


def test_rounded_values_that_do_not_differ_between_seeds_tell_little_of_the_noise():
    """Three configurations at .80, .81 and .80 with every seed: `effect` shows no difference, and nothing matters."""
    rows = [{"method.name": name} for name in ("cc", "tcl", "propos") for _ in range(3)]
    values = [0.81 if row["method.name"] == "tcl" else 0.80 for row in rows]
    made = trials(rows, values, seeds=[0, 1, 2] * 3)
    found = importance(made)
    assert [one.verdict for one in found.parameters] == ["not shown to matter"]
    assert {one.verdict for one in effect(made, "method.name", "max").differences} == {"no difference shown"}
    assert any("rounding to 0.01" in note for note in found.notes)
    least, between = 0.01**2 / 12, np.var([0.80, 0.81, 0.80], ddof=1)
    assert found.luck == pytest.approx(least / (least + between - least / 3))
    exact = trials(rows, [v + 1e-5 * seed for v, seed in zip(values, [1, 2, 3] * 3, strict=True)], seeds=[0, 1, 2] * 3)
    assert not any("rounding" in note for note in importance(exact).notes)


def test_rounded_values_of_one_seed_that_fit_without_a_rest_are_not_certain():
    values = np.full((3, 3, 1), 0.84)
    values[2] = 0.85
    found = {one.keys: one for one in importance(grid(values)).parameters}
    squares = ((values[..., 0] - values.mean()) ** 2).sum()
    assert found["a",].p == pytest.approx(stats.f.sf(squares / 2 / (0.01**2 / 12), 2, 4))
    assert found["a",].low < found["a",].share < 1


def test_an_effect_in_one_of_two_seeds_is_not_shown_to_matter():
    """Two seeds have an error by seed, too: by the configurations alone, this would be a clear effect."""
    values, steps = np.random.default_rng(0).normal(0, 0.1, (2, 8, 2)), np.array([0, 1.5])[:, None, None]
    assert {one.keys: one.verdict for one in importance(grid(values + steps)).parameters}["a",] == "matters"
    values[1, :, 0] += 3
    assert {one.keys: one.verdict for one in importance(grid(values)).parameters}["a",] == "not shown to matter"
