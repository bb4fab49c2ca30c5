"""CPU seconds of `conclus --help`, `conclus plan` and the estimator's import: medians over new processes.

Commands must stay below a limit, and the estimator's import below a multiple of that of torch, without which nothing is
trained. Both are measured in turn, as other work on the machine slows both down.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.rows import tell

ROOT = Path(__file__).resolve().parents[1]
REPEATS = 9
LIMIT = 0.3
IMPORT_LIMIT = 1.2
"""Times the import of torch."""
PLAN = ["-m", "conclus", "plan", str(ROOT / "studies" / "quickstart.yaml")]
COMMANDS = {
    "conclus --help": ["-m", "conclus", "--help"],
    "conclus plan studies/quickstart.yaml": PLAN,
    "conclus plan studies/quickstart.yaml --show": [*PLAN, "--show"],
    "python -c pass": ["-c", "pass"],
}
ESTIMATOR, TORCH = "from conclus import ContrastiveClustering", "import torch"


def cpu_seconds(arguments: list[str], cwd: str) -> float:
    """User and system seconds of one new process of Python."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, *arguments], cwd=cwd, env=environment, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Tells a row for each command and one for the import; exit code 1 above a limit."""
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for name, arguments in COMMANDS.items():
            times = [cpu_seconds(arguments, folder) for _ in range(REPEATS)]
            worst = max(worst, statistics.median(times))
            tell(f"`{name}`, CPU", f"{statistics.median(times):.3f} s ({min(times):.3f} to {max(times):.3f})")
        pairs = [[cpu_seconds(["-c", code], folder) for code in (ESTIMATOR, TORCH)] for _ in range(REPEATS)]
    ours, torchs = map(statistics.median, zip(*pairs, strict=True))
    ratio = ours / torchs
    tell(f"`{ESTIMATOR}`, CPU, over that of `{TORCH}`", f"{ratio:.2f} ({ours:.2f} s and {torchs:.2f} s)")
    print(f"limits {LIMIT} s and {IMPORT_LIMIT}: {'held' if worst <= LIMIT and ratio <= IMPORT_LIMIT else 'EXCEEDED'}")
    sys.exit(worst > LIMIT or ratio > IMPORT_LIMIT)


if __name__ == "__main__":
    main()
