"""Compares what a machine has with what a task needs, before anything starts."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.executor import ClusterError, TaskResources

_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Node:
    """One machine: its name, the cores and graphics cards that may be used, and its id in a cluster."""

    name: str
    cpu: float
    gpu: float
    id: str = ""


def this_machine(*, gpus: bool = True) -> Node:
    """This machine: the cores that this process may use, within the limit of its container, and its visible cards.

    Args:
        gpus: False does not count the cards (0): it takes a moment to ask the driver.
    """
    return Node("this machine", _cores(), _cards() if gpus else 0)


def check(wanted: TaskResources, nodes: Sequence[Node], *, workers: int) -> None:
    """Checks that a task of this size fits on one of the nodes.

    Raises:
        ClusterError: the task fits on no node, or the request is not valid.
    """
    if workers < 1:
        raise ClusterError(f"There must be at least one worker, not {workers}.")
    if wanted.cpu < 0 or wanted.gpu < 0 or not (wanted.cpu or wanted.gpu):
        raise ClusterError(f"A trial must ask for some cpu or gpu, not for {asked(wanted)}.")
    if wanted.gpu > 1 and wanted.gpu % 1:
        raise ClusterError(f"gpu above 1 must be a whole number, not {wanted.gpu:g}.")
    if not any(wanted.cpu <= node.cpu and wanted.gpu <= node.gpu for node in nodes):
        raise ClusterError(f"A trial asks for {asked(wanted)}, but {_offered(nodes)}.")


def asked(wanted: TaskResources) -> str:
    """What a task asks for, as a study says it."""
    return f"cpu: {wanted.cpu:g}" + (f", gpu: {wanted.gpu:g}" if wanted.gpu else "")


def fitting(wanted: TaskResources, nodes: Sequence[Node]) -> int:
    """How many tasks of this size the nodes can run at once."""
    return sum(_on_one(wanted, node) for node in nodes)


def _on_one(wanted: TaskResources, node: Node) -> int:
    room = [have / take for have, take in ((node.cpu, wanted.cpu), (node.gpu, wanted.gpu)) if take]
    return int(min(room) + 1e-9)


def _offered(nodes: Sequence[Node]) -> str:
    if not nodes:
        return "the cluster has no node"
    sizes = sorted({(node.cpu, node.gpu) for node in nodes}, reverse=True)
    offers = " or ".join(f"cpu: {cpu:g}, gpu: {gpu:g}" for cpu, gpu in sizes[:3])
    return f"{nodes[0].name if len(nodes) == 1 else 'the largest nodes'} offer{'s' * (len(nodes) == 1)} {offers}"


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, int(min(cores, _cgroup_cores())))


def _cgroup_cores() -> float:
    """The CPU limit of this container in cores: from cgroup v2, else v1, else no limit."""
    try:
        quota, period = (_CGROUP / "cpu.max").read_text().split()
    except (OSError, ValueError):
        quota, period = _read("cpu/cpu.cfs_quota_us"), _read("cpu/cpu.cfs_period_us")
    try:
        share = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return float("inf")
    return share if share > 0 else float("inf")


def _read(name: str) -> str:
    try:
        return (_CGROUP / name).read_text().strip()
    except OSError:
        return ""


def _cards() -> int:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return _installed_cards()
    # CUDA reads the list up to the first entry that is not a device, such as -1.
    names = [name.strip() for name in visible.split(",")]
    end = next((place for place, name in enumerate(names) if name in {"", "-1", "NoDevFiles", "none"}), len(names))
    return min(end, _installed_cards()) if end else 0


def _installed_cards() -> int:
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in listing.stdout.splitlines())
