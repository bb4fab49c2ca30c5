"""A study on a cluster of three nodes in which processes are killed: it ends, or the same command goes on."""

import os
import re
import signal
from pathlib import Path

import pytest

from tests.cluster.nodes import descendants
from tests.faults.runs import SLOW, repeated

pytestmark = [pytest.mark.ray, pytest.mark.slow]

EPOCHS = 8
SEEDS = [0, 1, 2, 3]


@pytest.fixture
def study(on_cluster):
    on_cluster.prepare(SLOW.format(pause="0.6, others: 1.4", epochs=EPOCHS, seeds=SEEDS))
    return on_cluster


@pytest.fixture
def address(cluster):
    return ("--address", cluster.address)


@pytest.fixture
def two_at_once(address):
    """Where nobody needs a third process of trials to start: seconds of a core each."""
    return (*address, "--workers", "2")


def amid(study, pids=None):
    """The processes whose trial, other than the first, has done two epochs at least and is not in its last."""
    begun = study.epochs()
    latest = {one.pid: one.epoch * (one.seed != begun[0].seed) for one in begun if pids is None or one.pid in pids}
    return [pid for pid, epoch in latest.items() if 3 <= epoch < EPOCHS and Path(f"/proc/{pid}").exists()]


def test_a_killed_node_and_a_killed_worker_cost_no_trial_and_at_most_one_epoch_each(cluster, study, address):
    run = study.start(*address)
    run.wait_until(lambda: amid(study, descendants(cluster.processes["two"].pid)))
    # Of the killed ones a while is still to be seen: to kill one of them again would kill nobody.
    gone = {one.pid for one in study.epochs()} & set(descendants(cluster.processes["two"].pid))
    cluster.kill("two")
    run.wait_until(lambda: set(amid(study)) - gone)
    os.kill((set(amid(study)) - gone).pop(), signal.SIGKILL)
    study.mend()
    code, _, err = run.end()
    assert code == 0, err
    # Whether Ray sees first that a machine is gone or that a process on it does not answer is a race.
    assert len(re.findall(r"goes on in another process: .*the machine it ran on", err)) == 1
    assert err.count("goes on in another process: its process was killed") == 1
    study.check_whole({})
    assert set(repeated(study.epochs()).values()) <= {1}


def test_a_killed_driver_costs_no_finished_trial_and_while_it_lives_no_other_runs_the_study(study, two_at_once):
    run = study.start(*two_at_once)
    run.wait_until(study.epochs)
    code, _, err = study.start(*two_at_once).end()
    assert code == 2
    (line,) = (one for one in err.splitlines() if one.startswith("Error"))
    assert f"process {run.process.pid} on " in line
    assert "is running this study" in line
    run.wait_until(study.done)
    os.kill(run.process.pid, signal.SIGKILL)
    run.end()
    study.mend()
    before = study.done()
    code, _, err = study.start(*two_at_once).end()
    assert code == 0, err
    assert f"{len(SEEDS)} trials, {len(before)} done before" in err
    study.check_whole(before)
    assert set(repeated(study.epochs()).values()) <= {1}


def test_a_run_that_is_interrupted_or_terminated_is_left_resumable_and_at_once_the_second_time(
    study, two_at_once, command
):
    for number, left in ((signal.SIGINT, 130), (signal.SIGTERM, 3)):
        begun = len(study.epochs())
        run = study.start(*two_at_once)
        run.wait_until(lambda begun=begun: len(study.epochs()) > begun + 1)
        run.interrupt(number)
        code, _, err = run.end()
        assert code == left, err
        assert f"trials are left; go on with: conclus run study.yaml {' '.join(two_at_once)}" in err
    begun = len(study.epochs())
    run = study.start(*two_at_once)
    run.wait_until(lambda: len(study.epochs()) > begun + 1)
    run.interrupt()
    assert any("Ctrl-C again quits at once" in line for line in run.process.stderr)
    run.interrupt()
    code, _, err = run.end()
    assert (code, err.splitlines()[-1]) == (130, "interrupted")
    study.mend()
    before = study.done()
    code, _, err = study.go_on(command)
    assert code == 0, err
    study.check_whole(before)
    assert max(repeated(study.epochs()).values(), default=0) <= 3


def test_a_killed_head_is_named_and_on_the_cluster_anew_the_same_command_goes_on(cluster, study, address):
    run = study.start(*address)
    run.wait_until(study.done)
    cluster.kill("head")
    code, _, err = run.end()
    assert code == 1
    assert err.splitlines()[-1].startswith(f"Error: the head of the cluster at {address[1]} is gone")
    for name in ("one", "two"):  # they would end by themselves, a minute after their head
        cluster.kill(name)
    study.mend()
    before = study.done()
    cluster.start_head()
    cluster.add("one")
    code, _, err = study.start(*address).end()
    assert code == 0, err
    assert f"{len(SEEDS)} trials, {len(before)} done before" in err
    study.check_whole(before)
