"""A space that goes through several methods, whose options differ."""

import pytest

from core.errors import UserError
from jobs.planning import plan
from jobs.study import plug_ins, study

FILE = """
study: methods
trial:
  data: {{name: digits}}
  method: {{name: {base}}}
space:
  {name}
  {option}
"""


def read(tmp_path, base, option="", name="method.name: {grid: [cc, tcl]}"):
    file = tmp_path / "study.yaml"
    file.write_text(FILE.format(base=base, name=name, option=option), encoding="utf-8")
    return study.load(file)


@pytest.mark.parametrize("base", ["cc", "tcl"])
def test_methods_with_different_options_are_varied_whichever_the_trial_names(tmp_path, base):
    trials = plan.make(read(tmp_path, base)).trials
    assert {one.config.method.name for one in trials} == {"cc", "tcl"}
    assert {one.config.method.name for one in trials if "threshold" in one.config.method.options} == {"tcl"}


def test_the_same_trials_come_of_either_base(tmp_path):
    keys = [{one.config_key for one in plan.make(read(tmp_path, base)).trials} for base in ("cc", "tcl")]
    assert keys[0] == keys[1]


@pytest.mark.parametrize("base", ["cc", "tcl"])
@pytest.mark.parametrize("key", ["method.threshold", "threshold"])
def test_an_option_that_one_of_them_has_is_refused_by_name(tmp_path, base, key):
    right = r"vary it there, as method: \{grid: \[\{name: tcl, space: \{threshold: …\}\}, …\]\}"
    with pytest.raises(UserError, match=rf"space\.{key}: only tcl of method.name has this option: {right}"):
        read(tmp_path, base, f"{key}: {{grid: [0.9, 0.95]}}")


def test_an_option_of_whole_plug_ins_is_refused_too(tmp_path):
    with pytest.raises(UserError, match="only tcl of method has this option"):
        read(tmp_path, "cc", "method.threshold: {grid: [0.9]}", name="method: {grid: [{name: cc}, {name: tcl}]}")


def test_an_option_that_all_have_is_varied(tmp_path):
    found = plan.make(read(tmp_path, "cc", "method.instance_temperature: {grid: [0.2, 0.5]}"))
    assert found.n_cells == 4
    assert found.duplicates == 0


def test_of_an_option_of_other_methods_the_own_ones_of_nearly_its_name_are_told(tmp_path):
    own = r"it has method\.instance_temperature and method\.cluster_temperature; .*propos have it: vary it there"
    with pytest.raises(UserError, match=own):
        read(tmp_path, "cc", "temperature: {grid: [0.1]}", name="seeds: [0]")


def test_a_key_that_none_has_is_unknown(tmp_path):
    with pytest.raises(UserError, match=r"unknown key; did you mean 'method\.name'"):
        read(tmp_path, "cc", "method.nam: {grid: [1]}")


def test_a_function_of_ones_own_for_texts_counts_as_a_plug_in(tmp_path):
    from jobs.study import snapshot, yaml_document

    (tmp_path / "cut.py").write_text("def cut(text):\n    return list(text)\n", encoding="utf-8")
    (tmp_path / "texts.csv").write_text("text\na b\nc d\n", encoding="utf-8")
    (tmp_path / "study.yaml").write_text(
        "study: t\ntrial:\n  data: {name: text, path: texts.csv, analyzer: 'cut.py:cut'}\n  n_clusters: 2\n",
        encoding="utf-8",
    )
    read = study.load(tmp_path / "study.yaml")
    assert plug_ins.plug_in_files(read) == (tmp_path / "cut.py",)
    moved = snapshot.write(read, tmp_path / "kept")
    analyzer = yaml_document.load(moved).value["trial"]["data"]["analyzer"]
    assert analyzer.endswith("/cut.py:cut")
    assert (moved.parent / analyzer.removesuffix(":cut")).read_text() == (tmp_path / "cut.py").read_text()
    again = plan.make(study.load(moved)).trials[0]
    assert again.parameters["data.analyzer"] == "cut.py:cut"
    assert again.trial_key == plan.make(read).trials[0].trial_key


def test_underscores_and_hyphens_in_a_method_s_name_are_one_method_with_one_key(tmp_path):
    found = [
        plan.make(read(tmp_path, "cc", name=f"method.name: {{grid: [{name}, cc]}}")) for name in ("gc_atm", "gc-atm")
    ]
    assert [one.config_key for one in found[0].trials] == [one.config_key for one in found[1].trials]
    assert {one.config.method.name for one in found[0].trials} == {"gc-atm", "cc"}
    both = plan.make(read(tmp_path, "cc", name="method: {grid: [gc_atm, {name: gc-atm}]}"))
    assert (both.n_cells, both.duplicates) == (1, 1)


def test_losses_and_data_sets_keep_the_keys_of_their_spelling(tmp_path):
    losses = "method.loss: {grid: [info_nce, info-nce]}"
    found = plan.make(read(tmp_path, "paired", losses, "data.name: {grid: [digit_halves, digit-halves]}"))
    assert len({one.config_key for one in found.trials}) == 4


IN_BRANCHES = """study: b
trial: {{data: digits, epochs: 3}}
space:
  method: {{choice: [cc, {{name: tcl{given}, space: {{{own}}}}}]{beside}}}
  {more}
"""


@pytest.mark.parametrize(
    ("parts", "place", "said"),
    [
        ({"given": ", threshold: 0.9"}, "method.tcl.threshold", "threshold of tcl is given beside its name and varied"),
        (
            {"own": "warmup: {grid: [0.1, 0.2]}"},
            "method.tcl.warmup",
            r"tcl has no option warmup \(conclus, propos.* have\): vary it there, or write optimiser.warmup where",
        ),
        ({"own": "threshold: {uniform: [0.9, 0.95]}"}, "method.tcl.threshold", "a grid cannot list a continuous range"),
        ({"own": "method.threshold: {uniform: [0.9, 0.95]}"}, "method.tcl.threshold", "a grid cannot list"),
        ({"own": "tau: {grid: [1]}"}, "method.tcl.tau", r"unknown key.* Allowed: boost, .*, threshold, and all other"),
        ({"beside": ", space: {epochs: {grid: [5]}}"}, "method.space", "unknown key beside the range; a value has"),
        ({"more": "method.hidden: {grid: [64]}"}, "method.hidden", "unknown key for this method; propos has it: vary"),
        (
            {"more": "method.tlc.threshold: {grid: [0.9]}"},
            "method.tlc.threshold",
            "'tlc' is none of the values of method; did you mean 'tcl'.* They are cc, tcl",
        ),
    ],
)
def test_a_mistake_in_the_space_of_a_value_is_told_by_its_key_there(tmp_path, parts, place, said):
    text = IN_BRANCHES.format(
        **{"given": "", "own": "threshold: {grid: [0.9, 0.95]}", "beside": "", "more": ""} | parts
    )
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=rf"study\.yaml:\d: space\.{place}: {said}") as error:
        study.load(tmp_path / "study.yaml")
    assert len(error.value.lines) == 1


def test_a_key_of_the_trial_that_only_another_method_calls_so_is_varied_by_its_whole_name(tmp_path):
    text = IN_BRANCHES.format(given="", own="optimiser.warmup: {grid: [0.1, 0.2]}", beside="", more="")
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    assert plan.make(study.load(tmp_path / "study.yaml")).n_cells == 3


def test_data_with_a_wrong_name_in_the_space_are_named(tmp_path):
    (tmp_path / "study.yaml").write_text(
        "study: b\ntrial: {epochs: 3}\nspace: {data: {choice: [digits, {name: scikit-lern}]}}\n", encoding="utf-8"
    )
    with pytest.raises(UserError, match="is none of the datasets; did you mean 'scikit-learn'") as error:
        study.load(tmp_path / "study.yaml")
    assert len(error.value.lines) == 1
