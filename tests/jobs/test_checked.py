# ruff: noqa: RUF001 - the sign of multiplication, as shapes are written
"""`plan` and `run` look at the data before anything starts: they say the same of it and refuse the same."""

import gc
import weakref

import numpy as np
import pytest
from click.testing import CliRunner

from cluster.executor import Stop
from core.datasets import file
from core.errors import UserError
from core.evaluation.cluster_count import estimate_n_clusters
from core.training import data_cache
from jobs.commands.plan import command as plan
from jobs.commands.run import command as run
from jobs.execution import runner
from jobs.planning import plan as planning
from jobs.planning.data_check import check_data
from jobs.study import study

BLOBS = np.random.default_rng(0).normal(size=(40, 6)) + np.arange(40)[:, None] % 3 * 9


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("good.npz", x=BLOBS, y=np.arange(40) % 3)
    np.savez("bare.npz", x=BLOBS)
    np.save("empty.npy", np.zeros((0, 6)))
    (tmp_path / "commas.csv").write_text("a;b;label\n1,5;2,5;0\n7,5;9,5;1\n")
    return tmp_path


def write(folder, trial, rest=""):
    (folder / "s.yaml").write_text(f"study: s\ntrial: {{{trial}}}\n{rest}")


def call(command, *arguments):
    return CliRunner().invoke(command, ["s.yaml", "--results", "r", *arguments])


CC = "method: cc, epochs: 1, batch_size: 20"


@pytest.mark.parametrize(
    ("trial", "words"),
    [
        (f"data: {{name: file, path: commas.csv}}, {CC}", "decimal"),
        (f"data: {{name: file, path: empty.npy}}, {CC}", "empty"),
        (f"data: {{name: file, path: good.npz, labels: truth}}, {CC}", "truth"),
        (f"data: {{name: file, path: good.npz}}, n_clusters: 41, {CC}", "41 clusters are too many"),
        (f"data: {{name: file, path: bare.npz}}, {CC}", "has no labels whose classes could be counted"),
        (f"data: {{name: file, path: good.npz}}, n_clusters: 1, {CC}", "trial.n_clusters: 1 cluster is all of"),
        *(
            (
                f"data: {{name: file, path: good.npz}}, method: {method}, batch_size: 1",
                "contrasts the samples of a batch",
            )
            for method in ("cc", "conclus", "sccl", "tcl")
        ),
        (f"data: {{name: file, path: good.npz}}, encoder: convnet, {CC}", "encoder 'convnet' needs images"),
        (f"data: {{name: file, path: good.npz}}, encoder: resnet18, {CC}", "encoder 'resnet18'"),
        (f"data: {{name: file, path: good.npz}}, views: affine, {CC}", "views 'affine' need images"),
        (f"data: {{name: file, path: good.npz}}, views: image, {CC}", "views 'image' need images"),
    ],
)
def test_plan_refuses_what_run_refuses(folder, trial, words):
    write(folder, trial)
    planned, ran = call(plan), call(run, "--workers", "1")
    assert str(planned.exception or planned.output) == str(ran.exception or ran.output)
    assert words in planned.exception.args[0]
    assert isinstance(planned.exception, UserError)
    assert not (folder / "r").exists()
    assert call(plan, "--no-data").exit_code == 0


def test_plan_says_what_the_data_was_read_as_and_what_it_cost(folder):
    write(folder, f"data: {{name: file, path: good.npz}}, {CC}")
    found = call(plan)
    assert "good: 40 samples × 6 features, labels: y, 3 classes (0, 1, 2)\n" in found.stderr
    assert "(data read in 0." in found.stderr
    assert "40 samples" not in call(plan, "--no-data").output


@pytest.mark.parametrize(
    ("trial", "told"),
    [
        ("n_clusters: 5", ["good: n_clusters: 5, where the labels name 3 classes"]),
        ("n_clusters: 3", []),
        ("batch_size: 41", ["good: batch_size: 41 is more than its 40 samples: a batch is all of them"]),
        ("batch_size: 40", []),
    ],
)
def test_numbers_that_do_not_go_with_the_data_are_told(folder, trial, told):
    sizes = trial if "batch" in trial else f"{trial}, batch_size: 20"
    write(folder, f"data: {{name: file, path: good.npz}}, method: cc, epochs: 1, {sizes}")
    assert call(plan).stderr.splitlines()[3:-1] == told


def test_what_auto_is_for_the_data_is_told_with_the_reason(folder):
    write(
        folder, "data: {name: file, path: good.npz}, method: cc, epochs: 1", "space: {encoder: {grid: [auto, linear]}}"
    )
    encoder, views = call(plan).stderr.splitlines()[1:3]
    assert encoder == "good: encoder: auto is mlp: the samples are vectors"
    assert views == "good: views: auto is neighbours: the samples are vectors"
    write(folder, "data: {name: file, path: good.npz}, views: noise, encoder: linear, epochs: 1")
    assert "auto is" not in call(plan).stderr
    write(folder, "data: {name: file, path: good.npz}, method: leiden")
    assert "auto is" not in call(plan).stderr


def test_the_estimated_number_is_told(folder):
    said = f"n_clusters: auto is {estimate_n_clusters(file.load(path='good.npz').samples).described()}"
    for name, known in (("good", "; the labels name 3 classes"), ("bare", "")):
        write(folder, f"data: {{name: file, path: {name}.npz}}, n_clusters: auto, {CC}")
        assert f"{name}: {said}{known}\n" in call(plan).stderr


def test_all_numbers_of_a_space_are_told_in_one_line(folder):
    space = "space: {n_clusters: {grid: [2, 3, 4]}, batch_size: {grid: [16, 64, 99]}}\n"
    write(folder, "data: {name: file, path: good.npz}, method: cc, epochs: 1", space)
    said = call(plan).stderr
    assert "good: n_clusters: 2, 4, where the labels name 3 classes\n" in said
    assert "good: batch_size: 64, 99 is more than its 40 samples" in said


def test_a_refusal_says_what_the_data_was_read_as(folder):
    (folder / "t.csv").write_text("a,b,cluster\n" + "".join(f"{i * i % 7},{i % 3}.5,{i % 2}\n" for i in range(30)))
    write(folder, f"data: {{name: file, path: t.csv}}, {CC}")
    (message,) = call(plan).exception.args
    assert message == (
        "trial.n_clusters: t has no labels whose classes could be counted: set a number, or auto (read: t: 30 "
        "samples × 2 features (a, b), no labels; t: left out: cluster (a label by its name; `labels: cluster` scores "
        "by it); t: whole numbers of few values: a (`ignore` leaves out what is no feature))"
    )


def test_three_data_sets_are_described_and_the_others_counted(folder):
    for place in range(5):
        np.savez(f"d{place}.npz", x=BLOBS + place * BLOBS**2, y=np.arange(40) % 3)
    paths = ", ".join(f"d{place}.npz" for place in range(5))
    write(folder, f"data: {{name: file, path: good.npz}}, {CC}", f"space: {{data.path: {{grid: [{paths}]}}}}\n")
    found = call(plan).stderr
    assert found.count("40 samples") == 3
    assert "and 2 more data sets" in found


def test_a_search_that_has_chosen_nothing_yet_is_checked_too(folder):
    rest = "space: {learning_rate: {log_uniform: [1e-4, 1e-2]}}\nsearch: {name: optuna, trials: 3}\n"
    write(folder, f"data: {{name: file, path: commas.csv}}, {CC}", rest)
    assert "decimal" in call(plan).exception.args[0]


def test_unlabelled_data_is_selected_by_consensus_where_nothing_is_written(folder):
    write(folder, f"data: {{name: file, path: bare.npz}}, n_clusters: 3, {CC}")
    checked = check_data(planning.make(study.load("s.yaml")))
    assert checked.plan.study.select.metric == "consensus"
    found = call(run, "--workers", "1")
    assert found.exit_code == 0, found.exception
    assert "bare: 40 samples × 6 features, no labels" in found.stderr
    assert "selected by consensus" in found.stderr
    assert "label_free is shown in place of its consensus" in " ".join(found.output.split())
    assert "40 samples" not in call(run, "--quiet").output


@pytest.mark.parametrize("metric", ["nmi", "best.acc", "kmeans_ari"])
def test_a_metric_that_needs_labels_is_refused_where_there_are_none(folder, metric):
    write(folder, f"data: {{name: file, path: bare.npz}}, n_clusters: 3, {CC}", f"select: {{metric: {metric}}}\n")
    for command in (plan, run):
        assert f"select.metric: {metric} needs labels, and bare has none" in call(command).exception.args[0]
    assert not (folder / "r").exists()


def test_the_whole_study_of_one_that_names_no_metric_can_be_run_without_labels(folder):
    write(folder, f"data: {{name: file, path: bare.npz}}, n_clusters: 3, {CC}")
    (folder / "s.yaml").write_text(study.load("s.yaml").whole())
    assert call(plan).exit_code == 0


def test_early_stopping_by_labels_is_refused_without_them(folder):
    write(folder, f"data: {{name: file, path: bare.npz}}, n_clusters: 3, early_stopping: {{metric: acc}}, {CC}")
    assert "trial.early_stopping.metric: acc needs labels" in call(plan).exception.args[0]


def test_a_study_that_names_no_data_is_refused(folder):
    write(folder, CC)
    for command in (plan, run):
        assert "trial.data: is missing: name the data" in call(command).exception.args[0]
    assert call(plan, "--set", "data=digits").exit_code == 0
    write(folder, CC, "space: {data: {grid: [digits]}}\n")
    assert call(plan, "--no-data").exit_code == 0


SEVERAL = "space: {method: {choice: [cc, {name: tcl, space: {threshold: {grid: [0.9, 0.95]}}}]}}\n"


@pytest.mark.parametrize(
    ("select", "told"),
    [
        ("{metrics: [nmi, secnds]}", "select.metrics.secnds: 'secnds' is none of the scores of cc on .*'seconds'"),
        ("{metrics: [nmi, loss]}", "select.metrics: loss is a loss, and the study varies method, method.threshold"),
        (
            "{constraints: {health.imbalanc_pred: {at_most: 20}}}",
            r"select.constraints.health.imbalanc_pred: .* did you mean 'health.imbalance_pred'\?.*… \(\d+ in all\)$",
        ),
        ("{constraints: {nmi: {at_least: 2}}}", "select.constraints.nmi: nmi is never above 1, so it cannot be at"),
        ("{constraints: {seconds: {at_most: -1}}}", "seconds is never below 0, so it cannot be at most -1"),
    ],
)
def test_metrics_that_cannot_be_compared_or_kept_are_refused_with_what_is_right(folder, select, told):
    write(folder, f"data: {{name: file, path: good.npz}}, {CC}".replace("method: cc, ", ""), SEVERAL)
    with pytest.raises(UserError, match=told) as error:
        check_data(planning.make(study.load("s.yaml", [f"select={select}"])))
    assert "(read: " not in str(error.value)


@pytest.mark.parametrize(
    "select",
    [
        "{constraints: {cluster_size_min: {at_least: 2}}}",
        "{metrics: [nmi, seconds], constraints: {nmi: {at_least: 1}}}",
    ],
)
def test_a_constraint_needs_no_better_side_of_its_metric(folder, select):
    write(folder, f"data: {{name: file, path: good.npz}}, {CC}", f"select: {select}\n")
    check_data(planning.make(study.load("s.yaml")))


def test_a_loss_of_configurations_that_scale_it_alike_may_be_one_of_several_metrics(folder):
    rest = "space: {learning_rate: {grid: [1.0e-3, 1.0e-2]}}\nselect: {metrics: [nmi, loss]}\n"
    write(folder, f"data: {{name: file, path: good.npz}}, {CC}", rest)
    check_data(planning.make(study.load("s.yaml")))


def test_no_data_set_is_held_while_another_is_read_nor_after_a_run(folder, monkeypatch):
    read, seen, alive = data_cache.read, [], []

    def watched(plug_in):
        gc.collect()
        alive.append(sum(one() is not None for one in seen))
        found = read(plug_in)
        seen.append(weakref.ref(found))
        return found

    monkeypatch.setattr(data_cache, "read", watched)
    np.savez(folder / "other.npz", x=BLOBS + 1, y=np.arange(40) % 3)
    files = "data: {grid: [{name: file, path: good.npz}, {name: file, path: other.npz}]}"
    write(folder, "n_clusters: 3, method: kmeans", f"space: {{{files}}}\nseeds: [0]\n")
    ready = runner.prepare(study.load(folder / "s.yaml"), "r", 1)
    assert alive == [0, 0]
    gc.collect()
    assert not any(one() for one in seen)
    assert runner.execute(ready, on_event=lambda _: None, stop=Stop()).done == 2
    gc.collect()
    assert (len(seen), sum(one() is not None for one in seen)) == (4, 0)
