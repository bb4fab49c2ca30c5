# ruff: noqa: RUF001 - the sign of multiplication, as shapes are written
"""Kinds of data of several views: each is a row of docs/data-formats.md."""

import json

import h5py
import numpy as np
import pyarrow as pa
from pyarrow import csv, feather, parquet
from scipy.io import savemat

from tests.core import array_kinds
from tests.core.kinds import Broken, Kind, cut

N = 24
RNG = np.random.default_rng(5)
CODES = np.arange(N) % 3
SOUND, PICTURE = RNG.normal(size=(N, 5)), 1e3 + RNG.normal(size=(N, 4))
LENGTHS = 1 + np.arange(N) % 4
STEPS = RNG.normal(size=(N, 4, 3))
WORDS = [f"the {('fox', 'hen', 'owl')[place % 3]} number {place % 7}" for place in range(N)]
GONE = [2, 11]


def in_file(data, name):
    """A view in the units of the file, (n, *shape)."""
    offset, divisor = data.scaling
    one = next(one for one in data.modalities if one.name == name)
    return (data.samples * divisor + offset)[:, one.place].reshape(-1, *one.shape)


def lacking(view, rows=GONE):
    return np.where(np.isin(np.arange(N), rows)[:, None], np.nan, view)


def is_read(**views):
    """A check of the order, the shapes and the numbers of views, and of the labels."""

    def check(data):
        assert [one.name for one in data.modalities] == list(views)
        for name, values in views.items():
            np.testing.assert_allclose(in_file(data, name), values, rtol=1e-4, atol=1e-5)
        assert data.samples.dtype == np.float32
        assert data.labels.tolist() == CODES.tolist()

    return check


# Arrays


def npz(folder, **changed):
    mask = np.ones((N, 2), int)
    mask[GONE, 1] = 0
    arrays = {"sound": SOUND, "picture": PICTURE, "mask": mask, "label": CODES, "id": np.arange(N)}
    np.savez(folder / "clips.npz", **{name: one for name, one in {**arrays, **changed}.items() if one is not None})


def npz_is(data):
    is_read(sound=SOUND, picture=lacking(PICTURE))(data)
    assert data.notes == (
        "picture missing for 2 of 24",
        "the columns of mask are the views sound, picture; 1 is there, 0 is missing",
    )
    assert data.ids.tolist() == list(range(N))
    # Each view has the same weight, and a feature of it the same as another.
    for one in data.modalities:
        there = data.samples[:, one.place][~np.isnan(data.samples[:, one.start])]
        np.testing.assert_allclose(np.square(there).mean(axis=0), 4.5 / one.shape[0], rtol=1e-4)
    assert (data.feature_names[0], data.feature_names[-1]) == ("sound:0", "picture:3")


def npy(folder, **changed):
    (folder / "clips").mkdir(exist_ok=True)
    for name, one in {"sound": SOUND, "picture": lacking(PICTURE), "label": CODES, **changed}.items():
        np.save(folder / "clips" / f"{name}.npy", one)


def cell(*values):
    found = np.empty((1, len(values)), object)
    found[0] = values
    return found


def matlab(folder, first=SOUND.T, labels=CODES + 1.0):
    savemat(folder / "clips.mat", {"X": cell(first, PICTURE.T), "gt": labels[:, None]})


def matlab_is(data):
    is_read(**{"X{1}": SOUND, "X{2}": PICTURE})(data)
    assert data.notes == ("the samples are the last axis of X{1}, X{2}, as its labels say",)


def matlab_7_3_is(data):
    is_read(**{"X{2}": array_kinds.VIEWS[1].T, "X{1}": array_kinds.VIEWS[0].T})(data)


def hdf5(folder, lengths=LENGTHS):
    with h5py.File(folder / "clips.h5", "w") as root:
        root["views/sound"], root["views/steps"] = SOUND, STEPS
        root["views/steps_lengths"], root["label"] = lengths, CODES


def averaged():
    return np.stack([STEPS[place, :length].mean(axis=0) for place, length in enumerate(LENGTHS)])


# Tables


def fixed(values):
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).reshape(-1)), values.shape[1])


def table(folder, **changed):
    some = [None if place in GONE else PICTURE[place].tolist() for place in range(N)]
    columns = {
        "clip_id": [f"c{place}.mp4" for place in range(N)],
        "words": [None if place == 4 else one for place, one in enumerate(WORDS)],
        "sound": fixed(SOUND),
        "picture": pa.array(some, pa.list_(pa.float32())),
        "label": [("x", "y", "z")[code] for code in CODES],
    }
    parquet.write_table(pa.table({**columns, **changed}), folder / "clips.parquet")


def table_is(data):
    assert [one.name for one in data.modalities] == ["picture", "words", "sound"]
    np.testing.assert_allclose(in_file(data, "picture"), lacking(PICTURE), rtol=1e-4)
    np.testing.assert_allclose(in_file(data, "sound"), SOUND, rtol=1e-4, atol=1e-5)
    words = in_file(data, "words")
    assert np.isnan(words[4]).all()
    assert not np.isnan(np.delete(words, 4, axis=0)).any()
    np.testing.assert_allclose(np.linalg.norm(np.delete(words, 4, axis=0), axis=1), 1, rtol=1e-4)
    assert "words missing for 1 of 24" in data.notes
    assert "words is texts, turned into vectors by tfidf" in data.notes
    assert data.ids.tolist()[:2] == ["c0.mp4", "c1.mp4"]


def lines(folder, short=None):
    def row(place):
        steps = STEPS[place, : LENGTHS[place]].tolist()
        return {
            "steps": short if short and place == 5 else steps,
            "sound": SOUND[place].tolist(),
            "y": int(CODES[place]),
        }

    (folder / "clips.jsonl").write_text("\n".join(json.dumps(row(place)) for place in range(N)) + "\n")


def kept():
    return np.where((np.arange(4) < LENGTHS[:, None])[..., None], STEPS, np.nan)


def columns(folder, **changed):
    found = {f"sound_{place}": SOUND[:, place] for place in range(5)}
    found |= {f"pic_{place}": pa.array(lacking(PICTURE)[:, place], from_pandas=True) for place in range(4)}
    csv.write_csv(pa.table({**found, "label": CODES, **changed}), folder / "clips.csv")


def columns_are(data):
    is_read(pic=lacking(PICTURE), sound=SOUND)(data)
    assert (data.feature_names[0], data.feature_names[-1]) == ("pic:pic_0", "sound:sound_4")


def arrow(folder):
    found = pa.table({"v0": fixed(SOUND), "v1": fixed(PICTURE), "label": CODES})
    feather.write_feather(found, folder / "clips.feather")


KINDS = (
    Kind(
        title="several views and a mask in an `.npz` file",
        data="{name: multiview, path: clips.npz}",
        line="clips: 24 samples × 2 views (sound: 5 features, picture: 4 features), labels: label, 3 classes (0, 1, 2)",
        make=npz,
        check=npz_is,
        broken={
            "cut short": Broken(make=lambda folder: cut(folder / "clips.npz"), said=r"cannot be read as \.npz"),
            "wrong type": Broken(
                make=lambda folder: npz(folder, sound=SOUND.astype(object), mask=None),
                data="{name: multiview, path: clips.npz, views: [sound, picture]}",
                said="'sound' holds pickled Python objects",
            ),
            "ambiguous": Broken(
                make=lambda folder: npz(folder, mask=np.ones((N, 3), int)),
                said=r"'mask' has the shape \(24, 3\), but there are 24 samples and 2 views \(sound, picture\)",
            ),
        },
    ),
    Kind(
        title="a folder of `.npy` files, one for each view",
        data="{name: multiview, path: clips, views: [picture, sound]}",
        line="clips: 24 samples × 2 views (picture: 4 features, sound: 5 features), labels: label, 3 classes (0, 1, 2)",
        make=npy,
        check=is_read(picture=lacking(PICTURE), sound=SOUND),
        broken={
            "cut short": Broken(
                make=lambda folder: cut(folder / "clips" / "sound.npy"), said=r"sound\.npy: it cannot be read as \.npy"
            ),
            "wrong type": Broken(
                make=lambda folder: npy(folder, sound=SOUND + 0j), said="view 'sound' is of type complex128"
            ),
            "ambiguous": Broken(
                make=lambda folder: npy(folder, sound=SOUND[1:]),
                said=r"view 'sound' has the shape \(23, 5\), but there are 24 labels",
            ),
        },
    ),
    Kind(
        title="all views of a cell in `.mat` (MATLAB 5)",
        data="{name: multiview, path: clips.mat}",
        line="clips: 24 samples × 2 views (X{1}: 5 features, X{2}: 4 features), labels: gt, 3 classes (1, 2, 3)",
        make=matlab,
        check=matlab_is,
        broken={
            "cut short": Broken(make=lambda folder: cut(folder / "clips.mat"), said=r"cannot be read as \.mat"),
            "wrong type": Broken(
                make=lambda folder: matlab(folder, labels=CODES + 0.5), said="label of row 1 .* is '0.5'"
            ),
            "ambiguous": Broken(
                make=lambda folder: savemat(
                    folder / "clips.mat", {"X": cell(np.eye(N), np.eye(N) + 1.0), "gt": CODES[:, None] + 1.0}
                ),
                said=r"the view 'X\{1\}' is 24 x 24: its samples may be the rows or the columns",
            ),
        },
    ),
    Kind(
        title="views of a cell in `.mat` (MATLAB 7.3), in your order",
        data='{name: multiview, path: views.mat, views: ["X{2}", "X{1}"]}',
        line="views: 24 samples × 2 views (X{2}: 7 features, X{1}: 5 features), labels: gt, 3 classes (1, 2, 3)",
        make=array_kinds.matlab_7_3,
        check=matlab_7_3_is,
        broken={
            "cut short": Broken(make=lambda folder: cut(folder / "views.mat"), said=r"cannot be read as \.mat"),
            "wrong type": Broken(
                make=lambda folder: (folder / "views.mat").write_text("X,y\n"), said=r"cannot be read as \.mat"
            ),
            "ambiguous": Broken(
                make=lambda folder: array_kinds.matlab_7_3(folder, views=[RNG.normal(size=(N, N))] * 2),
                said=r"the view 'X\{2\}' is 24 x 24: its samples may be the rows or the columns",
            ),
        },
    ),
    Kind(
        title="vectors and sequences of vectors in `.h5`, with the lengths of the sequences",
        data="{name: multiview, path: clips.h5}",
        line="clips: 24 samples × 2 views (views/sound: 5 features, views/steps: 3 features), labels: label, "
        "3 classes (0, 1, 2)",
        make=hdf5,
        check=is_read(**{"views/sound": SOUND, "views/steps": averaged()}),
        broken={
            "cut short": Broken(make=lambda folder: cut(folder / "clips.h5"), said=r"cannot be read as \.h5"),
            "wrong type": Broken(
                make=lambda folder: hdf5(folder, LENGTHS + 0.5),
                said="'views/steps_lengths' must be whole numbers from 0 to 4",
            ),
            "ambiguous": Broken(
                make=lambda folder: hdf5(folder, LENGTHS[1:]),
                said=r"'views/steps_lengths' has the shape \(23,\), but the view 'views/steps' has the shape",
            ),
        },
    ),
    Kind(
        title="texts beside columns of vectors in Parquet, of which some are missing",
        data="{name: multiview, path: clips.parquet, views: [picture, words, sound]}",
        line="clips: 24 samples × 3 views (picture: 4 features, words: 4 features, sound: 5 features), labels: label, "
        "3 classes (x, y, z)",
        make=table,
        check=table_is,
        broken={
            "cut short": Broken(make=lambda folder: cut(folder / "clips.parquet"), said=r"cannot be read as \.parquet"),
            "wrong type": Broken(
                make=lambda folder: table(folder, sound=[["a", "b"]] * N), said="'sound' holds lists of string"
            ),
            "ambiguous": Broken(
                make=lambda folder: table(folder, picture=[[1.0, 2.0]] * 5 + [[1.0]] * (N - 5)),
                said=r"column 'picture': the list in row 6 \(counted from 1\) has 1 numbers, but the first has 2",
            ),
        },
    ),
    Kind(
        title="sequences of vectors in JSON Lines, kept step by step",
        data="{name: multiview, path: clips.jsonl, sequences: keep}",
        line="clips: 24 samples × 2 views (steps: 4 steps × 3 features, sound: 5 features), labels: y, "
        "3 classes (0, 1, 2)",
        make=lines,
        check=is_read(steps=kept(), sound=SOUND),
        broken={
            "cut short": Broken(
                make=lambda folder: cut(folder / "clips.jsonl", 0.6), said=r"cannot be read as \.jsonl"
            ),
            "wrong type": Broken(
                make=lambda folder: lines(folder, [["a"]]), said=r"cannot be read as \.jsonl|holds lists of"
            ),
            "ambiguous": Broken(
                make=lambda folder: lines(folder, [[1.0, 2.0]]), said=r"column 'steps': .* has 2 numbers, but the first"
            ),
        },
    ),
    Kind(
        title="views that are groups of columns in CSV, by how their names begin",
        data="{name: multiview, path: clips.csv, views: [pic_, sound_]}",
        line="clips: 24 samples × 2 views (pic: 4 features, sound: 5 features), labels: label, 3 classes (0, 1, 2)",
        make=columns,
        check=columns_are,
        broken={
            "cut short": Broken(make=lambda folder: cut(folder / "clips.csv", 0.99), said="fields|nan in part"),
            "wrong type": Broken(
                make=lambda folder: columns(folder, sound_0=["loud"] * N),
                said="column 'sound_0' is not numeric: row 1 .* is 'loud'",
            ),
            "ambiguous": Broken(
                make=columns,
                data="{name: multiview, path: clips.csv, views: [pic_, pic_0]}",
                said="takes a column twice",
            ),
        },
    ),
    Kind(
        title="columns of vectors in Feather (pandas)",
        data="{name: multiview, path: clips.feather}",
        line="clips: 24 samples × 2 views (v0: 5 features, v1: 4 features), labels: label, 3 classes (0, 1, 2)",
        make=arrow,
        check=is_read(v0=SOUND, v1=PICTURE),
        broken={
            "cut short": Broken(make=lambda folder: cut(folder / "clips.feather"), said=r"cannot be read as \.feather"),
            "wrong type": Broken(
                make=lambda folder: (folder / "clips.feather").write_text("a,b\n"), said=r"cannot be read as \.feather"
            ),
            "ambiguous": Broken(
                make=arrow,
                data="{name: multiview, path: clips.feather, views: [v]}",
                said="names 'v', which is neither a column nor the beginning of columns",
            ),
        },
    ),
)
