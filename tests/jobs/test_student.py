"""Student's t: beside scipy's, which is too slow to import in a command."""

import math

import pytest
from scipy.special import stdtr, stdtrit

from jobs.analysis.student import quantile, upper

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
