"""The small form of benchmarks/audit.py: no conclusion errs more often than it says, over a few simulated studies."""

import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from benchmarks import audit

SHARE = 0.04
CLAIMS = audit.claims()


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda one: f"{one.what}: {one.cell}")
def test_no_rate_lies_beyond_its_bound(claim):
    row = claim.row(SHARE)
    assert not row.is_beyond, row.told()


def test_no_two_claims_are_the_same():
    assert len({(one.what, one.cell) for one in CLAIMS}) == len(CLAIMS)


def test_a_rule_that_errs_too_often_is_seen():
    """A mean of three seeds that is compared with a threshold as if it were the truth, eight times over."""
    naive = audit.Claim("the best mean passes", "8 x 3, all one SD below", 0.06, partial(best_means, (8, 3)))
    row = naive.row(SHARE * 5)
    assert row.is_beyond
    assert 0.2 < row.measured < 0.45
    assert row.studies == 200


def best_means(shape, rng, count):
    for values in (audit.normal(rng, *shape) for _ in range(count)):
        yield values.mean(axis=1).max() > audit.LEVEL + audit.NOISE


@pytest.mark.parametrize(("measured", "is_floor", "beyond"), [(0.09, False, True), (0.08, False, False), (0.9, True, True)])
def test_three_standard_errors_beyond_the_bound_are_too_many(measured, is_floor, beyond):
    claim = audit.Claim("", "", 0.93 if is_floor else 0.05, lambda rng, count: [], is_floor=is_floor)
    assert audit.Row(claim, measured, 0.01 - 1e-9 if is_floor else 0.0101, 100).is_beyond is beyond
