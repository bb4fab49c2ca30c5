"""What is proposed holds what was measured, and no more than it must."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.planning import forecast


@pytest.mark.parametrize(
    ("held", "wanted"), [(0, 0.1), (1, 0.2), (80_000_000, 0.2), (1e9, 1.4), (0.32e9, 0.5), (4e9, 5.1)]
)
def test_memory_is_a_quarter_more_and_a_tenth_rounded_up(held, wanted):
    assert forecast.memory_gb(held) == wanted


@given(st.integers(0, 10**13))
def test_memory_holds_what_was_measured_and_wastes_less_than_a_tenth(held):
    proposed = forecast.memory_gb(held) * 1e9
    assert held * 1.25 + 1e8 <= proposed + 1 <= held * 1.25 + 2e8 + 2
    assert len(f"{forecast.memory_gb(held):g}".partition(".")[2]) <= 1 or held > 1e12


@pytest.mark.parametrize(
    ("held", "total", "most", "share"),
    [
        (16, 80, 99, 0.25),
        (20, 100, 4, 0.25),
        (20.1, 100, 99, 0.3333),  # a quarter more is over a quarter
        (1, 100, 8, 0.125),  # the cores hold no more
        (1, 100, 0, 1.0),
        (80, 100, 9, 1.0),
        (81, 100, 9, None),
    ],
)
def test_shares_of_a_card(held, total, most, share):
    assert forecast.card_share(held, total, most) == share


@given(st.integers(10**8, 10**11), st.integers(10**9, 2 * 10**11), st.integers(1, 64))
def test_a_share_holds_its_trial_and_one_trial_more_would_not_fit(held, total, most):
    share = forecast.card_share(held, total, most)
    if share is None:
        assert held * 1.25 > total
        return
    assert share * total >= held * 1.25
    trials = math.floor(1 / share)
    assert trials * share <= 1
    assert trials <= most
    narrower = math.floor(10_000 / (trials + 1)) / 10_000
    assert trials == most or narrower * total < held * 1.25


@pytest.mark.parametrize(
    ("lengths", "workers", "seconds"),
    [([], 3, 0), ([10] * 12, 4, 30), ([10], 4, 10), ([1, 1, 40], 2, 40), ([5, 7], 0, 12)],
)
def test_the_time_of_a_study(lengths, workers, seconds):
    assert forecast.study_seconds(lengths, workers) == seconds


def test_the_time_of_an_epoch_and_of_what_is_missing():
    assert forecast.epoch_seconds(2.0, 5.0, 5) == 3.0
    assert forecast.from_done([1.0, 50.0, 3.0], missing=4, workers=2) == 6.0


@given(st.lists(st.floats(0.1, 1e5), min_size=1, max_size=50), st.integers(1, 20))
def test_no_order_of_trials_is_faster_than_foretold(lengths, workers):
    """A list scheduler, simulated, takes at least the time foretold and at most that and one trial."""
    free = [0.0] * workers
    for length in lengths:
        place = free.index(min(free))
        free[place] += length
    foretold = forecast.study_seconds(lengths, workers)
    assert foretold * (1 - 1e-9) <= max(free) <= (foretold + max(lengths)) * (1 + 1e-9)
