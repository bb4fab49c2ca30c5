"""Paired embeddings through the studies' machinery: resumed, ranked, refused, kept as files, embedded."""

import json
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from pyarrow import parquet

from core.config.trial import to_mapping
from core.errors import UserError
from jobs.analysis.leaderboard import leaderboard
from jobs.analysis.scores import RescaledError, default_mode, is_loss, part_of_pairs, rescales_loss
from jobs.execution import dispatch
from jobs.execution import runner as running
from jobs.execution.trial import run_trial
from jobs.planning import plan
from jobs.results.reader import read_results
from jobs.study import plug_ins, study

TEXT = """study: p
trial:
  data: {name: pairs, path: mine.npz}
  encoder: {name: mlp, widths: [16]}
  method: {name: paired}
  batch_size: 16
  epochs: 5
  evaluation: {every: 1}
select: {metric: cosine_similarity, save_model: true}
"""
CLUSTERS = """study: c
trial:
  data: {name: file, path: blobs.npz}
  encoder: {name: mlp, widths: [16]}
  method: {name: METHOD}
  epochs: 8
  batch_size: 32
  evaluation: {every: 4}
select: {metric: label_free, save_model: true}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(80, 6)) + 3
    np.savez(tmp_path / "mine.npz", input=inputs, target=inputs @ rng.normal(size=(6, 4)))
    (tmp_path / "p.yaml").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def order(folder, results="results", overrides=(), file="p.yaml") -> dict:
    read = study.load(folder / file, overrides)
    (one,) = plan.make(read).trials
    shared = dispatch.shared(read, str(folder / results), (), device="cpu")
    own = {name: getattr(one, name) for name in ("trial_key", "config_key", "seed", "data_hash")}
    given = {"trial": to_mapping(one.config), "parameters": dict(one.parameters), "checkpoint_share": 1.0}
    return shared | own | given


def interrupted(folder, epoch, results="results", overrides=()) -> Path:
    """Runs the trial until after an epoch; its newest checkpoint."""

    def stop(news):
        if news["epoch"] == epoch:
            raise SystemExit

    with pytest.raises(SystemExit):
        run_trial(order(folder, results, overrides), stop)
    return max((folder / results).rglob("_checkpoints/*.pt"))


def ignore(_):
    pass


def row(results) -> dict:
    (found,) = read_results([str(results)], history=True).to_pylist()
    return found


def history(results) -> list:
    return [(one["epoch"], one["metric"], one["value"]) for one in row(results)["history"]]


def model(results) -> Path:
    (file,) = Path(results).rglob("best_model.pt")
    return file


@pytest.mark.parametrize("loss", ["cosine", "info_nce"])
def test_interrupted_after_every_epoch_in_turn_it_ends_as_if_it_had_not_been(folder, loss):
    run_trial(order(folder, "straight", [f"loss={loss}"]), ignore)
    for epoch in range(1, 5):
        interrupted(folder, epoch, f"r{epoch}", [f"loss={loss}"])
        heard = []
        again = order(folder, f"r{epoch}", [f"loss={loss}"])
        assert run_trial(again, lambda news, heard=heard: heard.append(news["epoch"]))["status"] == "ok"
        assert heard == list(range(epoch + 1, 5))
        assert history(f"r{epoch}") == history("straight")
        kept, expected = (torch.load(model(one), weights_only=True) for one in (f"r{epoch}", "straight"))
        assert all(torch.equal(kept[name], expected[name]) for name in expected)


def test_the_best_model_is_that_of_the_best_epoch_and_plain_torch_reads_it(folder):
    given = order(folder, overrides=["select.metric=test_mse", "select.mode=min"])
    run_trial(given, ignore)
    found, told = row("results"), json.loads(model("results").with_suffix(".json").read_text())
    assert (told["epoch"], told["metric"]) == (found["best_epoch"], "test_mse")
    assert told["value"] == found["best.test_mse"]
    weights = torch.load(model("results"), weights_only=True)
    assert all(isinstance(one, torch.Tensor) for one in weights.values())
    safe = safetensors.torch.load_file(model("results").with_suffix(".safetensors"))
    assert set(safe) == set(weights)
    assert all(torch.equal(safe[name], weights[name]) for name in weights)


def test_it_is_the_best_one_also_where_later_epochs_are_worse(folder):
    """At such a rate the similarity falls again: the last epoch's weights are others than the best one's."""
    run_trial(order(folder, overrides=["learning_rate=0.5", "epochs=8", "seeds=[3]"]), ignore)
    told = json.loads(model("results").with_suffix(".json").read_text())
    assert told["epoch"] == row("results")["best_epoch"]
    outcome = by_hand(model("results"), folder)
    assert outcome == pytest.approx(told["value"], abs=1e-6)


def by_hand(file, folder) -> float:
    """Cosine similarity on the validation part, by the weights alone: the network is written out."""
    from core.datasets import pairs

    weights = torch.load(file, weights_only=True)
    part = pairs.load(path=str(folder / "mine.npz")).part("validation")
    x = (torch.from_numpy(part.samples) - weights["mean"]) / weights["deviation"]
    x = x @ weights["encoder.layers.1.weight"].t()
    x = torch.nn.functional.batch_norm(
        x, *(weights[f"encoder.layers.2.{name}"] for name in ("running_mean", "running_var", "weight", "bias"))
    ).relu()
    x = x @ weights["head.weight"].t() + weights["head.bias"]
    return float(torch.nn.functional.cosine_similarity(x, torch.from_numpy(part.arrays["target"])).mean())


def test_without_save_model_there_is_no_file(folder):
    run_trial(order(folder, overrides=["select.save_model=false"]), ignore)
    assert not list(folder.rglob("best_model*"))


def test_a_missing_safetensors_is_one_line_before_anything_starts(folder, monkeypatch):
    read = study.load(folder / "p.yaml")
    real = running.importlib.util.find_spec
    monkeypatch.setattr(running.importlib.util, "find_spec", lambda one: None if one == "safetensors" else real(one))
    with pytest.raises(UserError, match="uv sync --extra safetensors"):
        running.prepare(read, "results", 1)


# Going on from a checkpoint that lay elsewhere


def test_a_checkpoint_is_gone_on_with_elsewhere(folder, command):
    run_trial(order(folder, "straight"), ignore)
    read = study.load(folder / "p.yaml")
    code = dispatch.shared(read, "x", plug_ins.plug_in_files(read), device="cpu")["code_hash"]
    assert order(folder)["code_hash"] == code
    file = interrupted(folder, 3).rename(folder / "moved.pt")
    arguments = ("run", "p.yaml", "--workers", "1", "--results", "other", "--checkpoint", file)
    done, _, err = command(*arguments)
    assert done == 0, err
    assert "goes on after epoch 3" in err
    assert history("other") == history("straight")
    done, _, err = command(*arguments)
    assert done == 2
    assert "is done: there is nothing to continue" in err


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("method.loss.name=mse", "method.loss.name was cosine and is mse"),
        ("encoder.widths=[8]", "encoder.widths was [16] and is [8]"),
        ("data.split_seed=4", "data.split_seed was 0 and is 4"),
        ("data.inputs=target", "data.inputs was input and is target"),
        ("learning_rate=0.1", "optimiser.learning_rate was 0.001 and is 0.1"),
        ("seeds=[7]", "seed was 0 and is 7"),
    ],
)
def test_a_checkpoint_of_another_trial_is_refused_with_both_values(folder, command, override, said):
    file = interrupted(folder, 2)
    code, _, err = command("run", "p.yaml", "--results", "other", "--set", override, "--checkpoint", file)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1
    assert not (folder / "other").exists()


def test_a_checkpoint_of_other_data_is_refused(folder, command):
    file = interrupted(folder, 2)
    np.savez(folder / "mine.npz", input=np.arange(60.0).reshape(20, 3) ** 1.5, target=np.arange(40.0).reshape(20, 2))
    code, _, err = command("run", "p.yaml", "--results", "other", "--checkpoint", file)
    assert code == 2
    assert "data content was" in err


@pytest.mark.parametrize("content", [b"", b"nothing of the kind"])
def test_what_is_no_checkpoint_is_refused(folder, command, content):
    (folder / "x.pt").write_bytes(content)
    code, _, err = command("run", "p.yaml", "--results", "other", "--checkpoint", "x.pt")
    assert code == 2
    assert "this is not a readable checkpoint" in err


# Ranking and refusing


def test_losses_are_compared_by_quality_and_never_by_their_losses(folder, command):
    (folder / "l.yaml").write_text(TEXT + "space: {loss: {grid: [mse, cosine, info_nce]}}\nseeds: [0, 1]\n")
    code, out, err = command("run", "l.yaml", "--workers", "1", "--set", "select.save_model=false", "--set", "epochs=3")
    assert code == 0, err
    assert "cosine_similarity" in out
    assert "of the validation part" in out
    table = read_results(["results"])
    for metric in ("cosine_similarity", "recall_at_1", "best.test_recall_at_1", "reverse_mrr"):
        assert len(leaderboard(table, metric, "max").entries) == 3
    for metric in ("loss", "validation_loss", "best.test_loss"):
        with pytest.raises(RescaledError, match=r"method\.loss\.name.* such as --metric cosine_similarity"):
            leaderboard(table, metric, "min")
    code, out, _ = command("effect", "results", "loss.name", "--metric", "validation_loss")
    assert code == 0
    assert "is not ranked by validation_loss" in " ".join(out.split())
    code, _, err = command("aggregate", "results", "--metric", "train_loss")
    assert code == 2
    assert "cannot be ranked by 'train_loss'" in err
    code, _, err = command("importance", "results", "--on", "validation_loss")
    assert code == 2
    assert "such as --on cosine_similarity" in err
    for loss in ("mse", "info_nce"):
        arguments = ["--workers", "1", "--set", f"loss={loss}", "--set", "select.save_model=false", "--results", loss]
        assert command("run", "p.yaml", *arguments)[0] == 0
    code, _, err = command("diff", "mse", "info_nce", "--metric", "validation_loss")
    assert code == 2
    assert "such as --metric cosine_similarity" in err
    assert command("status", "results")[0] == 0
    assert command("report", "results", "--out", "r.html")[0] == 0


@pytest.mark.parametrize(
    ("metric", "loss", "mode", "part"),
    [
        ("validation_loss", True, "min", ""),
        ("best.test_loss", True, "min", ""),
        ("train_loss", True, "min", ""),
        ("mse", False, "min", "validation"),
        ("best.test_mse", False, "min", "test"),
        ("train_cosine_similarity", False, "max", "train"),
        ("recall_at_10", False, "max", "validation"),
        ("test_reverse_recall_at_1", False, "max", "test"),
        ("reverse_mrr", False, "max", "validation"),
        ("nmi", False, "max", ""),
        ("loss_share", False, "min", ""),
    ],
)
def test_what_is_known_of_a_metric_by_its_name(metric, loss, mode, part):
    assert (is_loss(metric), default_mode(metric), part_of_pairs(metric)) == (loss, mode, part)


@pytest.mark.parametrize(
    "key", ["method.loss", "method.loss.name", "method.loss.temperature", "method.loss.mse_weight"]
)
def test_what_rescales_a_loss_of_pairs(key):
    assert rescales_loss(key)


def test_a_small_batch_is_a_warning_and_a_smaller_one_a_mistake(folder, command):
    assert command("run", "p.yaml", "--workers", "1", "--set", "loss=info_nce", "--set", "batch_size=8")[0] == 0
    assert row("results")["reason"] == "SMALL_BATCH=8"
    code, _, err = command("run", "p.yaml", "--workers", "1", "--set", "loss=info_nce", "--set", "batch_size=1")
    assert (code, err.count("\n")) == (2, 1)
    assert "batch_size: 1 is too small for the loss info_nce" in err


@pytest.mark.parametrize("weights", ["cosine_weight: -1", "cosine_weight: 0, mse_weight: 0"])
def test_weights_that_make_no_loss_are_refused_before_anything_starts(folder, command, weights):
    chosen = f"loss={{name: cosine_mse, {weights}}}"
    code, _, err = command("run", "p.yaml", "--workers", "1", "--set", chosen)
    assert (code, err.count("\n")) == (2, 1)
    assert "neither may be negative, and one must be above 0" in err
    assert not (folder / "results").exists()


# Vectors


def test_embed_gives_the_model_s_predictions_in_a_column_that_others_read(folder, command):
    run_trial(order(folder), ignore)
    for file in (model("results"), model("results").with_suffix(".safetensors"), model("results").parent):
        code, out, err = command("embed", file, "mine.npz", "--out", "v.parquet")
        assert code == 0, err
        assert "Wrote 80 vectors of 4 numbers to v.parquet" in out
    table = parquet.read_table("v.parquet")
    assert str(table.schema.field("vector").type) == "fixed_size_list<element: float>[4]"
    assert table.column_names == ["id", "vector"]
    vectors = np.stack(pd.read_parquet("v.parquet")["vector"])
    assert duckdb.sql("select count(*), min(len(vector)) from 'v.parquet'").fetchall() == [(80, 4)]
    with np.load("mine.npz") as data:
        inputs = torch.from_numpy(data["input"].astype(np.float32))
    weights = torch.load(model("results"), weights_only=True)
    x = ((inputs - weights["mean"]) / weights["deviation"]) @ weights["encoder.layers.1.weight"].t()
    norm = [weights[f"encoder.layers.2.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
    x = torch.nn.functional.batch_norm(x, *norm).relu() @ weights["head.weight"].t() + weights["head.bias"]
    np.testing.assert_allclose(vectors, x.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["conclus", "cc", "propos", "sccl"])
def test_embed_of_a_clustering_gives_the_clusters_of_training(folder, command, method):
    labels = np.arange(120) % 3
    rng = np.random.default_rng(0)
    np.savez("blobs.npz", X=rng.normal(size=(3, 6))[labels] * 9 + rng.normal(size=(120, 6)) + 50, y=labels)
    (folder / "c.yaml").write_text(CLUSTERS.replace("METHOD", method))
    run_trial(order(folder, file="c.yaml", overrides=["select.metric=kmeans_acc"]), ignore)
    found = row("results")
    code, _, err = command("embed", model("results").parent, "blobs.npz", "--out", "v.parquet")
    assert code == 0, err
    table = parquet.read_table("v.parquet")
    assert table.column_names == ["id", "cluster", "probability", "second", "distance", "vector"]
    assert table["probability"].null_count == (120 if method == "propos" else 0)
    if found["best_epoch"] == found["epochs_done"]:
        assert command("assign", "--out", "kept.parquet")[0] == 0
        kept = parquet.read_table("kept.parquet")
        assert table.select(["id", "cluster", "second"]).equals(kept.select(["id", "cluster", "second"]))
        for name in ("probability", "distance"):
            one, other = (np.array(each[name].to_pylist(), float) for each in (table, kept))
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
        clusters = table["cluster"].to_numpy()
        same = np.unique(np.stack([clusters, np.array(found["probe_labels"])]), axis=1).shape[1]
        assert same == len(np.unique(clusters))  # one to one
    few = np.load("blobs.npz")["X"][:7]
    np.savez("few.npz", X=few)
    assert command("embed", model("results").parent, "few.npz", "--out", "few.parquet")[0] == 0
    assert parquet.read_table("few.parquet")["cluster"].to_pylist() == table["cluster"].to_pylist()[:7]


def test_embed_takes_columns_by_their_names(folder, command):
    rng, labels = np.random.default_rng(0), np.arange(120) % 3
    values = (rng.normal(size=(3, 4))[labels] * 9 + rng.normal(size=(120, 4))) * [1, 10, 100, 1000]
    trained = pd.DataFrame(values, columns=list("abcd"))
    trained.assign(label=labels).to_csv("train.csv", index=False)
    (folder / "c.yaml").write_text(CLUSTERS.replace("METHOD", "cc").replace("blobs.npz", "train.csv"))
    run_trial(order(folder, file="c.yaml", overrides=["select.metric=kmeans_acc"]), ignore)
    trained.to_csv("new.csv", index=False)
    trained[list("dbca")].assign(sample_id=labels + 7, more=0.5).to_csv("turned.csv", index=False)
    trained[:1].to_parquet("one.parquet")
    trained[["a"]].to_csv("a.csv", index=False)

    def embedded(name):
        code, _, err = command("embed", model("results").parent, name, "--out", "v.parquet")
        return code, err, parquet.read_table("v.parquet")

    plain, turned, one = (embedded(name) for name in ("new.csv", "turned.csv", "one.parquet"))
    assert (plain[0], turned[0], one[0]) == (0, 0, 0)
    assert "4 columns matched by name (a, b, c, d); left out: sample_id (whole numbers), more" in turned[1]
    assert turned[2]["vector"].equals(plain[2]["vector"])
    assert turned[2]["id"].to_pylist() == (labels + 7).tolist()
    assert one[2]["cluster"].to_pylist() == plain[2]["cluster"].to_pylist()[:1]
    code, err, _ = embedded("a.csv")
    assert (code, "'b', 'c', 'd'" in err) == (2, True)
    trained.to_csv("comma.csv", index=False, sep=";", decimal=",")
    assert "it has decimal commas: give `--decimal ,`" in embedded("comma.csv")[1]
    assert command("embed", model("results").parent, "comma.csv", "--decimal", ",", "--out", "v.parquet")[0] == 0
    assert parquet.read_table("v.parquet")["vector"].equals(plain[2]["vector"])
    trained.assign(b="text").to_csv("text.csv", index=False)
    assert embedded("text.csv")[1].endswith("is 'text'; mend it: the model was trained on numbers there\n")
    for column, said in {
        "a": "`--column a` names 1 of the 4 columns that the model was trained on (a, b, c, d)",
        "a,z": "`--column` names 'z', but its columns are a, b, c, d",
        "a,b,c,d": "4 columns matched by name (a, b, c, d)",
        "d,b,c,a": "4 columns in the order of the training (d, b, c, a)",
    }.items():
        code, _, err = command("embed", model("results").parent, "new.csv", "--column", column, "--out", "v.parquet")
        assert (code, said in err) == (0 if "d" in column else 2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("results", "mine.npz", "--out", "v.parquet"), "results is not a model: give the folder models/_TRIAL"),
        (("MODEL", "mine.npz", "--out", "v.csv"), "should end in .parquet"),
        (("MODEL", "mine.npz", "--column", "target", "--out", "v.parquet"), "trained on (6,)"),
        (("MODEL", "none.npz", "--out", "v.parquet"), "no such file"),
        (("MODEL", "mine.npz", "--device", "banana", "--out", "v.parquet"), "device: 'banana' cannot be used here"),
        (("MODEL", "mine.npz", "--device", "meta", "--out", "v.parquet"), "device: 'meta' cannot be used here"),
        pytest.param(
            ("MODEL", "mine.npz", "--device", "cuda", "--out", "v.parquet"),
            "device: 'cuda' cannot be used here",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a graphics card"),
        ),
        (
            ("TORN", "mine.npz", "--out", "v.parquet"),
            "best_model.pt does not belong to best_model.json beside it",
        ),
    ],
)
def test_a_mistake_at_embed_is_one_line(folder, command, arguments, said):
    run_trial(order(folder), ignore)
    file = model("results")
    if arguments[0] == "TORN":
        file.write_bytes(file.read_bytes()[:500])
    code, _, err = command("embed", *(str(file) if one in {"MODEL", "TORN"} else one for one in arguments))
    assert code == 2
    assert said in err
    assert err.count("\n") == 1
