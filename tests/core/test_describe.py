# ruff: noqa: RUF001 - the sign of multiplication, as shapes are written
"""The line that says what a data set was read as."""

import numpy as np

from core.data.dataset import Dataset
from core.data.describe import described, noted
from core.datasets import file


def dataset(samples, labels=None, names=(), **more):
    return Dataset("mine", np.asarray(samples, dtype=np.float32), labels, names, "", **more)


def test_a_table_is_told_with_its_columns_its_labels_and_what_has_none():
    labels = np.arange(240) % 3
    labels[:48] = -1
    data = dataset(
        np.zeros((240, 6)),
        labels,
        ("0", "1", "2"),
        feature_names=tuple("abcdef"),
        left_out=("id (unique whole numbers)",),
        label_name="label",
        notes=("the label '?' is a class",),
        unlabelled=("-1", "empty"),
    )
    assert described(data) == (
        "mine: 240 samples × 6 features (a … f), labels: label, 3 classes (0, 1, 2), 48 unlabelled (-1, empty)"
    )
    assert noted(data) == ["mine: left out: id (unique whole numbers)", "mine: the label '?' is a class"]


def test_a_file_is_told_as_it_stands(tmp_path):
    rows = [f"{i},{i % 7}.5,{(i * i) % 11}.25,{'' if i < 4 else 'xy'[i % 2]}" for i in range(20)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["id,a,b,label", *rows]) + "\n")
    data = file.load(path=str(path))
    told = described(data)
    assert told == "t: 20 samples × 2 features (a, b), labels: label, 2 classes (x, y), 4 unlabelled (empty)"
    assert noted(data) == ["t: left out: id (unique whole numbers)"]


def test_images_are_told_by_axis():
    data = dataset(np.zeros((5, 3, 8, 9)), axes=("height", "width", "channels"))
    assert described(data) == (
        "mine: 5 samples × 3 channels × 8 height × 9 width (read as height × width × channels), no labels"
    )


def test_names_with_new_lines_stay_in_the_line():
    data = dataset(np.zeros((2, 1)), feature_names=("a\nb",))
    assert described(data) == "mine: 2 samples × 1 feature (a b), no labels"
