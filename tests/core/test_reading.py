"""What a data file means: samples without a label, columns that are no features, and axes with two readings."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from core.data.layout import Layout
from core.datasets import file, text
from core.errors import UserError
from core.evaluation.clustering import evaluate
from core.evaluation.outputs import Outputs

N = 60
RNG = np.random.default_rng(0)
NUMBERS = pd.DataFrame(RNG.normal(size=(N, 2)), columns=["a", "b"])
CLASSES = np.arange(N) % 3
GRID = RNG.normal(size=(N, 4))


def loaded(path, **options):
    return file.load(path=str(path), **options)


def table(path, **columns):
    frame = NUMBERS.assign(**columns)
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    return path


@pytest.mark.parametrize("nothing", ["", "NA", "nan", "-1", "unlabelled", "Unlabeled", "null", "None", "n/a"])
@pytest.mark.parametrize("classes", [list("uvw"), list("012")])
def test_a_sample_without_a_label_is_known_however_it_is_written(tmp_path, nothing, classes):
    labels = [nothing if i % 5 == 0 else classes[i % 3] for i in range(N)]
    data = loaded(table(tmp_path / "a.csv", label=labels))
    assert data.labels.tolist() == [-1 if i % 5 == 0 else i % 3 for i in range(N)]
    assert data.class_names == tuple(classes)
    as_numbers = classes == list("012") and nothing in {"", "NA", "nan", "null", "n/a"}
    assert data.unlabelled == ("empty or NaN" if as_numbers else nothing or "empty",)


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_missing_numbers_are_no_labels(tmp_path, suffix):
    labels = np.where(np.arange(N) % 5 == 0, np.nan, CLASSES)
    path = tmp_path / f"a.{suffix}"
    np.savez(path, X=GRID, y=labels) if suffix == "npz" else table(path, y=labels)
    data = loaded(path)
    assert data.labels.tolist() == [-1 if i % 5 == 0 else i % 3 for i in range(N)]
    assert data.take(slice(5)).labels.tolist() == [-1, 1, 2, 0, 1]


def test_minus_one_of_two_values_is_a_class_and_can_be_told_not_to_be(tmp_path):
    np.savez(tmp_path / "a.npz", X=GRID, y=np.where(CLASSES == 0, -1, 1))
    data = loaded(tmp_path / "a.npz")
    assert data.class_names == ("-1", "1")
    assert any("-1 is a class" in note for note in data.notes)
    np.savez(tmp_path / "b.npz", X=GRID, y=CLASSES)
    assert loaded(tmp_path / "b.npz", unlabelled=(2,)).class_names == ("0", "1")


@pytest.mark.parametrize("doubtful", ["?", "unknown", "Unassigned"])
def test_a_label_that_may_mean_none_is_a_class_and_the_way_out_is_told(tmp_path, doubtful):
    path = table(tmp_path / "a.parquet", label=[[doubtful, "u", "v", "none"][i % 4] for i in range(N)])
    data = loaded(path)
    assert doubtful in data.class_names
    written = ", ".join(map(repr, sorted(["none", doubtful])))
    assert data.notes == (f"the label '{doubtful}' is a class; `unlabelled: [{written}]` takes it for no label",)
    assert loaded(path, unlabelled=("none", doubtful)).class_names == ("u", "v")


def test_a_value_of_unlabelled_that_does_not_occur_is_refused_with_those_that_do(tmp_path):
    labels = np.where(np.arange(N) < 9, np.nan, CLASSES)
    path = table(tmp_path / "a.csv", label=labels)
    with pytest.raises(UserError, match="`unlabelled` names '7', which is none of its labels: they are 0, 1, 2"):
        loaded(path, unlabelled=(7, 1))
    for harmless in ((1,), (), ("nan",), ("", 1)):
        assert loaded(path, unlabelled=harmless).labels[:9].tolist() == [-1] * 9
    with pytest.raises(UserError, match="`unlabelled` is of labels, and none are read"):
        loaded(table(tmp_path / "b.csv"), unlabelled=(7,))


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("parquet", {"decimal": ","}),
        ("npz", {"decimal": ","}),
        ("csv", {"layout": "nf"}),
        ("npy", {"features": "x"}),
    ],
)
def test_an_option_that_does_nothing_with_a_format_is_refused(tmp_path, suffix, options):
    path = tmp_path / f"a.{suffix}"
    write = {"npz": lambda: np.savez(path, x=GRID), "npy": lambda: np.save(path, GRID)}
    write.get(suffix, lambda: table(path))()
    with pytest.raises(UserError, match=f"the option `{next(iter(options))}` does nothing with files of the format"):
        loaded(path, **options)


def test_a_file_whose_columns_have_no_names_is_told(tmp_path):
    NUMBERS.assign(c=CLASSES).to_csv(tmp_path / "a.csv", index=False, header=False)
    notes = loaded(tmp_path / "a.csv").notes
    assert notes[0] == "no line names the columns: they are called f0 to f2; labels are named like `labels: f2`"
    assert notes[1].startswith("whole numbers of few values: f2")


def test_points_that_may_stand_for_thousands_are_told(tmp_path):
    (tmp_path / "a.csv").write_text("a;b;c\n4.658;0.658;1.5\n12.001;1.234;2.345\n7;2.5;1.125\n")
    assert loaded(tmp_path / "a.csv").notes == (
        "numbers like 4.658 are read with a decimal point: a; if it stands for thousands, save them without it",
    )
    (tmp_path / "b.csv").write_text("a,b\n4.658,1.001\n12.001,2.002\n")
    assert loaded(tmp_path / "b.csv").notes == ()


def test_decimal_commas_asked_for_where_there_are_points_are_named(tmp_path):
    (tmp_path / "a.csv").write_text("a;b\n1.5;2.5\n7.5;9.5\n")
    with pytest.raises(UserError, match=r'it has decimal points, as in 1\.5; leave out `decimal: ","`'):
        loaded(tmp_path / "a.csv", decimal=",")


def test_no_label_at_all_is_said(tmp_path):
    data = loaded(table(tmp_path / "a.csv", label=-1))
    assert data.labels is None
    assert data.notes == (f"all {N} samples are unlabelled: there are no labels",)


def test_white_space_makes_no_class(tmp_path):
    data = loaded(table(tmp_path / "a.parquet", label=["cat " if i == 1 else ["cat", "dog"][i % 2] for i in range(N)]))
    assert data.class_names == ("cat", "dog")
    assert any("'cat ' and 'cat' are one class" in note for note in data.notes)


def test_texts_may_lack_labels(tmp_path):
    rows = pd.DataFrame({"text": [f"word{i % 3} thing{i}" for i in range(9)], "label": ["u", None, "v"] * 3})
    rows.to_parquet(tmp_path / "t.parquet")
    assert text.load(path=str(tmp_path / "t.parquet"), dimensions=3).labels.tolist() == [0, -1, 1] * 3


def test_scores_are_those_of_the_labelled_samples():
    samples = torch.eye(3)[torch.arange(N) % 3] + 0.01 * torch.randn(N, 3, generator=torch.Generator().manual_seed(0))
    # A wrong answer for all samples without a label, which must not count.
    wrong = np.arange(N) % 5 == 0
    head = torch.eye(3)[torch.from_numpy(np.where(wrong, (CLASSES + 1) % 3, CLASSES))]
    labels = np.where(wrong, -1, CLASSES)

    def scores(known):
        outputs = Outputs(samples, head)
        method = SimpleNamespace(input_clusters=lambda _: np.where(wrong, (CLASSES + 1) % 3, CLASSES))
        return evaluate(method, samples, known, n_clusters=3, seed=0, previous=None, last=True, outputs=outputs).metrics

    assert scores(CLASSES)["acc"] == pytest.approx(0.8)
    found = scores(labels)
    for name in ("acc", "nmi", "ami", "kmeans_acc", "input_kmeans_acc", "candidate_nmi", "candidate_acc"):
        assert found[name] == pytest.approx(1), name
    assert scores(np.full(N, -1)) == {}


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        ({"id": np.arange(1000, 1000 + N)}, "id (unique whole numbers)"),
        ({"cell_id": RNG.permutation(N)}, "cell_id (unique whole numbers)"),
        ({"index": np.arange(N)}, "index (unique whole numbers)"),
        ({"uuid": [f"u{i}" for i in range(N)]}, "uuid (unique texts)"),
        ({"barcode": [f"u{i}" for i in range(N)]}, "barcode (unique texts)"),
        ({"label_fine": CLASSES}, "label_fine (a label by its name; `labels: label_fine` scores by it)"),
        ({"class": list("uvw") * 20}, "class (a label by its name; `labels: class` scores by it)"),
        ({"true_label": CLASSES}, "true_label (a label by its name; `labels: true_label` scores by it)"),
        ({"target2": GRID[:, 0]}, "target2 (a label by its name; `labels: target2` scores by it)"),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_what_is_surely_no_feature_is_left_out_and_told(tmp_path, column, reason, suffix):
    data = loaded(table(tmp_path / f"a.{suffix}", label=CLASSES, **column))
    assert data.feature_names == ("a", "b")
    assert data.left_out == (reason,)
    assert data.label_name == "label"
    named = loaded(table(tmp_path / f"a.{suffix}", label=CLASSES, n=CLASSES), features=("b", "n"))
    assert named.feature_names == ("b", "n")


def test_the_index_of_pandas_is_no_feature(tmp_path):
    NUMBERS.set_axis(pd.Index(RNG.permutation(N) + 7, name="plant")).to_parquet(tmp_path / "a.parquet")
    data = loaded(tmp_path / "a.parquet")
    assert (data.feature_names, data.left_out) == (("a", "b"), ("plant (pandas' index)",))
    assert sorted(data.ids.tolist()) == list(range(7, 7 + N))


@pytest.mark.parametrize("values", [np.arange(N), np.arange(N) ** 2, RNG.permutation(N) + 5, np.arange(N) + 0.0])
def test_what_counts_the_rows_is_asked_about(tmp_path, values):
    path = table(tmp_path / "a.parquet", nr=values)
    with pytest.raises(UserError, match=r"'nr' counts the rows.*`ignore: \[nr\]`.*`id: nr`.*`features: \[a, b, nr\]`"):
        loaded(path)
    assert loaded(path, ignore=("nr",)).feature_names == ("a", "b")
    assert loaded(path, id="nr").ids.tolist() == values.tolist()
    assert loaded(path, features=("a", "b", "nr")).sample_shape == (3,)


def test_whole_numbers_that_measure_are_features(tmp_path):
    prices = RNG.permutation(100_000)[:N]
    assert loaded(table(tmp_path / "a.csv", price=prices, year=1990 + CLASSES)).feature_names == (
        *("a", "b", "price", "year"),
    )


def test_arrays_that_are_not_read_are_told(tmp_path):
    np.savez(tmp_path / "a.npz", X=GRID, y=CLASSES, fine=CLASSES, sample_id=np.arange(N), names=np.array(["u", "v"]))
    assert loaded(tmp_path / "a.npz").left_out == (
        "fine (like a label; `labels: fine` scores by it)",
        "sample_id (whole numbers)",
    )


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"X": (N, 9, 9, 48)}, ("nchw", "nhwc")),
        ({"X": (N, 3, 32, 3)}, ("nchw", "nhwc")),
        ({"data": (20, 24, 30), "gt": (20, 24)}, ("nhw", "hwc")),
        ({"data": (30, 20, 24), "gt": (20, 24)}, ("nhw", "chw")),
        ({"X": (20, 20, 7)}, ("nhw", "hwc")),
        ({"X": (8, N), "fine": (N,)}, ("nf", "fn")),
        ({"X": (N, N), "y": (N,)}, ("nf", "fn")),
        ({"X": (20, 7, 20), "y": (20,)}, ("nhw", "hwn")),
        ({"X": (6, 4, 6), "y": (6, 1)}, ("nhw", "hwn")),
    ],
)
def test_two_readings_of_the_axes_are_refused_with_both(tmp_path, arrays, said):
    made = {
        key: RNG.integers(0, 3, one) if key in {"y", "gt", "fine"} else RNG.random(one) for key, one in arrays.items()
    }
    np.savez(tmp_path / "a.npz", **made)
    with pytest.raises(UserError, match=".*".join(f"`layout: {one}`" for one in said)):
        loaded(tmp_path / "a.npz")
    one, two = (loaded(tmp_path / "a.npz", layout=one, labels="none").samples for one in said)
    assert one.shape != two.shape or (one != two).any()


@pytest.mark.parametrize(
    ("shape", "labels", "layout", "found"),
    [
        ((8, N), (N,), "fn", (N, 8)),
        ((8, N), (N, 1), "fn", (N, 8)),
        ((9, 9, N), (N,), "hwn", (N, 1, 9, 9)),
        ((9, 7, N), (N,), "hwn", (N, 1, 9, 7)),
        ((6, 5, 4), (6, 5), "hwc", (30, 4)),
        ((4, 6, 5), (6, 5), "chw", (30, 4)),
    ],
)
def test_a_reading_that_the_labels_rule_out_is_not_offered(tmp_path, shape, labels, layout, found):
    samples = RNG.random(shape)
    np.savez(tmp_path / "a.npz", X=samples, y=(np.arange(np.prod(labels)) % 3).reshape(labels))
    with pytest.raises(UserError, match="fits its") as caught:
        loaded(tmp_path / "a.npz")
    assert [one for one in Layout.__args__ if f"`layout: {one}`" in str(caught.value)] == [layout]
    data = loaded(tmp_path / "a.npz", layout=layout, scale="none")
    assert data.samples.shape == found
    assert data.labels.tolist() == (np.arange(len(data.samples)) % 3).tolist()
    if layout == "hwn":
        assert data.samples[5, 0] == pytest.approx(samples[:, :, 5])


def test_labels_that_fit_the_samples_settle_the_reading(tmp_path):
    for place, shape in enumerate([(N, 8), (N, 9, 9), (9, 9, 7)]):
        np.savez(tmp_path / f"{place}.npz", X=RNG.random(shape), y=np.arange(shape[0]) % 3)
        assert loaded(tmp_path / f"{place}.npz").n_samples == shape[0]
    # A second array with a row for each sample: samples come first in this file.
    np.savez(tmp_path / "a.npz", X=RNG.random((N, N)), y=CLASSES, aside=RNG.random((N, 5)))
    assert loaded(tmp_path / "a.npz", features="X").sample_shape == (N,)


def test_sparse_rows_of_features_are_turned_when_told(tmp_path):
    from scipy import sparse

    rows = sparse.csr_matrix(RNG.integers(0, 3, (8, N)))
    np.savez(
        tmp_path / "a.npz", data=rows.data, indices=rows.indices, indptr=rows.indptr, shape=rows.shape, label=CLASSES
    )
    with pytest.raises(
        UserError,
        match=rf"fits its {N} labels only as {N} samples of 8 features, each column a sample \(`layout: fn`\)",
    ):
        loaded(tmp_path / "a.npz")
    assert loaded(tmp_path / "a.npz", layout="fn").sample_shape == (8,)


def test_a_cube_is_read_pixel_by_pixel_with_its_ground_truth(tmp_path):
    cube, truth = RNG.random((6, 5, 4)), RNG.integers(0, 3, (6, 5))
    np.savez(tmp_path / "a.npz", data=cube, gt=truth)
    data = loaded(tmp_path / "a.npz", layout="hwc", labels="gt", scale="none")
    assert data.samples == pytest.approx(cube.reshape(30, 4))
    assert data.labels.tolist() == truth.ravel().tolist()


@pytest.mark.parametrize(("shape", "axes"), [((N, 8, 8, 3), "hwc"), ((N, 1, 8, 8), "chw"), ((N, 8, 9), "hw")])
def test_one_possible_reading_is_recorded(tmp_path, shape, axes):
    np.save(tmp_path / "a.npy", RNG.random(shape))
    words = {"h": "height", "w": "width", "c": "channels"}
    assert loaded(tmp_path / "a.npy").axes == tuple(words[one] for one in axes)


def test_decimal_commas_are_named_and_can_be_read(tmp_path):
    (tmp_path / "a.csv").write_text("a;b;label\n1,5;2,5;0\n7,5;9,5;1\n")
    with pytest.raises(UserError, match='decimal commas: set `decimal: ","`'):
        loaded(tmp_path / "a.csv")
    assert loaded(tmp_path / "a.csv", decimal=",", scale="none").samples.tolist() == [[1.5, 2.5], [7.5, 9.5]]


def test_complex_numbers_are_refused_in_a_sentence(tmp_path):
    np.savez(tmp_path / "a.npz", X=GRID + 1j)
    with pytest.raises(UserError, match="complex"):
        loaded(tmp_path / "a.npz")


def test_new_data_is_matched_by_name(tmp_path):
    (tmp_path / "new.csv").write_text("b,extra,id,a\n2,9,7,1\n")
    data = file.samples_of(str(tmp_path / "new.csv"), ("a", "b"))
    assert (data.samples.tolist(), data.ids.tolist()) == ([[1, 2]], [7])
    assert data.left_out == ("extra (not known to the model)", "id (unique whole numbers)")
    with pytest.raises(UserError, match="'c'"):
        file.samples_of(str(tmp_path / "new.csv"), ("a", "b", "c"))


def test_new_data_keeps_the_ids_of_the_option_and_needs_none(tmp_path):
    (tmp_path / "new.csv").write_text("nr,a\n9,1\n")
    assert file.samples_of(str(tmp_path / "new.csv"), ("a",), id="nr").ids.tolist() == [9]
    assert file.samples_of(str(tmp_path / "new.csv"), ("a",), id="key").ids is None


def test_as_many_new_images_as_they_are_high_are_no_cube(tmp_path):
    np.save(tmp_path / "a.npy", RNG.random((8, 8, 6)))
    assert file.samples_of(str(tmp_path / "a.npy"), ()).samples.shape == (8, 1, 8, 6)


def test_options_that_are_not_set_keep_the_fingerprint(tmp_path):
    path = str(table(tmp_path / "a.csv"))
    plain = file.fingerprint(path=path)
    assert plain == file.fingerprint(path=path, ignore=None, layout=None, decimal=".")
    assert len({plain, file.fingerprint(path=path, ignore=("a",)), file.fingerprint(path=path, decimal=",")}) == 3


def test_damaged_metadata_of_pandas_is_passed_over(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    for metadata in ("{", "[]", "7", json.dumps({"index_columns": 3})):
        found = pa.table({"a": [1.5, 2], "b": [2.5, 1]}).replace_schema_metadata({"pandas": metadata})
        parquet.write_table(found, tmp_path / "a.parquet")
        assert loaded(tmp_path / "a.parquet").feature_names == ("a", "b")
