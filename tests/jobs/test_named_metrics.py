"""A metric that a study names is known before anything starts: it is reported, or the study is refused."""

import numpy as np
import pytest

from jobs.results.reader import read_results

BLOBS = np.random.default_rng(0).normal(size=(40, 6)) + np.arange(40)[:, None] % 3 * 9
CC = (
    "trial: {data: {name: file, path: good.npz}, method: cc, epochs: 2, batch_size: 20, "
    "encoder: {name: mlp, widths: [4]}"
)
BARE = CC.replace("good", "bare") + ", n_clusters: 3"
PAIRED = "trial: {data: {name: pairs, path: pairs.npz}, method: paired, epochs: 1"

MINE = """
from core.methods.cc import Method as Base
from core.config.schema import PositiveFloat


class Method(Base):
    DECLARED

    def step(self, batch):
        return super().step(batch) | {"loss_mine": super().step(batch)["loss"]}
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("good.npz", x=BLOBS, y=np.arange(40) % 3)
    np.savez("bare.npz", x=BLOBS)
    np.savez("pairs.npz", input=BLOBS, target=BLOBS[:, :3])

    def write(text):
        (tmp_path / "s.yaml").write_text(f"study: s\n{text}\n")

    return write


WRONG = {
    "a typing mistake": (
        CC + "}\nselect: {metric: nmii}",
        ["select.metric: 'nmii' is none of the scores of cc on good; did you mean 'nmi'? They are nmi, ami, "],
    ),
    "another scoring's": (
        CC + "}\nselect: {metric: recall_at_1}",
        ["select.metric: 'recall_at_1' is none of the scores of cc on good. They are ", ", … (45 in all)"],
    ),
    "a score of pairs, as others write it": (
        PAIRED + "}\nselect: {metric: recall@1}",
        ["'recall@1' is none of the scores of paired on pairs; did you mean 'recall_at_1'? They are recall_at_1, "],
    ),
    "a clustering's score of pairs": (
        PAIRED + "}\nselect: {metric: label_free}",
        ["select.metric: 'label_free' is none of the scores of paired on pairs. They are ", ", … (34 in all)"],
    ),
    "a consensus of pairs": (PAIRED + "}\nselect: {metric: consensus}", ["select.metric: 'consensus' is none of"]),
    "the default, of pairs": (
        PAIRED + "}",
        ["select.metric (left out): 'nmi' is none of the scores of paired on pairs. They are ", ", … (34 in all)"],
    ),
    "a column that is none": (CC + "}\nselect: {metric: health.nmi}", ["'health.nmi' is none", "did you mean 'nmi'?"]),
    "a head's signal, without a head": (
        CC.replace("cc", "propos") + "}\nselect: {metric: confidence}",
        ["'confidence' is none of the scores of propos on good; ", "They are knn_consistency, "],
    ),
    "early stopping": (
        CC + ", early_stopping: {metric: nmj}}",
        ["trial.early_stopping.metric: 'nmj' is none of the trial's scores before", "did you mean 'nmi'?"],
    ),
    "early stopping by the last epoch": (
        CC + ", early_stopping: {metric: ami}}",
        ["trial.early_stopping.metric: 'ami' is none of the trial's scores before its last epoch; did"],
    ),
    "early stopping that goes the wrong way": (
        CC + ", early_stopping: {metric: loss}}",
        ["trial.early_stopping: a smaller loss is better"],
    ),
    "a pruner": (
        CC + "}\nselect: {metric: ami}\nsearch: {scheduler: asha}",
        ["select.metric: 'ami' is none of the scores of cc on good before the last epoch, which asha needs; did"],
    ),
    "a search by results": (
        CC + "}\nselect: {metric: best.nmii}\nspace: {learning_rate: {log_uniform: [1e-4, 1e-2]}}\n"
        "search: {name: optuna, trials: 3}",
        ["select.metric: 'best.nmii' is none", "did you mean 'best.nmi'?"],
    ),
    "one of several methods": (
        CC + "}\nselect: {metric: loss_labels}\nspace: {method: {grid: [conclus, cc]}}",
        ["select.metric: 'loss_labels' is none of the scores of cc on good"],
    ),
}


@pytest.mark.parametrize(("text", "words"), WRONG.values(), ids=WRONG)
def test_a_metric_that_no_trial_reports_is_refused_by_every_command_that_starts_it(
    write, command, tmp_path, text, words
):
    write(text)
    said = []
    for name, *more in (
        ("plan",),
        ("run", "--workers", "1"),
        ("queue", "add"),
        ("submit", "--address", "http://nowhere:8265", "--results", str(tmp_path / "r")),
    ):
        arguments = ["add", "s.yaml"] if more == ["add"] else ["s.yaml", *more]
        code, _, err = command(name, *arguments)
        assert code == 2, (name, err)
        said.append(err.splitlines()[0])
    assert len(set(said)) == 1
    assert all(one in said[0] for one in words), said[0]
    assert not [one for one in tmp_path.rglob("*") if one.suffix in {".parquet", ".json"}]


@pytest.mark.parametrize(
    "metric",
    ["nmi", "best.kmeans_acc", "metric.ami", "health.feature_std", "label_free", "consensus", "loss_entropy"],
)
def test_a_metric_that_is_reported_is_taken_and_ranks(write, command, metric):
    write(f"{CC}}}\nselect: {{metric: {metric}}}")
    code, out, err = command("run", "s.yaml", "--workers", "1")
    assert code == 0, err
    assert "1 " in out


def test_a_method_that_declares_nothing_may_report_anything_and_that_is_said(write, command, tmp_path):
    (tmp_path / "mine.py").write_text(MINE.replace("DECLARED", ""))
    write(CC.replace("cc", "mine.py") + "}\nselect: {metric: loss_mine, mode: min}")
    code, _, err = command("plan", "s.yaml")
    assert code == 0
    assert "whether loss_mine is reported is not known: the method" in err
    code, _, err = command("run", "s.yaml", "--workers", "1", "--set", "select.metric=nmi", "--set", "select.mode=max")
    assert code == 0, err
    assert "is not known" not in err


def test_a_method_of_ones_own_that_declares_is_checked(write, command, tmp_path):
    declared = 'loss_parts = ("loss_instance", "loss_cluster", "loss_entropy", "loss_mine")\n    scores = "head"'
    (tmp_path / "mine.py").write_text(MINE.replace("DECLARED", declared))
    write(CC.replace("cc", "mine.py") + "}\nselect: {metric: loss_mine, mode: min}")
    assert command("run", "s.yaml", "--workers", "1")[0] == 0
    code, _, err = command("plan", "s.yaml", "--set", "select.metric=loss_min")
    assert code == 2
    assert "did you mean 'loss_mine'?" in err


@pytest.mark.parametrize(
    "declared",
    ['loss_parts = ()\n    scores = "clusters"', "loss_parts = ('a', 1)\n    scores = ()", "loss_parts = scores = 5"],
)
def test_a_declaration_that_is_none_is_refused(write, command, tmp_path, declared):
    (tmp_path / "mine.py").write_text(MINE.replace("DECLARED", declared))
    write(CC.replace("cc", "mine.py") + "}")
    code, _, err = command("plan", "s.yaml")
    assert code == 2
    assert "'loss_parts' must be a tuple of names, and 'scores' too, or one of head, kmeans, pairs" in err


def test_a_declaration_that_is_computed_is_refused(write, command, tmp_path):
    (tmp_path / "mine.py").write_text(MINE.replace("DECLARED", "scores = str()\n    loss_parts = ()"))
    write(CC.replace("cc", "mine.py") + "}")
    code, _, err = command("plan", "s.yaml")
    assert code == 2
    assert "mine.py, line 7: 'scores' must be a literal" in err


# Stages

STAGES = """
stages:
  - name: one
    space: {learning_rate: {grid: [1.0e-3, 1.0e-2]}}
    GATE
  - name: two
    from: best
    trial: {batch_size: 10}
"""


def test_the_best_of_a_stage_without_labels_is_that_by_consensus(write, command):
    gate = "continue_if: {metric: label_free, at_least: 0, mean: true}"
    write(BARE + "}\nseeds: [0, 1]" + STAGES.replace("GATE", gate))
    code, _, err = command("plan", "s.yaml")
    assert code == 0, err
    assert "selected by consensus" in err
    code, out, err = command("run", "s.yaml", "--workers", "1")
    assert code == 0, err
    assert "selected by consensus" in err
    assert "s.one: passed: label_free" in err
    first = out.index("Ranked by consensus")
    best = command("aggregate", "--study", "s.one", "--format", "csv")[1].splitlines()
    assert first < out.index("A single configuration has no rank among others")  # of the second stage
    rows = read_results("results", where="study == 's.two'").to_pylist()
    rate = {str(row["param.optimiser.learning_rate"]) for row in rows}
    assert len(rate) == 1
    assert rate.pop() in best[1].split(",")
    code, out, err = command("plan", "s.yaml")
    assert code == 0, err
    assert "once it is known" not in out
    assert command("plan", "s.yaml", "--no-data")[0] == 0


GATES = {
    "none": ("continue_if: {at_least: 0.1}", "a rank within one stage: name a metric, such as label_free"),
    "labels": ("continue_if: {metric: acc, at_least: 0.1}", "acc needs labels, and bare has none"),
    "unknown": ("continue_if: {metric: label_fre, at_least: 0.1}", "did you mean 'label_free'?"),
}


@pytest.mark.parametrize(("gate", "words"), GATES.values(), ids=GATES)
def test_a_gate_that_cannot_be_passed_without_labels_is_refused_before_the_first_stage(
    write, command, tmp_path, gate, words
):
    write(BARE + "}" + STAGES.replace("GATE", gate))
    for name, *more in (("plan",), ("run", "--workers", "1")):
        code, _, err = command(name, "s.yaml", *more)
        assert code == 2
        line = next(one for one in err.splitlines() if "stages.0.continue_if.metric" in one)
        assert words in line
    assert not (tmp_path / "results").exists()


def test_a_later_stage_whose_metric_is_wrong_is_refused_before_the_first(write, command, tmp_path):
    text = STAGES.replace("GATE", "continue_if: {at_least: 0}").replace("batch_size: 10", "method: propos")
    write(CC + "}" + text + "    continue_if: {metric: confidence, improves: interval}\n")
    code, _, err = command("run", "s.yaml", "--workers", "1")
    assert code == 2
    assert "stages.1.continue_if.metric: 'confidence' is none of the scores of propos on good" in err
    assert not (tmp_path / "results").exists()


def test_a_gate_of_an_improvement_asks_for_its_metric_of_the_stage_before_too(write, command):
    text = STAGES.replace("GATE", "").replace("batch_size: 10", "method: cc")
    write(CC.replace("cc", "propos") + "}" + text + "    continue_if: {metric: confidence, improves: interval}\n")
    code, _, err = command("run", "s.yaml", "--workers", "1")
    assert code == 2
    assert "stages.1.continue_if.metric: 'confidence' is none of the scores of propos on good" in err


def test_the_best_of_a_stage_whose_record_is_damaged_is_not_guessed(write, command, tmp_path):
    write(BARE + "}" + STAGES.replace("GATE", ""))
    assert command("run", "s.yaml", "--workers", "1")[0] == 0
    (tmp_path / "results" / "study=s.one" / "_study.json").write_text("{")
    code, _, err = command("plan", "s.yaml")
    assert (code, err.count("_study.json")) == (0, 1)
    assert "taken from _study.yaml" in err
    (tmp_path / "results" / "study=s.one" / "_study.yaml").write_text("{")
    code, _, err = command("plan", "s.yaml")
    assert code == 2
    assert "_study.json" in err
