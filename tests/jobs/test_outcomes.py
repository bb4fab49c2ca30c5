"""Which trials are lost: those that failed by their configuration, not by a machine."""

import pytest

from jobs.analysis.outcomes import lost
from jobs.results.schema import Attempt, to_table


def row(status, reason):
    return Attempt(
        study="s", trial_key="a-0", config_key="a", seed=0, attempt_id="A", status=status, reason=reason, params={}
    )


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        ("failed", "DIVERGED: the loss is not finite", True),
        ("failed", "OUT_OF_MEMORY: CUDA out of memory", True),
        ("failed", "TIMEOUT: it finished no epoch within 60 minutes", True),
        ("stopped", "DIVERGED@3: the loss is not finite", True),
        ("stopped", "COLLAPSED@12: Most samples share few clusters", True),
        ("stopped", "DIVERGED@3: the loss; RESUMED_ELSEWHERE: on a T4", True),
        ("stopped", "BEHIND: stopped after epoch 3 of 9 by its nmi", False),
        ("stopped", "STOPPED: by ann@host, after epoch 3 of 9", False),
        ("failed", "DIED: the worker died", False),
        ("failed", "RESULTS_UNWRITABLE: disk is full", False),
        ("failed", "ERROR: KeyError: 'x'", False),
        ("failed", "", False),
        ("running", "INTERRUPTED", False),
        ("ok", "COLLAPSED@12: Most samples share few clusters", False),
        ("ok", "EMPTY_CLUSTERS=2", False),
    ],
)
def test_a_trial_is_lost_if_its_configuration_failed_in_training(status, reason, expected):
    assert lost(to_table([row(status, reason)])) == [expected]


def test_without_reasons_no_trial_is_lost():
    table = to_table([row("failed", "DIVERGED: x")])
    assert lost(table.drop_columns(["reason"])) == [False]
