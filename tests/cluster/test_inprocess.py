import subprocess
import sys

import pytest

from cluster import inprocess
from cluster.executor import Event, Stop, Task


def collect(work, tasks, stop=None):
    events = []
    inprocess.run(work, tasks, on_event=events.append, stop=stop or Stop())
    return events


def double(payload, report):
    report({"half": payload["x"]})
    return {"y": 2 * payload["x"]}


def test_events_come_in_the_order_of_the_plan():
    events = collect(double, [Task("a", {"x": 1}), Task("b", {"x": 2})])
    assert events == [
        Event("started", "a", {"attempt": 1}),
        Event("reported", "a", {"half": 1}),
        Event("finished", "a", {"y": 2}),
        Event("started", "b", {"attempt": 1}),
        Event("reported", "b", {"half": 2}),
        Event("finished", "b", {"y": 4}),
    ]


@pytest.mark.parametrize(
    ("error", "line"),
    [(ValueError("bad\nworse"), "ValueError: bad"), (SystemExit(3), "SystemExit: 3"), (KeyError(), "KeyError")],
)
def test_an_escaping_exception_ends_one_task_only(error, line):
    def work(payload, report):
        if payload["x"] == 1:
            raise error
        return double(payload, report)

    events = collect(work, [Task("a", {"x": 1}), Task("b", {"x": 2})])
    assert events[1] == Event("died", "a", error=line)
    assert events[-1] == Event("finished", "b", {"y": 4})


def test_stop_reaches_the_work_as_system_exit_and_starts_nothing_else():
    stop, left = Stop(), []

    def work(payload, report):
        stop.request()
        try:
            report({})
        except SystemExit:
            left.append(payload["x"])
            raise
        return {}

    events = collect(work, [Task("a", {"x": 1}), Task("b", {"x": 2})], stop)
    assert [event.kind for event in events] == ["started"]
    assert left == [1]


def test_a_raising_listener_changes_nothing(caplog):
    seen = []

    def listener(event):
        seen.append(event.kind)
        raise RuntimeError("display")

    inprocess.run(double, [Task("a", {"x": 1})], on_event=listener, stop=Stop())
    assert seen == ["started", "reported", "finished"]
    assert "the run goes on" in caplog.text


def test_it_needs_no_ray():
    code = "import sys; from cluster import inprocess; assert not {'ray', 'torch', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
