"""Some of the runs made to show a fault get their code in time, and a healthy one none; all are in the benchmark."""

from dataclasses import replace

import pytest

from benchmarks import pathologies
from core.evaluation.health import RULES, judge, summary

FAULTS = {run.name: run for run in pathologies.FAULTS}


@pytest.mark.parametrize(
    "name", ["collapsed head", "exploding rate", "zero rate", "views too weak", "duplicated samples", "one-class data"]
)
def test_a_fault_gets_its_code_by_the_epoch_that_its_rule_names(name):
    run = FAULTS[name]
    short = replace(run, trial={**run.trial, "epochs": 8})
    course = pathologies.course(short, pathologies.SEED)
    found = pathologies.raised(course, run.code)
    assert found is not None
    assert found.epoch <= pathologies.due(run.code, course)


def test_a_healthy_run_has_no_code():
    run = next(one for one in pathologies.HEALTHY if one.name == "blobs sccl")
    course = pathologies.course(replace(run, trial={**run.trial, "epochs": 10}), pathologies.SEED)
    assert judge(course) == ()
    assert summary(course)["verdict"] == "OK"


def test_there_are_twelve_faults_of_different_codes_and_twenty_healthy_runs():
    codes = [run.code for run in pathologies.FAULTS]
    assert (len(codes), len(set(codes)), len(pathologies.HEALTHY)) == (12, 12, 20)
    assert set(codes) <= {rule.code for rule in RULES}
