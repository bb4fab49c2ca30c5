"""Runs the same function on every node of a cluster, so that `conclus doctor` can compare the results."""

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
"""How long a call may take; the first one starts a worker process on the node. A late node is not called again."""

NodeCall = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""A function that runs on a node: plain data in, plain data out. Its module is sent with it."""


@dataclass(frozen=True)
class NodeReply:
    """What a call on one node returned.

    Attributes:
        node: The name of the node.
        sent, received: When the call began and ended, by this machine's clock, in seconds.
        data: The result; empty if there is none.
        error: Why there is none, in one line.
    """

    node: str
    sent: float
    received: float
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    error: str = ""


Ask = Callable[[NodeCall, Mapping[str, Any]], list[NodeReply]]
"""Runs a function on all nodes at once and waits for all results."""


@contextmanager
def everywhere(address: str) -> Generator[Ask]:
    """Connects to the cluster at ``host:port`` for a with-block and gives the function that asks all its nodes.

    Raises:
        ClusterError: there is no connection; see ``cluster.connect.attached``.
    """
    with connect.attached(address, Path(os.devnull)):
        import ray

        alive = _named([node for node in ray.nodes() if node["Alive"]])

        def ask(question: NodeCall, payload: Mapping[str, Any]) -> list[NodeReply]:
            said = _ask(alive, question, payload)
            for one in said:
                if one.error:
                    del alive[one.node]
            return said

        yield ask


def here(question: NodeCall, payload: Mapping[str, Any]) -> list[NodeReply]:
    """Runs the function on this machine only, without Ray."""
    sent = time.time()
    data = question({**payload, "node": "this machine", "ray_cpus": None, "ray_gpus": None})
    return [NodeReply("this machine", sent, time.time(), data)]


@dataclass(frozen=True)
class HeadAccess:
    """The head of a cluster, and whether it asks for a token, is open to everyone, or does not answer.

    `user` runs the cluster's node on this machine; empty if that is this user, or not known.
    """

    address: str
    state: Literal["token", "open", "silent"]
    user: str = ""


def heads(address: str) -> list[HeadAccess]:
    """Which heads ask for a token.

    Args:
        address: ``host:port``, or "" for the heads of all clusters that this machine is a node of.
    """
    if address:
        return [_access(address)]
    return [_access(one, user) for one, user in ray_compat.local_heads().items()]


def _access(head: str, user: str = "") -> HeadAccess:
    try:
        return HeadAccess(head, "token" if ray_head.asks_for_token(head) else "open", user)
    except ClusterError:
        return HeadAccess(head, "silent", user)


def _ask(nodes: Mapping[str, Mapping[str, Any]], question: NodeCall, payload: Mapping[str, Any]) -> list[NodeReply]:
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
    answers: list[NodeReply] = []
    while waiting and time.time() < sent + SECONDS:
        ready, _ = ray.wait(list(waiting), timeout=max(0.0, sent + SECONDS - time.time()))
        answers += [_answer(waiting.pop(one), sent, one) for one in ready]
    late = f"it does not answer within {SECONDS:g} s"
    answers += [NodeReply(name, sent, time.time(), error=late) for name in waiting.values()]
    return sorted(answers, key=lambda said: said.node)


def _named(nodes: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The nodes by name; several nodes of one name get a part of Ray's identifier after it."""
    taken = Counter(node["NodeName"] for node in nodes)
    return {n["NodeName"] + (f" ({n['NodeID'][:6]})" if taken[n["NodeName"]] > 1 else ""): n for n in nodes}


def _answer(name: str, sent: float, ready: Any) -> NodeReply:
    import ray

    received = time.time()
    try:
        return NodeReply(name, sent, received, ray.get(ready))
    except Exception as error:  # noqa: BLE001 - any failure of a node is part of the result
        return NodeReply(name, sent, received, error=one_line(getattr(error, "cause", None) or error))
