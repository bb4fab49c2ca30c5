"""What a study costs by the number of its trials: plan, start, driver, end, leaderboard and requests to the store.

Run: python -m benchmarks.hundred_thousand [--s3] [TRIALS …], by default 1,000 10,000 100,000 (multiples of 250).
The trials are pretended (benchmarks/stand_in.py), all else is `conclus run`. Of each number of trials, in a process of
its own each: a run of all but four, a run of these four, `conclus plan`, and `conclus aggregate`. CPU seconds are those
of the process alone: its threads count, the process that writes the rows does not. `start` is all before the first
trial, imports too; `end` is all after the last: what is left to gather, the counts, and the leaderboard. With --s3 the
results lie in an object store on this machine (moto), whose requests are counted. 100,000 rows take half an hour.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import math
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.rows import tell

LEFT = 4
DEFAULT = (1_000, 10_000, 100_000)
ROOT = Path(__file__).resolve().parents[1]


def drive(file: Path, results: str, trials: int) -> None:
    """Runs at most so many trials of a study with pretended workers; prints CPU seconds by phase as JSON."""
    from benchmarks import stand_in
    from jobs.execution import console, runner

    marks = [0.0]

    def run_tasks(*arguments: Any) -> None:
        marks.append(time.process_time())
        stand_in.run_tasks(*arguments)
        marks.append(time.process_time())

    runner.run_tasks = run_tasks
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):  # Trials may be left: code 3.
        console.run_study(file, results, (f"budget.trials={trials}",), workers=stand_in.WORKERS)
    marks.append(time.process_time())
    seconds = [after - before for before, after in pairwise(marks)]
    print(json.dumps(dict(zip(("start", "driver", "end"), seconds, strict=True))))


def measured(*command: object) -> tuple[dict[str, float], float]:
    """What a new Python process printed of itself, with its CPU seconds and its largest memory in MB."""
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen([sys.executable, *map(str, command)], stdout=out, env=env)
        _, status, used = os.wait4(process.pid, 0)
        if os.waitstatus_to_exitcode(status):
            sys.exit(f"{command} failed")
        out.seek(0)
        said = out.read()
    if "drive" in command:  # What the system counts has the CPU time of the process that writes the rows in it.
        return json.loads(said.splitlines()[-1]), used.ru_maxrss / 1024
    return {"CPU s": used.ru_utime + used.ru_stime}, used.ru_maxrss / 1024


@contextlib.contextmanager
def store() -> Generator[str]:
    """An object store in another process: the host and port of its server."""
    process = subprocess.Popen([sys.executable, "-m", __spec__.name, "serve"], stdout=subprocess.PIPE, text=True)
    try:
        address = (process.stdout or sys.exit("it has no output")).readline().strip()
        urllib.request.urlopen(urllib.request.Request(f"http://{address}/bucket", method="PUT")).close()
        yield address
    finally:
        process.terminate()
        process.wait()


def serve() -> None:
    """Serves moto's S3, and at `/counts` the number of requests of each kind."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    asked: Counter[str] = Counter()
    application = DomainDispatcherApplication(create_backend_app)

    def counting(environ: Mapping[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/counts":
            start_response("200 OK", [])
            return [json.dumps(asked).encode()]
        is_list = environ["REQUEST_METHOD"] == "GET" and "list-type" in environ["QUERY_STRING"]
        asked["LIST" if is_list else environ["REQUEST_METHOD"]] += 1
        return application(environ, start_response)  # type: ignore[no-any-return]

    server = make_server("127.0.0.1", 0, counting, threaded=True)
    print(f"127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


def counts(address: str) -> Counter[str]:
    """The requests so far."""
    with urllib.request.urlopen(f"http://{address}/counts") as answer:
        return Counter(json.loads(answer.read()))


def of_size(trials: int, folder: Path, address: str) -> dict[str, float]:
    """The figures of a study of so many trials."""
    from benchmarks import stand_in

    file = stand_in.study(trials, folder)
    results = str(folder / "results")
    if address:
        results = f"s3://key:secret@bucket/{trials}?scheme=http&endpoint_override={address}"
    before, found = counts(address) if address else Counter[str](), dict[str, float]()
    itself = ("-m", __spec__.name, "drive", file, results)
    steps: dict[str, Sequence[object]] = {
        "run": (*itself, trials - LEFT),
        f"{LEFT} to do": (*itself, trials),
        "plan": ("-m", "conclus", "plan", file, "--results", results),
        "aggregate": ("-m", "conclus", "aggregate", results),
    }
    for step, command in steps.items():
        seconds, megabytes = measured(*command)
        found |= {f"{step}: {name}": value for name, value in seconds.items()} | {f"{step}: MB": megabytes}
        if address:
            now = counts(address)
            found |= {f"{step}: {kind}": now[kind] - before[kind] for kind in sorted(now)}
            before = now
    return found


def main(sizes: Sequence[int], *, remote: bool) -> None:
    """Tells a row for each figure: its value at each size, and its exponent between the last two."""
    found: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder, store() if remote else contextlib.nullcontext("") as address:
        for size in sizes:
            place = Path(folder) / str(size)
            place.mkdir()
            found.append(of_size(size, place, address))
            print(size, json.dumps(found[-1]), file=sys.stderr, flush=True)
    for name in found[-1]:
        values = [one.get(name, 0.0) for one in found]
        figures = [f"{value:,.3g}" for value in values]
        if len(sizes) > 1 and min(values[-2:]) > 0:
            exponent = math.log(values[-1] / values[-2]) / math.log(sizes[-1] / sizes[-2])
            figures.append(f"exponent {exponent:.2f}")
        where = "an object store" if remote else "a folder"
        tell(f"{', '.join(f'{size:,}' for size in sizes)} trials in {where}, {name}", " · ".join(figures))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["drive", file, results, trials]:
            drive(Path(file), results, int(trials))
        case ["serve"]:
            serve()
        case words:
            main([int(one) for one in words if one != "--s3"] or DEFAULT, remote="--s3" in words)
