"""Stages: what each one is, gates against planted differences, a run that goes on and one that ends, and mistakes."""

import numpy as np
import pytest
from scipy import stats

from core.errors import UserError
from jobs.analysis.gate import Verdict, improves, lower_bounds, moderated, of_all, reaches, with_lost
from jobs.planning import stages
from jobs.results.reader import read_results
from jobs.results.schema import Attempt, to_table
from jobs.study import study
from tests.rates import highest, lowest

TEXT = """study: s
trial: {data: {name: file, path: mine.csv}, n_clusters: 2, epochs: 2, batch_size: 8, encoder: {name: mlp, widths: [4]},
  method: {name: cc, entropy_weight: 2}}
seeds: [0, 1]
stages:
  - name: one
    space: {learning_rate: {grid: [1.0e-3, 1.0e-2]}}
    continue_if: {at_least: 0, mean: true}
  - name: two
    from: best
    trial: {batch_size: 10, method: {instance_temperature: 0.3}}
    continue_if: {metric: nmi, improves: interval}
  - name: three
    trial: {method: conclus, learning_rate: 1.0e-1}
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{i % 2 * 9 + i / 10},{i % 3},{'ab'[i % 2]}\n" for i in range(20))
    (tmp_path / "mine.csv").write_text("u,v,label\n" + rows)

    def write(text=TEXT, name="study.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_each_stage_is_a_study_of_its_own(write):
    course = stages.load(write())
    one, two, three = (stage.study for stage in course.stages)
    assert [one.name, two.name, three.name] == ["s.one", "s.two", "s.three"]
    assert set(one.space) == {"optimiser.learning_rate"}
    assert not two.space
    assert {one.seeds, two.seeds, three.seeds} == {(0, 1)}
    assert (two.trial["batch_size"], three.trial["batch_size"]) == (10, 8)
    assert two.trial["method"]["instance_temperature"] == 0.3
    assert two.trial["method"]["entropy_weight"] == 2.0


def test_another_method_drops_the_options_of_the_first(write):
    three = stages.load(write()).stages[2].study
    assert (
        three.trial["method"]
        == stages.load(write(TEXT.replace("method: {name: cc, entropy_weight: 2}", "method: conclus")))
        .stages[0]
        .study.trial["method"]
    )
    assert three.trial["optimiser"]["learning_rate"] == 0.1


def test_a_study_without_stages_is_read_as_ever(write):
    text = TEXT[: TEXT.index("stages:")]
    course = stages.load(write(text), ["epochs=3"])
    assert course.at(0, "results").whole() == study.load(write(text), ["epochs=3"]).whole()
    assert course.verdict(0, "results") is None


def test_an_override_holds_for_all_stages_and_a_name_for_the_study(write):
    course = stages.load(write(), ["epochs=3", "study=t", "seeds=[5]", "batch_size=5"])
    assert [one.study.name for one in course.stages] == ["t.one", "t.two", "t.three"]
    assert {(one.study.trial["epochs"], one.study.seeds, one.study.trial["batch_size"]) for one in course.stages} == {
        (3, (5,), 5)
    }


def test_it_runs_through_open_gates_ends_at_a_closed_one_and_goes_on_where_it_was(write, command):
    write()
    code, _, err = command("run", "study.yaml", "--workers", "1")
    assert code == 1
    assert "s.one: passed: nmi" in err
    assert "s.two: the study ends here: nmi" in err
    assert set(read_results("results")["study"].to_pylist()) == {"s.one", "s.two"}
    files = sorted(write().parent.glob("results/**/*.parquet"))
    best = stages.load(write()).at(1, "results").trial["optimiser"]["learning_rate"]
    rows = read_results("results", where="study == 's.two'").to_pylist()
    assert {row["param.optimiser.learning_rate"] for row in rows} == {best}
    _, out, _ = command("plan", "study.yaml")
    assert "continue if nmi has a mean of at least 0: yes, nmi" in out
    assert "continue if nmi improves by its interval: no, nmi" in out
    assert "s.three: 1 configuration x 2 seeds = 2 trials" in out
    write(TEXT.replace("improves: interval", "at_most: 1, mean: true"))
    code, _, err = command("run", "study.yaml", "--workers", "1")
    assert code == 0
    assert "all 8 trials are done" in err
    assert len(read_results("results")) == 8
    assert set(files) < set(write().parent.glob("results/**/*.parquet"))
    for one in ("s.one", "s.three"):
        assert command("aggregate", "--study", one)[0] == 0


def test_a_stage_whose_trials_are_not_all_done_is_no_stage_to_go_on_from(write, command):
    write()
    code, _, err = command("run", "study.yaml", "--workers", "1", "--set", "budget.trials=2")
    assert code == 3
    assert "the budget is spent\n2 trials are left; go on with: conclus run study.yaml" in err
    assert set(read_results("results")["study"].to_pylist()) == {"s.one"}
    assert "once it is known" in command("plan", "study.yaml")[1]


def test_failed_trials_hold_no_stage_back_and_the_exit_code_tells_of_them(write, command):
    write(
        TEXT.replace("[1.0e-3, 1.0e-2]", "[1.0e-3, 1.0e+30]").replace("improves: interval", "at_least: 0, mean: true")
    )
    code, _, err = command("run", "study.yaml", "--workers", "1")
    assert code == 1
    assert "2 trials failed, 0 left" in err
    assert "s.three" in set(read_results("results")["study"].to_pylist())


def test_show_prints_every_stage_as_a_study_file(write, command):
    write()
    _, out, _ = command("plan", "study.yaml", "--show")
    parts = out.split("---\n")
    assert [study.load(write(part, f"{i}.yaml")).name for i, part in enumerate(parts)] == ["s.one", "s.two", "s.three"]


def test_the_example_is_valid(root):
    course = stages.load(root / "studies" / "stages.yaml")
    assert [stage.name for stage in course.stages] == ["baseline", "conclus", "tune"]
    assert course.stages[2].study.trial["method"]["name"] == "conclus"


def test_every_mistake_is_told_at_once_with_its_line(write):
    text = """study: s
trial: {data: digits, epochs: 2}
space: {epochs: {grid: [1, 2]}}
stages:
  - name: a
    from: best
    continue_if: {improves: interval}
    space:
      learning_rat: {grid: [1]}
  - name: a
    from: worst
    trial:
      batch_sise: 3
  - nam: b
    continue_if: {at_least: 1, at_most: 2}
    trial: {method.tau: 1}
  - just a word
  - name: c
    continue_if: {metric: consensus, at_least: many}
"""
    with pytest.raises(UserError) as caught:
        stages.load(write(text))
    lines = [line.partition("study.yaml:")[2] for line in str(caught.value).splitlines()]
    expected = {
        "3: space: belongs to one of the stages",
        "6: stages.0.from: there is no stage before the first",
        "7: stages.0.continue_if.improves: there is no stage before the first",
        "9: space.learning_rat: unknown key; did you mean",
        "10: stages.1.name: 'a' is used twice",
        "11: stages.1.from: 'worst' is wrong",
        "13: stages.1.trial.batch_sise: unknown key",
        "14: stages.2.nam: unknown key",
        "15: stages.2.continue_if: exactly one of improves",
        "16: trial.method.tau: unknown key",
        "4: stages.3: 'just a word' is wrong",
        "19: stages.4.continue_if: the consensus is a rank",
        "19: stages.4.continue_if.at_least: 'many' is wrong",
    }
    missing = {one for one in expected if not any(line.startswith(one) for line in lines)}
    assert not missing, "\n".join(lines)


def test_other_commands_say_that_they_take_one_stage(write):
    with pytest.raises(UserError, match="only plan and run take a study with stages"):
        study.load(write())


# Gates


def stage(rng, means, seeds=3, noise=0.01, shared=0.02):
    blocks = shared * np.random.default_rng(9).standard_normal(seeds)
    return [dict(enumerate((mean + blocks + noise * rng.standard_normal(seeds)).tolist())) for mean in means]


def test_a_gate_opens_for_a_planted_improvement_and_not_for_a_worse_stage():
    rng = np.random.default_rng(0)
    before, better, worse = stage(rng, [0.5, 0.6]), stage(rng, [0.6, 0.8]), stage(rng, [0.3, 0.4])
    verdict = improves("nmi", better, before, maximise=True)
    assert verdict.is_open
    assert "better by 0.194" in verdict.why
    assert not improves("nmi", worse, before, maximise=True).is_open
    assert improves("nmi", worse, before, maximise=False).is_open
    assert not improves("nmi", before, before, maximise=True).is_open


@pytest.mark.parametrize("configurations", [1, 12])
def test_without_any_difference_a_gate_opens_in_5_of_100_however_many_configurations_it_has(configurations, repeats):
    rng, gates = np.random.default_rng(configurations), repeats(300)
    opened = sum(
        improves("nmi", stage(rng, [0.6] * configurations), stage(rng, [0.6]), maximise=True).is_open
        for _ in range(gates)
    )
    assert opened / gates <= highest(0.05, gates, ordinary=0.0877)


def test_one_seed_opens_no_gate_that_asks_for_an_interval():
    assert not improves("nmi", [{0: 0.9}], [{0: 0.1}], maximise=True).is_open
    assert not improves("nmi", [{0: 0.9, 1: 0.9}], [{0: 0.1}], maximise=True).is_open
    assert not improves("nmi", [], [{0: 0.1}], maximise=True).is_open


def test_a_number_is_reached_by_the_mean_of_the_best_where_the_file_says_so():
    cells = [{0: 0.5, 1: 0.7}, {0: 0.1, 1: 0.2}]
    assert reaches("nmi", cells, at_least=0.6, at_most=None, of_mean=True).is_open
    assert not reaches("nmi", cells, at_least=0.61, at_most=None, of_mean=True).is_open
    assert reaches("loss", cells, at_least=None, at_most=0.1501, of_mean=True).is_open
    assert not reaches("loss", cells, at_least=None, at_most=0.14, of_mean=True).is_open
    assert reaches("nmi", [{0: 0.6}], at_least=0.6, at_most=None, of_mean=True).is_open
    assert not reaches("nmi", [], at_least=0.0, at_most=None).is_open


def test_the_bound_of_one_configuration_is_students():
    values = [0.7, 0.75, 0.72]
    error = stats.sem(values)
    low, high = (np.mean(values) + sign * stats.t.ppf(0.95, 2) * error for sign in (-1, 1))
    cell = dict(enumerate(values))
    assert lower_bounds([cell]) == [pytest.approx(low)]
    assert reaches("nmi", [cell], at_least=low - 1e-6, at_most=None).is_open
    assert not reaches("nmi", [cell], at_least=low + 1e-6, at_most=None).is_open
    assert reaches("mse", [cell], at_least=None, at_most=high + 1e-6).is_open
    shut = reaches("mse", [cell], at_least=None, at_most=0.7)
    assert (shut.is_open, shut.why) == (
        False,
        f"mse 0.723 ±{stats.t.ppf(0.975, 2) * error:.3f}, below {high:.3f} (95 %), but at most 0.7 is wanted",
    )


@pytest.mark.parametrize("shape", [(8, 3), (36, 3), (36, 5)])
@pytest.mark.parametrize("noisy", [1, 3])
def test_a_number_that_all_configurations_miss_by_one_spread_opens_a_gate_in_6_of_100_at_most(shape, noisy, repeats):
    rng, gates = np.random.default_rng(0), repeats(300)
    spread = np.where(np.arange(shape[0]) < shape[0] // 4, noisy, 1.0)[:, None]
    studies = rng.standard_normal((gates, *shape)) * spread - 1
    opened = sum(reaches("nmi", _cells(one), at_least=0, at_most=None).is_open for one in studies)
    assert opened / gates <= highest(0.06, gates)


def test_bounds_hold_together_at_the_threshold_itself_and_let_a_better_configuration_pass(repeats):
    rng, gates = np.random.default_rng(1), repeats(400)
    studies = rng.standard_normal((gates, 36, 5))
    opened = sum(reaches("nmi", _cells(one), at_least=0, at_most=None).is_open for one in studies)
    assert opened / gates <= highest(0.05, gates)
    studies[:, 3] += 4
    opened = sum(reaches("nmi", _cells(one), at_least=0, at_most=None).is_open for one in studies)
    assert opened / gates >= lowest(0.95, gates)


def test_seeds_that_act_alike_on_all_configurations_open_no_gate(repeats):
    rng, gates = np.random.default_rng(2), repeats(1500)
    studies = np.repeat(rng.standard_normal((gates, 1, 2)), 8, axis=1)
    opened = sum(reaches("nmi", _cells(one), at_least=0, at_most=None).is_open for one in studies)
    assert opened / gates <= highest(0.05, gates)


def test_variances_are_drawn_together_as_far_as_they_agree():
    variances, freedoms = np.array([1.0, 1.1, 0.9, 1.0]), np.array([2.0, 2.0, 4.0, 2.0])
    drawn, freedom = moderated(variances, freedoms)
    assert drawn.tolist() == pytest.approx([(2 + 2.2 + 3.6 + 2) / 10] * 4)
    assert freedom.tolist() == [10] * 4
    rng = np.random.default_rng(3)
    true = 4 * 0.5 / rng.chisquare(4, 4000)  # a scaled inverse chi-squared distribution: 4 degrees of freedom around .5
    variances, freedoms = true * rng.chisquare(2, 4000) / 2, np.full(4000, 2.0)
    drawn, freedom = moderated(variances, freedoms)
    assert freedom[0] == pytest.approx(6, rel=0.15)
    assert drawn == pytest.approx((4 * 0.5 + 2 * variances) / 6, rel=0.15)


def test_the_noise_of_a_bound_is_the_common_one_or_that_of_its_own_configuration_if_larger():
    variances = [1.0, 1.5, 2.0]  # They differ by no more than chance, so the common one is their mean.
    values = [[5 - one**0.5, 5.0, 5 + one**0.5] for one in variances]
    factor = max(stats.t.ppf(1 - 0.05 / 3, 6), stats.t.ppf(0.95, 2))
    expected = [5 - factor * (max(one, 1.5) / 3) ** 0.5 for one in variances]
    assert lower_bounds(_cells(np.array(values))) == pytest.approx(expected)


def test_values_that_were_rounded_have_the_variance_of_rounding():
    bound = lower_bounds([{0: 0.61, 1: 0.61, 2: 0.61}])[0]
    assert bound == pytest.approx(0.61 - stats.t.ppf(0.95, 2) * 0.01 / (12 * 3) ** 0.5)


@pytest.mark.parametrize("value", [0.0, 1.0, -2.0])
def test_values_that_are_all_the_threshold_reach_it(value):
    found = reaches("nmi", [dict.fromkeys(range(3), value)] * 4, at_least=value, at_most=None)
    assert found.is_open
    assert f"above {value:.3f} (95 %" in found.why
    assert not reaches("nmi", [dict.fromkeys(range(3), value)] * 4, at_least=value + 1e-9, at_most=None).is_open


def test_a_gate_tells_that_seeds_collapsed():
    noise = np.random.default_rng(0).normal(0, 0.01, (8, 5))
    noise[3, 2] -= 0.3
    cells = [dict(enumerate(row)) for row in (0.7 + noise).tolist()]
    assert "seeds collapsed in 1 configuration, which" in reaches("nmi", cells, at_least=0.6, at_most=None).why
    others = [cell for place, cell in enumerate(cells) if place != 3]
    assert "collapsed" not in reaches("nmi", others, at_least=0.6, at_most=None).why


def test_one_seed_keeps_a_gate_closed_and_is_told():
    shut = reaches("nmi", [{0: 0.9}, {0: 0.8}], at_least=0.5, at_most=None)
    assert (shut.is_open, "one seed has no interval" in shut.why, "mean: true" in shut.why) == (False, True, True)


def _cells(values):
    return [dict(enumerate(one)) for one in values.tolist()]


def _table(rows, data="d"):
    return to_table(
        [
            Attempt(
                study="s",
                trial_key=f"{key}-{seed}",
                config_key=key,
                seed=seed,
                attempt_id=f"{key}-{seed}",
                status="failed" if reason else "ok",
                reason=reason,
                params={"data.name": data},
                data_hash=data,
                metrics={} if value is None else {"nmi": value},
            )
            for key, seed, value, reason in rows
        ]
    )


def test_a_trial_whose_training_failed_has_the_worst_value_and_one_that_a_machine_lost_has_none():
    table = _table(
        [
            *[("a", seed, 0.9, "") for seed in range(2)],
            ("a", 2, None, "DIVERGED: nan"),
            *[("b", seed, 0.7 + seed / 100, "") for seed in range(2)],
            ("b", 2, None, "WORKER_DIED: gone"),
            ("c", 0, None, "OUT_OF_MEMORY: 3 GB"),
        ]
    )
    b = {0: 0.7, 1: 0.71}
    assert with_lost(table, "metric.nmi", maximise=True, threshold=None) == (
        {("s", "a"): {0: 0.9, 1: 0.9, 2: 0.7}, ("s", "b"): b},
        1,
    )
    assert with_lost(table, "metric.nmi", maximise=True, threshold=0.5)[0]["s", "a"][2] == 0.5
    assert with_lost(table, "metric.nmi", maximise=False, threshold=0.5)[0]["s", "a"][2] == 0.9


def test_each_data_set_has_to_meet_the_gate():
    met, missed = Verdict(is_open=True, why="fine"), Verdict(is_open=False, why="low")
    assert of_all([("digits", met)]) is met
    assert of_all([("digits", met), ("wine", missed)]) == Verdict(is_open=False, why="wine: low")
    assert of_all([("digits", met), ("wine", met)]) == Verdict(is_open=True, why="digits: fine; wine: fine")


def test_a_stage_over_two_data_sets_is_judged_on_each_and_has_no_one_best(write, command):
    write()
    text = """study: s
trial: {data: {name: file, path: mine.csv}, n_clusters: 2, epochs: 1, batch_size: 8, encoder: {name: mlp, widths: [4]}}
seeds: [0, 1]
stages:
  - name: one
    space: {data: {choice: [{name: file, path: mine.csv}, {name: file, path: other.csv}]}}
    continue_if: {metric: kmeans_acc, at_least: 0.9, mean: true}
  - name: two
"""
    path = write(text)
    (path.parent / "other.csv").write_text(
        "u,v,label\n" + "".join(f"{i % 2 / 3 + i % 7},{i % 3},{'ab'[i % 2]}\n" for i in range(20))
    )
    code, _, err = command("run", "study.yaml", "--workers", "1")
    assert code == 1, err
    assert "s.one: the study ends here: other: kmeans_acc" in err
    assert "mine.csv: kmeans_acc" not in err
    with pytest.raises(UserError, match="stage before varies its data"):
        stages.load(write(text.replace("name: two", "name: two\n    from: best")))


@pytest.mark.parametrize(
    ("gate", "told"),
    [
        ("{improves: interval, mean: true}", "stages.1.continue_if.mean: it belongs to at_least and at_most"),
        ("{at_least: 2}", "stages.1.continue_if: nmi is never above 1, so it cannot be at least 2"),
        ("{metric: perplexity, at_most: -1}", "continue_if: perplexity is never below 0, so it cannot be at most -1"),
        ("{improves: interval, metric: my_score}", "stages.1.continue_if.metric: nothing declares whether larger"),
    ],
)
def test_a_gate_that_cannot_be_judged_is_refused_before_anything_runs(write, gate, told):
    with pytest.raises(UserError) as caught:
        stages.load(write(TEXT.replace("{metric: nmi, improves: interval}", gate)))
    assert told in str(caught.value)


VARIED = TEXT.replace("data: {name: file, path: mine.csv}, ", "").replace(
    "{learning_rate: {grid: [1.0e-3, 1.0e-2]}}", "{data: {grid: [digits, {name: scikit-learn, table: wine}]}}"
)


def test_data_may_be_named_by_a_stage_and_are_never_the_default(write):
    own = "trial: {data: digits, method"
    text = VARIED.replace("    from: best\n", "").replace("trial: {method: conclus", f"{own}: conclus")
    course = stages.load(write(text.replace("trial: {batch_size", "trial: {data: digits, batch_size")))
    assert set(course.stages[0].study.space) == {"data"}
    assert [one.study.trial["data"]["name"] for one in course.stages[1:]] == ["digits", "digits"]
    with pytest.raises(UserError, match=r"trial\.data: is missing: name the data") as error:
        stages.load(write(text))
    assert len(error.value.lines) == 1


def test_the_command_line_is_told_where_it_made_the_mistake(write):
    with pytest.raises(
        UserError, match=r"^--set stages\.0\.name=x: what is set holds for every stage: change a single"
    ):
        stages.load(write(), ["stages.0.name=x"])
    with pytest.raises(UserError, match=r"^--set foo\.bar=3: trial\.foo: unknown key"):
        stages.load(write(), ["foo.bar=3"])


def test_the_plan_says_that_one_seed_keeps_a_gate_closed_and_names_data_and_ranges_once(write, command):
    text = TEXT.replace("seeds: [0, 1]", "seeds: [0]\nsearch: {name: random, trials: 2}")
    text = text.replace("{grid: [1.0e-3, 1.0e-2]}", "{log_uniform: [1.0e-3, 1.0e-2]}").replace("    from: best\n", "")
    code, out, err = command("plan", str(write(text)))
    assert code == 0
    assert "continue if nmi has a mean of at least 0\n" in out
    assert (
        "continue if nmi improves by its interval: it stays closed, as one seed cannot show it: give more seeds" in out
    )
    assert "0.001 … 0.01 (log_uniform)" in out
    assert err.count("(data read in") == 1
