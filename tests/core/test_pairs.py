"""Pairs: the data set of the user's own file, its parts, and the method that learns from them."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from core.config import plugins
from core.config.schema import Mistakes
from core.config.trial import read_trial
from core.data import splits
from core.data.dataset import Dataset
from core.datasets import digit_halves, pairs
from core.errors import UserError
from core.estimator import ContrastiveClustering
from core.evaluation.retrieval import scores
from core.training.fit import build, fit
from core.training.reported import reported
from core.training.state import TrainingState
from tests.core.test_methods import blobs

LOSSES = ("mse", "cosine", "cosine_mse", "info_nce")


def config(loss="cosine", **values):
    mistakes = Mistakes()
    small = {"encoder": {"name": "mlp", "widths": [32]}, "epochs": 4, "batch_size": 32, "evaluation": {"every": 1}}
    read = read_trial(small | {"method": {"name": "paired", "loss": loss}} | values, (), mistakes)
    assert not mistakes.found
    return read


def linear(n=300, *, noise=0.1) -> Dataset:
    """Targets are a rotation of the inputs, and some noise; a third is held out, in two parts."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(n, 8)) * 3 + 5
    targets = inputs @ np.linalg.qr(rng.normal(size=(8, 8)))[0] + noise * rng.normal(size=(n, 8))
    arrays = {"target": (targets - targets.mean(axis=0)).astype(np.float32)}
    return Dataset("linear", inputs.astype(np.float32), None, (), "linear", arrays, split(n))


def split(n) -> np.ndarray:
    return (np.arange(n) % 6 // 4 + np.arange(n) % 6 // 5).astype(np.int8)


def rows(trial, data, **arguments) -> list[dict]:
    return [{"epoch": row.epoch} | row.metrics for row in fit(trial, data, **arguments)]


# The method


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_learns_to_retrieve_what_was_held_out(loss):
    trial = config(loss, encoder={"name": "identity"}, epochs=40, optimiser={"learning_rate": 0.03})
    last = rows(trial, linear(), seed=0)[-1]
    assert last["recall_chance"] == last["test_recall_chance"] == 1 / 50
    for prefix in ("", "test_", "reverse_", "test_reverse_"):
        assert last[f"{prefix}recall_at_1"] > 0.5, prefix
        assert last[f"{prefix}recall_at_1"] <= last[f"{prefix}recall_at_5"] <= last[f"{prefix}recall_at_10"]
        assert last[f"{prefix}recall_at_1"] <= last[f"{prefix}mrr"] <= 1
    for prefix in ("train_", "", "test_"):
        assert last[f"{prefix}cosine_similarity"] > 0.8, prefix


@pytest.mark.parametrize("loss", LOSSES)
def test_every_epoch_has_the_same_scores_whatever_the_loss(loss):
    found = rows(config(loss, evaluation={"every": 2}), linear(), seed=0)
    names = {
        *("loss", "train_loss", "validation_loss", "test_loss"),
        *(
            f"{part}{name}"
            for part in ("train_", "", "test_")
            for name in ("cosine_similarity", "mse", "retrieval_accuracy", "retrieval_chance")
        ),
    }
    retrieval = {
        f"{part}{name}"
        for part in ("", "test_", "reverse_", "test_reverse_")
        for name in ("recall_at_1", "recall_at_5", "recall_at_10", "mrr")
    } | {"recall_chance", "test_recall_chance"}
    retrieval = {name.replace("reverse_test_", "test_reverse_") for name in retrieval}
    assert set(found[0]) == set(found[2]) == names | {"epoch"}
    assert set(found[1]) == set(found[3]) == names | retrieval | {"epoch"}
    assert all(np.isfinite(list(one.values())).all() for one in found)


def test_of_each_part_what_is_declared_is_reported():
    data = linear()
    assert {name for row in rows(config(), data, seed=0) for name in row} - {"epoch"} == reported(config(), data)
    data = replace(data, parts=np.minimum(data.parts, 1))
    assert {name for row in rows(config(), data, seed=0) for name in row} - {"epoch"} == reported(config(), data)


def test_scores_are_those_of_the_predictions():
    trial, data = config("mse"), linear()
    *_, last = fit(trial, data, seed=0)
    method = built(trial, data)
    method.load_state(last.state().method)
    part = data.part("test")
    with torch.inference_mode():
        found = method.eval().outputs(torch.from_numpy(part.samples)).features
    targets = torch.from_numpy(part.arrays["target"])
    assert last.metrics["test_mse"] == pytest.approx(float((found - targets).square().mean()), rel=1e-5)
    assert last.metrics["test_loss"] == pytest.approx(last.metrics["test_mse"], rel=1e-5)
    cosine = torch.nn.functional.cosine_similarity(found, targets).mean()
    assert last.metrics["test_cosine_similarity"] == pytest.approx(float(cosine), rel=1e-5)
    expected = scores(found, targets)
    assert {name: last.metrics[f"test_{name}"] for name in expected} == pytest.approx(expected)


def test_chance_of_in_batch_retrieval_is_one_over_the_batch():
    found = rows(config(batch_size=25, epochs=1), linear(), seed=0)[-1]
    assert found["retrieval_chance"] == found["test_retrieval_chance"] == 1 / 25
    assert found["train_retrieval_chance"] == 1 / 25


def test_what_is_held_out_does_not_touch_training():
    data = linear()
    other = linear()
    other.samples[other.parts > 0] += 100
    other.arrays["target"][other.parts > 0] *= -1
    one, two = (rows(config(), each, seed=0) for each in (data, other))
    for a, b in zip(one, two, strict=True):
        assert [a[name] for name in ("loss", "train_mse")] == [b[name] for name in ("loss", "train_mse")]
        assert a["mse"] != b["mse"]


def test_resumed_after_any_epoch_it_goes_on_bit_for_bit():
    trial, data, kept = config("info_nce"), linear(), {}
    straight = []
    for row in fit(trial, data, seed=3):
        straight.append({"epoch": row.epoch} | row.metrics)
        kept[row.epoch] = row.state().to_bytes()
    for epoch, content in kept.items():
        assert straight[:epoch] + rows(trial, data, seed=3, resume=TrainingState.from_bytes(content)[0]) == straight


def built(trial, data):
    training = data.part("train")
    arrays = {name: torch.from_numpy(array) for name, array in training.arrays.items()}
    return build(trial, torch.from_numpy(training.samples), 0, seed=0, arrays=arrays)


def test_inputs_are_standardised_by_what_is_trained_on():
    data = linear()
    data.samples[:, 3] = 7.1
    method = built(config(), data)
    training = torch.from_numpy(data.part("train").samples)
    method.begin_epoch(1, training)
    scaled = (training - method.mean) / method.deviation
    assert scaled.mean(dim=0).abs().max() < 1e-5
    assert scaled.std(dim=0, correction=0)[[0, 1, 2, 4]] == pytest.approx(1, rel=1e-5)
    assert scaled[:, 3].abs().max() == 0
    raw = built(config(method={"name": "paired", "standardise": False}), data)
    raw.begin_epoch(1, training)
    assert (raw.mean.abs().max(), raw.deviation.min()) == (0, 1)


def test_images_are_inputs_as_well():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(80, 2, 8, 8)).astype(np.float32)
    data = Dataset("images", samples, None, (), "images", {"target": samples[:, :, 0, 0].copy()}, split(80))
    assert np.isfinite(rows(config(encoder={"name": "convnet"}), data, seed=0)[-1]["test_mrr"])


def test_data_without_targets_is_refused():
    with pytest.raises(UserError, match=r"the data has no targets: use `data: \{name: pairs"):
        next(fit(config(data="digits"), plugins.load("datasets", "digits")(), seed=0))


def test_an_estimator_that_clusters_takes_no_method_that_does_not():
    with pytest.raises(ValueError, match="'paired' does not cluster"):
        ContrastiveClustering(2, method="paired").fit(np.eye(6))


def test_info_nce_needs_a_batch_of_two_and_other_losses_do_not():
    with pytest.raises(
        UserError, match=r"batch_size: 1 is too small for the loss info_nce.* use at least 2, better 16"
    ):
        next(fit(config("info_nce", batch_size=1), linear(), seed=0))
    assert np.isfinite(rows(config("cosine", batch_size=1, epochs=1), linear(30), seed=0)[-1]["loss"])


def test_weights_that_contradict_are_a_users_mistake():
    with pytest.raises(UserError, match=r"trial\.method\.loss: cosine_mse: cosine_weight 0 and mse_weight 0"):
        next(fit(config({"name": "cosine_mse", "cosine_weight": 0, "mse_weight": 0}), linear(), seed=0))


def test_a_loss_of_ones_own(tmp_path):
    (tmp_path / "mine.py").write_text(
        "class Loss:\n"
        "    def __init__(self, *, power: float = 1.0): self.power = power\n"
        "    def __call__(self, predictions, targets): return (predictions - targets).abs().pow(self.power).mean()\n"
    )
    plugins.allow_named(tmp_path / "mine.py")
    found = rows(config({"name": str(tmp_path / "mine.py"), "power": 2.0}), linear(), seed=0)
    assert found[-1]["test_loss"] == pytest.approx(found[-1]["test_mse"], rel=1e-5)


# The configuration


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("mse", {"name": "mse"}),
        ("cosine_mse", {"name": "cosine_mse", "cosine_weight": 0.7, "mse_weight": 0.3}),
        ({"name": "info_nce", "temperature": 1}, {"name": "info_nce", "temperature": 1.0}),
    ],
)
def test_a_loss_is_recorded_with_its_options_and_no_others(loss, expected):
    found = config(loss).method.options["loss"]
    assert {"name": found.name, **found.options} == expected


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        ("cosin", "did you mean 'cosine'"),
        ({"name": "info_nce", "temperture": 1}, "did you mean 'temperature'"),
        ({"name": "info_nce", "temperature": "hot"}, "a number is needed"),
        (3, "a mapping with a name is needed"),
    ],
)
def test_a_wrong_loss_is_one_sentence(loss, said):
    mistakes = Mistakes()
    read_trial({"method": {"name": "paired", "loss": loss}}, (), mistakes)
    (mistake,) = mistakes.found
    assert mistake.place[:2] == ("method", "loss")
    assert said in mistake.text


# The data


def saved(path, n=40, **more) -> str:
    rng = np.random.default_rng(1)
    np.savez(path, input=rng.normal(size=(n, 6)), target=rng.normal(size=(n, 3)), **more)
    return str(path)


def test_a_pair_file_is_read_as_it_is_and_split_by_seed(tmp_path):
    path = saved(tmp_path / "mine.npz")
    data = pairs.load(path=path)
    with np.load(path) as file:
        np.testing.assert_allclose(data.samples, file["input"], rtol=1e-6)
        np.testing.assert_allclose(data.arrays["target"], file["target"], rtol=1e-6)
    assert np.bincount(data.parts).tolist() == [32, 4, 4]
    assert pairs.load(path=path).parts.tolist() == data.parts.tolist()
    assert pairs.load(path=path, split_seed=1).parts.tolist() != data.parts.tolist()
    assert np.bincount(pairs.load(path=path, validation=0.5, test=0.25).parts).tolist() == [15, 15, 10]
    assert data.fingerprint == pairs.fingerprint(path=path)


def whole(groups, split) -> bool:
    """Whether every group lies in one part."""
    return all(len(set(split[groups == one].tolist())) == 1 for one in np.unique(groups))


@pytest.mark.parametrize("repeated", ["input", "target"])
def test_pairs_of_equal_inputs_or_targets_stay_in_one_part(tmp_path, repeated):
    rng, groups = np.random.default_rng(0), np.repeat(np.arange(60), 5)
    arrays = {"input": rng.normal(size=(300, 6)), "target": rng.normal(size=(300, 3))}
    arrays[repeated] = arrays[repeated][groups]
    np.savez(tmp_path / "mine.npz", **arrays)
    data = pairs.load(path=str(tmp_path / "mine.npz"))
    assert np.bincount(data.parts).tolist() == [245, 25, 30]
    assert whole(groups, data.parts)
    assert data.notes == (
        "300 of 300 pairs share their input, target or group with others (60 groups): each group stays in one part",
    )


def test_pairs_without_repeats_are_split_as_ever(tmp_path):
    data = pairs.load(path=saved(tmp_path / "mine.npz"))
    plain = splits.drawn(splits.drawn(np.zeros(40, np.int8), "test", 0.1, 0, "x"), "validation", 0.1, 0, "x")
    rows = np.random.default_rng([0, 2]).permutation(40)[:4]
    assert data.parts.tolist() == plain.tolist()
    assert sorted(rows.tolist()) == (data.parts == 2).nonzero()[0].tolist()
    assert data.notes == ()


def test_a_column_may_say_what_belongs_together(tmp_path):
    group = np.repeat(np.arange(-1, 19), 2)
    path = saved(tmp_path / "mine.npz", patient=group)
    data = pairs.load(path=path, group_by="patient")
    assert whole(group[2:], data.parts[2:])  # -1 is no group
    assert data.fingerprint == pairs.fingerprint(path=path, group_by="patient") != pairs.fingerprint(path=path)
    with pytest.raises(UserError, match="`group_by: doctor` names none"):
        pairs.load(path=path, group_by="doctor")


def test_a_group_too_large_for_the_split_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    target = np.concatenate([np.zeros((38, 3)), rng.normal(size=(2, 3))])
    np.savez(tmp_path / "mine.npz", input=rng.normal(size=(40, 6)), target=target)
    with pytest.raises(UserError, match=r"38 of 40 samples belong together.*too many for a test part of 4"):
        pairs.load(path=str(tmp_path / "mine.npz"))


def test_what_joined_a_group_is_told_and_a_share_is_named_only_where_one_can_help(tmp_path):
    rng, group = np.random.default_rng(0), np.arange(40) // 2

    def refused(joined, **options):
        target = rng.normal(size=(40, 3))
        target[: 2 * joined : 2] = 7
        np.savez(tmp_path / "mine.npz", input=rng.normal(size=(40, 6)), target=target, doc=group, big=group < 19)
        with pytest.raises(UserError) as caught:
            pairs.load(path=str(tmp_path / "mine.npz"), **options)
        return str(caught.value)

    grown = "samples belong together (equal inputs or targets join groups of `group_by`, the largest of which has 2)"
    assert f"38 of 40 {grown}: too many for a test part of 4: choose a share of at most 0.05, or" in refused(
        19, group_by="doc"
    )
    all_in_one = refused(20, group_by="doc")
    assert f"40 of 40 {grown}: no part can be split off" in all_in_one
    assert "share" not in all_in_one
    assert "38 of 40 samples belong together (they are one group of `group_by`)" in refused(0, group_by="big")
    # The share that is named is one that helps.
    data = pairs.load(path=str(tmp_path / "mine.npz"), group_by="big", test=0.05, validation=0)
    assert np.bincount(data.parts).tolist() == [38, 0, 2]


def test_shares_of_the_built_in_pairs_are_checked_alike():
    with pytest.raises(UserError, match=r"are 1\.2 of the samples together"):
        digit_halves.load(validation=0.6, test=0.6)


def test_a_split_of_ones_own_that_tears_groups_is_told(tmp_path):
    rng = np.random.default_rng(0)
    part = ["train"] * 20 + ["val"] * 10 + ["test"] * 10
    inputs = np.tile(rng.normal(size=(20, 6)), (2, 1))
    np.savez(tmp_path / "mine.npz", input=inputs, target=rng.normal(size=(40, 3)), part=part)
    (note,) = pairs.load(path=str(tmp_path / "mine.npz"), split_by="part").notes
    assert "(20 groups); `split_by` puts 40 of these pairs on both sides of the split" in note


def test_a_pair_without_a_part_is_refused(tmp_path):
    path = saved(tmp_path / "mine.npz", part=["train"] * 30 + ["test"] * 9 + [""])
    with pytest.raises(UserError, match=r"row 40 \(counted from 1\) is in no part of the split"):
        pairs.load(path=path, split_by="part")


def test_what_belongs_together_does_so_by_way_of_others():
    inputs = np.array([[0.0], [-0.0], [1.0], [2.0], [3.0]])
    targets = np.array([[5], [6], [6], [7], [8]])
    groups = splits.together(inputs, targets)
    assert len(set(groups[:3].tolist())) == 1
    assert len(set(groups.tolist())) == 3


def test_images_of_a_pair_file_take_a_shape(tmp_path):
    assert pairs.load(path=saved(tmp_path / "mine.npz"), shape=(2, 3)).samples.shape == (40, 1, 2, 3)


@pytest.mark.parametrize(
    ("column", "counts"),
    [
        (["train"] * 20 + ["val"] * 12 + ["Test"] * 8, [20, 12, 8]),
        ([0] * 20 + [1] * 12 + [2] * 8, [20, 12, 8]),
        ([0] * 30 + [1] * 10, [27, 3, 10]),
        (["train"] * 30 + ["test"] * 10, [27, 3, 10]),
        (["train"] * 30 + ["dev"] * 10, [30, 10]),
    ],
)
def test_a_column_may_say_the_parts(tmp_path, column, counts):
    data = pairs.load(path=saved(tmp_path / "mine.npz", part=column), split_by="part")
    assert np.bincount(data.parts).tolist() == counts
    test = np.array([str(one).lower() in {"test", "2"} or (one == 1 and 2 not in column) for one in column])
    assert (data.parts[test] == 2).all()


def test_a_table_of_lists_or_of_columns(tmp_path):
    rng = np.random.default_rng(2)
    inputs, targets = rng.normal(size=(30, 4)), rng.normal(size=(30, 2))
    table = {"input": list(inputs), "a": targets[:, 0], "b": targets[:, 1], "split": ["train"] * 20 + ["test"] * 10}
    parquet.write_table(pa.table(table), tmp_path / "mine.parquet")
    data = pairs.load(path=str(tmp_path / "mine.parquet"), targets="a,b", split_by="split")
    np.testing.assert_allclose(data.samples, inputs, rtol=1e-6)
    np.testing.assert_allclose(data.arrays["target"], targets, rtol=1e-6)
    assert np.bincount(data.parts).tolist() == [18, 2, 10]


def test_texts_become_vectors(tmp_path):
    words = ["red apple", "green pear", "blue plum", "red plum", "green apple", "blue pear"] * 4
    table = pa.table({"noisy": [one.split()[0] for one in words], "clean": words})
    parquet.write_table(table, tmp_path / "mine.parquet")
    data = pairs.load(
        path=str(tmp_path / "mine.parquet"),
        inputs="noisy",
        targets="clean",
        texts="both",
        model="tfidf",
        dimensions=3,
    )
    assert data.samples.shape == (24, 2)
    assert data.arrays["target"].shape == (24, 3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"inputs": "inputs"}, "`inputs: inputs` names none of its arrays: input (40, 6) float64, target (40, 3)"),
        ({"split_by": "parts"}, "`split_by: parts` names none of its keys"),
        ({"split_by": "odd"}, "'holdout' is not a part of a split: use train, validation, test, or 0, 1, 2"),
        ({"split_by": "late"}, "the split has no part to train on"),
        ({"validation": 0.99, "test": 0.0}, "at least 2 must remain for training"),
        ({"validation": 0.6, "test": 0.6}, "`validation: 0.6` and `test: 0.6` are 1.2 of the samples together"),
        ({"validation": 1.0}, "`validation: 1` and `test: 0.1` are 1.1 of the samples together"),
        ({"group_by": "one"}, "mine.npz: all pairs are one group by `group_by: one`"),
        ({"targets": "short"}, "it has 40 inputs but 39 targets"),
    ],
)
def test_a_wrong_pair_file_is_one_sentence(tmp_path, options, said):
    late, odd = ["test"] * 20 + ["val"] * 20, ["train"] * 20 + ["holdout"] * 20
    short = np.random.default_rng(0).normal(size=(39, 2))
    path = saved(tmp_path / "mine.npz", odd=odd, late=late, short=short, one=["p1"] * 40)
    with pytest.raises(UserError) as error:
        pairs.load(path=path, **options)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("change", ["targets", "validation", "split_seed", "split_by", "path"])
def test_fingerprints_tell_data_and_split_apart(tmp_path, change):
    path = saved(tmp_path / "mine.npz", other=np.arange(80.0).reshape(40, 2), part=[0, 1] * 20)
    changed = {"targets": "other", "validation": 0.2, "split_seed": 1, "split_by": "part"}
    changed["path"] = saved(tmp_path / "again.npz", n=41)
    assert pairs.fingerprint(path=path) != pairs.fingerprint(**{"path": path, change: changed[change]})


def test_digit_halves_are_the_halves_of_digits():
    data, whole = digit_halves.load(), plugins.load("datasets", "digits")()
    both = np.concatenate([data.samples, data.arrays["target"]], axis=1)
    assert np.array_equal(both, whole.samples.reshape(len(both), -1))
    assert np.bincount(data.parts).tolist() == [1455, 162, 180]


def test_parts_are_drawn_without_replacement_from_what_is_trained_on():
    first = splits.drawn(np.zeros(100, np.int8), "test", 0.3, 0, "x")
    second = splits.drawn(first, "validation", 0.5, 0, "x")
    assert np.bincount(second).tolist() == [35, 35, 30]
    assert ((second == 2) == (first == 2)).all()
    assert splits.drawn(first, "validation", 0.0, 0, "x").tolist() == first.tolist()


def test_a_data_set_without_parts_is_all_trained_on():
    data = blobs()
    assert data.part("train") is data
    assert data.part("test").n_samples == 0


def test_wiki_pairs(root):
    path = root.parent / "shared" / "data" / "multiview" / "wiki_pairs.npz"
    if not path.is_file():
        pytest.skip("the real pairs are not here")
    data = pairs.load(path=str(path), inputs="image", targets="text", split_by="split")
    assert (data.samples.shape, data.arrays["target"].shape) == ((2866, 128), (2866, 100))
    assert np.bincount(data.parts).tolist() == [1956, 217, 693]
