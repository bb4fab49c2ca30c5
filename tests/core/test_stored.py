"""Samples in stored form: the same numbers, the same rows of a trial, and one preparation for all processes."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import sparse

from core.config.schema import Mistakes
from core.config.trial import read_trial
from core.data import prepared, stored, told
from core.data.dataset import Dataset
from core.data.scaling import Scaling, offset_and_divisor, scaled
from core.data.source import SampleSource, on_device, read_ahead
from core.datasets import file
from core.errors import UserError
from core.estimator import ContrastiveClustering
from core.evaluation import components
from core.evaluation.label_free import Subsample
from core.training.fit import fit

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
SCALES = ("none", "unit", "standard")


@pytest.fixture
def all_stored(monkeypatch):
    """No data set is too small for the stored form."""
    monkeypatch.setattr(stored, "FEW", 0)
    monkeypatch.setattr(stored, "WHOLE", 0)
    monkeypatch.setattr("core.formats.arrays.WHOLE", 0)


def source(samples, scale="none"):
    return SampleSource(stored.as_stored(samples, scale), CPU)


@settings(deadline=None, max_examples=60)
@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=4, min_side=2, max_side=6)), st.sampled_from(SCALES))
def test_stored_bytes_become_the_numbers_of_the_whole_array(values, scale):
    if values.ndim == 3:
        values = values[:, None]
    found, whole = source(values, scale), scaled(values, scale)
    read = torch.cat(list(found.split(3))).numpy()
    if scale == "standard":
        np.testing.assert_allclose(read, whole, rtol=1e-6, atol=1e-6)
    else:
        np.testing.assert_array_equal(read, whole)
        assert (found.min(), found.max()) == (whole.min(), whole.max())
    np.testing.assert_array_equal(found.stored[:], read)


@pytest.mark.parametrize("scale", SCALES)
def test_halves_and_sparse_rows_become_the_numbers_of_the_whole_array(scale):
    halves = RNG.normal(size=(500, 7)).astype(np.float16)
    halves[:, 3] = 2
    np.testing.assert_allclose(source(halves, scale)[:], scaled(halves, scale), rtol=1e-5, atol=1e-6)
    rows = sparse.random(300, 40, 0.1, format="csr", random_state=0, dtype=np.float64)
    np.testing.assert_allclose(source(rows, scale)[:], scaled(rows.toarray(), scale), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale", SCALES)
def test_the_offset_and_the_divisor_are_those_of_the_whole_array(scale):
    values = RNG.integers(3, 250, (50, 3, 5, 4), dtype=np.uint8)
    values[:, 1] = 9
    found = Scaling.of(values, scale)[0].offset_and_divisor()
    for one, whole in zip(found, offset_and_divisor(values, scale), strict=True):
        np.testing.assert_allclose(one, whole, rtol=1e-6)


def test_rows_of_stored_samples_are_chosen_as_those_of_an_array():
    values = RNG.integers(0, 255, (20, 5), dtype=np.uint8)
    kept = stored.as_stored(values, "none").take(np.array([4, 2, 9, 9])).take(slice(1, None))
    np.testing.assert_array_equal(kept[:], values[[2, 9, 9]])
    assert kept.shape == (3, 5)
    assert len(kept) == 3
    found = on_device(kept, CPU)
    np.testing.assert_array_equal(found[torch.tensor([2, 0])], values[[9, 2]])
    parts = list(found.tensor_split(2))
    assert [len(one) for one in parts] == [len(one) for one in torch.zeros(3).tensor_split(2)]
    np.testing.assert_array_equal(torch.cat(parts), values[[2, 9, 9]])
    assert [len(one) for one in read_ahead(found, [slice(0, 2), torch.tensor([1])])] == [2, 1]


TRIALS = {
    "conclus on images": {"views": "image", "encoder": "convnet"},
    "propos on images": {"views": "affine", "encoder": "convnet", "method": "propos"},
    "tcl on vectors": {"views": "tabular", "method": "tcl"},
    "sccl on vectors": {"views": "neighbours", "method": "sccl"},
}


@pytest.mark.parametrize("name", TRIALS)
def test_a_trial_on_stored_samples_has_the_rows_of_one_on_floats(tmp_path, monkeypatch, name):
    labels = np.arange(90) % 3
    shape = (90, 12, 12, 3) if "images" in name else (90, 30)
    values = RNG.integers(0, 180, shape, dtype=np.uint8)
    values += (labels * 30).astype(np.uint8).reshape(-1, *[1] * (len(shape) - 1))
    np.savez(tmp_path / "mine.npz", X=values, y=labels)
    options = {"path": str(tmp_path / "mine.npz"), "scale": "unit"}
    wide = {"corruption": 0, "mixup": 0} if "tabular" in TRIALS[name].values() else {}  # those draw from a sample
    trial = {
        "data": {"name": "file", **options},
        "epochs": 3,
        "batch_size": 32,
        "evaluation": {"every": 1},
        **TRIALS[name],
    }
    trial["views"] = {"name": trial["views"], **wide}
    config = read_trial(trial, (), Mistakes())

    def rows():
        data = file.load(**options)
        return data, [(row.losses, row.scores.metrics, row.scores.health) for row in fit(config, data, seed=1)]

    (floats, before), _ = rows(), monkeypatch.setattr(stored, "FEW", 0)
    bytes_, after = rows()
    assert isinstance(floats.samples, np.ndarray)
    assert isinstance(bytes_.samples, stored.Stored)
    assert floats.fingerprint == bytes_.fingerprint
    assert before == after


def test_very_many_numbers_are_reduced_for_neighbours_and_scores_of_the_input(monkeypatch):
    """The axes are those of scikit-learn's PCA up to their sign, of sparse rows and of images in several blocks."""
    from sklearn.decomposition import PCA

    monkeypatch.setattr(components, "WHOLE", 0)
    rows = sparse.random(400, 90, 0.2, format="csr", random_state=1, dtype=np.float32)
    images = RNG.integers(0, 255, (300, 1, 70, 70), dtype=np.uint8)  # 4,900 numbers: two blocks
    for values, scale in ((rows, "standard"), (images, "unit"), (sparse.csr_matrix(images.reshape(300, -1)), "unit")):
        whole = scaled(values.toarray() if sparse.issparse(values) else values, scale)
        found = components.vectors(source(values, scale)).numpy()
        expected = PCA(64, svd_solver="full").fit_transform(whole.reshape(len(whole), -1).astype(np.float64))
        assert found.shape == (len(whole), 64)
        np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=2e-3 * np.abs(expected).max())


def test_an_axis_without_variance_is_zero(monkeypatch):
    monkeypatch.setattr(components, "WHOLE", 0)
    values = RNG.integers(0, 255, (5, 1, 3, 3), dtype=np.uint8)
    found = components.vectors(source(values)).numpy()
    assert (found[:, 4] == 0).all()
    np.testing.assert_allclose(np.square(found).sum(), np.square(values - values.mean(axis=0)).sum(), rtol=1e-5)


@pytest.mark.parametrize("scale", SCALES)
def test_distances_of_stored_samples_are_bit_for_bit_those_of_floats(scale):
    values = RNG.integers(0, 255, (50, 3, 40, 41), dtype=np.uint8)
    held = stored.as_stored(values, scale)
    np.testing.assert_array_equal(Subsample.of(held).distances, Subsample.of(held[:]).distances)
    rows = stored.as_stored(sparse.random(50, 5000, 0.1, format="csr", random_state=0, dtype=np.float32), scale)
    np.testing.assert_array_equal(Subsample.of(rows).distances, Subsample.of(rows[:]).distances)


@pytest.mark.skipif(not Path("/proc/self/smaps").is_file(), reason="only Linux tells which pages a process has")
def test_a_mapped_file_takes_a_bounded_part_of_a_process(tmp_path, monkeypatch):
    values = RNG.integers(0, 255, (1000, 8192), dtype=np.uint8)
    np.save(tmp_path / "mapped.npy", values)
    held = stored.as_stored(np.load(tmp_path / "mapped.npy", mmap_mode="c"), "none")

    def megabytes():
        of_file = Path("/proc/self/smaps").read_text().split("mapped.npy")[1]
        return int(of_file.split("Rss:")[1].split()[0]) / 1024

    assert megabytes() > 7  # to find the limits, all were read
    monkeypatch.setattr(stored, "_MAPPED", 1 << 20)
    for some in RNG.permutation(1000).reshape(2, 500):
        np.testing.assert_array_equal(held.take(some)[:], values[some])
        assert megabytes() < 1
    np.testing.assert_array_equal(held.take(some).columns(slice(7, 4000)), values[some, 7:4000])
    assert megabytes() < 1
    for start in range(0, 1000, 10):
        np.testing.assert_array_equal(held[start : start + 10], values[start : start + 10])
    assert megabytes() < 4


def test_a_small_sparse_matrix_is_dense_and_a_large_one_is_not(tmp_path, all_stored):
    rows = sparse.random(60, 30, 0.3, format="csr", random_state=0, dtype=np.float64)
    sparse.save_npz(tmp_path / "words.npz", rows)
    held = file.load(path=str(tmp_path / "words.npz"), scale="none")
    assert held.samples.is_sparse
    np.testing.assert_allclose(held.samples[:], rows.toarray(), rtol=1e-6)


# The cache.


def made(values=None, **more):
    samples = np.arange(12, dtype=np.float32).reshape(4, 3) if values is None else values
    return Dataset(
        "mine", samples, np.array([0, 1, 1, -1]), ("a", "b"), "f" * 64, ids=np.array(["k", "l", "m", "ñ"]), **more
    )


def refused():
    raise AssertionError("it was made again")


@pytest.mark.parametrize("kind", ["floats", "bytes", "sparse"])
def test_an_entry_gives_back_what_was_made(kind):
    values = {
        "floats": None,
        "bytes": stored.as_stored(RNG.integers(0, 255, (4, 1, 2, 2), dtype=np.uint8), "standard"),
        "sparse": stored.as_stored(sparse.csr_matrix(np.eye(4, 5, dtype=np.float32)), "unit"),
    }[kind]
    data = made(
        values,
        arrays={"target": np.ones((4, 2), np.float32)},
        parts=np.array([0, 0, 1, 2], np.int8),
        feature_names=("x", "y", "z"),
        left_out=("id (texts)",),
        label_name="class",
        axes=("height",),
        notes=("so",),
        unlabelled=("-1",),
        scaling=(np.zeros(3), np.ones(3)),
    )
    prepared.prepared("k" * 64, lambda: data)
    found = prepared.prepared("k" * 64, refused)
    for name in (
        "name",
        "class_names",
        "fingerprint",
        "feature_names",
        "left_out",
        "label_name",
        "axes",
        "notes",
        "unlabelled",
    ):
        assert getattr(found, name) == getattr(data, name)
    for name in ("labels", "parts", "ids"):
        np.testing.assert_array_equal(getattr(found, name), getattr(data, name))
    np.testing.assert_array_equal(found.samples[:], data.samples[:])
    np.testing.assert_array_equal(found.arrays["target"], data.arrays["target"])
    np.testing.assert_array_equal(found.scaling, data.scaling)
    assert type(found.samples) in {np.memmap, stored.Stored}
    if kind != "floats":
        assert found.samples.limits == data.samples.limits


def test_room_is_the_file_of_the_entry(tmp_path):
    def make():
        values = prepared.room((4, 2), np.uint8)
        assert values.offset % 4096 == 0  # page by page, a file is written several times as fast
        assert isinstance(values, np.memmap)
        values[:] = [[1, 2], [3, 4], [5, 6], [7, 8]]
        return made(stored.as_stored(values, "none"))

    found = prepared.prepared("r" * 64, make)
    np.testing.assert_array_equal(found.samples[:], [[1, 2], [3, 4], [5, 6], [7, 8]])
    assert isinstance(prepared.room((2, 2), np.uint8), np.ndarray)  # outside of a preparation it is memory


def damage_about(entry):
    (entry / "about.json").write_bytes((entry / "about.json").read_bytes().replace(b"mine", b"yours"))


def cut_an_array(entry):
    content = (entry / "samples.npy").read_bytes()
    (entry / "samples.npy").write_bytes(content[:-4])


def another_version(entry):
    told = json.loads((entry / "about.json").read_bytes())
    (entry / "about.json").write_text(json.dumps({"version": 0, "files": told["files"]}))


def flip_a_bit(entry):
    content = bytearray((entry / "labels.npy").read_bytes())
    content[-3] ^= 4
    (entry / "labels.npy").write_bytes(content)


@pytest.mark.parametrize("damage", [damage_about, cut_an_array, another_version, flip_a_bit])
def test_a_damaged_entry_is_made_again(damage):
    prepared.prepared("d" * 64, made)
    damage(prepared.entries_folder() / ("d" * 64))
    calls = []
    found = prepared.prepared("d" * 64, lambda: calls.append(1) or made())
    assert calls == [1]
    np.testing.assert_array_equal(found.samples, made().samples)


SLOW = """
import os, sys, time
from pathlib import Path
import numpy as np
from core.data import prepared
from core.data.dataset import Dataset

def make():
    values = prepared.room((2, 2), np.float32)
    Path(sys.argv[1], str(os.getpid())).touch()
    time.sleep(float(sys.argv[2]))
    values[:] = 7
    return Dataset("slow", values, None, (), "s" * 64)

print(float(prepared.prepared("s" * 64, make).samples.sum()))
"""


def test_several_processes_prepare_once_and_a_killed_one_leaves_nothing_half_made(tmp_path):
    begun = [sys.executable, "-c", SLOW, str(tmp_path)]
    killed = subprocess.Popen([*begun, "600"])
    while not list(tmp_path.iterdir()):
        assert killed.poll() is None
        time.sleep(0.02)
    killed.kill()
    killed.wait()
    assert [one.name.endswith(".tmp") for one in prepared.entries_folder().iterdir() if one.is_dir()] == [True]
    both = [subprocess.Popen([*begun, "0.3"], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [one.communicate()[0] for one in both] == ["28.0\n"] * 2
    assert len(list(tmp_path.iterdir())) == 2  # the killed one, and one of the two
    assert [one.name for one in prepared.entries_folder().iterdir() if one.is_dir()] == ["s" * 64]


def test_a_mistake_in_the_data_leaves_nothing():
    def make():
        prepared.room((2, 2), np.float32)
        raise UserError("no such column")

    with pytest.raises(UserError, match="no such column"):
        prepared.prepared("m" * 64, make)
    assert [one for one in prepared.entries_folder().iterdir() if one.is_dir()] == []


def test_a_cache_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "taken"))
    with pytest.raises(UserError, match=r"cannot be kept in the cache .* set XDG_CACHE_HOME"):
        prepared.prepared("c" * 64, made)


def test_too_little_space_is_said_before_anything_is_written(monkeypatch):
    with pytest.raises(UserError, match=r"needs 4000\.0 GB for it, and .* GB are free"):
        prepared.prepared("n" * 64, lambda: made(prepared.room((10**9, 1000), np.float32)))


def test_a_finished_entry_is_read_from_a_cache_that_cannot_be_written():
    prepared.prepared("w" * 64, made)
    (prepared.entries_folder() / ("w" * 64 + ".lock")).unlink()
    (prepared.entries_folder() / ("w" * 64 + ".lock")).mkdir()  # root may write anywhere, but not to a folder
    np.testing.assert_array_equal(prepared.prepared("w" * 64, refused).samples, made().samples)


def test_an_id_that_is_not_there_is_empty():
    prepared.prepared("i" * 64, lambda: dataclasses.replace(made(), ids=np.array(["a", None, "c", 7], object)))
    assert prepared.prepared("i" * 64, refused).ids.tolist() == ["a", "", "c", "7"]


def test_data_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "mine.npy"
    np.save(path, RNG.normal(size=(40, 5)))
    load = file._load

    def slow(*given, **named):
        np.save(path, RNG.normal(size=(40, 6)))
        return load(*given, **named)

    monkeypatch.setattr(file, "_load", slow)
    monkeypatch.setattr(file, "_SMALL", 0)
    with pytest.raises(UserError, match="changed while it was read"):
        file.load(path=str(path))
    assert prepared.entries(prepared.entries_folder()) == []


def test_a_word_that_is_unset_for_one_option_is_a_value_of_another(tmp_path):
    np.savez(tmp_path / "mine.npz", refuse=RNG.normal(size=(9, 2)), other=RNG.normal(size=(9, 2)))
    path = str(tmp_path / "mine.npz")
    assert file.fingerprint(path=path, id="refuse") != file.fingerprint(path=path)


def test_the_space_of_an_array_is_taken_from_the_disk_at_once(tmp_path):
    def make():
        whole = prepared.room((1000, 1000), np.uint8)
        assert Path(whole.filename).stat().st_blocks * 512 >= whole.nbytes
        return made(stored.as_stored(whole, "none"), arrays={})

    prepared.prepared("t" * 64, make)


def test_entries_used_longest_ago_go_first(monkeypatch):
    for place, key in enumerate("abc"):
        prepared.prepared(key * 64, made)
        entry = prepared.entries_folder() / (key * 64)
        os.utime(entry, (1000 + place, 1000 + place))
    prepared.prepared("a" * 64, refused)  # its use counts
    size = prepared.size_of(prepared.entries_folder() / ("a" * 64))
    monkeypatch.setenv("CONCLUS_CACHE_GB", str(3.5 * size / 1e9))
    prepared.prepared("e" * 64, made)
    left = {one.name[0] for one in prepared.entries(prepared.entries_folder())}
    assert left == {"c", "a", "e"}


@pytest.mark.parametrize("written", ["many", "-1", "nan", "0"])
def test_a_wrong_bound_of_the_cache_is_refused(monkeypatch, written):
    monkeypatch.setenv("CONCLUS_CACHE_GB", written)
    with pytest.raises(UserError, match="CONCLUS_CACHE_GB"):
        prepared.bound()


def test_progress_is_told_to_who_watches():
    heard = []
    with told.watched(lambda *one: heard.append(one)):
        told.told("decoding", 1, 2)
    told.told("decoding", 2, 2)
    assert heard == [("decoding", 1, 2)]


def test_files_are_prepared_into_the_cache_from_a_few_megabytes_on(tmp_path, monkeypatch):
    np.save(tmp_path / "mine.npy", RNG.normal(size=(40, 5)))
    small = file.load(path=str(tmp_path / "mine.npy"))
    assert not prepared.entries(prepared.entries_folder())
    monkeypatch.setattr(file, "_SMALL", 0)
    kept = file.load(path=str(tmp_path / "mine.npy"))
    assert isinstance(kept.samples, np.memmap)
    np.testing.assert_array_equal(small.samples, kept.samples)
    monkeypatch.setattr("core.formats.arrays.read", refused)
    assert file.load(path=str(tmp_path / "mine.npy")).fingerprint == small.fingerprint
    (tmp_path / "mine.npy").rename(tmp_path / "yours.npy")
    assert file.load(path=str(tmp_path / "yours.npy")).name == "yours"


# The estimator.


def two_groups(values):
    values[: len(values) // 2, :5] += 60
    return values


@pytest.mark.parametrize("image_shape", [None, (1, 6, 5)])
def test_the_estimator_takes_many_bytes_as_they_are(monkeypatch, image_shape):
    table = two_groups(RNG.integers(0, 190, (80, 30), dtype=np.uint8))
    options = {"n_clusters": 2, "epochs": 3, "random_state": 0, "image_shape": image_shape, "scale": "unit"}
    floats = ContrastiveClustering(**options).fit(table)
    monkeypatch.setattr(stored, "FEW", 0)
    as_they_are = ContrastiveClustering(**options).fit(table)
    assert floats.history_ == as_they_are.history_
    np.testing.assert_array_equal(floats.labels_, as_they_are.labels_)
    np.testing.assert_array_equal(floats.predict_proba(table[:7]), as_they_are.predict_proba(table[:7]))


def test_the_estimator_takes_a_sparse_matrix(monkeypatch):
    table = sparse.random(80, 30, 0.2, format="csr", random_state=0)
    dense = ContrastiveClustering(2, epochs=2, random_state=0).fit(table.toarray())
    small = ContrastiveClustering(2, epochs=2, random_state=0).fit(table.tocoo())
    assert dense.history_ == small.history_
    monkeypatch.setattr(stored, "WHOLE", 0)
    large = ContrastiveClustering(2, epochs=2, random_state=0).fit(table)
    np.testing.assert_allclose(dense.transform(table.toarray()), large.transform(table), atol=1e-3)
    with pytest.raises(ValueError, match="sparse matrix, and images are dense"):
        ContrastiveClustering(2, image_shape=(1, 6, 5)).fit(table)
