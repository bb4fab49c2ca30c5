"""Runs the studies of a queue one after the other, each by `conclus run` in a separate process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import UserError
from core.seal import is_sealed_text
from jobs.execution.queue import Holder, Queue, QueueEntry
from jobs.results import records
from jobs.results.storage import open_regular, open_to_lock, read_regular

POLL_SECONDS = 0.2
CHANGED = "its data or conclus itself changed since it was added: other trials were run"
FRONT_DOOR = Path(__file__).resolve().parents[2] / "conclus.py"

Say = Callable[[str], None]


@dataclass
class Interrupts:
    """The number of times Ctrl-C was pressed; a plain number, because a signal handler increases it."""

    count: int = 0


@dataclass
class Runner:
    """Runs the studies of a queue.

    Attributes:
        queue: The queue.
        results: The results folder, as passed to `conclus run`.
        options: Further options of `conclus run`.
        say: Prints a line about the queue.
        show: Prints the output of a study's process.
        interrupts: Once above 0, the running study is asked to stop and no other starts.
        ended: Number of studies by how they ended.
    """

    queue: Queue
    results: str
    options: Sequence[str]
    say: Say
    show: Say
    interrupts: Interrupts
    ended: Counter[str] = field(default_factory=Counter[str])

    def work_off(self, *, keep_waiting: bool) -> None:
        """Runs the waiting studies in order until none is left; with `keep_waiting`, until it is interrupted.

        Raises:
            UserError: another process runs this queue.
        """
        with self.queue.working():
            self._wait_for_orphan()
            while not self.interrupts.count:
                if taken := self.queue.take():
                    self._run(*taken)
                elif not keep_waiting:
                    return
                else:
                    time.sleep(POLL_SECONDS)

    def _run(self, entry: QueueEntry, lock: int) -> None:
        log = self.queue.path(entry.number, "log")
        self.say(f"number {entry.number}, {entry.study}: starts; all it prints is also in {log}")
        copy = self.queue.path(entry.number, "yaml")
        # The study's process reports mistakes in the copy.
        with contextlib.suppress(OSError, ValueError):
            if not is_sealed_text(read_regular(copy)):
                self.say(records.without_digest(copy))
        with os.fdopen(open_to_lock(log, os.O_APPEND), "ab") as out:
            follower = _Follower(log, out.tell(), self.show)
            # A separate session, so that Ctrl-C in the terminal reaches only the runner, which passes it on once.
            process = subprocess.Popen(
                self._command(entry),
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                pass_fds=[lock],
                start_new_session=True,
            )
        self.queue.sign(lock, process.pid)
        asked = self._attend(entry, follower, lambda: process.poll() is not None, process.pid)
        code = process.returncode
        self._end(entry, code, _said(code, follower.text), asked=asked)
        os.close(lock)

    def _command(self, entry: QueueEntry) -> list[str]:
        """The command `conclus run` by its file: with `-m`, a folder `core` in the current one would hide ours."""
        snapshot = str(self.queue.path(entry.number, "yaml"))
        return [sys.executable, str(FRONT_DOOR), "run", snapshot, "--results", self.results, *self.options]

    def _attend(self, entry: QueueEntry, follower: _Follower, is_over: Callable[[], bool], pid: int | None) -> bool:
        """Waits for a study's process, shows its output and passes on Ctrl-C and `cancel`; True if it passed one on."""
        sent = 0
        while not is_over():
            wanted = max(self.interrupts.count, int(self.queue.is_cancelled(entry.number)))
            if wanted > sent and pid is not None:
                # The process has ended since the check.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGINT)
                sent += 1
            follower.go_on()
            time.sleep(POLL_SECONDS)
        follower.finish()
        return sent > 0

    def _end(self, entry: QueueEntry, code: int, said: str, *, asked: bool) -> None:
        if code == 0:
            try:
                said = CHANGED if self.queue.trials_done(entry, self.results) < entry.total else ""
            except UserError as error:
                said = str(error)
        entry = self.queue.end(entry, code, said, asked=asked)
        state = "interrupted" if entry.state == "waiting" else entry.state
        self.ended[state] += 1
        how = {
            "failed": f"failed with exit code {code}: {said}",
            "left": f"left, more to do: {said}",
            "interrupted": "interrupted, it waits again",
            "done": f"done; {said}" if said else "done",
        }
        self.say(f"number {entry.number}, {entry.study}: {how.get(state, state)}")

    def _wait_for_orphan(self) -> None:
        """Waits for the study that a killed runner left running, so that it does not run twice."""
        if not self.queue.busy():
            return
        holder, entry = self.queue.holder("study"), self.queue.running()
        if entry is None:
            raise UserError(f"{self.queue.folder}: {holder.text} still runs a study whose file is torn: stop it first")
        self.say(
            f"number {entry.number}, {entry.study}: {holder.text} still runs it, its runner was killed: "
            "waiting for it to end"
        )
        log = self.queue.path(entry.number, "log")
        follower = _Follower(log, log.stat().st_size if log.exists() else 0, self.show)
        self._attend(entry, follower, lambda: self._is_left(holder), holder.pid)

    def _is_left(self, holder: Holder) -> bool:
        """Whether to stop waiting for an orphan: at Ctrl-C, one that cannot be signalled from here is left running."""
        return not self.queue.busy() or (holder.pid is None and self.interrupts.count > 0)


class _Follower:
    """Shows whole lines that are appended to a log, and remembers the text."""

    def __init__(self, path: Path, start: int, show: Say) -> None:
        self.path = path
        self.position = start
        self.show = show
        self.text = ""

    def go_on(self) -> None:
        new = self._new()
        self._take(new[: new.rfind(b"\n") + 1])

    def finish(self) -> None:
        self._take(self._new())

    def _new(self) -> bytes:
        # If the log was deleted, nothing more is shown; the study continues.
        with contextlib.suppress(OSError), open_regular(self.path) as file:
            file.seek(self.position)
            return file.read()
        return b""

    def _take(self, new: bytes) -> None:
        self.position += len(new)
        if text := new.decode(errors="replace"):
            self.text += text
            self.show(text)


def _said(code: int, output: str) -> str:
    """One line on how a process ended: its signal, its first error, or its last line."""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    lines = [line for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("Error: ") for line in lines if line.startswith("Error: ")]
    return [*errors[:1], *reversed(lines), ""][0]
