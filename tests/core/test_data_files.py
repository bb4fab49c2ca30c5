"""Files of the user: every kind of broken one ends in one helpful line, and right ones in the right arrays."""

import gzip
import io
import re
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from core.data.columns import Wanted
from core.datasets import fashion_mnist, file
from core.errors import UserError
from core.formats import arrays
from core.formats.catalog import find_named

GRID = np.arange(24.0).reshape(6, 4)
CLASSES = np.array([0, 1, 2, 0, 1, 2])
SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def with_value(value, row=2, column=1):
    samples = GRID.copy()
    samples[row, column] = value
    return samples


def npy(array):
    return lambda path: np.save(path, array)


def npz(**arrays):
    return lambda path: np.savez(path, **arrays)


def text(content):
    return lambda path: path.write_bytes(content.encode() if isinstance(content, str) else content)


def table(**columns):
    return lambda path: parquet.write_table(pa.table(columns), path)


def folder(**files):
    def make(path):
        path.mkdir()
        for name, write in files.items():
            write(path / name.replace("__", "."))

    return make


def cut(write, suffix, keep=0.5):
    def make(path):
        whole = path.parent / f"whole{suffix}"
        write(whole)
        content = whole.read_bytes()
        path.write_bytes(content[: int(len(content) * keep)])

    return make


def damaged_zip(path):
    np.savez_compressed(path, X=np.random.default_rng(0).normal(size=(200, 20)))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 50] = bytes(50)
    path.write_bytes(content)


def mangled_head(path):
    np.save(path, GRID)
    path.write_bytes(path.read_bytes().replace(b"), }", b"(, }"))


def foreign_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "no array")


def objects(rows):
    array = np.empty(len(rows), dtype=object)
    array[:] = rows
    return array


# name of the file: how it is written, what the message must say, and the options it is read with.
BROKEN = {
    "missing.npy": (lambda _: None, r"no such file", {}),
    "data.xls": (text("a"), r"\(\.xls\) is unknown: known formats are \.npz", {}),
    "noSuffix": (text("a"), r"no suffix", {}),
    "empty.npy": (text(""), r"cannot be read as \.npy", {}),
    "cut.npy": (cut(npy(GRID), ".npy", 0.9), r"cannot be read as \.npy .*cut short", {}),
    "mangled.npy": (mangled_head, r"cannot be read as \.npy", {}),
    "foreign.npy": (text("a,b\n1,2\n"), r"magic string", {}),
    "no-rows.npy": (npy(np.zeros((0, 4))), r"empty, of shape \(0, 4\)", {}),
    "no-columns.npy": (npy(np.zeros((4, 0))), r"empty, of shape \(4, 0\)", {}),
    "single.npy": (npy(GRID[:1]), r"holds 1 sample.*at least 2", {}),
    "flat.npy": (npy(GRID[0]), r"shape \(4,\), but it must be", {}),
    "scalar.npy": (npy(np.float64(3)), r"shape \(\), but it must be", {}),
    "deep.npy": (npy(np.ones((2, 2, 2, 2, 2))), r"shape \(2, 2, 2, 2, 2\)", {}),
    "nan.npy": (
        npy(with_value(np.nan)),
        r"row 3 \(counted from 1\), column 2 is missing \(nan\), and 1 such value is in the data",
        {},
    ),
    "inf.npy": (npy(with_value(-np.inf, 4, 3)), r"row 5 \(counted from 1\), column 4 is -inf", {}),
    "half-inf.npy": (npy(with_value(np.inf).astype("f2")), r"row 3 \(counted from 1\), column 2 is inf", {}),
    "huge.npy": (npy(with_value(1e300)), r"row 3 \(counted from 1\), column 2 is 1e\+300", {}),
    "image-nan.npy": (npy(with_value(np.nan).reshape(6, 2, 2)), r"row 3 \(counted from 1\), column 1, 2 is", {}),
    "complex.npy": (npy(GRID + 1j), r"type complex128", {}),
    "words.npy": (npy(GRID.astype(str)), r"type <U", {}),
    "dates.npy": (npy(GRID.astype("M8[s]")), r"type datetime64", {}),
    "record.npy": (npy(np.zeros((3, 2), "i4,f8")), r"real numbers", {}),
    "pickled.npy": (npy(objects([[1, 2], [3]])), r"pickled Python objects.*never opened", {}),
    "constant.npy": (npy(np.full((5, 3), 0.1)), r"all 5 samples are equal", {}),
    "constant-image.npy": (npy(np.full((5, 3, 3), 7)), r"all 5 samples are equal", {}),
    "labels-of-npy.npy": (npy(GRID), r"no labels 'y': save samples and labels in one \.npz", {"labels": "y"}),
    "shape.npy": (npy(GRID), r"4 values does not fill the option `shape: \[1, 3, 3\]`", {"shape": (1, 3, 3)}),
    "shape-minus.npy": (npy(GRID), r"`shape: \[-2, -2\]`", {"shape": (-2, -2)}),
    "shape-none.npy": (npy(GRID), r"`shape: \[\]`", {"shape": ()}),
    "scale.npy": (npy(GRID), r"`scale: loud` is unknown: use auto", {"scale": "loud"}),
    "empty.npz": (text(""), r"cannot be read as \.npz", {}),
    "cut.npz": (cut(npz(X=GRID), ".npz"), r"cannot be read as \.npz", {}),
    "damaged.npz": (damaged_zip, r"cannot be read as \.npz", {}),
    "foreign.npz": (foreign_zip, r"no array in it.*it holds nothing", {}),
    "views.npz": (npz(a=GRID, b=GRID), r"several arrays.*a \(6, 4\) float64.*`features: a`", {}),
    "key.npz": (npz(X=GRID), r"`features: Z` names none.*X \(6, 4\)", {"features": "Z"}),
    "label-key.npz": (npz(X=GRID, y=CLASSES), r"`labels: kind` names none.*X, y", {"labels": "kind"}),
    "two-labels.npz": (npz(X=GRID, y=CLASSES, label=CLASSES), r"several could be the labels: y, label", {}),
    "pickled.npz": (npz(X=objects([[1], [2, 3]])), r"array 'X' holds pickled", {}),
    "pickled-labels.npz": (npz(X=GRID, y=objects(list("abcdef"))), r"array 'y' holds pickled", {}),
    "short-labels.npz": (npz(X=GRID, y=CLASSES[:5]), r"labels have the shape \(5,\), but it must be \(6,\)", {}),
    "turned.npz": (
        npz(X=GRID, y=CLASSES[:4]),
        r"shape \(6, 4\) fits its 4 labels only as 4 samples of 6 features, each column a sample \(`layout: fn`\)",
        {},
    ),
    "one-hot.npz": (npz(X=GRID, y=np.eye(3)[CLASSES]), r"labels have the shape \(6, 3\)", {}),
    "scalar-label.npz": (npz(X=GRID, y=np.int64(3)), r"labels have the shape \(\)", {}),
    "fraction.npz": (npz(X=GRID, y=CLASSES + 0.5), r"label of row 1 .* is '0.5'", {}),
    "one-class.npz": (npz(X=GRID, y=np.zeros(6, int)), r"all labels are '0'.*`labels: none`", {}),
    "date-label.npz": (npz(X=GRID, y=CLASSES.astype("M8[D]")), r"labels are of type datetime64", {}),
    "sparse.npz": (
        npz(data=np.ones(2), indices=np.array([0, 9]), indptr=np.array([0, 1, 2]), shape=np.array([2, 3])),
        r"cannot be read as \.npz \(.*indices",
        {},
    ),
    "by-blocks.npz": (
        npz(data=GRID[0], indices=CLASSES, indptr=CLASSES, shape=CLASSES[:2], format=np.array(b"bsr")),
        r"of the form 'bsr': save `matrix\.tocsr\(\)`",
        {},
    ),
    "empty.csv": (text(""), r"it is empty", {}),
    "blank.csv": (text("\n\n"), r"it is empty", {}),
    "names-only.csv": (text("a,b\n"), r"empty, of shape \(0, 2\)", {}),
    "ragged.csv": (text("a,b\n1,2\n3,4\n5\n"), r"line 4 has 1 fields, but the first line has 2", {}),
    "ragged-quoted.csv": (text('a,b\n"x\ny",2\n3,4,5\n'), r"line 4 has 3 fields", {}),
    "word.csv": (text("a,b\n1,2\n3,oops\n5,6\n"), r"column 'b' is not numeric: row 2 .* is 'oops'", {}),
    "under_score.csv": (text("a,b\n1,2\n3,1_0\n5,6\n"), r"column 'b' is not numeric: row 2 .* is '1_0'", {}),
    "hole.csv": (text("a,b\n1,2\n3,\n5,6\n"), r"row 2 \(counted from 1\), column 'b' is missing \(nan\)", {}),
    "hole-first.csv": (text("1,NA,2\n3,4,5\n"), r"row 1 \(counted from 1\), column 'f1' is missing", {}),
    "twice.csv": (text("a,a\n1,2\n3,4\n"), r"several columns have the name 'a'", {}),
    "binary.csv": (text(b"a,b\n1,\xff\0\n"), r"'utf-8' codec", {}),
    "wide.csv": (text("a" * 200_000 + ",b\n1,2\n"), r"cannot be read as \.csv \(field larger", {}),
    "unknown.csv": (text("a,b\n1,2\n3,4\n"), r"`features` names 'c', but its columns are a, b", {"features": "a, c"}),
    "only-labels.csv": (text("y\n1\n2\n"), r"no column is left.*y", {}),
    "one-column.tsv": (text("a,b\n1,2\n3,4\n"), r"not numeric: row 1 .* is '1,2'", {}),
    "cut.parquet": (cut(table(a=GRID[0]), ".parquet"), r"cannot be read as \.parquet", {}),
    "foreign.parquet": (text("a,b\n1,2\n"), r"cannot be read as \.parquet", {}),
    "text.parquet": (table(text=["a", "b"], label=[0, 1]), r"'text' is not numeric.*name: text", {}),
    "null.parquet": (table(a=[1.0, None, 2.0]), r"row 2 \(counted from 1\), column 'a' is missing", {}),
    "void.parquet": (
        table(a=pa.nulls(3)),
        r"row 1 \(counted from 1\), column 'a' is missing \(nan\), and 3 such values are in the data",
        {},
    ),
    "dates.parquet": (table(a=pa.array([0, 1], pa.timestamp("s"))), r"'a' is not numeric: row 1 .*1970", {}),
    "ragged.parquet": (
        table(v=[[1.0, 2.0], [3.0]]),
        r"'v': the list in row 2 .* has 1 numbers, but the first has 2",
        {},
    ),
    "gap.parquet": (table(v=[[1.0, 2.0], None]), r"list in row 2 .* has 0 numbers", {}),
    "hollow.parquet": (table(v=pa.array([[], []], pa.list_(pa.float32()))), r"list in row 1 .* has 0 numbers", {}),
    "no-lists.parquet": (table(v=pa.array([], pa.list_(pa.float32()))), r"empty, of shape \(0, 0\)", {}),
    "words.parquet": (table(v=[["a"], ["b"]]), r"'v' holds lists of string", {}),
    "list-nan.parquet": (
        table(v=[[1.0, 2.0], [3.0, None]]),
        r"row 2 \(counted from 1\), column 'v\[1\]' .* missing",
        {},
    ),
    "vectors.parquet": (table(v=[[1.0], [2.0]], w=[[1.0], [2.0]]), r"several columns hold vectors: v, w", {}),
    "list-label.parquet": (table(a=[1, 2], y=[[1], [2]]), r"labels in column 'y' are of type list", {}),
    "empty-folder": (folder(), r"no data file in this folder", {}),
    "mixed": (folder(a__csv=text("1,2"), b__npy=npy(GRID)), r"several formats \(\.csv, \.npy\)", {}),
    "unequal": (
        folder(a__csv=text("a,b\n1,2\n3,4\n"), b__csv=text("a,c\n1,2\n")),
        r"b\.csv: it has columns a, c, but a\.csv has columns a, b",
        {},
    ),
    "pair": (folder(X__npy=npy(GRID), Z__npy=npy(GRID[:, :2])), r"Z\.npy: it has samples of shape \(2,\)", {}),
    "labels-in-one": (
        folder(a__npz=npz(X=GRID, y=CLASSES), b__npz=npz(X=GRID)),
        r"b\.npz: it has no labels, but a\.npz has labels of numbers",
        {},
    ),
    "kinds": (
        folder(a__csv=text("a,y\n1,2\n3,4\n"), b__csv=text("a,y\n1,u\n3,v\n")),
        r"b\.csv: it has labels of text, but a\.csv has labels of numbers",
        {},
    ),
    "nan-in-part": (
        folder(a__npy=npy(GRID), b__npy=npy(with_value(np.nan))),
        r"b\.npy: row 3 \(counted from 1\), column 2",
        {},
    ),
    "new\nline.csv": (text("a,b\n1,2\n3,oops\n"), r"new line\.csv: column 'b' is not numeric", {}),
    "new-line-in-name.csv": (text('"a\nb",c\nx,2\ny,4\n'), r"not numeric", {}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_in_one_line(tmp_path, name):
    write, says, options = BROKEN[name]
    path = tmp_path / name
    write(path)
    with pytest.raises(UserError) as caught:
        file.load(path=str(path), **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert re.search(says, message), message
    if name != "scale.npy":
        assert " ".join(str(path).splitlines()) in message


def idx(dims, size, magic=b"\0\0\x08"):
    head = magic + bytes([len(dims)]) + b"".join(d.to_bytes(4, "big") for d in dims)
    return head + bytes(i % 10 for i in range(size))


def packed(content):
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb") as out:
        out.write(content)
    return stream.getvalue()


IMAGES, LABELS = idx((4, 28, 28), 4 * 784), idx((4,), 4)
BROKEN_IDX = {
    "cut": (IMAGES[:-1], LABELS, "", r"images.*has 3135 values, but its header says \(4, 28, 28\)"),
    "long": (IMAGES + b"1", LABELS, "", r"has 3137 values"),
    "head only": (b"\0\0\x08\x03", LABELS, "", r"has 0 values, but its header says \(\)"),
    "half a head": (b"\0\0\x08\x03\0\0\0\x04\0\0", LABELS, "", r"has 0 values, but its header says \(4,\)"),
    "empty": (b"", LABELS, "", r"not an IDX file"),
    "foreign": (b"\x89PNG and so on", LABELS, "", r"begins with 89504e47, not 000008"),
    "floats": (idx((4, 28, 28), 4 * 784, b"\0\0\x0d"), LABELS, "", r"begins with 00000d03"),
    "other size": (idx((4, 8, 8), 256), LABELS, "", r"shape \(4, 8, 8\), not images of 28 x 28"),
    "swapped": (LABELS, IMAGES, "", r"shape \(4,\)"),
    "no images": (idx((0, 28, 28), 0), idx((0,), 0), "", r"it is empty"),
    "short labels": (IMAGES, idx((3,), 3), "", r"labels-idx1-ubyte: the labels have the shape \(3,\)"),
    "labels beyond 9": (IMAGES, LABELS[:-1] + b"\x0a", "", r"not one of 0\.\.9"),
    "not packed": (IMAGES, LABELS, ".gz", r"cannot be unpacked .*[Nn]ot a gzipped"),
    "cut packed": (packed(IMAGES)[:-9], packed(LABELS), ".gz", r"cannot be unpacked"),
    "damaged packed": (packed(IMAGES)[:30] + b"\xff" * 9, packed(LABELS), ".gz", r"cannot be unpacked"),
    "missing": (None, LABELS, "", r"the file train-images-idx3-ubyte \(or .*\.gz\).*not in this folder"),
}


@pytest.mark.parametrize("case", BROKEN_IDX)
def test_a_broken_idx_file_is_refused_in_one_line(tmp_path, case):
    images, labels, suffix, says = BROKEN_IDX[case]
    if images is not None:
        (tmp_path / f"train-images-idx3-ubyte{suffix}").write_bytes(images)
    (tmp_path / f"train-labels-idx1-ubyte{suffix}").write_bytes(labels)
    with pytest.raises(UserError) as caught:
        fashion_mnist.load(split="train", path=str(tmp_path))
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert str(tmp_path) in message
    assert re.search(says, message), message


HEADERS = {
    "names": ("a,b\n1,2\n3,4\n", 2),
    "none": ("1,2\n3,4\n", 2),
    "text over a number": ("a,1\n1,2\n3,4\n", 2),
    "counted with pandas' index": (",0,1\n0,5,2\n1,3,4\n", 2),
    "counted with labels": ("label,0,1\nu,5,2\nv,3,4\n", 2),
    "counted, many": (",".join(map(str, range(9))) + "\n" + "1,2,3,5,4,6,8,7,9\n" * 2 + "1,1,1,1,1,1,1,1,1\n", 3),
    "a few small numbers are a sample": ("0,1,2\n3,4,5\n", 2),
    "byte order mark": ("\ufeffa,b\n1,2\n3,4\n", 2),
    "semicolons": ("a;b\n1;2\n3;4\n", 2),
    "byte order mark, no names": ("\ufeff1,2\n3,4\n", 2),
    "spaces": ("a, b\n1, 2\n3, 4\n", 2),
    "windows": ("a,b\r\n1,2\r\n3,4\r\n", 2),
    "one column": ("1\n2\n4\n", 3),
    "ends without a line end": ("1,2\n3,4", 2),
}


@pytest.mark.parametrize("case", HEADERS)
def test_the_first_line_is_names_or_a_sample(tmp_path, case):
    content, rows = HEADERS[case]
    path = tmp_path / "table.csv"
    path.write_bytes(content.encode())
    assert file.load(path=str(path), scale="none").n_samples == rows


def test_text_labels_of_a_file_without_names(tmp_path):
    path = tmp_path / "iris.csv"
    path.write_text("5.1,3.5,setosa\n4.9,3.0,virginica\n5.0,3.1,setosa\n")
    data = file.load(path=str(path), labels="f2")
    assert (data.class_names, data.labels.tolist()) == (("setosa", "virginica"), [0, 1, 0])
    assert data.sample_shape == (2,)


def test_spaces_around_names_are_not_of_them(tmp_path):
    (tmp_path / "a.csv").write_text("a, label\n1, 2\n3, 4\n")
    assert file.load(path=str(tmp_path / "a.csv")).class_names == ("2", "4")


def test_quoted_line_ends_are_of_the_value_wherever_the_reader_cuts_the_file(tmp_path):
    labels = ["u" + "\n" * 5000, "v" + "\n" * 5000]
    (tmp_path / "a.csv").write_text("a,label\n" + "".join(f'{i},"{labels[i % 2]}"\n' for i in range(500)))
    data = file.load(path=str(tmp_path / "a.csv"))
    assert (data.n_samples, data.class_names) == (500, ("u", "v"))


def test_the_index_of_pandas_is_no_feature(tmp_path):
    (tmp_path / "a.csv").write_text(",a,b\n0,1,2\n1,3,4\n")
    table(a=[1, 3], b=[2, 4], __index_level_0__=[7, 9])(tmp_path / "a.parquet")
    for name in ("a.csv", "a.parquet"):
        assert file.load(path=str(tmp_path / name), scale="none").samples.tolist() == [[1, 2], [3, 4]]


def test_columns_of_many_types_are_numbers(tmp_path):
    columns = {
        "flag": pa.array([True, False, True]),
        "money": pa.array([1, 2, 3]).cast(pa.decimal128(22, 2)),
        "small": pa.array([1, 2, 3], pa.int8()),
        "size": pa.array([5.0, 6.0, 5.0]).dictionary_encode(),
        "label": pa.array(["v", "u", "v"]).dictionary_encode(),
    }
    table(**columns)(tmp_path / "types.parquet")
    data = file.load(path=str(tmp_path / "types.parquet"), scale="none")
    assert data.samples.tolist() == [[1, 1, 1, 5], [0, 2, 2, 6], [1, 3, 3, 5]]
    assert (data.class_names, data.labels.tolist()) == (("u", "v"), [1, 0, 1])


def test_the_only_column_of_lists_is_all_the_features(tmp_path):
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(GRID.ravel(), pa.float32()), 4)
    table(id=np.arange(6), text=list("abcdef"), v=vectors, label=CLASSES)(tmp_path / "v.parquet")
    path = str(tmp_path / "v.parquet")
    assert file.load(path=path, scale="none").samples.tolist() == GRID.tolist()
    both = file.load(path=path, features="id, v", scale="none").samples
    assert both.tolist() == np.column_stack([np.arange(6), GRID]).tolist()


def test_a_folder_joins_its_files_by_name(tmp_path):
    for name, rows in (("b", GRID[3:]), ("a", GRID[:3])):
        csv.write_csv(pa.table({f"c{i}": column for i, column in enumerate(rows.T)}), tmp_path / f"{name}.csv")
    (tmp_path / "README.md").write_text("no data")
    (tmp_path / "_SUCCESS.csv").write_text("left by Spark")
    data = file.load(path=str(tmp_path), scale="none")
    assert data.samples.tolist() == GRID.tolist()
    assert data.name == tmp_path.name


def test_sparse_rows_of_scipy_become_dense(tmp_path):
    from scipy import sparse

    sparse.save_npz(tmp_path / "bag.npz", sparse.csr_matrix(GRID))
    assert file.load(path=str(tmp_path / "bag.npz"), scale="none").samples.tolist() == GRID.tolist()


@pytest.mark.parametrize(("form", "told"), [("csc", ["CSC"]), ("coo", ["COO"]), ("csr", [])])
@pytest.mark.parametrize("whole", [1 << 28, 1])
def test_a_sparse_matrix_of_any_form_is_read_by_rows(tmp_path, monkeypatch, form, told, whole):
    from scipy import sparse

    monkeypatch.setattr("core.formats.arrays.WHOLE", whole)
    sparse.save_npz(tmp_path / "bag.npz", sparse.csr_matrix(GRID).asformat(form))
    part = arrays.read(tmp_path / "bag.npz", Wanted())
    assert hasattr(part.samples, "indptr") == (whole == 1)
    assert (part.samples.toarray() if whole == 1 else part.samples).tolist() == GRID.tolist()
    assert [name for name in ("CSR", "CSC", "COO") if f"stored as {name}" in " ".join(part.notes)] == told


def real(folder):
    return sorted((SHARED / folder).glob("*.*")) if SHARED.is_dir() else []


@pytest.mark.skipif(not SHARED.is_dir(), reason="the folder shared/data is not beside the repository")
@pytest.mark.parametrize("folder", ["emb", "bio", "image"])
def test_real_labelled_sets_load_by_path_alone(folder):
    paths = real(folder)
    assert paths
    for path in paths:
        data = file.load(path=str(path))
        assert data.labels is not None
        assert data.n_classes == len(data.class_names) == len(np.unique(data.labels))
        assert np.isfinite(data.samples).all()
        assert data.samples.dtype == np.float32


@pytest.mark.skipif(not SHARED.is_dir(), reason="the folder shared/data is not beside the repository")
@pytest.mark.parametrize(("folder", "says"), [("multiview", "several (views|arrays)"), ("text", "name: text")])
def test_real_sets_of_several_views_or_of_text_say_what_to_do(folder, says):
    for path in real(folder):
        with pytest.raises(UserError, match=says):
            file.load(path=str(path))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the folder shared/data is not beside the repository")
def test_real_names_are_found(monkeypatch):
    monkeypatch.setenv("CONCLUS_DATA", str(SHARED))
    assert find_named("banking77_minilm")
