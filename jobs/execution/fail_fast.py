"""Pauses a run whose first trials fail, all for the same reason: the others would, one by one, for days."""

from __future__ import annotations

from cluster.executor import Event, Stop

FIRST = 3


class Breaker:
    """Asks the run to stop when the first trials that end in it have failed alike.

    Attributes:
        reason: what they failed for; empty while there is no such thing.
    """

    def __init__(self, stop: Stop, *, armed: bool) -> None:
        self.reason = ""
        self._stop, self._armed = stop, armed
        self._reasons: list[str] = []

    def hear(self, event: Event) -> None:
        """Takes one event into account."""
        if not self._armed or event.kind not in {"finished", "ended", "died"}:
            return
        reason = event.error or (event.data["reason"] if event.data.get("status") == "failed" else "")
        self._reasons.append(reason)
        if not reason or reason != self._reasons[0]:
            self._armed = False
        elif len(self._reasons) == FIRST:
            self._armed, self.reason = False, reason
            self._stop.request()
