"""Keeps what a trial prints with its results: its last megabyte, readable while it runs."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, TextIO

from jobs.results import storage
from jobs.results.layout import LOGS, study_folder
from jobs.results.storage import Place

LARGEST = 2**20
"""The most bytes that are kept of what one attempt prints."""
UPLOAD_SECONDS = 30.0
"""The shortest time between two writes to an object store, which cannot append."""
_CUT = b"[the beginning is cut]\n"


@contextlib.contextmanager
def kept(results: str, study: str, trial_key: str, attempt_id: str, *, alone: bool) -> Generator[Callable[[], None]]:
    """Keeps what the block prints in the folder of the study's logs; nothing is left there if it prints nothing.

    Without a place to keep it, and on a full disk, the block goes on as if it had printed.

    Args:
        results: The place of the results.
        study: The study's name.
        trial_key: The trial's key.
        attempt_id: The attempt's id.
        alone: Whether the process does nothing else. Then also what C libraries and child processes print is kept;
            else only what goes through `sys.stdout` and `sys.stderr`, which also get it.

    Yields:
        What the block calls now and then, to bring an object store up to date and to keep within `LARGEST`.
    """
    log = _Log(study_folder(results, study) / LOGS / f"{trial_key}.{attempt_id}.out")
    streams = sys.stdout, sys.stderr
    ours = tuple(_Stream(log, one, also=not alone) for one in streams)
    with contextlib.closing(log), _descriptors(log) if alone else contextlib.nullcontext():
        sys.stdout, sys.stderr = ours
        try:
            yield log.tend
        finally:
            sys.stdout, sys.stderr = streams


def keep_traceback(folder: Place, name: str, text: str) -> None:
    """Writes the traceback of a trial among its study's logs, if that can be done: the row has the reason."""
    with contextlib.suppress(storage.StorageError):
        if not storage.is_link(folder / LOGS):  # It may lead out of the results.
            storage.put(folder / LOGS / name, text.encode())


@contextlib.contextmanager
def _descriptors(log: _Log) -> Generator[None]:
    """The process's own descriptors of standard output and error lead to the log."""
    file = log.descriptor()
    if file is None:
        yield
        return
    before = {number: os.dup(number) for number in (1, 2)}
    for number in before:
        os.dup2(file, number)
    try:
        yield
    finally:
        for number, one in before.items():
            os.dup2(one, number)
            os.close(one)


class _Log:
    """A file that is appended to and cut at its beginning; for an object store a local one, which is uploaded.

    A file in a folder needs no flush: it holds the last words of a process that dies.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._file: int | None = None
        self._is_refused = False
        self._uploaded, self._due = 0, time.monotonic() + UPLOAD_SECONDS
        self._lock = threading.RLock()  # A signal's handler may print while the trial does.

    def descriptor(self) -> int | None:
        """The open file; None if there is no place for it."""
        if self._file is None and not self._is_refused:
            try:
                self._file = _opened(self._place)
            except OSError:
                self._is_refused = True
        return self._file

    def write(self, text: str) -> None:
        """Appends the text."""
        file = self.descriptor()
        if file is not None:
            with contextlib.suppress(OSError), self._lock:
                os.write(file, text.encode(errors="backslashreplace"))
                self._cut(file, 2 * LARGEST)

    def tend(self) -> None:
        """Cuts the beginning, and uploads what is new if it is time."""
        if self._file is None:
            return
        with contextlib.suppress(OSError), self._lock:
            self._cut(self._file, 2 * LARGEST)
            if time.monotonic() >= self._due:
                self._upload(self._file)

    def close(self) -> None:
        """Leaves at most `LARGEST` bytes, or no file if it is empty."""
        if self._file is None:
            return
        with contextlib.suppress(OSError), self._lock:
            self._cut(self._file, LARGEST)
            self._upload(self._file)
            if isinstance(self._place, Path) and not os.fstat(self._file).st_size:
                self._place.unlink()
        os.close(self._file)
        self._file, self._is_refused = None, True

    def _cut(self, file: int, most: int) -> None:
        size = os.fstat(file).st_size
        if size <= most:
            return
        end = os.pread(file, LARGEST - len(_CUT), size - LARGEST + len(_CUT))
        os.ftruncate(file, 0)
        os.write(file, _CUT + end.partition(b"\n")[2])

    def _upload(self, file: int) -> None:
        size = os.fstat(file).st_size
        if isinstance(self._place, Path) or size == self._uploaded:
            return
        storage.put(self._place, os.pread(file, size, 0))
        self._uploaded, self._due = size, time.monotonic() + UPLOAD_SECONDS


def _opened(place: Place) -> int:
    if not isinstance(place, Path):
        with tempfile.TemporaryFile("a+b") as file:
            return os.dup(file.fileno())
    place.parent.mkdir(parents=True, exist_ok=True)
    if storage.is_link(place.parent):
        raise OSError(f"{place.parent} is a link, which may lead out of the results")
    return storage.open_to_lock(place, os.O_APPEND)


class _Stream(io.TextIOBase):
    """A text stream that writes to the log, and also to the stream that it stands for."""

    def __init__(self, log: _Log, stream: TextIO, *, also: bool) -> None:
        self._log, self._stream, self._also = log, stream, also

    def write(self, text: str) -> int:
        """Writes to both."""
        self._log.write(text)
        return self._stream.write(text) if self._also else len(text)

    def flush(self) -> None:
        """Hands on what was written."""
        self._stream.flush()

    def fileno(self) -> int:
        """That of the stream."""
        return self._stream.fileno()

    def writable(self) -> bool:
        """Always."""
        return True

    def isatty(self) -> bool:
        """That of the stream if it is written to."""
        return self._also and self._stream.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the log."""
        return "utf-8"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
