# ruff: noqa: RUF001 - the sign of multiplication, as shapes are written
"""`conclus data`: what is said of a data set, its first rows, a contact sheet, and how far its preparation is."""

import io
import itertools
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from scipy import sparse

from core.data.told import told
from jobs.present.bar import Bar, preparing

STUDY = """study: s
trial:
  data: {name: file, path: t.npz}
  method: {name: cc}
  encoder: {name: linear}
  epochs: 1
  batch_size: 20
seeds: [0]
"""


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def facts(out):
    """The words and their sentences."""
    return dict(re.findall(r"^  (\w+) +(.*)$", out, flags=re.MULTILINE))


def table(rows=30):
    """Numbers with two equal rows, of which one has another label, one constant column, and three without a label."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(rows, 3))
    values[:, 1] = 7
    values[[9, 20]] = values[4]
    values[11, 0] = values[4, 0]  # No duplicate: only its first number is the same.
    labels = np.array(["b", "a", "a"] * (rows // 3))
    labels[:3] = ""
    labels[9] = labels[4]
    labels[20] = "b"
    return values, labels


def test_everything_there_is_to_know_of_vectors(command):
    values, labels = table()
    np.savez("t.npz", x=values, y=labels)
    code, out, err = command("data", "t.npz", "--set", "scale=none")
    assert (code, err) == (0, "")
    found = facts(out)
    assert found["options"] == "{name: file, path: t.npz, scale: none}"
    assert found["classes"] == f"a: {(labels == 'a').sum()}, b: {(labels == 'b').sum()}"
    assert (
        found["duplicates"]
        == "2 samples equal to an earlier one: row 10 is row 5, row 21 is row 5; 1 with another label"
    )
    assert found["constant"] == "1 of 3 features have one value: column 2"
    assert found["missing"] == "3 labels"
    assert found["numbers"] == f"float32, {values.min():g} to {values.max():g}"
    assert found["memory"].startswith("0.001 MB in the memory of each trial")


def test_plan_says_the_same_first_line(command, tmp_path):
    values, labels = table()
    np.savez("t.npz", x=values, y=labels)
    (tmp_path / "s.yaml").write_text(STUDY)
    first = command("data", "t.npz")[1].splitlines()[0]
    assert first == "t: 30 samples × 3 features, labels: y, 2 classes (a, b), 3 unlabelled (empty)"
    assert first in command("plan", "s.yaml")[2].splitlines()


def test_the_first_rows_are_those_of_the_file(command, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "120")
    (tmp_path / "t.csv").write_text(
        "cell,a,b,label\n" + "".join(f"c{i},{i / 4},{3 - i},{'xy'[i % 2]}\x1b[1m\n" for i in range(12))
    )
    code, out, _ = command("data", "t.csv", "--head")
    assert code == 0
    rows = [line.split() for line in out.splitlines()[-10:]]
    assert rows[0] == ["c0", r"x\x1b[1m", "0", "3"]
    assert rows[9] == ["c9", r"y\x1b[1m", "2.25", "-6"]
    assert out.splitlines()[-12].split() == ["id", "label", "a", "b"]


def test_a_contact_sheet_shows_images_with_their_labels(command, tmp_path):
    shades = np.arange(0, 240, 2, dtype=np.uint8)
    np.savez("t.npz", x=np.broadcast_to(shades[:, None, None], (120, 40, 40)), y=np.arange(120) % 2)
    code, out, _ = command("data", "t.npz", "--head", "--out", "sheet.png", "--set", "layout=nhw")
    assert code == 0
    assert out.splitlines()[-1] == "Wrote 100 images of 120, evenly spread, to sheet.png."
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet)
    assert pixels.shape[::-1] == (10 * 42 + 2, 10 * 54 + 2)
    found = pixels[2 + 20 :: 54, 2 + 20 :: 42].reshape(-1)[:100]
    expected = shades[np.linspace(0, 119, 100).astype(int)]
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert pixels[42:54].max() > 240  # the titles


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["t.npz", "--head", "--out", "a.jpg"], "'a.jpg' should end in .png"),
        (["t.npz", "--out", "a.png"], "'a.png' is for the images of --head: add --head"),
        (["t.npz", "--head", "--out", "a.png"], "'a.png' is for images, and t has none: leave it out"),
        (["digitz"], "digitz: there is no such file, folder or data set; did you mean 'digits'?"),
        (
            ["wine"],
            "wine: there is no such file or folder; it is a table of scikit-learn: conclus data scikit-learn --set",
        ),
        (["digits", "--set", "siz=3"], "--set siz=3: the data set digits has no options: leave it out"),
        (["text"], "data.path: is missing: write `conclus data FILE --set name=text`"),
        (["t.npz", "--set", "labels"], "--set labels: write it as key=value"),
        (["t.npz", "--set", "decimal=[1"], "--set decimal=[1: the value is not valid YAML ("),
        (["t.npz", "--set", "size=big"], "data.size: 'big' is wrong"),
        (["t.npz", "--set", "sizes=3"], "data.sizes: unknown key; did you mean 'size'?"),
        (["t.npz", "--set", "name=texts"], "'texts' is none of the datasets; did you mean 'text'?"),
        (["no.npz"], "no such file or folder"),
    ],
)
def test_a_mistake_is_one_line(arguments, said, command):
    np.savez("t.npz", x=table()[0])
    np.savez("i.npz", x=np.random.default_rng(0).random((9, 1, 8, 8)))
    code, _, err = command("data", *arguments)
    assert code == 2
    assert len(err.splitlines()) == 1
    assert said in err


def test_a_contact_sheet_without_a_name_overwrites_nothing(command, tmp_path):
    np.savez("i.npz", x=np.random.default_rng(0).random((9, 1, 8, 8)))
    code, out, _ = command("data", "i.npz", "--head")
    assert code == 0
    assert out.splitlines()[-1] == "Wrote 9 images of 9 to i-head.png."
    written = (tmp_path / "i-head.png").read_bytes()
    code, _, err = command("data", "i.npz", "--head")
    assert code == 2
    assert err == "Error: --head would write i-head.png, which exists: name another file, as --out other.png\n"
    assert (tmp_path / "i-head.png").read_bytes() == written


def test_the_first_texts_are_shown_as_texts(command, tmp_path):
    words = ["red", "green", "blue", "apple", "pear", "plum", "cat", "dog"]
    lines = [f"{' '.join(words[i % 7 :])}\x1b[1m {i},{i % 2}\n" for i in range(300)]
    (tmp_path / "t.csv").write_text("text,label\n" + "".join(lines) + "single,0\n")
    code, out, _ = command("data", "t.csv", "--head", "--set=name=text", "--set=model=tfidf", "--set=dimensions=8")
    assert code == 0
    assert facts(out)["options"] == "{name: text, path: t.csv, model: tfidf, dimensions: 8}"
    assert [line.split() for line in out.splitlines()[-12:-9]] == [
        ["label", "text"],
        ["─────", "─" * len("red green blue apple pear plum cat dog\\x1b[1m 0")],
        ["0", *words[:-1], r"dog\x1b[1m", "0"],
    ]
    assert "one word each" not in out  # 0 %, rounded


def test_a_lone_comma_is_a_value(command, tmp_path):
    (tmp_path / "t.csv").write_text("a;b\n" + "".join(f"{i},5;{i * i},25\n" for i in range(9)))
    code, out, err = command("data", "t.csv", "--set", "decimal=,")
    assert (code, err) == (0, "")
    assert facts(out)["options"] == "{name: file, path: t.csv, decimal: ','}"
    study = STUDY.replace("t.npz", "t.csv").replace("batch_size: 20", "n_clusters: 2\n  batch_size: 4")
    (tmp_path / "s.yaml").write_text(study)
    code, _, err = command("plan", "s.yaml", "--set", "data.decimal=,")
    assert code == 0
    assert "t: 9 samples × 2 features (a, b), no labels" in err


def test_large_images_and_sparse_rows_are_looked_at_as_they_are_stored(command, tmp_path):
    """The images are as many as 67 MB of float32; at no time are so many floats held."""
    images = np.random.default_rng(0).integers(0, 256, (300, 240, 240), np.uint8)
    images[299] = images[3]
    np.save("i.npy", images)
    columns = np.arange(1999 * 75).reshape(1999, 75) * 2003 % 150_000
    rows = sparse.csr_matrix(
        (columns.reshape(-1) % 7 + 1.0, columns.reshape(-1), np.arange(2000) * 75), (1999, 150_000)
    )
    sparse.save_npz("s.npz", sparse.vstack([rows, rows[8]], "csr"))
    peak = (
        "import resource, sys, conclus; sys.argv[1:] = {!r}\n"
        "try: conclus.main()\nexcept SystemExit: pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    said = {}
    for name, more in (("digits", ()), ("i.npy", ("--set=layout=nhw",)), ("s.npz", ())):
        code = peak.format(["data", name, *more])
        run = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        said[name] = facts(run.stdout), int(run.stdout.split()[-1]) / 1024
    found, _ = said["i.npy"]
    assert found["numbers"] == "uint8, 0 to 255, scaled when read"
    assert found["duplicates"] == "1 sample equal to an earlier one: row 300 is row 4"
    assert found["memory"] == "17.3 MB in the cache, mapped by all trials of a machine; 69.1 MB as float32"
    assert said["s.npz"][0]["duplicates"].startswith("1 sample equal to an earlier one: row 2000 is row 9")
    assert said["s.npz"][0]["numbers"].startswith("sparse float64, 0.05% of them not zero, 0 to ")
    assert said["i.npy"][1] < said["digits"][1] + 120


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """The bar's clock goes on by 0.11 seconds each time that it is told of the work, however busy the machine."""
    moments = (0.11 * place for place in itertools.count())
    monkeypatch.setattr("jobs.present.bar.time", SimpleNamespace(monotonic=lambda: next(moments)))


def test_on_a_terminal_a_bar_tells_how_long_it_will_take(monkeypatch, clock):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with preparing():
        for done in range(5):
            told("decoding \x1b[2Jimages", done, 10)
    drawn = screen.getvalue().split("\r\x1b[K")
    assert re.fullmatch(r"decoding \\x1b\[2Jimages: \[####\.+\] 2 of 10 \(20%, about \d+ s left\)", drawn[1])
    assert drawn[-1] == ""  # It is removed at the end.


def test_elsewhere_lines_come_from_time_to_time(monkeypatch, clock):
    monkeypatch.setattr("jobs.present.bar.PLAIN_SECONDS", 0.2)
    bar = Bar(io.StringIO())
    for done in range(5):
        bar("decoding images", done, 10)
    bar.close()
    assert bar.out.getvalue() == (
        "decoding images: 2 of 10 (20%, about 1 s left)\ndecoding images: 4 of 10 (40%, about 1 s left)\n"
    )


def test_run_shows_it_unless_quiet(command, tmp_path, monkeypatch):
    """The images of a study are decoded while its data is checked."""
    (tmp_path / "i").mkdir()
    for place in range(6):
        Image.new("L", (9, 9), 20 * place).save(tmp_path / "i" / f"{place}.png")
    study = STUDY.replace("path: t.npz", "path: i, size: 8").replace("batch_size", "n_clusters: 2\n  batch_size")
    (tmp_path / "s.yaml").write_text(study)
    monkeypatch.setattr("jobs.present.bar.PLAIN_SECONDS", 0.0)
    shown = {}
    for quiet in ([], ["--quiet"]):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"cache{len(quiet)}"))
        code, _, shown[bool(quiet)] = command("run", "s.yaml", "--workers=1", f"--results=r{len(quiet)}", *quiet)
        assert code == 0, shown
    assert "decoding images: 6 of 6 (100%)\n" in shown[False]
    assert "images" not in shown[True]
