"""A driver in a process of its own: `driver_for_tests.py FOLDER`; it notes each event in FOLDER/events."""

import os
import signal
import sys
import time
from pathlib import Path

from cluster import tune
from cluster.executor import Stop, Task, TaskResources

FOLDER = Path(sys.argv[1])


def work(payload, report):
    if payload["dies"]:
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        while True:
            time.sleep(0.05)
            report({})
    finally:
        (FOLDER / f"left-{os.getpid()}").touch()


def note(event):
    with (FOLDER / "events").open("a") as file:
        file.write(f"{event.kind} {event.key}\n")


def main():
    stop = Stop()
    signal.signal(signal.SIGINT, lambda *_: stop.request(grace=300))
    signal.signal(signal.SIGTERM, lambda *_: stop.request(grace=300))
    tasks = [Task("mortal", {"dies": True}), *[Task(f"long{i}", {"dies": False}) for i in range(3)]]
    tune.run(work, tasks, on_event=note, stop=stop, workers=2, resources=TaskResources(), retries=0)


if __name__ == "__main__":
    main()
