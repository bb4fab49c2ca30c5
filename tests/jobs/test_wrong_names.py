"""A name that is none: the nearest one is named, at most ten others are, and data without labels are told."""

import numpy as np
import pytest

from core.config.schema import did_you_mean, nearest
from core.errors import UserError
from jobs.analysis.scores import metric_column
from jobs.results import writer
from jobs.results.names import resolve
from jobs.results.schema import Attempt
from jobs.study import study as studies

LABELLED = {"nmi": 0.5, "acc": 0.5, "kmeans_nmi": 0.4, **{f"loss_{place}": 0.1 for place in range(20)}}
FREE = {"loss": 0.1}


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for study, metrics in {"first": LABELLED, "second": FREE}.items():
        for rate in (0.1, 0.2):
            writer.write(
                "r",
                Attempt(
                    study=study, trial_key=f"k{rate}", config_key=f"k{rate}", seed=0, attempt_id="1", status="ok",
                    params={"optimiser.learning_rate": rate}, metrics=metrics,
                    health={"consensus": 0.5, "label_free": 0.5, "raw_silhouette": 0.1},
                ),
            )  # fmt: skip
    return "r"


def told(command, *arguments):
    code, _, said = command(*arguments)
    assert (code, said.count("\n")) == (2, 1), said
    assert len(said) < 600
    return said


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("history > 0", "There is no column 'history'"),
        ("ls < 1", "There is no column 'ls'"),
        ("study == first", "There is no column 'first'"),
        ("study == frist", "A text stands in quotes: 'frist'."),
        ("study = 'first'", "is not an expression (== compares, = does not): write comparisons"),
        ("seed >= 0 and study == 'First'", "No trial matches: no study is 'First'; did you mean 'first'?"),
        ("study == 'zzzz'", "No trial matches: look at --where and --study, or wait"),
        ("learning_rat < 1", "; did you mean 'learning_rate'?"),
        ("zzz == 1", "in all); `conclus sql 'describe trials'` lists all."),
    ],
)
def test_a_wrong_column_of_where(results, command, where, says):
    said = told(command, "aggregate", results, "--where", where)
    assert says in said
    assert said.count(", ") <= 10


def test_a_metric_of_trials_that_were_not_scored_yet_is_no_matter_of_labels():
    columns = ["metric.loss", "best.loss", "health.confidence"]
    with pytest.raises(UserError, match="No trial has been scored yet, so none has the metric 'nmi'"):
        metric_column(columns, "nmi")
    with pytest.raises(UserError, match="so none has the metric 'mean5"):
        metric_column(["study", "status", "health.consensus"], "mean5.npmi")
    with pytest.raises(UserError, match="which these data have not"):
        metric_column([*columns, "health.label_free"], "nmi")


def test_a_wrong_metric(results, command):
    assert "did you mean 'kmeans_nmi'?" in told(command, "importance", results, "--study", "first", "--on", "kmeans_nm")
    assert told(command, "importance", results, "--study", "first", "--on", "zzz").count(", ") == 10


@pytest.mark.parametrize("metric", ["nmi", "best.acc", "kmeans_ari"])
def test_a_metric_that_needs_labels_of_data_without(results, command, metric):
    said = told(command, "aggregate", results, "--study", "second", "--metric", metric)
    assert said == f"Error: The metric {metric!r} compares with labels, which these data have not: use 'consensus'.\n"


@pytest.mark.parametrize(
    "words", ["aggregate", "status", "watch", "logs", "report", "importance", "next", "stop", "selection"]
)
def test_a_wrong_study_names_those_that_are_there(results, command, words):
    said = told(command, words, results, "--study", "frist")
    assert said == "Error: There is no study 'frist' in r; did you mean 'first'? There are first, second.\n"


STUDY = """study: s
trial:
  data: {name: file, path: x.npz}
  method: {name: cc}
space:
  KEY: {grid: [1.0e-3, 2.0e-3]}
"""


@pytest.mark.parametrize(("key", "near"), [("foo", ""), ("learning_rat", "; did you mean 'learning_rate'?")])
def test_a_wrong_key_of_a_study(tmp_path, command, key, near):
    np.savez(tmp_path / "x.npz", x=np.eye(6))
    study = tmp_path / "s.yaml"
    study.write_text(STUDY.replace("KEY", key))
    wrong = told(command, "plan", study)
    study.write_text(STUDY.replace("KEY", "learning_rate"))
    for said in (wrong, told(command, "plan", study, "--set", f"{key}=1")):
        assert f"unknown key{near or '.'} Allowed: " in said
        assert "in all); `conclus methods` lists all" in said
        assert said.count(", ") == 10


def test_all_of_few_names_are_listed_and_of_many_the_nearest():
    assert nearest("zz", "cab") == "a, b, c"
    assert nearest("name7", [f"name{place}" for place in range(30)]).startswith("name7, ")
    assert nearest("name7", [f"name{place}" for place in range(30)]).endswith(", … (30 in all)")


def test_initials_are_understood():
    assert did_you_mean("bs", ["best", "batch_size"]) == "; did you mean 'batch_size'?"
    assert did_you_mean("", ["a"]) == ""


def test_usual_abbreviations_are_understood_where_a_parameter_is_named(results, command, tmp_path):
    first = ("--study", "first", "--format", "csv")
    for one in ("--where", "lr < 1"), ("--where", "optimizer.lr < 1"):
        told = command("aggregate", results, *first, *one)
        assert told == command("aggregate", results, *first, "--where", "learning_rate < 1")
        assert told[0] == 0
    assert command("effect", results, "lr", *first) == command("effect", results, "learning_rate", *first)
    np.savez(tmp_path / "x.npz", x=np.eye(6))
    study = tmp_path / "s.yaml"
    found = []
    for key in ("learning_rate", "lr"):
        study.write_text(STUDY.replace("KEY", key))
        for overrides in (["bs=4", f"space.{key}={{grid: [0.5]}}"], ["lr=0.25", "batch_size=4"]):
            one = studies.load(study, overrides)
            found.append((one.trial["batch_size"], one.trial["optimiser"]["learning_rate"], one.space))
    assert found[:2] == found[2:]
    assert [*found[0][2]] == ["optimiser.learning_rate"]
    assert found[1] == (4, 0.25, {})


def test_an_abbreviation_that_could_mean_two_is_refused():
    columns = ["param.method.temperature", "param.method.loss.temperature", "param.method.name"]
    with pytest.raises(UserError, match="The name 'temp' is ambiguous"):
        resolve("temp", columns)
    assert resolve("method", columns) == "param.method.name"
    # A column of this very name goes first.
    assert resolve("temp", [*columns, "param.temp"]) == "param.temp"
