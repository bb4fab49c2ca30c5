"""Commands that are killed, ended or stopped for a while at random moments, over and over, until each comes through."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from core.errors import UserError
from jobs.execution.queue import Queue
from jobs.results import reader, writer
from jobs.results.schema import Attempt

ROOT = Path(__file__).resolve().parents[2]
DOOR = Path(__file__).with_name("storm_door.py")
EPOCHS = 8
ROWS = 120
DEADLINE = 180
ENDS = {1, 3, 130, -signal.SIGKILL, -signal.SIGTERM, signal.SIGTERM}
"""Exit codes of what was struck; the last is Ray's, while it starts."""

METHOD = '''import os, time
from pathlib import Path
from core.methods.cc import Method as Base

class Method(Base):
    """CC that notes every epoch it begins."""

    def __init__(self, setting, *, tag: int = 0):
        super().__init__(setting)
        self.who = f"{setting.seed}-{tag}"

    def begin_epoch(self, epoch, _samples):
        with (Path(__file__).parent / "epochs").open("a") as file:
            file.write(f"{self.who} {epoch} {os.getpid()}\\n")
        time.sleep(0.08)
'''
STUDY = f"""study: s
trial:
  data: {{name: file, path: mine.npz}}
  method: {{name: {{method}}}}
  encoder: {{name: mlp, widths: [16]}}
  batch_size: 60
  epochs: {EPOCHS}
space:
  method.tag: {{grid: [1, 2]}}
seeds: [0, 1]
"""


@dataclass
class Tally:
    """What was done, and what it came to."""

    signals: Counter = field(default_factory=Counter)
    through: int = 0
    orphans_seen: int = 0
    orphans_left: int = 0
    repeated: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        return self.signals.total()


class Scene:
    """One command in a folder of its own: prepared, struck until it comes through, checked, and prepared anew."""

    name = ""
    codes = (0,)
    workers = 1

    def __init__(self, home: Path, chance: random.Random) -> None:
        self.home, self.chance, self.tally = home, chance, Tally()
        self.folder, self.count, self.seconds = home / self.name, 0, 0.0
        self.struck = 0
        self.done: dict[str, str] = {}

    # What the scenes differ in

    def prepare(self) -> None:
        """Puts into the folder what the command needs."""

    def command(self) -> list[str]:
        raise NotImplementedError

    def sweeping(self) -> list[list[str]]:
        """The next command that sweeps, where this one does not."""
        return []

    def victims(self, process: subprocess.Popen) -> list[int]:
        """Whom a signal may hit."""
        return [process.pid]

    def planned(self) -> int:
        raise NotImplementedError

    def is_through(self, code: int) -> bool:
        """Whether there is nothing left to do."""
        return code in self.codes

    # The storm

    def strike(self, kills: int) -> None:
        """As many signals; the first time the command runs in peace, to see how long it takes."""
        self._anew()
        self.seconds = self._in_peace()
        while self.tally.kills < kills:
            if self._once():
                self._check()
                self._anew()
        self._in_peace()

    def _anew(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.count += 1
        self.folder = self.home / f"{self.name.replace(' ', '-')}-{self.count}"
        self.folder.mkdir()
        self.struck, self.done = 0, {}
        self.prepare()

    def _start(self, arguments: list[str]) -> subprocess.Popen:
        env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"}
        with (self.folder / "said").open("ab") as said:
            command = [sys.executable, str(DOOR), *arguments]
            return subprocess.Popen(command, cwd=self.folder, env=env, stdout=said, stderr=said, start_new_session=True)

    def _in_peace(self) -> float:
        began = time.monotonic()
        code = self._start(self.command()).wait(DEADLINE)
        if not self.is_through(code):
            self._wrong(f"ended with {code}")
        seconds = time.monotonic() - began
        self._check()
        return seconds

    def _once(self) -> bool:
        """Starts it, and strikes at a random moment; whether it came through."""
        began = time.monotonic()
        process = self._start(self.command())
        # One that was only stopped for a while goes on, and is struck again.
        while self._strikes(process) == signal.SIGSTOP:
            pass
        try:
            code = process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self._wrong("hung")
            os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
        if code in self.codes:
            # What was resumed is shorter than what begins anew: moments are to fall into both.
            self.seconds += 0.3 * (time.monotonic() - began - self.seconds)
        self._look(code)
        return self.is_through(code)

    def _strikes(self, process: subprocess.Popen) -> int:
        """At a random moment; the signal, or 0 where the process came to its end before."""
        moment = time.monotonic() + self.chance.uniform(0.02, self.seconds)
        while process.poll() is None and time.monotonic() < moment:
            time.sleep(0.01)
        return self._signal(process) if process.poll() is None else 0

    def _signal(self, process: subprocess.Popen) -> int:
        number = self.chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
        victims = self.chance.choice([[one] for one in self.victims(process)] + [self.victims(process)])
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if number == signal.SIGSTOP:
            time.sleep(self.chance.uniform(0.05, 0.5))
            for pid in victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        self.struck += 1
        self.tally.signals[number.name] += 1
        return number

    # What must hold

    def rows(self, *, attempts: bool = False) -> list[dict]:
        try:
            return reader.load([str(self.folder / "results")], attempts=attempts, history=True).table.to_pylist()
        except UserError:  # There are no results yet.
            return []

    def _look(self, code: int) -> None:
        """After each strike: what was done is still done, by the same attempt; nothing stands twice."""
        said = (self.folder / "said").read_text(errors="replace")
        if "Traceback" in said or code not in {*self.codes, *ENDS}:
            self._wrong(f"ended with {code} and said: {said[-2000:]}")
        self.tally.orphans_seen += len(self._orphans())
        good = {one["trial_key"]: one["attempt_id"] for one in self.rows() if one["status"] == "ok"}
        if lost := self.done.items() - good.items():
            self._wrong(f"lost {sorted(lost)}")
        self.done = good

    def _check(self) -> None:
        """Once it came through: everything that was planned is there, once, whole, and no debris is left."""
        self.tally.through += 1
        for arguments in self.sweeping():
            self._start(arguments).wait(DEADLINE)
        self.tally.orphans_left += len(self._orphans())
        rows = self.rows()
        keys = Counter(one["trial_key"] for one in rows)
        if len(keys) != self.planned() or set(keys.values()) - {1} or {one["status"] for one in rows} != {"ok"}:
            self._wrong(f"{len(rows)} rows of {len(keys)} trials, {self.planned()} planned")
        ended = Counter(one["trial_key"] for one in self.rows(attempts=True) if one["status"] == "ok")
        if doubled := [key for key, count in ended.items() if count > 1]:
            self._wrong(f"doubled {doubled}")
        for row in rows:
            steps = Counter((step["epoch"], step["metric"]) for step in row["history"] or ())
            if set(steps.values()) - {1}:
                self._wrong(f"{row['trial_key']}: epochs stand twice in its history")
        self._check_epochs()

    def _check_epochs(self) -> None:
        file = self.folder / "epochs"
        lines = Counter(line.rpartition(" ")[0] for line in file.read_text().splitlines()) if file.exists() else {}
        repeated = Counter()
        for line, count in lines.items():
            repeated[line.partition(" ")[0]] += count - 1
        self.tally.repeated += repeated.total()
        if max(repeated.values(), default=0) > self.struck or repeated.total() > self.struck * self.workers:
            self._wrong(f"{dict(repeated)} epochs repeated after {self.struck} strikes")

    def _orphans(self) -> list[Path]:
        return list((self.folder / "results").rglob(".*.tmp"))

    def _wrong(self, what: str) -> None:
        self.tally.wrong.append(f"{self.folder.name}, strike {self.tally.kills}: {what}")


class Run(Scene):
    name = "run"

    def prepare(self) -> None:
        write_study(self.folder)

    def command(self) -> list[str]:
        return ["run", "study.yaml", "--workers", str(self.workers)]

    def planned(self) -> int:
        return 4


class RayRun(Run):
    name = "run on Ray"
    workers = 2

    def victims(self, process: subprocess.Popen) -> list[int]:
        """The driver, and the processes that train."""
        file = self.folder / "epochs"
        noted = {int(line.split()[2]) for line in file.read_text().splitlines()} if file.exists() else set()
        return [process.pid, *(pid for pid in sorted(noted) if b"ray::" in command_line(pid))]


class QueueRun(Run):
    name = "queue run"

    def prepare(self) -> None:
        super().prepare()
        self._start(["queue", "add", "study.yaml"]).wait(DEADLINE)

    def command(self) -> list[str]:
        return ["queue", "run", "--workers", "1"]

    def is_through(self, code: int) -> bool:
        """A study whose own process was killed has failed: it is queued once more, as a person would."""
        states = {one.state for one in Queue(str(self.folder / "results")).read()[0]}
        if code == 0 and not states & {"done", "waiting", "running"}:
            self._start(["queue", "add", "study.yaml"]).wait(DEADLINE)
        return code == 0 and "done" in states

    def victims(self, process: subprocess.Popen) -> list[int]:
        """The runner, and the process of its study."""
        queue = Queue(str(self.folder / "results"))
        with contextlib.suppress(OSError):
            pid = queue.holder("study").pid if queue.busy() else None
            return [process.pid, *([pid] if pid else [])]
        return [process.pid]


class Compact(Scene):
    name = "compact"

    def prepare(self) -> None:
        for i in range(ROWS):
            writer.write(str(self.folder / "results"), attempt(i))

    def command(self) -> list[str]:
        return ["compact", "results"]

    def planned(self) -> int:
        return ROWS


class Import(Scene):
    name = "import"

    def prepare(self) -> None:
        lines = [f"{i / 1000:.3f},{i % 3},{0.5 + i / 1000:.3f}" for i in range(1, ROWS + 1)]
        (self.folder / "t.csv").write_text("\n".join(["learning_rate,seed,NMI", *lines]) + "\n")

    def command(self) -> list[str]:
        return ["import", "t.csv", "--results", "results", "--study", "s", "--yes"]

    def sweeping(self) -> list[list[str]]:
        return [["compact", "results"]]

    def planned(self) -> int:
        return ROWS


class Confirm(Run):
    name = "confirm"
    codes = (0, 1)

    def prepare(self) -> None:
        finished = self.home / "finished"
        if not finished.is_dir():
            finished.mkdir()
            write_study(finished)
            before, self.folder = self.folder, finished
            self._start(["run", "study.yaml", "--workers", "1"]).wait(DEADLINE)
            self.folder = before
        shutil.copytree(finished, self.folder, dirs_exist_ok=True)

    def command(self) -> list[str]:
        options = ["--seeds-at-most", "4", "--margin", "0", "--top", "2", "--workers", "1"]
        return ["confirm", "study.yaml", "--results", "results", *options]

    def planned(self) -> int:
        """Four trials of the study, and what the rounds added of four more."""
        return len({one["trial_key"] for one in self.rows()} | set(self.done))


SHARES = {Run: 0.32, RayRun: 0.12, QueueRun: 0.2, Compact: 0.14, Import: 0.1, Confirm: 0.12}
"""Of all kills; what Ray takes to start makes its kills the dearest."""
LANES = ((Run, Compact, Import), (RayRun, QueueRun, Confirm))
"""Side by side, one core each."""


def write_study(folder: Path) -> None:
    """Small data, a method that notes its epochs, and the study; the method's name is that of a file."""
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    np.savez(folder / "mine.npz", X=rng.normal(size=(3, 5))[labels] + rng.normal(size=(120, 5)), y=labels)
    (folder / "noting.py").write_text(METHOD)
    (folder / "study.yaml").write_text(STUDY.replace("{method}", "./noting.py"))


def attempt(number: int) -> Attempt:
    """A row that is done."""
    return Attempt(
        study="s",
        trial_key=f"{number:016x}",
        config_key=f"{number // 2:016x}",
        seed=number % 2,
        attempt_id=writer.new_attempt_id(),
        status="ok",
        metrics={"nmi": 0.5},
        history=[(epoch, float(epoch), "loss", 1.0) for epoch in range(1, 30)],
    )


def command_line(pid: int) -> bytes:
    """Of a process; empty where it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""
