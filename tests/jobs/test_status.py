"""status, logs and stop without a cluster: folders as the store writes them, and a run of this machine."""

import contextlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cluster.executor import RayError
from core.seal import unseal_json
from jobs.execution import driver
from jobs.execution.progress import Progress
from jobs.health.status import standing
from jobs.planning import plan as planning
from jobs.present.status import unwell
from jobs.results import layout, stops
from jobs.results.schema import Attempt
from jobs.results.writer import new_attempt_id, write
from jobs.study import snapshot, study

HOUR = 3600


class Store:
    """A results folder with one study of four planned trials, filled by the store's own writer."""

    def __init__(self, folder, name="s", planned=4):
        self.results, self.name, self.folder = folder, name, folder / f"study={name}"
        self.folder.mkdir(parents=True)
        trials = [[f"t{i}", f"c{i // 2}", i % 2] for i in range(planned)]
        content = {"study": name, "select": {"metric": "nmi", "mode": "max"}, "trials": trials, "n_trials": planned}
        (self.folder / "study.json").write_text(json.dumps(content))

    def add(self, number, status, *, age=0.0, **values):
        own = {"epochs_done": 10, "seconds": 100.0, "params": {"lr": number // 2, "epochs": 20}, "host": "node"}
        own["metrics"] = {"nmi": 0.5 + number / 10}
        attempt = Attempt(
            study=self.name, trial_key=f"t{number}", config_key=f"c{number // 2}", seed=number % 2,
            attempt_id=new_attempt_id(), status=status, **own | values,
        )  # fmt: skip
        path = write(str(self.results), attempt)
        os.utime(path, (time.time() - age,) * 2)
        time.sleep(0.002)  # attempts are told apart by their milliseconds
        return path


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    return Store(tmp_path / "results")


def states(store):
    return {one.trial_key: one.state for one in standing(store.folder).begun}


def test_every_trial_is_counted_once_by_its_last_attempt(store):
    store.add(0, "failed", reason="ERROR: bad luck")
    store.add(0, "ok")
    store.add(1, "running", reason="INTERRUPTED", age=HOUR)
    store.add(1, "running")
    store.add(2, "failed", reason="DIVERGED: loss is nan")
    found = standing(store.folder)
    assert (found.planned, found.done, found.missing) == (4, 1, 1)
    assert states(store) == {"t1": "running", "t2": "failed"}


def test_a_trial_that_is_not_heard_of_is_named_silent_and_an_interrupted_one_is_not(store):
    store.add(0, "running", age=HOUR)
    store.add(1, "running", age=HOUR, reason="INTERRUPTED")
    store.add(2, "running", age=60)
    assert states(store) == {"t0": "silent", "t1": "interrupted", "t2": "running"}


def test_what_is_known_to_have_ended_has_no_trial_that_runs(store):
    store.add(0, "running", age=1)
    store.add(1, "running", age=HOUR)
    store.add(2, "failed", reason="ERROR: bad luck")
    found = {one.trial_key: one.state for one in standing(store.folder, ended=True).begun}
    assert found == {"t0": "interrupted", "t1": "interrupted", "t2": "failed"}


def test_a_study_of_which_no_trial_runs_yet_says_who_runs_it(store, command):
    (store.folder / "_run.lock").write_text("process 7 on here")
    assert "process" not in command("status", store.results)[1]
    with holding(store.folder / "_run.lock"):
        said = command("status", store.results)[1].splitlines()
        assert said[0] == "s: 0 of 4 trials done, 4 left"
        assert said[1] == "  process 7 on here runs the study; at this moment none of its trials runs"
        store.add(0, "running")
        assert "process 7" not in command("status", store.results)[1]


def test_a_lock_of_this_machine_that_nobody_holds_tells_that_nothing_runs(store):
    store.add(0, "running", epochs_done=0, seconds=None, age=1)
    lock = store.folder / "_run.lock"
    for name, state in [("elsewhere", "running"), (socket.gethostname(), "interrupted")]:
        lock.write_text(f"process {os.getpid()} on {name}")
        assert states(store) == {"t0": state}
    with holding(lock):
        assert states(store) == {"t0": "running"}
    lock.unlink()
    lock.mkdir()
    assert states(store) == {"t0": "running"}


def test_patience_is_that_of_the_studys_own_epochs(store):
    store.add(0, "ok", seconds=1000.0)  # epochs of 100 seconds
    store.add(1, "running", epochs_done=0, seconds=None, age=250)
    store.add(2, "running", epochs_done=0, seconds=None, age=350)
    assert states(store) == {"t1": "running", "t2": "silent"}


def test_before_the_first_epoch_of_a_study_nobody_knows(store):
    store.add(0, "running", epochs_done=0, seconds=None, age=500)
    assert states(store) == {"t0": "running"}
    assert standing(store.folder).seconds_left is None


def test_the_time_left_is_what_is_left_to_train_among_those_that_run(store):
    store.add(0, "ok", seconds=100.0)
    store.add(1, "running", seconds=50.0)
    store.add(2, "running", seconds=20.0)
    assert standing(store.folder).seconds_left == pytest.approx((50 + 20 + 100) / 2)  # they are at epoch 10 of 20
    store.add(3, "running", seconds=None, epochs_done=0)
    assert standing(store.folder).seconds_left == pytest.approx(100)  # the longest, alone


def test_before_a_trial_is_done_the_running_ones_tell_how_long_one_takes(store):
    store.add(0, "running", seconds=30.0)
    store.add(1, "running", seconds=10.0)
    assert standing(store.folder).seconds_left == pytest.approx((30 + 10 + 2 * 40) / 2)


def test_trials_that_were_stopped_by_hand_are_named_and_make_no_estimate(store, command):
    store.add(0, "ok", seconds=100.0)
    store.add(1, "stopped", seconds=10.0, reason="STOPPED: by ann, after epoch 1 of 20")
    store.add(2, "running", seconds=50.0)
    assert standing(store.folder).stopped == ()  # by early stopping, or it is to go on
    stops.ask(store.folder, "t1", "ann")
    stops.ask(store.folder, "t2", "ann")  # it has not ended yet
    found = standing(store.folder)
    assert (found.stopped, found.done, found.seconds_left) == (("t1",), 2, pytest.approx(150))
    out = command("status", store.results)[1].splitlines()
    assert out[0] == "s: 2 of 4 trials done (1 stopped by hand), 1 running, 1 left"
    way = "go on with: conclus resume RESULTS --trial KEY,"
    place = out.index(f"  stopped by hand (once no process runs the study, {way}")
    assert out[place + 2] == "    t1"


def test_nothing_runs_no_time_is_told(store):
    store.add(0, "ok")
    store.add(1, "running", age=HOUR)
    assert standing(store.folder).seconds_left is None


def test_it_reads_well_and_keeps_to_the_terminal(store, command):
    store.add(0, "ok")
    store.add(1, "ok")
    store.add(2, "failed", reason="ERROR: RuntimeError: " + "very " * 40 + "long")
    store.add(3, "running", age=5)
    code, out, err = command("status", store.results)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "s: 2 of 4 trials done, 1 failed, 1 running"
    assert "best nmi 0.550 -0.464 +0.391 (2 seeds): lr=0" in out
    assert "  failed      t2 seed 0  ERROR: RuntimeError: very" in out
    assert "  running     t3 seed 1  epoch 10/20, heard 5 s ago on node" in out or "heard 6 s ago" in out
    assert all(len(line) <= 80 for line in out.splitlines())


def test_torn_files_are_named_and_the_rest_is_shown(store, command):
    store.add(0, "ok")
    torn = store.add(1, "ok")
    torn.write_bytes(torn.read_bytes()[:-20])
    code, out, err = command("status", store.results)
    assert code == 0
    assert "1 of 4 trials done" in out
    assert f"{torn} is skipped" in err
    (store.folder / "study.json").write_bytes((store.folder / "study.json").read_bytes()[:40])
    code, out, err = command("status", store.results)
    assert (code, "1 of 1 trial done" in out, "study.json is skipped: it is torn" in err) == (0, True, True)


def test_several_studies_a_choice_of_them_and_a_copy(store, command, tmp_path):
    store.add(0, "running", age=HOUR)
    Store(store.results, "other")
    _, out, _ = command("status", store.results)
    assert [line for line in out.splitlines() if not line.startswith(" ") and line] == [
        "other: 0 of 4 trials done, 4 left",
        "s: 0 of 4 trials done, 1 silent, 3 left",
    ]
    assert command("status", store.results, "--study", "other")[1].count("trials") == 1
    shutil.copytree(store.results, tmp_path / "copy")
    assert command("status", tmp_path / "copy")[1] == out
    assert command("status", tmp_path / "copy" / "study=s")[1].startswith("s: ")


def test_a_search_that_names_its_trials_as_it_goes(store):
    content = json.loads((store.folder / "study.json").read_text())
    (store.folder / "study.json").write_text(json.dumps(content | {"trials": [], "n_trials": 9}))
    store.add(0, "ok")
    found = standing(store.folder)
    assert (found.planned, found.done, found.missing) == (9, 1, 8)


def test_programs_get_json_and_tables(store, command):
    store.add(0, "ok")
    store.add(1, "failed", reason="ERROR: x")
    _, out, _ = command("status", store.results, "--format", "json")
    (one,) = json.loads(out)
    assert (one["planned"], one["done"], one["missing"], one["job"]) == (4, 1, 2, None)
    assert one["begun"][0]["reason"] == "ERROR: x"
    assert one["best"]["score"]["mean"] == 0.5
    _, out, _ = command("status", store.results, "--format", "csv")
    assert out.splitlines()[1].startswith("s,4,1,1,0,0,0,2,nmi,0.5")


def test_a_running_trial_is_shown_with_its_verdict(store, command):
    store.add(0, "running", verdict="COLLAPSED@12; EMPTY_CLUSTERS=3")
    store.add(1, "running", verdict="OK")
    store.add(2, "running")
    _, out, _ = command("status", store.results)
    shown = [line.split("  ")[-1].partition(", heard")[0] for line in out.splitlines() if "epoch" in line]
    assert shown == ["epoch 10/20, COLLAPSED@12; EMPTY_CLUSTERS=3", "epoch 10/20, OK", "epoch 10/20"]
    _, out, _ = command("status", store.results, "--format", "json")
    told = {one["trial_key"]: one["verdict"] for one in json.loads(out)[0]["begun"]}
    assert told == {"t0": "COLLAPSED@12; EMPTY_CLUSTERS=3", "t1": "OK", "t2": ""}


def test_a_verdict_of_a_stranger_is_text(store, command):
    store.add(0, "running", verdict="\x1b[2J\nx")
    _, out, _ = command("status", store.results)
    assert "\\x1b[2J\\nx" in out
    assert unwell(standing(store.folder)) == "; running unwell: t0 \\x1b[2J\\nx"


def test_nothing_there_is_one_line(command, tmp_path):
    for name in ("status", "logs", "stop", "resume"):
        code, _, err = command(name, tmp_path / "gone")
        assert (code, err.count("\n")) == (2, 1)
        assert "There is no results folder" in err


def test_status_loads_neither_ray_nor_torch_nor_pandas(store, root):
    store.add(0, "ok")
    code = (
        "import sys, conclus\n"
        f"sys.argv = ['conclus', 'status', {str(store.results)!r}]\n"
        "try: conclus.main()\n"
        "except SystemExit as leave: assert not leave.code\n"
        "assert 'pyarrow' in sys.modules\n"
        "assert not {'ray', 'torch', 'pandas', 'sklearn'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True, capture_output=True)


# Tracebacks


def test_logs_shows_the_tracebacks_of_failed_trials(store, command):
    assert "no trial has left a traceback" in command("logs", store.results)[2]
    (store.folder / "logs").mkdir()
    for number in range(5):
        (store.folder / "logs" / f"t{number}.{new_attempt_id()}.txt").write_text(f"Traceback\nValueError: {number}\n")
        time.sleep(0.002)
    code, out, err = command("logs", store.results)
    assert code == 0
    assert [f"ValueError: {number}" in out for number in range(5)] == [False, False, True, True, True]
    assert "2 earlier ones" in err
    _, out, _ = command("logs", store.results, "--trial", "t1")
    assert "ValueError: 1" in out
    assert "ValueError: 2" not in out
    code, _, err = command("logs", store.results, "--trial", "x")
    assert (code, "no trial whose key begins with x has begun" in err) == (2, True)


def test_a_trial_that_has_printed_nothing_is_another_thing_than_no_trial(store, command):
    store.add(0, "ok")
    store.add(1, "running")
    store.add(2, "failed", reason="DIED: killed")
    for key, state in [
        ("t0", "is done and has printed nothing"),
        ("t1", "runs and has printed nothing yet"),
        ("t2", "is failed and has printed nothing"),
    ]:
        assert command("logs", store.results, "--trial", key) == (0, "", f"trial {key} {state}\n")
    for key, why in [("t3", "no trial whose key begins with t3 has begun"), ("t", "3 trials begin with 't'")]:
        code, out, err = command("logs", store.results, "--trial", key)
        assert (code, out, why in err) == (2, "", True)


def test_of_several_studies_one_has_to_be_named(store, command):
    Store(store.results, "other")
    for name in ("logs", "stop", "resume"):
        code, _, err = command(name, store.results)
        assert (code, "has several studies, other, s: choose one with --study NAME" in err) == (2, True)


def test_a_damaged_record_of_a_job_is_one_line(store, command):
    (store.folder / "job.json").write_text('{"job": "s-')
    for name in ("status", "logs", "stop"):
        code, out, err = command(name, store.results)
        assert (code, "Traceback" in out + err) == (2, False)
        assert "job.json cannot be read" in err


def test_a_record_of_a_job_with_another_bit_is_refused_and_stays_and_one_without_a_digest_is_told(store, command):
    store.add(0, "ok")
    read = study.parse("study: s\ntrial: {data: digits}\n", "s.yaml", Path())
    assert driver.write(job := driver.new_job("s", "http://head:8265", str(store.results), 2), read)
    record = store.folder / "_job.json"
    assert (driver.read(store.folder), command("status", store.results)[2]) == (job, "")
    whole = record.read_bytes()
    record.write_bytes(damaged := whole.replace(b"head:8265", b"heat:8265"))
    code, _, err = command("status", store.results)
    assert (code, err.count("\n")) == (2, 1)
    assert "_job.json cannot be read (it is damaged" in err
    assert "restore it, or delete it and give --address and --job" in err
    assert record.read_bytes() == damaged
    record.write_text(json.dumps(unseal_json(whole)))
    code, out, err = command("status", store.results)
    assert (code, job.job in out, err.count("\n")) == (0, True, 1)
    assert "_job.json holds no digest" in err


def test_of_a_damaged_plan_the_copy_of_the_study_tells_the_metric(store, command):
    store.add(0, "ok", metrics={"nmi": 0.5, "acc": 0.25})
    read = study.parse("study: s\ntrial: {data: digits}\nselect: {metric: acc}\n", "s.yaml", Path())
    snapshot.write(read, store.folder)
    (store.folder / "study.json").write_text("{")
    code, out, err = command("status", store.results)
    assert (code, "best acc 0.25" in out, err.count("\n")) == (0, True, 1)


@pytest.mark.parametrize(
    ("change", "code", "why"),
    [
        ("seeds=[0]", 0, ""),
        ("resources.custom={tape: 1}", 2, ": A trial asks for tape"),
        ("epochs=0", 2, ": --set epochs=0"),
    ],
)
def test_a_job_leaves_its_end_where_status_reads_it(store, command, tmp_path, monkeypatch, change, code, why):  # noqa: PLR0917
    (tmp_path / "mine.csv").write_text(
        "u,v,label\n" + "".join(f"{i % 2 * 9 + i / 10},{i % 3},{i % 2}\n" for i in range(20))
    )
    text = STUDY.replace("study: long", "study: s").replace("./mine.py", "cc")
    (tmp_path / "study.yaml").write_text(text)
    job = driver.new_job("s", "http://head:8265", str(store.results), 1)
    assert driver.write(job, None)
    run = ("run", tmp_path / "study.yaml", "--results", store.results, "--workers", "1", "--quiet", "--set", change)
    assert command(*run)[0] == code  # no job
    assert "exit code" not in command("status", store.results)[1]
    monkeypatch.setenv(driver.AGAIN, "conclus resume")
    assert command(*run)[0] == code
    line = command("status", store.results)[1].splitlines()[-1]
    assert line.startswith("    ended 20")
    assert f" with exit code {code}{why}" in line
    (one,) = json.loads(command("status", store.results, "--format", "json")[1])
    assert (one["job_end"]["job"], one["job_end"]["code"]) == (job.job, code)
    record = store.folder / "_end.json"
    record.write_bytes(record.read_bytes().replace(b'"code"', b'"cord"'))
    _, out, err = command("status", store.results)
    assert ("exit code" in out, "_end.json cannot be read" in err) == (False, True)
    assert command(*run)[0] == code
    driver.write(driver.new_job("s", "http://head:8265", str(store.results), 1, after=job.job), None)
    assert "exit code" not in command("status", store.results)[1]  # it is another job


def test_a_ray_that_does_not_start_is_no_mistake_in_the_command(command, monkeypatch):
    def fails(*_):
        raise RayError("Ray does not start on this machine.")

    monkeypatch.setattr(layout, "folders_of", fails)
    assert command("status")[::2] == (1, "Error: Ray does not start on this machine.\n")


# A run of this machine

CALM = """import time
from pathlib import Path
from core.methods.cc import Method as Base

HERE = Path(__file__).parent

class Method(Base):
    def begin_epoch(self, *_):
        if list(HERE.glob("results/*/trials/*.parquet")):
            time.sleep(0.2)
"""
STUDY = """study: long
trial:
  data: {name: file, path: mine.csv}
  method: ./mine.py
  encoder: {name: mlp, widths: [4]}
  n_clusters: 2
  batch_size: 8
  epochs: 16
  evaluation: {every: 16}
seeds: [0, 1, 2, 3, 4, 5]
"""


@pytest.fixture
def running(tmp_path, root):
    """`conclus run` in a process of its own, one of whose trials is done, with its method in a file.

    The others would take a quarter of a minute: whoever stops it needs not to be quick.
    """
    (tmp_path / "mine.py").write_text(CALM)
    rows = "".join(f"{i % 2 * 9 + i / 10},{i % 3},{'ab'[i % 2]}\n" for i in range(20))
    (tmp_path / "mine.csv").write_text("u,v,label\n" + rows)
    (tmp_path / "study.yaml").write_text(STUDY)
    process = subprocess.Popen(
        [sys.executable, "-m", "conclus", "run", "study.yaml", "--workers", "1", "--set", "epochs=15"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    try:
        wait_for_a_trial(process, tmp_path / "results")
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for_a_trial(process, results):
    end = time.monotonic() + 300
    while not list(results.glob("*/trials/*.parquet")) or not standing(results / "study=long").done:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def test_stop_ends_a_run_of_this_machine_and_resume_goes_on(running, command, tmp_path, monkeypatch):
    results = tmp_path / "results"
    code, out, err = command("stop", results)
    assert code == 0, err
    assert running.wait(timeout=300) == 130
    assert f"process {running.pid} has ended" in err
    before = standing(results / "study=long")
    assert 1 <= before.done < before.planned == 6
    assert out.startswith(f"long: {before.done} of 6 trials done")
    assert "nothing is running" in command("stop", results)[2]
    (tmp_path / "study.yaml").unlink()
    (tmp_path / "mine.py").unlink()
    monkeypatch.chdir("/")
    code, out, err = command("resume", results, "--workers", "1")
    assert code == 0, err
    assert f"6 trials, {before.done} done before" in err
    assert "epochs=15" in command("aggregate", results, "-v")[1]
    after = standing(results / "study=long")
    assert (after.done, after.planned) == (6, 6)


def test_a_process_that_is_not_ours_is_left_alone(store, command):
    with (store.folder / "_run.lock").open("w") as file:
        file.write(f"process {os.getpid()} on elsewhere")
        file.flush()
        assert driver.local_process(store.folder) is None  # nobody holds it: an old run's
        with holding(store.folder / "_run.lock"):
            code, _, err = command("stop", store.results)
    assert (code, "process " in err, "stop it on the machine that started it" in err) == (2, True, True)


def test_a_number_that_was_given_to_another_process_is_left_alone(store, command):
    with subprocess.Popen(["sleep", "60"]) as other:
        (store.folder / "_run.lock").write_text(f"process {other.pid} on {socket.gethostname()}")
        with holding(store.folder / "_run.lock"):
            assert command("stop", store.results)[0] == 2
        assert other.poll() is None
        other.send_signal(signal.SIGKILL)


@contextlib.contextmanager
def holding(path: Path):
    """Another process holds the lock."""
    code = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        yield
        process.kill()


def test_a_study_that_was_interrupted_counts_as_its_run_said(store, command):
    store.add(0, "running", reason="INTERRUPTED")
    store.add(1, "ok")
    assert command("status", store.results)[1].startswith("s: 1 of 4 trials done, 3 left (1 interrupted)\n")


def test_the_line_of_a_run_shows_the_interval_that_all_others_show(store, command, tmp_path):
    store.add(0, "ok")
    store.add(1, "ok")
    shown = command("status", store.results)[1]
    (tmp_path / "s.yaml").write_text("study: s\ntrial: {data: digits}\n")
    progress = Progress(planning.make(study.load(tmp_path / "s.yaml")), 4, 0, io.StringIO())
    progress.close()  # as when what follows is refused
    assert not progress.out.getvalue()
    progress.values["c0"] += [0.5, 0.6]
    assert progress.best() == "best nmi 0.550 -0.464 +0.391 (2 seeds)"
    assert progress.best() in shown


def test_the_line_of_a_run_says_of_which_epoch_its_score_is(tmp_path):
    (tmp_path / "s.yaml").write_text("study: s\ntrial: {data: digits}\nselect: {metric: mean5.nmi}\n")
    progress = Progress(planning.make(study.load(tmp_path / "s.yaml")), 4, 0, io.StringIO())
    progress.values["c0"] += [0.5]
    assert progress.best().startswith("best nmi of the last epoch 0.500")
