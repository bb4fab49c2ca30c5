"""From a scene to its map: scores of labelled pixels as scikit-learn's, and a picture whose matched colours agree."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image, ImageColor
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import accuracy_score, balanced_accuracy_score, cohen_kappa_score, confusion_matrix

from core.errors import UserError
from jobs.analysis import clusters as cluster_numbers
from jobs.charts import scene_map
from jobs.execution import driver
from jobs.models import choice, written
from jobs.results import reader
from tests.core.scenes import CLASSES, HEIGHT, WIDTH, scene

CUBE, TRUTH = scene()
STUDY = """study: farm
trial:
  data: {name: scene, path: farm.npy, truth: farm_gt.npy, patch: 3, bands: 10}
  encoder: {name: mlp, widths: [32, 16]}
  method: {name: cc}
  batch_size: 256
  epochs: 4
  evaluation: {every: 4}
seeds: [0]
select: {metric: oa, save_model: true}
"""


@pytest.fixture
def farm(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    np.save("farm.npy", CUBE)
    np.save("farm_gt.npy", TRUTH)
    Path("s.yaml").write_text(STUDY)
    monkeypatch.setattr(cluster_numbers, "has_umap", lambda: False)  # It takes up to a minute to be imported.
    return tmp_path


def by_class(clusters, truth):
    """The clusters with the numbers of their classes, by the Hungarian method."""
    counts = confusion_matrix(truth, clusters, labels=range(CLASSES + 1))
    rows, columns = linear_sum_assignment(counts, maximize=True)
    return dict(zip(columns.tolist(), rows.tolist(), strict=True))


def test_a_scene_is_trained_scored_by_its_labelled_pixels_and_drawn(farm, command):
    code, _, err = command("run", "s.yaml", "--workers", "1")
    assert code == 0, err
    for name in ("clusters.csv", "map.npy", "map.png"):
        code, out, err = command("assign", "--out", name)
        assert (code, out) == (0, f"Wrote the clusters of 1,620 samples to {name}.\n"), err
    clusters = np.load("map.npy")
    assert clusters.shape == TRUTH.shape
    table = pd.read_csv("clusters.csv")
    assert table["id"].tolist() == list(range(HEIGHT * WIDTH))
    assert table["cluster"].tolist() == clusters.reshape(-1).tolist()

    known = TRUTH > 0
    classes = by_class(clusters[known], TRUTH[known])
    found = np.vectorize(classes.get)(clusters[known])
    (row,) = reader.read_results(["results"]).to_pylist()
    assert row["metric.oa"] == pytest.approx(accuracy_score(TRUTH[known], found), abs=1e-12)
    assert row["metric.balanced_acc"] == pytest.approx(balanced_accuracy_score(TRUTH[known], found), abs=1e-12)
    assert row["metric.kappa"] == pytest.approx(cohen_kappa_score(TRUTH[known], found), abs=1e-12)
    assert 1 / CLASSES < row["metric.oa"] < 1

    picture = np.asarray(Image.open("map.png"))
    times = 400 // WIDTH
    left, top = 16, 36
    for values, shift in ((clusters, 0), (TRUTH.astype(int), times * WIDTH + 16)):
        shown = picture[top : top + times * HEIGHT : times, left + shift : left + shift + times * WIDTH : times]
        wanted = {one: scene_map.colour(classes[one] - 1) for one in classes}
        if shift:
            wanted = {0: "#ffffff"} | {one: scene_map.colour(one - 1) for one in range(1, CLASSES + 1)}
        expected = np.array([[ImageColor.getrgb(wanted[one]) for one in line] for line in values.tolist()])
        np.testing.assert_array_equal(shown, expected)

    assert command("clusters", "--out", "page")[0] == 0
    assert Path("page/scene.png").read_bytes() == Path("map.png").read_bytes()
    assert not list(Path("page").glob("cluster-*.png"))
    assert Path("page/clusters.html").read_text().count('src="data:image/png;base64,') == 1

    kept = {name: Path(name).read_bytes() for name in ("farm.npy", "farm_gt.npy")}
    for words, said in (
        (["--out", "farm.npy"], "is the study's data itself"),
        (["--out", "farm_gt.npy"], "is the study's data itself"),
        (["--out", "map.jpg"], "should end in one of .csv, .tsv, .parquet, .h5ad, .png, .npy"),
        (["--out", "map.h5ad"], "the study's data is scene, no .h5ad file"),
        (["--out", "a.npy", "--data", "farm_gt.npy"], "farm_gt.npy is not what the trial was trained on"),
        (["--out", "a.npy", "--data", "lost.npy"], "no such file"),
        (["--data", "farm.npy"], "give it with --out"),
    ):
        code, _, err = command("assign", *words)
        assert (code, err.splitlines()[-1].startswith("Error: ")) == (2, True), err
        assert said in err
    (model,) = Path("results/study=farm/models").iterdir()
    code, _, err = command("embed", model, "farm.npy", "--out", "v.parquet")
    assert (code, err.count("\n")) == (2, 1)
    assert "`conclus assign` gives the clusters of its pixels" in err
    assert kept == {name: Path(name).read_bytes() for name in kept}
    assert not Path("a.npy").exists()

    Path("moved").mkdir()
    for name in kept:
        Path(name).rename(f"moved/{name}")
    assert command("assign", "--out", "again.npy")[0] == 2
    assert command("assign", "--out", "again.npy", "--data", "moved/farm.npy")[0] == 0
    np.testing.assert_array_equal(np.load("again.npy"), clusters)

    trial = choice.choose(driver.one_study("results", ()))
    for ids in (pa.array([0, HEIGHT * WIDTH]), pa.array([-1, 0]), pa.array(["0", "1"])):
        strange = replace(trial.clusters(), table=pa.table({"id": ids, "cluster": pa.array([0, 1], pa.int32())}))
        with pytest.raises(UserError, match="ids of the samples are no numbers of the 1,620 pixels of farm"):
            written.write_map(trial, strange, "moved/farm.npy", Path("b.npy"))
    assert not Path("b.npy").exists()


def lines(content):
    return np.asarray(Image.open(io.BytesIO(content)))


def test_pixels_without_a_cluster_or_a_class_are_white():
    clusters = scene_map.laid_out((2, 3), np.array([0, 4]), np.array([1, 0]))
    assert clusters.tolist() == [[1, -1, -1], [-1, 0, -1]]
    picture = lines(scene_map.drawn(clusters))
    times = 400 // 3
    middle = times // 2
    shown = picture[36 + middle : 36 + 2 * times : times, 16 + middle : 16 + 3 * times : times]
    blank, first, second = [255] * 3, *(list(ImageColor.getrgb(scene_map.colour(one))) for one in (0, 1))
    assert shown.tolist() == [[second, blank, blank], [blank, first, blank]]


@pytest.mark.parametrize("name", ["Corn\nno till", "\x1b[31mred", "x" * 500, "\u202egnp", ""])
def test_any_name_of_a_class_can_be_drawn(name):
    truth = np.array([[0, 1], [1, 0]], np.int32)
    shown = lines(scene_map.drawn(truth, truth, [name, "b"]))
    assert shown.shape == lines(scene_map.drawn(truth, truth, ["a", "b"])).shape


def test_more_clusters_than_classes_and_the_other_way_round():
    truth = np.array([[0, 0, 1, 1]] * 4, np.int32)
    clusters = np.array([[2, 2, 0, 3]] * 3 + [[2, 2, 0, 0]], np.int32)
    assert scene_map.matched(clusters, truth) == {2: 0, 0: 1}
    assert scene_map.matched(np.zeros_like(truth), truth) == {0: 0}
    assert scene_map.drawn(clusters, truth, ["a", "b"]).startswith(b"\x89PNG")


def seen(colour, sight):
    """The CIELAB of a colour for an eye: matrices of Machado et al. (2009) for severity 1."""
    plain = np.array(ImageColor.getrgb(colour)) / 255
    linear = np.clip(sight @ np.where(plain <= 0.04045, plain / 12.92, ((plain + 0.055) / 1.055) ** 2.4), 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(to_xyz @ linear / np.array([0.9505, 1, 1.089]))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


SIGHTS = {
    "ordinary": np.eye(3),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
    ),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
}


@pytest.mark.parametrize("sight", SIGHTS)
def test_twenty_colours_can_be_told_apart(sight):
    points = np.array([seen(one, SIGHTS[sight]) for one in [*map(scene_map.colour, range(20)), "#ffffff"]])
    distances = np.linalg.norm(points[:, None] - points, axis=-1) + 1000 * np.eye(len(points))
    # A difference of 2.3 is just seen.
    assert distances.min() > 15
    assert scene_map.colour(20) == scene_map.colour(0)
