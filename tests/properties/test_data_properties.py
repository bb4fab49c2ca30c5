"""Whatever the numbers: every format gives the same samples, and scaling keeps its promises."""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pyarrow import csv, parquet

from core.data.labels import encode_labels
from core.data.scaling import scaled
from core.datasets import file

GRID = np.arange(24.0).reshape(6, 4)
TABLES = arrays.arrays(
    np.float64,
    st.tuples(st.integers(2, 6), st.integers(1, 5)),
    elements=st.floats(-1e6, 1e6, allow_subnormal=False),
).filter(lambda samples: (samples.astype("f4") != samples[:1].astype("f4")).any())
LABELS = st.lists(st.sampled_from(["0", "1", "a", "ä, b", '"', " x"]), min_size=6, max_size=6).filter(
    lambda labels: labels[0] != labels[1]
)


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def write_all(folder, samples, labels):
    columns = pa.table({f"c{i}": column for i, column in enumerate(samples.T)} | {"label": labels})
    np.savez(folder / "a.npz", X=samples, label=labels)
    np.savez_compressed(folder / "b.npz", anything=samples, y=labels)
    parquet.write_table(columns, folder / "a.parquet")
    parquet.write_table(pa.table({"v": list(samples), "label": labels}), folder / "b.parquet")
    csv.write_csv(columns, folder / "a.csv")
    csv.write_csv(columns, folder / "a.tsv", csv.WriteOptions(delimiter="\t"))


@settings(max_examples=30, deadline=None)
@given(samples=TABLES, labels=LABELS, scale=st.sampled_from(["none", "unit", "standard", "auto"]))
def test_every_format_gives_the_same(samples, labels, scale):
    with tempfile.TemporaryDirectory() as name:
        folder, labels = Path(name), labels[: len(samples)]
        write_all(folder, samples, labels)
        np.save(folder / "a.npy", samples)
        plain = file.load(path=str(folder / "a.npy"), scale=scale)
        assert plain.labels is None
        codes, classes = encode_labels(np.array([one.strip() for one in labels]), len(labels), folder)
        for path in sorted(folder.iterdir()):
            # As many samples as features can be read in two ways: arrays say which is meant.
            layout = "nf" if path.suffix == ".npz" else None
            loaded = file.load(path=str(path), scale=scale, layout=layout)
            np.testing.assert_array_equal(loaded.samples, plain.samples)
            if path.suffix != ".npy":
                assert loaded.labels.tolist() == codes.tolist()
            # Text knows no types: labels that are all numbers come back as numbers, in the same order here.
            if path.suffix in {".npz", ".parquet"}:
                assert loaded.class_names == classes


@settings(max_examples=30, deadline=None)
@given(samples=TABLES, cuts=st.integers(1, 5))
def test_a_folder_of_parts_is_the_whole(samples, cuts):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "parts"
        folder.mkdir()
        for number, rows in enumerate(np.array_split(samples, min(cuts, len(samples)))):
            np.save(folder / f"{number}.npy", rows)
        np.save(Path(name) / "whole.npy", samples)
        parts, whole = (file.load(path=str(p)) for p in (folder, Path(name) / "whole.npy"))
        np.testing.assert_array_equal(parts.samples, whole.samples)


@settings(max_examples=60, deadline=None)
@given(samples=TABLES)
def test_standard_has_mean_zero_and_variance_one_or_is_zero(samples):
    standard = scaled(samples, "standard").astype("f8")
    assert np.isfinite(standard).all()
    np.testing.assert_allclose(standard.mean(axis=0), 0, atol=1e-5)
    constant = (samples == samples[:1]).all(axis=0)
    np.testing.assert_allclose(standard.std(axis=0), np.where(constant, 0, 1), atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(samples=TABLES)
def test_unit_fills_zero_to_one_and_keeps_the_order(samples):
    unit = scaled(samples, "unit")
    assert (unit.min(), unit.max()) == (0, 1)
    order = np.argsort(samples, axis=None, kind="stable")
    assert (np.diff(unit.ravel()[order]) >= 0).all()


@settings(max_examples=60, deadline=None)
@given(raw=st.lists(st.integers(-(2**40), 2**40), min_size=2).filter(lambda raw: len(set(raw)) > 1))
def test_encoded_labels_tell_the_same_classes_apart(raw):
    codes, names = encode_labels(np.array(raw), len(raw), "here")
    assert [int(names[code]) for code in codes] == raw
    assert sorted(set(codes.tolist())) == list(range(len(names)))


@pytest.mark.parametrize("size", [1e-30, 1e-3, 1e5, 1e29])
def test_standard_holds_at_any_size(size):
    samples = np.random.default_rng(0).normal(size=(50, 3)).astype("f4")
    np.testing.assert_allclose(scaled(samples * np.float32(size), "standard"), scaled(samples, "standard"), atol=1e-4)


def test_a_constant_feature_becomes_zero_whatever_its_rounding():
    samples = np.column_stack([np.full(1000, 0.1), np.arange(1000.0), np.full(1000, 1e9 + 0.1)])
    standard = scaled(samples, "standard")
    assert (standard[:, [0, 2]] == 0).all()
    assert abs(standard[:, 1].std() - 1) < 1e-5


def test_a_large_offset_does_not_drown_the_differences():
    samples = GRID + 1e9
    np.testing.assert_allclose(scaled(samples, "standard"), scaled(GRID, "standard"), atol=1e-5)
