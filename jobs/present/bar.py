"""How far a long work is: a bar on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TextIO

from core.data.told import watched
from jobs.present.tables import duration
from jobs.present.visible import control, one_line

LIVE_SECONDS, PLAIN_SECONDS = 0.2, 10.0
_WIDTH = 20


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
