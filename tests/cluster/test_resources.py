import os
import subprocess
import sys

import pytest

from cluster import connect, resources
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


CARDS = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-48aeb943-9458-4282-da24-e5f49e0db44b)
  MIG 3g.20gb     Device  0: (UUID: MIG-fb42055e-9e53-5764-9278-438605a3014c)
  MIG 3g.20gb     Device  1: (UUID: MIG-3d4db13e-c42d-5555-98f4-8b50389791bc)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)
GPU 2: NVIDIA A100-SXM4-40GB (UUID: GPU-d4dbd8e6-5c4e-4f7b-9a3f-3f0a5d1f6d32)
"""
SLICES = "MIG-fb42055e-9e53-5764-9278-438605a3014c,MIG-3d4db13e-c42d-5555-98f4-8b50389791bc"


@pytest.fixture
def cards(tmp_path, monkeypatch):
    """An `nvidia-smi -L` that lists three cards, one of them as two MIG slices, as NVIDIA's MIG User Guide shows it."""
    script = tmp_path / "nvidia-smi"
    script.write_text(f"#!/bin/sh\n[ \"$1\" = -L ] && cat <<'END'\n{CARDS}END\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize(
    ("visible", "count"),
    [
        (None, 4), ("", 0), ("-1", 0), ("0,2", 2), ("1,-1,2", 1), ("0,1,2,3,4,5", 4), ("GPU-3e7", 1), (SLICES, 2),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("cards")
def test_cards_are_those_this_process_may_see_and_a_mig_slice_is_one(visible, count, monkeypatch):
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert this_machine().gpu == count


@pytest.mark.usefixtures("cards")
def test_ray_hands_out_mig_slices_by_their_names(monkeypatch):
    whole = "GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77,GPU-d4dbd8e6-5c4e-4f7b-9a3f-3f0a5d1f6d32"
    assert resources.slices() == f"{SLICES},{whole}"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert not resources.slices()


@pytest.mark.ray
@pytest.mark.usefixtures("cards")
def test_a_trial_sees_the_one_slice_that_it_was_given(tmp_path):
    wanted = TaskResources(gpu=1, accelerator="A100")
    names = resources.slices().split(",")
    with connect.local(machine=connect.machine_for(wanted), log=tmp_path / "log"):
        import ray

        seen = ray.remote(num_cpus=0, num_gpus=1, accelerator_type="A100")(lambda: os.environ["CUDA_VISIBLE_DEVICES"])
        assert ray.get(seen.remote()) in names
        (here,) = connect.connected_nodes()
    assert here.gpu == len(names) == 4
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_no_driver_no_cards(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    assert this_machine().gpu == 0
    assert not resources.slices()


@pytest.mark.usefixtures("cards")
def test_this_machine_offers_its_own_kind_of_card_and_no_other():
    wanted = TaskResources(gpu=1, accelerator="A100")
    check(wanted, [connect.machine_for(wanted)], workers=1)
    other = TaskResources(gpu=1, accelerator="H100")
    with pytest.raises(ClusterError, match=r"asks for accelerator: H100, but this machine offers accelerator: A100\.$"):
        check(other, [connect.machine_for(other)], workers=1)


T4 = Node("t4", 8, 1, others={"accelerator_type:T4": 1, "node:10.0.0.7": 1, "memory": 1e9})
FAST = Node("fast", 4, 0, others={"ssd": 2, "node:10.0.0.8": 1})


def test_kinds_are_those_of_one_node():
    check(TaskResources(custom={"ssd": 2}), [T4, FAST], workers=1)
    check(TaskResources(gpu=0.5, accelerator="T4"), [T4, FAST], workers=1)
    assert fitting(TaskResources(custom={"ssd": 0.5}), [T4, FAST]) == 4
    assert fitting(TaskResources(gpu=0.5, accelerator="T4"), [T4, FAST]) == 2
    with pytest.raises(ClusterError) as refused:
        check(TaskResources(gpu=1, accelerator="T4", custom={"ssd": 1}), [T4, FAST], workers=1)
    assert str(refused.value) == (
        "A trial asks for cpu: 1, gpu: 1, ssd: 1, accelerator: T4, but the largest nodes offer "
        "cpu: 8, gpu: 1, accelerator: T4 or cpu: 4, gpu: 0, ssd: 2."
    )


@pytest.mark.parametrize(
    ("wanted", "nodes", "told"),
    [
        (TaskResources(custom={"tape": 1}), [T4, FAST], "tape: 1, but the nodes offer accelerator: T4, ssd: 2."),
        (TaskResources(gpu=1, accelerator="A100"), [T4], "accelerator: A100, but t4 offers accelerator: T4."),
        (
            TaskResources(memory=2e9),
            [T4],
            "cpu: 1, memory_gb: 2, but t4 offers cpu: 8, gpu: 1, accelerator: T4, memory_gb: 1.",
        ),
        (TaskResources(gpu=1, accelerator="A100"), [SMALL, SMALL], "accelerator: A100, but no node has a card."),
        (TaskResources(gpu=1, accelerator="A100"), [SMALL], "accelerator: A100, but small has no card."),
        (TaskResources(custom={"ssd": 1}), [SMALL], "ssd: 1, but small offers no kind of card and no custom resource."),
    ],
)
def test_a_kind_that_no_node_has_is_named_with_those_there_are(wanted, nodes, told):
    with pytest.raises(ClusterError) as refused:
        check(wanted, nodes, workers=1)
    assert str(refused.value) == f"A trial asks for {told}"
