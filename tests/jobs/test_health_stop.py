"""`health: {stop: …}`: hopeless trials end early, as stopped, and what that saved is told."""

from typing import get_args

import numpy as np
import pytest

from core.evaluation.rules import RULES
from jobs.planning import plan
from jobs.results import reader
from jobs.study import sections, study

TEXT = """study: s
trial:
  data: {name: file, path: mine.npz}
  encoder: {name: mlp, widths: [16, 8]}
  method: cc
  batch_size: 16
  epochs: 12
space:
  learning_rate: {grid: [0.001, 1.0e+30]}
"""
STOP = "health: {stop: [DIVERGED]}\n"


@pytest.fixture
def file(tmp_path):
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 3
    samples = generator.normal(size=(3, 5))[labels] * 3 + generator.normal(size=(60, 5))
    np.savez(tmp_path / "mine.npz", X=samples, y=labels)
    path = tmp_path / "study.yaml"
    path.write_text(TEXT + STOP)
    return path


def run(command, file, *options):
    return command("run", str(file), "--results", str(file.parent / "results"), "--workers", "1", *options)


def rows(file):
    found = reader.read_results([str(file.parent / "results")], history=True).to_pylist()
    return sorted(found, key=lambda row: row["param.optimiser.learning_rate"])


def test_a_trial_that_diverges_ends_as_stopped_and_is_not_run_again(command, file):
    code, _, err = run(command, file)
    assert code == 0
    well, hopeless = rows(file)
    assert well["status"] == "ok"
    assert "DIVERGED" not in well["verdict"]
    assert hopeless["status"] == "stopped"
    assert hopeless["reason"].startswith("DIVERGED@")
    assert "DIVERGED" in hopeless["verdict"]
    assert hopeless["epochs_done"] < 12
    assert hopeless["health.seconds_saved"] >= 0
    assert "1 trial ended by health.stop, some " in err
    told = command("status", str(file.parent / "results"))
    assert "1 trial ended by health.stop, some " in told[1]
    assert plan.make(study.load(file)).missing(str(file.parent / "results")) == []


def test_without_the_section_it_fails_as_before(command, file):
    file.write_text(TEXT)
    code, _, err = run(command, file)
    assert code == 1
    assert "failed: DIVERGED: " in err
    well, failed = rows(file)
    assert (well["status"], failed["status"], failed["verdict"]) == ("ok", "failed", "DIVERGED")
    assert "health.stop" not in err


def test_the_section_changes_no_key(file):
    with_it = [one.trial_key for one in plan.make(study.load(file)).trials]
    file.write_text(TEXT)
    assert [one.trial_key for one in plan.make(study.load(file)).trials] == with_it


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ("health: {stop: [COLAPSED]}\n", "health.stop"),
        ("health: {stop: [COLAPSED]}\n", "did you mean 'COLLAPSED'?"),
        ("health: {stop: [collapsed]}\n", "did you mean 'COLLAPSED'?"),
        ("health: {stop: [DIVERGED, UNSTABEL]}\n", "'UNSTABEL' is not; did you mean 'UNSTABLE'?"),
        ("health: {stop: COLLAPSED}\n", "health.stop"),
        ("health: {stop: COLLAPSED}\n", "write [COLLAPSED]"),
        ("health: {stop: collapsed}\n", "did you mean 'COLLAPSED'?"),
        ("health: {ends: [COLLAPSED]}\n", "health.ends"),
        ("health: [COLLAPSED]\n", "health"),
    ],
)
def test_what_is_wrong_with_the_section_is_told(command, file, section, told):
    file.write_text(TEXT + section)
    code, _, err = run(command, file)
    assert (code, told in err) == (2, True)
    if "COLAPSED" in section:
        assert all(rule.code in err for rule in RULES)


@pytest.mark.parametrize(("code", "late"), [("BELOW_INPUT", "input_kmeans_nmi"), ("TRAINING_DID_NOT_HELP", "it")])
def test_a_code_that_only_the_last_epoch_can_have_is_refused(command, file, code, late):
    """It could end no trial early."""
    assert [rule.code for rule in RULES if rule.at_the_end] == ["BELOW_INPUT", "TRAINING_DID_NOT_HELP"]
    file.write_text(TEXT + f"health: {{stop: [DIVERGED, {code}]}}\n")
    left, _, err = command("plan", str(file))
    assert left == 2
    (line,) = [line for line in err.splitlines() if code in line]
    assert f"health.stop: {code} can end no trial early" in line
    assert f"only the last epoch has {late}" in line


def test_the_codes_of_the_section_are_those_of_the_rules():
    assert get_args(sections.Code) == tuple(rule.code for rule in RULES)


def test_a_row_has_the_numbers_of_its_course(command, file):
    file.write_text(TEXT.replace("epochs: 12", "epochs: 12\n  evaluation: {every: 2}"))
    run(command, file)
    well = rows(file)[0]
    assert well["performance_trend"] in {"improving", "plateau", "declining"}
    assert {"health.stability_score", "health.best_epoch_nmi", "health.imbalance_true"} <= set(well)
    assert well["health.smallest_class"] == 20
    assert {"health.gradient_norm_mean", "health.alignment"} <= {one["metric"] for one in well["history"]}
