"""Studies that wait for the same machines. Their states are files, so the queue survives the death of any process.

One queue belongs to one results folder and runs one study at a time on all machines. On a cluster, Ray places the
trials by its own scheduling and the study's `resources`; the queue only decides which study is next. `_queue` in the
results (of an object store, which has no locks: in a folder of the user on this machine) contains

    7.yaml       the study as it was added, every default and override in it; written once, with a digest
    7.keys       the keys of its trials, one per line; written once: `QueueEntry.plan` is their digest
    7.json       its state (`QueueEntry`), replaced as a whole, with a digest
    7.log        the output of its runs

and three lock files (`flock`: the system releases a lock however its holder ends):

    change.lock  held for the moment of one change or look
    runner.lock  held by the process that runs the queue
    study.lock   held while a study runs, by its runner and by its process, which inherits the lock: if only one is
                 killed, the other still holds it

An entry exists as soon as its `.json` does. An entry that is `running` while nobody holds `study.lock` was interrupted:
it waits again at its old position.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import socket
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from cluster.executor import LEFT
from core.errors import UserError
from core.seal import seal_json, seal_text
from jobs.results import records, storage
from jobs.results.layout import QUEUE, existing
from jobs.results.lock import is_taken, wait_for
from jobs.results.peek import without_digest
from jobs.results.storage import open_to_lock, put, read_regular, reason
from jobs.study import state_folder

_SHAPE = {
    **dict.fromkeys(("study", "plan", "state", "added", "ended", "said"), str),
    **dict.fromkeys(("priority", "total"), int),
    "cancel": bool,
    "exit_code": int | None,
}
"""The structure of an entry's file."""
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_NAME_BYTES = 512
KILLED = "interrupted: its runner was killed"
EntryState = Literal["waiting", "running", "done", "left", "failed", "cancelled"]


@dataclass(frozen=True, kw_only=True)
class QueueEntry:
    """One study of the queue.

    Attributes:
        number: Its number; numbers count up, so they also give the order of arrival.
        study: The study's name.
        plan: A digest of its name and its trials' keys.
        priority: Higher ones run first.
        state: Its state; `left` if its budget is spent; see `Queue.read` for an interrupted one.
        added: When it was added, UTC, ISO 8601; `ended` likewise, or empty.
        cancel: Whether it was cancelled while it runs.
        exit_code: The exit code of its last run; None before the end, or if a killed runner left it unknown.
        said: One line on how its last run ended, if the state does not tell all.
        total: Number of its trials.
    """

    number: int
    study: str
    plan: str
    priority: int
    total: int
    state: EntryState = "waiting"
    added: str = ""
    ended: str = ""
    cancel: bool = False
    exit_code: int | None = None
    said: str = ""

    @property
    def over(self) -> bool:
        """Whether it will not run again."""
        return self.state in {"done", "left", "failed", "cancelled"}


def in_order(entries: Sequence[QueueEntry]) -> list[QueueEntry]:
    """The waiting entries in the order in which they will run: by priority, then by arrival."""
    return sorted((one for one in entries if one.state == "waiting"), key=lambda one: (-one.priority, one.number))


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock; `pid` is None if it was not written or belongs to another machine."""

    text: str
    pid: int | None


class Queue:
    """The queue in a results folder. Every method makes one change, completely or not at all."""

    def __init__(self, results: str) -> None:
        place = storage.at(results)
        self.folder = Path(str(existing(place if isinstance(place, Path) else state_folder.queue(str(place)), QUEUE)))

    def path(self, number: int, kind: Literal["yaml", "keys", "json", "log"]) -> Path:
        """A file of an entry."""
        return self.folder / f"{number}.{kind}"

    # Looking

    def read(self) -> tuple[list[QueueEntry], list[str]]:
        """All entries by number, a sentence for each damaged file, and one on those without a digest.

        An entry that was interrupted is returned as waiting.
        """
        if not self.folder.is_dir():
            return [], []
        with self._changing():
            return self._read()

    def _read(self) -> tuple[list[QueueEntry], list[str]]:
        entries: list[QueueEntry] = []
        skipped: list[str] = []
        unsealed = 0
        for number in self._numbers("json"):
            try:
                entry, is_sealed = self._loaded(number)
            except UserError as error:
                skipped.append(str(error))
            else:
                entries.append(self._as_it_is(entry))
                unsealed += not is_sealed
        return entries, [*without_digest(unsealed, str(self.folder)), *skipped]

    def _entry(self, number: int) -> QueueEntry:
        return self._loaded(number)[0]

    def _loaded(self, number: int) -> tuple[QueueEntry, bool]:
        """An entry, and whether its file has a digest."""
        path = self.path(number, "json")
        try:
            content, is_sealed = records.load(path, _SHAPE)
            return _decoded(number, content), is_sealed
        except FileNotFoundError as error:
            raise UserError(f"{self.folder} has no number {number}: `conclus queue list` shows what it has") from error
        except (UserError, ValueError, TypeError) as error:
            raise UserError(
                f"{path} is skipped: it is torn, damaged or was not written by conclus: delete it and add the study "
                f"again ({path.with_suffix('.yaml').name} is its copy)"
            ) from error

    def _as_it_is(self, entry: QueueEntry) -> QueueEntry:
        if entry.state == "running" and not self._held("study"):
            return _cut_short(entry, KILLED)
        return entry

    def _numbers(self, *kinds: str) -> list[int]:
        files = [storage.name_of(one).partition(".") for one in storage.files(self.folder)]
        return sorted({int(stem) for stem, _, kind in files if _NUMBER.fullmatch(stem) and kind in kinds})

    # Actions of users

    def add(self, study: str, snapshot: str, keys: Sequence[str], priority: int = 0) -> QueueEntry:
        """Adds a study behind those of the same priority: its name, its whole file, and the keys of its trials.

        Raises:
            UserError: the same study waits or runs already, or the folder cannot be written.
        """
        plan = _digest(study, keys)
        with self._changing():
            for one in self._read()[0]:
                if one.plan == plan and not one.over:
                    raise UserError(
                        f"{study}: this study with the same trials is {one.state} already, as number {one.number}; "
                        f"`conclus queue move {one.number}` changes its place"
                    )
            number = max(self._numbers("yaml", "keys", "json", "log"), default=0) + 1
            put(self.path(number, "yaml"), seal_text(snapshot.encode()))
            put(self.path(number, "keys"), "".join(f"{one}\n" for one in keys).encode())
            return self._write(
                QueueEntry(number=number, study=study, plan=plan, priority=priority, total=len(keys), added=_now())
            )

    def move(self, number: int, *, priority: int | None = None, front: bool = False) -> QueueEntry:
        """Gives an entry another priority; with `front`, one above all other waiting entries.

        Raises:
            UserError: there is no such entry, or it is over.
        """
        with self._changing():
            entry = self._alive(number, "moved")
            priority = entry.priority if priority is None else priority
            if front:
                others = [one.priority for one in self._read()[0] if one.state == "waiting" and one.number != number]
                priority = max([priority, *(one + 1 for one in others)])
            return self._write(replace(entry, priority=priority))

    def cancel(self, number: int) -> QueueEntry:
        """Cancels an entry; a running one is marked, and its runner stops it.

        Raises:
            UserError: there is no such entry, or it is over.
        """
        with self._changing():
            entry = self._alive(number, "cancelled")
            if entry.state == "running":
                return self._write(replace(entry, cancel=True))
            return self._write(replace(entry, state="cancelled", ended=_now()))

    def _alive(self, number: int, what: str) -> QueueEntry:
        entry = self._as_it_is(self._entry(number))
        if entry.over:
            raise UserError(
                f"number {number} ({entry.study}) is {entry.state}: only one that waits or runs can be {what}"
            )
        return entry

    # Actions of the runner

    @contextlib.contextmanager
    def working(self) -> Generator[None]:
        """Holds the queue as its only runner.

        Raises:
            UserError: another process holds it.
        """
        with self._changing():
            descriptor = self._locked("runner")
            if descriptor is None:
                raise UserError(
                    f"{self.folder}: {self.holder('runner').text} works this queue off already: "
                    "it also takes up what is added now"
                )
            self.sign(descriptor, os.getpid())
        try:
            yield
        finally:
            os.close(descriptor)

    def take(self) -> tuple[QueueEntry, int] | None:
        """Marks the next entry as running; returns it and the descriptor of `study.lock`.

        The study's process must inherit the lock, and the runner must close it after `end`. None if nothing waits, or
        if the process of a killed runner still runs its study.
        """
        with self._changing():
            descriptor = self._locked("study")
            if descriptor is None:
                return None
            self._recover()
            waiting = in_order(self._read()[0])
            if not waiting:
                os.close(descriptor)
                return None
            os.ftruncate(descriptor, 0)  # the process that held it last may be another one by now
            return self._write(replace(waiting[0], state="running", said="", exit_code=None)), descriptor

    def sign(self, lock: int, pid: int) -> None:
        """Writes the process into the lock file, for users and for the next runner."""
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{pid} {socket.gethostname()}".encode(), 0)

    def _recover(self) -> None:
        """Sets running entries whose process is gone back to waiting, or to cancelled; the caller holds both locks."""
        for number in self._numbers("json"):
            with contextlib.suppress(UserError):
                entry = self._entry(number)
                if entry.state == "running":
                    self._write(_cut_short(entry, KILLED))

    def busy(self) -> bool:
        """Whether a process runs a study; if this runner started none, it belongs to a runner that was killed."""
        with self._changing():
            return self._held("study")

    def running(self) -> QueueEntry | None:
        """The running entry, or None."""
        return next((one for one in self.read()[0] if one.state == "running"), None)

    def is_cancelled(self, number: int) -> bool:
        """Whether a running entry was cancelled; False while its file is damaged."""
        try:
            return self._entry(number).cancel
        except UserError:
            return False

    def end(self, entry: QueueEntry, code: int, said: str, *, asked: bool) -> QueueEntry:
        """Records how the run of an entry ended; if it was `asked` to stop, it waits again or is cancelled."""
        with self._changing():
            # It may have been moved or cancelled meanwhile; a damaged file is rewritten.
            with contextlib.suppress(UserError):
                entry = self._entry(entry.number)
            entry = replace(entry, exit_code=code)
            if code and (asked or entry.cancel):
                return self._write(_cut_short(entry, "interrupted"))
            state = "left" if code == LEFT else "failed" if code else "done"
            return self._write(replace(entry, state=state, ended=_now(), said=said, cancel=False))

    def trials_done(self, entry: QueueEntry, results: str) -> int:
        """The number of an entry's trials, as they were when it was added, that have a finished row.

        Raises:
            UserError: the file of their keys cannot be read, or is damaged.
        """
        from jobs.results import peek
        from jobs.results.header import FINISHED

        stored, path = peek.statuses(results, entry.study).statuses, self.path(entry.number, "keys")
        advice = f"how many trials of number {entry.number} are done is not known: cancel it and add it again to see"
        try:
            keys = read_regular(path).decode(errors="replace").split()
        except OSError as error:
            raise UserError(f"{path}: {reason(error)}: {advice}") from error
        if _digest(entry.study, keys) != entry.plan:
            raise UserError(f"{path} is damaged: {advice}")
        return sum(stored.get(one) in FINISHED for one in keys)

    # Files and locks

    def holder(self, lock: Literal["runner", "study"]) -> Holder:
        """The holder of a lock that is held."""
        pid, _, host = read_regular(self.folder / f"{lock}.lock", _NAME_BYTES).decode(errors="replace").partition(" ")
        if not _NUMBER.fullmatch(pid):
            return Holder("another process", None)
        return Holder(f"process {pid} on {host}", int(pid) if host == socket.gethostname() else None)

    def _write(self, entry: QueueEntry) -> QueueEntry:
        content = {key: value for key, value in asdict(entry).items() if key != "number"}
        put(self.path(entry.number, "json"), seal_json(content))
        return entry

    @contextlib.contextmanager
    def _changing(self) -> Generator[None]:
        """Waits for `change.lock` and holds it; conclus never holds it for long.

        Raises:
            UserError: another process holds it, or the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = open_to_lock(self.folder / "change.lock")
        except (OSError, ValueError) as error:
            raise UserError(f"{self.folder}: the queue cannot be written there: {reason(error)}") from error
        try:
            wait_for(descriptor, self.folder / "change.lock")
            yield
        except OSError as error:
            raise UserError(f"{self.folder}: the queue cannot be written there: {reason(error)}") from error
        finally:
            os.close(descriptor)

    def _locked(self, lock: Literal["runner", "study"]) -> int | None:
        """Takes a lock and returns its descriptor; None if another process holds it."""
        descriptor = open_to_lock(self.folder / f"{lock}.lock")
        if is_taken(descriptor, fcntl.LOCK_EX):
            os.close(descriptor)
            return None
        return descriptor

    def _held(self, lock: Literal["runner", "study"]) -> bool:
        """Whether a process holds a lock; checking disturbs none, because locks are taken only under `change.lock`."""
        descriptor = self._locked(lock)
        if descriptor is not None:
            os.close(descriptor)
        return descriptor is None


def _cut_short(entry: QueueEntry, said: str) -> QueueEntry:
    """The entry after an interrupted run: it waits again, unless it was cancelled."""
    if entry.cancel:
        return replace(entry, state="cancelled", cancel=False, ended=_now(), said="")
    return replace(entry, state="waiting", said=said)


def _decoded(number: int, content: dict[str, Any]) -> QueueEntry:
    if content["state"] not in get_args(EntryState):
        raise ValueError("a state or a priority that there is not")
    return QueueEntry(number=number, **content)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _digest(study: str, keys: Sequence[str]) -> str:
    return hashlib.sha256("\n".join([study, *sorted(keys)]).encode()).hexdigest()[:16]
