"""Rows are gathered while a study runs: killed at any moment, read at the same time, and without a folder a trial."""

import json
import os
import select
import signal
import subprocess
import sys

import pytest

from cluster.executor import Event, Task, TaskList
from cluster.queue import OpenTasks
from jobs.execution import dispatch, gathering, runner
from jobs.execution.gathering import Gatherer
from jobs.planning import plan
from jobs.planning.source import TrialList
from jobs.results import checkpoints, compact, layout, peek, reader, storage, writer
from jobs.results.schema import Attempt
from jobs.study import study

# For each step: rows are gathered by a process that kills itself before the file operation with this number, then what
# is left is read. Both are forks of one process without threads, so that all is imported once.
KILLED = """
import json, os, signal, shutil, sys
from pathlib import Path
from jobs.results import compact, layout, peek, reader

results = sys.argv[1]
folder = Path(results) / "study=s"

def forked(work):
    if (pid := os.fork()) == 0:
        work()
        sys.stdout.flush()
        os._exit(0)
    return os.waitpid(pid, 0)[1]

def gather(step):
    left = step
    def deadly(operation):
        def run(*arguments, **named):
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return operation(*arguments, **named)
        return run
    os.fsync, os.replace, os.unlink = map(deadly, (os.fsync, os.replace, os.unlink))
    compact.gather(folder, layout.trial_files(folder))

def told(status):
    rows = reader.read_results([results]).to_pylist()
    files = [len(layout.trial_files(folder)), len(layout.part_files(folder))]
    found = [[row["trial_key"], row["metric.nmi"]] for row in rows]
    print(json.dumps([os.WTERMSIG(status), sorted(found), peek.statuses(results, "s").statuses, files]))

status = -1
for step in range(100):
    if status == 0:
        break
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(sys.argv[2], folder)
    status = forked(lambda: gather(step))
    forked(lambda: told(status))
"""
# Gathers thirty rows, ten to a file, each time that it gets a line, until none are left.
GATHERING = """
import sys
from pathlib import Path
from jobs.results import compact, layout
compact._ROWS_PER_PART = 10
folder = Path(sys.argv[1]) / "study=s"
for _ in sys.stdin:
    compact.gather(folder, layout.trial_files(folder)[:30])
    print(flush=True)
"""


def attempt(key, **changes):
    values = {"study": "s", "trial_key": key, "config_key": key[:1], "seed": 0, "attempt_id": "A", "status": "ok"}
    return Attempt(**{**values, **changes})


@pytest.fixture
def many(tmp_path, monkeypatch):
    """The results folder with 100 rows."""
    with monkeypatch.context() as fast:
        fast.setattr(os, "fsync", lambda _: None)
        for place in range(100):
            writer.write(str(tmp_path), attempt(f"t{place:03}", metrics={"nmi": place / 1000}))
    return tmp_path


def rows(results):
    return sorted((row["trial_key"], row["metric.nmi"]) for row in reader.read_results([str(results)]).to_pylist())


@pytest.fixture
def results(tmp_path):
    for place in range(4):
        writer.write(str(tmp_path / "results"), attempt(f"t{place}", metrics={"nmi": place / 10}))
    return tmp_path / "results"


def test_killed_before_any_step_of_gathering_no_row_is_lost_and_none_is_there_twice(tmp_path):
    for key in "abc":
        writer.write(str(tmp_path / "before"), attempt(key, metrics={"nmi": ord(key) / 100}))
    command = [sys.executable, "-c", KILLED, str(tmp_path / "results"), str(tmp_path / "before" / "study=s")]
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    *killed, whole = map(json.loads, run.stdout.splitlines())
    assert {signal_ for signal_, *_ in killed} == {signal.SIGKILL}
    for _, found, statuses, _ in (*killed, whole):
        assert found == [["a", 0.97], ["b", 0.98], ["c", 0.99]]
        assert statuses == dict.fromkeys("abc", "ok")
    # Before the part has its name, while its sources go one by one, and at the end.
    left = [files for *_, files in (*killed, whole)]
    assert [one for i, one in enumerate(left) if one not in left[:i]] == [[3, 0], [3, 1], [2, 1], [1, 1], [0, 1]]
    assert whole[0] == 0


def test_whoever_reads_while_rows_are_gathered_sees_each_trial_once(many):
    whole = rows(many)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", GATHERING, str(many)], **pipes) as gathers:
        while layout.trial_files(many / "study=s"):
            gathers.stdin.write("\n")
            gathers.stdin.flush()
            while not select.select([gathers.stdout], [], [], 0)[0]:
                assert rows(many) == whole
                assert len(peek.statuses(str(many), "s").statuses) == 100
            assert gathers.stdout.readline() == "\n"
        gathers.communicate(timeout=300)
    assert gathers.returncode == 0
    assert len(layout.part_files(many / "study=s")) == 10
    assert rows(many) == whole


def test_a_reader_whose_files_are_gathered_reads_only_what_it_has_not_read(many, monkeypatch):
    folder = many / "study=s"
    read, opened = reader.read_file, []

    def slow(path, *arguments):
        opened.append(path)
        if len(opened) % 10 == 9:  # Rows that are not read yet are gathered meanwhile: more often than it lists again.
            with monkeypatch.context() as undisturbed:
                undisturbed.setattr(reader, "read_file", read)
                compact.gather(folder, layout.trial_files(folder)[-5:])
        return read(path, *arguments)

    monkeypatch.setattr(reader, "_THREADS", 1)
    monkeypatch.setattr(reader, "read_file", slow)
    assert len(rows(many)) == 100
    assert len(layout.part_files(folder)) > 6
    assert len(opened) == len(set(opened))


def test_trials_that_have_ended_are_gathered_and_no_others(results, monkeypatch):
    monkeypatch.setattr(gathering, "ENDED", 3)
    folder = results / "study=s"
    writer.write(str(results), attempt("t4", status="running"))
    gatherer = Gatherer(folder)
    for key in ("t0", "t1"):
        gatherer.hear(Event("finished", key, {"status": "ok"}))
    gatherer.hear(Event("finished", "t2", {"status": "paused"}))
    gatherer.hear(Event("reported", "t2"))
    gatherer.close()
    assert layout.part_files(folder) == []
    gatherer.hear(Event("ended", "t4"))  # by successive halving: its row is not written yet
    gatherer.close()
    (part,) = layout.part_files(folder)
    assert [row.trial_key for row in peek.read_header(part).rows] == ["t0", "t1"]
    assert {storage.name_of(file)[:2] for file in layout.trial_files(folder)} == {"t2", "t3", "t4"}
    for key in ("t2", "t3", "t5"):
        gatherer.hear(Event("died" if key == "t5" else "finished", key))
    gatherer.close()
    assert {storage.name_of(file)[:2] for file in layout.trial_files(folder)} == {"t4"}


def test_where_nothing_can_be_written_the_rows_stay_where_they_are(results, monkeypatch):
    def full(*_):
        raise storage.StorageError("no space left")

    monkeypatch.setattr(gathering, "ENDED", 1)
    monkeypatch.setattr(compact, "put", full)
    before, gatherer = rows(results), Gatherer(results / "study=s")
    gatherer.hear(Event("finished", "t0", {"status": "ok"}))
    gatherer.close()
    assert rows(results) == before
    assert len(layout.trial_files(results / "study=s")) == 4


def test_a_part_that_has_changed_is_read_again(results):
    folder = results / "study=s"
    compact.compact(str(results))
    assert len(peek.statuses(str(results), "s").statuses) == 4
    (part,) = folder.glob("compact/*.parquet")
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    found = peek.statuses(str(results), "s")
    assert found.statuses == {}
    assert "its digest does not fit its content" in found.skipped[0]


# What only an earlier attempt may have left


STUDY = "study: s\ntrial: {data: digits, method: cc, epochs: 2}\nseeds: [0, 1, 2, 3]\n"


def test_only_a_trial_that_has_begun_before_looks_for_what_it_has_left(tmp_path, monkeypatch):
    (tmp_path / "s.yaml").write_text(STUDY)
    read = study.load(tmp_path / "s.yaml")
    keys = [one.trial_key for one in plan.make(read).trials]
    results = str(tmp_path / "results")
    writer.write(results, attempt(keys[0], status="failed"))
    left = tmp_path / "results" / "study=s"
    for name, key in (("_checkpoints", keys[1]), ("_assignments", keys[2])):
        storage.put(left / name / f"{key}.000000001.pt", b"")
    orders = {}

    def run_tasks(_ready, feed, _listen, _stop):
        orders.update({task.key: task.payload["again"] for task in iter(feed.take, None)})

    monkeypatch.setattr(runner, "run_tasks", run_tasks)
    runner.run(read, results=results, workers=1)
    assert orders == {keys[0]: True, keys[1]: True, keys[2]: True, keys[3]: False}


def test_a_trial_that_begins_for_the_first_time_lists_no_folder_of_checkpoints(tmp_path, monkeypatch):
    storage.put(tmp_path / "t.000000001.pt", b"1")
    monkeypatch.setattr(storage, "files", lambda *_, **__: pytest.fail("a folder is listed"))
    assert checkpoints.Checkpoints(tmp_path, "t", again=False).newest(bytes) is None


def test_a_task_that_is_tried_again_says_so():
    queue = OpenTasks(TaskList([Task("a", {"x": 1}), Task("b", {"x": 2})]))
    first, second = queue.take(), queue.take()
    assert queue.open[first].payload == {"x": 1}
    queue.put_back(first)
    assert queue.open[queue.take()].payload == {"x": 1, "again": True}
    assert queue.open[second].payload == {"x": 2}
    queue.again()
    assert queue.open[second].payload == {"x": 2, "again": True}


def test_the_driver_keeps_the_orders_of_running_trials_alone(tmp_path):
    (tmp_path / "s.yaml").write_text(STUDY)
    read = study.load(tmp_path / "s.yaml")
    trials = plan.make(read).trials
    orders = dispatch.Orders(TrialList(trials), {}, read.budget, {trials[0].trial_key})
    tasks = [orders.take() for _ in trials]
    assert [task.payload["again"] for task in tasks] == [True, False, False, False]
    for task, kind in zip(tasks, ("finished", "ended", "died"), strict=False):
        orders.hear(Event(kind, task.key, {"status": "ok", "config_key": "c", "seconds": 1.0, "epochs": 1}))
    assert list(orders.given) == [tasks[3].key]
    assert orders.taken == {task.key for task in tasks}
