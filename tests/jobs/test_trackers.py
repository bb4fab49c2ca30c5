"""Trackers: their own readers find every epoch of every trial, once, and none of them can harm a trial."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import plugins
from core.config.trial import to_mapping
from core.errors import UserError
from jobs.execution import tracked
from jobs.execution.trial import run_trial
from jobs.ledger import wandb_file
from jobs.planning import plan
from jobs.results import provenance, reader
from jobs.study import study
from tests.jobs.tracker_readers import MlflowServer, events

TEXT = """study: s
trial:
  data: {name: file, path: mine.npz}
  method: {name: cc}
  encoder: {name: mlp, widths: [16, 8]}
  batch_size: 16
  epochs: 6
  evaluation: {every: 2}
"""
SECRET = "sesame-0123"  # noqa: S105 - it opens nothing
EPOCHS = [1, 2, 3, 4, 5, 6]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    monkeypatch.setattr(tracked, "END_SECONDS", 300.0)  # The machine may be busy.
    for name in ("WANDB_DIR", "WANDB_MODE", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    np.savez(tmp_path / "mine.npz", X=rng.normal(size=(3, 5))[labels] * 3 + rng.normal(size=(60, 5)), y=labels)
    (tmp_path / "study.yaml").write_text(TEXT)


@pytest.fixture
def server(monkeypatch):
    with MlflowServer() as one:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", one.address)
        yield one


@pytest.fixture
def order(tmp_path):
    def order(*track, results="results"):
        (one, *_) = plan.make(study.load(tmp_path / "study.yaml")).trials
        plugins.allow_named(*(name for name in track if plugins.is_path(name)))
        return {
            "study": "s",
            "results": str(tmp_path / results),
            "trial_key": one.trial_key,
            "config_key": one.config_key,
            "seed": one.seed,
            "trial": to_mapping(one.config),
            "parameters": dict(one.parameters),
            "data_hash": one.data_hash,
            "contents": one.plug_ins,
            "code_hash": "code",
            "env": {},
            "env_hash": provenance.environment_hash({}),
            "metric": "nmi",
            "mode": "max",
            "checkpoint_share": 1.0,
            "track": list(track),
        }

    return order


def rows(results):
    return reader.read_results([str(results)], history=True).to_pylist()


def losses(row):
    return [(one["epoch"], one["value"]) for one in row["history"] if one["metric"] == "loss"]


def offline(results):
    """The offline files of W&B by the id of their run."""
    found = {}
    for file in sorted(Path(results).rglob("run-*.wandb")):
        found.setdefault(wandb_file.read(file).run, []).append(wandb_file.read(file))
    return found


def logged(files):
    return [(step, values["loss"]) for one in files for step, values in one.history]


def test_the_readers_of_all_trackers_find_every_epoch_of_every_trial(command, tmp_path, server):
    pytest.importorskip("wandb")
    pytest.importorskip("mlflow")
    options = [one for name in ("tensorboard", "wandb", "mlflow") for one in ("--track", name)]
    results = tmp_path / "results"
    code, *_ = command(
        "run", tmp_path / "study.yaml", "--results", results, "--workers", "1", "--set", "seeds=[0,1]", *options
    )
    assert code == 0
    found = rows(results)
    assert len(found) == 2
    expected = sorted(losses(row) for row in found)
    assert [epoch for epoch, _ in expected[0]] == EPOCHS
    assert not any("TRACKER" in row["reason"] for row in found)
    folder = results / "study=s/_trackers"
    for row in found:
        board = events(folder / "tensorboard" / row["trial_key"])
        np.testing.assert_allclose(board["loss"], losses(row), rtol=1e-6)  # TensorBoard keeps single precision.
        assert [epoch for epoch, _ in board["nmi"]] == [2, 4, 6]
    assert sorted(logged(files) for files in offline(folder).values()) == expected
    for (one,) in offline(folder).values():
        assert one.exit_code == 0
        assert one.config["method.name"] == "cc"
    assert sorted(server.history(one, "loss") for one in server.runs) == expected
    for run in server.runs.values():
        assert run["status"] == "FINISHED"
        assert run["params"]["method.name"] == "cc"
    assert server.experiments == {"s": "1"}


KILLED = """
import json, os, shutil, signal, sys, time
from pathlib import Path
from jobs.ledger import wandb_file
from jobs.execution import tracked, trial
made, init = [], tracked._Follower.__init__
def kept(self, *given):
    init(self, *given)
    made.append(self)
tracked._Follower.__init__ = kept
order = json.loads(sys.stdin.read())
def offline():
    return [step for file in Path(sys.argv[1]).rglob("run-*.wandb") for step, _ in wandb_file.read(file).history]
def report(news):
    if news["epoch"] == 2:
        shutil.copytree(sys.argv[1] + "/_checkpoints", sys.argv[1] + "/kept")
    if news["epoch"] == 4:
        for _ in range(15000):
            if all(one._at == 4 for one in made) and len(offline()) == 4:
                break
            assert not any(one._trouble for one in made), [one._trouble for one in made]
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGKILL)
trial.run_trial(order, report)
"""


def test_a_trial_that_goes_on_after_a_kill_doubles_no_epoch_in_any_tracker(tmp_path, order, server):
    pytest.importorskip("wandb")
    pytest.importorskip("mlflow")
    given, folder = order("tensorboard", "wandb", "mlflow"), tmp_path / "results/study=s"
    # Else its run would belong to the service of W&B that other tests have started here, which outlives it.
    alone = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    died = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder)],
        input=json.dumps(given),
        text=True,
        env=alone,
        capture_output=True,
        check=False,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert [epoch for epoch, _ in server.history(*server.runs, "loss")] == [1, 2, 3, 4]
    # The last checkpoint is older than what the trackers have.
    shutil.rmtree(folder / "_checkpoints")
    (folder / "kept").rename(folder / "_checkpoints")
    heard = []
    run_trial(given, heard.append)
    assert [one["epoch"] for one in heard] == [3, 4, 5]
    (row,) = rows(tmp_path / "results")
    assert [epoch for epoch, _ in losses(row)] == EPOCHS
    np.testing.assert_allclose(events(folder / "_trackers/tensorboard" / row["trial_key"])["loss"], losses(row), 1e-6)
    (run,) = server.runs
    assert server.history(run, "loss") == losses(row)
    assert server.runs[run]["status"] == "FINISHED"
    assert "TRACKER" not in row["reason"]
    (files,) = offline(folder).values()
    assert logged(files) == losses(row)


def same(row):
    """What a row says of its training."""
    told = {key: value for key, value in row.items() if key.startswith(("metric.", "best.", "param.", "config"))}
    clock = {"seconds", "seconds_evaluation"}
    return told, [(one["epoch"], one["metric"], one["value"]) for one in row["history"] if one["metric"] not in clock]


def test_trackers_change_nothing_of_a_trial(tmp_path, order):
    run_trial(order(results="plain"), print)
    run_trial(order("tensorboard", results="tracked"), print)
    assert same(rows(tmp_path / "plain")[0]) == same(rows(tmp_path / "tracked")[0])
    (tmp_path / "mine.py").write_text("class Tracker: ...\n")
    keys = [
        [one.trial_key for one in plan.make(study.load(tmp_path / "study.yaml", overrides)).trials]
        for overrides in ((), ("track=[tensorboard, ./mine.py]",))
    ]
    assert keys[0] == keys[1]


def test_a_server_that_is_not_there_is_one_warning(tmp_path, order, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:{SECRET}@127.0.0.1:9")
    assert run_trial(order("mlflow"), print)["status"] == "ok"
    (row,) = rows(tmp_path / "results")
    assert row["reason"].count("TRACKER: mlflow: MlflowException in ") == 1
    assert row["reason"].endswith("it has no epoch")
    for file in (tmp_path / "results").rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file


def test_a_server_that_does_not_answer_holds_no_trial_up(tmp_path, order, server, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    server.hangs.set()
    assert run_trial(order("mlflow"), print)["status"] == "ok"
    assert server.n_requests == 1
    assert "TRACKER: mlflow: MlflowException in " in rows(tmp_path / "results")[0]["reason"]


def test_a_tracker_that_hangs_holds_no_trial_up(tmp_path, order, monkeypatch):
    monkeypatch.setattr(tracked, "END_SECONDS", 0.2)
    mine = tmp_path / "mine.py"
    mine.write_text(MINE.format(open="...", log="__import__('threading').Event().wait()", close="..."))
    assert run_trial(order(str(mine)), print)["status"] == "ok"
    (row,) = rows(tmp_path / "results")
    assert "TRACKER: mine.py: it does not answer, it has no epoch" in row["reason"]
    assert [epoch for epoch, _ in losses(row)] == EPOCHS


MINE = """\"\"\"A tracker of one's own.\"\"\"
class Tracker:
    def __init__(self, run): {open}
    def log(self, epoch, seconds, values): {log}
    def close(self, status, reason): {close}
"""


@pytest.mark.parametrize(
    ("where", "what", "told"),
    [
        ("open", f"raise RuntimeError('{SECRET}')", "RuntimeError in mine.py, line 3, it has no epoch"),
        ("log", "1 / (3 - epoch)", "ZeroDivisionError in mine.py, line 4, it has the epochs up to 2"),
        ("close", "raise SystemExit", "SystemExit in mine.py, line 5, it has the epochs up to 6"),
        ("open", "import no_such_package", "no_such_package is not installed, it has no epoch"),
    ],
)
def test_a_tracker_that_fails_is_told_of_in_the_row_without_its_words(tmp_path, order, where, what, told):
    mine = tmp_path / "mine.py"
    mine.write_text(MINE.format(**{"open": "...", "log": "...", "close": "...", where: what}))
    assert run_trial(order(str(mine)), print)["status"] == "ok"
    (row,) = rows(tmp_path / "results")
    assert f"TRACKER: mine.py: {told}" in row["reason"]
    assert SECRET not in row["reason"]
    assert [epoch for epoch, _ in losses(row)] == EPOCHS


def test_a_failed_trial_is_closed_as_failed_and_an_interrupted_one_as_interrupted(tmp_path, order):
    mine, out = tmp_path / "mine.py", tmp_path / "out.txt"
    keep = f"\n        with open({str(out)!r}, 'a') as file: print(status, reason.partition(':')[0], file=file)"
    mine.write_text(MINE.format(open="...", log="...", close=keep))
    given = order(str(mine))

    def leave(news):
        raise SystemExit

    with pytest.raises(SystemExit):
        run_trial(given, leave)
    given["trial"]["optimiser"]["learning_rate"] = 1e30
    run_trial({**given, "code_hash": "other"}, print)
    assert out.read_text().split("\n")[:2] == ["interrupted INTERRUPTED", "failed DIVERGED"]


def test_keys_and_accounts_are_nowhere_in_the_results(tmp_path, command, server, monkeypatch):
    pytest.importorskip("wandb")
    pytest.importorskip("mlflow")
    monkeypatch.setenv("WANDB_API_KEY", SECRET * 4)
    monkeypatch.setenv("WANDB_ENTITY", f"team-{SECRET}")
    monkeypatch.setenv("WANDB_USERNAME", f"me-{SECRET}")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address.replace("//", f"//me:{SECRET}@"))
    results = tmp_path / "results"
    (tmp_path / "study.yaml").write_text(TEXT + "track: [wandb, mlflow, tensorboard]\n")
    code, out, err = command("run", tmp_path / "study.yaml", "--results", results, "--workers", "1")
    assert code == 0
    assert [epoch for epoch, _ in server.history(*server.runs, "loss")] == EPOCHS
    assert offline(results)
    assert SECRET not in out + err
    for file in results.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file
    told = server.runs.popitem()[1]
    assert SECRET not in json.dumps(told)


@pytest.mark.parametrize(
    ("track", "said"),
    [
        ("[tensorbord]", "'tensorbord' is none of the trackers; did you mean 'tensorboard'?"),
        ("[./none.py]", "none.py of trackers does not exist"),
        ("[tensorboard, tensorboard]", "is named twice"),
        ("[./needy.py]", "no_such_package is not installed"),
        ("7", "track"),
    ],
)
def test_a_tracker_that_cannot_be_is_refused_before_anything_starts(command, tmp_path, track, said):
    (tmp_path / "needy.py").write_text("class Tracker:\n    needs = 'no_such_package'\n")
    (tmp_path / "study.yaml").write_text(f"{TEXT}track: {track}\n")
    code, _, err = command("run", tmp_path / "study.yaml", "--results", tmp_path / "r", "--workers", "1")
    assert code == 2
    assert said in err
    assert not (tmp_path / "r").exists()


def test_a_tracker_of_ones_own_is_found_from_the_command_line_and_kept_for_resume(command, tmp_path, monkeypatch):
    out = tmp_path / "out.txt"
    mine = tmp_path / "here" / "mine.py"
    mine.parent.mkdir()
    keep = f"\n        with open({str(out)!r}, 'a') as file: file.write(str(epoch))"
    mine.write_text(MINE.format(open="...", log=keep, close="..."))
    monkeypatch.chdir(mine.parent)
    results = tmp_path / "results"
    code, *_ = command(
        "run", tmp_path / "study.yaml", "--results", results, "--workers", "1", "--track", "./mine.py", "--set",
        "budget.trials=1", "--set", "seeds=[0,1]",
    )  # fmt: skip
    assert code == 3
    assert out.read_text() == "123456"
    assert (results / "study=s/_plugins/mine.py").is_file()
    # The budget is part of the copy: it runs one more.
    assert command("resume", results, "--workers", "1")[0] == 0
    assert out.read_text() == "123456" * 2


def records(path):
    """The records of an offline file as W&B's own messages; the format of its blocks is LevelDB's."""
    from wandb.proto import wandb_internal_pb2

    data, whole = path.read_bytes(), b""
    for start in range(0, len(data), 32768):
        block, at = data[start : start + 32768], 0 if start else 7
        while at + 7 <= len(block):
            length, kind = int.from_bytes(block[at + 4 : at + 6], "little"), block[at + 6]
            whole += block[at + 7 : at + 7 + length]
            at += 7 + length
            if kind in {1, 4}:
                yield wandb_internal_pb2.Record.FromString(whole)
                whole = b""


def test_a_run_of_wandb_that_goes_on_at_once_knows_what_is_done(tmp_path):
    pytest.importorskip("wandb")
    from jobs.tracking.wandb import Tracker

    known = {"id": "abc", "name": "n", "study": "s", "trial_key": "t", "attempt_id": "A", "seed": 0, "params": {}}
    for done in range(6):
        tracker = Tracker(tracked.Run(**known, folder=tmp_path, after=done))
        assert tracker._done == done
        for epoch in range(1, done + 2):
            tracker.log(epoch, 0.1, {"loss": 1 / epoch})
        tracker.close("paused", "")
    found = [wandb_file.read(file).history for file in tmp_path.rglob("*.wandb")]
    assert sorted(epoch for history in found for epoch, _ in history) == [1, 2, 3, 4, 5, 6]


@pytest.fixture(scope="module")
def wandb_run(tmp_path_factory):
    wandb = pytest.importorskip("wandb")
    folder = tmp_path_factory.mktemp("wandb")
    quiet = wandb.Settings(silent=True, console="off", x_disable_meta=True, disable_git=True)
    with wandb.init(mode="offline", dir=str(folder), project="p", id="abc", config={"a": 1}, settings=quiet) as run:
        for step in range(1, 400):
            run.log({"loss": 1 / step, "count": step, "text": "x" * 200, "none": None, "deep": {"in": step}}, step=step)
    wandb.teardown()  # It waits for the process that writes the file.
    return next(folder.glob("wandb/offline-run-*/run-abc.wandb"))


def test_offline_files_are_read_as_wandb_reads_them(wandb_run):
    assert wandb_run.stat().st_size > 2 * 32768  # Records go over the ends of blocks.
    found = wandb_file.read(wandb_run)
    assert [step for step, _ in found.history] == list(range(1, 400))
    for step, values in found.history:
        assert (values["loss"], values["count"], values["deep.in"]) == (1 / step, step, step)
    theirs = [one.history for one in records(wandb_run) if one.WhichOneof("record_type") == "history"]
    assert [one.step.num for one in theirs] == [step for step, _ in found.history]
    assert [len(one.item) for one in theirs] == [len(values) for _, values in found.history]
    assert found.exit_code == 0
    assert found.config["a"] == 1
    assert found.run == "abc"


@given(st.data())
def test_a_damaged_offline_file_is_read_up_to_its_damage(wandb_run, tmp_path_factory, data):
    content = bytearray(wandb_run.read_bytes())
    at = data.draw(st.integers(7, len(content) - 1))
    damaged = tmp_path_factory.mktemp("damaged") / "run-abc.wandb"
    damaged.write_bytes(content[:at] + bytes([content[at] ^ data.draw(st.integers(1, 255))]) + content[at + 1 :])
    whole = wandb_file.read(wandb_run).history
    found = wandb_file.read(damaged).history
    assert found == whole[: len(found)]
    damaged.write_bytes(content[:at])
    found = wandb_file.read(damaged).history
    assert found == whole[: len(found)]


def test_another_file_is_refused(tmp_path):
    (tmp_path / "x.wandb").write_bytes(b"PAR1")
    with pytest.raises(UserError, match="is no file of W&B"):
        wandb_file.read(tmp_path / "x.wandb")
