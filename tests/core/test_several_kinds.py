"""A folder with several kinds of data: no kind is left out without a word."""

import numpy as np
import pytest
from PIL import Image

from core.datasets import file
from core.errors import UserError
from core.formats.registry import found

RNG = np.random.default_rng(0)


def images(folder, count=5):
    folder.mkdir(parents=True, exist_ok=True)
    for place in range(count):
        Image.fromarray(RNG.integers(0, 256, (8, 8), np.uint8)).save(folder / f"{place}.png")


def table(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("a,b\n" + "".join(f"{a},{b}\n" for a, b in RNG.normal(size=(9, 2))))


def known(folder):
    """CIFAR-10's files by their names; what is in them is not looked at here."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("data_batch_1", "test_batch", "batches.meta"):
        (folder / name).write_bytes(b"")


CASES = {
    "a known set beside class folders": (
        lambda folder: (known(folder / "cifar-10-batches-py"), images(folder / "cats")),
        r"a well-known set \(cifar-10-batches-py/batches.meta and 2 more files\), images \(cats/0.png and 4 more",
    ),
    "a known set beside a table": (
        lambda folder: (known(folder / "cifar-10-batches-py"), table(folder / "wine.csv")),
        r"a well-known set \(.*\), other data \(wine.csv\)",
    ),
    "a known set beside a table in a folder": (
        lambda folder: (known(folder / "cifar-10-batches-py"), table(folder / "more" / "wine.csv")),
        r"a well-known set \(.*\), other data \(more/wine.csv\)",
    ),
    "images and a table of numbers": (
        lambda folder: (images(folder), table(folder / "wine.csv")),
        r"images \(0.png and 4 more files\), other data \(wine.csv\); name one file or folder as `path`, or move",
    ),
    "images in a folder and arrays": (
        lambda folder: (images(folder / "cats"), np.save(folder / "x.npy", np.eye(3))),
        r"images \(cats/0.png and 4 more files\), other data \(x.npy\)",
    ),
    "images and an archive of images": (
        lambda folder: (images(folder / "cats"), (folder / "cats.tar").write_bytes(b"")),
        r"images \(.*\), tables or archives of images \(cats.tar\)",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_several_kinds_are_refused_by_name(case, tmp_path):
    make, said = CASES[case]
    make(tmp_path)
    with pytest.raises(UserError, match=f"this folder holds several kinds of data: {said}"):
        found(str(tmp_path))


def test_a_known_set_beside_its_own_archive_is_taken(tmp_path):
    known(tmp_path / "cifar-10-batches-py")
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"")
    (tmp_path / "figure.png").write_bytes(b"")
    one = found(str(tmp_path))
    assert len(one.names) == 3
    assert one.beside == ("cifar-10-python.tar.gz", "figure.png")


def test_what_is_left_out_is_told(tmp_path):
    table(tmp_path / "t" / "a.csv")
    table(tmp_path / "t" / "more" / "b.csv")
    images(tmp_path / "t", 1)
    assert "left out of the folder: 0.png, more/" in file.load(path=str(tmp_path / "t")).notes
    images(tmp_path / "i")
    table(tmp_path / "i" / "more" / "b.csv")
    assert "files that are no images: more/b.csv" in file.load(path=str(tmp_path / "i")).notes
