"""Oddities of array files and well-known sets beyond the rows of docs/data-formats.md."""

import gzip
import inspect
import io
import json
import os
import pickle
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io.matlab
from PIL import Image
from scipy import sparse
from scipy.io import savemat

from core.data.columns import Wanted
from core.data.stored import Records, Stored
from core.datasets import fashion_mnist, file, torchvision
from core.errors import UserError
from core.formats import known_sets, mat
from core.formats import registry as formats
from tests.core import array_kinds as made

RNG = np.random.default_rng(1)
GRID = RNG.normal(size=(6, 4))
CODES = np.array([1, 2, 1, 3, 2, 1])


def loaded(path, **options):
    return file.load(path=str(path), **{"scale": "none", **options})


def refusal(path, **options):
    with pytest.raises(UserError) as caught:
        loaded(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def classes(data):
    return [data.class_names[code] if code >= 0 else None for code in data.labels]


# .mat


HOT = np.eye(3)[CODES - 1]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (CODES.astype(float), "121321"),
        (CODES[:, None].astype(np.uint8), "121321"),
        (HOT, "010210"),
        (HOT.T, "010210"),
        (2 * HOT - 1, "010210"),
        (np.array(list("abacba"), dtype=object), "abacba"),
        (np.array(list("abacba"), dtype=object)[:, None], "abacba"),
        (np.array(list("abacba")), "abacba"),
    ],
    ids=["row", "column", "one-hot", "one-hot by samples", "one of -1 and 1", "cell", "column of cells", "char matrix"],
)
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("compressed", [False, True])
def test_labels_of_matlab(tmp_path, labels, expected, turned, compressed):
    samples = GRID.T if turned else GRID
    savemat(tmp_path / "a.mat", {"X": samples, "Y": labels}, do_compression=compressed)
    data = loaded(tmp_path / "a.mat")
    np.testing.assert_array_equal(data.samples, GRID.astype(np.float32))
    assert classes(data) == list(expected)
    assert any("`layout: fn`" in note for note in data.notes) == turned


def test_what_a_struct_and_sparse_columns_hold_is_found(tmp_path):
    words = sparse.random(6, 5, 0.5, "csc", random_state=0)
    savemat(tmp_path / "a.mat", {"data": {"X": words, "gt": CODES}, "note": "made by hand", "n": 6.0})
    data = loaded(tmp_path / "a.mat")
    np.testing.assert_array_equal(data.samples, words.toarray().astype(np.float32))
    assert data.label_name == "data/gt"
    assert "the sparse matrix is stored as CSC, and was brought to rows (CSR)" in data.notes


def test_a_sparse_matrix_of_features_by_samples_is_turned(tmp_path):
    words = sparse.random(5, 6, 0.5, "csc", random_state=0)
    savemat(tmp_path / "a.mat", {"X": words, "Y": CODES})
    np.testing.assert_array_equal(loaded(tmp_path / "a.mat").samples, words.toarray().T.astype(np.float32))


def test_version_4_is_read(tmp_path):
    savemat(tmp_path / "a.mat", {"fea": GRID, "gnd": CODES.astype(float)}, format="4")
    data = loaded(tmp_path / "a.mat")
    np.testing.assert_array_equal(data.samples, GRID.astype(np.float32))
    assert classes(data) == list("121321")


@pytest.mark.parametrize("names", [("X1", "X2"), ("X_0", "X_1"), ("view2", "view10")])
def test_numbered_arrays_are_views(tmp_path, names):
    savemat(tmp_path / "a.mat", {names[1]: GRID[:, :3], names[0]: GRID, "Y": CODES})
    assert f"`view: view0` (view0 is {names[0]} (6, 4), view1 is {names[1]} (6, 3))" in refusal(tmp_path / "a.mat")
    assert loaded(tmp_path / "a.mat", view="view0").sample_shape == (4,)
    assert loaded(tmp_path / "a.mat", view="view1").sample_shape == (3,)
    assert "`view: view2` is none of them" in refusal(tmp_path / "a.mat", view="view2")
    assert loaded(tmp_path / "a.mat", features=names[1]).sample_shape == (3,)


def test_a_cell_of_views_of_version_5(tmp_path):
    cell = np.empty((1, 2), dtype=object)
    cell[0, 0], cell[0, 1] = GRID.T, GRID[:, :3].T
    savemat(tmp_path / "a.mat", {"X": cell, "gt": CODES})
    np.testing.assert_array_equal(loaded(tmp_path / "a.mat", view="view1").samples, GRID[:, :3].astype(np.float32))


def matlab_7_3(path, **arrays):
    """As MATLAB saves with -v7.3: axes in the opposite order, texts as UTF-16, a sparse matrix as a group."""
    with h5py.File(path, "w", userblock_size=512) as root:
        for name, value in arrays.items():
            if sparse.issparse(value):
                group = root.create_group(name)
                group.attrs["MATLAB_sparse"] = np.uint64(value.shape[0])
                group["data"], group["ir"], group["jc"] = value.data, value.indices, value.indptr
                kind, node = "double", group
            elif isinstance(value, list):
                cell = root.create_dataset(name, (1, len(value)), h5py.ref_dtype)
                for place, text in enumerate(value):
                    one = root.create_dataset(
                        f"#refs#/{name}{place}", data=np.array([*map(ord, text)], np.uint16)[:, None]
                    )
                    one.attrs["MATLAB_class"] = np.bytes_("char")
                    cell[0, place] = one.ref
                kind, node = "cell", cell
            else:
                kind, node = "double", root.create_dataset(name, data=np.atleast_2d(value).T)
            node.attrs["MATLAB_class"] = np.bytes_(kind)


def test_sparse_columns_and_texts_of_version_7_3(tmp_path):
    words = sparse.random(6, 5, 0.5, "csc", random_state=0)
    matlab_7_3(tmp_path / "a.mat", X=words, gnd=[*"äbäcbä"])
    data = loaded(tmp_path / "a.mat")
    np.testing.assert_array_equal(data.samples, words.toarray().astype(np.float32))
    assert classes(data) == list("äbäcbä")


def test_a_cell_that_holds_itself_has_no_end_and_is_left(tmp_path):
    with h5py.File(tmp_path / "a.mat", "w") as root:
        cell = root.create_dataset("X", (1, 2), h5py.ref_dtype)
        cell.attrs["MATLAB_class"] = np.bytes_("cell")
        cell[0, 0] = cell[0, 1] = cell.ref
    assert "no array in it" in refusal(tmp_path / "a.mat")


def test_without_labels_the_samples_of_matlab_are_rows_or_told(tmp_path):
    savemat(tmp_path / "a.mat", {"X": GRID})
    data = loaded(tmp_path / "a.mat")
    assert data.samples.shape == (6, 4)
    assert any("`layout: fn`" in note for note in data.notes)
    savemat(tmp_path / "b.mat", {"X": RNG.random((5, 6, 7))})
    assert "`layout: nhw`" in refusal(tmp_path / "b.mat")
    assert loaded(tmp_path / "b.mat", layout="hwn").samples.shape == (7, 1, 5, 6)
    savemat(tmp_path / "c.mat", {"X": RNG.random((5, 6, 3, 9))})
    assert loaded(tmp_path / "c.mat").samples.shape == (9, 3, 5, 6)


@pytest.mark.parametrize("at", [132, 136, 144, 152])
def test_a_tag_of_matlab_that_lies_is_refused_before_scipy_believes_it(tmp_path, at):
    savemat(tmp_path / "a.mat", {"X": GRID, "Y": CODES})
    content = bytearray((tmp_path / "a.mat").read_bytes())
    content[at] = 0xFF
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(ValueError, match="byte"):
        mat.read(tmp_path / "a.mat", Wanted())
    assert "cannot be read as .mat" in refusal(tmp_path / "a.mat")


def test_no_file_that_matlab_wrote_is_taken_for_damaged():
    """The files of scipy's own tests: of versions 4 to 7.4 of MATLAB, of machines of either byte order."""
    folder = Path(scipy.io.matlab.__file__).parent / "tests" / "data"
    read = 0
    for path in sorted(folder.glob("test*_[4-7].*_*.mat")):
        with mat.contents(path) as held:
            assert [held.read(key) is not None for key in held.heads].count(False) == 0, path.name
            read += 1
    if not folder.is_dir():
        pytest.skip("scipy is installed without the files of its tests")
    assert read > 50


# Two parts


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("trainX", "trainY", "testX", "testY"),
        ("train/data", "train/labels", "test/data", "test/labels"),
        ("X_training", "y_training", "X_testing", "y_testing"),
    ],
)
@pytest.mark.parametrize("suffix", [".npz", ".h5", ".mat"])
def test_parts_for_training_and_testing_are_joined_or_chosen(tmp_path, names, suffix):
    if suffix == ".mat" and "/" in names[0]:
        arrays = {
            "train": {"data": GRID[:4, :3], "labels": CODES[:4]},
            "test": {"data": GRID[4:, :3], "labels": CODES[4:]},
        }
    else:
        arrays = dict(zip(names, (GRID[:4, :3], CODES[:4], GRID[4:, :3], CODES[4:]), strict=True))
    path = tmp_path / f"a{suffix}"
    if suffix == ".npz":
        np.savez(path, **arrays)
    elif suffix == ".mat":
        savemat(path, arrays)
    else:
        with h5py.File(path, "w") as root:
            for name, array in arrays.items():
                root[name] = array
    data = loaded(path)
    np.testing.assert_array_equal(data.samples, GRID[:, :3].astype(np.float32))
    assert classes(data) == list("121321")
    assert "the samples are 4 of train and 2 of test (`split`)" in data.notes
    assert classes(loaded(path, split="test")) == list("21")
    assert classes(loaded(path, split="train")) == list("1213")


def test_a_split_is_refused_where_there_are_no_parts(tmp_path):
    np.savez(tmp_path / "a.npz", X=GRID, y=CODES, train_mask=CODES > 1, test_mask=CODES < 2)
    assert loaded(tmp_path / "a.npz").samples.shape == (6, 4)
    assert "`split: train`: it has no two parts" in refusal(tmp_path / "a.npz", split="train")


def test_parts_of_which_one_has_other_features_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=GRID, x_test=GRID[:, :3])
    assert "shapes (6, 4) and (6, 3) in train and test: choose a `split`" in refusal(tmp_path / "a.npz")


# .h5


def test_values_in_other_files_are_not_read(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as root:
        root["X"] = GRID
    with h5py.File(tmp_path / "a.h5", "w") as root:
        root["X"] = h5py.ExternalLink("other.h5", "X")
        root["soft"] = h5py.SoftLink("/X")
    assert "no array in it" in refusal(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5", "w") as root:
        layout = h5py.VirtualLayout((6, 4), "f8")
        layout[:] = h5py.VirtualSource("other.h5", "X", (6, 4))
        root.create_virtual_dataset("X", layout)
    assert "the values of /X lie in other files" in refusal(tmp_path / "b.h5")
    GRID.tofile(tmp_path / "raw")
    with h5py.File(tmp_path / "c.h5", "w") as root:
        root.create_dataset("X", (6, 4), "f8", external=[("raw", 0, GRID.nbytes)])
    assert "the values of /X lie in other files" in refusal(tmp_path / "c.h5")


def test_a_group_that_holds_itself_has_an_end(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as root:
        root["a/X"] = GRID
        root["a/a"] = root["a"]
    assert "several arrays could be the samples" in refusal(tmp_path / "a.h5")
    assert loaded(tmp_path / "a.h5", features="a/X").samples.shape == (6, 4)


def test_ids_and_texts_of_hdf5(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as root:
        root["features"] = GRID
        root["label"] = np.array(list("abacba"), dtype=h5py.string_dtype())
        root["name"] = np.array([f"n{place}" for place in range(6)], dtype="S4")
    data = loaded(tmp_path / "a.h5")
    assert classes(data) == list("abacba")
    assert data.ids.tolist() == [f"n{place}" for place in range(6)]


@pytest.mark.parametrize("kind", [np.uint8, np.float16, np.float64])
def test_a_large_array_is_read_in_blocks_into_the_cache(tmp_path, monkeypatch, kind):
    monkeypatch.setattr("core.data.prepared.FEW", 50)
    monkeypatch.setattr("core.data.stored.FEW", 50)
    monkeypatch.setattr("core.data.prepared._AT_ONCE", 64)
    monkeypatch.setattr("core.datasets.file._SMALL", 0)
    images = RNG.integers(0, 255, (11, 8, 8, 3)).astype(kind)
    with h5py.File(tmp_path / "a.h5", "w") as root:
        root.create_dataset("images", data=images, chunks=(2, 8, 8, 3), compression="gzip")
    data = loaded(tmp_path / "a.h5")
    assert data.axes == ("height", "width", "channels")
    assert isinstance(data.samples, Stored) == (kind is not np.float64)
    assert isinstance(data.samples.values if kind is not np.float64 else data.samples, np.memmap)
    np.testing.assert_array_equal(data.samples[:], images.transpose(0, 3, 1, 2).astype(np.float32))


def test_several_large_files_of_a_folder_are_joined(tmp_path, monkeypatch):
    monkeypatch.setattr("core.data.prepared.FEW", 10)
    monkeypatch.setattr("core.datasets.file._SMALL", 0)
    images = RNG.integers(0, 255, (9, 20)).astype(np.uint8)
    (tmp_path / "shards").mkdir()
    for place in range(3):
        with h5py.File(tmp_path / "shards" / f"{place}.h5", "w") as root:
            root["X"] = images[3 * place : 3 * place + 3]
    np.testing.assert_array_equal(loaded(tmp_path / "shards").samples[:], images.astype(np.float32))


# .h5ad


def test_a_large_sparse_matrix_stays_sparse_from_the_file_to_the_rows(tmp_path, monkeypatch):
    for module in ("data.stored", "data.prepared", "formats.arrays", "formats.hdf5"):
        monkeypatch.setattr(f"core.{module}.WHOLE", 10)
    monkeypatch.setattr("core.datasets.file._SMALL", 0)
    made.bag(tmp_path)
    made.h5ad(tmp_path, made.COUNTS.tocsc().astype(np.int64))
    for name in ("words.npz", "cells.h5ad"):
        data = loaded(tmp_path / name, scale="standard")
        assert isinstance(data.samples, Stored)
        assert data.samples.is_sparse
        made.standard(data, made.COUNTS.toarray())
        assert "the sparse matrix is stored as CSC, and was brought to rows (CSR)" in data.notes
    logged = loaded(tmp_path / "cells.h5ad", log1p=True, top_genes=3).samples
    assert logged.is_sparse
    assert logged.values.dtype == np.float32
    assert logged.shape == (made.N, 3)
    dense = np.log1p(made.COUNTS.toarray())
    kept = np.sort(np.argsort(-dense.astype(float).var(axis=0), kind="stable")[:3])
    np.testing.assert_allclose(logged[:], dense[:, kept], atol=1e-6)


def test_the_largest_variances_do_not_depend_on_how_the_matrix_is_stored(tmp_path, monkeypatch):
    monkeypatch.setattr("core.formats.hdf5._AT_ONCE", 7)
    made.h5ad(tmp_path)
    with h5py.File(tmp_path / "cells.h5ad", "a") as root:
        root["layers/dense"] = made.COUNTS.toarray() + 100
        root["layers/doubles"] = made.COUNTS.toarray().astype(np.float64)
    names = [
        loaded(tmp_path / "cells.h5ad", top_genes=5, features=path).feature_names
        for path in ("X", "layers/dense", "layers/doubles")
    ]
    assert names[0] == names[1] == names[2]


def test_matrices_of_a_file_of_cells_are_named(tmp_path):
    made.h5ad(tmp_path)
    pca = RNG.normal(size=(made.N, 4))
    with h5py.File(tmp_path / "cells.h5ad", "a") as root:
        root["obsm/X_pca"] = pca
        root["uns/log1p/base"] = 0
        root["layers/counts"] = made.COUNTS.toarray().astype(np.uint8)
    path = tmp_path / "cells.h5ad"
    np.testing.assert_array_equal(loaded(path, features="obsm/X_pca").samples, pca.astype(np.float32))
    assert loaded(path, features="obsm/X_pca").feature_names == ()
    assert "name one of X, layers/counts, obsm/X_pca" in refusal(path, features="counts")
    assert "holds logarithms already" in refusal(path, log1p=True)
    assert "there are numbers below 0" in refusal(path, log1p=True, features="obsm/X_pca")
    assert "`top_genes: 99` is more than its 12 features" in refusal(path, top_genes=99)
    logged = loaded(path, features="layers/counts", log1p=True).samples
    np.testing.assert_allclose(logged, np.log1p(made.COUNTS.toarray()), rtol=1e-6)
    (told,) = [note for note in loaded(path).notes if "whole numbers" in note]
    assert told.startswith("the values are whole numbers up to")
    assert loaded(path).left_out == ("cell_type (like a label; `labels: cell_type` scores by it)",)


def test_new_cells_are_read_by_the_genes_of_a_trained_model(tmp_path):
    made.h5ad(tmp_path)
    data = file.samples_of(str(tmp_path / "cells.h5ad"), ("gene7", "gene2"), log1p=True)
    np.testing.assert_allclose(data.samples, np.log1p(made.COUNTS.toarray()[:, [7, 2]]), rtol=1e-6)
    with pytest.raises(UserError, match="lacks features that the model was trained on: TP53"):
        file.samples_of(str(tmp_path / "cells.h5ad"), ("gene7", "TP53"))


def old(path, version):
    """As anndata wrote before 0.8 (categories beside the columns) and before 0.7 (tables as records).

    anndata 0.12.19 reads the same values from them.
    """
    cells, genes = [f"c{place}" for place in range(6)], [f"g{place}" for place in range(4)]
    matrix = sparse.csr_matrix(np.abs(GRID))
    with h5py.File(path, "w") as root:
        if version == "0.7":
            root["X"] = matrix.toarray()
            for name, index in (("obs", cells), ("var", genes)):
                frame = root.create_group(name)
                frame.attrs.update({"_index": "index", "encoding-type": "dataframe", "encoding-version": "0.1.0"})
                frame.attrs["column-order"] = np.asarray(["kind"] if name == "obs" else [], dtype=h5py.string_dtype())
                frame["index"] = made.text(index)
            root["obs/__categories/kind"] = made.text(["a", "b"])
            root["obs/kind"] = np.array([0, 1, 0, -1, 1, 0], np.int8)
            root["obs/kind"].attrs["categories"] = root["obs/__categories/kind"].ref
            return
        one = root.create_group("X")
        one.attrs.update({"h5sparse_format": np.bytes_("csr"), "h5sparse_shape": matrix.shape})
        one["data"], one["indices"], one["indptr"] = matrix.data, matrix.indices, matrix.indptr
        rows = [(cell.encode(), place) for cell, place in zip(cells, (0, 1, 0, -1, 1, 0), strict=True)]
        root["obs"] = np.array(rows, dtype=[("index", "S4"), ("kind", "i1")])
        root["var"] = np.array([(gene.encode(),) for gene in genes], dtype=[("index", "S4")])
        root["uns/kind_categories"] = made.text(["a", "b"])


@pytest.mark.parametrize("version", ["0.7", "0.6"])
def test_files_of_older_versions_of_anndata(tmp_path, version):
    old(tmp_path / "a.h5ad", version)
    data = loaded(tmp_path / "a.h5ad", labels="kind")
    np.testing.assert_array_equal(data.samples, np.abs(GRID).astype(np.float32))
    assert classes(data) == ["a", "b", "a", None, "b", "a"]
    assert data.ids.tolist() == [f"c{place}" for place in range(6)]
    assert data.feature_names == ("g0", "g1", "g2", "g3")


# Well-known sets


class Hostile:
    """What a pickle may hold that is run when it is opened."""

    def __reduce__(self):
        return os.system, ("touch was-run",)


@pytest.mark.parametrize(
    "value",
    [Hostile(), {b"data": Hostile()}, {b"data": np.array([Hostile()], dtype=object)}, {b"data": os.getcwd}],
    ids=["alone", "in a mapping", "in an array", "by name"],
)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_that_runs_code_is_refused_and_not_run(tmp_path, monkeypatch, value, protocol):
    monkeypatch.chdir(tmp_path)
    made.cifar_10(tmp_path, data_batch_2=pickle.dumps(value, protocol=protocol))
    assert "which is never run" in refusal("cifar-10-python.tar.gz")
    assert not (tmp_path / "was-run").exists()
    pickle.loads(pickle.dumps(Hostile()))
    assert (tmp_path / "was-run").exists()  # it would have run


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_pickles_of_any_python_are_read(tmp_path, protocol):
    home = tmp_path / "cifar-10-batches-py"
    home.mkdir()
    for name, content in made.cifar_10_files().items():
        value = {key.decode(): one for key, one in pickle.loads(content).items()}
        (home / name).write_bytes(pickle.dumps(value, protocol=protocol))
    for path in (home, tmp_path):  # torchvision is given the folder above
        data = loaded(path, scale="unit")
        made.is_unit(made.CIFAR, np.arange(60) % 10, made.AIR)(data)
        assert data.notes[0] == "the images are 50 of train and 10 of test (`split`)"


def test_folder_archive_and_binary_files_give_the_same(tmp_path):
    made.tar(tmp_path / "python.tar.gz", made.cifar_10_files())
    binary = {}
    for name, content in made.cifar_10_files().items():
        value = pickle.loads(content)
        if b"data" in value:
            records = np.column_stack([value[b"labels"], value[b"data"]]).astype(np.uint8)
            binary[f"{name}.bin"] = records.tobytes()
    binary["batches.meta.txt"] = "\n".join([*made.AIR, ""]).encode()
    made.tar(tmp_path / "binary.tar.gz", binary, "cifar-10-batches-bin")
    with tarfile.open(tmp_path / "binary.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    first, *others = (
        loaded(tmp_path / name, split="test") for name in ("python.tar.gz", "binary.tar.gz", "cifar-10-batches-bin")
    )
    for other in others:
        np.testing.assert_array_equal(first.samples, other.samples)
        assert classes(first) == classes(other)


def test_the_fine_and_the_coarse_classes_of_cifar_100(tmp_path):
    made.cifar_100(tmp_path)
    home = tmp_path / "cifar-100-python"
    home.mkdir()
    for name, rows in (("train", slice(50)), ("test", slice(50, None))):
        value = {
            b"data": made.CIFAR[rows].reshape(-1, 3072),
            b"coarse_labels": (np.arange(60) % 4)[rows].tolist(),
            b"fine_labels": (np.arange(60) % 8)[rows].tolist(),
        }
        (home / name).write_bytes(made.old_pickle(value))
    names = {b"coarse_label_names": made.COARSE, b"fine_label_names": [f"fine{one}" for one in range(8)]}
    (home / "meta").write_bytes(made.old_pickle(names))
    for labels, count in ((None, 8), ("fine", 8), ("coarse", 4), ("none", None)):
        python, binary = (loaded(tmp_path / f"cifar-100-{kind}", labels=labels) for kind in ("python", "binary"))
        np.testing.assert_array_equal(python.samples, binary.samples)
        assert python.n_classes == binary.n_classes == count
        assert python.class_names == binary.class_names
        if count:
            assert classes(python) == classes(binary)
    assert any("`labels: coarse` takes the 20" in note for note in loaded(home).notes)


def test_the_unlabelled_images_of_stl_10_are_counted_and_left_out(tmp_path):
    made.stl_10(tmp_path)
    data = loaded(tmp_path)
    np.testing.assert_array_equal(data.samples, made.STL[:9].astype(np.float32))
    assert any(note.startswith("3 images without a class are left out") for note in data.notes)
    assert loaded(tmp_path, split="test").n_samples == 4
    assert "is of STL-10 alone" in refusal(made.mnist(tmp_path) or tmp_path / "mnist", split="with-unlabelled")


def test_images_of_emnist_are_turned_and_its_classes_named(tmp_path):
    letters = RNG.integers(0, 256, (8, 28, 28), np.uint8)
    labels = np.arange(8) % 2 + 1
    for name in ("emnist-letters", "emnist-digits"):
        for half, rows in (("train", slice(6)), ("test", slice(6, None))):
            images = made.idx(letters[rows].transpose(0, 2, 1))
            (tmp_path / f"{name}-{half}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
            (tmp_path / f"{name}-{half}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(made.idx(labels[rows])))
    (tmp_path / "emnist-letters-mapping.txt").write_text("1 65 97\n2 66 98\n")
    assert "it holds emnist-digits, emnist-letters: name one" in refusal(tmp_path)
    data = loaded(tmp_path, features="emnist-letters")
    np.testing.assert_array_equal(data.samples, letters[:, None].astype(np.float32))
    assert set(data.class_names) == {"A/a", "B/b"}
    assert "the images of EMNIST are stored column by column, and are turned" in data.notes


def test_the_idx_files_of_fashion_mnist_are_the_same_data(tmp_path):
    made.mnist(tmp_path)
    for packed in (tmp_path / "mnist").glob("*.gz"):
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))  # as torchvision leaves both
    own, named = loaded(tmp_path / "mnist", scale="unit"), fashion_mnist.load(path=str(tmp_path / "mnist"))
    np.testing.assert_array_equal(own.samples, named.samples)
    np.testing.assert_array_equal(own.labels, named.labels)


def test_other_folders_and_archives_are_no_known_sets(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "meta").write_text("of something else")
    assert known_sets.files(tmp_path) == []
    made.tar(tmp_path / "code.tar.gz", {"setup.py": b"raise SystemExit"}, "code")
    assert "it holds no CIFAR-10, CIFAR-100 or STL-10" in refusal(tmp_path / "code.tar.gz")
    (tmp_path / "no.tar.gz").write_bytes(b"no archive")
    assert "Not a gzipped file" in refusal(tmp_path / "no.tar.gz")


@pytest.mark.parametrize("kind", ["folder of IDX files", "STL-10"])
def test_a_large_known_set_comes_back_from_the_cache_as_it_was_read(tmp_path, monkeypatch, kind):
    for module in ("prepared", "stored"):
        monkeypatch.setattr(f"core.data.{module}.FEW", 100)
    monkeypatch.setattr("core.data.prepared._AT_ONCE", 3 * 96 * 96 * 2)
    monkeypatch.setattr("core.datasets.file._SMALL", 0)
    if kind == "STL-10":
        made.stl_10(tmp_path)
        images = made.STL
    else:
        made.mnist(tmp_path)
        images = made.MNIST[:, None]
    path, options = (tmp_path, {"split": "with-unlabelled"}) if kind == "STL-10" else (tmp_path / "mnist", {})
    for _ in range(2):
        data = loaded(path, **options)
        assert isinstance(data.samples.values, np.memmap)
        np.testing.assert_array_equal(data.samples[:], images.astype(np.float32))


def test_the_classes_that_were_read_do_not_keep_the_images_in_memory():
    records = Records(io.BytesIO(bytes(range(26))), 2, 1, (3, 2, 2))
    assert records[slice(0, 2)].shape == (2, 3, 2, 2)
    assert records.heads[0].tolist() == [[0], [13]]
    assert records.heads[0].base is None


# torchvision


@pytest.fixture
def food(tmp_path):
    """Food-101 as torchvision unpacks it, of two sizes; the pixels of one class are dark, of the other light."""
    pytest.importorskip("torchvision")
    home = tmp_path / "food-101"
    (home / "meta").mkdir(parents=True)
    names = {"train": {}, "test": {}}
    for place, name in enumerate(("apple_pie", "waffles")):
        (home / "images" / name).mkdir(parents=True)
        for number in range(4):
            pixels = np.full((12, 10 + 2 * (number % 2), 3), 40 + 150 * place + number, np.uint8)
            Image.fromarray(pixels).save(home / "images" / name / f"{number}.jpg", quality=100)
            names["test" if number == 3 else "train"].setdefault(name, []).append(f"{name}/{number}")
    for part, listed in names.items():
        (home / "meta" / f"{part}.json").write_text(json.dumps(listed))
    return tmp_path


def test_a_set_of_torchvision_is_read_by_its_name(food):
    data = torchvision.load(set="Food101", path=str(food), size=8, scale="none")
    assert data.samples.shape == (8, 3, 8, 8)
    expected = [40, 41, 42, 190, 191, 192, 43, 193]  # train first
    np.testing.assert_allclose(data.samples[:].mean(axis=(1, 2, 3)), expected, atol=1.5)
    assert classes(data) == [*["apple_pie"] * 3, *["waffles"] * 3, "apple_pie", "waffles"]
    assert classes(torchvision.load(set="Food101", path=str(food), size=8, split="test")) == ["apple_pie", "waffles"]
    unit = torchvision.load(set="Food101", path=str(food), size=8)
    offset, divisor = unit.scaling
    np.testing.assert_allclose(unit.samples[:], (data.samples[:] - offset) / divisor, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "several sizes"),
        ({"set": "EuroSAT"}, r"torchvision finds no EuroSAT there \(Dataset not found.\)"),
        ({"set": "EuroSAT", "split": "test"}, "EuroSAT has no parts"),
        ({"set": "Food"}, "`set: Food` of torchvision is unknown: use CIFAR10"),
    ],
)
def test_what_torchvision_has_not_is_refused_in_one_line(food, options, said):
    with pytest.raises(UserError, match=said) as caught:
        torchvision.load(**{"set": "Food101", "path": str(food), **options})
    assert "\n" not in str(caught.value)


def test_each_set_that_is_named_is_one_of_torchvision():
    datasets = pytest.importorskip("torchvision.datasets")
    for name, parts in torchvision._PARTS.items():
        known = inspect.signature(getattr(datasets, name)).parameters
        assert ("train" in known) == (parts == ("True", "False")), name
        assert ("split" in known) == (parts not in {("True", "False"), ("",)}), name
        assert name in torchvision.load.__doc__


def test_options_that_do_nothing_are_refused(tmp_path):
    made.h5ad(tmp_path)
    made.cifar_10(tmp_path)
    made.coil(tmp_path)
    assert "`split` does nothing" in refusal(tmp_path / "cells.h5ad", split="train")
    assert "`layout` does nothing" in refusal(tmp_path / "cifar-10-python.tar.gz", layout="nchw")
    assert "`log1p` does nothing" in refusal(tmp_path / "COIL20.mat", log1p=True)
    assert formats.found(str(tmp_path / "cifar-10-python.tar.gz")).suffix == ".tar.gz"


def test_a_square_of_matlab_and_a_cube_without_labels_say_what_the_readings_are(tmp_path):
    savemat(tmp_path / "square.mat", {"X": np.arange(169.0).reshape(13, 13), "y": np.arange(13) % 2})
    said = r"each row a sample \(`layout: nf`\) or 13 samples of 13 features, each column a sample \(`layout: fn`"
    with pytest.raises(UserError, match=said):
        file.load(path=str(tmp_path / "square.mat"))
    savemat(tmp_path / "cube.mat", {"cube": np.arange(24.0).reshape(2, 3, 4)})
    with pytest.raises(UserError, match="for the pixels of a hyperspectral cube use `name: scene`"):
        file.load(path=str(tmp_path / "cube.mat"))
