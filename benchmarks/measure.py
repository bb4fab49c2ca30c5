"""Runs benchmarks and writes what they measured into the tables of docs/benchmarks.md.

Run: uv run --with torchvision python benchmarks/measure.py [NAME …]; a name is that of a script (`startup`), or of a
study of `quality.py` (`quality:digits`). Without names it runs those of `QUICK`, which take under ten minutes in all.
A row is replaced where its script measures the same thing; all others stay as they are. Exit code 1 when a benchmark
fails or misses its limit; the rows that it measured are written nevertheless.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.rows import KEPT_IN

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
QUICK = ("startup", "overhead", "aggregate", "evaluation", "retrieval", "health", "topic_scores")
SCRIPTS = (*QUICK, "conclusions", "live", "speed", "cluster_counts", "growth", "topics_speed", "quality")

Row = dict[str, str]
"""Column to cell."""


@dataclass(frozen=True)
class Table:
    """A table of the page: its columns, and the rows by the number of their line."""

    columns: list[str]
    rows: dict[int, Row]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def tables(lines: list[str]) -> Iterator[Table]:
    """All tables of a page.

    Raises:
        ValueError: a row has more or fewer cells than its table has columns.
    """
    for start, line in enumerate(lines):
        if not line.startswith("| ---"):
            continue
        columns, rows, number = _cells(lines[start - 1]), dict[int, Row](), start + 1
        while number < len(lines) and lines[number].startswith("|"):
            rows[number] = dict(zip(columns, _cells(lines[number]), strict=True))
            number += 1
        yield Table(columns, rows)


def updated(page: str, row: Row) -> str:
    """The page with this row in the place of the one with the same script and `what`.

    Where there is none it comes after the last row of its script, else to the end of the last table with its columns.

    Raises:
        ValueError: no table has its columns.
    """
    lines = page.splitlines()
    fitting = [table for table in tables(lines) if set(table.columns) == set(row)]
    if not fitting:
        raise ValueError(f"no table of {PAGE.name} has the columns {', '.join(row)}")
    known = [(number, one) for table in fitting for number, one in table.rows.items()]
    own = [(number, one) for number, one in known if one["script"] == row["script"]]
    same = [number for number, one in own if one["what"] == row["what"]]
    place = same[0] if same else (own or known)[-1][0] + 1
    line = "| " + " | ".join(row[column] for column in fitting[0].columns) + " |"
    lines[place : place + len(same)] = [line]
    return "\n".join(lines) + "\n"


def machine() -> str:
    """The processor, its cores, and how many processes wanted one in the minute before."""
    found = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return f"{found[1] if found else platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"


def commit() -> str:
    """The commit that is measured, with a `+` where files other than the page differ from it."""
    short = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=True
    )
    changes = ["git", "status", "--porcelain", "--", ":/", f":(exclude,top)docs/{PAGE.name}"]
    changed = subprocess.run(changes, cwd=HERE, capture_output=True, text=True, check=True).stdout
    return short.stdout.strip() + ("+" if changed else "")


def measure(name: str) -> bool:
    """Runs one benchmark and writes its rows; whether it ended well."""
    script, _, argument = name.partition(":")
    call = f"{script}.py {argument}".strip()
    print(f"== {call}", flush=True)
    about = {"script": f"`{call}`", "machine": machine(), "commit, date": f"{commit()}, {datetime.now(UTC):%Y-%m-%d}"}
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder, "rows")
        kept.touch()
        # One thread, as trials have.
        environment = {"OMP_NUM_THREADS": "1", **os.environ, KEPT_IN: str(kept)}
        command = [sys.executable, str(HERE / f"{script}.py"), *([argument] if argument else [])]
        done = subprocess.run(command, env=environment, check=False)
        rows: list[Row] = [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        cells = {column: cell.replace("|", "\\|") for column, cell in (row | about).items()}
        PAGE.write_text(updated(PAGE.read_text(encoding="utf-8"), cells), encoding="utf-8")
    if done.returncode:
        print(f"{call} ended with {done.returncode}", file=sys.stderr)
    return done.returncode == 0


def main() -> None:
    """Runs what is named, one after the other."""
    names = sys.argv[1:] or QUICK
    for name in names:
        script, _, study = name.partition(":")
        if script not in SCRIPTS or (script == "quality") != bool(study):
            sys.exit(f"{name!r} is none of {', '.join(SCRIPTS[:-1])}, quality:NAME")
    ended_well = [measure(name) for name in names]
    sys.exit(not all(ended_well))


if __name__ == "__main__":
    main()
