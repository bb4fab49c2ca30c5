# ruff: noqa: RUF001 - the sign of multiplication, as shapes are written
"""Array files and well-known sets as people have them, for tests/core/test_formats.py."""

import gzip
import io
import pickle
import tarfile
from pathlib import Path

import h5py
import numpy as np
from scipy import sparse
from scipy.io import savemat

from tests.core.kinds import Broken, Kind, cut

RNG = np.random.default_rng(0)
N = 24
CODES = np.arange(N) % 3
# Features by samples, as MATLAB's users have them; not square.
VIEWS = [RNG.normal(size=(5, N)), RNG.normal(size=(7, N)), RNG.normal(size=(4, N))]
COUNTS = sparse.csr_matrix(RNG.poisson(0.4, (N, 12)).astype(np.float32))
CELLS = np.array(["B cell", "T cell", "NK cell"])[CODES]


def pixels(*shape):
    return np.random.default_rng(len(shape)).integers(0, 256, shape, np.uint8)


def unit(images):
    """Images (n, channels, height, width) as they are trained on."""
    low, high = int(images.min()), int(images.max())
    return (images.astype(np.float32) - low) / (high - low)


def is_unit(images, labels, names):
    """Whether a data set has these images, scaled to 0..1, and these names of classes."""

    def check(data):
        np.testing.assert_allclose(data.samples[:], unit(images), atol=1e-6)
        assert [data.class_names[code] for code in data.labels] == [names[code] for code in labels]

    return check


def standard(data, samples):
    """Whether a data set has these vectors, each feature of them with mean 0 and variance 1."""
    samples = np.asarray(samples, dtype=np.float64)
    spread = samples.std(axis=0)
    np.testing.assert_allclose(
        data.samples[:], (samples - samples.mean(axis=0)) / np.where(spread, spread, 1), atol=1e-5
    )


# .mat of versions 5 and 7.3


def coil(folder, **more):
    """COIL20.mat: bytes as doubles, objects from 1 in a column."""
    savemat(
        folder / "COIL20.mat", {"fea": FEA.astype(np.float64), "gnd": CODES[:, None] + 1.0, **more}, do_compression=True
    )


FEA = pixels(N, 16)


def coil_is(data):
    standard(data, FEA)
    assert data.labels.tolist() == CODES.tolist()
    assert data.class_names == ("1", "2", "3")
    assert data.label_name == "gnd"


SVHN = pixels(32, 32, 3, 30)
DIGITS = np.arange(30) % 10 + 1


def svhn(folder, images=SVHN, labels=DIGITS):
    savemat(folder / "train_32x32.mat", {"X": images, "y": labels[:, None].astype(np.uint8)})


def svhn_is(data):
    np.testing.assert_allclose(data.samples, unit(SVHN.transpose(3, 2, 0, 1)), atol=1e-6)
    assert [int(data.class_names[code]) for code in data.labels] == (DIGITS % 10).tolist()
    assert "the label 10 is the digit 0, as SVHN writes it" in data.notes
    assert any("`layout: hwcn`, as its labels say" in note for note in data.notes)


def matlab_7_3(folder, views=VIEWS, labels=CODES + 1.0):
    """A cell of views and a row of labels: all axes in the opposite order, cells as references."""
    with h5py.File(folder / "views.mat", "w", userblock_size=512) as root:
        refs = root.create_group("#refs#")
        cell = root.create_dataset("X", (1, len(views)), h5py.ref_dtype)
        cell.attrs["MATLAB_class"] = np.bytes_("cell")
        for place, view in enumerate(views):
            one = refs.create_dataset(str(place), data=view.T)
            one.attrs["MATLAB_class"] = np.bytes_("double")
            cell[0, place] = one.ref
        gt = root.create_dataset("gt", data=np.asarray(labels)[:, None])
        gt.attrs["MATLAB_class"] = np.bytes_("double")
    with (folder / "views.mat").open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512))


def views_are(data):
    standard(data, VIEWS[1].T)
    assert data.labels.tolist() == CODES.tolist()
    assert any("`layout: fn`, as its labels say" in note for note in data.notes)


# .h5 and .h5ad

USPS = RNG.random((N, 12), dtype=np.float32)


def usps(folder, half=16, test="test"):
    """usps.h5: groups for training and for testing."""
    with h5py.File(folder / "usps.h5", "w") as root:
        for name, rows in (("train", slice(half)), (test, slice(half, None))):
            root[f"{name}/data"] = USPS[rows]
            root[f"{name}/target"] = CODES[rows]


def usps_is(data):
    standard(data, USPS)
    assert data.labels.tolist() == CODES.tolist()
    assert "the samples are 16 of train and 8 of test (`split`)" in data.notes


def text(values):
    return np.asarray(values, dtype=h5py.string_dtype())


def h5ad(folder, matrix=COUNTS, **obs):
    """As anndata 0.8 and later write it; anndata 0.12.19 reads the same values from it."""
    with h5py.File(folder / "cells.h5ad", "w") as root:
        root.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        one = root.create_group("X")
        one.attrs.update(
            {"encoding-type": f"{matrix.format}_matrix", "encoding-version": "0.1.0", "shape": matrix.shape}
        )
        for name in ("data", "indices", "indptr"):
            one[name] = getattr(matrix, name)
        cells, kinds = [f"AAC{place}-1" for place in range(matrix.shape[0])], sorted(set(CELLS))
        columns = {"cell_type": (kinds, [kinds.index(cell) for cell in CELLS]), **obs}
        for path, index in (("obs", cells), ("var", [f"gene{place}" for place in range(matrix.shape[1])])):
            frame = root.create_group(path)
            order = list(columns) if path == "obs" else []
            frame.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "_index"})
            frame.attrs["column-order"] = np.asarray(order, dtype=h5py.string_dtype())
            frame["_index"] = text(index)
            frame["_index"].attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})
        for name, (categories, codes) in columns.items():
            column = root["obs"].create_group(name)
            column.attrs.update({"encoding-type": "categorical", "encoding-version": "0.2.0", "ordered": False})
            column["codes"], column["categories"] = np.asarray(codes, np.int8), text(categories)
            column["categories"].attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})
            column["codes"].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})

        for name in ("data", "indices", "indptr"):
            one[name].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})


def h5ad_is(data):
    logged = np.log1p(COUNTS.toarray())
    kept = np.sort(np.argsort(-logged.astype(np.float64).var(axis=0), kind="stable")[:5])
    standard(data, logged[:, kept])
    assert data.feature_names == tuple(f"gene{place}" for place in kept)
    assert data.ids[:2].tolist() == ["AAC0-1", "AAC1-1"]
    assert [data.class_names[code] for code in data.labels] == CELLS.tolist()


# Well-known sets


def idx(values):
    head = b"\0\0\x08" + bytes([values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
    return head + values.astype(np.uint8).tobytes()


MNIST = pixels(30, 28, 28)


def mnist(folder):
    """As its mirrors have it: four gzipped files."""
    home = folder / "mnist"
    home.mkdir()
    for half, rows in (("train", slice(20)), ("t10k", slice(20, None))):
        (home / f"{half}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(MNIST[rows])))
        (home / f"{half}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(DIGITS[rows] % 10)))


CIFAR = pixels(60, 3, 32, 32)
AIR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def old_pickle(value):
    """A pickle as Python 2 wrote it: all texts are bytes."""
    return pickle.dumps(value, protocol=2)


def cifar_10_files():
    names = [*(f"data_batch_{one}" for one in range(1, 6)), "test_batch"]
    found = {
        name: old_pickle(
            {
                b"data": CIFAR[rows].reshape(10, 3072),
                b"labels": (np.arange(60) % 10)[rows].tolist(),
                b"filenames": [b"x.png"] * 10,
            }
        )
        for name, rows in ((name, slice(10 * place, 10 * place + 10)) for place, name in enumerate(names))
    }
    return {**found, "batches.meta": old_pickle({b"label_names": [name.encode() for name in AIR]})}


def tar(file: Path, files, below="cifar-10-batches-py"):
    with tarfile.open(file, "w:gz") as archive:
        for name, content in files.items():
            head = tarfile.TarInfo(f"{below}/{name}")
            head.size = len(content)
            archive.addfile(head, io.BytesIO(content))


def cifar_10(folder, **changed):
    tar(folder / "cifar-10-python.tar.gz", cifar_10_files() | changed)


COARSE = [f"super{one}" for one in range(4)]


def cifar_100(folder, below="cifar-100-binary"):
    """The binary version: a coarse class, a fine class, an image."""
    home = folder / below
    home.mkdir()
    for name, rows in (("train", slice(50)), ("test", slice(50, None))):
        coarse, fine = np.arange(60)[rows] % 4, np.arange(60)[rows] % 8
        records = np.column_stack([coarse, fine, CIFAR[rows].reshape(-1, 3072)]).astype(np.uint8)
        (home / f"{name}.bin").write_bytes(records.tobytes())
    (home / "coarse_label_names.txt").write_text("\n".join([*COARSE, ""]))
    (home / "fine_label_names.txt").write_text("\n".join(f"fine{one}" for one in range(8)))


STL = pixels(12, 3, 96, 96)
BIRDS = ["airplane", "bird", "car"]


def stl_10(folder):
    """Classes from 1; each image column by column; some images without a class."""
    home = folder / "stl10_binary"
    home.mkdir()
    for name, rows in (("train", slice(5)), ("test", slice(5, 9)), ("unlabeled", slice(9, None))):
        (home / f"{name}_X.bin").write_bytes(STL[rows].transpose(0, 1, 3, 2).tobytes())
        if name != "unlabeled":
            (home / f"{name}_y.bin").write_bytes((np.arange(12)[rows] % 3 + 1).astype(np.uint8).tobytes())
    (home / "class_names.txt").write_text("\n".join(BIRDS))


def stl_is(data):
    np.testing.assert_allclose(data.samples, unit(STL), atol=1e-6)
    assert data.labels.tolist() == [*(np.arange(9) % 3), -1, -1, -1]
    assert data.class_names == tuple(BIRDS)
    assert data.notes[0] == "the images are 5 of train and 4 of test and 3 of unlabelled (`split`)"


def bag(folder, **changed):
    """A matrix of words in compressed columns, as `scipy.sparse.save_npz` writes it, and labels beside it."""
    columns = COUNTS.tocsc()
    arrays = {name: getattr(columns, name) for name in ("data", "indices", "indptr", "shape")}
    np.savez(folder / "words.npz", **{**arrays, "format": np.array(b"csc"), "y": CODES, **changed})


def bag_is(data):
    standard(data, COUNTS.toarray())
    assert data.labels.tolist() == CODES.tolist()
    assert "the sparse matrix is stored as CSC, and was brought to rows (CSR)" in data.notes


KINDS = (
    Kind(
        title="a sparse matrix and labels in `.npz` (SciPy)",
        data="{name: file, path: words.npz}",
        line="words: 24 samples × 12 features, labels: y, 3 classes (0, 1, 2)",
        make=bag,
        check=bag_is,
        broken={
            "cut short": Broken(make=lambda folder: cut(folder / "words.npz"), said=r"cannot be read as \.npz"),
            "wrong type": Broken(make=lambda folder: bag(folder, indices=np.full(COUNTS.nnz, 99)), said="indices"),
            "ambiguous": Broken(
                make=lambda folder: bag(folder, label=CODES), said="several could be the labels: y, label"
            ),
        },
    ),
    Kind(
        title="arrays `fea` and `gnd` in `.mat` (MATLAB 5, as COIL-20)",
        data="{name: file, path: COIL20.mat}",
        line="COIL20: 24 samples × 16 features, labels: gnd, 3 classes (1, 2, 3)",
        make=coil,
        check=coil_is,
        broken={
            "cut short": Broken(make=lambda folder: cut(folder / "COIL20.mat"), said=r"cannot be read as \.mat"),
            "wrong type": Broken(
                make=lambda folder: savemat(folder / "COIL20.mat", {"fea": "texts", "gnd": CODES}),
                said="of type <U5, but they must be real numbers",
            ),
            "ambiguous": Broken(
                make=lambda folder: coil(folder, fea=FEA[:16], gnd=CODES[:16]),
                said=r"shape \(16, 16\) can be read in two ways.*`layout: nf`.*`layout: fn`",
            ),
        },
    ),
    Kind(
        title="images in MATLAB's order in `.mat` (SVHN)",
        data="{name: file, path: train_32x32.mat}",
        line="train_32x32: 30 samples × 3 channels × 32 height × 32 width (read as height × width × channels), "
        "labels: y, 10 classes (0 … 9)",
        make=svhn,
        check=svhn_is,
        broken={
            "cut short": Broken(make=lambda folder: cut(folder / "train_32x32.mat"), said=r"cannot be read as \.mat"),
            "wrong type": Broken(
                make=lambda folder: svhn(folder, labels=DIGITS[:20]), said=r"labels have the shape \(20,\)"
            ),
            "ambiguous": Broken(
                make=lambda folder: svhn(folder, SVHN.repeat(2, axis=3)[..., :32], np.arange(32) % 10 + 1),
                said="can be read in two ways.*`layout: nhwc`.*`layout: hwcn`",
            ),
        },
    ),
    Kind(
        title="a cell of views and labels in `.mat` (MATLAB 7.3)",
        data="{name: file, path: views.mat, view: view1}",
        line="views: 24 samples × 7 features, labels: gt, 3 classes (1, 2, 3)",
        make=matlab_7_3,
        check=views_are,
        broken={
            "cut short": Broken(make=lambda folder: cut(folder / "views.mat"), said=r"cannot be read as \.mat"),
            "wrong type": Broken(
                make=lambda folder: matlab_7_3(folder, labels=CODES + 0.5), said="label of row 1 .* is '0.5'"
            ),
            "ambiguous": Broken(
                make=Path.exists,  # the file is right, and the option is not
                data="{name: file, path: views.mat}",
                said=r"several views.*`view: view0` \(view0 is X\{1\} \(5, 24\), view1 is X\{2\}",
            ),
        },
    ),
    Kind(
        title="groups for training and testing in `.h5` (USPS)",
        data="{name: file, path: usps.h5}",
        line="usps: 24 samples × 12 features, labels: target, 3 classes (0, 1, 2)",
        make=usps,
        check=usps_is,
        broken={
            "cut short": Broken(make=lambda folder: cut(folder / "usps.h5"), said=r"cannot be read as \.h5"),
            "wrong type": Broken(
                make=lambda folder: (folder / "usps.h5").write_text("data\n"), said=r"cannot be read as \.h5"
            ),
            "ambiguous": Broken(
                make=lambda folder: usps(folder, test="other"),
                said="several could be the labels: other/target, train/target",
            ),
        },
    ),
    Kind(
        title="counts of genes in `.h5ad` (AnnData)",
        data="{name: file, path: cells.h5ad, labels: cell_type, log1p: true, top_genes: 5}",
        line="cells: 24 samples × 5 features (gene0 … gene9), labels: cell_type, 3 classes (B cell, NK cell, T cell)",
        make=h5ad,
        check=h5ad_is,
        broken={
            "cut short": Broken(make=lambda folder: cut(folder / "cells.h5ad"), said=r"cannot be read as \.h5ad"),
            "wrong type": Broken(
                make=lambda folder: h5ad(folder, cell_type=(["a"], CODES)), said=r"cannot be read as \.h5ad.*AnnData"
            ),
            "ambiguous": Broken(
                make=lambda folder: h5ad(folder, label=(["a", "b", "c"], CODES), target=(["a", "b", "c"], CODES)),
                data="{name: file, path: cells.h5ad}",
                said="several could be the labels: label, target",
            ),
        },
    ),
    Kind(
        title="a folder of IDX files (MNIST, Fashion-MNIST, KMNIST, EMNIST)",
        data="{name: file, path: mnist}",
        line="mnist: 30 samples × 1 channel × 28 height × 28 width (read as height × width), "
        "labels: class, 10 classes (0 … 9)",
        make=mnist,
        check=is_unit(MNIST[:, None], DIGITS % 10, "0123456789"),
        broken={
            "cut short": Broken(
                make=lambda folder: (folder / "mnist" / "t10k-images-idx3-ubyte.gz").write_bytes(
                    gzip.compress(idx(MNIST[20:])[:-9])
                ),
                said=r"its header says \(10, 28, 28\)",
            ),
            "wrong type": Broken(
                make=lambda folder: (folder / "mnist" / "train-labels-idx1-ubyte.gz").write_bytes(
                    gzip.compress(b"abcd")
                ),
                said="not an IDX file of bytes",
            ),
            "ambiguous": Broken(
                make=lambda folder: (folder / "mnist" / "emnist-letters-train-images-idx3-ubyte").write_bytes(
                    idx(MNIST)
                ),
                said="it holds , emnist-letters: name one, as in `features: ",
            ),
        },
    ),
    Kind(
        title="CIFAR-10 as it is downloaded (Python version)",
        data="{name: file, path: cifar-10-python.tar.gz, split: train}",
        line="cifar-10-python.tar: 50 samples × 3 channels × 32 height × 32 width (read as channels × height × width), "
        "labels: class, 10 classes (airplane … truck)",
        make=cifar_10,
        check=is_unit(CIFAR[:50], np.arange(50) % 10, AIR),
        broken={
            "cut short": Broken(make=lambda folder: cut(folder / "cifar-10-python.tar.gz"), said=r"cannot be read"),
            "wrong type": Broken(
                make=lambda folder: cifar_10(folder, data_batch_3=old_pickle({b"data": [1, 2], b"labels": [1, 2]})),
                said="data_batch_3: its `data` are no rows of 3072 bytes",
            ),
            "ambiguous": Broken(
                make=lambda folder: tar(folder / "cifar-10-python.tar.gz", {"data_batch_1": b""}),
                said="the file data_batch_2 of this data set is missing",
            ),
        },
    ),
    Kind(
        title="CIFAR-100 in its 20 coarse classes (CIFAR-20, binary version)",
        data="{name: file, path: cifar-100-binary, labels: coarse}",
        line="cifar-100-binary: 60 samples × 3 channels × 32 height × 32 width (read as channels × height × width), "
        "labels: coarse, 4 classes (super0, super1, super2, super3)",
        make=cifar_100,
        check=is_unit(CIFAR, np.arange(60) % 4, COARSE),
        broken={
            "cut short": Broken(
                make=lambda folder: cut(folder / "cifar-100-binary" / "test.bin", 0.47),
                said="no whole number of images of 3074",
            ),
            "wrong type": Broken(
                make=Path.exists,  # the file is right, and the option is not
                data="{name: file, path: cifar-100-binary, labels: kind}",
                said="`labels: kind` is none of its classes: use fine or coarse",
            ),
            "ambiguous": Broken(
                make=lambda folder: [cifar_100(folder, "cifar-100-python"), stl_10(folder)],
                data="{name: file, path: .}",
                said="several data sets lie in this folder: name one, ",
            ),
        },
    ),
    Kind(
        title="STL-10 with its unlabelled images (binary version)",
        data="{name: file, path: stl10_binary, split: with-unlabelled}",
        line="stl10_binary: 12 samples × 3 channels × 96 height × 96 width (read as channels × height × width), "
        "labels: class, 3 classes (airplane, bird, car), 3 unlabelled (empty or NaN)",
        make=stl_10,
        check=stl_is,
        broken={
            "cut short": Broken(
                make=lambda folder: cut(folder / "stl10_binary" / "unlabeled_X.bin"),
                said="unlabeled_X.bin: its .* bytes are no whole number of images of 27648",
            ),
            "wrong type": Broken(
                make=lambda folder: (folder / "stl10_binary" / "train_y.bin").write_bytes(b"\1\2"),
                said="5 images and 2 classes for train",
            ),
            "ambiguous": Broken(
                make=cifar_100,
                data="{name: file, path: .}",
                said="several data sets lie in this folder: name one, ",
            ),
        },
    ),
)
