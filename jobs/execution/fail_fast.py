"""Pauses a run if its first trials all fail for the same reason, because the others would fail too."""

from __future__ import annotations

from cluster.executor import Event, Stop

FIRST = 3


class Breaker:
    """Asks the run to stop if the first trials that end have all failed for the same reason.

    Attributes:
        reason: the common reason; empty without one.
    """

    def __init__(self, stop: Stop, *, armed: bool) -> None:
        self.reason = ""
        self._stop, self._armed = stop, armed
        self._reasons: list[str] = []

    def hear(self, event: Event) -> None:
        """Counts the result of a trial."""
        if not self._armed or event.kind not in {"finished", "ended", "died"}:
            return
        reason = event.error or (event.data["reason"] if event.data.get("status") == "failed" else "")
        self._reasons.append(reason)
        if not reason or reason != self._reasons[0]:
            self._armed = False
        elif len(self._reasons) == FIRST:
            self._armed, self.reason = False, reason
            self._stop.request()
