"""When a run pauses by itself."""

import pytest

from cluster.executor import Event, Stop
from jobs.execution.fail_fast import Breaker


def failed(reason):
    return Event("finished", "k", {"status": "failed", "reason": reason})


GOOD = Event("finished", "k", {"status": "ok", "reason": ""})
BEHIND = Event("ended", "k", {"epoch": 3, "value": 0.5})
DEAD = Event("died", "k", error="its process was killed")


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([failed("ERROR: a")] * 3, "ERROR: a"),
        ([DEAD] * 3, "its process was killed"),
        ([failed("ERROR: a")] * 2, ""),
        ([failed("ERROR: a"), failed("ERROR: a"), failed("ERROR: b"), failed("ERROR: b"), failed("ERROR: b")], ""),
        ([GOOD, *[failed("ERROR: a")] * 9], ""),
        ([failed("ERROR: a"), BEHIND, *[failed("ERROR: a")] * 9], ""),
        ([Event("started", "k"), failed("E"), Event("reported", "k", {}), failed("E"), failed("E")], "E"),
    ],
)
def test_it_pauses_when_the_first_three_fail_alike_and_only_then(events, reason):
    stop = Stop()
    breaker = Breaker(stop, armed=True)
    for event in events:
        breaker.hear(event)
    assert breaker.reason == reason
    assert stop.requested == bool(reason)


def test_disarmed_it_never_does():
    stop = Stop()
    breaker = Breaker(stop, armed=False)
    for event in [failed("E")] * 5:
        breaker.hear(event)
    assert not breaker.reason
    assert not stop.requested
