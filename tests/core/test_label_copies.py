"""No column that is the answer is trained on in silence: labels under other names, and copies of the labels."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.datasets import file, text
from core.errors import UserError

N = 60
RNG = np.random.default_rng(0)
NUMBERS = pd.DataFrame(RNG.normal(size=(N, 2)), columns=["a", "b"])
CLASSES = np.arange(N) % 3
MIXED = RNG.permutation(CLASSES)
LABEL_NAMES = (
    *("cluster", "clusters", "kmeans_cluster", "Species", "subclass", "superclass", "category", "cell_type"),
    *("celltype", "louvain", "leiden_r1", "group", "pred", "pred_svm", "prediction", "predicted", "y_fine", "truth"),
)


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def table(path, frame=NUMBERS, **columns):
    frame = frame.assign(**columns)
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    return str(path)


@pytest.mark.parametrize("name", LABEL_NAMES)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_second_label_is_left_out_by_its_name_and_can_be_taken_in(tmp_path, name, suffix):
    path = table(tmp_path / f"a.{suffix}", label=CLASSES, **{name: MIXED})
    data = file.load(path=path)
    assert data.feature_names == ("a", "b")
    assert data.left_out == (f"{name} (a label by its name; `labels: {name}` scores by it)",)
    assert file.load(path=path, features=("a", "b", name)).sample_shape == (3,)


@pytest.mark.parametrize("name", LABEL_NAMES)
def test_tables_and_arrays_know_the_same_names(tmp_path, name):
    np.savez(tmp_path / "a.npz", one=NUMBERS.to_numpy(), y=CLASSES, **{name: RNG.normal(size=(N, 3))})
    data = file.load(path=str(tmp_path / "a.npz"))
    assert data.sample_shape == (2,)
    assert data.left_out == (f"{name} (like a label; `labels: {name}` scores by it)",)


@pytest.mark.parametrize("name", ["predictor", "group_size", "blood_group", "y_mean", "glass", "typecast", "years"])
def test_names_of_features_are_no_labels(tmp_path, name):
    assert name in file.load(path=table(tmp_path / "a.csv", label=CLASSES, **{name: MIXED})).feature_names


COPIES = {
    "equal": CLASSES,
    "other numbers": np.array([7, 3, 5])[CLASSES],
    "fractions": np.array([0.5, 1.5, 0.25])[CLASSES],
    "texts": np.array(["u", "v", "w"])[CLASSES],
    "flags": CLASSES == 1,
}


@pytest.mark.parametrize("kind", COPIES)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_copy_of_the_labels_is_left_out_whatever_its_name_and_is_told(tmp_path, kind, suffix):
    labels = CLASSES == 1 if kind == "flags" else CLASSES
    path = table(tmp_path / f"a.{suffix}", label=labels, colour=COPIES[kind], size=MIXED)
    data = file.load(path=path)
    assert data.feature_names == ("a", "b", "size")
    assert data.left_out == ("colour (it repeats the labels one to one; `features: [..., colour]` learns from it)",)
    if kind != "texts":
        assert file.load(path=path, features=("a", "colour")).feature_names == ("a", "colour")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_copy_that_also_knows_what_has_no_label_is_one(tmp_path, suffix):
    for nothing in (-1, np.nan):
        labels = np.where(np.arange(N) < 12, nothing, CLASSES)
        path = table(tmp_path / f"a.{suffix}", label=labels, colour=CLASSES)
        assert file.load(path=path).feature_names == ("a", "b")
    assert file.load(path=table(tmp_path / "b.csv", label=2 * (CLASSES == 1) - 1, colour=CLASSES == 1)).left_out


def test_a_copy_is_found_in_all_parts_of_a_folder_and_far_behind_sorted_labels(tmp_path):
    (tmp_path / "parts").mkdir()
    many = pd.DataFrame({"a": np.arange(40_000) * 0.5, "label": np.repeat([0, 1], 20_000)})
    many = many.assign(copy=many.label + 3, nearly=many.label.where(many.index < 39_999, 0))
    many.iloc[:25_000].to_csv(tmp_path / "parts" / "1.csv", index=False)
    many.iloc[25_000:].to_csv(tmp_path / "parts" / "2.csv", index=False)
    assert file.load(path=str(tmp_path / "parts")).feature_names == ("a", "nearly")


def test_few_rows_and_labels_that_are_all_different_say_nothing(tmp_path):
    assert file.load(path=table(tmp_path / "a.csv", NUMBERS.head(6), label=CLASSES[:6], c=CLASSES[:6])).left_out == ()
    assert file.load(path=table(tmp_path / "b.csv", label=RNG.permutation(N), c=RNG.random(N))).left_out == ()


def test_class_alone_is_the_label_and_beside_others_a_second_one(tmp_path):
    np.savez(tmp_path / "a.npz", X=NUMBERS.to_numpy(), **{"class": CLASSES})
    pd.DataFrame({"text": [f"word{one} thing" for one in CLASSES], "Class": CLASSES}).to_csv(tmp_path / "t.csv")
    data = [file.load(path=table(tmp_path / "a.csv", **{"class": CLASSES})), file.load(path=str(tmp_path / "a.npz"))]
    for one in (*data, text.load(path=str(tmp_path / "t.csv"), dimensions=2)):
        assert one.labels.tolist() == CLASSES.tolist()
    both = file.load(path=table(tmp_path / "b.csv", y=CLASSES, **{"class": MIXED}))
    assert (both.label_name, both.feature_names) == ("y", ("a", "b"))


def test_whole_numbers_of_few_values_are_features_and_named(tmp_path):
    data = file.load(path=table(tmp_path / "a.csv", label=CLASSES, year=1990 + MIXED, batch=RNG.permutation(MIXED)))
    assert data.feature_names == ("a", "b", "year", "batch")
    assert any(one.startswith("whole numbers of few values: year, batch") for one in data.notes)
    assert file.load(path=table(tmp_path / "b.csv", label=CLASSES)).notes == ()


def test_a_column_of_an_array_that_repeats_the_labels_is_told(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.column_stack([NUMBERS, MIXED, CLASSES]), y=CLASSES)
    (note,) = file.load(path=str(tmp_path / "a.npz")).notes
    assert note.startswith("column 4 (counted from 1) of the samples repeats the labels one to one")


def test_shuffled_numbers_of_equal_steps_are_asked_about_as_ids(tmp_path):
    customers = RNG.permutation(1_000_003 + 7 * np.arange(N))
    path = table(tmp_path / "a.csv", customer=customers)
    with pytest.raises(UserError, match="`id: customer`"):
        file.load(path=path)
    assert file.load(path=path, id="customer").ids.tolist() == customers.tolist()


def test_a_file_that_is_read_otherwise_has_another_fingerprint_and_no_other_file_has(tmp_path, monkeypatch):
    """Of each file the fingerprint, and that which versions gave it that trained on every column of numbers."""
    plain = table(tmp_path / "plain.csv", label=CLASSES, year=MIXED)
    changed = {
        "name": table(tmp_path / "name.csv", label=CLASSES, cluster=MIXED),
        "copy": table(tmp_path / "copy.csv", label=CLASSES, colour=CLASSES),
        "class": table(tmp_path / "class.csv", **{"class": CLASSES}),
    }
    loaded = {one: file.load(path=path) for one, path in changed.items()}
    found = {one: file.fingerprint(path=path) for one, path in changed.items()}
    assert {one: data.fingerprint for one, data in loaded.items()} == found
    same = file.fingerprint(path=plain)
    named = {one: file.fingerprint(path=path, features=("a", "b")) for one, path in changed.items()}
    monkeypatch.setattr(file, "changed_reading", lambda *_: {})
    assert file.fingerprint(path=plain) == same
    assert all(file.fingerprint(path=path) != found[one] for one, path in changed.items())
    again = {one: file.fingerprint(path=path, features=("a", "b")) for one, path in changed.items()}
    assert {one for one in named if named[one] != again[one]} == {"class"}


NAMES = st.sampled_from([*LABEL_NAMES, "batch", "year", "colour", "n", "size", "kind"])
COLUMNS = st.lists(st.tuples(NAMES, st.integers(0, 4)), max_size=5, unique_by=lambda one: one[0].lower())


@settings(max_examples=60, deadline=None)
@given(columns=COLUMNS, classes=st.integers(2, 5), seed=st.integers(0, 99), suffix=st.sampled_from(["csv", "parquet"]))
def test_no_random_table_is_trained_on_a_copy_of_its_labels_in_silence(columns, classes, seed, suffix):
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(50) % classes)
    kinds = [
        lambda: labels,
        lambda: random.permutation(100)[:classes][labels],
        lambda: random.permutation(labels),
        lambda: random.integers(0, 4, 50),
        lambda: random.normal(size=50),
    ]
    frame = pd.DataFrame({"f": random.normal(size=50), "label": labels})
    frame = frame.assign(**{name: kinds[kind]() for name, kind in columns})
    with tempfile.TemporaryDirectory() as folder:
        data = file.load(path=table(Path(folder) / f"a.{suffix}", frame), scale="none")
    told = {one.partition(" (")[0] for one in data.left_out}
    assert told | {*data.feature_names, "label"} == set(frame.columns)
    for name, column in zip(data.feature_names, data.samples.T, strict=True):
        pairs = len(set(zip(column.tolist(), labels.tolist(), strict=True)))
        assert not (pairs == len(np.unique(column)) == classes), name


@settings(max_examples=30, deadline=None)
@given(places=st.lists(st.integers(0, 3), max_size=3), classes=st.integers(2, 5), seed=st.integers(0, 99))
def test_no_random_array_holds_a_copy_of_its_labels_untold(places, classes, seed):
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(50) % classes)
    samples = random.normal(size=(50, 4))
    for place in places:
        samples[:, place] = random.permutation(9)[:classes][labels]
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "a.npz", X=samples, y=labels)
        notes = file.load(path=str(Path(folder) / "a.npz")).notes
    assert any("repeats the labels" in one for one in notes) == bool(places)
