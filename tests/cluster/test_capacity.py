"""How many tasks may run at once, and which nodes and tasks deaths are laid to."""

import subprocess
import sys
from pathlib import Path

import pytest

from cluster.capacity import Capacity
from cluster.deaths import MANY, Deaths
from cluster.executor import TaskResources
from cluster.resources import Node
from tests.cluster.nodes import SECOND_VERSION, Nodes, new_token

ROOT = Path(__file__).resolve().parents[2]
ONE, TWO = Node("one", 1, 0, "1"), Node("two", 1, 0, "2")


def capacity(*nodes, workers=None, possible=None, machine=None, draining=()):
    """One that was told its nodes and not yet asked Ray for them."""
    made = Capacity(TaskResources(cpu=1), workers=workers, possible=possible, machine=machine)
    made.nodes, made.draining = list(nodes) or made.nodes, frozenset(draining)
    return made


def test_the_room_follows_the_nodes_and_never_is_none():
    assert capacity().count(()) == 1  # one task waits for a place, or no autoscaler would start a node
    assert capacity(ONE, Node("large", 4, 0, "3")).count(()) == 5
    assert capacity(ONE, TWO, workers=1).count(()) == 1
    assert capacity(ONE, TWO, workers=3).count(()) == 2
    assert capacity(ONE, TWO).count({"1"}) == 1
    assert capacity(ONE, TWO, draining=["1"]).count(()) == 1
    assert capacity(machine=Node("here", 4, 0), workers=3).count(()) == 3


def test_an_autoscaler_is_shown_at_most_as_many_waiting_tasks_as_run():
    room = [capacity(*nodes, possible=[ONE] * 5).count(()) for nodes in ([], [ONE], [ONE, TWO], [ONE] * 4, [ONE] * 6)]
    assert room == [1, 2, 4, 5, 6]
    assert capacity(ONE, TWO, possible=[]).count(()) == 3


def test_only_a_death_of_its_own_counts_against_a_task():
    nodes = capacity(ONE, TWO)
    deaths = Deaths(nodes, 1, print)
    deaths.ended(7, "1")
    assert not deaths.is_last(7)
    deaths.ended(7, "2")
    assert deaths.is_last(7)
    nodes.nodes = [TWO]  # the first node has ended since, a little after the process on it
    assert not deaths.is_last(7)
    deaths.raised(7)
    assert deaths.is_last(7)


def test_a_task_under_which_many_nodes_die_in_a_row_is_given_up():
    deaths = Deaths(capacity(ONE), retries=2, send=print)
    for _ in range(MANY - 1):
        deaths.lost(7)
    deaths.advanced(7)
    for _ in range(MANY - 1):
        deaths.lost(7)
        assert not deaths.is_last(7)
    deaths.lost(7)
    assert deaths.is_last(7)


def test_the_last_try_avoids_the_nodes_where_the_task_died():
    deaths = Deaths(capacity(ONE, TWO), 2, print)
    deaths.ended(7, "1")
    assert deaths.avoided(7) == set()
    deaths.ended(7, "1")
    assert (deaths.avoided(7), deaths.avoided(8)) == ({"1"}, set())
    alone = Deaths(capacity(ONE), 1, print)
    alone.ended(7, "1")
    assert alone.avoided(7) == set()


def test_a_node_that_kills_several_tasks_in_a_row_is_avoided_unless_it_is_the_only_one():
    told = []
    several, alone = Deaths(capacity(ONE, TWO), 2, told.append), Deaths(capacity(ONE), 2, told.append)
    for deaths in (several, alone):
        for task in (1, 1, 2):
            deaths.ended(task, "1")
        assert deaths.shunned() == set()
        deaths.finished(9, "1")
        for task in (3, 4, 5):
            deaths.ended(task, "1")
    assert [several.shunned(), several.shunned(), alone.shunned()] == [{"1"}, {"1"}, set()]
    assert [(one.kind, one.error) for one in told] == [
        ("told", "3 trials in a row died on one: no more trials are placed on it"),
        ("told", "3 trials in a row died on one: trials go on there, as they fit nowhere else"),
    ]


@pytest.mark.ray
def test_an_autoscaler_whose_configuration_lies_elsewhere_is_seen(tmp_path):
    with Nodes(token=new_token(), env={"RAY_NODE_TYPE_NAME": "head"}) as nodes:  # as Kubernetes starts it
        command = [sys.executable, "-c", SECOND_VERSION, nodes.address, tmp_path / "log"]
        env = nodes.env | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.split() == ["None", "[]"]
