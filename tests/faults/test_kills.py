"""A study whose worker or driver is killed, or that is interrupted, then run again: nothing lost, nothing doubled."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobs import plan, study
from jobs.results import reader

pytestmark = [pytest.mark.ray, pytest.mark.slow]

STUDY = """study: s
trial: {data: digits, encoder: {name: mlp, widths: [32, 32]}, epochs: 25, evaluation: {every: 25}}
space: {learning_rate: {grid: [5.0e-4, 1.0e-3]}}
seeds: [0, 1, 2]
"""
TRIALS = 6


class Running:
    """`conclus run` as a process of its own, in its own session, as a terminal would start it."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        (folder / "study.yaml").write_text(STUDY)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "conclus", "run", "study.yaml", *arguments],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        )

    def wait_for(self, finished: int) -> None:
        """Until so many trials are done."""
        deadline = time.monotonic() + 120
        while len(done(self.folder)) < finished:
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def end(self) -> tuple[int, str, str]:
        """Its exit code and what it printed."""
        out, err = self.process.communicate(timeout=180)
        return self.process.returncode, out, err


def done(folder: Path) -> dict[str, str]:
    """The file that holds each finished trial's good row."""
    if not (folder / "results").is_dir():
        return {}
    with contextlib.suppress(Exception):
        table = reader.read_results([str(folder / "results")], attempts=True, columns=["trial_key", "attempt_id"])
        good = [one for one in table.to_pylist() if one["status"] == "ok"]
        return {one["trial_key"]: one["attempt_id"] for one in good}
    return {}


def workers_of(process: subprocess.Popen) -> list[int]:
    """The processes below `process` that run a trial."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            title = (folder / "cmdline").read_bytes()
            if title.startswith(b"ray::_") and process.pid in ancestors(int(folder.name)):
                found.append(int(folder.name))
    return found


def ancestors(pid: int) -> list[int]:
    chain = []
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        chain.append(pid)
    return chain


def check_whole(folder: Path, before: dict[str, str]) -> None:
    """Every trial has one good row; those done before are still the same attempts and were not run again."""
    planned = {one.trial_key for one in plan.make(study.load(folder / "study.yaml")).trials}
    table = reader.read_results([str(folder / "results")], columns=["trial_key", "attempt_id", "status"])
    assert sorted(table["trial_key"].to_pylist()) == sorted(planned)
    assert set(table["status"].to_pylist()) == {"ok"}
    every = reader.read_results([str(folder / "results")], attempts=True, columns=["trial_key", "attempt_id"])
    attempts = [(one["trial_key"], one["attempt_id"]) for one in every.to_pylist()]
    for key, attempt in before.items():
        assert [one for trial, one in attempts if trial == key] == [attempt]


@pytest.fixture
def start(tmp_path):
    """Starts `conclus run` in the test's folder; nothing of it outlives the test."""
    begun = []

    def start(workers: int) -> Running:
        begun.append(Running(tmp_path, "--workers", str(workers)))
        return begun[-1]

    yield start
    for one in begun:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.process.pid, signal.SIGKILL)
        one.process.communicate()


def go_on(start) -> str:
    """Runs the study again, in one process, to its end; what it said."""
    code, out, err = start(1).end()
    assert code == 0, err
    assert "Ranked by nmi" in out
    return err


def test_a_killed_worker_costs_no_trial(tmp_path, start):
    running = start(2)
    running.wait_for(1)
    victims = workers_of(running.process)
    assert victims
    os.kill(victims[0], signal.SIGKILL)
    code, out, err = running.end()
    assert code == 0, err
    assert "Traceback" not in err
    assert "Ranked by nmi" in out
    check_whole(tmp_path, {})


def test_a_killed_driver_costs_no_finished_trial(tmp_path, start):
    running = start(2)
    running.wait_for(2)
    before = done(tmp_path)
    os.kill(running.process.pid, signal.SIGKILL)
    running.end()
    said = go_on(start)
    assert "0 done before" not in said
    check_whole(tmp_path, before)


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_keeps_everything_and_says_how_to_go_on(tmp_path, start, workers):
    running = start(workers)
    running.wait_for(1)
    os.killpg(running.process.pid, signal.SIGINT)
    code, out, err = running.end()
    assert code == 130, err
    assert "go on with: conclus run study.yaml" in err
    assert "Traceback" not in err
    assert "Ranked by nmi" in out
    before = done(tmp_path)
    assert 1 <= len(before) < TRIALS
    go_on(start)
    check_whole(tmp_path, before)


def test_the_same_study_is_not_run_twice_at_once(start):
    first = start(1)
    first.wait_for(1)
    code, _, err = start(1).end()
    assert code == 2
    assert f"process {first.process.pid} on " in err
    assert "is running this study" in err
