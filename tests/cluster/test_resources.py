import subprocess
import sys

import pytest

from cluster import resources
from cluster.executor import ClusterError, TaskResources
from cluster.resources import Node, check, fitting, this_machine

SMALL, LARGE = Node("small", 2, 0), Node("large", 16, 2)


@pytest.mark.parametrize(
    "wanted",
    [
        TaskResources(),
        TaskResources(cpu=16),
        TaskResources(cpu=0, gpu=0.25),
        TaskResources(cpu=8, gpu=2),
        TaskResources(cpu=0.5),
    ],
)
def test_what_fits_on_one_node_passes(wanted):
    check(wanted, [SMALL, LARGE], workers=3)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (TaskResources(cpu=17), "asks for cpu: 17, but"),
        (TaskResources(cpu=1, gpu=3), "gpu: 3"),
        (TaskResources(cpu=0), "must ask for some"),
        (TaskResources(cpu=-1), "must ask for some"),
        (TaskResources(gpu=1.5), "must be a whole number"),
    ],
)
def test_what_can_never_be_placed_is_refused(wanted, words):
    with pytest.raises(ClusterError, match=words):
        check(wanted, [SMALL, LARGE], workers=1)


def test_two_nodes_do_not_add_up():
    with pytest.raises(ClusterError, match="the largest nodes offer cpu: 2, gpu: 0"):
        check(TaskResources(cpu=4), [SMALL, SMALL], workers=1)


def test_an_empty_cluster_and_no_workers_are_refused():
    with pytest.raises(ClusterError, match="no node"):
        check(TaskResources(), [], workers=1)
    with pytest.raises(ClusterError, match="at least one worker"):
        check(TaskResources(), [SMALL], workers=0)


@pytest.mark.parametrize(
    ("wanted", "nodes", "count"),
    [
        (TaskResources(cpu=0.1), [Node("a", 0.7, 0)], 7),  # 0.7 / 0.1 is a little less than 7
        (TaskResources(cpu=3), [Node("a", 8, 0)], 2),
        (TaskResources(cpu=1, gpu=0.1), [Node("a", 16, 0.7), Node("b", 2, 1)], 9),
    ],
)
def test_as_many_tasks_fit_as_the_nodes_have_room_for(wanted, nodes, count):
    assert fitting(wanted, nodes) == count


def test_cores_are_those_this_process_may_run_on():
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "from cluster.resources import this_machine; assert this_machine(gpus=False).cpu == 1"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({}, 8),
    ],
)
def test_a_container_has_its_share_of_the_cores(files, cores, tmp_path, monkeypatch):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(resources, "_CGROUP", tmp_path)
    monkeypatch.setattr(resources.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert this_machine(gpus=False).cpu == cores


@pytest.mark.parametrize(
    ("visible", "cards"), [(None, 4), ("", 0), ("-1", 0), ("0,2", 2), ("1,-1,2", 1), ("0,1,2,3,4,5", 4), ("GPU-3e7", 1)]
)
def test_cards_are_those_this_process_may_see(visible, cards, monkeypatch):
    listing = subprocess.CompletedProcess([], 0, stdout="GPU 0: H200\n  MIG 1g.18gb\n" + "GPU 1: H200\n" * 3)
    monkeypatch.setattr(resources.subprocess, "run", lambda *_, **__: listing)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert this_machine().gpu == cards


def test_no_driver_no_cards(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    assert this_machine().gpu == 0
