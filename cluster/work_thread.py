"""Runs one task in a thread of a worker process and passes its reports on."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cluster.executor import EndedEarly, Work

REPORT_SECONDS = 1.0
"""The shortest time between two messages to the driver: each costs the driver about 3 ms."""

_POLL_SECONDS = 0.2

Wish = Literal["", "stop", "end", "move"]
"""What is asked of a task: nothing, to stop with the whole run, to end alone, or to go on in another process."""


@dataclass(frozen=True)
class News:
    """The newest report of the work, or its result."""

    data: Mapping[str, Any]
    final: bool


class WorkThread:
    """Runs the work; `next` waits for its news, `end` asks it to stop.

    A report for which `keeps` is true is passed on at once, and the work waits until the next call of `next` or until
    the driver has a wish. Of the other reports only the newest is passed on, at most once in `REPORT_SECONDS`; the
    work does not wait for them.
    """

    def __init__(
        self,
        work: Work,
        payload: Mapping[str, Any],
        *,
        wish: Callable[[], Wish],
        keeps: Callable[[Mapping[str, Any]], bool] = lambda _: False,
    ) -> None:
        self._changed = threading.Condition()
        self._kept: Mapping[str, Any] | None = None
        self._answered = True
        self._latest: Mapping[str, Any] | None = None
        self._result: Mapping[str, Any] | None = None
        self._error: BaseException | None = None
        self._due = time.monotonic() + REPORT_SECONDS
        self._leave: Wish = ""
        self._next_poll = 0.0
        self._wish, self._keeps = wish, keeps
        self._thread = threading.Thread(target=self._run, args=(work, payload), daemon=True)
        self._thread.start()

    def next(self) -> News:
        """Wait for the next report, or for the result.

        Raises:
            BaseException: the work raised it.
        """
        with self._changed:
            self._answered = self._kept is None  # the work may have reported before it was first asked
            self._changed.notify_all()
            while not self._over and not self._kept and not (self._latest and time.monotonic() >= self._due):
                self._changed.wait(max(0.0, self._due - time.monotonic()) if self._latest else None)
            self._due = time.monotonic() + REPORT_SECONDS
            return self._take()

    def leave(self) -> None:
        """Ask the work to stop at its next report, so that it can go on in another process."""
        self._leave = self._leave or "move"

    @property
    def moves(self) -> bool:
        """Whether the work was asked to go on in another process."""
        return self._leave == "move"

    def end(self, seconds: float) -> bool:
        """Ask the work to stop at its next report, and wait this long; True if it has stopped.

        Without a wish it stops with the whole run, and can be resumed: a task ends alone only where that was asked.
        """
        self._leave = self._leave or self._wish() or "stop"
        self._thread.join(seconds)
        return not self._thread.is_alive()

    @property
    def _over(self) -> bool:
        return self._result is not None or self._error is not None

    def _take(self) -> News:
        if self._kept:
            kept, self._kept = self._kept, None
            return News(kept, final=False)
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
            self._changed.notify_all()

    def _report(self, data: Mapping[str, Any]) -> None:
        with self._changed:
            if self._keeps(data):
                self._kept, self._answered = data, False
            else:
                self._latest = data
            self._changed.notify_all()
            while not self._asked() and not self._answered:
                self._changed.wait(_POLL_SECONDS)
        if self._leave:
            raise EndedEarly(0) if self._leave == "end" else SystemExit(0)

    def _asked(self) -> Wish:
        if not self._leave and time.monotonic() >= self._next_poll:
            self._next_poll = time.monotonic() + _POLL_SECONDS
            self._leave = self._wish()
        return self._leave
