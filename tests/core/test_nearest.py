"""Neighbours: as scikit-learn finds them, whatever the blocks; made once for the processes of a machine."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from core.config.schema import Mistakes
from core.config.trial import read_trial
from core.data import prepared
from core.data.dataset import Dataset
from core.evaluation import nearest
from core.evaluation.shared_neighbours import ROUNDS
from core.training.candidate import Candidate
from core.training.fit import fit
from core.views.neighbours import Views


def rows(n=300, dim=7, seed=0):
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


def groups(n=3000, dim=8):
    draw = np.random.default_rng(0)
    return (3 * draw.normal(size=(30, dim))[draw.integers(30, size=n)] + draw.normal(size=(n, dim))).astype(np.float32)


def literal(points, count):
    """By Euclidean distance, equal ones in the order of rows."""
    points = points.astype(float)
    found = []
    for i, one in enumerate(points):
        distances = ((points - one) ** 2).sum(axis=1)
        others = sorted((j for j in range(len(points)) if j != i), key=lambda j: (distances[j], j))
        found.append(others[:count])
    return np.array(found)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_the_nearest_are_scikit_learns(metric):
    points = rows() + 5
    expected = NearestNeighbors(n_neighbors=5, metric=metric).fit(points.astype(float)).kneighbors()[1]
    found = nearest.nearest(points, 5, metric=metric)
    assert np.array_equal(found.rows, expected)
    assert found.recall is None


@settings(max_examples=40)
@given(st.integers(2, 40), st.integers(1, 12), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_blocks_and_ties_change_nothing(n, count, own, among, seed):
    # Of small whole numbers all sums are exact, and many points are as near as others, or the same. Centring would
    # round, so the mean is 0.
    half = np.random.default_rng(seed).integers(-2, 3, size=(n, 2)).astype(np.float32)
    points = np.concatenate([half, -half])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearest, "_ROWS", own)
        patch.setattr(nearest, "_COLUMNS", among)
        found = nearest.nearest(points, count, metric="euclidean").rows
    assert np.array_equal(found, literal(points, min(count, 2 * n - 1)))


def test_a_missing_number_counts_as_0_and_one_row_has_no_neighbours():
    points, holes = rows(), rows()
    points[::3, 2], holes[::3, 2] = 0, np.nan
    assert np.array_equal(nearest.nearest(points, 4).rows, nearest.nearest(holes, 4).rows)
    assert nearest.nearest(points[:1], 4).rows.shape == (1, 0)


def test_cells_find_most_and_their_recall_is_told(monkeypatch):
    monkeypatch.setattr(nearest, "_CELL", 32)
    monkeypatch.setattr(nearest, "_LOOKED_INTO", 3)
    points = groups()
    exact = nearest.nearest(points, 10, search="exact").rows
    found = nearest.nearest(points, 10, search="cells")
    shares = [len({*a} & {*b}) / 10 for a, b in zip(exact.tolist(), found.rows.tolist(), strict=True)]
    assert 0.8 < np.mean(shares) < 1
    assert found.recall == pytest.approx(np.mean(shares), abs=0.03)
    assert all(i not in one for i, one in enumerate(found.rows.tolist()))
    cosines = np.einsum(
        "nd,nkd->nk", *(p / np.linalg.norm(p, axis=-1, keepdims=True) for p in (points, points[found.rows]))
    )
    assert (np.diff(cosines, axis=1) < 1e-6).all()
    assert np.array_equal(found.rows, nearest.nearest(points, 10, search="cells").rows)


def test_cells_of_equal_points_and_too_small_cells_will_do(monkeypatch):
    monkeypatch.setattr(nearest, "_CELL", 4)
    monkeypatch.setattr(nearest, "_LARGEST", 16)
    monkeypatch.setattr(nearest, "_LOOKED_INTO", 1)
    points = np.concatenate([np.ones((200, 3), np.float32), 10 + rows(60, 3)])
    found = nearest.nearest(points, 20, metric="euclidean", search="cells").rows
    assert found.min() >= 0
    assert all(len({*one} - {i}) == 20 for i, one in enumerate(found.tolist()))
    assert (found[:200] < 200).mean() > 0.9


def test_the_number_of_rows_alone_decides_for_cells(monkeypatch):
    monkeypatch.setattr(nearest, "MOST_EXACT", 299)
    assert nearest.nearest(rows(299), 3).recall is None
    assert nearest.nearest(rows(300), 3).recall is not None
    views = Views((7,), count=3)
    views.prepare(torch.from_numpy(rows(300)))
    assert views.signals() == {"neighbour_recall": nearest.nearest(rows(300), 3).recall}


def kept(monkeypatch):
    """From here all searches are kept; the list grows with each that is made."""
    monkeypatch.setattr(nearest, "_QUICK", 0)
    made, find = [], nearest._found
    monkeypatch.setattr(nearest, "_found", lambda *given: made.append(given) or find(*given))
    return made


def entry() -> Path:
    (found,) = prepared.entries(prepared.entries_folder())
    return found


def test_later_searches_of_the_same_rows_read_what_was_found(monkeypatch):
    expected = nearest.nearest(rows(), 20).rows
    made = kept(monkeypatch)
    for count in (20, 5, 32, 17):
        found = nearest.nearest(rows(), count).rows
        assert np.array_equal(found[:, :20], expected[:, :count])
    assert len(made) == 1
    assert isinstance(found.base, np.memmap) or isinstance(found, np.memmap)
    nearest.nearest(rows(), 33)
    nearest.nearest(rows(), 5, metric="euclidean")
    nearest.nearest(rows(seed=1), 5)
    assert len(made) == 4


def test_recall_is_kept_too(monkeypatch):
    made = kept(monkeypatch)
    first, second = (nearest.nearest(rows(), 5, search="cells") for _ in range(2))
    assert len(made) == 1
    assert first.recall == second.recall is not None


@pytest.mark.parametrize("digested", [True, False])
def test_a_damaged_entry_is_made_anew(monkeypatch, digested):
    if not digested:
        monkeypatch.setattr(prepared, "_DIGESTED", 0)
    made = kept(monkeypatch)
    expected = nearest.nearest(rows(), 5).rows.copy()
    content = (entry() / "samples.npy").read_bytes()
    (entry() / "samples.npy").write_bytes(content[:-4] + b"\xff\xff\xff\x7f")
    assert np.array_equal(nearest.nearest(rows(), 5).rows, expected)
    assert np.array_equal(nearest.nearest(rows(), 5).rows, expected)
    assert len(made) == 2


def test_other_trials_share_the_neighbours_in_the_input_and_none_in_what_was_learned(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found, made = nearest._found, list[int]()
    monkeypatch.setattr(nearest, "_found", lambda *given: made.append(len(given[0])) or found(*given))
    monkeypatch.setattr(nearest, "_QUICK", 0)
    points, counts = groups(400), list[int]()
    for seed in range(2):
        candidate = Candidate(len(points), points.shape[1:], 5)
        candidate.find(torch.from_numpy(points), seed=seed)
        counts.append(len(made))
        made.clear()
        candidate.join(torch.from_numpy(points), torch.from_numpy(groups(400, 3)), seed=seed)
        assert len(made) == 1 + ROUNDS
        made.clear()
    assert counts == [7 + ROUNDS, ROUNDS]
    assert len(list(prepared.entries_folder().glob("*/samples.npy"))) == 7


def test_a_cache_that_cannot_be_written_costs_the_sharing_only(monkeypatch, tmp_path):
    made = kept(monkeypatch)
    nearest._warn_once.cache_clear()
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="anew: data: it cannot be kept in the cache") as told:
        found = [nearest.nearest(rows(), 5).rows for _ in range(2)]
    assert np.array_equal(*found)
    assert len(told) == 1
    assert len(made) == 2


def test_a_full_disk_does_not_make_the_search_twice(monkeypatch):
    made = kept(monkeypatch)
    nearest._warn_once.cache_clear()
    monkeypatch.setattr(prepared.shutil, "disk_usage", lambda _: _Full)
    with pytest.warns(UserWarning, match="GB are free"):
        nearest.nearest(rows(), 5)
    assert len(made) == 1


class _Full:
    free = 0


def trial(seed):
    """A trial whose views are neighbours."""
    data = Dataset("blobs", rows(3000, 8), None, (), "blobs")
    values = {"views": {"name": "neighbours"}, "n_clusters": 3, "epochs": 1, "method": "cc"}
    values["encoder"] = {"name": "mlp", "widths": [8]}
    list(fit(read_trial(values, (), Mistakes()), data, seed=seed))


# Says when it has imported everything, and begins when it is told to.
ANOTHER = """
from tests.core import test_nearest as here
found, made = here.nearest._found, []
here.nearest._found, here.nearest._QUICK = lambda *given: made.append(given) or found(*given), 0
print("ready", flush=True)
input()
here.trial(0)
print(len(made))
"""


def test_trials_that_start_together_and_later_ones_make_neighbours_once(monkeypatch, root):
    made = kept(monkeypatch)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", ANOTHER], cwd=root, **pipes) as other:
        assert other.stdout.readline() == "ready\n"
        other.stdin.write("\n")
        other.stdin.flush()
        trial(1)
        theirs, _ = other.communicate()
    trial(2)
    assert other.returncode == 0
    assert int(theirs) + len(made) == 1
