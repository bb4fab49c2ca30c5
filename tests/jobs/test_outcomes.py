"""Which trials are lost: those that failed by their configuration, not by a machine."""

import math
import re

import pytest

from core.errors import UserError
from jobs.analysis.leaderboard import leaderboard
from jobs.analysis.outcomes import TopicQuality, below_baseline, composite, lost
from jobs.analysis.trials import gather
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


def test_a_seed_that_ended_keeps_its_value():
    assert composite([{0: 0.9, 1: 0.5}], [{0, 2}], maximise=True) == [{0: 0.9, 1: 0.5, 2: 0.5}]


@pytest.mark.parametrize(("own", "other", "few"), [(3, 3, False), (3, 1, True), (1, 3, True)])
def test_one_seed_on_either_side_is_too_few_to_call_a_topic_model_worse_than_the_baseline(own, other, few):
    found = {
        ("s", "a"): TopicQuality("prodlda", ("d", 20), 0.1, own),
        ("s", "b"): TopicQuality("nmf", ("d", 20), 0.2, other),
    }
    (told,) = below_baseline(found).values()
    assert told.endswith("too few seeds to tell") == few


@pytest.mark.parametrize(
    ("statuses", "metrics", "right"),
    [
        (["ok", "ok"], {"acc": 0.5}, ": name another metric, such as acc."),
        (["ok", "running"], {"acc": 0.5}, ": wait for one, or name another metric, such as acc."),
        (["ok", "failed"], {}, ": name another metric."),
        (["failed", "running"], {}, " yet: wait for one."),
        (["failed", "failed"], {}, ": all have failed, and `conclus logs` tells why."),
    ],
)
def test_without_a_value_it_is_said_what_would_be_right(statuses, metrics, right):
    rows = [
        Attempt(
            study="s", trial_key=f"{seed}", config_key="c", seed=seed, attempt_id=f"{seed}", status=status,
            metrics={"nmi": math.nan, **(metrics if status == "ok" else {"late": 0.5})},
        )
        for seed, status in enumerate(statuses)
    ]  # fmt: skip
    table = to_table(rows)
    said = f"trial has a value of 'nmi'{right}"
    for ask in (lambda: leaderboard(table, "nmi", "max"), lambda: gather(table, "nmi")):
        with pytest.raises(UserError, match=re.escape(said)):
            ask()
