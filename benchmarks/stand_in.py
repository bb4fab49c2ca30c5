"""A stand-in for the executor of `conclus run`: 1,000 pretended workers that finish every trial at once.

Only the training is pretended: plan, driver, rows, compaction and leaderboard are those of a real run. Rows are written
by another process, as workers do, so that the CPU time and memory of this one are the driver's.
"""

from __future__ import annotations

import json
import multiprocessing
import random
from collections import deque
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

from cluster.executor import Event, Stop
from jobs.execution.dispatch import Orders
from jobs.execution.tasks import Listener, Ready

WORKERS = 1000
METRICS = ("loss", "nmi", "acc", "ari", "kmeans_nmi", "kmeans_acc")
SCORED, SAMPLES, CLUSTERS = 10, 1797, 10
"""Scored epochs of a pretended trial, and the samples of digits, whose clusters every row tells."""


def study(trials: int, folder: Path) -> Path:
    """The file of a study of so many trials with five seeds each; `trials` is a multiple of 250."""
    content = {
        "study": "pretended",
        "trial": {"data": "digits", "method": "cc", "epochs": SCORED},
        "space": {
            "learning_rate": {"grid": [1e-4 * 1.3**step for step in range(10)]},
            "instance_temperature": {"grid": [0.1 * step for step in range(1, 6)]},
            "cluster_temperature": {"grid": [1.001**step for step in range(trials // 250)]},
        },
        "seeds": [0, 1, 2, 3, 4],
    }
    file = folder / "pretended.yaml"
    file.write_text(json.dumps(content))  # JSON is YAML too.
    return file


def write_rows(orders: Connection, answers: Connection) -> None:
    """Writes the row of each order that comes and answers its attempt and score; in a process of its own."""
    from jobs.execution.order import Order, first_row
    from jobs.results.writer import write

    rng = random.Random(0)
    labels = [[rng.randrange(CLUSTERS) for _ in range(SAMPLES)] for _ in range(50)]
    while (payload := orders.recv()) is not None:
        order = Order(**payload)
        row = first_row(order)
        score = rng.random()
        row.status, row.epochs_done, row.best_epoch, row.seconds, row.own_seconds = "ok", SCORED, SCORED, 12.5, 12.5
        row.started = datetime.now(UTC)
        row.metrics = row.best = dict.fromkeys(METRICS, score)
        row.health = {"label_free": score, "collapse": 0.0}
        row.cluster_sizes = [SAMPLES // CLUSTERS] * CLUSTERS
        row.probe_labels = rng.choice(labels)
        row.history = [(e, 1.25 * e, name, score * e / SCORED) for e in range(1, SCORED + 1) for name in METRICS]
        write(order.results, row)
        answers.send((row.attempt_id, score))


def run_tasks(_ready: Ready, feed: Orders, listen: Listener, stop: Stop) -> None:
    """Takes the place of `jobs.execution.tasks.run_tasks`."""
    context = multiprocessing.get_context("spawn")
    theirs, orders = context.Pipe(duplex=False)
    # All answers of 1,000 workers fit into the pipe: the writer never waits for this process while it sends an order.
    answers, sent = context.Pipe(duplex=False)
    writer = context.Process(target=write_rows, args=(theirs, sent), daemon=True)
    writer.start()
    running: deque[tuple[str, str]] = deque()
    while not stop.requested:
        while len(running) < WORKERS and (task := feed.take()) is not None:
            running.append((task.key, task.payload["config_key"]))
            listen(Event("started", task.key, {"attempt": 1}))
            orders.send(task.payload)
        if not running:
            break
        key, config_key = running.popleft()
        attempt, score = answers.recv()
        listen(Event("reported", key, {"epoch": 1, "epochs": SCORED, "value": score, "scored": True}))
        told = {"status": "ok", "reason": "", "config_key": config_key, "seconds": 12.5, "epochs": SCORED}
        told |= {"value": score, "limited": {}, "stored": True, "saved": None, "attempt_id": attempt}
        listen(Event("finished", key, told))
    orders.send(None)
    writer.join()
