"""Trials whose training failed count as the worst value: nobody comes first by losing seeds."""

import math

import numpy as np
import pytest

from jobs.analysis.leaderboard import leaderboard
from jobs.analysis.outcomes import by_seed, composite, lost_seeds
from jobs.analysis.race import RaceRule, race
from jobs.present.leaderboard import board_sheet, board_text, params_text
from jobs.results.schema import Attempt, to_table
from tests.rates import highest

FAILURES = {"diverged": ("failed", "DIVERGED: the loss is inf"), "health": ("stopped", "COLLAPSED@3: few clusters")}


def row(config, seed, value=None, status="ok", reason=""):
    return Attempt(
        study="s",
        trial_key=f"{config}-{seed}",
        config_key=config,
        seed=seed,
        attempt_id="A",
        status=status,
        reason=reason,
        params={"learning_rate": float(ord(config[0]))},
        metrics={} if value is None else {"nmi": value},
        data_hash="d",
    )


def rows(cells, failure=FAILURES["diverged"]):
    """Rows of {configuration: values by seed}, None for a seed whose training failed."""
    return [
        row(config, seed, value) if value is not None else row(config, seed, 0.99, *failure)
        for config, values in cells.items()
        for seed, value in enumerate(values)
    ]


CELLS = {"a": [0.95, 0.96, None, None, None], "b": [0.90, 0.91, 0.92, 0.9, 0.91], "c": [0.8, 0.79, 0.81, 0.8, 0.82]}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_lost_seeds_count_as_the_worst_value_and_are_in_no_mean(failure):
    board = leaderboard(to_table(rows(CELLS, failure)), "nmi", "max")
    assert [entry.config_key for entry in board.entries] == ["b", "a", "c"]
    second = board.entries[1]
    assert (second.lost, second.score.n, second.score.mean) == (3, 2, pytest.approx(0.955))
    assert second.maximum == 0.96
    told = " ".join(board.notes)
    code = failure[1].partition(":")[0].partition("@")[0]
    assert f"Failed in training: {code} in 3. In the order and the signs they count as the worst value of all" in told
    assert "stopped early" not in told


def test_lost_seeds_count_in_the_comparison_with_the_best():
    """By its one value it could not be compared; with nine lost seeds it is worse."""
    cells = {
        "a": [0.905, *[None] * 9],
        "b": [0.9 + 0.001 * seed for seed in range(10)],
        "c": [0.8 + 0.001 * seed for seed in range(10)],
    }
    board = leaderboard(to_table(rows(cells)), "nmi", "max")
    assert [(entry.config_key, entry.tied) for entry in board.entries[1:]] == [("a", False), ("c", False)]


@pytest.mark.parametrize("reason", ["DIED: the worker died", "RESULTS_UNWRITABLE: disk is full", "ERROR: x", ""])
def test_what_a_machine_lost_is_missing_and_told(reason):
    board = leaderboard(to_table(rows(CELLS, ("failed", reason))), "nmi", "max")
    assert board.entries[0].config_key == "a"
    code = reason.partition(":")[0] or "no reason"
    assert f"Failed for other reasons, so their values are missing: {code} in 3." in board.notes


def test_a_trial_that_was_behind_has_the_value_that_it_reached():
    behind = ("stopped", "BEHIND: stopped after epoch 3 of 9 by its nmi")
    board = leaderboard(to_table(rows(CELLS, behind)), "nmi", "max")
    assert (board.entries[0].config_key, board.entries[0].score.n) == ("a", 5)
    assert "3 trials were stopped early: values are those of the epoch that was reached." in board.notes


def test_a_configuration_that_lost_all_its_seeds_is_named():
    board = leaderboard(to_table(rows(CELLS | {"z": [None, None]})), "nmi", "max")
    assert [entry.config_key for entry in board.entries] == ["b", "a", "c"]
    assert "Without a mean, as they have no other seeds: learning_rate=122.0." in board.notes
    assert not any("no finished value yet" in note for note in board.notes)


def test_one_that_is_like_the_others_but_for_what_it_lost_is_named_by_that():
    attempts = [*rows({"a": [0.9, 0.8]}), row("z", 0, None, *FAILURES["diverged"])]
    board = leaderboard(to_table(attempts), "nmi", "max")
    assert "learning_rate" not in board.constant
    assert params_text(board, board.entries[0]) == "learning_rate=97"
    assert "Without a mean, as they have no other seeds: learning_rate=122.0." in board.notes


def test_seeds_that_are_warned_of_collapse_are_counted_with_those_of_a_worse_group():
    cells = {"a": [0.481, 0.477, 0.348], "b": [0.0, 0.0, 0.0]}
    attempts = rows(cells)
    for one in attempts[3:]:
        one.reason = "COLLAPSED@2: Most samples share few clusters; IMBALANCED: x"
    board = leaderboard(to_table(attempts), "nmi", "max")
    assert [entry.collapsed for entry in board.entries] == [0, 3]
    assert "3 of 3 collapsed" in board_text(board, 100)
    assert leaderboard(to_table(attempts[:3]), "nmi", "max").entries[0].collapsed == 0


def test_rounding_to_the_decimals_of_the_table_widens_every_interval():
    cells = {"a": [0.8, 0.8, 0.8], "b": [0.75, 0.75, 0.76]}
    first = leaderboard(to_table(rows(cells)), "nmi", "max").entries[0]
    assert first.score.text == "0.800 ±0.007"
    exact = leaderboard(to_table(rows(cells | {"b": [0.751234, 0.75, 0.76]})), "nmi", "max").entries[0]
    assert exact.score.text == "0.800 ±0.000"


def test_where_smaller_is_better_the_worst_is_the_largest():
    assert composite([{0: 1.0}, {0: 3.0}], [{1}, ()], maximise=False) == [{0: 1.0, 1: 3.0}, {0: 3.0}]
    assert composite([{0: 1.0}, {0: 3.0}], [{1}, ()], maximise=True) == [{0: 1.0, 1: 1.0}, {0: 3.0}]


def test_the_tables_show_what_was_lost_and_what_collapsed():
    cells = {
        key: [value + i / 1000 for i, value in enumerate(values)]
        for key, values in {"a": [0.9] * 5, "b": [0.91, 0.5, 0.9, 0.52, 0.9], "c": [0.9] * 5}.items()
    }
    cells["c"][4] = None
    board = leaderboard(to_table(rows(cells)), "nmi", "max")
    text = board_text(board, 100)
    assert "2 of 5 collapsed" in text
    assert "Collapsed: seeds with the warning COLLAPSED, or the worse of two groups" in " ".join(text.split())
    columns = [one.name for one in board_sheet(board, "csv").columns]
    found = {one[2]: dict(zip(columns, one, strict=True)) for one in board_sheet(board, "csv").rows}
    assert (found["b"]["collapsed"], found["a"]["collapsed"], found["c"]["lost"]) == (0.4, 0.0, 1)
    assert found["b"]["nmi_low"] < found["b"]["nmi"] < found["b"]["nmi_high"]


@pytest.mark.parametrize("cut", [0.0, -0.5])
def test_of_8_equal_ones_the_one_that_loses_its_bad_seeds_comes_first_no_more_often_than_others(cut, repeats):
    rng, studies, first = np.random.default_rng(2), repeats(60), 0
    for _ in range(studies):
        values = rng.standard_normal((8, 5)).tolist()
        values[0] = [one if one > cut else None for one in values[0]]
        board = leaderboard(to_table(rows(dict(zip("abcdefgh", values, strict=True)))), "nmi", "max")
        first += board.entries[0].config_key == "a"
    assert first / studies <= highest(0.125, studies)


def test_values_by_seed_leave_lost_seeds_out():
    table = to_table(rows(CELLS, FAILURES["health"]))
    assert by_seed(table, "metric.nmi")["s", "a"] == {0: 0.95, 1: 0.96}
    assert lost_seeds(table) == {("s", "a"): {2, 3, 4}}


def test_in_a_race_a_lost_seed_is_the_worst_value_and_is_not_run_again():
    values = {
        "a": {0: 0.99, 1: math.nan, 2: 0.98},
        "b": {0: 0.90, 1: 0.91, 2: 0.92},
        "c": {0: 0.89, 1: 0.92, 2: 0.88},
    }
    state = race(values, range(5), RaceRule((3, 5), 3, 0.0, maximise=True))
    standing = {one.key: one for one in state.rounds[0][1]}
    assert [one.key for one in state.rounds[0][1]] == ["a", "b", "c"]
    assert standing["a"].ended == [0.99, 0.98]
    # a's mean with .88 for the lost seed is .95: it leads b by less than by its own two values.
    assert standing["b"].gap < 0.05
    assert {seed for _, seed in state.lacking} == {3, 4}
    values = {key: cell | {3: 0.9, 4: 0.9 if key != "b" else math.nan} for key, cell in values.items()}
    state = race(values, range(5), RaceRule((3, 5), 3, 0.0, maximise=True))
    assert state.fresh == {"a": {3: 0.9, 4: 0.9}, "b": {3: 0.9}, "c": {3: 0.9, 4: 0.9}}
