"""How often the conclusions err: every claim, its bound, and what simulated studies measure.

Run: python -m benchmarks.audit [--small] [WORD …]; with words, only the claims whose text has one of them.
It takes under an hour on two cores (`--small`: under a minute, with fewer studies). Exit code 1 if a rate lies beyond
its bound by more than three standard errors.

The studies are simulated (`audit_studies.py`), written with the store's own writer, read with its reader, and judged by
the functions that the commands call; those of `audit_commands.py` by what the commands print. What the truth is, is
known by construction, or computed by numpy, scipy, scikit-learn and statsmodels; nothing of `jobs.analysis` is used for
that. The claims stand in the other files `audit_*.py`, by subject.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ProcessPoolExecutor

from benchmarks import audit_commands, audit_decisions, audit_effects, audit_leaderboards, audit_words
from benchmarks.audit_claims import SIGMAS, Claim, Row

SMALL = 0.04
"""The share of the studies in the small form, which is a test."""


def claims() -> list[Claim]:
    """All claims."""
    return [
        one
        for file in (audit_leaderboards, audit_effects, audit_decisions, audit_commands, audit_words)
        for one in file.claims()
    ]


def _row(claim: Claim, share: float) -> tuple[Row, float]:
    begin = time.process_time()
    return claim.row(share), time.process_time() - begin


def main() -> None:
    """Prints the rows as a table in Markdown, and what they took."""
    wanted = [word for word in sys.argv[1:] if word != "--small"]
    share = SMALL if "--small" in sys.argv[1:] else 1.0
    chosen = [one for one in claims() if not wanted or any(word in f"{one.what}: {one.cell}" for word in wanted)]
    print(Row.HEAD, "| --- " * Row.HEAD.count(" | ") + "| --- |", sep="\n", flush=True)
    beyond, took = 0, 0.0
    with ProcessPoolExecutor(2) as pool:
        for row, seconds in pool.map(_row, chosen, [share] * len(chosen)):
            print(row.told(), flush=True)
            beyond, took = beyond + row.is_beyond, took + seconds
    print(f"\n{len(chosen)} rows in {took / 60:.1f} minutes of a core.")
    print(f"{beyond} of them lie beyond their bounds by more than {SIGMAS} standard errors.")
    sys.exit(beyond > 0)


if __name__ == "__main__":
    main()
