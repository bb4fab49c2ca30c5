"""`conclus clusters`: the numbers of its files, its pictures, and what it says where something is missing."""

import csv
import io
import json
import re
import shutil
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import recall_score

from core.config import plugins
from core.data.scaling import Scaling
from core.data.stored import Stored
from core.errors import UserError
from core.evaluation import metrics
from core.seal import seal_text
from jobs.analysis import clusters as cluster_numbers
from jobs.charts.contact_sheet import contact_sheet
from jobs.models import assignments, choice, embedding
from jobs.models.assignments import KeepRule
from jobs.report import cluster_contents, cluster_data, cluster_files
from jobs.report.cluster_contents import PAGE, SECTION
from jobs.results.layout import study_folder
from jobs.study import snapshot
from jobs.study import study as studies
from tests.jobs.report.clustered import Clustered

EVIL = "<script>document.title='taken'</script>\"'&\x1b[31m"


def table(folder, name):
    return list(csv.DictReader((Path(folder) / name).read_text().splitlines()))


@pytest.fixture
def vectors(tmp_path):
    """90 samples of 3 classes with names, some without a label, and clusters that agree with most of them."""
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    samples = rng.normal(size=(90, 4)) * [1, 10, 100, 1] + [0, 50, 1000, 0]
    samples[:, 1] += 40 * (labels == 1)
    with (tmp_path / "mine.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["name", "width", "height", "weight", "age", "label"])
        for place, (one, label) in enumerate(zip(samples.tolist(), labels.tolist(), strict=True)):
            rows.writerow([f"n{place}", *one, "" if place % 10 == 9 else ["red", "green", "blue"][label]])
    clusters = (labels + (rng.random(90) < 0.2)) % 3
    found = Clustered(tmp_path, "{name: file, path: mine.csv, id: name}", clusters)
    found.samples, found.clusters = samples, clusters
    return found


@pytest.fixture(autouse=True)
def _only_named_maps_are_by_umap(request, monkeypatch):
    """Each process that uses UMAP compiles it for ten seconds; one runs all tests that name it (tests/conftest.py)."""
    if "umap" not in request.node.name:
        monkeypatch.setattr(cluster_numbers, "has_umap", lambda: False)


def test_the_files_hold_the_clusters_in_the_units_of_the_file_and_a_map_by_umap(vectors, tmp_path, command):
    out = tmp_path / "out"
    code, said, told = command("clusters", vectors.results, "--out", out)
    assert code == 0, told
    assert "Wrote clusters.html and 6 files beside it" in said
    assert told.startswith("drawing the map by UMAP …\n")
    clusters = vectors.clusters
    assert [int(one["samples"]) for one in table(out, "sizes.csv")] == np.bincount(clusters).tolist()

    for one in table(out, "features.csv"):
        column = ["width", "height", "weight", "age"].index(one["feature"])
        inside = vectors.samples[clusters == int(one["cluster"]), column]
        outside = vectors.samples[clusters != int(one["cluster"]), column]
        assert float(one["mean_inside"]) == pytest.approx(inside.mean(), rel=1e-4, abs=1e-4)
        assert float(one["mean_outside"]) == pytest.approx(outside.mean(), rel=1e-4, abs=1e-4)
        effect = (inside.mean() - outside.mean()) / np.sqrt((inside.var() + outside.var()) / 2)
        assert float(one["standardised_difference"]) == pytest.approx(effect, rel=1e-3)
    assert table(out, "features.csv")[0]["feature"] == "height"

    names = ["blue", "green", "red"]
    assert vectors.data.class_names == tuple(names)
    known = vectors.data.labels >= 0
    rows = {one["class"]: one for one in table(out, "confusion.csv")}
    for label, name in enumerate(names):
        for cluster in range(3):
            count = ((vectors.data.labels == label) & (clusters == cluster)).sum()
            assert int(rows[name][f"cluster_{cluster}"]) == count
    recalls = {one["class"]: one for one in table(out, "recall.csv")}
    own = {int(one["cluster"]): names.index(one["class"]) for one in recalls.values()}
    predicted = [own[one] for one in clusters[known].tolist()]
    wanted = recall_score(vectors.data.labels[known], predicted, average=None)
    assert [float(recalls[name]["recall"]) for name in names] == pytest.approx(wanted.tolist())

    first = table(out, "examples.csv")[0]
    members = np.flatnonzero(clusters == 0)
    assert first == {
        "cluster": "0",
        "shown_as": "nearest",
        "id": f"n{members[0]}",
        "class": ["red", "green", "blue"][members[0] % 3],
    }
    page = (out / "clusters.html").read_text()
    accuracy = metrics.scores(clusters[known], vectors.data.labels[known])["acc"]
    assert f"Accuracy: {accuracy:.3f}." in page
    assert "9 samples have no label" in page
    assert "It is made by UMAP" in page
    labelled, red = (known & (clusters == 0)).sum(), (known & (clusters == 0) & (np.arange(90) % 3 == 0)).sum()
    assert f"{(clusters == 0).sum()} samples; {red} of {labelled} labelled samples are class red<" in page
    by_class = json.loads(charts(page)[-1])
    drawn, named = (
        [one["group"] for one in by_class["datasets"][layer["data"]["name"]]] for layer in by_class["layer"][:2]
    )
    assert drawn[:9] == ["unlabelled"] * 9 == [one for one in drawn if one == "unlabelled"]
    assert set(named) == {"red", "green", "blue"}
    assert len(table(out, "map.csv")) == 90
    again = tmp_path / "again"
    assert command("clusters", vectors.results, "--out", again, "--trial", "abc")[0] == 0
    assert {one.name for one in again.iterdir()} == {one.name for one in out.iterdir()}
    for one in out.iterdir():
        if one.name != "clusters.html":
            assert one.read_bytes() == (again / one.name).read_bytes(), one.name


def test_the_section_of_a_report_shows_the_same_by_pca(vectors, tmp_path, command):
    assert command("report", vectors.results, "--out", tmp_path / "r.html")[0] == 0
    page = (tmp_path / "r.html").read_text()
    section = page[page.index('<section id="clusters"') : page.index('<section id="health"')]
    assert section.count('class="chart">') == 1 + 3 + 1 + 2
    assert "It is made by PCA" in section
    assert "trial abc123, nmi 0.500, the only one whose clusters are stored" in section.replace("Trial", "trial")
    assert len(page) < 1_300_000
    shutil.rmtree(vectors.folder / "_assignments")
    assert command("report", vectors.results, "--out", tmp_path / "r.html")[0] == 0
    page = (tmp_path / "r.html").read_text()
    assert "No trial&#x27;s clusters are stored" in page
    assert 'class="chart">' not in page
    assert len(page) < 200_000


def test_without_its_data_a_page_has_what_the_clusters_give(vectors, tmp_path, command):
    file = tmp_path / "mine.csv"
    file.write_text(file.read_text().replace("n0,", "m0,"))
    code, _, told = command("clusters", vectors.results, "--out", tmp_path / "out")
    assert code == 0
    assert "the data has changed since this trial ran" in told
    assert "UMAP" not in told
    assert {one.name for one in (tmp_path / "out").iterdir()} == {
        "clusters.html",
        "sizes.csv",
        "examples.csv",
        cluster_files.MARK,
    }
    assert "the data has changed since this trial ran" in (tmp_path / "out" / "clusters.html").read_text()
    file.unlink()
    code, _, told = command("clusters", vectors.results, "--out", tmp_path / "out")
    assert code == 0
    assert "no such file" in told


def test_a_folder_of_other_files_is_left_alone(vectors, tmp_path, command):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("dear")
    code, _, told = command("clusters", vectors.results, "--out", out)
    assert code == 2
    assert "did not make" in told
    assert [one.name for one in out.iterdir()] == ["mine.txt"]
    (out / "mine.txt").unlink()
    cluster_files.write(out, {"a.csv": b"1"}, "s abc123")
    cluster_files.write(out, {"b.csv": b"2"}, "s abc123")
    assert {one.name for one in out.iterdir()} == {"b.csv", cluster_files.MARK}
    with pytest.raises(UserError, match="holds the page of another trial, s abc123: give --out another folder"):
        cluster_files.write(out, {"b.csv": b"3"}, "s def456")
    assert (out / "b.csv").read_bytes() == b"2"
    (out / "note.txt").write_text("dear")
    assert command("clusters", vectors.results, "--out", out)[0] == 2
    assert (out / "note.txt").read_text() == "dear"
    (out / "note.txt").unlink()
    (out / cluster_files.MARK).write_text("[")
    assert command("clusters", vectors.results, "--out", out)[0] == 2
    other = tmp_path / "other"
    cluster_files.write(other, {"a.csv": b"1"}, "s abc123")
    link = tmp_path / "link"
    link.symlink_to(other)
    code, _, told = command("clusters", vectors.results, "--out", link)
    assert code == 2
    assert "is no folder" in told
    assert (other / "a.csv").read_bytes() == b"1"
    assert (out / "b.csv").exists()
    assert not [one for one in tmp_path.iterdir() if one.name.startswith(".out")]


@pytest.mark.parametrize("out", [".", "..", "/", "mine.csv/out", "a" * 300])
def test_a_place_that_cannot_be_written_is_refused_before_any_work(vectors, tmp_path, command, monkeypatch, out):
    (tmp_path / "here").mkdir()
    shutil.copy(tmp_path / "mine.csv", tmp_path / "here")
    (tmp_path / "here" / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "here" / ("empty" if out in {".", ".."} else ""))
    # There are no results: so it is told before they are looked for.
    code, said, told = command("clusters", tmp_path / "none", "--out", out)
    assert (code, said, told.count("\n")) == (2, "", 1), told
    assert "none" not in told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--trial", "zzz"],
            "has no trial 'zzz' with a row. Trials with stored clusters, the best first: abc123",
        ),
        (["--best", "--trial", "abc"], "give one of them"),
        (["--study", "other"], "There is no study 'other'"),
    ],
)
def test_a_mistake_is_one_line(vectors, tmp_path, command, words, said):
    code, out, told = command("clusters", vectors.results, "--out", tmp_path / "out", *words)
    assert code == 2
    assert out == ""
    assert said in told
    assert told.count("\n") == 1
    assert not (tmp_path / "out").exists()


PLUG_IN = """import os
with open(os.environ["PROOF"], "a") as proof:
    proof.write("ran ")
from core.datasets import file
def fingerprint(*, path: str) -> str:
    return file.fingerprint(path=path)
def load(*, path: str):
    return file.load(path=path)
"""


def test_a_data_set_of_a_stranger_does_not_run(tmp_path, command, monkeypatch):
    monkeypatch.setenv("PROOF", str(tmp_path / "proof"))
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).normal(size=(30, 3)), y=np.arange(30) % 3)
    (tmp_path / "own.py").write_text(PLUG_IN)
    plugins.allow_named(tmp_path / "own.py")
    found = Clustered(tmp_path, "{name: ./own.py, path: x.npz}", np.arange(30) % 3)
    assert (tmp_path / "proof").read_text() == "ran "
    monkeypatch.setattr(plugins, "_allowed", set())
    (found.folder / "_plugins" / "own.py").write_text(PLUG_IN + "# evil\n")
    for words in (
        ["clusters", found.results, "--out", tmp_path / "out"],
        ["report", found.results, "--out", tmp_path / "r.html"],
    ):
        code, _, told = command(*words)
        assert code == 0, told
        assert (tmp_path / "proof").read_text() == "ran "
    assert "is not allowed" in (tmp_path / "out" / "clusters.html").read_text()
    assert "is not allowed" in (tmp_path / "r.html").read_text()


def named_instead(found, path):
    """The study's copy names another path, as a stranger's results may."""
    text = (found.folder / "_study.yaml").read_text().partition("\n")[2]
    text = text.replace(re.search(r"path: (\S+?),", text)[1], path)
    (found.folder / "_study.yaml").write_bytes(seal_text(text.encode()))


def test_an_object_store_is_asked_only_for_an_address_that_the_user_names(vectors, tmp_path, command, foreign_store):
    port, asked = foreign_store
    address = f"s3://bucket/mine.csv?scheme=http&endpoint_override=127.0.0.1:{port}"
    named_instead(vectors, f'"{address}"')
    for words in (["clusters", "--out", tmp_path / "out"], ["report", "--out", tmp_path / "r.html"]):
        code, _, told = command(words[0], vectors.results, *words[1:])
        assert code == 0, told
        page = tmp_path / "out" / "clusters.html" if words[0] == "clusters" else tmp_path / "r.html"
        assert "the data is at s3://bucket/mine.csv: name it with `conclus clusters --data`" in unescape(
            page.read_text()
        )
    assert asked == []
    named = vectors.read(str(tmp_path / "mine.csv"))
    assert (named.missing, named.data.n_samples) == ("", 90)
    # The user's own word is followed.
    code, _, told = command("clusters", vectors.results, "--out", tmp_path / "out", "--data", address)
    assert (code, "--data: s3://bucket/mine.csv: it cannot be read" in told) == (2, True), told
    assert asked


def test_data_that_the_user_names_must_be_that_of_the_trial(vectors, tmp_path, command):
    other = tmp_path / "other.csv"
    other.write_text("name,label,a\nx,1,2\n")
    for path, said in ((other, "is not what the trial was trained on"), (tmp_path / "none.csv", "no such file")):
        code, out, told = command("clusters", vectors.results, "--out", tmp_path / "out", "--data", path)
        assert (code, out) == (2, "")
        assert said in told.splitlines()[-1]
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ["hunter2", "hunter2,hunter2x\n1,hunter2y\n", '{"hunter2": "hunter2x"}\n'])
@pytest.mark.parametrize("ending", ["csv", "txt", "json", "jsonl", "npz", "pem", "parquet", "h5ad", "mat"])
def test_nothing_of_a_file_that_only_results_name_is_shown(vectors, tmp_path, command, ending, content):
    secret = tmp_path / f"own.{ending}"
    secret.write_text(content)
    named_instead(vectors, str(secret))
    code, out, told = command("clusters", vectors.results, "--out", tmp_path / "out")
    assert code == 0
    assert "hunter2" not in out + told + (tmp_path / "out" / "clusters.html").read_text()
    assert secret.read_text() == content


def test_which_data_of_a_space_is_found_by_its_fingerprint(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "x.npz", x=np.random.default_rng(ord(name)).normal(size=(30, 3)))
    found = Clustered(tmp_path, "{name: file, path: b/x.npz}", np.arange(30) % 3)
    (tmp_path / "s.yaml").write_text(
        "study: s\ntrial:\n  data: {name: file, path: a/x.npz}\n  method: cc\nspace:\n"
        "  data.path: {grid: [a/x.npz, b/x.npz]}\n  data.scale: {grid: [unit, auto]}\n"
    )
    snapshot.write(studies.load(tmp_path / "s.yaml"), found.folder)
    read = found.read()
    assert read.missing == ""
    assert read.plug_in.options["path"].endswith("b/x.npz")
    assert read.plug_in.options["scale"] == "auto"
    assert read.data.fingerprint == found.data.fingerprint


def test_clusters_of_other_samples_are_not_shown_with_these(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).normal(size=(30, 3)), names=np.arange(30))
    found = Clustered(tmp_path, "{name: file, path: x.npz, id: names, features: x}", np.arange(30) % 3)
    other = replace(found.data, ids=found.data.ids + 1)
    assignments.keep(found.folder, found.attempt, (3, found.assignment), other, KeepRule("nmi", "max", every=True))
    assert found.read().missing == "the stored clusters are of other samples"
    assert found.read().data is None


def test_clusters_that_are_empty_are_told(tmp_path, command):
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).normal(size=(30, 3)))
    found = Clustered(tmp_path, "{name: file, path: x.npz}", np.zeros(30, int))
    for words in (["clusters", found.results, "--out", tmp_path / "out"], ["assign", found.results]):
        code, _, told = command(*words)
        assert code == 0
        assert "Warning: all 30 samples lie in one cluster" in told


# Images


def tile(sheet, place, size):
    row, column = divmod(place, 8)
    top, left = 2 + row * (size + 2), 2 + column * (size + 2)
    return sheet[top : top + size, left : left + size]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", ["unit", "standard", "none"])
def test_contact_sheets_show_the_bytes_of_the_file(tmp_path, channels, scale):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, size=(60, channels, 12, 10), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", x=images if channels == 3 else images[:, 0])
    clusters = np.arange(60) % 3
    distances = rng.permutation(60) / 60
    probabilities = rng.permutation(60) / 60
    data = f"{{name: file, path: x.npz, scale: {scale}}}"
    found = Clustered(tmp_path, data, clusters, distances=distances, probabilities=probabilities)
    contents = cluster_contents.gather(found.read(), "why", SECTION)
    files = cluster_files.files(contents, "title", "made")
    for cluster in range(3):
        members = np.flatnonzero(clusters == cluster)
        for kind, order in (("nearest", distances), ("least-sure", probabilities)):
            sheet = np.asarray(Image.open(io.BytesIO(files[f"cluster-{cluster:03}-{kind}.png"])))
            for place, row in enumerate(members[np.argsort(order[members])][:8]):
                # 12 pixels become 60: five times as many.
                wanted = images[row].transpose(1, 2, 0).squeeze().repeat(5, axis=0).repeat(5, axis=1)
                top, left = 2, 2 + place * 52
                assert (sheet[top : top + 60, left : left + 50] == wanted).all()
    page = files["clusters.html"].decode()
    assert page.count('src="data:image/png;base64,') == 6
    assert page.count('alt="The images of cluster 1 that are') == 2
    assert "img-src data:" in page


def test_a_large_data_set_in_stored_form_gives_the_same_pictures(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, size=(30, 3, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", x=images)
    read = Clustered(tmp_path, "{name: file, path: x.npz}", np.arange(30) % 3).read()
    scaling = Scaling.of(images, "unit")[0]
    stored = replace(read.data, samples=Stored(images, scaling, (0, 1)), scaling=scaling.offset_and_divisor())
    one, other = (
        cluster_files.files(cluster_contents.gather(replace(read, data=data), "why", SECTION), "t", "m")
        for data in (read.data, stored)
    )
    assert [name for name in one if name.endswith(".png")]
    assert all(one[name] == other[name] for name in one if name.endswith((".png", ".csv")))


def pixels(images):
    return np.asarray(Image.open(io.BytesIO(contact_sheet(images))))


def test_tiles_of_all_sizes_and_ranges():
    grey = pixels(np.full((9, 1, 28, 28), 0.5))
    assert grey.shape == (2 + 2 * 58, 2 + 8 * 58)
    assert set(np.unique(grey).tolist()) == {128}
    assert pixels(np.zeros((1, 1, 40, 64))).shape == (44, 68)
    large = pixels(np.arange(192 * 96 * 3).reshape(1, 3, 192, 96) % 256)
    assert large.shape == (2 + 66, 2 + 34, 3)
    # Halves of a large picture keep their colours when it becomes smaller.
    halves = np.zeros((1, 3, 128, 128))
    halves[0, 0, :64], halves[0, 2, 64:] = 255, 255
    small = pixels(halves)
    assert small[3, 3].tolist() == [255, 0, 0]
    assert small[64, 3].tolist() == [0, 0, 255]
    measured = pixels(np.linspace(-3, 7, 64).reshape(1, 1, 8, 8))
    assert (measured[2:-2, 2:-2].min(), measured[2:-2, 2:-2].max()) == (0, 255)
    with_opacity = pixels(np.dstack([np.full((8, 8), one) for one in (255, 0, 7, 3)]).transpose(2, 0, 1)[None])
    assert with_opacity[10, 10].tolist() == [255, 0, 7]
    bands = pixels(np.stack([np.full((8, 8), one) for one in (0, 200, 100, 100, 100)])[None])
    assert bands[10, 10] == 100 or bands.ndim == 2


# Texts


def test_terms_and_texts_are_cut_and_escaped(tmp_path):
    words = [["refund", "money"], ["card", "lost"], ["rate", "euro"]]
    texts = [f"the {words[i % 3][0]} is {words[i % 3][1]} number {i}" for i in range(30)]
    texts[0] = f"refund money {EVIL} {'number ' * 400}"
    with (tmp_path / "t.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["text", "label"])
        rows.writerows([one, EVIL.replace("\x1b", "") if i % 3 == 0 else f"c{i % 3}"] for i, one in enumerate(texts))
    found = Clustered(tmp_path, "{name: text, path: t.csv, dimensions: 8}", np.arange(30) % 3)
    contents = cluster_contents.gather(found.read(), f"trial {EVIL}", SECTION)
    assert [contents.terms[i][0][0] for i in range(3)] == ["number", "card", "euro"]
    files = cluster_files.files(contents, "title", "made")
    page = files["clusters.html"].decode()
    assert page.count("<script>") == 3
    assert "\x1b" not in page
    assert "document.title='taken'" not in re.sub(r'<script type="application/json".*?</script>', "", page)
    assert max(map(len, re.findall(r"<dd>(.*?)</dd>", page))) < 500
    assert "the card is lost number 1<" in page
    assert b"=" not in files["terms.csv"]
    assert b"\x1b" not in b"".join(files.values())
    rows = list(csv.DictReader(io.StringIO(files["examples.csv"].decode())))
    assert rows[0]["text"].startswith("refund money <script>")
    assert len(rows[0]["text"]) <= 240
    specs = [json.loads(one) for one in charts(page)]
    assert len(specs) == 1 + 3 + 1 + 2


def charts(page):
    return re.findall(r'class="chart">(.*?)</script>', page)


def test_texts_without_spaces_are_split_into_characters(tmp_path):
    texts = ["我的银行卡丢失了怎么办理呢" if i % 2 else "请问汇率是多少呢今天的欧元" for i in range(20)]
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([["text"], *([f"{one}{i}"] for i, one in enumerate(texts))])
    found = Clustered(tmp_path, "{name: text, path: t.csv, dimensions: 8, analyzer: word}", np.arange(20) % 2)
    read = found.read()
    options = {key: value for key, value in read.plug_in.options.items() if key != "analyzer"}
    read = replace(read, plug_in=replace(read.plug_in, options=options))
    contents = cluster_contents.gather(read, "why", SECTION)
    assert all(len(term) <= 2 for term, _ in contents.terms[1])


# ShownAtMost


def test_many_clusters_and_classes_are_bounded_and_said(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", x=rng.normal(size=(400, 3)), y=np.arange(400) % 40)
    found = Clustered(tmp_path, "{name: file, path: x.npz}", np.arange(400) % 70)
    contents = cluster_contents.gather(found.read(), "why", SECTION)
    files = cluster_files.files(contents, "title", "made")
    page = files["clusters.html"].decode()
    assert "Of 70 clusters the 12 largest are shown one by one." in page
    assert "The 60 largest of 70 clusters are drawn." in page
    assert "70 clusters and 40 classes: those without a partner stand last." in page
    assert "Drawn are the first 25 of 40 classes and the first 25 of 70 clusters" in page
    assert "A map of all 400 samples" in page
    assert len(files["confusion.csv"].splitlines()) == 41
    assert page.count('class="chart">') == 1 + 12 + 1 + 2
    assert PAGE.points < 10_000


def test_the_map_is_of_the_saved_models_features_where_it_was_saved(tmp_path, command):
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).normal(size=(60, 4)), y=np.arange(60) % 3)
    (tmp_path / "s.yaml").write_text(
        "study: s\ntrial:\n  data: {name: file, path: x.npz}\n  method: cc\n  encoder: {name: mlp, widths: [8]}\n"
        "  batch_size: 30\n  epochs: 1\nselect: {save_model: true}\n"
    )
    code, _, told = command("run", tmp_path / "s.yaml", "--workers", "1", "--results", tmp_path / "results", "--quiet")
    assert code == 0, told
    found = choice.choose(study_folder(str(tmp_path / "results"), "s"))
    read = cluster_data.read(found.folder, found.row, found.clusters())
    contents = cluster_contents.gather(read, "why", SECTION)
    assert contents.of_features
    model = next((tmp_path / "results" / "study=s" / "models").iterdir())
    vectors, _ = embedding.embed(str(model), str(tmp_path / "x.npz"))
    wanted = np.array(vectors["vector"].to_pylist(), np.float32)
    assert cluster_data.features(read, np.arange(60)) == pytest.approx(wanted, abs=1e-5)
    (model / "best_model.pt").write_bytes(b"PK broken")
    contents = cluster_contents.gather(read, "why", SECTION)
    assert not contents.of_features
    assert "the saved model cannot be used" in contents.notes[0]


def test_documents_are_shown_by_the_words_they_have_and_by_their_beginnings(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    words = ["cat dog cow", "sun sea sky", "tax tariff trade"]
    texts = [f"{words[i % 3]} and {words[i % 3].split()[i % 2]}" for i in range(30)]
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([["text"], *([text] for text in [texts[0], "", *texts[1:]])])
    monkeypatch.chdir(tmp_path)
    found = Clustered(tmp_path, "{name: documents, path: t.csv, stop_words: none}", np.arange(30) % 3)
    contents = cluster_contents.gather(found.read(), "a trial", SECTION)
    for cluster, several in contents.differences.items():
        shown = {contents.feature_names[one.feature] for one in several}
        assert shown == {*words[cluster].split()}
        assert all(one.effect > 0 for one in several)
    files = cluster_files.files(contents, "title", "made")
    rows = list(csv.DictReader(io.StringIO(files["examples.csv"].decode())))
    assert rows
    for row in rows:
        assert row["text"] == ([texts[0], "", *texts[1:]])[int(row["id"])]
