"""Files that mean two things, lead elsewhere, or claim too much: each is read in one way, or refused in one line."""

import gzip
import io
import struct
import tarfile
import tracemalloc
import zlib

import h5py
import numpy as np
import openpyxl
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet
from scipy.io import savemat

from core.datasets import file, scene, torchvision
from core.errors import UserError
from core.formats import known_sets, records


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def png(seed, size=(4, 4)):
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def refused(path, said, **options):
    with pytest.raises(UserError, match=said) as error:
        file.load(path=str(path), **options)
    assert "\n" not in str(error.value)


def test_sparse_rows_of_a_folder_count_their_features_in_one_way(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "a.svm").write_text("0 0:1 2:1\n1 1:1\n")
    (tmp_path / "s" / "b.svm").write_text("0 1:1 3:1\n1 2:1\n")
    refused(tmp_path / "s", r"b\.svm: its indices count from 1, those of a\.svm from 0")
    (tmp_path / "s" / "a.svm").write_text("0 1:1 3:1\n1 2:5\n")
    assert file.load(path=str(tmp_path / "s"), scale="none").samples[:, 1].tolist() == [0, 5, 0, 1]


def cells(path):
    """A small file of AnnData with a column of categories."""
    with h5py.File(path, "w") as root:
        root["X"] = np.arange(12.0).reshape(4, 3)
        for name in ("obs", "var"):
            group = root.create_group(name)
            group.attrs["_index"] = "_index"
            group["_index"] = np.array([f"{name}{i}" for i in range(4 if name == "obs" else 3)], h5py.string_dtype())
        root["obs"].attrs["column-order"] = ["label"]
        root["obs/label/codes"] = np.array([0, 1, 0, 1], np.int8)
        root["obs/label/categories"] = np.array(["b", "t"], h5py.string_dtype())


LINKED = [
    "X",
    "obs",
    "var",
    "obs/_index",
    "obs/label",
    "obs/label/codes",
    "obs/label/categories",
    "uns",
    "raw",
    "layers",
]


@pytest.mark.parametrize("place", LINKED)
def test_no_link_of_a_file_of_cells_is_followed_to_another_file(tmp_path, place):
    cells(tmp_path / "a.h5ad")
    cells(tmp_path / "other.h5")
    assert file.load(path=str(tmp_path / "a.h5ad")).class_names == ("b", "t")
    with h5py.File(tmp_path / "other.h5", "a") as other:
        for name in ("uns", "raw", "layers"):
            other[f"{name}/X"] = np.ones((4, 3))
    with h5py.File(tmp_path / "a.h5ad", "a") as root:
        if place in root:
            root.move(place, "kept")
        root[place] = h5py.ExternalLink("other.h5", place)
    refused(tmp_path / "a.h5ad", "is a link to another file", log1p=True)
    if place in {"X", "obs/label", "obs/label/codes"}:
        with h5py.File(tmp_path / "a.h5ad", "a") as root:
            del root[place]
            root[place] = h5py.SoftLink("/kept")
        assert file.load(path=str(tmp_path / "a.h5ad")).class_names == ("b", "t")
        with h5py.File(tmp_path / "a.h5ad", "a") as root:
            del root["kept"]
            root["kept"] = h5py.ExternalLink("other.h5", place)
        refused(tmp_path / "a.h5ad", "is a link to another file")


def test_no_sparse_columns_of_matlab_lie_in_another_file(tmp_path):
    with h5py.File(tmp_path / "a.mat", "w") as root, h5py.File(tmp_path / "other.h5", "w") as other:
        other["data"], root["X/ir"], root["X/jc"] = np.ones(3), np.array([0, 1, 2]), np.array([0, 1, 2, 3])
        root["X"].attrs["MATLAB_sparse"] = 3
        root["X/data"] = h5py.ExternalLink("other.h5", "data")
    refused(tmp_path / "a.mat", "data is a link to another file")


def test_the_digit_0_of_svhn_is_one_class_in_every_file(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 20), np.uint8)
    (tmp_path / "s").mkdir()
    for name, labels in (("a", np.arange(20) % 10 + 1), ("b", np.arange(20) % 2 * 5 + 5)):
        savemat(tmp_path / "s" / f"{name}.mat", {"X": pixels, "y": labels[:, None]})
    found = file.load(path=str(tmp_path / "s"))
    assert found.class_names == tuple("0123456789")
    assert (found.labels == 0).sum() == 12


LONG = [2**53, 2**53 + 1, 2**53 + 2, 5]


def test_long_ids_stay_different(tmp_path):
    """As floats, 2**53 and 2**53 + 1 are one number."""

    def written(name, ids, kind):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        parquet.write_table(pa.table({"id": pa.array(ids, kind), "a": [0.1, 0.5, 0.2, 0.7]}), tmp_path / name)
        return str(tmp_path / name)

    whole = file.load(path=written("w.parquet", LONG, pa.int64()), id="id")
    assert whole.ids.tolist() == LONG
    lacking = file.load(path=written("l.parquet", [None, *LONG[1:]], pa.int64()), id="id")
    assert lacking.ids.tolist() == ["", *map(str, LONG[1:])]
    assert "1 of 4 ids are missing, and are empty texts" in lacking.notes
    for name, kind in (("a", pa.int64()), ("b", pa.uint64())):
        written(f"shards/{name}.parquet", LONG, kind)
    assert file.load(path=str(tmp_path / "shards"), id="id").ids.tolist() == [*LONG, *LONG]
    written("shards/c.parquet", ["x", "y", "z", None], pa.string())
    mixed = file.load(path=str(tmp_path / "shards"), id="id")
    assert mixed.ids.tolist() == [*map(str, LONG), *map(str, LONG), "x", "y", "z", ""]


def test_long_ids_in_cells_of_text_and_beside_images_stay_different(tmp_path):
    book = openpyxl.Workbook()
    for row in (("id", "a"), *((str(one), one / 7) for one in LONG)):
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    assert file.load(path=str(tmp_path / "a.xlsx"), id="id").ids.tolist() == LONG
    for ids, expected in ((LONG, LONG), ([None, *LONG[1:]], ["", *map(str, LONG[1:])])):
        table = pa.table({"image": [{"bytes": png(place)} for place in range(4)], "key": ids})
        parquet.write_table(table, tmp_path / "i.parquet")
        assert file.load(path=str(tmp_path / "i.parquet"), id="key").ids.tolist() == expected


def tar(path, *members):
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("twice", ["0.PNG", "0.png", "0.cls"])
def test_no_member_of_a_tar_replaces_another(tmp_path, twice):
    members = [("0.png", png(0)), ("0.cls", b"a"), ("1.png", png(1)), ("1.cls", b"b")]
    tar(tmp_path / "a.tar", *members)
    assert file.load(path=str(tmp_path / "a.tar")).labels.tolist() == [0, 1]
    tar(tmp_path / "a.tar", *members, (twice, b"b" if twice.endswith("cls") else png(2)))
    refused(tmp_path / "a.tar", f"a.tar: it holds {twice.lower()} twice")


def test_options_that_would_do_nothing_are_refused(tmp_path):
    tar(tmp_path / "a.tar", *((f"{place}.png", png(place)) for place in range(3)))
    refused(tmp_path / "a.tar", "the ids of a tar are the names of its samples", id="key")
    refused(tmp_path / "a.tar", "`ignore` names 'nonsense'", ignore=("nonsense",))
    for place in range(3):
        (tmp_path / "i").mkdir(exist_ok=True)
        (tmp_path / "i" / f"{place}.png").write_bytes(png(place))
    refused(tmp_path / "i", "`id: nonsense`.*no table of labels is read", id="nonsense")
    for path in ("i", "a.tar"):
        refused(tmp_path / path, r"would lay the channels of images of shape \(3, 4, 4\) side by side", shape=(12, 4))
    np.save(tmp_path / "cube.npy", np.random.default_rng(0).random((4, 5, 3)))
    with pytest.raises(UserError, match="`truth_variable: gt` does nothing with `truth: none`"):
        scene.load(path=str(tmp_path / "cube.npy"), truth="none", truth_variable="gt")


def test_the_name_of_an_image_has_a_bound(tmp_path):
    images = [{"bytes": png(place), "path": f"{place}" + "x" * 300_000 * place} for place in range(2)]
    parquet.write_table(pa.table({"image": images}), tmp_path / "a.parquet")
    refused(tmp_path / "a.parquet", "the `path` of an image has 300,001 characters, more than the 4,096")


def pictures(folder, *names):
    for place, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png(place))


def test_a_table_whose_first_images_are_missing_is_still_the_table(tmp_path):
    pictures(tmp_path, "0.png", "1.png", "2.png")
    rows = "".join(f"{place}.png,{'ab'[place % 2]}\n" for place in range(3))
    (tmp_path / "labels.csv").write_text(f"file_name,label\ngone.png,a\n{rows}")
    refused(tmp_path, r"1 file is not there, but named in labels\.csv: gone\.png")
    assert file.load(path=str(tmp_path), broken="skip").labels.tolist() == [0, 1, 0]
    (tmp_path / "labels.csv").write_text("file_name,label\nx.png,a\ny.png,b\n")
    refused(tmp_path, r"2 files are not there, but named in labels\.csv: x\.png, y\.png")
    (tmp_path / "labels.csv").write_text("id,label\ngone,a\n0,a\n1,b\n2,a\n")
    refused(tmp_path, r"1 file is not there, but named in .*: gone")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("m.csv", "file_name,label\n0.png,a,b\n1.png,b\n", r"m\.csv: .*row 1 .* more fields than the first line"),
        ("m.csv", "file_name,label\n0.png,a\n1.png,b,c\n", r"m\.csv: .*row 2 .* more fields than the first line"),
        ("m.jsonl", "[" * 100_000, r"m\.jsonl: .*row 1 \(counted from 1\) is no JSON"),
        ("m.jsonl", '{"file_name": "0.png", "label": 1}\n' + "[" * 100_000, r"m\.jsonl: .*row 2 .* is no JSON"),
        ("m.jsonl", '{"file_name": "0.png", "label": 1}\n{"label": 2}\n', r"m\.jsonl: row 2 .* has no 'file_name'"),
        ("m.jsonl", '{"label": 2}\n{"file_name": "0.png", "label": 1}\n', r"m\.jsonl: row 1 .* has no 'file_name'"),
    ],
)
def test_a_damaged_table_of_labels_names_the_row(tmp_path, name, content, said):
    pictures(tmp_path / "i", "0.png", "1.png")
    (tmp_path / "i" / name).write_text(content)
    refused(tmp_path / "i", said)


def test_a_class_may_be_called_train(tmp_path):
    pictures(tmp_path / "i", "train/0.png", "car/1.png", "bus/2.png")
    assert file.load(path=str(tmp_path / "i")).class_names == ("bus", "car", "train")
    pictures(tmp_path / "j", "train/a/0.png", "train/b/1.png", "val/a/2.png")
    assert file.load(path=str(tmp_path / "j")).class_names == ("a", "b")
    pictures(tmp_path / "k", "train/a/0.png", "test/b/1.png", "car/2.png")
    refused(tmp_path / "k", "its folders test, train are parts of a data set, but car beside them is none")


@pytest.mark.parametrize(("content", "reason"), [("cut", "truncated"), ("bomb", "exceeds limit")])
def test_a_damaged_image_of_a_torchvision_set_is_named(tmp_path, content, reason):
    pytest.importorskip("torchvision")
    pictures(tmp_path / "eurosat" / "2750", "A/0.png", "A/1.png", "B/2.png")
    whole = png(0, (64, 64))
    # The head of a PNG says its size, with a checksum.
    size = struct.pack(">II", 100_000, 100_000) + whole[24:29]
    head = size + struct.pack(">I", zlib.crc32(b"IHDR" + size))
    bad = whole[: len(whole) // 2] if content == "cut" else whole[:16] + head + whole[33:]
    (tmp_path / "eurosat" / "2750" / "A" / "1.png").write_bytes(bad)
    with pytest.raises(UserError, match=f"image 1 .counted from 0. of a part cannot be decoded .*{reason}") as error:
        torchvision.load(set="EuroSAT", path=str(tmp_path))
    assert "\n" not in str(error.value)


def test_of_a_packed_file_no_more_is_unpacked_than_its_header_says(tmp_path):
    """64 MiB of zeros, packed in 64 kB."""
    head = b"\0\0\x08\3" + struct.pack(">III", 4, 2, 2)
    (tmp_path / "a-idx3-ubyte.gz").write_bytes(gzip.compress(head + bytes(1 << 26)))
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=r"it has 17 values or more, but its header says \(4, 2, 2\)"):
            known_sets.read_idx(tmp_path / "a-idx3-ubyte.gz")
        assert tracemalloc.get_traced_memory()[1] < 1 << 22
    finally:
        tracemalloc.stop()
    (tmp_path / "a-idx3-ubyte.gz").write_bytes(gzip.compress(head + bytes(range(16))))
    assert known_sets.read_idx(tmp_path / "a-idx3-ubyte.gz").shape == (4, 2, 2)


def test_a_workbook_has_a_bound(tmp_path, monkeypatch):
    book = openpyxl.Workbook()
    for row in (("a", "b"), *((place / 3, place % 5) for place in range(60))):
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    assert file.load(path=str(tmp_path / "a.xlsx")).n_samples == 60
    monkeypatch.setattr(records, "_MOST_CELLS", 100)
    (tmp_path / "a.xlsx").rename(tmp_path / "b.xlsx")
    refused(tmp_path / "b.xlsx", "the sheet has more than 100 cells: save it as .csv or .parquet")
