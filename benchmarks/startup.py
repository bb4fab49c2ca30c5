"""CPU seconds of `conclus --help` and `conclus plan`: medians over new processes."""

from __future__ import annotations

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
COMMANDS = {
    "conclus --help": ["--help"],
    "conclus plan studies/quickstart.yaml": ["plan", str(ROOT / "studies" / "quickstart.yaml")],
    "conclus plan studies/quickstart.yaml --show": ["plan", str(ROOT / "studies" / "quickstart.yaml"), "--show"],
    "python -c pass": None,
}


def cpu_seconds(arguments: list[str] | None, cwd: str) -> float:
    """User and system seconds of one new process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = ["-c", "pass"] if arguments is None else ["-m", "conclus", *arguments]
    subprocess.run([sys.executable, *command], cwd=cwd, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Tells a row for each command; exit code 1 above the limit."""
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for name, arguments in COMMANDS.items():
            times = [cpu_seconds(arguments, folder) for _ in range(REPEATS)]
            worst = max(worst, statistics.median(times))
            tell(f"`{name}`, CPU", f"{statistics.median(times):.3f} s ({min(times):.3f} to {max(times):.3f})")
    print(f"limit {LIMIT} s: {'held' if worst <= LIMIT else 'EXCEEDED'}")
    sys.exit(worst > LIMIT)


if __name__ == "__main__":
    main()
