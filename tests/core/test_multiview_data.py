"""Data of several views: which arrays are views, what is missing, sequences, their scale, and what is refused."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from scipy import sparse
from scipy.io import savemat

from core.config.trial import to_mapping
from core.data.modalities import filled, missing
from core.datasets import multiview
from core.errors import UserError
from core.evaluation.cluster_count import estimate_n_clusters
from core.evaluation.components import vectors
from core.evaluation.label_free import Subsample
from jobs.execution import dispatch
from jobs.execution.trial import run_trial
from jobs.models import embedding
from jobs.planning import plan
from jobs.results import storage
from jobs.study import study
from tests.core.view_kinds import in_file

ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT.parent / "shared" / "data" / "multiview"
RNG = np.random.default_rng(3)
N = 30
A, B = RNG.normal(size=(N, 4)), 100 + 7 * RNG.normal(size=(N, 2))
STEPS = RNG.normal(size=(N, 5, 3))
CODES = np.arange(N) % 3


def loaded(path, **options):
    return multiview.load(path=str(path), **options)


def saved(folder, name="clips.npz", **arrays):
    np.savez(folder / name, **arrays)
    return folder / name


def refusal(path, **options):
    with pytest.raises(UserError) as caught:
        loaded(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def without(view, *rows):
    changed = view.copy()
    changed[list(rows)] = np.nan
    return changed


@pytest.mark.skipif(not REAL.is_dir(), reason="the folder shared/data is not beside the repository")
@pytest.mark.parametrize(("name", "count", "classes"), [("mv_scene15", 4485, 15), ("mv_landuse21", 2100, 21)])
def test_real_views_are_read_as_they_are(name, count, classes):
    data = loaded(REAL / f"{name}.npz")
    assert [(one.name, one.shape) for one in data.modalities] == [("view0", (20,)), ("view1", (59,)), ("view2", (40,))]
    assert (data.samples.shape, data.n_classes, data.notes) == ((count, 119), classes, ())
    with np.load(REAL / f"{name}.npz") as held:
        for one in data.modalities:
            np.testing.assert_allclose(in_file(data, one.name), held[one.name], rtol=1e-3, atol=1e-4)
        np.testing.assert_array_equal(data.labels, np.unique(held["label"], return_inverse=True)[1])


# What is a view


def test_floats_with_a_row_for_each_sample_are_views_and_the_rest_is_told(tmp_path):
    path = saved(
        tmp_path, sound=A, counts=np.ones((N, 3), int), words=B, clusters=A[:, 0], weights=A[:7], label=CODES, t=A[:, 0]
    )
    data = loaded(path)
    assert [one.name for one in data.modalities] == ["sound", "words"]
    assert data.left_out == (
        "counts (int64 of shape (30, 3); name it in `views` to learn from it)",
        "clusters (a label by its name; `labels: clusters` scores by it)",
        "weights (of shape (7, 4): not a row for each sample)",
        "t (float64 of shape (30,); name it in `views` to learn from it)",
    )
    named = loaded(path, views=("t", "counts", "sound"), scale="none")
    assert [(one.name, one.start, one.shape) for one in named.modalities] == [
        ("t", 0, (1,)),
        ("counts", 1, (3,)),
        ("sound", 4, (4,)),
    ]
    np.testing.assert_allclose(named.samples, np.column_stack([A[:, 0], np.ones((N, 3)), A]), rtol=1e-6)
    assert named.scaling is None


def test_whole_numbers_are_views_where_the_names_are_numbered(tmp_path):
    data = loaded(saved(tmp_path, X2=B, X1=A.round().astype(int), y=CODES))
    assert [one.name for one in data.modalities] == ["X2", "X1"]


def test_one_view_is_enough(tmp_path):
    data = loaded(saved(tmp_path, sound=A))
    assert (len(data.modalities), data.labels) == (1, None)
    np.testing.assert_allclose(data.samples.std(axis=0), 1, rtol=1e-4)


def test_one_of_several_arrays_is_taken_where_it_is_named(tmp_path):
    path = saved(tmp_path, sound=A, weights=A[:7], label=CODES)
    for options in ({"views": ("sound",)}, {"ignore": ("weights",)}):
        assert [one.name for one in loaded(path, **options).modalities] == ["sound"]


def test_texts_of_arrays_are_views_where_they_are_named(tmp_path):
    words = np.array(["", *(f"a fox and {place % 4} hens" for place in range(N - 1))])
    assert "words (texts of shape (30,); name it in `views`" in str(
        loaded(saved(tmp_path, sound=A, words=words)).left_out
    )
    data = loaded(tmp_path / "clips.npz", views=("words", "sound"))
    assert missing(data.samples, data.modalities) == {"words": 1}
    with h5py.File(tmp_path / "clips.h5", "w") as root:
        root["sound"], root["words"] = A, words.astype(object)
    again = loaded(tmp_path / "clips.h5", views=("words", "sound"))
    np.testing.assert_array_equal(again.samples, data.samples)


def test_sparse_views_of_matlab_with_the_samples_last(tmp_path):
    cell = np.empty((1, 2), object)
    cell[0] = [sparse.csc_matrix(A.T), B.T]
    savemat(tmp_path / "clips.mat", {"data": cell})
    data = loaded(tmp_path / "clips.mat", scale="none")
    np.testing.assert_allclose(data.samples, np.hstack([A, B]), rtol=1e-6)
    assert data.notes == ("the samples are the last axis of data{1}, data{2}, as their sizes say",)


def test_a_file_in_two_parts(tmp_path):
    half = N // 2
    parts = {
        f"{name}_{part}": view[rows]
        for name, view in {"sound": A, "words": B, "y": CODES}.items()
        for part, rows in {"train": slice(half), "test": slice(half, None)}.items()
    }
    path = saved(tmp_path, **parts)
    data = loaded(path, scale="none")
    np.testing.assert_allclose(data.samples, np.hstack([A, B]), rtol=1e-6)
    assert data.labels.tolist() == CODES.tolist()
    assert data.notes == ("the samples are 15 of train and 15 of test (`split`)",)
    assert loaded(path, scale="none", split="test").samples.tolist() == data.samples[half:].tolist()
    assert "`split: test`: it has no two parts" in refusal(saved(tmp_path, "one.npz", a=A, b=B), split="test")


# Sequences


@pytest.mark.parametrize("how", ["lengths", "own", "nan", "mask"])
def test_the_end_of_a_sequence_is_told_in_four_ways(tmp_path, how):
    lengths = np.r_[0, 1 + np.arange(N - 1) % 5]
    there = np.arange(5) < lengths[:, None]
    arrays = {
        "lengths": {"frames": STEPS, "lengths": lengths},
        "own": {"frames": STEPS, "frames_lengths": lengths, "lengths": lengths - 1},
        "nan": {"frames": np.where(there[..., None], STEPS, np.nan)},
        "mask": {"frames": STEPS, "frames_mask": there},
    }[how]
    path = saved(tmp_path, sound=A, **arrays)
    averaged = loaded(path, scale="none")
    expected = [STEPS[place, :end].mean(axis=0) if end else np.full(3, np.nan) for place, end in enumerate(lengths)]
    np.testing.assert_allclose(averaged.samples[:, 4:], expected, rtol=1e-5, atol=1e-6)
    assert averaged.notes == (
        "frames is sequences of 1 to 5 steps, averaged; `sequences: keep` keeps the steps",
        "frames missing for 1 of 30",
    )
    kept = loaded(path, sequences="keep", scale="none")
    assert kept.modalities[1].shape == (5, 3)
    found = kept.samples[:, 4:].reshape(N, 5, 3)
    np.testing.assert_allclose(found, np.where(there[..., None], STEPS, np.nan), rtol=1e-6)
    assert kept.feature_names[4:9] == ("frames:0:0", "frames:0:1", "frames:0:2", "frames:1:0", "frames:1:1")


def test_kept_sequences_have_the_weight_of_a_vector(tmp_path):
    lengths = 1 + np.arange(N) % 5
    data = loaded(saved(tmp_path, sound=A, frames=STEPS, lengths=lengths), sequences="keep")
    squares = [np.nansum(np.square(data.samples[:, one.place])) for one in data.modalities]
    np.testing.assert_allclose(*squares, rtol=1e-4)
    frames = data.samples[:, 4:].reshape(-1, 3)
    np.testing.assert_allclose(np.nanmean(frames, axis=0), 0, atol=1e-5)


# Views that are missing


@settings(max_examples=25)
@given(st.data())
def test_missing_views_are_carried_and_all_views_weigh_the_same(tmp_path_factory, data):
    count, widths = data.draw(st.integers(3, 12)), data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    random = np.random.default_rng(data.draw(st.integers(0, 1000)))
    there = random.random((count, len(widths))) < data.draw(st.sampled_from([0.4, 0.8, 1]))
    there[:2] = True
    there[:, 0] |= ~there.any(axis=1)
    views = {f"v{place}": 50 * random.normal(size=(count, width)) for place, width in enumerate(widths)}
    folder = tmp_path_factory.mktemp("some")
    by_mask = loaded(saved(folder, "mask.npz", **views, mask=there))
    gaps = {name: np.where(there[:, place, None], view, np.nan) for place, (name, view) in enumerate(views.items())}
    by_nan = loaded(saved(folder, "nan.npz", **gaps))
    lists = {name: [None if np.isnan(row).any() else row.tolist() for row in view] for name, view in gaps.items()}
    parquet.write_table(pa.table(lists), folder / "null.parquet")
    by_null = loaded(folder / "null.parquet")
    for found in (by_nan, by_null):
        np.testing.assert_array_equal(found.samples, by_mask.samples)
    counts = {f"v{place}": int((~there[:, place]).sum()) for place in range(len(widths)) if not there[:, place].all()}
    assert missing(by_mask.samples, by_mask.modalities) == counts
    assert [note for note in by_nan.notes if "missing" in note] == [
        f"{name} missing for {lacking} of {count}" for name, lacking in counts.items()
    ]
    assert not np.isnan(filled(by_mask.samples)).any()
    for name, view in gaps.items():
        np.testing.assert_allclose(in_file(by_mask, name), view, rtol=1e-3, atol=1e-3)
    weights = [np.nanmean(np.square(by_mask.samples[:, one.place]), axis=0).sum() for one in by_mask.modalities]
    np.testing.assert_allclose(weights, sum(widths) / len(widths), rtol=1e-3)


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"a": np.where(np.eye(N, 4), np.nan, A)}, "view 'a' is nan in part in row 1 (counted from 1)"),
        ({"a": np.where(np.eye(N, 4, 1), np.inf, A)}, "view 'a' is not finite, or too large in row 1"),
        ({"a": without(A, 4), "b": without(B, 4, 6)}, "row 5 (counted from 1) has no view at all, 1 such in all"),
        ({"a": A, "b": without(B, *range(N))}, "the view 'b' is missing for all samples"),
        ({"a": A, "s": without(STEPS, *range(N))}, "the view 's' is missing for all samples"),
        ({"a": A, "s": STEPS, "s_lengths": 0 * CODES}, "the view 's' is missing for all samples"),
        ({"a": A, "b": B[:9]}, "its views have different numbers of rows (a (30, 4), b (9, 2))"),
        ({"a": A, "a_lengths": CODES}, "'a_lengths' has the shape (30,), but the view 'a' has the shape (30, 4)"),
        ({"a": STEPS, "lengths": CODES + 4}, "'lengths' must be whole numbers from 0 to 5"),
        ({"a": A, "a_mask": CODES}, "'a_mask' must be of 1, where the view is there, and 0"),
        ({"a": A, "b": B, "mask": np.ones(N)}, "'mask' has the shape (30,), but there are 30 samples and 2 views"),
        ({"a": A, "a_mask": np.ones(N - 1)}, "'a_mask' has the shape (29,), but the view has (30, 4)"),
        (
            {"a": A, "b": B[:9], "label": CODES},
            "only 'a' has a row for each of its 30 labels, and these have not: b (9, 2)",
        ),
        ({"label": CODES, "gt_label": A}, "no array in it has a row of numbers for each of its 30 labels"),
        ({"a": np.repeat(A[:1], N, axis=0)}, "all 30 samples are equal"),
        ({"a": np.where(np.arange(15).reshape(5, 3) == 4, np.nan, STEPS)}, "is nan in part in row 1, step 2"),
    ],
)
def test_what_is_wrong_with_arrays_is_one_line(tmp_path, arrays, says):
    assert says in refusal(saved(tmp_path, **arrays))


@pytest.mark.parametrize(
    ("lists", "says"),
    [
        ([[None, 2], *[[1, 2]] * (N - 1)], "the view 'b' is nan in part in row 1 (counted from 1)"),
        ([*[[[1.0, 2.0]]] * (N - 1), [[3.0, None]]], "the view 'b' is nan in part in row 30"),
        ([[None, None]] * N, "the view 'b' is missing for all samples"),
        ([[]] * N, "column 'b': the list in row 1 (counted from 1) has no numbers: write null where the view is"),
        ([*[[1.0, 2.0]] * 4, *[[]] * (N - 4)], "column 'b': the list in row 5 (counted from 1) has no numbers"),
        ([*[[1.0, 2.0]] * 4, *[[1.0]] * (N - 4)], "the list in row 5 (counted from 1) has 1 numbers, but the first"),
    ],
)
def test_what_is_wrong_with_lists_is_one_line(tmp_path, lists, says):
    parquet.write_table(pa.table({"a": list(A), "b": lists}), tmp_path / "clips.parquet")
    assert says in refusal(tmp_path / "clips.parquet", sequences="keep")


def test_a_list_of_nulls_is_a_view_that_is_missing(tmp_path):
    parquet.write_table(pa.table({"a": list(A), "b": [[None, None], *list(B)[1:]]}), tmp_path / "clips.parquet")
    np.testing.assert_array_equal(
        loaded(tmp_path / "clips.parquet").samples, loaded(saved(tmp_path, a=A, b=without(B, 0))).samples
    )


@pytest.mark.parametrize(("sequences", "shape"), [("mean", (3,)), ("keep", (5, 3))])
@pytest.mark.parametrize("name", ["clips.npz", "null.parquet", "nulls.parquet"])
def test_a_new_sample_may_lack_its_sequence(tmp_path, name, sequences, shape):
    saved(tmp_path, sound=A[:1], frames=without(STEPS[:1], 0))
    for file, frames in (("null", None), ("nulls", [[None]])):
        parquet.write_table(pa.table({"sound": list(A[:1]), "frames": [frames]}), tmp_path / f"{file}.parquet")
    data = multiview.samples_of(str(tmp_path / name), {"sound": (4,), "frames": shape}, sequences=sequences)
    assert [one.shape for one in data.modalities] == [(4,), shape]
    np.testing.assert_allclose(data.samples[:, :4], A[:1], rtol=1e-6)
    assert np.isnan(data.samples[:, 4:]).all()
    assert data.notes == ("frames missing for 1 of 1",)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"views": ("a", "c")}, "`views` names 'c', but it holds a (30, 4) float64, b (30, 2) float64"),
        ({"views": ("a", "b", "a")}, "`views: [a, b, a]` names a view twice"),
        ({"analyzer": "char"}, "`model` and `analyzer` are for views of texts, and there are none"),
        ({"labels": "c"}, "`labels: c` names none"),
        ({"unlabelled": (1,)}, "`unlabelled` is of labels, and none are read"),
        ({"ignore": ("c",)}, "`ignore` names 'c'"),
        ({"views": ("t",)}, "the view 't' is of type complex128"),
    ],
)
def test_what_is_wrong_with_options_is_one_line(tmp_path, options, says):
    path = saved(tmp_path, a=A, b=B, **({"t": A + 0j} if "t" in options.get("views", ()) else {}))
    assert says in refusal(path, **options)


def test_what_holds_no_views_is_refused(tmp_path):
    (tmp_path / "a.svm").write_text("1 1:2\n2 1:3\n")
    assert "a file of the format .svm holds no views: use .npz, .npy, .mat" in refusal(tmp_path / "a.svm")
    for name in ("one.npz", "two.npz"):
        saved(tmp_path / "", name, a=A)
    (tmp_path / "a.svm").unlink()
    assert "the folder holds 2 files (one.npz, two.npz): name the one with the views" in refusal(tmp_path)
    parquet.write_table(pa.table({"a": A[:, 0], "s": ["x"] * N}), tmp_path / "t.parquet")
    assert "no column of it holds lists of numbers: name its views in `views`, of a, s" in refusal(
        tmp_path / "t.parquet"
    )
    pd.DataFrame({"a": A[:, 0], "s": [" "] * N}).to_parquet(tmp_path / "e.parquet")
    assert "holds 0 texts: at least 2" in refusal(tmp_path / "e.parquet", views=("s", "a"))


# The same data for all that uses it


def test_what_compares_whole_rows_fills_what_is_missing(tmp_path):
    data = loaded(saved(tmp_path, a=without(A, 0, 5), b=B, label=CODES))
    whole = filled(data.samples)
    assert whole[0, :4].tolist() == [0, 0, 0, 0]
    np.testing.assert_array_equal(Subsample.of(data.samples).distances, Subsample.of(whole).distances)
    assert estimate_n_clusters(data.samples) == estimate_n_clusters(whole)
    assert vectors(torch.from_numpy(data.samples)).tolist() == whole.tolist()
    assert filled(whole) is whole


def test_fingerprints_differ_by_every_option_and_not_by_the_path(tmp_path):
    path = saved(tmp_path, a=A, b=B, y=CODES)
    options = [
        {},
        {"views": ("a",)},
        {"views": ("b", "a")},
        {"sequences": "keep"},
        {"scale": "none"},
        {"labels": "none"},
        {"ignore": ("a",)},
        {"dimensions": 9},
        {"analyzer": "char"},
        {"split": "all"},
        {"id": "y"},
        {"unlabelled": (1,)},
    ]
    found = [multiview.fingerprint(path=str(path), **one) for one in options]
    assert len({*found}) == len(options)
    assert multiview.fingerprint(path=str(path.rename(tmp_path / "b.npz"))) == found[0]
    assert loaded(tmp_path / "b.npz").fingerprint == found[0]
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "a.npy", A)
        np.save(tmp_path / name / f"{name}.npy", B)
    assert len({multiview.fingerprint(path=str(tmp_path / name)) for name in ("one", "two")}) == 2


def test_a_large_file_is_mapped_from_the_cache_and_is_the_same(tmp_path, monkeypatch):
    path = saved(tmp_path, a=without(A, 3), frames=STEPS, y=CODES)
    read = loaded(path, sequences="keep")
    monkeypatch.setattr(multiview, "_SMALL", 1)
    for _ in range(2):
        data = loaded(path, sequences="keep")
        assert isinstance(data.samples, np.memmap)
        np.testing.assert_array_equal(data.samples, read.samples)
        assert (data.modalities, data.feature_names, data.notes) == (read.modalities, read.feature_names, read.notes)


STUDY = """study: v
trial:
  data: {name: multiview, path: clips.npz}
  encoder: {name: ENCODER}
  views: {name: VIEWS}
  method: {name: conclus}
  epochs: 2
  batch_size: 16
  n_clusters: 3
select: {metric: label_free, save_model: true}
"""


def study_file(folder, encoder="multiview", views="multiview", data="clips.npz"):
    text = STUDY.replace("ENCODER", encoder).replace("VIEWS", views).replace("clips.npz", data)
    (folder / "v.yaml").write_text(text)
    return folder / "v.yaml"


def test_a_plan_tells_what_is_missing_and_refuses_who_cannot_take_it(tmp_path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path, sound=without(A, 1, 2), words=B, label=CODES)
    for encoder, views, place in (("mlp", "noise", "encoder"), ("multiview", "noise", "views")):
        code, out, err = command("plan", str(study_file(tmp_path, encoder, views)))
        assert (code, out, err.count("\n")) == (2, "", 1)
        name = encoder if place == "encoder" else views
        assert (
            f"trial.{place}: {name} takes no samples that lack a view, and of the 30 of clips some do (sound for 2)"
            in err
        )
        assert f"use `{place}: {{name: multiview}}`" in err
    code, _, err = command("plan", str(study_file(tmp_path, "mlp", "multiview")))
    assert code == 2
    assert "use the encoder multiview" in err
    assert "noise" not in err  # These views do not take the samples either.
    code, out, err = command("plan", str(study_file(tmp_path)))
    assert code == 0, err
    assert "clips: 30 samples × 2 views (sound: 4 features, words: 2 features)" in out + err  # noqa: RUF001
    assert "clips: sound missing for 2 of 30" in out + err
    saved(tmp_path, sound=A, words=B, label=CODES)
    assert command("plan", str(study_file(tmp_path, "mlp", "noise")))[0] == 0


def test_conclus_data_has_a_line_for_each_view(tmp_path, command):
    sound = without(A, 1)
    sound[4] = sound[5]
    words = np.column_stack([B, np.ones(N)])
    code, out, err = command(
        "data", str(saved(tmp_path, sound=sound, words=words)), "--set", "name=multiview", "--head"
    )
    assert code == 0, err
    lines = [" ".join(one.split()) for one in out.splitlines()]
    assert "view sound: 4 numbers, missing for 1 of 30 samples, 1 equal to an earlier one, 0 constant" in lines
    assert "view words: 3 numbers, missing for 0 of 30 samples, 0 equal to an earlier one, 1 constant" in lines
    assert "missing sound of 1" in lines
    assert "constant 1 of 7 features have one value: words:2" in lines
    assert any(line.startswith("nan nan nan nan") for line in lines)


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A model of three views, and its folder."""
    monkeypatch.chdir(tmp_path)
    saved(tmp_path, sound=without(A, 1), words=B, frames=STEPS, lengths=1 + np.arange(N) % 5, label=CODES)
    text = study_file(tmp_path).read_text().replace("path: clips.npz", "path: clips.npz, sequences: keep")
    (tmp_path / "v.yaml").write_text(text)
    read = study.load(tmp_path / "v.yaml", ())
    one = plan.make(read).trials[0]
    own = {name: getattr(one, name) for name in ("trial_key", "config_key", "seed", "data_hash")}
    given = {"trial": to_mapping(one.config), "parameters": dict(one.parameters), "checkpoint_share": 1.0}
    run_trial(dispatch.shared(read, str(tmp_path / "results"), (), device="cpu") | own | given, lambda _news: None)
    (weights,) = (tmp_path / "results").rglob("best_model.pt")
    return str(weights.parent)


def test_a_model_takes_new_data_by_the_names_of_the_views(trained, tmp_path):
    table, said = embedding.embed(trained, "clips.npz")
    assert said.startswith("clips.npz: 30 samples, 3 views matched by name (sound, words, frames); frames is sequences")
    assert said.endswith("; sound missing for 1 of 30")
    data = loaded("clips.npz", sequences="keep")
    of_training = embedding.features(storage.at(trained), data.samples)
    np.testing.assert_allclose(np.stack(table["vector"].to_numpy()), of_training, rtol=1e-3, atol=1e-4)
    lengths = 1 + np.arange(N) % 5
    few = {"frames": STEPS[:, :4], "extra": A, "words": B, "sound": without(A, 1), "lengths": np.minimum(lengths, 4)}
    short = saved(tmp_path, "few.npz", **{name: one[:4] for name, one in few.items()})
    again, _ = embedding.embed(trained, str(short))
    np.testing.assert_allclose(
        np.stack(again["vector"].to_numpy()), np.stack(table["vector"].to_numpy()[:4]), rtol=1e-4, atol=1e-5
    )
    for changed, says in (
        ({"sound": A[:4, :3]}, "the view 'sound' has the shape (3,), the model was trained on (4,)"),
        (
            {"frames": RNG.normal(size=(4, 9, 3))},
            "the view 'frames' has the shape (9, 3), the model was trained on (5, 3)",
        ),
        ({"words": None}, "`views` names 'words', but it holds"),
    ):
        arrays = {name: one[:4] for name, one in few.items() if name != "lengths"} | changed
        other = saved(tmp_path, "other.npz", **{name: one for name, one in arrays.items() if one is not None})
        with pytest.raises(UserError) as caught:
            embedding.embed(trained, str(other))
        assert says in str(caught.value)
    with pytest.raises(UserError, match="found by their names: leave out `--column`"):
        embedding.embed(trained, str(short), column="sound")
