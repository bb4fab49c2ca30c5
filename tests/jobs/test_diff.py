import csv
import io
import random
from statistics import mean, stdev

import numpy as np
import pytest
from scipy.stats import t as student

from jobs.analysis.difference import _overall, _pairs, difference
from jobs.analysis.intervals import paired
from jobs.present.difference import difference_text
from jobs.results.reader import read_results
from jobs.results.schema import Attempt, to_table
from jobs.results.writer import put, serialise
from tests.rates import highest


def attempts(side, *, rates=(1e-3, 1e-2), seeds=range(4), shift=0.0, params=None, **more):
    """Trials whose noise is mostly the seed's own, the same on both sides."""
    for rate in rates:
        for seed in seeds:
            noise = random.Random(f"{rate}{seed}").gauss(0, 0.05) + random.Random(f"{side}{rate}{seed}").gauss(0, 0.002)
            fixed = {"optimiser.learning_rate": rate, "epochs": 60, "method.name": "cc", "data.path": str(side)}
            usual = {
                "status": "ok",
                "study": "s",
                "code_hash": "c1",
                "data_hash": "d",
                "env": {"torch": "2.6", "numpy": "2"},
            }
            yield Attempt(
                trial_key=f"{rate}-{seed}",
                config_key=f"{rate}",
                seed=seed,
                attempt_id="A",
                params=fixed | (params or {}),
                metrics={"nmi": 0.8 + noise + shift * (rate < 5e-3), "loss": 1.0 + noise},
                **(usual | more),
            )


def fill(folder, **what):
    rows = list(attempts(folder.name, **what))
    put(folder / f"study={rows[0].study}" / "compact" / "part-A.parquet", serialise(to_table(rows)))
    return folder


def compared(a, b, metric="nmi", mode="max"):
    return difference(read_results(str(a)), read_results(str(b)), metric, mode)


def test_paired_differences_are_students_over_shared_seeds(tmp_path):
    a, b = fill(tmp_path / "a"), fill(tmp_path / "b", seeds=range(1, 6), shift=0.02)
    found = compared(a, b)
    tables = [read_results(str(side)).to_pylist() for side in (a, b)]
    rows = [{(row["param.optimiser.learning_rate"], row["seed"]): row["metric.nmi"] for row in one} for one in tables]
    for pair in found.pairs:
        rate = pair.params["optimiser.learning_rate"]
        wanted = [rows[1][rate, seed] - rows[0][rate, seed] for seed in (1, 2, 3)]
        assert pair.seeds == 3
        assert pair.difference == pytest.approx(mean(wanted))
        # The intervals of the two configurations hold together.
        assert pair.half_width == pytest.approx(student.ppf(1 - 0.025 / 2, 2) * stdev(wanted) / 3**0.5)
        assert (abs(pair.difference) > pair.half_width) == (pair.verdict != "=")
    assert [pair.verdict for pair in found.pairs] == ["better", "="]
    assert [pair.verdict for pair in compared(a, b, mode="min").pairs] == ["worse", "="]
    assert [pair.verdict for pair in compared(b, a).pairs] == ["worse", "="]


def test_all_configurations_together_are_an_effect_of_the_side(tmp_path):
    """Each configuration and each seed may differ in its own way: the estimate is that of matched effects."""
    a, b = fill(tmp_path / "a", rates=(1, 2, 3, 4, 5)), fill(tmp_path / "b", rates=(1, 2, 3, 4, 5), shift=0.02)
    tables = [read_results(str(side)).to_pylist() for side in (a, b)]
    rows = [{(row["param.optimiser.learning_rate"], row["seed"]): row["metric.nmi"] for row in one} for one in tables]
    keys = sorted(rows[0])
    differences = np.array([rows[1][key] - rows[0][key] for key in keys])
    wanted = paired(differences, np.array([int(rate) for rate, _ in keys]), np.array([seed for _, seed in keys]))
    found = compared(a, b).overall
    assert (found.mean, found.half_width, found.p) == pytest.approx((wanted.mean, wanted.half_width, wanted.p))
    assert (found.configurations, found.seeds, found.n) == (5, 4, 20)


def test_two_shared_seeds_are_too_few_to_say_that_there_is_no_difference(command, tmp_path):
    a, b = fill(tmp_path / "a", seeds=range(2)), fill(tmp_path / "b", seeds=range(2))
    assert [pair.verdict for pair in compared(a, b).pairs] == ["better", "?"]  # The first by a t of 26.
    said = command("diff", a, b)[1]
    assert "? no difference shown over fewer than 3 shared seeds: too few to say." in said
    assert "\n= no difference" not in said
    assert "\n= no difference shown: the interval" in command("diff", *[fill(tmp_path / side) for side in "cd"])[1]


def test_one_seed_and_failed_trials_are_told(command, tmp_path):
    a, b = (fill(tmp_path / side, seeds=(0,), rates=(1, 2, 3)) for side in "ab")
    assert "for these configurations and this one seed alone." in command("diff", a, b)[1]
    fill(tmp_path / "b", seeds=(1,), study="t", status="failed", reason="DIVERGED: the loss is NaN")
    said = command("diff", a, b)[1]
    assert "2 trials failed in training" in said


@pytest.mark.parametrize(
    ("configurations", "seeds", "side", "digits"),
    [(8, 3, 0.5, None), (36, 3, 0.5, None), (8, 2, 0.0, 2), (8, 3, 0.0, 2), (36, 3, 0.0, 2), (1, 4, 0.0, 2)],
)
def test_equal_sides_are_seldom_told_apart(configurations, seeds, side, digits, repeats):
    """With seeds that favour a side in all configurations, and with tables of two decimals."""
    rng, studies, false = np.random.default_rng(3), repeats(100), np.zeros(2)
    for _ in range(studies):
        a, b = 0.84 + 0.01 * rng.normal(0, 0.5, (2, configurations, seeds))
        b = b + 0.005 * rng.normal(0, side, seeds)
        sides = [one if digits is None else one.round(digits) for one in (a, b)]
        cells = [
            ({}, dict(enumerate(x)), dict(enumerate(y))) for x, y in zip(*[one.tolist() for one in sides], strict=True)
        ]
        overall = _overall(cells)
        false += [
            any(pair.verdict in {"better", "worse"} for pair in _pairs(cells, "max")),
            abs(overall.mean) > overall.half_width,
        ]
    assert (false / studies <= highest(0.05, studies)).all()


def test_what_changed_is_told_and_does_not_part_the_configurations(tmp_path):
    a = fill(tmp_path / "a")
    b = fill(
        tmp_path / "b",
        study="t",
        rates=(1e-2, 1e-1),
        params={"epochs": 80},
        code_hash="c2",
        env={"torch": "2.7", "numpy": "2"},
    )
    found = compared(a, b)
    assert {(one.what, one.before, one.after) for one in found.changes} == {
        ("epochs", 60, 80), ("code", "c1", "c2"), ("torch", "2.6", "2.7"),
    }  # fmt: skip
    assert [dict(pair.params) for pair in found.pairs] == [{"optimiser.learning_rate": 1e-2}]
    assert [dict(one) for one in found.only_before] == [{"optimiser.learning_rate": 1e-3}]
    assert [dict(one) for one in found.only_after] == [{"optimiser.learning_rate": 1e-1}]


def test_no_score_is_compared_across_data_sets(command, tmp_path):
    """Configurations are paired within the data sets that both have; without such, nothing is compared."""
    a = fill(tmp_path / "a", params={"data.name": "digits"})
    b = fill(tmp_path / "b", params={"data.name": "wine"}, data_hash="e", shift=0.02)
    code, out, err = command("diff", a, b)
    assert (code, out) == (2, "")
    assert "A is of digits, B of wine: no data set is in both, and no score is compared across data sets." in err
    # Of a study on both, the third configuration is on wine in B alone.
    a = fill(tmp_path / "c", rates=(1, 2, 3), params={"data.name": "digits"})
    rows = [*attempts("d", rates=(1, 2), params={"data.name": "digits"})]
    rows += attempts("d", rates=(3,), params={"data.name": "wine"}, data_hash="e")
    put(tmp_path / "d" / "study=s" / "compact" / "part-A.parquet", serialise(to_table(rows)))
    found = compared(a, tmp_path / "d")
    rate = "optimiser.learning_rate"
    assert [(pair.params[rate], pair.seeds) for pair in found.pairs] == [(1, 4), (2, 4)]
    assert [dict(one) for one in found.only_after] == [{rate: 3, "data": "wine"}]


def test_both_means_are_over_the_seeds_of_the_difference(tmp_path):
    a, b = fill(tmp_path / "a", seeds=range(5)), fill(tmp_path / "b", seeds=range(3, 6))
    for pair in compared(a, b).pairs:
        assert pair.seeds == 2
        assert pair.after - pair.before == pytest.approx(pair.difference)


def test_the_same_results_differ_in_nothing(tmp_path):
    a = fill(tmp_path / "a")
    found = compared(a, a)
    assert not found.changes
    assert not found.only_before
    assert [(pair.difference, pair.verdict) for pair in found.pairs] == [(0, "="), (0, "=")]


def test_results_that_share_nothing_are_not_said_to_be_the_same(tmp_path):
    a, b = fill(tmp_path / "a", rates=(1e-3, 2e-3)), fill(tmp_path / "b", rates=(1e-2, 2e-2))
    told = difference_text(compared(a, b), ("a", "b"), "table", 80)
    assert "2 only in A, 2 only in B. So nothing can be compared." in " ".join(told.split())
    assert "changed from A to B" not in told
    assert "No parameter, code or package changed" in difference_text(compared(a, a), ("a", "a"), "table", 80)


def test_a_false_alarm_is_rare_over_many_configurations(repeats):
    alarms, comparisons = 0, repeats(20)
    for repeat in range(comparisons):
        rates = [1 + repeat + i / 100 for i in range(10)]
        a, b = (to_table(list(attempts(side, rates=rates))) for side in "ab")
        alarms += any(pair.verdict != "=" for pair in difference(a, b, "nmi", "max").pairs)
    # Bonferroni: at most 0.05; the noise is seeded.
    assert alarms / comparisons <= highest(0.05, comparisons, ordinary=0.2)


def test_imported_rows_are_never_paired_by_seed(command, tmp_path):
    (tmp_path / "t.md").write_text("| lr | nmi |\n|---|---|\n| 0.1 | 0.5 |\n| 0.1 | 0.6 |\n")
    for side in ("a", "b"):
        assert command("import", tmp_path / "t.md", "--results", tmp_path / side, "--study", side, "--yes")[0] == 0
    (pair,) = compared(tmp_path / "a", tmp_path / "b").pairs
    assert (pair.seeds, pair.difference, pair.verdict) == (0, None, "?")
    _, out, _ = command("diff", tmp_path / "a", tmp_path / "b")
    assert "4 rows are imported and unverified." in out


def test_a_loss_is_not_compared_across_what_rescales_it(command, tmp_path):
    a, b = fill(tmp_path / "a"), fill(tmp_path / "b", params={"method.instance_temperature": 0.1})
    code, _, err = command("diff", a, b, "--metric", "loss")
    assert code == 2
    assert "they differ in method.instance_temperature, which can rescale the loss" in err
    assert command("diff", a, b)[0] == 0


def test_it_is_markdown_for_a_pull_request_and_csv_for_machines(command, tmp_path):
    a, b = fill(tmp_path / "a"), fill(tmp_path / "b", rates=(1e-3, 1e-2, 1e-1), shift=0.02, code_hash="c2")
    code, out, _ = command("diff", a, b)
    assert code == 0
    assert out.startswith(f"## A: `{a}`, B: `{b}`\n")
    assert "2 configurations in both, 0 only in A, 1 only in B." in out
    assert "| code | c1  | c2  |" in out
    assert "**+0.0" in out
    assert "| better |" in out
    assert "### Only in B\n\n- learning_rate=0.1\n" in out
    _, out, err = command("diff", a, b, "--format", "csv")
    first, _ = csv.DictReader(io.StringIO(out))
    assert (float(first["optimiser.learning_rate"]), first["seeds"], first["verdict"]) == (1e-3, "4", "better")
    assert "only in B" in err
    _, out, _ = command("diff", a, b, "--format", "table", "--out", tmp_path / "x.md")
    assert (tmp_path / "x.md").read_text().startswith("## A")


def test_two_studies_of_one_folder(command, tmp_path):
    fill(tmp_path / "r", study="x")
    fill(tmp_path / "r", study="y", shift=0.02)
    code, out, _ = command("diff", tmp_path / "r", "--study", "x", "--study", "y", "--format", "csv")
    assert code == 0
    assert out.count("better") == 1


@pytest.mark.parametrize("arguments", ["", "r", "r --study x", "r r r", "r r --study x --study y"])
def test_which_two_must_be_clear(command, tmp_path, arguments):
    code, _, err = command("diff", *arguments.split())
    assert code == 2
    assert err == "Error: Give two results folders A and B, or one folder and --study twice: A's study, then B's.\n"


def test_a_metric_that_is_not_there_is_refused(command, tmp_path):
    a = fill(tmp_path / "a")
    code, _, err = command("diff", a, a, "--metric", "nni")
    assert code == 2
    assert "did you mean 'nmi'?" in err


def test_nothing_in_common_is_told(command, tmp_path):
    said = command("diff", fill(tmp_path / "a", rates=(1,)), fill(tmp_path / "b", rates=(2, 3)))[1]
    assert "0 configurations in both, 1 only in A, 2 only in B. So nothing can be compared." in said
    assert "Compared by" not in said


def test_equal_and_failed_configurations_are_told(command, tmp_path):
    """A value whose training failed with every seed is no `?`: there is nothing to be gained by more seeds."""
    a, b = (fill(tmp_path / side, rates=(1, 2)) for side in "ab")
    fill(tmp_path / "a", rates=(3,), study="t")
    for folder in "ab":
        fill(tmp_path / folder, rates=(4,), study="u", status="failed", reason="DIVERGED: the loss is NaN")
    fill(tmp_path / "b", rates=(3,), study="t", status="failed", reason="DIVERGED: the loss is NaN")
    found = compared(a, b)
    verdicts = {pair.params["optimiser.learning_rate"]: pair.verdict for pair in found.pairs}
    assert (verdicts[3], verdicts[4]) == ("failed in B", "failed in both")
    same = command("diff", a, a)[1]
    assert "3 configurations have the same scores in A and B to the last digit: they were trained alike." in same
    assert (
        "to the last digit"
        not in command("diff", fill(tmp_path / "c", rates=(1,)), fill(tmp_path / "d", rates=(1,)))[1]
    )


def test_rounding_is_in_both_sides_of_a_difference():
    (pair,) = _pairs([({}, dict.fromkeys(range(3), 0.80), dict.fromkeys(range(3), 0.81))], "max")
    assert pair.half_width == pytest.approx(student.ppf(0.975, 2) * (2 * 0.01**2 / 12 / 3) ** 0.5)
