"""Studies that wait for the same machines: their states are files, and whatever process dies, the queue goes on.

One queue serves one place, and runs one study at a time on all of it. On a cluster it is Ray that places trials, by its
own scheduling and by the study's `resources`; here is only decided which study is next. `<results>/queue/` holds

    7.yaml       the study as it was added, every default and override in it; written once, with a digest
    7.keys       the keys of its trials, one a line; written once: `QueueEntry.plan` is their digest
    7.json       its state (`QueueEntry`), replaced as a whole, with a digest
    7.log        what its runs printed

and three files that are locked (`flock`: the system lets go of a lock however its holder ends):

    change.lock  for the moment of one change or look
    runner.lock  by the process that works the queue off
    study.lock   while a study runs, by its runner and by its process, which inherits the lock: if only one is killed,
                 the other still holds it

An entry is there from the moment its `.json` is. One that is `running` while nobody holds `study.lock` was cut short:
it waits again, at its place.
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

from core.errors import UserError
from core.seal import seal_json, seal_text
from jobs.results import records, storage
from jobs.results.layout import QUEUE, existing
from jobs.results.peek import without_digest
from jobs.results.storage import open_to_lock, put, read_regular, reason

_SHAPE = {
    **dict.fromkeys(("study", "plan", "state", "added", "ended", "said"), str),
    **dict.fromkeys(("priority", "total"), int),
    "cancel": bool,
    "exit_code": int | None,
}
"""Of the file of an entry."""
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_NAME_BYTES = 512
KILLED = "interrupted: its runner was killed"
EntryState = Literal["waiting", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True, kw_only=True)
class QueueEntry:
    """One study of the queue.

    Attributes:
        number: What it is called by; counts up, so it is also the order of arrival.
        study: Its name.
        plan: A digest of its name and its trials' keys.
        priority: Higher ones run first.
        state: Where it stands; see `Queue.read` for one that was cut short.
        added: When, UTC, ISO 8601; so is `ended`, empty before.
        cancel: Whether it was asked to stop and not to go on, while it runs.
        exit_code: That of its last run; None before, and where a killed runner left it unknown.
        said: One line about how its last run ended, where there is more to say than the state does.
        total: Its trials.
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
        """Whether it will not run any more."""
        return self.state in {"done", "failed", "cancelled"}


def in_order(entries: Sequence[QueueEntry]) -> list[QueueEntry]:
    """Those that wait, the next one first: higher priority, then first come."""
    return sorted((one for one in entries if one.state == "waiting"), key=lambda one: (-one.priority, one.number))


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock; `pid` is None where it was not written down, or is one of another machine."""

    text: str
    pid: int | None


class Queue:
    """The queue below a results folder. Every method is one change: all of it happens, or nothing."""

    def __init__(self, results: str) -> None:
        if "://" in results:
            raise UserError(f"--results {results}: a queue needs a folder on a disk, where files can be locked")
        self.folder = Path(str(existing(Path(results), QUEUE)))

    def path(self, number: int, kind: Literal["yaml", "keys", "json", "log"]) -> Path:
        """A file of an entry."""
        return self.folder / f"{number}.{kind}"

    # Looking

    def read(self) -> tuple[list[QueueEntry], list[str]]:
        """All entries by number, a sentence for each file that is torn, and one about those without a digest.

        An entry that was cut short is returned as waiting, which it is.
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
        """An entry, and whether a digest vouches for it."""
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

    # What people do

    def add(self, study: str, snapshot: str, keys: Sequence[str], priority: int = 0) -> QueueEntry:
        """Puts a study behind those of its priority: its name, its whole file, and the keys of its trials.

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
        """Gives an entry another priority; `front` one that is above those of all others that wait.

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
        """Takes an entry out; one that runs is marked, and its runner stops it.

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

    # What the runner does

    @contextlib.contextmanager
    def working(self) -> Generator[None]:
        """Holds the queue as its one runner.

        Raises:
            UserError: another process does.
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
        """The next entry, running from now on, and the descriptor of `study.lock`.

        The study's process is to inherit the lock, and the runner to close it after `end`. None while nothing waits, or
        while the process of a killed runner still runs its study.
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
        """Writes down whose a lock is, for people and for the next runner."""
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{pid} {socket.gethostname()}".encode(), 0)

    def _recover(self) -> None:
        """Lets entries wait again, or be cancelled, whose process is gone: the caller holds both locks."""
        for number in self._numbers("json"):
            with contextlib.suppress(UserError):
                entry = self._entry(number)
                if entry.state == "running":
                    self._write(_cut_short(entry, KILLED))

    def busy(self) -> bool:
        """Whether a process runs a study: for a runner that started none, that of a runner that was killed."""
        with self._changing():
            return self._held("study")

    def running(self) -> QueueEntry | None:
        """The entry that runs."""
        return next((one for one in self.read()[0] if one.state == "running"), None)

    def is_cancelled(self, number: int) -> bool:
        """Whether an entry that runs was asked to stop; not while its file is torn."""
        try:
            return self._entry(number).cancel
        except UserError:
            return False

    def end(self, entry: QueueEntry, code: int, said: str, *, asked: bool) -> QueueEntry:
        """Writes down how the run of an entry ended; one that was `asked` to stop waits again, or is cancelled."""
        with self._changing():
            # It may have been moved or cancelled meanwhile; a file that was damaged is written anew.
            with contextlib.suppress(UserError):
                entry = self._entry(entry.number)
            entry = replace(entry, exit_code=code)
            if code and (asked or entry.cancel):
                return self._write(_cut_short(entry, "interrupted"))
            return self._write(
                replace(entry, state="failed" if code else "done", ended=_now(), said=said, cancel=False)
            )

    def trials_done(self, entry: QueueEntry, results: str) -> int:
        """How many of an entry's trials, as they were when it was added, have a good row by now.

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
        """Who holds a lock that is held."""
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
        """Holds `change.lock`, for which everybody waits; it is never held for long."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = open_to_lock(self.folder / "change.lock")
        except (OSError, ValueError) as error:
            raise UserError(f"{self.folder}: the queue cannot be written there: {reason(error)}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        except OSError as error:
            raise UserError(f"{self.folder}: the queue cannot be written there: {reason(error)}") from error
        finally:
            os.close(descriptor)

    def _locked(self, lock: Literal["runner", "study"]) -> int | None:
        """The descriptor of a lock that is ours now, or None."""
        descriptor = open_to_lock(self.folder / f"{lock}.lock")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def _held(self, lock: Literal["runner", "study"]) -> bool:
        """Whether somebody holds a lock; looking disturbs nobody, for whoever takes one holds `change.lock`."""
        descriptor = self._locked(lock)
        if descriptor is not None:
            os.close(descriptor)
        return descriptor is None


def _cut_short(entry: QueueEntry, said: str) -> QueueEntry:
    """The entry after a run that did not come to its end: it waits again, unless it was cancelled."""
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
