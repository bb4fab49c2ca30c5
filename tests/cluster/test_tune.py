"""The Tune executor on a real Ray; one local Ray for the whole module, except where a driver is killed."""

import os
import signal
import sys
import time
from collections import Counter

import pytest
import ray
from ray import cloudpickle

from cluster import connect, tune
from cluster.executor import ClusterError, EndedEarly, Stop, SuccessiveHalving, Task, TaskResources
from cluster.listener import Listener
from cluster.resources import Node

pytestmark = pytest.mark.ray

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)

# The workers cannot import a test module: what it defines travels as code.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module", autouse=True)
def _ray(tmp_path_factory):
    handlers, before = [signal.getsignal(number) for number in SIGNALS], environment()
    with connect.local(machine=Node("here", 2, 0), log=tmp_path_factory.mktemp("ray") / "ray.log"):
        assert handlers == [signal.getsignal(number) for number in SIGNALS]
        assert "RAY_AUTH_TOKEN" in os.environ
        yield
    assert environment() == before


def environment():
    # The second is set by Polars, which Ray imports, unless another test did before.
    others = {"PYTEST_CURRENT_TEST", "_RJEM_MALLOC_CONF"}
    return {name: value for name, value in os.environ.items() if name not in others}


def run(work, tasks, *, workers=2, listener=None, stop=None, **options):
    """The events of a run, after which the caller's signal handlers stand as before, however it went."""
    events, before = [], [signal.getsignal(number) for number in SIGNALS]
    tune.run(
        work,
        tasks,
        on_event=listener or events.append,
        stop=stop or Stop(),
        workers=workers,
        resources=TaskResources(),
        **options,
    )
    assert before == [signal.getsignal(number) for number in SIGNALS]
    return events


def ends(events):
    return {event.key: event.kind for event in events if event.kind in {"finished", "ended", "died"}}


def square(payload, report):
    report({"x": payload["x"]})
    return {"y": payload["x"] ** 2, "pid": os.getpid(), "folder": os.getcwd()}  # noqa: PTH109


def test_every_task_is_done_once_in_order_and_workers_are_used_again(tmp_path):
    run_dir = tmp_path / "run"
    events = run(square, [Task(f"t{x}", {"x": x}) for x in range(8)], workers=1, run_dir=run_dir)
    assert [event.key for event in events if event.kind == "started"] == [f"t{x}" for x in range(8)]
    finished = [event for event in events if event.kind == "finished"]
    assert [event.data["y"] for event in finished] == [x * x for x in range(8)]
    assert len({event.data["pid"] for event in finished}) == 1
    assert finished[0].data["pid"] != os.getpid()
    assert not finished[0].data["folder"].startswith(str(tmp_path))
    assert [event.data for event in events if event.kind == "started"] == [{"attempt": 1}] * 8
    assert run_dir.exists()


def slow(payload, report):
    began = time.monotonic()
    for step in range(25):
        time.sleep(0.1)
        report({"step": step})
    return {"pid": os.getpid(), "seconds": time.monotonic() - began}


def test_reports_are_thinned_out_and_both_workers_work():
    events = run(slow, [Task("a", {}), Task("b", {})])
    reported = Counter(event.key for event in events if event.kind == "reported")
    assert set(reported) == {"a", "b"}
    finished = {event.key: event.data for event in events if event.kind == "finished"}
    # One a second at most; on a busy machine the 2.5 seconds are more.
    assert all(reported[key] <= 1 + data["seconds"] for key, data in finished.items())
    assert len({data["pid"] for data in finished.values()}) == 2


def die(payload, report):
    tries = len(list(payload["folder"].glob(f"{payload['how']}-*")))
    (payload["folder"] / f"{payload['how']}-{tries}").touch()
    if payload["how"] == "exit" and tries < 1:
        os._exit(7)
    if payload["how"] == "kill" and tries < 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if payload["how"] == "raise":
        raise ValueError("bad\nworse")
    return {"tries": tries + 1}


def test_the_dead_are_tried_again_and_the_others_finish(tmp_path):
    hows = ["exit", "kill", "raise", "well", "fine"]
    events = run(die, [Task(how, {"how": how, "folder": tmp_path}) for how in hows], retries=1)
    finals = {event.key: event for event in events if event.kind in {"finished", "died"}}
    assert {key: final.data.get("tries") for key, final in finals.items()} == {
        "exit": 2, "kill": 2, "raise": None, "well": 1, "fine": 1,
    }  # fmt: skip
    assert finals["raise"].error == "ValueError: bad"
    assert len(list(tmp_path.glob("raise-*"))) == 2
    starts = [(e.data["attempt"], e.error[:11]) for e in events if e.kind == "started" and e.key == "exit"]
    assert starts == [(1, ""), (2, "its process")]


def terminated_once(payload, report):
    try:
        for _ in range(600):
            if not (payload["folder"] / "first").exists():
                (payload["folder"] / "first").touch()
                os.kill(os.getpid(), signal.SIGTERM)
            elif (payload["folder"] / "left").exists():
                break
            time.sleep(0.05)
            report({})
    except SystemExit:
        (payload["folder"] / "left").touch()
        raise
    return {"pid": os.getpid()}


def test_a_terminated_process_lets_its_task_leave_and_that_is_no_failure(tmp_path):
    events = run(terminated_once, [Task("a", {"folder": tmp_path})], workers=1, retries=0)
    assert ends(events) == {"a": "finished"}
    starts = [(event.data["attempt"], event.error) for event in events if event.kind == "started"]
    assert starts == [(1, ""), (2, "its process got SIGTERM")]
    assert (tmp_path / "left").exists()


def whereabouts(payload, report):
    return {"pid": os.getpid()}


def test_a_process_that_dies_between_two_tasks_costs_neither():
    events = []

    def listener(event):
        events.append(event)
        if event.kind == "finished" and event.key in {"t1", "t3"}:
            os.kill(event.data["pid"], signal.SIGKILL)  # Tune is about to give it the next task

    run(whereabouts, [Task(f"t{x}", {}) for x in range(6)], workers=1, listener=listener)
    assert ends(events) == {f"t{x}": "finished" for x in range(6)}
    starts = [(event.key, event.data["attempt"]) for event in events if event.kind == "started"]
    assert starts == [(f"t{x}", 1) for x in range(6)]
    assert [event.key for event in events if event.error.startswith("its process")] == ["t2", "t4"]


def always_killed(payload, report):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_task_whose_process_keeps_dying_is_reported_in_one_line(capfd):
    events = run(always_killed, [Task("a", {})], retries=0)
    assert events[-1].kind == "died"
    assert events[-1].error.startswith("its process was killed")
    assert capfd.readouterr() == ("", "")


def endless(payload, report):
    try:
        for _ in range(2000):
            time.sleep(payload["pause"])
            report({})
    finally:
        (payload["folder"] / payload["key"]).touch()


@pytest.mark.parametrize(("pause", "grace", "left"), [(0.02, 300, {"t0", "t1"}), (60, 0.7, set())])
def test_a_stopped_run_ends_at_once(tmp_path, pause, grace, left):
    stop, events = Stop(), []

    def listener(event):
        events.append(event)
        if len(events) == 2:
            stop.request(grace=grace)

    tasks = [Task(f"t{i}", {"pause": pause, "folder": tmp_path, "key": f"t{i}"}) for i in range(4)]
    run(endless, tasks, listener=listener, stop=stop)
    # None of its tasks was waited for, which would have taken forty seconds, or hours.
    assert {event.kind for event in events} == {"started"}
    assert {event.key for event in events} == {"t0", "t1"}
    assert {path.name for path in tmp_path.iterdir()} == left


def test_a_run_stopped_before_it_began_starts_nothing():
    stop = Stop()
    stop.request()
    assert run(square, [Task("a", {"x": 1})], stop=stop) == []


def test_a_raising_listener_changes_nothing(caplog):
    kinds = []

    def listener(event):
        kinds.append(event.kind)
        raise RuntimeError("display")

    run(square, [Task("a", {"x": 1}), Task("b", {"x": 2})], listener=listener, workers=1)
    assert kinds.count("finished") == 2
    assert "the run goes on" in caplog.text


def break_down(monkeypatch, times):
    """Have Tune's loop raise at so many results, as it does for errors that it does not know."""
    heard, calls = Listener.on_trial_result, []

    def broken(self, *args, **kwargs):
        calls.append(1)
        if len(calls) % 2 == 0 and len(calls) // 2 <= times:
            raise RuntimeError("Caught unexpected exception: out of memory")
        return heard(self, *args, **kwargs)

    monkeypatch.setattr(Listener, "on_trial_result", broken)


def test_what_a_breakdown_of_tune_leaves_is_started_again(monkeypatch, caplog):
    break_down(monkeypatch, 1)
    events = run(square, [Task(f"t{x}", {"x": x}) for x in range(4)], workers=1)
    assert ends(events) == {f"t{x}": "finished" for x in range(4)}
    assert sum(event.kind == "finished" for event in events) == 4
    assert "Tune failed" in caplog.text


def test_breakdowns_without_end_are_an_error(monkeypatch):
    assert tune.RESTARTS == 3
    monkeypatch.setattr(tune, "RESTARTS", 1)
    monkeypatch.setattr(tune._Stopper, "stop_all", lambda _: 1 / 0)
    with pytest.raises(ClusterError, match="failed 2 times; 1 trials"):
        run(square, [Task("a", {"x": 1})])


def test_what_never_fits_is_refused_before_anything_starts():
    with pytest.raises(ClusterError, match="asks for cpu: 1, gpu: 1, but"):
        tune.run(square, [Task("a", {})], on_event=print, stop=Stop(), workers=1, resources=TaskResources(gpu=1))


def test_nothing_to_do_is_done():
    assert run(square, []) == []


def test_ray_listens_on_the_loopback_device():
    assert [node["NodeManagerAddress"] for node in ray.nodes()] == ["127.0.0.1"]


def chained(payload, report):
    return {"next": payload["x"] * 2}


class Doubling:
    """A feed in which each task follows from the result of the one before, up to a limit."""

    def __init__(self, limit):
        self.waiting, self.limit = [1], limit

    def take(self):
        return Task(f"t{(x := self.waiting.pop())}", {"x": x}) if self.waiting else None

    def hear(self, event):
        if event.kind == "finished" and event.data["next"] <= self.limit:
            self.waiting.append(event.data["next"])


def test_a_feed_is_asked_again_after_each_result():
    feed, events = Doubling(8), []

    def listener(event):
        feed.hear(event)
        events.append(event)

    run(chained, feed, listener=listener)
    assert [event.key for event in events if event.kind == "started"] == ["t1", "t2", "t4", "t8"]
    assert ends(events) == dict.fromkeys(("t1", "t2", "t4", "t8"), "finished")


def climbing(payload, report):
    """Climbs by `slope` an epoch, and notes the epoch in which it left."""
    try:
        for epoch in range(1, 10):
            report({"epoch": epoch, "value": payload["slope"] * epoch, "scored": True})
    except EndedEarly:
        (payload["folder"] / f"left-{payload['slope']}-{epoch}").touch()
        return {"left": epoch}
    return {"left": None}


def test_early_stopping_ends_who_is_behind_at_a_rung_and_nobody_else(tmp_path):
    slopes = [9, 1, 8, 2]
    rule = SuccessiveHalving(mode="max", epochs=9, grace=3, reduction=3.0, past=[[(3, 21.0), (9, 63.0)]])
    tasks = [Task(f"s{one}", {"slope": one, "folder": tmp_path}) for one in slopes]
    events = run(climbing, tasks, workers=1, halving=rule)
    # At epoch 3, the only rung below the end, a task must reach the second third of what was seen there: s9 brings 27
    # to 21; s1 3 to 21 and 27; s8 24 to 3, 21 and 27 (23); s2 6 to 3, 21, 24 and 27 (24).
    assert ends(events) == {"s9": "finished", "s1": "ended", "s8": "finished", "s2": "ended"}
    last = {event.key: event.data for event in events if event.kind == "ended"}
    assert {key: data["epoch"] for key, data in last.items()} == {"s1": 3, "s2": 3}
    # The work itself has left between that report and the next.
    assert {path.name for path in tmp_path.iterdir()} == {"left-1-3", "left-2-3"}


def silent_once(payload, report):
    marker = payload["folder"] / payload["key"]
    if payload["key"] == "hangs" and not marker.exists():
        marker.touch()
        time.sleep(600)
    return {}


def test_a_silent_task_is_ended_and_tried_again(tmp_path):
    tasks = [Task(key, {"folder": tmp_path, "key": key}) for key in ("hangs", "well")]
    events = run(silent_once, tasks, timeout=3.0)
    assert ends(events) == {"hangs": "finished", "well": "finished"}
    assert [event.data["attempt"] for event in events if event.kind == "started" and event.key == "hangs"] == [1, 2]


def always_silent(payload, report):
    time.sleep(600)


def test_a_task_that_is_always_silent_dies_of_it_in_one_line():
    events = run(always_silent, [Task("a", {})], timeout=2.0, retries=0)
    assert ends(events) == {"a": "died"}
    assert events[-1].error == "TIMEOUT: it finished no epoch within 0.0333333 minutes"
