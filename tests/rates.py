"""How far a share of simulated studies may lie from the rate that is promised."""

from math import sqrt

SIGMAS = 4
"""Standard errors: a share that keeps its rate lies farther off in one of 30,000 tests."""


def lowest(rate: float, count: int, ordinary: float = 0.0) -> float:
    """The lowest share of `count` independent studies that agrees with a rate; `ordinary` where that is higher."""
    return max(ordinary, rate - SIGMAS * sqrt(rate * (1 - rate) / count))


def highest(rate: float, count: int, ordinary: float = 1.0) -> float:
    """The highest share of `count` independent studies that agrees with a rate; `ordinary` where that is lower."""
    return min(ordinary, rate + SIGMAS * sqrt(rate * (1 - rate) / count))
