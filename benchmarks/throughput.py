"""Trials on three nodes of a real cluster on this machine: wall time over its ideal, and the driver's memory.

The nodes share this machine's cores, so a trial waits 2 s instead of computing. This measures what Ray and the driver
add to trials, not the speed of cores.

Run: .venv/bin/python benchmarks/throughput.py. The exit code is 1 if the ratio or the growth is above its limit.
"""

import io
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from overhead import meet

from cluster import connect, tune
from cluster.executor import Event, Feed, Report, Stop, Task, TaskList, TaskResources
from jobs.execution import dispatch
from jobs.execution.progress import Progress
from jobs.planning import plan, source
from jobs.study import study
from tests.cluster.nodes import Nodes, new_token

LIMIT, GROWTH_MB = 1.25, 50
NODES, TRIALS, SECONDS = 3, 200, 2.0
FIRST, LAST = 300, 1300
STUDY = f"study: memory\ntrial: {{epochs: 1}}\nseeds: {list(range(LAST))}\n"


def work(payload: Mapping[str, Any], report: Report) -> Mapping[str, Any]:
    """Waits, and reports ten times."""
    start = time.perf_counter()
    if "meet" in payload:
        meet(Path(payload["meet"]), NODES)
    for step in range(10 if payload.get("seconds") else 0):
        time.sleep(payload["seconds"] / 10)
        report({"epoch": step + 1, "epochs": 10})
    node = os.getppid()  # its raylet
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "status": "ok", "reason": "", "value": 0.5, "config_key": "c", "node": node}


def sweep(tasks: Feed, hear: Any) -> None:
    """Runs the tasks on the connected cluster, one at a time on each node."""
    tune.run(work, tasks, on_event=hear, stop=Stop(), workers=NODES, resources=TaskResources())


def throughput() -> tuple[float, list[Event]]:
    """Wall seconds from the end of the last warm-up to the end of the last trial, and the trials' final events."""
    ends = list[tuple[float, Event]]()

    def hear(event: Event) -> None:
        if event.kind in {"finished", "died"}:
            ends.append((time.perf_counter(), event))

    with tempfile.TemporaryDirectory() as folder:
        warm_ups = [Task(f"warm-up-{node}", {"meet": folder}) for node in range(NODES)]
        sweep(TaskList([*warm_ups, *[Task(str(trial), {"seconds": SECONDS}) for trial in range(TRIALS)]]), hear)
    warm = max(at for at, event in ends if event.key.startswith("warm-up"))
    real = [event for _, event in ends if not event.key.startswith("warm-up")]
    return max(at for at, _ in ends) - warm, real


def growth() -> float:
    """MB by which this process grows over 1,000 trials of a study with the whole driver: plan, orders, progress."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "study.yaml")
        file.write_text(STUDY)
        made = plan.make(study.load(file))
        shared = dispatch.shared(made.study, folder, (), device="cpu")
    feed = dispatch.Orders(source.TrialList(made.trials), shared, made.study.budget)
    progress, sizes = Progress(made, LAST, 0, out=io.StringIO()), list[float]()

    def hear(event: Event) -> None:
        progress.hear(event)
        feed.hear(event)
        if event.kind == "finished":
            sizes.append(resident())

    sweep(feed, hear)
    return (sizes[LAST - 1] - sizes[FIRST - 1]) / (LAST - FIRST) * 1000


def resident() -> float:
    """Resident memory of this process in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def drive(address: str) -> int:
    """Prints the table; returns 0 if both values are within their limits."""
    load = os.getloadavg()
    with tempfile.TemporaryDirectory() as folder, connect.attached(address, Path(folder, "ray.log")):
        wall, events = throughput()
        grown = growth()
    own = [event.data["seconds"] for event in events]
    ideal = sum(own) / NODES
    _, shares = np.unique([event.data["node"] for event in events], return_counts=True)
    rows = [
        ("load average before", " ".join(f"{value:.1f}" for value in load)),
        (f"{len(own)} waiting trials on {NODES} nodes: own time each", f"{np.mean(own):.2f} s"),
        ("trials of each node", " ".join(map(str, shares))),
        ("wall, from the last warm-up's end to the last trial's", f"{wall:.1f} s"),
        (f"wall / ideal of {ideal:.1f} s (limit {LIMIT})", f"{wall / ideal:.3f}"),
        (f"driver's growth per 1,000 trials, {FIRST} to {LAST} (limit {GROWTH_MB} MB)", f"{grown:.1f} MB"),
    ]
    for name, value in rows:
        print(f"{name:62} {value}")
    return int(wall / ideal > LIMIT or grown > GROWTH_MB or len(own) < TRIALS)


def main() -> int:
    """Starts the nodes, and the driver in a separate process, as stopping nodes ends processes with open files."""
    with Nodes(token=new_token()) as nodes:
        nodes.add("one")
        nodes.add("two")
        return subprocess.run([sys.executable, __file__, nodes.address], env=nodes.env, check=False).returncode


if __name__ == "__main__":
    sys.exit(drive(sys.argv[1]) if len(sys.argv) > 1 else main())
