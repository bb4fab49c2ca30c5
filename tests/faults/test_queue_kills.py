"""A queue whose processes are killed, at any moment, then goes on: no study is lost, none runs twice at once."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.execution.queue import Queue
from jobs.planning import plan
from jobs.results import reader
from jobs.results.schema import Attempt
from jobs.results.writer import write
from jobs.study import study, trust
from tests.faults.runs import wait_until

ROOT = Path(__file__).resolve().parents[2]

# A data set that can be held up: a study that waits in it runs for as long as a test likes, and costs nothing.
HELD = """import contextlib, os, time
from pathlib import Path
import numpy as np
from core.data.dataset import Dataset

HERE = Path(__file__).parent

def fingerprint(*, tag: str = ""):
    with (HERE / "runs").open("a") as file:
        file.write(f"begin {os.getpid()}\\n")
    while (HERE / f"hold-{tag}").exists():
        time.sleep(0.02)
    with (HERE / "runs").open("a") as file:
        file.write(f"end {os.getpid()}\\n")
    return tag

def load(*, tag: str = ""):
    return Dataset("held", np.zeros((9, 2), np.float32), np.arange(9) % 2, ("a", "b"), tag)
"""
STUDY = """study: {name}
trial: {{data: {{name: ./held.py, tag: {name}}}, n_clusters: 2}}
"""
TRAINING = """study: t
trial:
  data: digits
  method: {name: ./mine.py, pause: 0.2, others: 1}
  encoder: {name: mlp, widths: [16]}
  epochs: 6
  evaluation: {every: 6}
seeds: [0, 1, 2]
"""


class Shell:
    """Runs `conclus queue …` in a folder; what it started does not outlive the test."""

    def __init__(self, folder):
        self.folder = folder
        self.queue = Queue(str(folder / "results"))
        self.begun = []

    def start(self, *arguments):
        command = [sys.executable, "-m", "conclus", "queue", *arguments]
        env = os.environ | {"PYTHONPATH": str(ROOT)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.begun.append(subprocess.Popen(command, cwd=self.folder, env=env, start_new_session=True, **pipes))
        return self.begun[-1]

    def __call__(self, *arguments):
        process = self.start(*arguments)
        out, err = process.communicate(timeout=300)
        assert "Traceback" not in out + err
        return process.returncode, out, err

    def add(self, name, *options):
        """Queues a study whose trial has a good row already."""
        path = self.folder / f"{name}.yaml"
        path.write_text(STUDY.format(name=name))
        code, out, err = self("add", path.name, *options)
        assert code == 0, out + err
        # Planning here runs the plug-in, too: it may, as `queue add` remembered what the person named.
        trust.recall()
        for one in plan.make(study.load(path)).trials:
            row = Attempt(
                study=name,
                trial_key=one.trial_key,
                config_key=one.config_key,
                seed=one.seed,
                attempt_id="a",
                status="ok",
                metrics={"nmi": 0.5},
            )
            write(str(self.folder / "results"), row)
        (self.folder / "runs").write_text("")

    def hold(self, name):
        (self.folder / f"hold-{name}").touch()

    def let_go(self, name):
        (self.folder / f"hold-{name}").unlink()

    def states(self):
        return {one.study: one.state for one in self.queue.read()[0]}

    def runs(self):
        return [line.split() for line in (self.folder / "runs").read_text().splitlines()]


@pytest.fixture
def shell(tmp_path):
    (tmp_path / "held.py").write_text(HELD)
    shell = Shell(tmp_path)
    yield shell
    for process in shell.begun:
        process.kill()
        process.communicate()
    with contextlib.suppress(OSError, ProcessLookupError):
        if shell.queue.busy():
            os.kill(shell.queue.holder("study").pid, signal.SIGKILL)


def begun(shell, count=1):
    return lambda: sum(what == "begin" for what, _ in shell.runs()) >= count


def test_a_killed_runner_leaves_a_study_that_the_next_one_waits_for(shell):
    shell.add("a")
    shell.add("b")
    shell.hold("a")
    first = shell.start("run")
    wait_until(begun(shell))
    code, _, err = shell("run")
    assert code == 2
    assert f"process {first.pid} on " in err
    first.kill()
    first.communicate()
    assert shell.states() == {"a": "running", "b": "waiting"}
    second = shell.start("run")
    line = second.stderr.readline()
    assert "number 1, a: process " in line
    assert "still runs it, its runner was killed" in line
    assert sum(what == "begin" for what, _ in shell.runs()) == 1
    shell.let_go("a")
    _, err = second.communicate(timeout=300)
    assert second.returncode == 0, err
    assert shell.states() == {"a": "done", "b": "done"}
    running = set()
    for what, pid in shell.runs():
        (running.add if what == "begin" else running.discard)(pid)
        assert len(running) <= 1


def test_both_killed_the_study_keeps_its_place(shell):
    shell.add("a")
    shell.add("b")
    shell.hold("a")
    first = shell.start("run")
    wait_until(lambda: begun(shell)() and shell.queue.holder("study").pid)
    first.kill()
    os.kill(shell.queue.holder("study").pid, signal.SIGKILL)
    first.communicate()
    wait_until(lambda: not shell.queue.busy())
    assert shell.states() == {"a": "waiting", "b": "waiting"}
    shell.let_go("a")
    code, _, err = shell("run")
    assert code == 0, err
    assert err.index("number 1, a: done") < err.index("number 2, b: done")


def test_a_queue_that_is_ended_stops_its_study_and_keeps_its_place(shell):
    shell.add("a")
    shell.add("b")
    shell.hold("a")
    runner = shell.start("run", "--keep-waiting")
    wait_until(begun(shell))
    runner.terminate()
    _, err = runner.communicate(timeout=300)
    assert runner.returncode == 130
    assert "number 1, a: interrupted, it waits again" in err
    assert "go on with: conclus queue run --keep-waiting" in err
    assert not shell.queue.busy()
    assert shell.states() == {"a": "waiting", "b": "waiting"}
    assert "number 1, a: interrupted (results/_queue/1.log)" in shell("list")[1]


def test_added_moved_and_cancelled_while_it_runs(shell):
    for name in ("a", "b"):
        shell.add(name)
    shell.hold("a")
    runner = shell.start("run")
    wait_until(begun(shell))
    shell.add("c")
    shell.add("d")
    assert shell("move", "4", "--front")[0] == 0
    assert shell("cancel", "2")[0] == 0
    code, out, _ = shell("cancel", "1")
    assert (code, "is being stopped" in out) == (0, True)
    _, err = runner.communicate(timeout=300)
    assert runner.returncode == 0, err
    assert shell.states() == {"a": "cancelled", "b": "cancelled", "c": "done", "d": "done"}
    assert err.index("number 1, a: cancelled") < err.index("number 4, d: done") < err.index("number 3, c: done")


@pytest.mark.slow
def test_training_that_is_stopped_and_killed_runs_each_trial_once(shell):
    """Ctrl-C while it trains, then the runner and its study killed, then to the end."""
    (shell.folder / "t.yaml").write_text(TRAINING)
    shutil.copy(Path(__file__).with_name("harmful.py"), shell.folder / "mine.py")
    assert shell("add", "t.yaml")[0] == 0
    shell.add("b")
    runner = shell.start("run", "--workers", "1")
    wait_until(lambda: len(trained(shell.folder)) >= 1)
    os.killpg(runner.pid, signal.SIGINT)
    out, err = runner.communicate(timeout=300)
    assert runner.returncode == 130, err
    assert "trials are left" in out
    assert "go on with: conclus queue run --workers 1" in err
    assert shell.states() == {"t": "waiting", "b": "waiting"}
    stopped = trained(shell.folder)
    runner = shell.start("run", "--workers", "1")
    wait_until(lambda: len(trained(shell.folder)) > len(stopped))
    runner.kill()
    with contextlib.suppress(ProcessLookupError):
        os.kill(shell.queue.holder("study").pid, signal.SIGKILL)
    runner.communicate()
    wait_until(lambda: not shell.queue.busy())
    killed = trained(shell.folder)
    (shell.folder / "mended").touch()
    code, _, err = shell("run", "--workers", "1")
    assert code == 0, err
    assert shell.states() == {"t": "done", "b": "done"}
    after = trained(shell.folder)
    assert len(after) == 3
    assert stopped.items() <= killed.items() <= after.items()


def trained(folder):
    """The attempts of each finished trial of the study t."""
    if not (folder / "results" / "study=t" / "trials").is_dir():
        return {}
    columns = ["trial_key", "attempt_id", "status"]
    rows = reader.load([str(folder / "results" / "study=t")], attempts=True, columns=columns).table.to_pylist()
    good = [one for one in rows if one["status"] == "ok"]
    assert len({one["trial_key"] for one in good}) == len(good)
    return {one["trial_key"]: one["attempt_id"] for one in good}


# Dies before its n-th file operation on the queue (of the kinds given), for each n until it comes through.
CRASHER = """import json, os, shutil, subprocess, sys
from pathlib import Path
import jobs.results.writer
from jobs.execution.queue import Queue, in_order
from jobs.execution.queue_runner import Interrupts, Runner

PATHLESS = {"fcntl.flock", "os.truncate", "subprocess.Popen"}
base, what, *events = sys.argv[1:]
results = os.path.join(base, "results")

def die_before(number):
    seen = 0
    def hook(event, args):
        nonlocal seen
        if event in events and (event in PATHLESS or results in str(args[0])):
            seen += 1
            if seen == number:
                os._exit(77)
    sys.addaudithook(hook)

def fresh():
    shutil.rmtree(results, ignore_errors=True)
    shutil.copytree(os.path.join(base, "template"), results)
    return Queue(results)

def end(queue, code, asked=False):
    entry, lock = queue.take()
    queue.end(entry, code, "said", asked=asked)

def working(act):
    def inner(queue):
        with queue.working():
            act(queue)
    return inner

def run(queue):
    Runner(queue, results, [], lambda text: None, lambda text: None, Interrupts()).work_off(keep_waiting=False)

OPERATIONS = {
    "add": lambda queue: queue.add("new", "copy", ["new"]),
    "move": lambda queue: queue.move(1, front=True),
    "cancel": lambda queue: queue.cancel(1),
    "done": working(lambda queue: end(queue, 0)),
    "failed": working(lambda queue: end(queue, 1)),
    "interrupted": working(lambda queue: end(queue, 130, asked=True)),
    "run": run,
}

def view(queue):
    entries, skipped = queue.read()
    assert not skipped, skipped
    assert all(queue.path(one.number, kind).read_text() for one in entries for kind in ("yaml", "keys"))
    return [(one.number, one.priority, one.state) for one in entries]

def forked(act):
    pid = os.fork()
    if pid == 0:
        try:
            act()
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def crashing(queue, number):
    die_before(number)
    OPERATIONS[what](queue)

found = {"crashed": 0, "seen": []}
code = 77
while code == 77:
    queue = fresh()
    code = forked(lambda: crashing(queue, found["crashed"] + 1))
    assert code in (0, 77), code
    found["crashed"] += code == 77
    found["seen"].append(view(queue))
    if what == "run":
        assert forked(lambda: run(queue)) == 0
    else:
        with queue.working():
            order = [one.number for one in in_order(queue.read()[0])]
            while taken := queue.take():
                assert taken[0].number == order.pop(0)
                queue.end(taken[0], 0, "", asked=False)
                os.close(taken[1])
            assert not order
    states = {state for _, _, state in view(queue)}
    assert not states & {"waiting", "running"}, states
    found.setdefault("ended", []).append(view(queue))
    assert queue.add("last", "copy", ["last"]).number > max(one[0] for one in view(queue)[:-1])
print(json.dumps(found))
"""


CHANGES = ("os.rename", "os.remove", "os.truncate", "subprocess.Popen")
OPERATIONS = (*CHANGES, "open", "os.mkdir", "os.listdir", "os.scandir", "fcntl.flock")


def crashes(folder, what, events):
    done = subprocess.run(
        [sys.executable, "-c", CRASHER, str(folder), what, *events],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("what", ["add", "move", "cancel", "done", "failed", "interrupted"])
def test_a_change_that_dies_before_any_file_operation_happened_whole_or_not_at_all(tmp_path, what):
    queue = Queue(str(tmp_path / "template"))
    for number, priority in enumerate((0, 5, 5)):
        queue.add(f"s{number}", "copy", [f"{number}"], priority)
    before = [[one.number, one.priority, one.state] for one in queue.read()[0]]
    found = crashes(tmp_path, what, OPERATIONS)
    assert found["crashed"] >= 8
    assert before in found["seen"]
    assert len({json.dumps(one) for one in found["seen"]}) <= 2


def test_a_runner_that_dies_before_any_of_its_changes_loses_no_study(shell):
    shell.add("a")
    (shell.folder / "results").rename(shell.folder / "template")
    found = crashes(shell.folder, "run", CHANGES)
    assert found["crashed"] >= 8
    assert {json.dumps(one) for one in found["ended"]} == {json.dumps([[1, 0, "done"]])}
