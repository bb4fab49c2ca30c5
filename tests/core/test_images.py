"""Images in folders: layouts and oddities beyond those of tests/core/test_formats.py, and the processes that decode."""

import contextlib
import json
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import conclus
from core.data.columns import Wanted
from core.datasets import file
from core.errors import UserError
from core.formats import images

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 8, 8, 3), np.uint8)


def save(array, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def read(folder, **options):
    """The images as bytes (n, H, W, C) or (n, H, W), and the part."""
    part = images.read(folder, Wanted(**options))
    return part.samples.transpose(0, 2, 3, 1).squeeze(-1) if part.samples.shape[1] == 1 else part.samples.transpose(
        0, 2, 3, 1
    ), part


def many(folder, count=1200):
    """So many different small images that processes decode them."""
    folder.mkdir()
    pixels = RNG.integers(0, 256, (count, 4, 4, 3), np.uint8)
    for place, one in enumerate(pixels):
        Image.fromarray(one).save(folder / f"{place:05}.png", compress_level=0)
    return pixels


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data sets are not there")
def test_fashion_mnist_as_a_folder_is_fashion_mnist(tmp_path):
    """Written in the order of its rows, by number: the same bits, and the same scores of a trial."""
    with np.load(SHARED / "image" / "fashion_mnist_10k.npz") as stored:
        pixels, labels = stored["x"][:2000], stored["y"][:2000]
    for label in range(10):
        (tmp_path / "fashion" / str(label)).mkdir(parents=True)
    for place, (one, label) in enumerate(zip(pixels, labels, strict=True)):
        Image.fromarray(one.reshape(28, 28)).save(
            tmp_path / "fashion" / str(label) / f"{place:05}.png", compress_level=0
        )
    np.savez(tmp_path / "fashion.npz", x=pixels.reshape(-1, 28, 28), y=labels)
    arrays, folders = (file.load(path=str(tmp_path / name)) for name in ("fashion.npz", "fashion"))
    assert np.array_equal(arrays.samples, folders.samples)
    assert np.array_equal(arrays.labels, folders.labels)
    assert folders.class_names == tuple("0123456789")
    scores = []
    for name in ("fashion.npz", "fashion"):
        trial = {"data": {"name": "file", "path": str(tmp_path / name)}, "method": {"name": "cc"}, "epochs": 1}
        trial |= {"encoder": {"name": "linear"}, "batch_size": 500}
        study = {"study": "s", "trial": trial, "seeds": [3]}
        (tmp_path / "s.yaml").write_text(yaml.safe_dump(study))
        place = str(tmp_path / f"results-{name}")
        assert conclus.run(conclus.load_study(tmp_path / "s.yaml"), results=place, workers=1).done == 1
        (row,) = conclus.read_results([place]).to_pylist()
        scores.append({key: one for key, one in row.items() if key.startswith(("metric.", "best.", "history"))})
    assert scores[0] == scores[1]
    assert len(scores[0]) > 5


def test_what_is_prepared_by_processes_is_what_threads_prepare(tmp_path, monkeypatch):
    pixels = many(tmp_path / "many")
    found = file.load(path=str(tmp_path / "many"), scale="none")
    assert np.array_equal(found.samples, pixels.transpose(0, 3, 1, 2))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no python"))
    assert np.array_equal(file.load(path=str(tmp_path / "many"), scale="none").samples, found.samples)


def in_a_daemon(folder, cache, out):
    os.environ["XDG_CACHE_HOME"] = cache
    np.save(out, file.load(path=folder, scale="none").samples)


def test_a_daemon_process_prepares_images_too(tmp_path):
    """As Ray's workers and those of a data loader are: `multiprocessing` would refuse to start processes there."""
    pixels = many(tmp_path / "many")
    arguments = (str(tmp_path / "many"), str(tmp_path / "cache"), tmp_path / "out.npy")
    process = multiprocessing.get_context("spawn").Process(target=in_a_daemon, args=arguments, daemon=True)
    process.start()
    process.join()
    assert process.exitcode == 0
    assert np.array_equal(np.load(tmp_path / "out.npy"), pixels.transpose(0, 3, 1, 2))


def test_a_killed_process_is_told_in_one_line(tmp_path):
    """The kernel kills what needs too much memory; nothing half prepared is kept."""
    many(tmp_path / "many", 3000)
    victims = []

    def kill():
        while not victims:
            # Threads and processes may be gone before they are looked at.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                for task in Path("/proc/self/task").iterdir():
                    for child in (task / "children").read_text().split():
                        if "core.formats.pictures" in Path(f"/proc/{child}/cmdline").read_text() and not victims:
                            victims.append(int(child))
                            os.kill(int(child), signal.SIGSTOP)  # so that it is not done before others wait for it
                            time.sleep(0.5)
                            os.kill(int(child), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with pytest.raises(UserError, match=r"a process that decodes images was ended \(code -9\)"):
            file.load(path=str(tmp_path / "many"))
    finally:
        victims.append(0)
        killer.join()
    assert file.load(path=str(tmp_path / "many"), scale="none").n_samples == 3000


def test_broken_images_among_many_leave_the_others_in_their_rows(tmp_path):
    pixels = many(tmp_path / "many")
    broken = [0, 63, 64, 700, 1199]
    for place in broken:
        (tmp_path / "many" / f"{place:05}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(UserError, match=r"5 images of 1,200 cannot be decoded: 00000.png \(.*01199.png \("):
        file.load(path=str(tmp_path / "many"))
    found = file.load(path=str(tmp_path / "many"), broken="skip", scale="none")
    kept = np.delete(np.arange(1200), broken)
    assert np.array_equal(found.samples, pixels[kept].transpose(0, 3, 1, 2))
    assert list(found.ids) == [f"{place:05}.png" for place in kept]
    assert found.notes[0].startswith("5 of 1,200 images left out (`broken: skip`): 00000.png (")


def test_of_many_broken_images_twenty_are_named(tmp_path):
    for place in range(30):
        (tmp_path / "i").mkdir(exist_ok=True)
        (tmp_path / "i" / f"{place:02}.gif").write_bytes(b"GIF89a")
    with pytest.raises(UserError) as error:
        file.load(path=str(tmp_path / "i"))
    assert len(re.findall(r"\d\d\.gif", str(error.value))) == 20
    assert "30 images of 30 cannot be decoded" in str(error.value)


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (1, lambda upright: upright),
        (2, lambda upright: upright[:, ::-1]),
        (3, lambda upright: upright[::-1, ::-1]),
        (4, lambda upright: upright[::-1]),
        (5, lambda upright: upright.transpose(1, 0, 2)),
        (6, np.rot90),
        (7, lambda upright: upright[::-1, ::-1].transpose(1, 0, 2)),
        (8, lambda upright: np.rot90(upright, -1)),
    ],
)
@pytest.mark.parametrize("kind", ["png", "tif", "webp"])
def test_each_orientation_is_turned_upright(tmp_path, orientation, stored, kind):
    upright = PIXELS[0][:5]
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(np.ascontiguousarray(stored(upright)), tmp_path / "i" / f"a.{kind}", exif=exif, lossless=True)
    save(upright, tmp_path / "i" / "b.png")
    found, _ = read(tmp_path / "i")
    assert np.array_equal(found[0], found[1])


def test_the_middle_of_an_image_is_cut_out(tmp_path):
    """Of three bands the middle one, in either direction; a smaller image is enlarged."""
    wide = np.repeat(np.repeat(np.array([[10, 200, 30]], np.uint8), 20, 0), 20, 1)
    for name, array in (
        ("a", wide),
        ("b", wide.T),
        ("c", np.full((3, 3), 99, np.uint8)),
        ("d", np.full((4, 4), 7, np.uint8)),
    ):
        save(np.ascontiguousarray(array), tmp_path / "i" / f"{name}.png")
    found, part = read(tmp_path / "i", size=4)
    assert found.shape == (4, 4, 4)
    assert [np.unique(one[1:3, 1:3]).tolist() for one in found] == [[200], [200], [99], [7]]
    assert part.notes == ("3 images resized: the shorter side to 4 pixels, the middle cut out; 1 image was smaller",)


def test_a_large_photo_is_reduced_without_stripes(tmp_path):
    """Lines of one pixel become grey, as each pixel of a smaller image is the mean of those below it."""
    lines = np.zeros((512, 512), np.uint8)
    lines[::2] = 255
    save(lines, tmp_path / "i" / "a.png")
    found, _ = read(tmp_path / "i", size=16)
    assert np.abs(found.astype(int) - 127).max() <= 2


def test_a_jpeg_is_not_reduced_below_its_size(tmp_path):
    """Its decoder can leave out detail at once; bands of four pixels are still there at half the size."""
    bands = np.repeat(np.array([0, 255] * 4, np.uint8), 4)[None].repeat(32, 0)
    save(bands, tmp_path / "i" / "a.jpg", quality=95)
    save(bands[:16, :16].copy(), tmp_path / "i" / "b.jpg", quality=95)
    found, _ = read(tmp_path / "i", size=16)
    assert found[0, 8].min() < 30
    assert found[0, 8].max() > 225


@pytest.mark.parametrize(
    ("mode", "value", "expected", "channels"),
    [
        ("1", 1, (255,), 1),
        ("L", 77, (77,), 1),
        ("LA", (0, 51), (204,), 1),
        ("P", 0, (10, 20, 30), 3),
        ("RGBA", (255, 0, 0, 51), (255, 204, 204), 3),
        ("CMYK", (255, 0, 0, 0), (0, 255, 255), 3),
    ],
)
def test_each_mode_becomes_grey_or_colour(tmp_path, mode, value, expected, channels):
    image = Image.new(mode, (4, 4), value)
    if mode == "P":
        image.putpalette([10, 20, 30])
    (tmp_path / "i").mkdir()
    image.save(tmp_path / "i" / "a.tif")
    found, part = read(tmp_path / "i")
    assert part.samples.shape == (1, channels, 4, 4)
    assert found.reshape(16, channels).tolist() == [list(expected)] * 16


def test_a_grey_palette_is_grey(tmp_path):
    (tmp_path / "i").mkdir()
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 90, 90, 90])
    image.save(tmp_path / "i" / "a.gif")
    found, part = read(tmp_path / "i")
    assert part.samples.shape == (1, 1, 4, 4)
    assert np.unique(found).tolist() == [90]


def test_deep_images_share_one_scale_and_refuse_nan(tmp_path):
    save(np.full((4, 4), 1000, np.uint16), tmp_path / "i" / "a.png")
    save(np.full((4, 4), -0.5, np.float32), tmp_path / "i" / "b.tif")
    save(np.full((4, 4), 3000, np.int32), tmp_path / "i" / "c.tif")
    found, part = read(tmp_path / "i")
    assert found[:, 0, 0].tolist() == [85, 0, 255]
    assert part.notes == ("all images of more than 8 bits: their numbers, -0.5 to 3000, are scaled to 0 to 255",)
    save(np.full((4, 4), np.nan, np.float32), tmp_path / "i" / "d.tif")
    with pytest.raises(UserError, match=r"d.tif \(some of its numbers are not finite\)"):
        read(tmp_path / "i")


def test_grey_images_before_those_in_colour(tmp_path):
    """That there are colours is only known at the end, as the first ones looked at are grey."""
    for place in range(450):
        save(PIXELS[0] if place == 299 else PIXELS[0, :, :, 0], tmp_path / "i" / f"{place:03}.png", compress_level=0)
    found, part = read(tmp_path / "i")
    assert np.array_equal(found[299], PIXELS[0])
    assert np.array_equal(found[0], np.repeat(PIXELS[0, :, :, :1], 3, 2))
    assert part.notes == ("449 images grey, among images in colour: the channels are equal",)


def test_hostile_names_and_links(tmp_path, command, monkeypatch):
    place = tmp_path / "i"
    for name in (b"a\n\x1b[2J.png", b"caf\xe9.png", "\u202egnp.x.png".encode()):
        save(PIXELS[0], place / "x" / os.fsdecode(name))
    save(PIXELS[1], place / "y" / "1.png")
    (place / "y" / "up").symlink_to(place)
    (place / "y" / "here").symlink_to(".")
    (place / "z").symlink_to(place / "y")
    (place / "x" / "gone.png").symlink_to("nowhere")
    monkeypatch.chdir(tmp_path)
    code, out, err = command("data", "i")
    assert (code, out) == (2, "")
    assert "some images are no files: x/gone.png (it is no plain file)" in err
    code, out, err = command("data", "i", "--set", "broken=skip", "--head", "--out", "o.png")
    assert code == 0, err
    assert out.startswith("i: 5 samples")
    assert r"\x1b[2J" in out
    assert not set("\x1b\u202e").intersection(out)
    ids = list(file.load(path="i", broken="skip").ids)
    assert {"y/1.png", "z/1.png", r"x/caf\xe9.png", "x/a\n\x1b[2J.png"} < set(ids)


def test_names_are_found_as_fast_as_the_disk_lists_them(tmp_path):
    """100,000 in about a second: here 20,000, against a bare walk."""
    save(PIXELS[0], tmp_path / "i" / "0.png")
    for label in range(20):
        (tmp_path / "i" / f"c{label}").mkdir()
        for place in range(1000):
            os.link(tmp_path / "i" / "0.png", tmp_path / "i" / f"c{label}" / f"{place}.png")
    (tmp_path / "i" / "0.png").unlink()

    def seconds(work):
        times = []
        for _ in range(5):
            began = time.process_time()
            assert work() == 20_000
            times.append(time.process_time() - began)
        return min(times)

    bare = seconds(lambda: sum(len(names) for _, _, names in os.walk(tmp_path / "i")))
    assert seconds(lambda: len(images.files(tmp_path / "i"))) < max(10 * bare, 0.2)


def write(folder, names):
    for place, name in enumerate(names):
        save(PIXELS[place], folder / name)


TABLES = {
    "names without a suffix": ({"labels.csv": "id,breed\n0,pug\n1,husky\n2,pug\n"}, {}, "breed"),
    "lines of JSON": (
        {
            "metadata.jsonl": "".join(
                json.dumps({"file_name": f"{i}.png", "label": f"l{i % 2}", "x": [i]}) + "\n" for i in range(3)
            )
        },
        {},
        "label",
    ),
    "a column named": ({"m.tsv": "image\ta\tb\n./0.png\tu\tv\n1.png\tv\tu\n2.png\tu\tw\n"}, {"labels": "a"}, "a"),
    "the column of files named": ({"m.csv": "x,key\nu,0.png\nv,1.png\nu,2.png\n"}, {"id": "key"}, "x"),
}


@pytest.mark.parametrize("case", TABLES)
def test_tables_that_name_images(case, tmp_path):
    tables, options, column = TABLES[case]
    write(tmp_path / "i", ["0.png", "1.png", "2.png"])
    for name, text in tables.items():
        (tmp_path / "i" / name).write_text(text)
    found = file.load(path=str(tmp_path / "i"), **options)
    assert found.label_name == column
    assert found.labels.tolist() in ([1, 0, 1], [0, 1, 0])
    assert found.labels[0] == found.labels[2] != found.labels[1]


def test_a_table_and_class_folders_are_told_apart(tmp_path):
    write(tmp_path / "i", ["a/0.png", "b/1.png", "a/2.png"])
    (tmp_path / "i" / "labels.csv").write_text("file,label\na/0.png,x\nb/1.png,x\na/2.png,y\n")
    by_table, by_folder = (file.load(path=str(tmp_path / "i"), labels=labels) for labels in (None, "folder"))
    assert (by_table.class_names, by_folder.class_names) == (("x", "y"), ("a", "b"))
    assert "the labels are those of labels.csv" in by_table.notes
    (tmp_path / "i" / "labels.csv").write_text("file,label\na/0.png,x\nb/1.png,x\na/0.png,y\n")
    with pytest.raises(UserError, match=r"labels.csv: it names a/0.png twice, as 'x' and as 'y'"):
        file.load(path=str(tmp_path / "i"))


def test_folders_of_parts(tmp_path):
    write(
        tmp_path / "i",
        ["Train/a/0.png", "Train/b/1.png", "test/a/2.png", "test/b/3.png", "val/a/4.png", "unlabeled/5.png"],
    )
    found = {split: file.load(path=str(tmp_path / "i"), split=split) for split in (None, "train", "test")}
    assert list(found["train"].ids) == ["Train/a/0.png", "Train/b/1.png"]
    assert list(found["test"].ids) == ["test/a/2.png", "test/b/3.png"]
    assert found[None].labels.tolist() == [0, 1, 0, 1, 0, -1]


def test_one_folder_around_all_is_no_class_and_a_class_is_left_out(tmp_path):
    write(tmp_path / "i", ["101/cat/0.png", "101/dog/1.png", "101/clutter/2.png", "101/dog/3.png"])
    found = file.load(path=str(tmp_path / "i"), ignore=("clutter",))
    assert found.class_names == ("cat", "dog")
    assert found.left_out == ("clutter (a folder of 1 image, ignored)",)
    with pytest.raises(UserError, match="`ignore` names 'bird', but its class folders are cat, clutter, dog"):
        file.load(path=str(tmp_path / "i"), ignore=("bird",))


def test_one_changed_image_is_read_anew(tmp_path):
    write(tmp_path / "i", ["0.png", "1.png"])
    before = file.load(path=str(tmp_path / "i"))
    save(PIXELS[5], tmp_path / "i" / "1.png")
    after = file.load(path=str(tmp_path / "i"))
    assert before.fingerprint != after.fingerprint
    assert not np.array_equal(before.samples[1], after.samples[1])


@pytest.mark.parametrize("name", ["1.png", "2.png", "labels.csv"])
def test_images_that_change_while_they_are_read_are_refused(tmp_path, monkeypatch, name):
    write(tmp_path / "i", ["0.png", "1.png"])
    load = file._load

    def slow(*given, **named):
        found = load(*given, **named)
        if name.endswith(".csv"):
            (tmp_path / "i" / name).write_text("file_name,label\n0.png,a\n1.png,b\n")
        else:
            save(PIXELS[5], tmp_path / "i" / name)
        return found

    monkeypatch.setattr(file, "_load", slow)
    with pytest.raises(UserError, match="changed while it was read"):
        file.load(path=str(tmp_path / "i"))


def test_a_table_of_numbers_beside_pictures_stays_a_table(tmp_path):
    """A folder of tables in which a figure lies, too."""
    (tmp_path / "i").mkdir()
    (tmp_path / "i" / "a.csv").write_text("a,b\n" + "".join(f"{i / 3},{i % 5}\n" for i in range(9)))
    save(PIXELS[0], tmp_path / "i" / "figure.png")
    assert file.load(path=str(tmp_path / "i")).feature_names == ("a", "b")


def test_of_many_sizes_the_limits_and_the_most_common_are_named(tmp_path):
    for place in range(9):
        save(np.zeros((20 + place, 40, 3), np.uint8), tmp_path / "i" / f"{place}.png")
    save(np.zeros((23, 40, 3), np.uint8), tmp_path / "i" / "again.png")
    (tmp_path / "i" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    said = (
        r"width x height: 9 sizes from 40 x 20 to 40 x 28, most often 40 x 23; `size: 23`, the median, .*; 1 image "
        r"cannot be decoded: bad.png \("
    )
    with pytest.raises(UserError, match=said):
        file.load(path=str(tmp_path / "i"))


@pytest.mark.parametrize("kind", ["jpg", "png", "bmp", "tif"])
def test_an_image_cut_short_is_told_so(tmp_path, kind):
    for place in range(2):
        save(RNG.integers(0, 256, (90, 90, 3), np.uint8), tmp_path / "i" / f"{place}.{kind}")
    content = (tmp_path / "i" / f"1.{kind}").read_bytes()
    for share in (0.2, 0.5, 0.9):
        (tmp_path / "i" / f"1.{kind}").write_bytes(content[: int(share * len(content))])
        with pytest.raises(UserError, match=rf"1 image of 2 cannot be decoded: 1.{kind} \(it is cut short\)"):
            file.load(path=str(tmp_path / "i"))


def test_one_image_is_no_data_set(tmp_path):
    save(PIXELS[0], tmp_path / "a.png")
    with pytest.raises(UserError, match="it is one image: name the folder in which the images lie"):
        file.load(path=str(tmp_path / "a.png"))
