"""How much of a cluster a run takes, and what it says while it waits, from the notes of the other runs."""

import json
from dataclasses import asdict, replace

import pytest

from cluster import sharing
from cluster.capacity import Capacity
from cluster.executor import Stop, TaskResources
from cluster.resources import Node
from cluster.sharing import Note, Sharing
from cluster.tune_compat import Places

CORES = [Node(f"n{number}", 1, 0, f"id{number}") for number in range(4)]
CARD = Node("card", 2, 1, "idc", {"ssd": 1})
WAITS = Note("study b of b@host", {"CPU": 1}, 0, ["CPU"], below=5.0, beat=1)
RUNS = replace(WAITS, running=2, lacks=[], below=0.0)
ON_SSD = replace(WAITS, bundle={"CPU": 1, "ssd": 1}, lacks=["CPU", "ssd"])
FOR_CARD = replace(WAITS, bundle={"CPU": 1, "GPU": 1}, lacks=["GPU"])


def made(nodes, notes, *, running=(), at_most=1.0, wanted=TaskResources()):  # noqa: B008 (it is frozen)
    capacity = Capacity(wanted, workers=None, machine=None)
    capacity.nodes = nodes
    one = Sharing("me", "study a of a@host", wanted, at_most=at_most, capacity=capacity, send=print)
    one._others.notes = list(notes)
    one._running = [node.id for node in running]
    return one


@pytest.mark.parametrize(
    ("nodes", "notes", "running", "limit"),
    [
        (CORES, [], CORES, 9),
        (CORES, [RUNS], CORES, 9),  # nobody waits
        (CORES, [WAITS], CORES[:2], 2),
        (CORES, [WAITS], CORES[:3], 3),  # those that run go on; then it is two
        (CORES, [replace(WAITS, below=0.0)], CORES, 9),  # it has its share
        (CORES[:3], [WAITS], [], 1),
        (CORES, [WAITS, RUNS, RUNS], [], 1),
        (CORES[:1], [WAITS, RUNS, RUNS], [], 1),  # at least one
        ([*CORES, CARD], [FOR_CARD], CORES, 9),  # it waits for what this run does not take
        ([*CORES, CARD], [ON_SSD], CORES, 5),  # only the one node is shared
        ([*CORES, CARD], [ON_SSD], [CARD, CARD], 6),
    ],
)
def test_it_takes_its_share_while_another_waits_for_less_than_its_own(nodes, notes, running, limit):
    assert made(nodes, notes, running=running).limit(9) == limit
    assert made(nodes, notes, running=running).limit(1) == 1


@pytest.mark.parametrize(("at_most", "limit"), [(0.5, 2), (0.74, 2), (0.75, 3), (0.1, 1)])
def test_it_never_takes_more_than_its_study_says(at_most, limit):
    assert made(CORES, [], at_most=at_most).limit(9) == limit
    assert made(CORES, [WAITS], at_most=at_most).limit(9) == min(limit, 2)


@pytest.mark.parametrize(
    ("notes", "running", "pending", "ends"),
    [
        ([], CORES, 0, False),
        ([RUNS], CORES, 0, False),
        ([WAITS], CORES, 0, True),
        ([WAITS], CORES, 1, True),  # it has its share: what it would start takes its chances
        ([WAITS], CORES[:1], 1, False),
        ([WAITS, RUNS, RUNS, RUNS, RUNS], [], 1, False),  # it may always run one
        ([replace(WAITS, below=0.0)], CORES, 0, True),
        ([replace(WAITS, below=0.0)], CORES, 1, False),
        ([FOR_CARD], CORES, 0, False),
    ],
)
def test_idle_workers_end_for_those_that_wait(notes, running, pending, ends):
    assert made(CORES, notes, running=running).ends_idle(Places(pending, 0)) is ends


@pytest.mark.parametrize(
    ("nodes", "notes", "gives"),
    [
        (CORES[:1], [WAITS], True),
        (CORES[:1], [RUNS], False),
        (CORES[:1], [replace(WAITS, below=0.0)], False),
        (CORES[:2], [WAITS], False),  # it has a share
        (CORES[:2], [WAITS, RUNS], True),
        ([CORES[0], CARD], [ON_SSD, RUNS], False),  # it has another place
    ],
)
def test_runs_take_turns_where_they_are_more_than_there_are_places(nodes, notes, gives):
    one = made(nodes, notes)
    assert one.gives_way() is gives
    one._has_turn = True
    assert not one.gives_way()
    stop = Stop()
    stop.request()
    assert one.stands_back(stop) is False


def test_memory_that_no_node_has_is_no_reason_to_make_room():
    nodes = [replace(CORES[0], others={"memory": 1e9})]
    much = replace(WAITS, bundle={"CPU": 1, "memory": 2e9})
    assert made(nodes, [WAITS, RUNS]).gives_way()
    assert not made(nodes, [much, RUNS]).gives_way()


def test_what_it_waits_for_is_told_with_who_holds_it():
    one = made(CORES, [RUNS, replace(RUNS, name="study c of c@host", running=1, bundle={"CPU": 0.5, "GPU": 1})])
    assert one._waiting(["CPU"]) == "2 CPU held by study b of b@host, 0.5 CPU held by study c of c@host"
    assert not one._waiting([])
    assert made(CORES, [WAITS])._waiting(["CPU"]) == "1 CPU that others hold"


BROKEN = [b"", b"\xff", b"[]", b"{}", b"[" * 3000, json.dumps(asdict(RUNS) | {"bundle": []}).encode()]
HOSTILE = [{"running": -2}, {"running": 10**400}, {"running": "x"}, {"name": "x" * 5000}]
HOSTILE += [{"bundle": {"CPU": amount}} for amount in (0, -1, 1e-320, 1e300, float("nan"), float("inf"), "x", None)]


def test_notes_of_others_are_read_as_data():
    assert sharing._parsed(json.dumps(asdict(RUNS)).encode()) == replace(RUNS, beat=0)
    assert [sharing._parsed(text) for text in BROKEN] == [None] * len(BROKEN)
    texts = [json.dumps(asdict(RUNS) | change).encode() for change in HOSTILE]
    assert [sharing._parsed(text) for text in texts] == [None] * len(texts)
