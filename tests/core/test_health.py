"""What a finished trial says of itself."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.evaluation.health import Course, Derived, judge, warnings

GOOD = {"nmi": 0.8, "kmeans_nmi": 0.8, "input_kmeans_nmi": 0.7}
WELL = {"clusters_empty": 0.0, "marginal_entropy": 0.95}


@pytest.mark.parametrize(
    ("metrics", "health", "expected"),
    [
        ({}, {}, []),
        (GOOD, WELL, []),
        (GOOD, WELL | {"clusters_empty": 2.0}, ["EMPTY_CLUSTERS=2"]),
        (GOOD, WELL | {"marginal_entropy": 0.49}, ["COLLAPSED"]),
        (GOOD | {"nmi": 0.69}, WELL, []),
        (GOOD | {"nmi": 0.67}, WELL, ["BELOW_INPUT: nmi 0.670 against 0.700"]),
        (GOOD | {"candidate_nmi": 0.83}, WELL, ["BELOW_INPUT: nmi 0.800 against 0.830"]),
        (GOOD | {"candidate_nmi": 0.81}, WELL, []),
        (GOOD, WELL | {"training_helped": 0.0}, ["TRAINING_DID_NOT_HELP"]),
        (GOOD, WELL | {"training_helped": 1.0}, []),
        (GOOD | {"nmi": 0.1}, {"clusters_empty": 1.0, "marginal_entropy": 0.1}, ["EMPTY_CLUSTERS=1", "COLLAPSED"]),
    ],
)
def test_codes(metrics, health, expected):
    found = warnings(metrics, health)
    assert found[: len(expected)] == expected
    assert len(found) == len(expected) or found[-1].startswith("BELOW_INPUT")


@given(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0, 30.0, math.inf, math.nan]), min_size=1, max_size=12))
def test_judged_after_each_epoch_it_is_found_in_the_same_one(losses):
    """Who judges a growing course reads each epoch once, and ends it where a look at all of it would have."""
    codes = ("DIVERGED", "STALLED", "COLLAPSED")
    series = {name: [] for name in ("loss", "gradient_norm_mean", "gradient_norm_max", "marginal_entropy")}
    derived, judged = Derived(), False
    for epoch, loss in enumerate(losses, 1):
        for name, value in zip(series, (loss, abs(loss), 40 * abs(loss) ** 2, loss / 2), strict=True):
            series[name].append((epoch, value))
        whole = judge(Course(series=series, epochs=12, ended=False), codes)
        assert judge(Course(series=series, epochs=12, ended=False, derived=derived), codes, again=judged) == whole
        assert repr(derived.of(series)) == repr(Derived().of(series))
        if whole:
            return
        judged = True


@pytest.mark.parametrize(("losses", "stalled"), [([-1.0, -2.0, -5.0, -9.0, -11.0], False), ([-1.0] * 5, True)])
def test_a_loss_below_zero_that_falls_has_not_stalled(losses, stalled):
    course = Course(series={"loss": list(enumerate(losses, 1))}, epochs=5)
    assert ("STALLED" in {one.code for one in judge(course)}) == stalled
