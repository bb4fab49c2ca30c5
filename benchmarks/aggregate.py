"""Times `conclus aggregate` and the reading of `conclus plan` on 2,000 synthetic trials of 100 epochs.

Run with `python -m benchmarks.aggregate [TRIALS]`; times include the start of Python.
"""

import subprocess
import sys
import tempfile
import time
from statistics import median

from benchmarks.rows import tell
from benchmarks.trials import EPOCHS, attempts
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
    """Tells the rows."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        for attempt in attempts(count):
            writer.write(folder, attempt)
        what = f"{count:,} trials x {EPOCHS} epochs"
        tell(f"writing {what}, each", f"{(time.perf_counter() - start) / count * 1000:.1f} ms")
        tell(f"what `conclus plan` reads of {what}, as single files", f"{timed(PEEK, folder):.2f} s")
        tell(f"`conclus aggregate`, {what}, as single files", f"{timed(AGGREGATE, folder):.2f} s")
        start = time.perf_counter()
        compact.compact(folder)
        tell(f"`conclus compact`, {what}", f"{time.perf_counter() - start:.2f} s")
        tell(f"`conclus aggregate`, {what}, gathered", f"{timed(AGGREGATE, folder):.2f} s")
        tell(f"what `conclus plan` reads of {what}, gathered", f"{timed(PEEK, folder):.2f} s")


if __name__ == "__main__":
    main()
