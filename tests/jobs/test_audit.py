"""The small form of benchmarks/audit.py: no conclusion errs more often than it says, over a few simulated studies."""

from functools import partial

import pytest

from benchmarks import audit
from benchmarks.audit_claims import Claim, Row
from benchmarks.audit_studies import LEVEL, NOISE, normal
from tests.covering import one_of_each

CLAIMS = audit.claims()


@pytest.mark.parametrize("claim", one_of_each(CLAIMS, lambda one: one.what), ids=lambda one: f"{one.what}: {one.cell}")
def test_no_rate_lies_beyond_its_bound(claim, repeats):
    row = claim.row(audit.SMALL * min(1.0, repeats(1) / 2))  # with -m counts the whole small form, else a half of it
    assert not row.is_beyond, row.told()


def test_no_two_claims_are_the_same():
    assert len({(one.what, one.cell) for one in CLAIMS}) == len(CLAIMS)


def naive_gate(rng, count):
    """The mean of the best of eight, with three seeds, against a threshold one SD above all true means."""
    for _ in range(count):
        yield normal(rng, 8, 3).mean(axis=1).max() > LEVEL + NOISE


def naive_interval(rng, count):
    """Whether Student's interval of the best of eight holds its true mean."""
    for _ in range(count):
        values = normal(rng, 8, 3)
        best = values[values.mean(axis=1).argmax()]
        yield abs(best.mean() - LEVEL) <= 4.303 * best.std(ddof=1) / 3**0.5


def test_a_rule_that_errs_too_often_is_seen_and_its_rate_is_right():
    gate = Claim("a gate", "8 x 3", 0.06, naive_gate).row()
    best = Claim("the best", "8 x 3", 0.93, naive_interval, is_floor=True).row()
    assert gate.is_beyond
    assert best.is_beyond
    assert (gate.studies, best.studies) == (1000, 1000)
    assert gate.measured == pytest.approx(1 - (1 - 0.0416) ** 8, abs=4 * gate.error)  # P(z > sqrt 3) = .0416
    assert gate.error == pytest.approx((gate.measured * (1 - gate.measured) / 1000) ** 0.5, rel=0.01)
    assert best.measured == pytest.approx(0.885, abs=4 * best.error)


@pytest.mark.parametrize(
    ("measured", "is_floor", "is_beyond"),
    [(0.091, False, True), (0.089, False, False), (0.899, True, True), (0.901, True, False)],
)
def test_three_standard_errors_beyond_the_bound_are_too_many(measured, is_floor, is_beyond):
    claim = Claim("", "", 0.93 if is_floor else 0.06, partial(range, 0), is_floor=is_floor)
    assert Row(claim, measured, 0.01, 100).is_beyond is is_beyond


def test_the_command_ends_with_1_if_a_rate_lies_beyond(monkeypatch, capsys):
    monkeypatch.setattr(audit, "claims", lambda: [Claim("a gate", "8 x 3", 0.06, naive_gate)])
    monkeypatch.setattr("sys.argv", ["audit"])
    with pytest.raises(SystemExit) as ended:
        audit.main()
    assert ended.value.code == 1
    out = capsys.readouterr().out
    assert "| a gate | 8 x 3 | ≤ 0.06 |" in out
    assert "1 of them lie beyond" in out
