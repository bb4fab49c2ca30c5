"""The same callable on every node of a cluster, so that a physician may compare what they say."""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cluster import connect, ray_compat, ray_head
from cluster.executor import ClusterError, one_line

SECONDS = 25.0
"""How long a node may take for a question; the first starts a worker process there. Who is late is not asked again."""

NodeCall = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Asked of a node: plain data in, plain data out. Its module travels with it: the node may lack our packages."""


@dataclass(frozen=True)
class Said:
    """What a node said to a question.

    Attributes:
        node: Its name.
        sent, received: This machine's clock around the question, in seconds.
        data: The answer; empty when there is none.
        error: Why there is none, in one line.
    """

    node: str
    sent: float
    received: float
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    error: str = ""


Ask = Callable[[NodeCall, Mapping[str, Any]], list[Said]]
"""Puts a question to every node at once and waits for all of them."""


@contextmanager
def everywhere(address: str) -> Generator[Ask]:
    """The way to ask all nodes of the cluster at ``host:port``, for the length of a with-block.

    Raises:
        ClusterError: there is no connection; see ``cluster.connect.attached``.
    """
    with connect.attached(address, Path(os.devnull)):
        import ray

        alive = _named([node for node in ray.nodes() if node["Alive"]])

        def ask(question: NodeCall, payload: Mapping[str, Any]) -> list[Said]:
            said = _ask(alive, question, payload)
            for one in said:
                if one.error:
                    del alive[one.node]
            return said

        yield ask


def here(question: NodeCall, payload: Mapping[str, Any]) -> list[Said]:
    """Ask this machine alone, without Ray."""
    sent = time.time()
    data = question({**payload, "node": "this machine", "ray_cpus": None, "ray_gpus": None})
    return [Said("this machine", sent, time.time(), data)]


@dataclass(frozen=True)
class Door:
    """A head and how it receives strangers: it asks them for a token, is open to them, or is silent."""

    address: str
    state: Literal["token", "open", "silent"]


def doors(address: str) -> list[Door]:
    """How heads receive strangers.

    Args:
        address: ``host:port``, or "" for the heads of all clusters that this machine is a node of.
    """
    heads = [address] if address else ray_compat.local_heads()
    return [_door(head) for head in heads]


def _door(head: str) -> Door:
    try:
        return Door(head, "token" if ray_head.asks_for_token(head) else "open")
    except ClusterError:
        return Door(head, "silent")


def _ask(nodes: Mapping[str, Mapping[str, Any]], question: NodeCall, payload: Mapping[str, Any]) -> list[Said]:
    import ray
    from ray import cloudpickle
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    cloudpickle.register_pickle_by_value(sys.modules[question.__module__])
    task = ray.remote(num_cpus=0, max_retries=0)(question)
    sent = time.time()
    waiting: dict[Any, str] = {}
    for name, node in nodes.items():
        pinned = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        about = {"node": name, "ray_cpus": node["Resources"].get("CPU", 0), "ray_gpus": node["Resources"].get("GPU", 0)}
        waiting[task.options(scheduling_strategy=pinned).remote({**payload, **about})] = name
    answers: list[Said] = []
    while waiting and time.time() < sent + SECONDS:
        ready, _ = ray.wait(list(waiting), timeout=max(0.0, sent + SECONDS - time.time()))
        answers += [_answer(waiting.pop(one), sent, one) for one in ready]
    late = f"it does not answer within {SECONDS:g} s"
    answers += [Said(name, sent, time.time(), error=late) for name in waiting.values()]
    return sorted(answers, key=lambda said: said.node)


def _named(nodes: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """By what people call them; with a piece of Ray's own identifier where several have one name."""
    taken = Counter(node["NodeName"] for node in nodes)
    return {n["NodeName"] + (f" ({n['NodeID'][:6]})" if taken[n["NodeName"]] > 1 else ""): n for n in nodes}


def _answer(name: str, sent: float, ready: Any) -> Said:
    import ray

    received = time.time()
    try:
        return Said(name, sent, received, ray.get(ready))
    except Exception as error:  # noqa: BLE001 - whatever a node fails of is what was asked for
        return Said(name, sent, received, error=one_line(getattr(error, "cause", None) or error))
