# ruff: noqa: RUF001 - the sign of multiplication, as shapes are written
"""Images as people have them, for tests/core/test_formats.py."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

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
                said="several sizes, width x height: 8 x 8, 8 x 6; `size: 6`",
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
            "ambiguous": Broken(make=lambda _: None, said="`size: 8`", data="{name: file, path: photos}"),
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
                said="metadata.csv names 1 file that are not there: images/cell_2.tif",
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
)


def _bomb(file: Path):
    """A PNG of a hundred bytes that claims 60,000 x 60,000 pixels."""
    Image.new("L", (1, 1)).save(file)
    content = bytearray(file.read_bytes())
    content[16:24] = (60_000).to_bytes(4, "big") * 2
    import zlib

    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    file.write_bytes(content)
