"""Compares what a machine has with what a task needs, before anything starts."""

import math
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cluster.executor import ACCELERATOR, ClusterError, TaskResources

_CGROUP = Path("/sys/fs/cgroup")
_CARD = re.compile(r"GPU \d+: (.+) \(UUID: (GPU-[^)]+)\)")
_SLICE = re.compile(r" +MIG .+ \(UUID: (MIG-[^)]+)\)")
_VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Node:
    """One machine.

    Attributes:
        name: its name.
        cpu: the cores that may be used.
        gpu: the graphics cards that may be used; a MIG slice counts as one.
        id: its id in a cluster.
        others: amounts of further resources by Ray's names: its kind of card, and those that it was given a name for.
    """

    name: str
    cpu: float
    gpu: float
    id: str = ""
    others: Mapping[str, float] = field(default_factory=dict[str, float])


def node(name: str, amounts: Mapping[str, float], id: str = "") -> Node:  # noqa: A002 (as Node has it)
    """A node of a cluster, from what it has by Ray's names of resources."""
    others = {resource: amount for resource, amount in amounts.items() if resource not in {"CPU", "GPU"}}
    return Node(name, amounts.get("CPU", 0), amounts.get("GPU", 0), id, others)


def this_machine(*, gpus: bool = True) -> Node:
    """This machine: the cores that this process may use, within the limit of its container, and its visible cards.

    Args:
        gpus: False does not count the cards (0): it takes a moment to ask the driver.
    """
    return Node("this machine", _cores(), len(_visible()) if gpus else 0)


def card_model() -> str:
    """The model of the first visible card, as the driver tells it; empty without a card."""
    cards = _visible()
    return cards[0].model if cards else ""


def slices() -> str:
    """The MIG slices of this machine as CUDA_VISIBLE_DEVICES names them; empty without slices, or if it is set.

    By number CUDA finds only the first slice of a card, so Ray must hand them out by their names
    (NVIDIA, MIG User Guide, "CUDA Device Enumeration").
    """
    found = [] if _VISIBLE in os.environ else _installed()
    return ",".join(one.name for one in found) if any(one.name.startswith("MIG-") for one in found) else ""


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
    if nodes and (why := absent(wanted, nodes)):
        raise ClusterError(f"{why}.")
    if not fitting(wanted, nodes):
        raise ClusterError(f"A trial asks for {asked(wanted)}, but {_offered(nodes, memory=wanted.memory > 0)}.")


def absent(wanted: TaskResources, nodes: Sequence[Node]) -> str:
    """The kinds of resource beside cores and cards that a task asks for and no node has; empty if there are none.

    Returns:
        A sentence without its full stop that also names the kinds that the nodes have, or that none has a card.
    """
    there = {name for node in nodes for name, amount in node.others.items() if amount}
    lacking = {name: wanted.bundle[name] for name in wanted.bundle.keys() - {"CPU", "GPU", "memory"} - there}
    if not lacking:
        return ""
    if wanted.accelerator and not any(node.gpu for node in nodes):
        none = f"{nodes[0].name} has no card" if len(nodes) == 1 else "no node has a card"
        return f"A trial asks for {_text(lacking)}, but {none}"
    where = f"{nodes[0].name} offers" if len(nodes) == 1 else "the nodes offer"
    offer = _others(nodes) or "no kind of card and no custom resource"
    return f"A trial asks for {_text(lacking)}, but {where} {offer}"


def fitting(wanted: TaskResources, nodes: Sequence[Node]) -> int:
    """How many tasks of this size the nodes can run at once."""
    return places(wanted.bundle, nodes)


def places(bundle: Mapping[str, float], nodes: Sequence[Node]) -> int:
    """How many tasks that take these amounts, by Ray's names of resources, the nodes can run at once."""
    return sum(_on_one(bundle, node) for node in nodes)


def _on_one(bundle: Mapping[str, float], node: Node) -> int:
    has = {"memory": math.inf, **node.others, "CPU": node.cpu, "GPU": node.gpu}  # a machine alone does not tell it
    room = min((has.get(name, 0) / amount for name, amount in bundle.items()), default=0)
    return 0 if math.isinf(room) else int(room + 1e-9)


def asked(wanted: TaskResources) -> str:
    """What a task asks for, as a study file writes it."""
    return _text({"CPU": wanted.cpu} | wanted.bundle)


def _offered(nodes: Sequence[Node], *, memory: bool) -> str:
    if not nodes:
        return "the cluster has no node"
    sizes = sorted({(node.cpu, node.gpu, _others([node], memory=memory)) for node in nodes}, reverse=True)
    offers = " or ".join(f"cpu: {cpu:g}, gpu: {gpu:g}{', ' * bool(others)}{others}" for cpu, gpu, others in sizes[:3])
    return f"{nodes[0].name if len(nodes) == 1 else 'the largest nodes'} offer{'s' * (len(nodes) == 1)} {offers}"


def _others(nodes: Sequence[Node], *, memory: bool = False) -> str:
    """The most that a node has of each kind of card and custom resource, without what Ray gives to every node."""
    every = sorted({name for node in nodes for name in node.others if not name.startswith("node:")})
    most = {name: max(node.others.get(name, 0) for node in nodes) for name in every}
    kept = {name: amount for name, amount in most.items() if amount and name != "object_store_memory"}
    return _text({name: amount for name, amount in kept.items() if memory or name != "memory"})


def _text(amounts: Mapping[str, float]) -> str:
    """The amounts as a study file writes them."""
    keys, unit = {"CPU": "cpu", "GPU": "gpu", "memory": "memory_gb"}, {"memory": 1e9}
    return ", ".join(
        f"accelerator: {name.removeprefix(ACCELERATOR)}"
        if name.startswith(ACCELERATOR)
        else f"{keys.get(name, name)}: {amount / unit.get(name, 1):.4g}"
        for name, amount in amounts.items()
    )


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


@dataclass(frozen=True)
class _Card:
    """A card or a MIG slice: its name for CUDA_VISIBLE_DEVICES, and the card's model."""

    name: str
    model: str


def _visible() -> list[_Card]:
    visible = os.environ.get(_VISIBLE)
    if visible is None:
        return _installed()
    # CUDA reads the list up to the first entry that is not a device, such as -1.
    names = [name.strip() for name in visible.split(",")]
    end = next((place for place, name in enumerate(names) if name in {"", "-1", "NoDevFiles", "none"}), len(names))
    return _installed()[:end] if end else []


def _installed() -> list[_Card]:
    """All cards; in the place of a card that is divided its MIG slices, which `nvidia-smi -L` lists below it."""
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    cards: list[list[_Card]] = []
    for line in listing.stdout.splitlines():
        if whole := _CARD.fullmatch(line):
            cards.append([_Card(whole[2], whole[1])])
        elif cards and (part := _SLICE.fullmatch(line)):
            others = [one for one in cards[-1] if one.name.startswith("MIG-")]
            cards[-1] = [*others, _Card(part[1], cards[-1][0].model)]
    return [one for card in cards for one in card]
