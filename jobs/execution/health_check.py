"""Checks machines: asks each node for facts and judges them."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cluster import doctor, ray_head
from core.data.object_store import bare, is_address
from jobs.execution import node_facts

Verdict = Literal["ok", "warning", "wrong"]

GIB = 1024**3
LITTLE_MEMORY = 2 * GIB
LITTLE_SHM = GIB // 8
LITTLE_DISK = GIB
SKEW_SECONDS = 2.0
"""Attempts are ordered by their start times, so clocks must differ by less than a trial takes."""


Facts = Mapping[str, Mapping[str, Any]]
"""The result of `jobs.execution.node_facts.examine`, by node."""


@dataclass(frozen=True)
class CheckResult:
    """One verdict.

    Attributes:
        check: What was checked.
        verdict: `ok`, `warning` or `wrong`.
        found: What was found, in a few words.
        right: What would be right; empty if all is well.
    """

    check: str
    verdict: Verdict
    found: str
    right: str = ""


def examine(ask: doctor.Ask, head: str, path: str) -> Iterator[CheckResult]:
    """Asks all nodes and judges the answers, the most important first.

    Args:
        ask: Sends a question to the nodes: `cluster.doctor.here` or the result of `everywhere`.
        head: Host and port of the cluster's head, or "" for only this machine.
        path: The place of results: an absolute path or a URI.
    """
    payload = {
        "results": path,
        "mark": f".doctor-{secrets.token_hex(8)}",
        "new": "://" not in path and not Path(path).exists(),
    }
    try:
        said = ask(node_facts.examine, payload)
        facts = {one.node: one.data for one in said if not one.error}
        yield silent({one.node: one.error for one in said if one.error}, list(facts))
        yield access(doctor.heads(head))
        if facts:
            yield from _compared(facts, has_ray=bool(head))
            yield from _shared(ask(node_facts.read, payload | {"nodes": _writers(facts)}), path, facts)
    finally:
        ask(node_facts.clean, payload)


def _writers(facts: Facts) -> list[str]:
    return [node for node, said in facts.items() if not said["written"]]


def _compared(facts: Facts, *, has_ray: bool) -> Iterator[CheckResult]:
    if has_ray:
        yield modes(facts)
    yield from machines(facts, has_ray=has_ray)


def _shared(said: Sequence[doctor.NodeReply], path: str, facts: Facts) -> Iterator[CheckResult]:
    heard = [one for one in said if not one.error]
    yield results(path, facts, {one.node: one.data["unseen"] for one in heard})
    if len(heard) > 1:
        yield clocks({one.node: skew(one.sent, one.data["clock"], one.received) for one in heard})


def silent(errors: Mapping[str, str], answered: Sequence[str]) -> CheckResult:
    """Whether every node answers."""
    if not errors:
        return CheckResult("nodes", "ok", f"{len(answered)}: {_names(answered)}")
    found = "; ".join(f"{node}: {error}" for node, error in sorted(errors.items()))
    return CheckResult("nodes", "wrong", f"{len(errors)} silent", f"Every node answers. {found}.")


def machines(facts: Facts, *, has_ray: bool) -> Iterator[CheckResult]:
    """Versions, code, cores, GPUs, memory and disk space of the nodes."""
    for name in next(iter(facts.values()))["versions"]:
        yield _version(name, {node: said["versions"][name] for node, said in facts.items()})
    yield _code({node: said["code"] for node, said in facts.items()})
    yield _threads(facts)
    yield _cards(facts, has_ray=has_ray)
    yield _room("memory", facts, LITTLE_MEMORY, "free for trials and their data")
    yield _room("shm", facts, LITTLE_SHM, "in /dev/shm for Ray's object store (docker --shm-size, an emptyDir)")
    yield _room("disk", facts, LITTLE_DISK, "free at the results path")


def access(heads: Sequence[doctor.HeadAccess]) -> CheckResult:
    """Whether strangers can connect, and so run any code."""
    opened = [head for head in heads if head.state == "open" and not ray_head.is_loopback(_host(head.address))]
    if own := [head.address for head in opened if not head.user]:
        right = "Start every node with RAY_AUTH_MODE=token: anyone who reaches that address can run code on the nodes."
        return CheckResult("access", "wrong", f"{_names(own)} lets everyone in", right)
    if opened:
        theirs = _names([f"{head.address} (of user {head.user})" for head in opened])
        right = (
            "Tell its user to start it with RAY_AUTH_MODE=token: anyone who reaches that address can run code there."
        )
        return CheckResult("access", "warning", f"a Ray on this machine, {theirs}, lets everyone in", right)
    silent_ones = [head.address for head in heads if head.state == "silent"]
    if silent_ones:
        right = "A head that answers: restart it, or stop the nodes that still look for it."
        return CheckResult("access", "warning", f"the head at {_names(silent_ones)} is silent", right)
    if not heads:
        return CheckResult("access", "ok", "no Ray runs here")
    return CheckResult(
        "access", "ok", "token" if all(head.state == "token" for head in heads) else "this machine alone"
    )


def modes(facts: Facts) -> CheckResult:
    """Whether RAY_AUTH_MODE is the same on all nodes."""
    found = _grouped({node: said["auth"] or "unset" for node, said in facts.items()})
    if len(found) == 1:
        return CheckResult("RAY_AUTH_MODE", "ok", next(iter(found)))
    right = "The same on every node: export RAY_AUTH_MODE=token before `ray start`, on workers too."
    return CheckResult("RAY_AUTH_MODE", "wrong", _differing(found), right)


def results(path: str, facts: Facts, unseen: Mapping[str, Mapping[str, str]]) -> CheckResult:
    """Whether every node can write results and read those of the others.

    Args:
        path: The place of results.
        facts: The facts by node; ``written`` is the error of writing.
        unseen: For each reader, by writer, why it cannot read the writer's file.
    """
    failed = {node: said["written"] for node, said in facts.items() if said["written"]}
    if failed:
        node, problem = next(iter(failed.items()))
        right = f"Every node may write to {path}. {node}: {problem}."
        if is_address(path):
            why = f"{problem}: its environment has no credentials for this store, or they do not allow it"
            right = f"Every node may write to {bare(path)}. {node} could not write there and read it back: {why}."
        return CheckResult("results", "wrong", f"{_names(list(failed))} cannot write", right)
    blind = {node: missing for node, missing in unseen.items() if missing}
    if blind:
        node, missing = next(iter(blind.items()))
        writer, problem = next(iter(missing.items()))
        path = bare(path) if is_address(path) else path
        right = f"{path} is one folder, shared by all nodes (NFS), or a URI (s3://…). {node}, from {writer}: {problem}."
        return CheckResult("results", "wrong", f"{_names(list(blind))} cannot read", right)
    return CheckResult("results", "ok", "written and read by every node" if len(facts) > 1 else "writable")


def clocks(skews: Mapping[str, float]) -> CheckResult:
    """Whether the clocks agree with this machine's, as far as can be measured."""
    worst = max(skews, key=lambda node: abs(skews[node]))
    if abs(skews[worst]) < SKEW_SECONDS:
        return CheckResult("clocks", "ok", f"less than {SKEW_SECONDS:g} s apart")
    right = "Synchronise all clocks by NTP: they decide which attempt came first."
    return CheckResult("clocks", "warning", f"{worst} is {skews[worst]:+.0f} s off", right)


def skew(sent: float, clock: float, received: float) -> float:
    """The least possible error of a clock, in seconds, given readings of this machine's clock before and after."""
    return min(0.0, clock - sent) + max(0.0, clock - received)


def _host(address: str) -> str:
    return address.rpartition(":")[0]


def _version(name: str, versions: Mapping[str, str]) -> CheckResult:
    found = _grouped({node: version or "missing" for node, version in versions.items()})
    if "missing" in found:
        right = "Install conclus with its extra `cluster` into the environment that Ray is started from, on every node."
        return CheckResult(name, "wrong", _differing(found), right)
    if len(found) == 1:
        return CheckResult(name, "ok", next(iter(found)))
    if name in {"python", "ray"}:
        return CheckResult(name, "wrong", _differing(found), f"The same {name} on every node, to the last digit.")
    return CheckResult(
        name, "warning", _differing(found), f"The same {name} on every node, or numbers differ between them."
    )


def _code(hashes: Mapping[str, str]) -> CheckResult:
    found = _grouped({node: one[:8] or "missing" for node, one in hashes.items()})
    if len(found) == 1 and "missing" not in found:
        return CheckResult("conclus's code", "ok", next(iter(found)))
    right = "The same conclus on every node, in the environment that Ray is started from (ray up ray_config.yaml)."
    return CheckResult("conclus's code", "wrong", _differing(found), right)


def _threads(facts: Facts) -> CheckResult:
    found = _grouped({node: f"{said['threads']}" for node, said in facts.items()})
    greedy = [node for node, said in facts.items() if (said["ray_cpus"] or 0) > said["threads"]]
    if greedy:
        right = "Set `ray start --num-cpus` to the number of threads: more trials than threads slow each other down."
        return CheckResult("CPU threads", "warning", f"Ray offers more than there are on {_names(greedy)}", right)
    return CheckResult("CPU threads", "ok", _differing(found))


def _cards(facts: Facts, *, has_ray: bool) -> CheckResult:
    for node, said in facts.items():
        wanted = said["ray_gpus"] if has_ray else said["cards"]["driver"]
        if wanted > said["cards"]["torch"]:
            by = "Ray offers" if has_ray else "the driver shows"
            right = "A torch built for this driver (torch.cuda.is_available() is true), or `ray start --num-gpus 0`."
            return CheckResult("GPUs", "wrong", f"{node}: {by} {wanted:g}, torch sees {said['cards']['torch']}", right)
    idle = [node for node, said in facts.items() if has_ray and said["cards"]["driver"] > said["ray_gpus"]]
    if idle:
        return CheckResult(
            "GPUs", "warning", f"Ray leaves some on {_names(idle)} unused", "Give `ray start` --num-gpus."
        )
    return CheckResult(
        "GPUs", "ok", _differing(_grouped({node: f"{said['cards']['torch']}" for node, said in facts.items()}))
    )


def _room(what: str, facts: Facts, little: int, where: str) -> CheckResult:
    known = {node: said[what] for node, said in facts.items() if said[what] is not None}
    if not known:
        return CheckResult(what, "ok", "not known here")
    least = min(known, key=lambda node: known[node])
    found = f"{_size(known[least])} free" + (f" on {least}, the least" if len(known) > 1 else "")
    if known[least] >= little:
        return CheckResult(what, "ok", found)
    return CheckResult(what, "warning", found, f"{_size(little)} or more {where}.")


def _size(count: int) -> str:
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / 1024**2:.0f} MiB"


def _grouped(values: Mapping[str, str]) -> dict[str, list[str]]:
    """The nodes grouped by value."""
    groups: dict[str, list[str]] = {}
    for node, value in values.items():
        groups.setdefault(value, []).append(node)
    return groups


def _differing(groups: Mapping[str, Sequence[str]]) -> str:
    if len(groups) == 1:
        return next(iter(groups))
    return ", ".join(f"{value} ({_names(nodes)})" for value, nodes in groups.items())


def _names(nodes: Sequence[str]) -> str:
    """The names of the nodes; of more than three, only the first two and a count."""
    return ", ".join(nodes) if len(nodes) <= 3 else f"{nodes[0]}, {nodes[1]} and {len(nodes) - 2} more"
