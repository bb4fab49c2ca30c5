"""Nodes that come, are drained and die under a study: it follows them, and no death of a node is a failure."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.nodes import Nodes, descendants, new_token
from tests.faults.runs import SLOW, Folder, repeated

pytestmark = [pytest.mark.ray, pytest.mark.slow]

EPOCHS = 400
# One more than a trial's own deaths may be (`tune.run`: two more tries).
DEATHS = 3
DIED = "3 trials in a row died"


@pytest.fixture
def single() -> Iterator[Nodes]:
    """A cluster of one node with one core."""
    with Nodes(token=new_token()) as started:
        yield started


def test_a_study_follows_nodes_that_join_drain_and_die(single, tmp_path):
    study = Folder(tmp_path, single.env)
    study.prepare(SLOW.format(pause=1, epochs=EPOCHS, seeds=[0, 1]))
    run = study.start("--address", single.address)

    def away():
        """The processes of trials on the node that is not the head."""
        here = set(descendants(single.processes["head"].pid))
        return {one.pid for one in study.epochs()} - here

    def goes_on(before):
        """Whether a trial has done two epochs in another process than those."""
        new = away() - before
        return sum(one.pid in new for one in study.epochs()) >= 3

    try:
        run.wait_until(study.epochs)
        assert not away()
        single.add("joined")
        run.wait_until(away)
        assert not study.done()  # The second trial did not wait for the end of the first, minutes later.
        run.wait_until(lambda: goes_on(set()))

        (pid,) = away()
        os.kill(pid, signal.SIGTERM)
        run.wait_until(lambda: goes_on({pid}))
        assert not Path(f"/proc/{pid}").exists()

        before = away()
        single.drain("joined")
        run.wait_until(lambda: "joined" not in single.alive())
        single.kill("joined")
        for number in range(DEATHS):
            single.add(f"node{number}")
            run.wait_until(lambda before=before: goes_on(before))
            if number == 0:
                assert not repeated(study.epochs())  # who is asked to leave writes a checkpoint first
            before = away()
            single.kill(f"node{number}")
        study.mend()
        single.add("last")
        code, _, err = run.end()
    finally:
        study.end()
    assert code == 0, err
    assert err.count("its process got SIGTERM") == 1
    assert err.count("its machine is being drained") == 1
    # A killed node may still tell that the process of a trial was killed, if that was killed before it.
    kill = "goes on in another process: (?:its process (?:was killed|cannot be reached)|the machine it ran on)"
    assert len(re.findall(kill, err)) == DEATHS
    study.check_whole({})
    assert {row["status"] for row in study.rows(attempts=True)} <= {"ok", "running"}
    # One epoch for each kill. Where the disk is so slow that checkpoints take more than their share of the time, one
    # may have been left out before a kill (see `Order.checkpoint_share`).
    assert sum(repeated(study.epochs()).values()) <= 2 * DEATHS


def test_a_cluster_that_starts_its_nodes_itself_is_waited_for(tmp_path):
    with Nodes(token=new_token(), cpus=0, grows=2) as cluster:
        study = Folder(tmp_path, cluster.env)
        study.prepare(SLOW.format(pause=3, epochs=60, seeds=[0, 1, 2]))
        try:
            code, _, err = study.start("--address", cluster.address, "--set", "resources.cpu=2").end()
            assert (code, err.splitlines()[-1]) == (
                2, "Error: A trial asks for cpu: 2, but the largest nodes offer cpu: 1, gpu: 0 or cpu: 0, gpu: 0.",
            )  # fmt: skip
            run = study.start("--address", cluster.address)
            # The second node starts while the first works.
            run.wait_until(lambda: len({one.pid for one in study.epochs()}) == 2)
            study.mend()
            code, _, err = run.end()
        finally:
            study.end()
    assert code == 0, err
    assert err.count("waiting for the cluster to start a node: a trial asks for cpu: 1, and none offers it yet") == 1
    study.check_whole({})
    assert len({one.pid for one in study.epochs()}) == 2


def test_a_node_on_which_trials_die_in_a_row_is_told_and_gets_no_more(cluster, on_cluster):
    on_cluster.prepare(SLOW.format(pause=0, epochs=3, seeds=list(range(8))))
    cluster.add("bad", cpus=3, within=("env", "BAD_NODE=1"))
    try:
        code, _, err = on_cluster.start("--address", cluster.address, "--set", "method.harm=bad_node").end()
        there = set(descendants(cluster.processes["bad"].pid))
    finally:
        cluster.kill("bad")
    assert code == 0, err
    assert len([one for one in err.splitlines() if one == f"{DIED} on bad: no more trials are placed on it"]) == 1
    # Three trials at once; some may be there once more before the last of the three has died.
    assert 3 <= err.count("goes on in another process: its process was killed") <= 6
    assert not there & {one.pid for one in on_cluster.epochs()[-4:]}
    assert {row["status"] for row in on_cluster.rows(attempts=True)} <= {"ok", "running"}
