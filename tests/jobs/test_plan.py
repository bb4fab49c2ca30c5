"""Keys are content: what changes a result changes them, and nothing else does."""

import pytest

from jobs.planning import plan
from jobs.study import study

TEXT = """study: s
trial: {data: {name: file, path: mine.csv}, n_clusters: 2, epochs: 3}
space: {learning_rate: {grid: [1.0e-4, 1.0e-3]}, instance_temperature: {grid: [0.3, 0.5]}}
seeds: [0, 1]
"""


@pytest.fixture
def make(tmp_path):
    (tmp_path / "mine.csv").write_text("a,b\n1,2\n3,4\n5,7\n")

    def make(*overrides, text=TEXT, folder=tmp_path):
        path = folder / "study.yaml"
        path.write_text(text)
        return plan.make(study.load(path, overrides))

    return make


def keys(made):
    return {one.trial_key for one in made.trials}


def test_a_key_for_each_configuration_and_seed(make):
    made = make()
    assert (made.n_cells, len(made.trials), len(keys(made))) == (4, 8, 8)
    assert len({one.config_key for one in made.trials}) == 4


@pytest.mark.parametrize(
    "override", ["epochs=4", "n_clusters=3", "method.entropy_weight=2", "evaluation.every=1", "encoder.widths=[4]"]
)
def test_what_changes_the_result_changes_every_key(make, override):
    assert not keys(make()) & keys(make(override))


@pytest.mark.parametrize(
    "override",
    [
        "resources.cpu=2",
        "resources.custom={ssd: 1}",
        "resources.at_most=0.5",
        "study=t",
        "select.metric=acc",
        "search.seed=4",
    ],
)
def test_what_does_not_change_the_result_changes_no_key(make, override):
    assert keys(make()) == keys(make(override))


def test_writing_a_default_down_changes_no_key(make):
    assert keys(make()) == keys(make("batch_size=256", "optimiser.name=adam"))


def test_a_float_written_as_a_whole_number_is_the_same(make):
    assert keys(make("method.entropy_weight=1")) == keys(make("method.entropy_weight=1.0"))


def test_a_new_value_or_seed_only_adds(make):
    before = keys(make())
    assert before < keys(make("seeds=[0, 1, 2]"))
    assert before < keys(make(text=TEXT.replace("[0.3, 0.5]", "[0.3, 0.4, 0.5]")))


def test_the_same_data_elsewhere_has_the_same_keys_and_other_data_others(make, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.csv").write_text((tmp_path / "mine.csv").read_text())
    assert keys(make()) == keys(make(folder=other))
    (other / "mine.csv").write_text("a,b\n1,2\n3,4\n5,8\n")
    assert not keys(make()) & keys(make(folder=other))


def test_equal_cells_are_run_once(make):
    text = TEXT.replace("[0.3, 0.5]", "[0.3, 0.5]}, method: {choice: [cc, {name: cc}]")
    made = make(text=text)
    assert (made.n_cells, made.duplicates) == (4, 4)


def test_any_prefix_is_balanced_over_values_and_seeds(make):
    made = make("seeds=[0, 1, 2]")
    for length in range(1, len(made.trials) + 1):
        prefix = made.trials[:length]
        for values in (
            [one.seed for one in prefix],
            [one.parameters["optimiser.learning_rate"] for one in prefix],
            [one.parameters["method.instance_temperature"] for one in prefix],
        ):
            distinct = set(values)
            counts = [values.count(one) for one in distinct]
            assert max(counts) - min(counts) <= 1


def test_keys_stay_what_they_are(make):
    """Results of earlier versions must be found: a change here needs a new `plan.PROTOCOL` and a changelog line."""
    assert min(keys(make())) == "268a72cc8ac8bf9f"


@pytest.mark.parametrize("name", ["topics", "topics-log"])
def test_a_study_of_topics_says_in_one_sentence_which_data_are_missing(command, root, monkeypatch, tmp_path, name):
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    code, _, err = command("plan", root / "studies" / f"{name}.yaml", "--results", tmp_path / "results")
    assert code == 2
    assert err.startswith("Error: 20newsgroups: scikit-learn's 20 Newsgroups is not on this machine")
    assert err.count("\n") == 1
