"""The Tune executor on a real Ray; one local Ray for the whole module, except where a driver is killed."""

import os
import signal
import sys
import time
from collections import Counter

import pytest
import ray
from ray import cloudpickle
from ray.air.execution._internal.actor_manager import RayActorManager

from cluster import connect, tune
from cluster.executor import ClusterError, Resources, Stop, Task
from cluster.resources import Node

pytestmark = pytest.mark.ray

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)

# The workers cannot import a test module: what it defines travels as code.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module", autouse=True)
def _ray(tmp_path_factory):
    handlers = [signal.getsignal(number) for number in SIGNALS]
    with connect.local(machine=Node("here", 2, 0), log=tmp_path_factory.mktemp("ray") / "ray.log"):
        assert handlers == [signal.getsignal(number) for number in SIGNALS]
        yield
    assert "RAY_AUTH_TOKEN" not in os.environ


def run(work, tasks, *, workers=2, listener=None, stop=None, **options):
    events = []
    tune.run(
        work,
        tasks,
        on_event=listener or events.append,
        stop=stop or Stop(),
        workers=workers,
        resources=Resources(),
        **options,
    )
    return events


def ends(events):
    return {event.key: event.kind for event in events if event.kind in {"finished", "died"}}


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
    for step in range(25):
        time.sleep(0.1)
        report({"step": step})
    return {"pid": os.getpid()}


def test_reports_are_thinned_out_and_both_workers_work():
    events = run(slow, [Task("a", {}), Task("b", {})])
    reported = Counter(event.key for event in events if event.kind == "reported")
    assert set(reported) == {"a", "b"}
    assert max(reported.values()) <= 3
    assert len({event.data["pid"] for event in events if event.kind == "finished"}) == 2


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


@pytest.mark.parametrize(("pause", "left"), [(0.02, {"t0", "t1"}), (60, set())])
def test_a_stopped_run_ends_at_once(tmp_path, pause, left):
    stop, events, times = Stop(), [], []

    def listener(event):
        events.append(event)
        if len(events) == 2:
            stop.request()
            times.append(time.monotonic())

    tasks = [Task(f"t{i}", {"pause": pause, "folder": tmp_path, "key": f"t{i}"}) for i in range(4)]
    run(endless, tasks, listener=listener, stop=stop)
    assert time.monotonic() - times[0] < 2.5
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
    """Have Tune's own machinery raise at so many results, as it does for errors that it does not know."""
    resolved, calls = RayActorManager._actor_task_resolved, []

    def broken(self, *args, **kwargs):
        calls.append(1)
        if len(calls) % 2 == 0 and len(calls) // 2 <= times:
            raise RuntimeError("Caught unexpected exception: out of memory")
        return resolved(self, *args, **kwargs)

    monkeypatch.setattr(RayActorManager, "_actor_task_resolved", broken)


def test_what_a_breakdown_of_tune_leaves_is_started_again(monkeypatch, caplog):
    break_down(monkeypatch, 1)
    events = run(square, [Task(f"t{x}", {"x": x}) for x in range(4)], workers=1)
    assert ends(events) == {f"t{x}": "finished" for x in range(4)}
    assert sum(event.kind == "finished" for event in events) == 4
    assert "Tune broke down" in caplog.text


def test_breakdowns_without_end_are_an_error(monkeypatch):
    monkeypatch.setattr(RayActorManager, "next", lambda *_, **__: 1 / 0)
    with pytest.raises(ClusterError, match="broke down 4 times, with 1 trials"):
        run(square, [Task("a", {"x": 1})])


def test_what_never_fits_is_refused_before_anything_starts():
    with pytest.raises(ClusterError, match="asks for cpu: 1, gpu: 1, but"):
        tune.run(square, [Task("a", {})], on_event=print, stop=Stop(), workers=1, resources=Resources(gpu=1))


def test_the_callers_signal_handlers_stand():
    before = [signal.getsignal(number) for number in SIGNALS]
    run(square, [Task("a", {"x": 1})], workers=1)
    assert before == [signal.getsignal(number) for number in SIGNALS]


def test_nothing_to_do_is_done():
    assert run(square, []) == []


def test_ray_listens_on_the_loopback_device():
    assert [node["NodeManagerAddress"] for node in ray.nodes()] == ["127.0.0.1"]
