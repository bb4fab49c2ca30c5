"""One attempt at one task inside a worker: the work on a thread of its own, its reports on their way out."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cluster.executor import Work

REPORT_SECONDS = 1.0
"""News leaves the worker this often at most: each costs the driver about 3 ms, whatever the number of workers."""

_STOP_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class News:
    """The newest report of the work, or its result."""

    data: Mapping[str, Any]
    final: bool


class Attempt:
    """Runs the work; `next` waits for its news, `end` asks it to leave."""

    def __init__(self, work: Work, payload: Mapping[str, Any], *, stop_requested: Callable[[], bool]) -> None:
        self._changed = threading.Condition()
        self._latest: Mapping[str, Any] | None = None
        self._result: Mapping[str, Any] | None = None
        self._error: BaseException | None = None
        self._due = time.monotonic() + REPORT_SECONDS
        self._leave = False
        self._next_poll = 0.0
        self._stop_requested = stop_requested
        self._thread = threading.Thread(target=self._run, args=(work, payload), daemon=True)
        self._thread.start()

    def next(self) -> News:
        """Wait for the result, or for a report that is due.

        Raises:
            BaseException: whatever escaped from the work.
        """
        with self._changed:
            while not self._over and not (self._latest and time.monotonic() >= self._due):
                self._changed.wait(max(0.0, self._due - time.monotonic()) if self._latest else None)
            self._due = time.monotonic() + REPORT_SECONDS
            return self._take()

    def end(self, seconds: float) -> bool:
        """Have the work leave at its next report; whether it has left within this time."""
        self._leave = True
        self._thread.join(seconds)
        return not self._thread.is_alive()

    @property
    def _over(self) -> bool:
        return self._result is not None or self._error is not None

    def _take(self) -> News:
        if self._error is not None:
            raise self._error
        if self._result is not None:
            return News(self._result, final=True)
        latest, self._latest = self._latest, None
        return News(latest or {}, final=False)

    def _run(self, work: Work, payload: Mapping[str, Any]) -> None:
        try:
            result, error = work(payload, self._report), None
        except BaseException as escaped:  # noqa: BLE001 - handed to the thread that waits in `next`
            result, error = None, escaped
        with self._changed:
            self._result, self._error = result, error
            self._changed.notify()

    def _report(self, data: Mapping[str, Any]) -> None:
        if self._asked_to_leave():
            raise SystemExit(0)
        with self._changed:
            self._latest = data
            self._changed.notify()

    def _asked_to_leave(self) -> bool:
        if time.monotonic() >= self._next_poll:
            self._next_poll = time.monotonic() + _STOP_POLL_SECONDS
            self._leave = self._leave or self._stop_requested()
        return self._leave
