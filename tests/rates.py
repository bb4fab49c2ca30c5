"""How far a share of simulated studies may lie from the rate that is promised."""

from math import sqrt

import pytest

SIGMAS = 4
"""Standard errors: a share that keeps its rate lies farther off in one of 30,000 tests."""


def lowest(rate: float, count: int, ordinary: float = 0.0) -> float:
    """The lowest share of `count` independent studies that agrees with a rate; `ordinary` where that is higher."""
    return max(ordinary, rate - SIGMAS * sqrt(rate * (1 - rate) / count))


def highest(rate: float, count: int, ordinary: float = 1.0) -> float:
    """The highest share of `count` independent studies that agrees with a rate; `ordinary` where that is lower."""
    return min(ordinary, rate + SIGMAS * sqrt(rate * (1 - rate) / count))


def missed_at_full_count(measured: str) -> pytest.MarkDecorator:
    """Marks a case whose bound holds in the ordinary run and not with `-m counts`; `measured` says the rate."""
    return pytest.mark.xfail("'counts' in config.getoption('markexpr')", reason=measured, strict=True)
