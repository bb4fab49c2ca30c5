"""The table of methods on data sets: what `conclus` gains over the best of the others, and what counts as reached."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks import peers, quality

values = st.lists(st.floats(0, 1), min_size=2, max_size=6).filter(lambda one: np.ptp(one) > 1e-3)


def scores(data, **methods):
    return [
        peers.Score(data, method, seed, nmi, nmi, 1.0, "")
        for method, found in methods.items()
        for seed, nmi in enumerate(found)
    ]


@given(values, values)
def test_the_interval_of_a_gap_is_that_of_scipy(ours, other):
    found = peers.gap(ours, {"ward": other})
    low, high = stats.ttest_ind(ours, other, equal_var=False).confidence_interval(0.95)
    assert found.mean == pytest.approx(np.mean(ours) - np.mean(other))
    assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx((low, high))


def test_a_gap_is_that_to_the_best_of_the_others():
    found = peers.gap([0.5, 0.5], {"ward": [0.2, 0.4], "gmm": [0.4, 0.4], "kmeans": [0.1, 0.1]})
    assert found == peers.Gap("gmm", pytest.approx(0.1), 0.0)
    assert peers.gap([0.5], {"ward": [0.2, 0.4]}).half_width == math.inf
    assert peers.gap([], {"ward": [0.2]}) is None
    assert peers.gap([0.2], {}) is None


def test_scores_are_read_as_they_were_written(tmp_path):
    file = tmp_path / "table.csv"
    assert peers.read(file) == []
    kept = [
        peers.Score("a, b", "ward", 0, 0.1234, 0.5, 3.5, 'A: "b", c'),
        peers.Score("c", "gmm", 2, math.nan, math.nan, 0.0, "x"),
    ]
    peers.write(file, kept)
    assert repr(peers.read(file)) == repr(kept)


def test_new_scores_take_the_place_of_known_ones_in_the_order_of_the_study():
    known = scores("a", ward=[0.1, 0.2], gone=[0.3])
    new = scores("a", ward=[0.5], gmm=[0.6])
    order = [("a", "gmm", 0), ("a", "ward", 0), ("a", "ward", 1), ("b", "ward", 0)]
    assert [one.nmi for one in peers.joined(known, new, order)] == [0.6, 0.5, 0.2]


def test_every_method_and_every_goal_of_the_study_has_its_place_in_the_table(tmp_path, monkeypatch):
    names = [
        "mv_landuse21",
        "mv_scene15",
        "wiki_pairs",
        "umist",
        "pbmc68k_reduced",
        "mouse_bladder",
        "fashion_mnist_10k",
    ]
    names += [f"{one}_minilm" for one in ("mintrec_text", "tweet89", "meld_da", "banking77", "stackoverflow")]
    for file in (*(f"{name}.npz" for name in names), "snips.parquet", "stackoverflow.parquet"):
        (tmp_path / file).touch()
    monkeypatch.setenv("CONCLUS_DATA", str(tmp_path))
    study = quality.load("peers")
    assert set(study.space["method"].finite) == {peers.OURS, *peers.OTHERS}
    assert quality.GOALS["peers"].keys() <= {peers.data_name(one) for one in study.space["data"].finite}


def table(capsys, found, goals):
    missed = peers.tell_table("sets", found, goals)
    return missed, capsys.readouterr().out


def test_the_table_says_where_a_method_is_beaten_and_which_goals_are_reached(capsys):
    won = scores("won", ward=[0.5, 0.5], gmm=[0.4, 0.4], conclus=[0.7, 0.7])
    even = scores("even", ward=[0.5, 0.5], conclus=[0.49, 0.49])
    lost = scores("lost", ward=[0.2, 0.2], gmm=[0.6, 0.6], conclus=[0.5, 0.5])
    assert table(capsys, won, {"won": (0.7, 0.7)})[0] is False
    missed, out = table(capsys, [*won, *even, *lost], {"won": (0.7, 0.7), "even": (0.48, 0.6)})
    assert missed
    assert "+.200 ±.000 (ward)" in out
    assert ".700 / .700: reached" in out
    assert ".480 / .600: ACC missed" in out
    assert "below by more than .03 on 1 of 3 data sets (lost -.100); median difference -.010; above all on 1" in out


@pytest.mark.parametrize(
    "found",
    [
        # Above the others on half of the data sets, and below them in the median.
        [*scores("a", ward=[0.5, 0.5], conclus=[0.51, 0.51]), *scores("b", ward=[0.5, 0.5], conclus=[0.48, 0.48])],
        scores("a", ward=[0.5, 0.5], conclus=[0.5, 0.5]),  # equal, so above the others on none
        scores("a", ward=[0.5, 0.5]),
    ],
)
def test_a_table_of_draws_is_no_success(capsys, found):
    assert table(capsys, found, {})[0] is True


def test_failed_trials_are_told_in_their_cell(capsys):
    failed = [peers.Score("a", "gmm", seed, math.nan, math.nan, 1.0, "KILLED: memory") for seed in (0, 1)]
    _, out = table(capsys, [*failed, *scores("a", ward=[0.5, 0.5], conclus=[0.6, 0.6])], {})
    assert "2 of 2 failed: KILLED: memory" in out
    assert "+.100" in out
