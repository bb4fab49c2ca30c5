"""Data sets: what they hold, how they are scaled, and how their content is known again."""

import gzip
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from core.data import dataset as data
from core.data.dataset import Dataset, content_hash
from core.data.labels import encode_labels
from core.data.scaling import scaled
from core.datasets import digits, fashion_mnist, file
from core.errors import UserError
from core.formats.catalog import find_named

GRID = np.arange(24.0).reshape(6, 4)
HEAVY = {"numpy", "sklearn", "scipy", "torch", "pyarrow", "pandas", "gzip", "zipfile"}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CONCLUS_DATA", raising=False)
    monkeypatch.setattr(fashion_mnist, "_DEBIAN", tmp_path / "no package")
    # A file written by a test was changed just now: without this nothing would be kept.
    monkeypatch.setattr(data, "_SETTLED_NS", -1_000_000_000)
    return tmp_path / "cache" / "conclus" / "fingerprints"


def saved(path, array=GRID, **arrays):
    np.savez(path, X=array, **arrays)
    return str(path)


def write_idx(folder, part, count, pack=False):
    folder.mkdir(parents=True, exist_ok=True)
    images = np.random.default_rng(count).integers(0, 256, (count, 28, 28), dtype=np.uint8)
    for name, array in (("images-idx3", images), ("labels-idx1", np.arange(count, dtype=np.uint8) % 10)):
        head = bytes([0, 0, 8, array.ndim]) + b"".join(d.to_bytes(4, "big") for d in array.shape)
        content = head + array.tobytes()
        target = folder / f"{part}-{name}-ubyte{'.gz' * pack}"
        target.write_bytes(gzip.compress(content, mtime=count) if pack else content)
    return images


def fashion(folder, pack=False):
    return np.concatenate([write_idx(folder, "train", 12, pack), write_idx(folder, "t10k", 10, pack)])


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    theirs, ours = load_digits(), digits.load()
    assert ours.sample_shape == (1, 8, 8)
    np.testing.assert_array_equal(ours.samples[:, 0] * 16, theirs.images)
    np.testing.assert_array_equal(ours.labels, theirs.target)
    assert (ours.n_samples, ours.n_classes, ours.class_names[3]) == (1797, 10, "3")
    assert ours.fingerprint == digits.fingerprint()


@pytest.mark.parametrize("pack", [False, True])
def test_fashion_mnist_is_train_then_test_in_zero_to_one(tmp_path, pack):
    images = fashion(tmp_path / "idx", pack)
    path = str(tmp_path / "idx")
    both = fashion_mnist.load(path=path)
    np.testing.assert_allclose(both.samples[:, 0], images / 255, rtol=1e-6)
    assert (both.n_samples, both.sample_shape, both.n_classes) == (22, (1, 28, 28), 10)
    assert both.class_names[9] == "Ankle boot"
    assert fashion_mnist.load(path=path, split="train").n_samples == 12
    np.testing.assert_array_equal(fashion_mnist.load(path=path, split="test").samples, both.samples[12:])


def test_fashion_mnist_is_the_same_packed_or_not(tmp_path):
    fashion(tmp_path / "plain")
    fashion(tmp_path / "packed", pack=True)
    plain, packed = (fashion_mnist.fingerprint(path=str(tmp_path / name)) for name in ("plain", "packed"))
    assert plain == packed
    splits = {fashion_mnist.fingerprint(path=str(tmp_path / "plain"), split=s) for s in ("all", "train", "test")}
    assert len(splits) == 3


def test_fashion_mnist_has_as_many_labels_as_images_in_each_part(tmp_path):
    fashion(tmp_path)
    for part, other in (("train", 11), ("t10k", 11)):
        write_idx(tmp_path / "other", part, other)
        name = f"{part}-labels-idx1-ubyte"
        (tmp_path / "other" / name).replace(tmp_path / name)
    with pytest.raises(UserError, match=r"train-labels-idx1-ubyte: the labels have the shape \(11,\)"):
        fashion_mnist.load(path=str(tmp_path))


def test_fashion_mnist_is_sought_in_the_data_folder_then_in_the_package(tmp_path, monkeypatch):
    package, named = tmp_path / "package", tmp_path / "named" / "fashion-mnist"
    fashion(package)
    monkeypatch.setattr(fashion_mnist, "_DEBIAN", package)
    assert fashion_mnist.load(split="train").n_samples == 12
    monkeypatch.setenv("CONCLUS_DATA", str(named.parent))
    assert fashion_mnist.load(split="train").n_samples == 12
    write_idx(named, "train", 11)
    assert fashion_mnist.load(split="train").n_samples == 11


def fake_torchvision(monkeypatch, download):
    module, datasets = types.ModuleType("torchvision"), types.ModuleType("torchvision.datasets")
    module.__spec__ = types.SimpleNamespace(origin="fake")
    datasets.FashionMNIST = download
    monkeypatch.setitem(sys.modules, "torchvision", module)
    monkeypatch.setitem(sys.modules, "torchvision.datasets", datasets)


def test_fashion_mnist_is_downloaded_once_by_torchvision(monkeypatch, cache):
    roots = []

    def download(root, download):
        roots.append(root)
        fashion(Path(root) / "FashionMNIST" / "raw")

    fake_torchvision(monkeypatch, download)
    assert fashion_mnist.load().fingerprint == fashion_mnist.fingerprint()
    assert roots == [str(cache.parent / "torchvision")]


def test_a_failed_download_is_a_sentence(monkeypatch):
    def download(root, download):
        raise OSError("no network")

    fake_torchvision(monkeypatch, download)
    with pytest.raises(UserError, match=r"torchvision cannot download it \(no network\): give `path`"):
        fashion_mnist.fingerprint()


def test_without_any_source_the_three_ways_are_listed(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setattr(fashion_mnist.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"dataset-fashion-mnist.*torchvision.*CONCLUS_DATA"):
        fashion_mnist.load()


def test_an_unknown_split_is_refused(tmp_path):
    with pytest.raises(UserError, match="use all, train, test"):
        fashion_mnist.load(split="dev", path=str(tmp_path))


def test_digits_without_scikit_learn_say_what_to_install(monkeypatch):
    monkeypatch.setattr(digits.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match="scikit-learn, which is not installed"):
        digits.fingerprint()


@pytest.mark.parametrize("labels", [None, "none"])
def test_without_labels_there_are_no_classes(tmp_path, labels):
    loaded = file.load(path=saved(tmp_path / "a.npz", **({} if labels is None else {"y": GRID[:, 0]})), labels=labels)
    assert (loaded.labels, loaded.n_classes, loaded.class_names) == (None, None, ())


def test_class_names_in_the_file_are_used(tmp_path):
    path = saved(tmp_path / "a.npz", y=np.array([2, 0, 2, 0, 2, 0]), label_names=np.array(["ant", "bee", "cat"]))
    loaded = file.load(path=path)
    assert (loaded.class_names, loaded.labels.tolist()) == (("ant", "cat"), [1, 0, 1, 0, 1, 0])


@pytest.mark.parametrize(
    ("raw", "labels", "names"),
    [
        ([5, 3, 5], [1, 0, 1], ("3", "5")),
        ([1.0, 0.0, 1.0], [1, 0, 1], ("0", "1")),
        ([True, False, True], [1, 0, 1], ("False", "True")),
        (["b", "a", "b"], [1, 0, 1], ("a", "b")),
        ([b"b", b"a", b"\xff"], [1, 0, 2], ("a", "b", "\ufffd")),
        ([[4], [2], [2]], [1, 0, 0], ("2", "4")),
        ([-1, 0, 7], [0, 1, 2], ("-1", "0", "7")),
    ],
)
def test_labels_are_numbered_in_sorted_order(raw, labels, names):
    codes, classes = encode_labels(np.array(raw), 3, "here")
    assert (codes.tolist(), codes.dtype, classes) == (labels, np.int64, names)


@pytest.mark.parametrize(
    ("stored", "options", "expected"),
    [
        ((5, 7), {}, (7,)),
        ((5, 6, 7), {}, (1, 6, 7)),
        ((5, 3, 6, 7), {}, (3, 6, 7)),
        ((5, 6, 7, 3), {}, (3, 6, 7)),
        ((5, 6, 7, 1), {}, (1, 6, 7)),
        ((5, 6, 7, 4), {}, (4, 6, 7)),
        ((5, 6, 7, 2), {"layout": "nchw"}, (6, 7, 2)),
        ((5, 6, 7, 2), {"layout": "nhwc"}, (2, 6, 7)),
        ((5, 3, 6, 3), {"layout": "nchw"}, (3, 6, 3)),
        ((5, 6, 7), {"layout": "hwc"}, (7,)),
        ((5, 6, 7), {"layout": "chw"}, (5,)),
        ((5, 7), {"layout": "fn"}, (5,)),
        ((5, 12), {"shape": (3, 2, 2)}, (3, 2, 2)),
        ((5, 30), {"shape": (5, 2, 3)}, (3, 5, 2)),
        ((5, 12), {"shape": [3, 4]}, (1, 3, 4)),
        ((5, 2, 6), {"shape": (12,)}, (12,)),
    ],
)
def test_samples_are_vectors_or_channels_first(tmp_path, stored, options, expected):
    samples = np.random.default_rng(0).normal(size=stored)
    loaded = file.load(path=saved(tmp_path / "a.npz", samples), **options)
    assert loaded.sample_shape == expected
    assert loaded.samples.flags.c_contiguous
    assert loaded.samples.flags.writeable
    assert loaded.samples.dtype == np.float32


def test_channels_last_moves_values_with_their_pixels(tmp_path):
    samples = np.random.default_rng(0).normal(size=(5, 6, 7, 3))
    loaded = file.load(path=saved(tmp_path / "a.npz", samples), scale="none")
    np.testing.assert_array_equal(loaded.samples[2, 1], samples[2, :, :, 1].astype(np.float32))


def test_auto_standardises_vectors_and_maps_images_to_zero_to_one():
    np.testing.assert_array_equal(scaled(GRID, "auto"), scaled(GRID, "standard"))
    images = GRID.reshape(6, 1, 2, 2)
    np.testing.assert_array_equal(scaled(images, "auto"), scaled(images, "unit"))
    assert (scaled(images, "unit").min(), scaled(images, "unit").max()) == (0, 1)


@pytest.mark.parametrize("dtype", ["u1", "i2", "i8", ">i4", "f2", "f4", ">f4", "f8", "?"])
def test_standard_is_that_of_scikit_learn(dtype):
    from sklearn.preprocessing import StandardScaler

    samples = (np.random.default_rng(0).normal(size=(200, 5)) * 50 + 60).clip(0, 120).astype(dtype)
    expected = StandardScaler().fit_transform(samples.astype("f8"))
    np.testing.assert_allclose(scaled(samples, "standard"), expected, atol=2e-5)


def test_standard_of_images_is_by_channel():
    samples = np.random.default_rng(0).normal(size=(9, 3, 4, 4)) * np.array([1, 50, 900])[:, None, None]
    standard = scaled(samples, "standard")
    np.testing.assert_allclose(standard.mean(axis=(0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(standard.std(axis=(0, 2, 3)), 1, atol=1e-5)


@pytest.mark.parametrize("scale", ["auto", "standard", "unit", "none"])
def test_scaling_leaves_what_it_was_given(scale):
    samples = GRID.astype(np.float32)
    scaled(samples, scale)
    np.testing.assert_array_equal(samples, GRID)


def test_a_dataset_cannot_be_changed():
    dataset = Dataset("a", GRID.astype("f4"), None, (), "x")
    with pytest.raises(AttributeError):
        dataset.name = "b"


def test_a_fingerprint_is_of_the_content_alone(tmp_path):
    (tmp_path / "sub").mkdir()
    first, other = tmp_path / "a.npz", tmp_path / "sub" / "b.npz"
    before = file.fingerprint(path=saved(first))
    other.write_bytes(first.read_bytes())
    os.utime(other, (1, 1))
    assert file.fingerprint(path=str(other)) == before
    assert file.load(path=str(other)).fingerprint == before
    saved(first, GRID + 1)
    assert file.fingerprint(path=str(first)) != before


@pytest.mark.parametrize(
    "options", [{"features": "X"}, {"labels": "none"}, {"scale": "unit"}, {"shape": (2, 2)}, {"shape": (4, 1)}]
)
def test_options_that_change_what_is_read_change_the_fingerprint(tmp_path, options):
    path = saved(tmp_path / "a.npz")
    assert file.fingerprint(path=path, **options) != file.fingerprint(path=path)
    assert file.load(path=path, **options).fingerprint == file.fingerprint(path=path, **options)


def test_a_format_that_reads_the_same_bytes_otherwise_changes_the_fingerprint(tmp_path):
    for name in ("a.csv", "a.tsv"):
        (tmp_path / name).write_text("1\n2\n")
    assert file.fingerprint(path=str(tmp_path / "a.csv")) != file.fingerprint(path=str(tmp_path / "a.tsv"))


def test_a_shape_is_the_same_as_list_or_tuple(tmp_path):
    path = saved(tmp_path / "a.npz")
    assert file.fingerprint(path=path, shape=[2, 2]) == file.fingerprint(path=path, shape=(2, 2))


def test_a_fingerprint_of_a_folder_is_of_its_files_in_order(tmp_path):
    folder = tmp_path / "parts"
    folder.mkdir()
    for name, array in (("a", GRID), ("b", GRID + 1)):
        np.save(folder / f"{name}.npy", array)
    before = file.fingerprint(path=str(folder))
    (folder / "notes.txt").write_text("no data")
    assert file.fingerprint(path=str(folder)) == before
    (folder / "a.npy").rename(folder / "c.npy")
    assert file.fingerprint(path=str(folder)) != before


def test_a_hash_is_kept_until_the_file_changes(tmp_path, cache, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("one")
    first = content_hash(path)
    assert [json.loads(entry.read_text())["sha256"] for entry in cache.iterdir()] == [first]
    with monkeypatch.context() as patch:
        patch.setattr(data, "_hashed", lambda _: pytest.fail("it was hashed again"))
        assert content_hash(path) == first
    path.write_text("two")
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    assert content_hash(path) != first


def test_a_restored_time_does_not_hide_a_change(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one")
    stat, first = path.stat(), content_hash(path)
    path.write_text("two")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_mtime_ns == stat.st_mtime_ns
    assert content_hash(path) != first


def test_a_hash_of_a_file_that_changed_meanwhile_is_not_kept(tmp_path, cache, monkeypatch):
    def hashed(path):
        path.write_text("longer")
        return "of which?"

    (tmp_path / "a.txt").write_text("one")
    monkeypatch.setattr(data, "_hashed", hashed)
    content_hash(tmp_path / "a.txt")
    assert not cache.exists()


def test_a_hash_of_a_file_just_written_is_not_kept(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(data, "_SETTLED_NS", 10**12)
    (tmp_path / "a.txt").write_text("one")
    content_hash(tmp_path / "a.txt")
    assert not cache.exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"state": 3}', "\x00"])
def test_a_damaged_cache_is_not_believed(tmp_path, cache, content):
    path = tmp_path / "a.txt"
    path.write_text("one")
    first = content_hash(path)
    for entry in cache.iterdir():
        entry.write_text(content)
    assert content_hash(path) == first


def test_without_a_cache_folder_nothing_is_said(tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("a file where the folder would be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "taken"))
    (tmp_path / "a.txt").write_text("one")
    assert content_hash(tmp_path / "a.txt") == content_hash(tmp_path / "a.txt")


@pytest.mark.parametrize("name", ["a.txt.gz", "gone.txt", "."])
def test_what_cannot_be_hashed_is_a_sentence(tmp_path, name):
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"some text")[:-6])
    with pytest.raises(UserError, match="cannot be read"):
        content_hash(tmp_path / name)


def test_fingerprints_import_nothing_heavy(tmp_path):
    saved(tmp_path / "a.npz")
    code = (
        "import sys; from core.datasets import digits, fashion_mnist, file; from core.formats import catalog;"
        f"file.fingerprint(path={str(tmp_path / 'a.npz')!r}); catalog.find_named('a');"
        f"print(*sorted({HEAVY - {'gzip', 'zipfile'}!r} & sys.modules.keys())); digits.fingerprint();"
        f"print(*sorted({HEAVY - {'gzip', 'zipfile'}!r} & sys.modules.keys()))"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_names_are_those_of_files_in_the_folder_and_one_below(tmp_path, monkeypatch):
    monkeypatch.setenv("CONCLUS_DATA", str(tmp_path))
    (tmp_path / "emb" / "deep").mkdir(parents=True)
    for name in ("top.csv", "emb/bank_ing.npz", "emb/deep/hidden.npz", "emb/.part.npz", "emb/read.me"):
        (tmp_path / name).write_text("")
    assert find_named("top") == tmp_path / "top.csv"
    assert find_named("bank-ing") == find_named("bank_ing") == tmp_path / "emb" / "bank_ing.npz"
    assert [find_named(name) for name in ("hidden", ".part", "read", "emb/bank_ing", "deep")] == [None] * 5


def test_two_files_of_one_name_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("CONCLUS_DATA", str(tmp_path))
    for name in ("a.csv", "a.npz"):
        (tmp_path / name).write_text("")
    with pytest.raises(UserError, match=r"several files are named 'a': .*a\.csv, .*a\.npz"):
        find_named("a")


@pytest.mark.parametrize("value", [None, "", "no/such/folder"])
def test_without_a_data_folder_there_are_no_names(monkeypatch, value):
    if value is not None:
        monkeypatch.setenv("CONCLUS_DATA", value)
    assert find_named("a") is None
