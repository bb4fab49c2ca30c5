"""What the page of 1,000 trials of 100 epochs costs headless Chromium: to open it, to go to a part, a step of a drag.

Run: uv run python -m benchmarks.page_pointer. CPU seconds are those of all processes of the browser together: on a
machine that does nothing else the wall is at most as long. It is open when its file is read, its scripts have run, so
that the table can be sorted and its rows picked, and the charts in or near a window of 1,200 x 900 are drawn, which
answer the pointer from then on. Charts are drawn as they come near, so two parts with charts of all configurations are
gone to, as by a link, until their charts are drawn; and all that is left is drawn as for a printer. A step moves the
pointer while its button is pressed over the trials by a parameter, so that other configurations are picked, and waits
until the page has painted.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.report_memory import fill
from benchmarks.rows import tell
from jobs.report import html
from jobs.report.contents import gather
from tests.jobs.report.pilot import Pilot

STEPS = 10


def main() -> None:
    """Measures and prints."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder / "results", 1_000, seeds=1)
        text = html.page(gather([str(folder / "results")], "nmi", "max"), "Made by a benchmark.")
        pilot = Pilot(program, folder)
        try:
            before = used(folder)
            wall = pilot.open(text, whole=False)
            size = len(text.encode()) / 1e6
            opened = f"{size:.2f} MB, {wall:.1f} s, {used(folder) - before:.1f} CPU s"
            tell("page of 1,000 trials: opened, charts in sight drawn", opened)
            for part in ("parallel", "curves"):
                start, before = time.perf_counter(), used(folder)
                pilot.show(f"#{part}")
                pilot.settle()
                shown = f"{time.perf_counter() - start:.1f} s, {used(folder) - before:.1f} CPU s"
                tell(f"page of 1,000 trials: gone to {part}, charts there drawn", shown)
            left, top, width, height = pilot.place("#parallel figure canvas")
            walls, before = list[float](), used(folder)
            for step in range(STEPS):
                start = time.perf_counter()
                end = left + width * (0.4 + 0.05 * step), top + height * 0.6
                if step == 0:
                    pilot.press(left + width * 0.3, top + height * 0.3)
                pilot.pull(*end)
                pilot.settle()
                walls.append(time.perf_counter() - start)
            each = (used(folder) - before) / STEPS
            tell("page of 1,000 trials: a step of a drag", f"median {statistics.median(walls):.2f} s, {each:.2f} CPU s")
            start, before = time.perf_counter(), used(folder)
            pilot.ask("drawAll()")
            pilot.settle()
            rest = f"{time.perf_counter() - start:.1f} s, {used(folder) - before:.1f} CPU s"
            tell("page of 1,000 trials: all other charts drawn, as for a printer", rest)
        finally:
            pilot.close()


def used(folder: Path) -> float:
    """CPU seconds of the browser's processes, which name its folder or are children of one that does."""
    found: dict[str, tuple[str, int, bool]] = {}
    for one in Path("/proc").glob("[0-9]*"):
        try:
            fields = (one / "stat").read_text().rpartition(")")[2].split()
            is_named = str(folder).encode() in (one / "cmdline").read_bytes()
            found[one.name] = fields[1], int(fields[11]) + int(fields[12]), is_named
        except OSError:
            continue
    mine = {name for name, (_, _, is_named) in found.items() if is_named}
    while more := {name for name, (parent, *_) in found.items() if parent in mine} - mine:
        mine |= more
    return sum(found[name][1] for name in mine) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
