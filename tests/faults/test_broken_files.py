"""A study whose files are cut in half, or whose trials all fail alike: what is whole stays, and one line says it."""

import os
import signal

import pytest

from tests.faults.runs import SLOW

pytestmark = pytest.mark.slow


def cut(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def test_a_result_and_a_checkpoint_that_are_cut_in_half_cost_that_trial_and_that_epoch(folder, command):
    folder.prepare(SLOW.format(pause="0.4, others: 1", epochs=6, seeds=[0, 1, 2]))
    run = folder.start("--workers", "1")
    checkpoints = folder.path / "results" / "study=s" / "_checkpoints"
    run.wait_until(lambda: len(folder.done()) == 2 and len(list(checkpoints.glob("*.pt"))) == 2)
    os.kill(run.process.pid, signal.SIGKILL)
    run.end()
    torn, kept = folder.done().items()
    cut(folder.path / "results" / "study=s" / "trials" / f"{torn[0]}.{torn[1]}.parquet")
    before, newest = sorted(checkpoints.glob("*.pt"))
    cut(newest)
    begun = len(folder.epochs())
    folder.mend()
    code, _, err = folder.go_on(command)
    assert code == 0, err
    assert "3 trials, 1 done before" in err
    (line,) = (one for one in err.splitlines() if "it is torn" in one)
    assert f"{torn[0]}.{torn[1]}.parquet is skipped" in line
    rows = folder.check_whole(dict([kept]))
    (resumed,) = (row["reason"] for row in rows if row["trial_key"] == newest.name.partition(".")[0])
    assert resumed.startswith("RESUMED at epoch")
    epochs = [one.epoch for one in folder.epochs()[begun:]]
    after = int(before.name.split(".")[1]) + 1
    assert sorted(epochs) == sorted([*range(1, 7), *range(after, 7)])


def test_where_the_first_trials_fail_alike_the_study_pauses_and_says_why(folder, command):
    folder.prepare(SLOW.format(pause=0.0, epochs=3, seeds=[0, 1, 2, 3, 4]))
    broken = ("--set", "method.harm=crash")
    code, _, err = folder.go_on(command, *broken)
    assert code == 1
    (line,) = (one for one in err.splitlines() if one.startswith("paused"))
    assert "the first trials all failed for the same reason (ERROR: RuntimeError: mine broke)" in line
    assert [one["status"] for one in folder.rows()] == ["failed"] * 3
    code, _, err = folder.go_on(command, *broken, "--keep-going")
    assert code == 1
    assert "5 trials failed" in err
    folder.mend()
    code, _, err = folder.go_on(command, *broken)
    assert code == 0, err
    assert [one["status"] for one in folder.rows()] == ["ok"] * 5
