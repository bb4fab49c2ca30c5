"""A study on this machine whose worker or driver is killed, or that is interrupted, then run again: nothing is lost."""

import os
import signal
import time

import pytest

from tests.faults.runs import SLOW, repeated

pytestmark = [pytest.mark.ray, pytest.mark.slow]

SEEDS = [0, 1, 2, 3]


@pytest.fixture
def study(folder):
    folder.prepare(SLOW.format(pause="0.4, others: 2", epochs=6, seeds=SEEDS))
    return folder


def go_on(study, before, command):
    """Runs the study again, in one process, to its end."""
    study.mend()
    code, out, err = study.go_on(command)
    assert code == 0, err
    assert "Ranked by nmi" in out
    assert f"{len(SEEDS)} trials, {len(before)} done before" in err
    study.check_whole(before)


def test_a_killed_worker_costs_no_trial(study):
    run = study.start("--workers", "2")
    run.wait_until(study.done)
    os.kill(study.epochs()[-1].pid, signal.SIGKILL)
    study.mend()
    code, out, err = run.end()
    assert code == 0, err
    assert "Ranked by nmi" in out
    assert "goes on in another process: its process was killed" in err
    study.check_whole({})


def test_a_killed_driver_costs_no_finished_trial(study, command):
    run = study.start("--workers", "2")
    run.wait_until(study.done)
    os.kill(run.process.pid, signal.SIGKILL)
    run.end()
    go_on(study, study.done(), command)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_keeps_everything_and_says_how_to_go_on(study, workers, command):
    run = study.start("--workers", workers)
    run.wait_until(study.done)
    run.interrupt()
    code, out, err = run.end()
    assert code == 130, err
    assert "go on with: conclus run study.yaml" in err
    assert "Ranked by nmi" in out
    before = study.done()
    assert 1 <= len(before) < len(SEEDS)
    go_on(study, before, command)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sigusr1_ends_resumable_however_often_it_comes(study, workers, command):
    run = study.start("--workers", workers)
    run.wait_until(study.done)
    for _ in range(3):
        os.kill(run.process.pid, signal.SIGUSR1)
        time.sleep(0.05)
    code, _, err = run.end()
    assert code == 3, err
    assert "stopping: running trials are being kept resumable" in err
    assert "go on with: conclus run study.yaml" in err
    before = study.done()
    assert 1 <= len(before) < len(SEEDS)
    go_on(study, before, command)
    assert not repeated(study.epochs())


def test_sigusr1_leaves_long_epochs_the_time_to_end(folder, command):
    folder.prepare(SLOW.format(pause=3, epochs=20, seeds=[0, 1]))
    run = folder.start("--workers", "2")
    run.wait_until(lambda: len({one.seed for one in folder.epochs()}) == 2)
    os.kill(run.process.pid, signal.SIGUSR1)
    code, _, err = run.end()
    assert code == 3, err
    folder.mend()
    assert folder.go_on(command)[0] == 0
    folder.check_whole({})
    assert not repeated(folder.epochs())


def test_ctrl_c_twice_leaves_at_once_and_costs_one_epoch(study, command):
    run = study.start("--workers", "1", "--set", "method.harm=interrupt_twice")
    code, _, err = run.end()
    assert (code, err.splitlines()[-1]) == (130, "interrupted")
    study.mend()
    code, _, err = study.go_on(command, "--set", "method.harm=interrupt_twice")
    assert code == 0, err
    assert list(repeated(study.epochs()).values()) == [1]
