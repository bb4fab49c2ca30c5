"""The trend of a score, and how steady it is."""

import itertools

import numpy as np
import pytest
from scipy import stats

from core.evaluation.trend import WINDOW, changes, stability, trend


def test_trend_of_rise_fall_and_constant():
    assert trend([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]).name == "improving"
    assert trend([0.6, 0.5, 0.4, 0.3, 0.2, 0.1]).name == "declining"
    assert trend([0.5] * 8) == trend([0.5] * 8)
    assert (trend([0.5] * 8).name, trend([0.5] * 8).p) == ("plateau", 1.0)
    assert trend([]).n == 0
    assert trend([float("nan"), 0.5]).n == 1


@pytest.mark.parametrize("values", [[], [0.4], [float("nan"), 0.5], [0.1, 0.2, 0.3, 0.4]])
def test_the_trend_of_few_values_is_unknown(values):
    assert trend(values).name == "unknown"


def test_slope_and_p_are_those_of_scipy():
    generator = np.random.default_rng(0)
    for n in (5, 7, 10):
        values = generator.random(n)
        found = trend(values.tolist())
        assert found.slope == pytest.approx(stats.theilslopes(values, np.arange(n)).slope)
        exact = stats.kendalltau(np.arange(n), values, method="exact").pvalue
        assert found.p == pytest.approx(exact)


def test_exact_p_is_that_of_all_orders():
    values = [0.3, 0.1, 0.2, 0.5, 0.4]

    def s(order):
        return sum(np.sign(b - a) for a, b in itertools.combinations(order, 2))

    orders = [abs(s(one)) for one in itertools.permutations(values)]
    assert trend(values).p == pytest.approx(np.mean([one >= abs(s(values)) for one in orders]))


def test_ties_are_corrected():
    values = [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0]
    variance = (8 * 7 * 21 - 4 * 2 * 1 * 9) / 18
    assert trend(values).p == pytest.approx(2 * stats.norm.sf((24 - 1) / variance**0.5))


def test_only_the_last_window_counts():
    assert trend([9.0, *([0.0] * 5), *np.linspace(0, 1, WINDOW)]).name == "improving"
    assert stability([0.0, 1.0, 0.0, 1.0, *([0.5] * WINDOW)]) == 1


def test_stability():
    assert stability([0.4]) is None
    assert stability([0.4, 0.9]) is None
    assert stability([0.4] * 5) == 1
    assert stability([0.1, 0.2, 0.3, 0.4]) == pytest.approx(1)
    assert stability([0.5, 0.6, 0.5, 0.6, 0.5]) == pytest.approx(0.9, abs=0.05)
    assert stability([0.0, 100.0, 0.0]) == 0
    assert stability([0.5, 0.7, 0.4]) < stability([0.5, 0.55, 0.5])


def test_changes():
    assert changes([0.5, 0.6, 0.6, 0.55, 0.551, 0.5]) == (1, 2)
    assert changes([]) == (0, 0)
