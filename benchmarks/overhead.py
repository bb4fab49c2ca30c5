"""The overhead of Ray Tune on a sweep: the wall time of real work over its ideal, and the cost of an empty trial.

Run: .venv/bin/python benchmarks/overhead.py [workers]. The exit code is 1 if the ratio is above the limit.
"""

import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.rows import tell
from cluster import tune
from cluster.executor import Event, Report, Stop, Task, TaskResources

LIMIT = 1.25
TRIALS, EMPTY = 64, 256
SIZE = 192


def work(payload: Mapping[str, Any], report: Report) -> Mapping[str, Any]:
    """Multiplies matrices `products` times on one thread (Ray sets OMP_NUM_THREADS=1); reports from time to time."""
    if "meet" in payload:
        meet(Path(payload["meet"]), payload["workers"])
    start, matrix = time.perf_counter(), np.full((SIZE, SIZE), 1.0 / SIZE)
    for product in range(payload["products"]):
        matrix = matrix @ matrix
        if product % 100 == 0:
            report({"product": product})
    return {"seconds": time.perf_counter() - start, "pid": os.getpid()}


def meet(folder: Path, workers: int) -> None:
    """Waits until every worker has started and imported what it needs."""
    (folder / str(os.getpid())).touch()
    end = time.monotonic() + 60
    while len(list(folder.iterdir())) < workers and time.monotonic() < end:
        time.sleep(0.01)


def products_per_second() -> int:
    """Products per second of one thread, measured for one second."""
    matrix, count, end = np.full((SIZE, SIZE), 1.0 / SIZE), 0, time.perf_counter() + 1
    with threadpool_limits(1):
        while time.perf_counter() < end:
            matrix, count = matrix @ matrix, count + 1
    return count


def sweep(trials: int, products: int, workers: int) -> tuple[float, list[Event], float]:
    """Wall seconds from the end of the last warm-up to the end of the last trial, the final events, the cold start."""
    start, ends = time.perf_counter(), list[tuple[float, Event]]()

    def listen(event: Event) -> None:
        if event.kind in {"finished", "died"}:
            ends.append((time.perf_counter(), event))

    with tempfile.TemporaryDirectory() as folder:
        warm_ups = [
            Task(f"warm-up-{worker}", {"meet": folder, "workers": workers, "products": 1}) for worker in range(workers)
        ]
        tasks = [*warm_ups, *[Task(str(trial), {"products": products}) for trial in range(trials)]]
        tune.run(work, tasks, on_event=listen, stop=Stop(), workers=workers, resources=TaskResources())
    warm = max(at for at, event in ends if event.key.startswith("warm-up"))
    real = [event for _, event in ends if not event.key.startswith("warm-up")]
    return max(at for at, _ in ends) - warm, real, warm - start


def main() -> int:
    """Prints the table; returns 0 if the ratio is within the limit."""
    workers = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    load = os.getloadavg()
    products = products_per_second()
    wall, events, cold = sweep(TRIALS, products, workers)
    own = [event.data["seconds"] for event in events]
    ideal = sum(own) / workers
    empty_wall, empties, _ = sweep(EMPTY, 1, workers)
    rows = [
        ("clock", "from the last warm-up's `finished` to the last trial's"),
        ("load average before", " ".join(f"{value:.1f}" for value in load)),
        ("cold start (ray.init, all workers up)", f"{cold:.1f} s"),
        (f"{len(own)} trials on {workers} workers: own time each", f"{np.mean(own):.2f} s"),
        ("wall", f"{wall:.1f} s"),
        ("ideal (sum of own times / workers)", f"{ideal:.1f} s"),
        ("above ideal per trial and worker", f"{1000 * (wall - ideal) * workers / len(own):.0f} ms"),
    ]
    for name, value in rows:
        print(f"{name:50} {value}")
    tell(
        f"{len(own)} trials of about a second through Ray on {workers} workers: wall over ideal", f"{wall / ideal:.3f}"
    )
    tell(f"an empty trial of {len(empties)} through Ray: wall", f"{1000 * empty_wall / len(empties):.1f} ms")
    return int(wall / ideal > LIMIT or len(own) < TRIALS)


if __name__ == "__main__":
    sys.exit(main())
