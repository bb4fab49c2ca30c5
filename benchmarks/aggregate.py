"""Times `conclus aggregate` and the reading of `conclus plan` on 2,000 synthetic trials of 100 epochs.

Run with `python -m benchmarks.aggregate [TRIALS]`; times include the start of Python.
"""

import subprocess
import sys
import tempfile
import time
from statistics import median

from benchmarks.trials import attempts
from jobs.results import compact, writer

REPEATS = 5
AGGREGATE = "from jobs.commands.aggregate import command; command()"
PEEK = "import sys; from jobs.results.peek import statuses; statuses(sys.argv[1], 'bench')"


def timed(code: str, *arguments: str) -> float:
    """Median wall seconds of a new Python process that runs `code`."""
    return median(_once(code, arguments) for _ in range(REPEATS))


def _once(code: str, arguments: tuple[str, ...]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        for attempt in attempts(count):
            writer.write(folder, attempt)
        print(f"{'write, ms per trial':<34}{(time.perf_counter() - start) / count * 1000:8.2f}")
        print(f"{'peek (the plan), s':<34}{timed(PEEK, folder):8.2f}")
        print(f"{f'aggregate {count} files, s':<34}{timed(AGGREGATE, folder):8.2f}")
        start = time.perf_counter()
        compact.compact(folder)
        print(f"{'compact, s':<34}{time.perf_counter() - start:8.2f}")
        print(f"{'aggregate after it, s':<34}{timed(AGGREGATE, folder):8.2f}")
        print(f"{'peek after it, s':<34}{timed(PEEK, folder):8.2f}")


if __name__ == "__main__":
    main()
