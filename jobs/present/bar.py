"""How far a long work is: a bar on a terminal, a line every ten seconds elsewhere. And what runs, as a table."""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import TextIO

from core.data.told import watched
from jobs.analysis.intervals import fixed
from jobs.present import tables
from jobs.present.tables import Column, duration
from jobs.present.visible import control, one_line

LIVE_SECONDS, PLAIN_SECONDS = 0.2, 10.0
_WIDTH = 20
_SHARE = 10
_MOST = 12
_VERDICT = 24


@dataclass
class Bar:
    """Is told of a work by `core.data.told.told`, perhaps from several threads, and draws from time to time."""

    out: TextIO = field(default_factory=lambda: sys.stderr)
    work: str = ""
    began: float = 0.0
    drawn: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.live = self.out.isatty()

    def __call__(self, work: str, done: int, total: int) -> None:
        """Draws if enough time has passed; what takes no longer than the first pause is not shown at all."""
        with self.lock:
            moment = time.monotonic()
            if work != self.work:
                self.work, self.began, self.drawn = work, moment, moment
            if moment - self.drawn < (LIVE_SECONDS if self.live else PLAIN_SECONDS):
                return
            self.drawn = moment
            line = one_line(self._line(done, total, moment - self.began))
            if self.live:
                control(self.out, "\r\x1b[K")
                self.out.write(line[: shutil.get_terminal_size().columns - 1])
            else:
                self.out.write(f"{line}\n")
            self.out.flush()

    def _line(self, done: int, total: int, seconds: float) -> str:
        share = min(1.0, done / max(1, total))
        full = int(share * _WIDTH)
        bar = f"[{'#' * full}{'.' * (_WIDTH - full)}] " if self.live else ""
        left = f", about {duration(seconds * (1 - share) / share)} left" if 0 < share < 1 else ""
        return f"{self.work}: {bar}{done:,} of {total:,} ({share:.0%}{left})"

    def close(self) -> None:
        """Removes the bar from a terminal."""
        if self.live and self.work:
            control(self.out, "\r\x1b[K")
            self.out.flush()


@contextlib.contextmanager
def preparing(*, quiet: bool = False) -> Generator[None]:
    """Within the with-block it is shown how far the preparation of data or another long work is, unless `quiet`."""
    if quiet:
        yield
        return
    bar = Bar()
    try:
        with watched(bar):
            yield
    finally:
        bar.close()


@dataclass(frozen=True, slots=True)
class RunningRow:
    """One trial that runs.

    Attributes:
        key: Its key.
        seed: Its seed; None if unknown.
        epoch: The last epoch that has ended.
        epochs: Their planned number; None if unknown.
        loss: That of the last epoch; None if unknown.
        value: The metric of the last scored epoch; None if unknown.
        left: Seconds left, scoring counted; None if unknown.
        verdict: What its health is; empty if unknown.
    """

    key: str
    seed: int | None
    epoch: int
    epochs: int | None
    loss: float | None
    value: float | None
    left: float | None
    verdict: str = ""


def running_lines(trials: Sequence[RunningRow], metric: str, width: int, most: int = _MOST) -> list[str]:
    """A table of the first `most` trials; no lines without trials.

    Args:
        trials: The trials, in an order that stays: rows that change places cannot be read.
        metric: The name of `value`.
        width: Characters of a line.
        most: The most trials that are shown.
    """
    if not trials or most < 1:
        return []
    shown = trials[:most]
    columns = [
        Column("trial", right=False),
        Column("seed", drop=2),
        Column("epoch"),
        Column("", right=False, drop=4),
        Column("loss", drop=1),
        Column(metric),
        Column("left"),
        Column("health", right=False, drop=3),
    ]
    rows = [
        [
            one.key[:16],
            one.seed,
            f"{one.epoch}/{one.epochs}" if one.epochs else one.epoch,
            _bar(_share(one)),
            one.loss,
            None if one.value is None else fixed(one.value),
            "" if one.left is None else duration(one.left),
            one_line(one.verdict)[:_VERDICT],
        ]
        for one in shown
    ]
    filled = [place for place in range(len(columns)) if place < 4 or any(row[place] not in {None, ""} for row in rows)]
    text = tables.render([columns[i] for i in filled], [[row[i] for i in filled] for row in rows], "table", width=width)
    more = [f"… and {len(trials) - len(shown)} more"] if len(trials) > len(shown) else []
    return [*text.splitlines(), *more]


def _share(one: RunningRow) -> float:
    return min(1.0, one.epoch / one.epochs) if one.epochs else 0.0


def _bar(share: float) -> str:
    full = int(share * _SHARE)
    return f"[{'#' * full}{'.' * (_SHARE - full)}]"
