"""`conclus run` as processes of their own, and what they leave: for tests that kill them."""

import contextlib
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jobs.planning import plan
from jobs.results import reader
from jobs.study import study

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 300
"""Seconds that anything may take: the machine may be busy."""

SLOW = """study: s
trial:
  data: {{name: file, path: data/mine.npz}}
  method: {{name: ./mine.py, pause: {pause}}}
  encoder: {{name: mlp, widths: [16]}}
  batch_size: 60
  epochs: {epochs}
  evaluation: {{every: 50}}
seeds: {seeds}
"""


class Begun(NamedTuple):
    """An epoch that a trial has begun."""

    seed: str
    harm: str
    epoch: int
    pid: int


class Folder:
    """A folder with a study in it, whose runs do not outlive the test."""

    def __init__(self, path: Path, env: dict[str, str] | None = None) -> None:
        self.path = path
        self.runs: list[Run] = []
        self._files: dict[str, int] = {}
        self._done: dict[str, str] = {}
        # Ray's workers have a low priority by default: where others are busy too, they would hardly move.
        own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"}
        self._env = (env or dict(os.environ)) | own

    def prepare(self, text: str) -> None:
        """Writes the study, small data for it, and the method that comes to harm."""
        rng = np.random.default_rng(0)
        labels = np.arange(120) % 3
        (self.path / "data").mkdir()
        samples = rng.normal(size=(3, 5))[labels] * 3 + rng.normal(size=(120, 5))
        np.savez(self.path / "data" / "mine.npz", X=samples, y=labels)
        shutil.copy(Path(__file__).with_name("harmful.py"), self.path / "mine.py")
        (self.path / "study.yaml").write_text(text)

    def start(self, *arguments: str) -> "Run":
        """Starts `conclus run study.yaml`, in a session of its own, as a terminal would."""
        process = subprocess.Popen(
            [sys.executable, "-m", "conclus", "run", "study.yaml", *arguments],
            cwd=self.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=self._env,
        )
        self.runs.append(Run(process))
        return self.runs[-1]

    def go_on(self, command: Callable[..., tuple[int, str, str]], *arguments: str) -> tuple[int, str, str]:
        """Runs the study one trial after the other in this process, for what needs none of its own: seconds each.

        Args:
            command: the fixture.
            arguments: further ones.

        Returns:
            Exit code, standard output, standard error; never with a traceback.
        """
        with contextlib.chdir(self.path):
            code, out, err = command("run", "study.yaml", "--workers", "1", *arguments)
        assert "Traceback" not in out + err, err
        return code, out, err

    def mend(self) -> None:
        """From now on nothing comes to harm, or takes its time."""
        (self.path / "mended").touch()

    def end(self) -> None:
        """Kills what still runs."""
        for one in self.runs:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(one.process.pid, signal.SIGKILL)
            one.process.communicate()

    def epochs(self) -> list[Begun]:
        """Every epoch that was begun so far, in order."""
        file = self.path / "epochs"
        lines = file.read_text().splitlines() if file.exists() else []
        return [Begun(seed, harm, int(epoch), int(pid)) for seed, harm, epoch, pid in map(str.split, lines)]

    def rows(self, *, attempts: bool = False, history: bool = False) -> list[dict]:
        """What the results hold; nothing while there are none."""
        if not (self.path / "results").is_dir():
            return []
        return reader.load([str(self.path / "results")], attempts=attempts, history=history).table.to_pylist()

    def done(self) -> dict[str, str]:
        """The file that holds each finished trial's good row; read again when a file has changed."""
        with contextlib.suppress(Exception):
            files = {str(one): one.stat().st_mtime_ns for one in (self.path / "results").rglob("*.parquet")}
            if files != self._files:
                good = [one for one in self.rows(attempts=True) if one["status"] == "ok"]
                self._done, self._files = {one["trial_key"]: one["attempt_id"] for one in good}, files
            return self._done
        return {}

    def check_whole(self, before: dict[str, str], failed: tuple[str, ...] = ()) -> list[dict]:
        """Sees that every planned trial has one row, with one value per metric and epoch; gives the rows.

        Args:
            before: `done()` at an earlier moment: these were not run again.
            failed: how the reasons of those that have no good row begin.
        """
        planned = {one.trial_key for one in plan.make(study.load(self.path / "study.yaml")).trials}
        rows = self.rows(history=True)
        assert sorted(one["trial_key"] for one in rows) == sorted(planned)
        bad = sorted(one["reason"] for one in rows if one["status"] != "ok")
        assert len(bad) == len(failed)
        assert all(reason.startswith(start) for reason, start in zip(bad, sorted(failed), strict=True))
        for row in rows:
            epochs = Counter((step["epoch"], step["metric"]) for step in row["history"])
            assert set(epochs.values()) <= {1}
            losses = [step["epoch"] for step in row["history"] if step["metric"] == "loss"]
            # The epoch in which a trial diverged is not done; its loss is infinite.
            diverged = row["reason"].startswith("DIVERGED")
            assert losses == list(range(1, row["epochs_done"] + 1 + diverged))
            assert [one["value"] for one in row["history"] if one["metric"] == "loss"].count(math.inf) == diverged
        attempts = [(one["trial_key"], one["attempt_id"]) for one in self.rows(attempts=True)]
        for key, attempt in before.items():
            assert max(one for trial, one in attempts if trial == key) == attempt  # they sort by time
        return rows


class Run:
    """A run under way."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def wait_until(self, condition) -> None:
        """Until it holds; the run must not end before."""
        wait_until(lambda: self._goes_on() and condition())

    def _goes_on(self) -> bool:
        assert self.process.poll() is None, self.process.communicate()
        return True

    def interrupt(self, number: int = signal.SIGINT) -> None:
        """What a terminal does at Ctrl-C."""
        os.killpg(self.process.pid, number)

    def end(self) -> tuple[int, str, str]:
        """Its exit code and what it printed; never a traceback."""
        out, err = self.process.communicate(timeout=2 * DEADLINE)
        assert "Traceback" not in out + err, err
        return self.process.returncode, out, err


def wait_until(condition) -> None:
    """Until it holds; looking takes a fifth of the time at most, as those that are waited for need the cores."""
    deadline = time.monotonic() + DEADLINE
    while True:
        began = time.monotonic()
        if condition():
            return
        assert time.monotonic() < deadline
        time.sleep(min(max(0.05, 4 * (time.monotonic() - began)), 0.5))


def repeated(epochs: list[Begun]) -> Counter[tuple[str, str]]:
    """How many epochs each trial has begun more than once."""
    counts = Counter((one.seed, one.harm, one.epoch) for one in epochs)
    return Counter((seed, harm) for (seed, harm, _), count in counts.items() for _ in range(count - 1))
