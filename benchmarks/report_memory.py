"""The largest memory of `conclus report` by the number of trials, its CPU seconds, and the size of its page.

Run: uv run python -m benchmarks.report_memory [TRIALS …], by default 1,000 10,000. The trials are pretended: three
seeds of each configuration, two parameters, 100 epochs of four signals. Each report is a process of its own; its
memory is the largest that the kernel saw (VmHWM), with all that Python and the libraries need. It is not `ru_maxrss`,
which a process inherits from the one that started it: here the one that made up the trials.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.rows import tell
from jobs.results import writer
from jobs.results.layout import COMPACT, PREFIX
from jobs.results.schema import Attempt, to_table

DEFAULT = (1_000, 10_000)
SEEDS, EPOCHS, PART = 3, 100, 1_000
ROOT = Path(__file__).resolve().parents[1]


def attempt(place: int, seeds: int) -> Attempt:
    """One trial whose curve climbs to a quality that its parameters tell."""
    cell, seed = divmod(place, seeds)
    rate, temperature = 1e-5 * 1.02 ** (cell % 200), (1 + cell // 200 % 10) / 10
    quality = 0.5 + rate / 10 - 0.1 * (temperature - 0.5) ** 2 + 0.01 * ((place * 7919) % 13) / 13 + cell * 1e-7
    history = [
        (epoch, float(epoch), name, quality * (1 - 0.9**epoch) + shift)
        for epoch in range(1, EPOCHS + 1)
        for name, shift in (("nmi", 0.0), ("acc", 0.02), ("loss", 3.0), ("health.label_free", -0.05))
    ]
    return Attempt(
        study="s",
        trial_key=f"t{place:06}",
        config_key=f"c{cell:06}",
        seed=seed,
        attempt_id=f"A{place:06}",
        status="ok",
        started=datetime(2026, 6, 7, tzinfo=UTC) + timedelta(seconds=40 * (place // 4)),
        seconds=150.0,
        epochs_done=EPOCHS,
        host="alpha",
        params={
            "optimiser.learning_rate": rate,
            "method.instance_temperature": temperature,
            "method.name": "cc",
            "batch_size": 64 + cell // 2000,
        },
        metrics={"nmi": quality, "acc": quality + 0.02, "loss": 9 - 3 * quality},
        health={"raw_silhouette": quality / 2, "label_free": quality - 0.05},
        history=history,
    )


def fill(folder: Path, trials: int, seeds: int = SEEDS) -> None:
    """Writes so many trials in files of a thousand."""
    for start in range(0, trials, PART):
        rows = [attempt(place, seeds) for place in range(start, min(start + PART, trials))]
        path = folder / f"{PREFIX}s" / COMPACT / f"part-{start}.parquet"
        writer.put(path, writer.serialise(to_table(rows)))


def main(counts: list[int]) -> None:
    """Measures and prints."""
    for trials in counts:
        with tempfile.TemporaryDirectory() as name:
            folder, out = Path(name), Path(name) / "report.html"
            fill(folder / "results", trials)
            code = (
                "import json, resource, sys, conclus\n"
                f"sys.argv = ['conclus', 'report', {str(folder / 'results')!r}, '--on', 'nmi', '--out', {str(out)!r}]\n"
                "try: conclus.main()\n"
                "except SystemExit as end: assert not end.code, end.code\n"
                "used = resource.getrusage(resource.RUSAGE_SELF)\n"
                "peak = next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
                "told = [int(peak) * 1024 / 1e6, used.ru_utime + used.ru_stime]\n"
                "print(json.dumps(told), file=sys.stderr)"
            )
            env = os.environ | {"OMP_NUM_THREADS": "1"}
            done = subprocess.run(
                [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True
            )
            memory, seconds = json.loads(done.stderr.splitlines()[-1])
            page = out.stat().st_size / 1e6
            tell(f"report of {trials:,} trials", f"{memory:,.0f} MB, {seconds:.1f} CPU s, a page of {page:.2f} MB")


if __name__ == "__main__":
    main([int(one) for one in sys.argv[1:]] or list(DEFAULT))
