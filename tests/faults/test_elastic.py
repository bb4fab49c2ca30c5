"""Nodes that come, are drained and die under a study: it follows them, and no death of a node is a failure."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.nodes import Nodes, descendants, new_token
from tests.faults.runs import SLOW, Folder, repeated

pytestmark = [pytest.mark.ray, pytest.mark.slow]

EPOCHS = 400


@pytest.fixture
def single() -> Iterator[Nodes]:
    """A cluster of one node with one core."""
    with Nodes(token=new_token()) as started:
        yield started


def test_a_study_follows_nodes_that_join_drain_and_die(single, tmp_path):
    study = Folder(tmp_path, single.env)
    study.prepare(SLOW.format(pause=0.2, epochs=EPOCHS, seeds=[0, 1]))
    run = study.start("--address", single.address)

    def away():
        """The processes of trials on the node that is not the head."""
        here = set(descendants(single.processes["head"].pid))
        return {one.pid for one in study.epochs()} - here

    def goes_on(before):
        """Whether a trial has done three epochs in another process than those."""
        count = [one.pid for one in study.epochs() if one.pid in away() - before]
        return len(count) >= 4

    try:
        run.wait_until(study.epochs)
        assert not away()
        single.add("joined")
        began = time.monotonic()
        run.wait_until(lambda: goes_on(set()))
        assert time.monotonic() - began < 30

        (pid,) = away()
        os.kill(pid, signal.SIGTERM)
        run.wait_until(lambda: goes_on({pid}))
        assert not Path(f"/proc/{pid}").exists()

        before = away()
        single.drain("joined")
        run.wait_until(lambda: "joined" not in single.alive())
        single.kill("joined")
        for number in range(4):
            single.add(f"node{number}")
            run.wait_until(lambda before=before: goes_on(before))
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
    assert err.count("the machine it ran on") == 4
    study.check_whole({})
    assert {row["status"] for row in study.rows(attempts=True)} <= {"ok", "running"}
    assert sum(repeated(study.epochs()).values()) <= 4  # none for SIGTERM and the drain, one for each kill
