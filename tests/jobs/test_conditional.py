"""Values of a space that have a space of their own: `{name: tcl, space: {threshold: {grid: [0.9, 0.95]}}}`."""

import itertools
import json
from collections import Counter
from pathlib import Path

import pytest

from cluster.executor import Event
from core.config.schema import Mistakes
from core.config.trial import read_trial
from core.errors import UserError
from jobs.planning import next_study, probe, stages, tpe
from jobs.planning import plan as planning
from jobs.report import cluster_data
from jobs.results.writer import write
from jobs.study import keys as keys_of
from jobs.study import plug_ins, space, study, yaml_document
from jobs.study.space import Integer, Uniform, Values
from tests.jobs.test_searches import attempt

TEXT = """study: s
trial: {data: digits, encoder: {name: mlp, widths: [8]}, epochs: 2, evaluation: {every: 2}}
space:
  batch_size: {grid: [128, 256]}
  method:
    choice:
      - cc
      - name: tcl
        boost: 0.5
        space:
          threshold: {grid: [0.9, 0.95]}
          learning_rate: {grid: [1.0e-3, 1.0e-4, 1.0e-5]}
      - {name: propos}
seeds: [0, 1]
"""
METHODS = {"cc": 1, "tcl": 6, "propos": 1}


@pytest.fixture
def read(tmp_path):
    """Reads the study above with a text replaced, and with overrides."""

    def read(old="", new="", *overrides):
        (tmp_path / "study.yaml").write_text(TEXT.replace(old, new) if old else TEXT, encoding="utf-8")
        return study.load(tmp_path / "study.yaml", overrides)

    return read


def keys(read):
    return [one.trial_key for one in planning.make(read).trials]


# The grid


def test_a_grid_has_every_combination_of_each_branch_and_no_other(read):
    found = Counter(
        (one.parameters["method.name"], one.parameters["batch_size"]) for one in planning.make(read()).trials
    )
    assert found == {(name, size): 2 * count for name, count in METHODS.items() for size in (128, 256)}


def test_a_configuration_is_the_one_that_its_whole_mapping_describes(read):
    of = read("- {name: propos}", "- lda")  # a method without views and optimiser
    for cell in space.grid(of.space):
        mistakes = Mistakes()
        assert of.cell(cell) == read_trial(keys_of.overlay(of.trial, cell), (), mistakes)
        assert not mistakes.found
    tcl = {
        (one.parameters["method.threshold"], one.parameters["optimiser.learning_rate"], one.parameters["method.boost"])
        for one in planning.make(read()).trials
        if one.parameters["method.name"] == "tcl"
    }
    assert tcl == set(itertools.product((0.9, 0.95), (1e-3, 1e-4, 1e-5), (0.5,)))


def test_trials_have_the_keys_that_they_have_in_a_study_of_each_method(read, tmp_path):
    apart = []
    for method in ("cc", "{name: tcl, boost: 0.5}", "propos"):
        trial = f"trial: {{data: digits, method: {method}, encoder: {{name: mlp, widths: [8]}}, epochs: 2, "
        varied = "batch_size: {grid: [128, 256]}"
        if "tcl" in method:
            varied += ", threshold: {grid: [0.9, 0.95]}, learning_rate: {grid: [1.0e-3, 1.0e-4, 1.0e-5]}"
        (tmp_path / "one.yaml").write_text(
            f"study: one\n{trial}evaluation: {{every: 2}}}}\nspace: {{{varied}}}\nseeds: [0, 1]", encoding="utf-8"
        )
        apart += keys(study.load(tmp_path / "one.yaml"))
    assert sorted(keys(read())) == sorted(apart)


def test_any_prefix_of_the_plan_has_each_configuration_of_the_methods_equally_often(read):
    names = ("method.name", "method.threshold", "optimiser.learning_rate")
    order = [
        (tuple(one.parameters.get(key) for key in names), one.parameters["batch_size"], one.seed)
        for one in planning.make(read()).trials
    ]
    for axis in zip(*order, strict=True):
        counts = Counter(dict.fromkeys(axis, 0))
        for value in axis:
            counts[value] += 1
            assert max(counts.values()) - min(counts.values()) <= 1


def test_a_study_that_is_written_out_has_the_same_trials(read, tmp_path):
    again = study.parse(read().whole(), "again", tmp_path)
    assert keys(again) == keys(read())
    assert again.space == read().space


def test_the_written_space_reads_back(read, tmp_path):
    made = {"study": "s", "trial": read().source["trial"], "space": space.written(read().space), "seeds": [0, 1]}
    assert keys(study.parse(yaml_document.write(made), "again", tmp_path)) == keys(read())
    ranges = {"a": Uniform(0.0, 1.0), "b": Integer(1, 3), "c": space.LogUniform(0.1, 1.0)}
    assert space.written(ranges) == {
        "a": {"uniform": [0.0, 1.0]},
        "b": {"int": [1, 3]},
        "c": {"log_uniform": [0.1, 1.0]},
    }


def test_values_of_data_encoder_views_and_loss_have_spaces_too_and_two_deep(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n3,4\n5,7\n", encoding="utf-8")
    (tmp_path / "study.yaml").write_text(
        """study: s
trial: {n_clusters: 2}
space:
  data: {grid: [digits, {name: file, path: a.csv, space: {scale: {grid: [none, standard]}}}]}
  encoder: {grid: [{name: mlp, space: {widths: {grid: [[4], [8]]}}}]}
  views: {grid: [auto, {name: noise, space: {strength: {grid: [0.1, 0.2, 0.3]}}}]}
  method:
    grid:
      - cc
      - name: paired
        space:
          loss: {grid: [mse, {name: info_nce, space: {temperature: {grid: [0.1, 0.2]}}}]}
""".replace("strength", option("views", "noise")).replace("scale", "data.scale"),
        encoding="utf-8",
    )
    read = study.load(tmp_path / "study.yaml")
    trials = planning.make(read).trials
    assert len(trials) == 3 * 2 * 4 * 4
    losses = Counter(
        (one.parameters.get("method.loss.name"), one.parameters.get("method.loss.temperature")) for one in trials
    )
    assert set(losses) == {(None, None), ("mse", None), ("info_nce", 0.1), ("info_nce", 0.2)}
    assert len(set(losses.values())) == 1
    assert {one.config.data.options["path"] for one in trials if one.config.data.name == "file"} == {
        str(tmp_path / "a.csv")
    }


def option(kind, name):
    """The name of an option of a plug-in that takes a number."""
    from core.config import plugins

    return next(one.name for one in plugins.options(kind, name) if isinstance(one.default, float))


def test_a_stage_takes_values_with_a_space(tmp_path):
    text = TEXT.replace("space:\n  batch_size", "stages:\n- name: a\n  space:\n    batch_size").replace(
        "  method:\n    choice", "    method:\n     choice"
    )
    (tmp_path / "staged.yaml").write_text(text, encoding="utf-8")
    (stage,) = stages.load(tmp_path / "staged.yaml").stages
    assert planning.make(stage.study).n_cells == 2 * sum(METHODS.values())


# Random


CONDITIONAL = {
    "m": Values(("a", "b", "c"), ({}, {"x": Uniform(0.0, 1.0), "y": Integer(1, 9)}, {"x": Uniform(5.0, 6.0)})),
    "z": Uniform(0.0, 1.0),
}


def test_random_draws_are_even_over_branches_and_inside_them():
    cells = space.sample(CONDITIONAL, 92, seed=1)
    for length in range(1, 93):
        counts = Counter(dict.fromkeys("abc", 0)) + Counter(one["m"] for one in cells[:length])
        assert max(counts.values()) - min(counts[name] for name in "abc") <= 1, counts
    assert {(one["m"], *sorted({*one} - {"m", "z"})) for one in cells} == {("a",), ("b", "x", "y"), ("c", "x")}
    for name, branch in zip("abc", CONDITIONAL["m"].branches, strict=True):
        own = [{key: one[key] for key in one if key != "m"} for one in cells if one["m"] == name]
        assert own == space.sample({"z": CONDITIONAL["z"], **branch}, len(own), seed=1)


def test_values_of_two_keys_with_spaces_meet_equally_often():
    other = Values(("p", "q"), ({}, {"w": Uniform(0.0, 1.0)}))
    cells = space.sample({**CONDITIONAL, "n": other}, 120, seed=2)
    for length in (6, 30, 120):
        pairs = Counter((one["m"], one["n"]) for one in cells[:length])
        assert set(pairs.values()) == {length // 6}, pairs


def test_the_first_random_draws_stay_and_a_space_without_branches_draws_as_before():
    assert space.sample(CONDITIONAL, 60, seed=3)[:20] == space.sample(CONDITIONAL, 20, seed=3)
    plain = {"a": Uniform(0.0, 1.0), "b": Values(("x", "y")), "c": Integer(0, 9)}
    # As the version drew that had no branches.
    assert [(round(one["a"], 6), one["b"], one["c"]) for one in space.sample(plain, 3, seed=3)] == [
        (0.916871, "x", 4),
        (0.736044, "x", 0),
        (0.555217, "y", 5),
    ]


def test_a_branch_that_is_used_up_leaves_its_share_to_the_others():
    small = {"m": Values(("a", "b"), ({}, {"x": Integer(1, 4)}))}
    cells = space.sample(small, 50, seed=0)
    assert sorted(cells, key=lambda one: (one["m"], one.get("x", 0))) == list(space.grid(small))


def test_covering_has_every_example_of_every_branch():
    cells = space.covering(CONDITIONAL)
    assert {(one["m"], key, one[key]) for one in cells for key in one if key != "m"} >= {
        ("b", "x", 0.0),
        ("b", "x", 1.0),
        ("b", "y", 1),
        ("b", "y", 9),
        ("c", "x", 5.0),
        ("c", "x", 6.0),
    }
    assert space.sizes(
        {"m": Values(("a", "b"), ({}, {"x": Integer(1, 4), "y": Integer(1, 2)})), "n": Integer(1, 3)}
    ) == [9, 3]


def test_the_probe_counts_the_parameters_of_every_branch(read):
    drawn = read("seeds:", "search: {name: optuna, trials: 3}\nseeds:")
    names = {one.config.method.name for one in probe._ends(drawn)}
    assert names == set(METHODS)


# Optuna


def test_optuna_is_told_the_ranges_of_the_chosen_value_alone(read, tmp_path):
    drawn, results = read("", "", "search={name: optuna, trials: 9}", "seeds=[0]"), str(tmp_path / "results")
    live = tpe.Asking(drawn, results)
    for value in range(9):
        one = live.take().trial
        write(results, attempt(drawn, one, metrics={"nmi": value / 9}, status="ok"))
        live.hear(Event("finished", one.trial_key, {"value": value / 9, "status": "ok"}))
    known = tpe.known_cells(drawn, results)
    assert len(known) == 9
    for one, trial in zip(known, tpe._optuna_study(drawn, known).trials, strict=True):
        chosen = [*METHODS].index(one.cell.config.method.name)
        inner = {f"method={chosen}/method.threshold", f"method={chosen}/optimiser.learning_rate"}
        assert {*trial.params} == {"batch_size", "method"} | (inner if chosen == 1 else set())
        assert trial.params["method"] == chosen
        assert trial.value == one.mean()
    assert {len(one.assignment) for one in known} == {2, 4}


def test_a_resumed_search_draws_what_an_uninterrupted_one_draws(read, tmp_path):
    """The branch `tcl` gets better scores the higher its threshold: TPE must turn to it."""
    varied = "threshold: {uniform: [0.5, 1.0]}"
    drawn = read("threshold: {grid: [0.9, 0.95]}", varied, "search={name: optuna, trials: 40}", "seeds=[0]")
    results, taken = str(tmp_path / "results"), []
    live = tpe.Asking(drawn, results)
    for number in range(40):
        one = live.take().trial
        if number % 8 == 0:
            assert tpe.Asking(drawn, results).take().trial.trial_key == one.trial_key
        taken.append(one)
        value = one.parameters.get("method.threshold", 0.2)
        write(results, attempt(drawn, one, metrics={"nmi": value}, status="ok"))
        live.hear(Event("finished", one.trial_key, {"value": value, "status": "ok"}))
    late = [one.parameters for one in taken[20:]]
    assert sum(one["method.name"] == "tcl" for one in late) >= 14
    assert sum(one.get("method.threshold", 0) for one in late) / sum("method.threshold" in one for one in late) > 0.8


def test_a_search_goes_on_where_a_value_without_a_space_of_its_own_is_all_that_is_proposed(read, tmp_path):
    """The branch `cc` is one configuration, and the best by far: TPE proposes it again and again."""
    varied = "threshold: {uniform: [0.5, 1.0]}"
    live = tpe.Asking(
        read(
            "threshold: {grid: [0.9, 0.95]}",
            varied,
            "search={name: optuna, trials: 30}",
            "seeds=[0]",
            "space.batch_size={grid: [8]}",
        ),
        str(tmp_path),
    )
    found = []
    while taken := live.take():
        found.append(taken.trial.trial_key)
        value = 0.9 if taken.trial.parameters["method.name"] == "cc" else 0.1
        live.hear(Event("finished", taken.trial.trial_key, {"value": value, "status": "ok"}))
    assert len({*found}) == 30


def test_a_finite_conditional_space_is_searched_to_its_end(read, tmp_path):
    live = tpe.Asking(read("", "", "search={name: optuna, trials: 99}", "seeds=[0]"), str(tmp_path))
    found = []
    while taken := live.take():
        found.append(taken.trial.parameters["method.name"])
        live.hear(Event("finished", taken.trial.trial_key, {"value": len(found) % 5 / 5, "status": "ok"}))
    assert Counter(found) == {name: 2 * count for name, count in METHODS.items()}


@pytest.mark.parametrize(
    "ranges",
    [
        "method: {grid: [cc, {name: tcl, boost: 0.5}, {name: tcl, boost: 0.6}]}",
        "data: {grid: [{name: file, path: a/x.csv}, {name: file, path: b/x.csv}]}",
        "data.path: {grid: [a/x.csv, b/x.csv]}",
        "encoder_learning_rate: {grid: [null, 1.0e-4]}",
        "method: {grid: [gc_atm, {name: lda, space: {n_clusters: {int: [2, 3]}}}]}",
        "method.name: {grid: [nmf, prodlda]}\n  learning_rate: {uniform: [0.1, 0.2]}",
    ],
)
def test_a_search_finds_its_rows_whatever_results_hold_of_the_values(tmp_path, ranges):
    for folder, content in (("a", "a,b\n1,2\n3,4\n"), ("b", "a,b\n1,2\n3,5\n")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.csv").write_text(content, encoding="utf-8")
    trial = "trial: {data: {name: file, path: a/x.csv}, n_clusters: 2}"
    drawn = study.parse(f"study: s\n{trial}\nspace:\n  {ranges}\nsearch: {{name: optuna, trials: 9}}", "s", tmp_path)
    made = planning.PlannedConfigs(drawn)
    for assignment in space.covering(drawn.space):
        cell = made.make(assignment)
        row = {"params": json.loads(json.dumps(dict(cell.parameters))), "config_key": cell.key}
        assert tpe._stored_cell(drawn, made, row).cell.parameters == cell.parameters
        assert tpe._stored_cell(drawn, made, {**row, "config_key": "other"}) is None
        assert tpe._stored_cell(drawn, made, {**row, "params": {}, "config_key": "other"}) is None


# Overrides


@pytest.mark.parametrize(
    ("overrides", "cells", "values"),
    [
        (["method=tcl"], 12, {"method.name": {"tcl"}, "method.boost": {0.5}}),
        (["method.name=tcl"], 12, {"method.name": {"tcl"}, "method.threshold": {0.9, 0.95}}),
        (["method=cc"], 2, {"method.name": {"cc"}}),
        (["threshold=0.7"], 2 * 5, {"method.threshold": {0.7, None}, "method.name": {*METHODS}}),
        (["method.threshold=0.7"], 2 * 5, {"method.threshold": {0.7, None}}),
        (["learning_rate=0.5"], 2 * 4, {"optimiser.learning_rate": {0.5}}),
        (["space.method.tcl.threshold={grid: [0.1]}"], 2 * 5, {"method.threshold": {0.1, None}}),
        (["space.method.tcl.learning_rate.grid=[0.5]"], 2 * 4, {"optimiser.learning_rate": {0.5, 1e-3}}),
        (["space.method.cc.entropy_weight={grid: [0, 1, 2]}"], 2 * 10, {}),
        (["space.method.choice=[cc, propos]"], 4, {"method.name": {"cc", "propos"}}),
        (["space.method={grid: [cc]}", "space.optimiser.learning_rate={grid: [1, 2]}"], 4, {}),
        (["space={method.name: {choice: [cc, propos]}}"], 2, {"method.name": {"cc", "propos"}}),
        (["space.method.name={choice: [cc, propos]}", "space.method={grid: [tcl]}"], None, {}),
        (["space={}", "space.method.name={choice: [cc, propos]}"], 2, {"method.name": {"cc", "propos"}}),
    ],
)
def test_overrides_reach_into_branches(read, overrides, cells, values):
    if cells is None:
        with pytest.raises(UserError, match=r"space\.method.*is varied, too"):
            read("", "", *overrides)
        return
    plan = planning.make(read("", "", *overrides))
    assert plan.n_cells == cells
    for key, wanted in values.items():
        assert {one.parameters.get(key) for one in plan.trials} == wanted


# Mistakes


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("threshold: {", "thresold: {", r"study.yaml:11: space.method.tcl.thresold: unknown key; did you mean 'thr"),
        ("grid: [0.9, 0.95]", "grid: [0.9, 2]", r"study.yaml:11: space.method.tcl.threshold: .*2"),
        ("grid: [0.9, 0.95]", "gird: [0.9]", r"study.yaml:11: space.method.tcl.threshold: .* a range is needed"),
        ("boost: 0.5", "bost: 0.5", r"study.yaml:9: space.method.tcl.bost: unknown key; did you mean 'boost'"),
        ("- cc", "- ccc", r"study.yaml:5: space.method: 'ccc' is none of the methods"),
        ("- {name: propos}", "- {name: propos, space: [1]}", r"study.yaml:13: space.method.propos: \[1\] is wrong"),
        (
            "- {name: propos}",
            "- {name: tcl, boost: 0.5, space: {gamma: {grid: [1]}}}",
            r"space.method: choice has .*'tcl'.* twice",
        ),
        (
            "threshold: {grid: [0.9, 0.95]}",
            "threshold: {uniform: [0.9, 1]}",
            r"study.yaml:11: space.method.tcl.threshold: a grid cannot list a continuous range",
        ),
        (
            "threshold: {grid: [0.9, 0.95]}",
            "batch_size: {grid: [1, 2]}",
            r"study.yaml:11: space.method.tcl.batch_size: space.batch_size is varied, too, and both would apply",
        ),
        (
            "threshold: {grid: [0.9, 0.95]}",
            "method.name: {grid: [cc, propos]}",
            r"study.yaml:11: space.method.tcl.name: space.method is varied, too",
        ),
        (
            "batch_size: {grid: [128, 256]}",
            "encoder: {grid: [mlp, {name: identity, space: {learning_rate: {grid: [1]}}}]}",
            r"space.method.tcl.learning_rate: space.encoder.identity.learning_rate is varied, too",
        ),
        (
            "batch_size: {grid: [128, 256]}",
            "widths: {grid: [[4], [8]]}\n  data: {grid: [{name: digits, space: {encoder: {grid: [identity]}}}]}",
            r"space.data.digits.encoder: space.widths is varied, too|space.widths: space.data.digits.encoder is varied",
        ),
        ("  batch_size: {grid: [128, 256]}", "  method: {name: {choice: [cc]}}", r"given twice"),
        (
            "seeds:",
            "search: {name: random, trials: 8, scheduler: pbt}\nseeds:",
            r"space.method: pbt changes values while a trial trains: no value can have a space of its own",
        ),
    ],
)
def test_mistakes_in_a_branch_are_told_with_their_line_and_what_is_right(read, old, new, said):
    with pytest.raises(UserError, match=said):
        read(old, new)


def test_a_branch_may_not_vary_what_its_method_does_not_use(read):
    lda = "- {name: lda, space: {learning_rate: {grid: [0.1]}}}"
    with pytest.raises(
        UserError, match=r"study.yaml:13: space.method.lda.optimiser.learning_rate: .*method lda does not"
    ):
        read("- {name: propos}", lda)
    plan = planning.make(read("- {name: propos}", "- {name: lda, space: {n_clusters: {grid: [4, 5]}}}"))
    assert plan.n_cells == 2 * 7 + 2
    assert plan.notes == ("lda does not use batch_size: its 4 cells are 2 configurations with 2 seeds each",)


def test_a_range_one_level_too_deep_is_told_the_right_form(tmp_path):
    for text, right in (
        ("method: {name: {choice: [cc, propos]}}", r"for method.name write `method: \{choice: \[…\]\}`"),
        ("method: {threshold: {grid: [0.9]}}", r"for method.threshold write `method.threshold: \{grid: \[…\]\}`"),
    ):
        with pytest.raises(UserError, match=right):
            study.parse(f"study: s\ntrial: {{data: digits, method: tcl}}\nspace: {{{text}}}", "s", tmp_path)


def test_methods_by_name_alone_are_varied(tmp_path):
    read = study.parse("study: s\ntrial: {data: digits}\nspace: {method.name: {choice: [cc, propos]}}", "s", tmp_path)
    assert {one.config.method.name for one in planning.make(read).trials} == {"cc", "propos"}


def test_a_plug_in_that_has_an_option_called_space_keeps_it(tmp_path):
    (tmp_path / "mine.py").write_text(
        "class Method:\n    def __init__(self, setting, *, space: int = 1): ...\n", encoding="utf-8"
    )
    text = "study: s\ntrial: {data: digits}\nspace: {method: {grid: [{name: ./mine.py, space: 3}, cc]}}"
    read = study.parse(text, "s", tmp_path)
    assert [one.config.method.options.get("space") for one in planning.make(read).trials] == [3, None]
    assert plug_ins.plug_in_files(read) == (tmp_path / "mine.py",)


def test_plug_in_files_of_branches_are_found(tmp_path):
    (tmp_path / "mine.py").write_text("class Encoder:\n    def __init__(self, shape): ...\n", encoding="utf-8")
    text = "space: {method: {grid: [cc, {name: tcl, space: {encoder: {grid: [mlp, ./mine.py]}}}]}}"
    read = study.parse(f"study: s\ntrial: {{data: digits}}\n{text}", "s", tmp_path)
    assert plug_ins.plug_in_files(read) == (tmp_path / "mine.py",)


def test_the_data_of_a_trial_are_found_in_the_branches(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("a,b\n1,2\n3,4\n", encoding="utf-8")
    files = ["{name: file, path: a.csv, space: {data.scale: {grid: [none, standard]}}}", "{name: file, path: b.csv}"]
    text = f"study: s\ntrial: {{n_clusters: 2}}\nspace: {{data: {{grid: [{', '.join(files)}]}}}}"
    read = study.parse(text, "s", tmp_path)
    for one in planning.make(read).trials:
        (found,) = cluster_data._candidates(read, one.parameters)
        assert found.data == one.config.data


def test_the_data_of_a_trial_are_found_in_the_branches_of_another_key(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n3,4\n", encoding="utf-8")
    text = "space: {encoder: {grid: [mlp, {name: identity, space: {data.scale: {grid: [none, standard]}}}]}}"
    trial = "trial: {data: {name: file, path: a.csv, scale: unit}, n_clusters: 2}"
    read = study.parse(f"study: s\n{trial}\n{text}", "s", tmp_path)
    for one in planning.make(read).trials:
        assert one.config.data in [found.data for found in cluster_data._candidates(read, one.parameters)]


# The next study


def advice(key, kind, *values):
    from jobs.analysis.next_step import Advice

    return Advice(key, kind, values, "it is so")


def proposed(read, *advised):
    return study.parse(next_study.propose(read, advised, "nowhere", 5).text, "next", Path())


def test_what_next_writes_keeps_the_branches(read):
    assert keys(proposed(read())) == keys(read())
    found = proposed(read(), advice("method.threshold", "refine", 0.92, 0.95, 0.97), advice("batch_size", "fix", 128))
    assert planning.make(found).n_cells == 1 + 9 + 1
    assert found.trial["batch_size"] == 128
    fixed = proposed(read(), advice("optimiser.learning_rate", "fix", 1e-3))
    assert planning.make(fixed).n_cells == 2 * (1 + 2 + 1)


def test_next_takes_the_branch_of_the_method_that_it_fixes(read):
    found = proposed(read(), advice("method.name", "fix", "tcl"), advice("method.threshold", "refine", 0.9, 0.92))
    assert set(found.space) == {"batch_size", "method.threshold", "optimiser.learning_rate"}
    assert found.trial["method"]["name"] == "tcl"
    assert found.trial["method"]["boost"] == 0.5
    assert planning.make(found).n_cells == 2 * 2 * 3
    gone = next_study.propose(
        read(), [advice("method.name", "fix", "cc"), advice("method.threshold", "refine", 0.9)], "nowhere", 5
    )
    assert [one.key for one in gone.advice] == ["method.name"]
    assert planning.make(study.parse(gone.text, "next", Path())).n_cells == 2


def test_next_keeps_the_methods_that_are_still_open(read):
    found = proposed(read(), advice("method.name", "noisy", "cc", "tcl"))
    assert {one.config.method.name for one in planning.make(found).trials} == {"cc", "tcl"}
    assert planning.make(found).n_cells == 2 * 7


def test_a_key_with_two_ranges_is_kept_by_next(read):
    two = read("- {name: propos}", "- {name: propos, space: {learning_rate: {grid: [0.1, 0.2]}}}")
    found = next_study.propose(two, [advice("optimiser.learning_rate", "extend", 1e-3, 1e-2)], "nowhere", 5)
    assert [one.kind for one in found.advice] == ["keep"]
    assert keys(study.parse(found.text, "next", Path())) == keys(two)


def test_a_search_whose_proposals_repeat_takes_the_rest_from_the_space(tmp_path):
    # TPE keeps to the better of the two, and `cc` is one configuration alone.
    text = """study: s
trial: {data: digits, epochs: 1}
space: {method: {choice: [cc, {name: tcl, space: {threshold: {uniform: [0.9, 0.99]}}}]}}
search: {name: optuna, trials: 30}
"""
    source = tpe.Asking(study.parse(text, "s", tmp_path), str(tmp_path / "results"))
    taken = []
    while one := source.take():
        taken.append(one.trial.config_key)
        value = 1.0 if one.trial.config.method.name == "cc" else 0.1
        source.hear(Event("finished", one.trial.trial_key, {"status": "ok", "value": value}))
    assert len(set(taken)) == len(taken) == 30
