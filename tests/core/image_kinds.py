# ruff: noqa: RUF001 - the sign of multiplication, as shapes are written
"""Images as people have them, for tests/core/test_formats.py."""

import io
import json
import os
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

from tests.core.kinds import Broken, Kind, cut

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 8, 8, 3), np.uint8)
LABELS = np.array([3, 4, 3, 4, 3, -1])


def _is(data, pixels, labels, classes, ids):
    """Compares a data set with images (n, H, W, C) or (n, H, W) of bytes, scaled to 0 to 1."""
    pixels = np.asarray(pixels)
    low, high = int(pixels.min()), int(pixels.max())
    rows = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
    np.testing.assert_allclose(data.samples, (rows.astype(np.float32) - low) / (high - low), atol=1e-6)
    assert (None if data.labels is None else data.labels.tolist()) == labels
    assert data.class_names == classes
    assert (None if data.ids is None else list(data.ids)) == ids


def _npz(folder: Path):
    np.savez(folder / "birds.npz", images=PIXELS, y=LABELS)


def _class_folders(folder: Path):
    """Cats and dogs, as a camera and other programs leave them."""
    for place, name in enumerate(("cat/1.png", "dog/1.png", "cat/2.PNG", "dog/2.bmp", "cat/tabby/3.png", "dog/3.tif")):
        file = folder / "pets" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(PIXELS[place]).save(file)
    (folder / "pets" / "cat" / "Thumbs.db").write_bytes(b"\xd0\xcf")
    (folder / "pets" / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (folder / "pets" / "cat" / "._1.png").write_bytes(b"\0\5\x16\7")
    (folder / "pets" / "LICENSE.txt").write_text("CC0")
    (folder / "pets" / "dog" / "all").symlink_to("..", target_is_directory=True)


def _class_folders_are(data):
    _is(
        data,
        PIXELS,
        [0, 1, 0, 1, 0, 1],
        ("cat", "dog"),
        ["cat/1.png", "dog/1.png", "cat/2.PNG", "dog/2.bmp", "cat/tabby/3.png", "dog/3.tif"],
    )
    assert "folders in the class folders are joined: the class is the first folder" in data.notes
    assert "files that are no images: LICENSE.txt" in data.notes


def _flat(folder: Path):
    """Photos of several sizes from a telephone: the last lies on its side, one is grey."""
    (folder / "photos").mkdir()
    for place, (height, width) in enumerate(((16, 24), (24, 16), (8, 8), (12, 8))):
        picture = Image.new(
            "L" if place == 2 else "RGB", (width, height), 40 * place if place == 2 else (0, 0, 60 * place)
        )
        turned = Image.Exif()
        turned[0x0112] = 6 if place == 3 else 1
        picture.save(folder / "photos" / f"IMG_{place}.jpg", quality=95, exif=turned)


def _flat_are(data):
    assert data.samples.shape == (4, 3, 8, 8)
    blue = data.samples.mean(axis=(2, 3))[:, 2] * 255
    np.testing.assert_allclose(blue / blue.max(), np.array([0, 60, 80, 180]) / 180, atol=0.02)
    assert list(data.ids) == [f"IMG_{place}.jpg" for place in range(4)]
    assert data.labels is None
    assert set(data.notes) == {
        "3 images resized: the shorter side to 8 pixels, the middle cut out",
        "1 image turned upright, as the EXIF orientation says",
        "1 image grey, among images in colour: the channels are equal",
    }


GREYS = RNG.integers(0, 4096, (5, 6, 7)).astype(np.uint16)
GREYS[0, 0, :2] = 0, 4095


def _with_table(folder: Path):
    """Microscopy: grey images of 12 bits in 16, and a table from a German spreadsheet; one has no label."""
    place = folder / "cells" / "images"
    place.mkdir(parents=True)
    for number, grey in enumerate(GREYS):
        Image.fromarray(grey).save(place / f"cell_{number}.{'png' if number % 2 else 'tif'}")
    names = [f"images/{file.name}" for file in sorted(place.iterdir())]
    rows = ["file_name;stage;label", *(f"{name};{i};{'G1' if i % 2 else 'Mitöse'}" for i, name in enumerate(names[:4]))]
    (folder / "cells" / "metadata.csv").write_bytes(("\ufeff" + "\r\n".join(rows) + "\r\n").encode())


def _with_table_are(data):
    _is(
        data,
        np.rint(GREYS * (255 / 4095)).astype(np.uint8),
        [1, 0, 1, 0, -1],
        ("G1", "Mitöse"),
        [f"images/cell_{number}.{'png' if number % 2 else 'tif'}" for number in range(5)],
    )
    assert "all images of more than 8 bits: their numbers, 0 to 4095, are scaled to 0 to 255" in data.notes
    assert "1 image without a row in metadata.csv: images/cell_4.tif" in data.notes


def _parts(folder: Path):
    """Icons of PNG and GIF with palettes and transparent parts, in `train` and `test`; class 10 comes after 9."""
    for place, name in enumerate(("train/9/a.png", "train/10/b.gif", "test/9/c.webp", "test/10/d.png")):
        file = folder / "icons" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("gif"):
            frames = [Image.new("P", (4, 4), shade) for shade in (0, 1)]
            for frame in frames:
                frame.putpalette([10, 20, 30, 40, 50, 60])
            frames[0].save(file, save_all=True, append_images=frames[1:])
        elif name.endswith("webp"):
            Image.new("RGB", (4, 4), (200, 100, 0)).save(file, lossless=True)
        else:
            Image.new("RGBA", (4, 4), (0, 0, 0, 0 if place else 255)).save(file)


def _parts_are(data):
    colours = np.array([(0, 0, 0), (10, 20, 30), (200, 100, 0), (255, 255, 255)], np.uint8)
    _is(
        data,
        np.broadcast_to(colours[:, None, None], (4, 4, 4, 3)),
        [0, 1, 0, 1],
        ("9", "10"),
        ["train/9/a.png", "train/10/b.gif", "test/9/c.webp", "test/10/d.png"],
    )
    assert set(data.notes) == {
        "the images of the folders test, train are read together (`split: train`: of one)",
        "1 image with transparent parts: laid on white",
        "1 image of several frames or pages: the first is read",
    }


def _print(folder: Path):
    """Scans for print with one that is broken, which the study leaves out."""
    (folder / "scans").mkdir()
    for place in range(3):
        Image.new("CMYK", (5, 5), (0, 0, 0, 100 * place)).save(folder / "scans" / f"{place}.tif")
    Image.fromarray(PIXELS[0]).save(folder / "scans" / "3.jpg")
    cut(folder / "scans" / "3.jpg")


def _print_are(data):
    shades = np.array([255, 155, 55], np.uint8)
    _is(data, np.broadcast_to(shades[:, None, None, None], (3, 5, 5, 3)), None, (), ["0.tif", "1.tif", "2.tif"])
    assert data.notes[0].startswith("1 of 4 images left out (`broken: skip`): 3.jpg (")
    assert data.notes[1] == "all images in the colours of print (CMYK): read as red, green and blue"


def _encoded(pixels, kind="PNG"):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


FEATURES = {
    "img": {"_type": "Image"},
    "label": {"names": ["airplane", "automobile", "bird"], "_type": "ClassLabel"},
    "source": {"dtype": "string", "_type": "Value"},
}


def _hugging_face(folder: Path, name="planes.parquet", rows=range(6), **columns):
    """As `datasets` writes it: bytes and paths in a struct, class numbers, and their names in the metadata."""
    images = [{"bytes": _encoded(PIXELS[row]), "path": f"{row}.png"} for row in rows]
    columns = {
        "img": images,
        "label": [(0, 2, 0, 2, 0, -1)[row] for row in rows],
        "source": ["web"] * len(rows),
    } | columns
    about = {"huggingface": json.dumps({"info": {"features": FEATURES}})}
    (folder / name).parent.mkdir(exist_ok=True)
    parquet.write_table(pa.table(columns).replace_schema_metadata(about), folder / name, row_group_size=2)


def _hugging_face_is(data):
    _is(data, PIXELS, [0, 1, 0, 1, 0, -1], ("airplane", "bird"), [f"{row}.png" for row in range(6)])
    assert data.left_out == ("source (beside the images)",)


def _shards(folder: Path):
    (folder / "planes").mkdir()
    (folder / "planes" / "README.md").write_text("# Planes")
    _hugging_face(folder / "planes", "data/test-00000-of-00001.parquet", range(2))
    _hugging_face(folder / "planes", "data/train-00000-of-00002.parquet", range(2, 4))
    _hugging_face(folder / "planes", "data/train-00001-of-00002.parquet", range(4, 6))


def _tar(file: Path, members):
    file.parent.mkdir(exist_ok=True)
    with tarfile.open(file, "w") as archive:
        for name, content in members:
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
        for name in ("../escape.jpg", "link.jpg"):
            about = tarfile.TarInfo(name)
            about.type, about.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(about)


def _web_dataset(folder: Path):
    """Two shards: images, classes, and further text and JSON beside them."""
    for shard in range(2):
        members = []
        for row in range(3 * shard, 3 * shard + 3):
            members += [
                (f"./{row:06}.png", _encoded(PIXELS[row])),
                (f"./{row:06}.cls", b"%d" % (row % 2 + 7)),
                (f"./{row:06}.json", json.dumps({"caption": f"image {row}", "size": [8, 8]}).encode()),
            ]
        _tar(folder / "shards" / f"train-{shard:05}.tar", members)


def _web_dataset_is(data):
    _is(data, PIXELS, [0, 1, 0, 1, 0, 1], ("7", "8"), [f"{row:06}" for row in range(6)])
    assert data.left_out == ("caption (beside the images)",)


KINDS = (
    Kind(
        title="images and labels in one `.npz` (NumPy)",
        data="{name: file, path: birds.npz}",
        line="birds: 6 samples × 3 channels × 8 height × 8 width (read as height × width × channels), "
        "labels: y, 2 classes (3, 4), 1 unlabelled (-1)",
        make=_npz,
        check=lambda data: _is(data, PIXELS, [0, 1, 0, 1, 0, -1], ("3", "4"), None),
        broken={
            "cut short": Broken(make=lambda folder: cut(folder / "birds.npz"), said="birds.npz: it cannot be read"),
            "wrong type": Broken(
                make=lambda folder: np.savez(folder / "birds.npz", images=PIXELS.astype(complex), y=LABELS),
                said="must be real numbers",
            ),
            "ambiguous": Broken(
                make=lambda folder: np.savez(folder / "birds.npz", a=PIXELS, b=PIXELS, y=LABELS),
                said="several arrays could be the samples",
            ),
        },
    ),
    Kind(
        title="images in class folders (PNG, BMP, TIFF, …)",
        data="{name: file, path: pets}",
        line="pets: 6 samples × 3 channels × 8 height × 8 width (read as height × width × channels), "
        "labels: folder, 2 classes (cat, dog)",
        make=_class_folders,
        check=_class_folders_are,
        broken={
            "cut short": Broken(
                make=lambda folder: [cut(folder / "pets" / one) for one in ("cat/1.png", "dog/2.bmp")],
                said=r"pets: 2 images of 6 cannot be decoded: cat/1.png \(.*\), dog/2.bmp \(.*`broken: skip`$",
            ),
            "wrong type": Broken(
                make=lambda folder: (folder / "pets" / "dog" / "1.png").write_text("<html>Not found</html>"),
                said=r"1 image of 6 cannot be decoded: dog/1.png \(it is no image of a known format\)",
            ),
            "ambiguous": Broken(
                make=lambda folder: Image.fromarray(PIXELS[0]).save(folder / "pets" / "0.png"),
                said=r"1 image beside the class folders \(0.png\): .*`labels: none`",
            ),
            "of several sizes": Broken(
                make=lambda folder: Image.fromarray(PIXELS[0, :6]).save(folder / "pets" / "dog" / "4.png"),
                said="several sizes, width x height: 8 x 6, 8 x 8; `size: 8`, the median",
            ),
            "a FIFO among them": Broken(
                make=lambda folder: os.mkfifo(folder / "pets" / "cat" / "5.png"), said="are no files: cat/5.png "
            ),
            "a bomb": Broken(
                make=lambda folder: _bomb(folder / "pets" / "cat" / "6.png"),
                said=r"cat/6.png \(it claims to have more than 134,217,728 pixels\)",
            ),
            "labels of no table": Broken(
                make=lambda _: None, said="no table beside", data="{name: file, path: pets, labels: breed}"
            ),
        },
    ),
    Kind(
        title="photos of several sizes in one folder (JPEG, no labels)",
        data="{name: file, path: photos, size: 8}",
        line="photos: 4 samples × 3 channels × 8 height × 8 width (read as height × width × channels), no labels",
        make=_flat,
        check=_flat_are,
        broken={
            "cut short": Broken(make=lambda folder: cut(folder / "photos" / "IMG_1.jpg"), said="IMG_1.jpg"),
            "wrong type": Broken(make=lambda folder: (folder / "photos" / "IMG_3.jpg").write_bytes(b""), said="IMG_3"),
            "ambiguous": Broken(make=lambda _: None, said="`size: 12`", data="{name: file, path: photos}"),
        },
    ),
    Kind(
        title="images and a table of their labels (16-bit grey, `metadata.csv` or `.jsonl`)",
        data="{name: file, path: cells}",
        line="cells: 5 samples × 1 channel × 6 height × 7 width (read as height × width), "
        "labels: label, 2 classes (G1, Mitöse), 1 unlabelled (empty)",
        make=_with_table,
        check=_with_table_are,
        broken={
            "cut short": Broken(
                make=lambda folder: (folder / "cells" / "images" / "cell_2.tif").unlink(),
                said="1 file is not there, but named in metadata.csv: images/cell_2.tif",
            ),
            "wrong type": Broken(
                make=lambda folder: (folder / "cells" / "metadata.csv").write_bytes(
                    b"file_name,a,b\nimages/cell_0.tif,1,2\n"
                ),
                said="which of its columns a, b are the labels",
            ),
            "ambiguous": Broken(
                make=lambda folder: (folder / "cells" / "labels.jsonl").write_text(
                    '{"file_name": "images/cell_0.tif", "label": 3}\n'
                ),
                said="several tables name its images: labels.jsonl, metadata.csv",
            ),
        },
    ),
    Kind(
        title="images in class folders below `train` and `test` (GIF, WebP, transparent PNG)",
        data="{name: file, path: icons}",
        line="icons: 4 samples × 3 channels × 4 height × 4 width (read as height × width × channels), "
        "labels: folder, 2 classes (9, 10)",
        make=_parts,
        check=_parts_are,
        broken={
            "cut short": Broken(make=lambda folder: cut(folder / "icons" / "test" / "9" / "c.webp"), said="c.webp"),
            "wrong type": Broken(
                make=lambda _: None, said="split", data="{name: file, path: icons/train, split: test}"
            ),
            "ambiguous": Broken(
                make=lambda folder: (folder / "icons" / "test" / "9").rename(folder / "icons" / "9"),
                said="its folders test, train are parts of a data set, but 9 beside them is none",
            ),
        },
    ),
    Kind(
        title="scans for print, of which some are broken (CMYK TIFF)",
        data="{name: file, path: scans, broken: skip}",
        line="scans: 3 samples × 3 channels × 5 height × 5 width (read as height × width × channels), no labels",
        make=_print,
        check=_print_are,
        broken={
            "cut short": Broken(make=lambda _: None, said="3.jpg", data="{name: file, path: scans}"),
            "wrong type": Broken(
                make=lambda folder: [file.write_bytes(b"?") for file in (folder / "scans").iterdir()],
                said="4 images of 4 cannot be decoded",
            ),
            "ambiguous": Broken(
                make=lambda _: None, said="`layout` does nothing", data="{name: file, path: scans, layout: nhwc}"
            ),
        },
    ),
    Kind(
        title="Hugging Face's Parquet with images",
        data="{name: file, path: planes.parquet}",
        line="planes: 6 samples × 3 channels × 8 height × 8 width (read as height × width × channels), "
        "labels: label, 2 classes (airplane, bird), 1 unlabelled (-1)",
        make=_hugging_face,
        check=_hugging_face_is,
        broken={
            "cut short": Broken(make=lambda folder: cut(folder / "planes.parquet"), said="planes.parquet"),
            "wrong type": Broken(
                make=lambda folder: _hugging_face(folder, img=[{"bytes": b"GIF8", "path": "a"}] * 5 + [None]),
                said=r"6 images of 6 cannot be decoded: a \(it is no image of a known format\), .* \(there is none\)",
            ),
            "ambiguous": Broken(
                make=lambda folder: _hugging_face(folder, targets=[1, 2, 3, 1, 2, 3]),
                said="several could be the labels: label, targets",
            ),
        },
    ),
    Kind(
        title="a folder of shards of that (`train-…`, `test-…`)",
        data="{name: file, path: planes, split: train}",
        line="planes: 4 samples × 3 channels × 8 height × 8 width (read as height × width × channels), "
        "labels: label, 2 classes (airplane, bird), 1 unlabelled (-1)",
        make=_shards,
        check=lambda data: _is(
            data, PIXELS[2:], [0, 1, 0, -1], ("airplane", "bird"), [f"{row}.png" for row in range(2, 6)]
        ),
        broken={
            "cut short": Broken(
                make=lambda folder: cut(folder / "planes" / "data" / "train-00001-of-00002.parquet"),
                said="planes: it cannot be read .* cut short",
            ),
            "wrong type": Broken(
                make=lambda folder: parquet.write_table(
                    pa.table({"a": [1.0]}), folder / "planes" / "data" / "train-00001-of-00002.parquet"
                ),
                said="train-00001-of-00002.parquet: it has no column img, label, which train-00000-of-00002",
            ),
            "ambiguous": Broken(
                make=lambda folder: _hugging_face(
                    folder / "planes", "data/train-00000-of-00002.parquet", [2, 3], target=[0, 1]
                ),
                said="several could be the labels: label, target",
            ),
        },
    ),
    Kind(
        title="WebDataset: tars of images and classes",
        data="{name: file, path: shards}",
        line="shards: 6 samples × 3 channels × 8 height × 8 width (read as height × width × channels), "
        "labels: cls, 2 classes (7, 8)",
        make=_web_dataset,
        check=_web_dataset_is,
        broken={
            "cut short": Broken(make=lambda folder: cut(folder / "shards" / "train-00001.tar", 0.1), said="cut short"),
            "wrong type": Broken(
                make=lambda folder: (folder / "shards" / "train-00000.tar").write_bytes(b"\x1f\x8b" * 999),
                said="shards: it cannot be read .* another format",
            ),
            "ambiguous": Broken(
                make=lambda folder: _tar(
                    folder / "shards" / "train-00000.tar",
                    [("a.left.png", _encoded(PIXELS[0])), ("a.right.png", _encoded(PIXELS[1]))],
                ),
                said="the sample a has several images: left.png, right.png; name one: `features: left.png`",
            ),
        },
    ),
)


def _bomb(file: Path):
    """A PNG of a hundred bytes that claims 60,000 x 60,000 pixels."""
    Image.new("L", (1, 1)).save(file)
    content = bytearray(file.read_bytes())
    content[16:24] = (60_000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    file.write_bytes(content)
