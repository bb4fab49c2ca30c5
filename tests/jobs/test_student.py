"""Student's t: beside scipy's, which is too slow to import in a command."""

import math

import pytest
from scipy.special import stdtr, stdtrit
from scipy.stats import kstat

from jobs.analysis.student import quantile, skewness, stretch, upper

FREEDOMS = (1, 2, 3, 4, 5, 7, 10, 29, 30, 100, 999, 10_000, 2.5)


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_probabilities_agree_with_scipy_far_into_the_tail(freedom):
    values = (0.0, 1e-3, 0.1, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 40.0, 1e3)
    assert [upper(t, freedom) for t in values] == pytest.approx([stdtr(freedom, -t) for t in values], rel=1e-9)


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_quantiles_agree_with_scipy(freedom):
    shares = (0.5, 0.6, 0.9, 0.975, 0.995, 0.9999)
    found = [quantile(p, freedom) for p in shares]
    assert found == pytest.approx([stdtrit(freedom, p) for p in shares], rel=1e-9, abs=1e-12)


def test_a_value_beyond_all_has_no_probability():
    assert upper(math.inf, 3) == 0.0
    assert upper(1e200, 3) == pytest.approx(0.0, abs=1e-300)


def test_the_skewness_is_that_of_the_unbiased_moments():
    one, other = [0.1, 0.4, 0.2, 0.9], [0.3, 0.1, 0.2]
    assert skewness([one]) == pytest.approx(kstat(one, 3) / kstat(one, 2) ** 1.5)
    thirds = (1.5 * kstat(one, 3) + 2 / 3 * kstat(other, 3)) / (1.5 + 2 / 3)
    seconds = (3 * kstat(one, 2) + 2 * kstat(other, 2)) / 5
    assert skewness([one, other]) == pytest.approx(thirds / seconds**1.5)
    for scale in (1e-130, 1e150):
        assert skewness([[scale * value for value in one]]) == pytest.approx(skewness([one]))
    assert skewness([[0.1, 0.4], [0.2, 0.9]]) == skewness([[0.5, 0.5, 0.5]]) == skewness([]) == 0.0


def test_a_tail_lengthens_the_half_on_its_side_alone():
    assert stretch(2.0, 1.0, 4) == pytest.approx(1 + 9 / 24)
    assert stretch(2.0, -1.0, 4) == stretch(2.0, 0.0, 4) == 1.0
