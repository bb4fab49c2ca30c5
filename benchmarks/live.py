"""What it costs to look at a study: `conclus status` and `conclus serve` on many trials, and a trial's own notes.

Run: uv run python benchmarks/live.py. Synthetic trials (benchmarks/trials.py) in gathered files: 50,000 for `status`,
10,000 of 100 epochs for `serve`. Memory is the most of the process, the report's own process left out. The first paint
is the time from asking for the page to its first event, with the server up for some seconds, as nobody is quicker. A
note is what a running trial writes of its epochs (`jobs/results/course.py`).
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from benchmarks.rows import tell
from benchmarks.trials import attempts
from jobs.results import course, writer
from jobs.results.layout import COMPACT, study_folder
from jobs.results.schema import Attempt, to_table

ROOT = Path(__file__).resolve().parents[1]
FRONT_DOOR = ROOT / "conclus.py"
# The band of learning curves then holds every finished trial that `serve` and `delay` find.
ALL_READ = f'"trials": {sum(one.status == "ok" for one in attempts(10_000))}'.encode()
LABELS = [[(place * step) % 10 for place in range(2000)] for step in range(1, 51)]


def main() -> None:
    """Measures and prints."""
    with tempfile.TemporaryDirectory() as folder:
        many, some = Path(folder, "many"), Path(folder, "some")
        store(many, (one for block in range(5) for one in block_of(block)))
        status(many)
        store(some, attempts(10_000))
        serve(some)
        delay(some)
        note(Path(folder, "note"))


def block_of(block: int) -> Iterator[Attempt]:
    """Ten thousand trials of other configurations than those of the other blocks, of ten scored epochs."""
    for one in attempts(10_000):
        one.trial_key, one.config_key = f"{block}{one.trial_key}", f"{block}{one.config_key}"
        one.params = {**one.params, "group.block": block}
        one.history = one.history[:100]
        yield one


def store(results: Path, rows: Iterator[Attempt]) -> None:
    """Writes rows as a run gathers them, each with the clusters of its fixed samples."""
    folder = study_folder(str(results), "bench")
    while part := list(islice(rows, 1000)):
        for place, one in enumerate(part):
            one.probe_labels, one.cluster_sizes = LABELS[place % len(LABELS)], [200] * 10
        content = writer.stored(to_table(part), "bench")
        writer.put(folder / COMPACT / f"part-{writer.new_attempt_id()}.parquet", content)


def status(results: Path) -> None:
    """CPU time and memory of `conclus status`."""
    process = subprocess.Popen([sys.executable, FRONT_DOOR, "status", results], stdout=subprocess.DEVNULL)
    _, code, used = os.wait4(process.pid, 0)
    if code:
        sys.exit("conclus status failed")
    tell(
        "`conclus status`, 50,000 trials, gathered",
        f"{used.ru_utime + used.ru_stime:.1f} CPU s, {used.ru_maxrss / 1024:.0f} MiB",
    )


@contextlib.contextmanager
def opened(results: Path, *, after: float) -> Iterator[tuple[subprocess.Popen[str], http.client.HTTPResponse, float]]:
    """A server of the results, the events of its page, and when the page was asked for, so many seconds after."""
    with subprocess.Popen([sys.executable, FRONT_DOOR, "serve", results], stdout=subprocess.PIPE, text=True) as server:
        try:
            line = (server.stdout or sys.exit("it has no output")).readline()
            port, path = re.search(r":(\d+)(/\S*)", line).groups()  # type: ignore[union-attr]
            time.sleep(after)
            began = time.perf_counter()
            link = http.client.HTTPConnection("127.0.0.1", int(port))
            link.request("GET", path)
            answer = link.getresponse()
            cookie = str(answer.headers["Set-Cookie"]).partition(";")[0]
            answer.read()
            link.request("GET", "/events", headers={"Cookie": cookie})
            yield server, link.getresponse(), began
        finally:
            server.terminate()


def heard(events: http.client.HTTPResponse, what: bytes) -> float:
    """The time at which an event holds some text."""
    while what not in events.readline():
        pass
    return time.perf_counter()


def serve(results: Path) -> None:
    """The time to the first event of `conclus serve`, and its memory when it has read all courses."""
    with opened(results, after=10) as (server, events, began):
        seconds = heard(events, b"data:") - began
        heard(events, ALL_READ)
        peak = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{server.pid}/status").read_text())
    tell(
        "`conclus serve`, 10,000 finished trials x 100 epochs: first event of the page; memory with all courses read",
        f"{seconds:.2f} s; {int(peak[1]) / 1024 if peak else 0:.0f} MiB",
    )


def delay(results: Path) -> None:
    """The time from a finished trial's row, and from a running trial's epoch, to the event that shows it."""
    attempt_id, rows, begun, seen = writer.new_attempt_id(), list[float](), dict[int, float](), dict[int, float]()
    identity = {"study": "bench", "trial_key": "runs", "config_key": "runs", "seed": 0}
    writer.write(str(results), Attempt(**identity, attempt_id=attempt_id, status="running"))
    told = {"epochs": 10_000, "seconds": 1.0, "loss": 1.2345678, "value": 0.5, "scored": True}

    def run() -> None:
        with course.kept({**identity, "results": str(results), "again": False}, "nmi", attempt_id) as add:
            for epoch in range(1, 101):
                begun[epoch] = time.perf_counter()
                add({**told, "epoch": epoch})
                time.sleep(0.13)
            time.sleep(5)  # The note goes when the trial ends.

    with opened(results, after=10) as (_, events, _):
        heard(events, ALL_READ)
        for place, one in enumerate(attempts(10)):
            one.trial_key = f"new{place}"
            time.sleep(0.37)  # Not in step with the server's looks.
            began = time.perf_counter()
            writer.write(str(results), one)
            rows.append(heard(events, f'"planned": {10_002 + place},'.encode()) - began)
        trial = threading.Thread(target=run)
        trial.start()
        while max(seen, default=0) < 90:
            if found := re.search(rb'"key": "runs".*?"epoch": (\d+)', events.readline()):
                seen.setdefault(int(found[1]), time.perf_counter())
        trial.join()
    epochs = [min(at for epoch, at in seen.items() if epoch >= one) - begun[one] for one in range(1, 91)]
    tell(
        "the same: longest delay to the page's event, from ten rows, and from 90 epochs of .13 s of a running trial",
        f"{max(rows):.2f} s; {max(epochs):.2f} s",
    )


def note(results: Path) -> None:
    """The time that a trial takes to note its epochs, as a share of its time."""
    payload = {"results": str(results), "study": "bench", "trial_key": "t", "again": False}
    told = {"epochs": 10_000, "seconds": 1.0, "loss": 1.2345678, "value": 0.5, "scored": True}
    spent, began = 0.0, time.thread_time()
    with course.kept(payload, "nmi", "A") as add:
        for epoch in range(1, 1001):
            end = time.thread_time() + 0.005
            while time.thread_time() < end:
                sum(range(1000))
            before = time.thread_time()
            add({**told, "epoch": epoch})
            spent += time.thread_time() - before
    share = spent / (time.thread_time() - began)
    tell("a trial's notes of its epochs, of 5 ms each, as a share of its CPU time", f"{share:.2%}")
    if share > 0.01:
        sys.exit("the notes take more than 1 %")


if __name__ == "__main__":
    main()
