"""The epochs of a trial that runs, written as they end: its row is rewritten only now and then.

A file of one attempt, `_progress/<trial>.<attempt>.jsonl`: first the metric and the number of epochs, then one line for
each epoch. It is appended to, needs no flush, and goes with the attempt's end, when all of it is in the row.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jobs.results import storage
from jobs.results.layout import PROGRESS, study_folder
from jobs.results.storage import Place, StorageError

PAUSE_SECONDS, REMOTE_PAUSE_SECONDS = 1.0, 5.0
"""The shortest time between two writes; an object store needs some 20 ms for each and takes the whole file."""
_SHARE = 0.005
"""Writing takes at most this share of an attempt's time."""
_LARGEST = 2**24
_NAME = re.compile(r"\w+")


class Epoch(NamedTuple):
    """What a line tells of an epoch: seconds since the trial's start, the loss and the metric, None where unknown."""

    epoch: int
    seconds: float
    loss: float | None
    value: float | None


class NotedCourse(NamedTuple):
    """The epochs of an attempt so far.

    Attributes:
        metric: The metric within a trial that the study selects by.
        epochs: The number of epochs planned.
        done: The epochs that have ended, those of an earlier attempt left out.
        written: When the file was last written, in seconds since 1970.
    """

    metric: str
    epochs: int
    done: tuple[Epoch, ...]
    written: float


@contextlib.contextmanager
def kept(payload: Mapping[str, Any], metric: str, attempt_id: str) -> Generator[Callable[[Mapping[str, Any]], None]]:
    """Keeps what an attempt reports until the block ends; where it cannot be written, the trial goes on.

    Args:
        payload: The fields of an order: `results`, `study`, `trial_key`, and `again` if there were attempts before.
        metric: The metric that is reported as `value`.
        attempt_id: The attempt's id.

    Yields:
        What takes each report, with `epoch`, `epochs`, `seconds`, `loss`, `value`, and whether it was `scored`.
    """
    folder = study_folder(payload["results"], payload["study"]) / PROGRESS
    key = payload["trial_key"]
    with contextlib.suppress(StorageError):
        if payload.get("again", True):  # What attempts left that were killed.
            _delete(*storage.files(folder, prefix=f"{key}."))
    note = _Note(folder / f"{key}.{attempt_id}.jsonl", metric)
    try:
        yield note.add
    finally:
        note.close()


def read(folder: Place, trial_key: str, attempt_id: str) -> NotedCourse | None:
    """What an attempt has told of its epochs; None if there is no file, or none that conclus wrote.

    Args:
        folder: The study's folder.
        trial_key: The trial.
        attempt_id: The attempt, as in its row.

    Raises:
        StorageError: The object store does not answer.
    """
    if not (_NAME.fullmatch(trial_key) and _NAME.fullmatch(attempt_id)):
        return None  # A stranger's row, whose key may lead elsewhere.
    place = folder / PROGRESS / f"{trial_key}.{attempt_id}.jsonl"
    try:
        written = storage.modified(place)
        lines = storage.read_regular(place, _LARGEST).decode().split("\n")[:-1]  # The last one may be half a line.
        about, *rest = [json.loads(line) for line in lines]
        if written is None:
            return None
        done, epochs = tuple(map(_epoch, rest)), about["epochs"]
        if type(epochs) is not int or any(one.epoch > epochs for one in done):
            return None
        return NotedCourse(str(about["metric"]), epochs, done, written)
    except FileNotFoundError:
        return None
    except StorageError:
        if isinstance(place, Path):
            return None
        raise
    except (ArithmeticError, ValueError, TypeError, KeyError, RecursionError):  # Of a stranger, or torn.
        return None


def _epoch(line: Any) -> Epoch:
    """An epoch from its line.

    Raises:
        ValueError: conclus did not write it.
    """
    if (
        not isinstance(line, list)
        or [type(one) for one in line[:2]] not in ([int, float], [int, int])
        or len(line) != 4
    ):
        raise ValueError("a line holds an epoch, seconds, a loss and a value")
    epoch, seconds, *scores = line
    if epoch < 1 or not 0 <= seconds < math.inf or any(type(one) not in {int, float, type(None)} for one in scores):
        raise ValueError("a line holds numbers alone")
    loss, value = (one if one is not None and math.isfinite(one) else None for one in scores)
    return Epoch(epoch, seconds, loss, value)


class _Note:
    """The file of one attempt."""

    def __init__(self, place: Place, metric: str) -> None:
        self._place, self._metric = place, metric
        self._pause = PAUSE_SECONDS if isinstance(place, Path) else REMOTE_PAUSE_SECONDS
        self._due = time.monotonic() + self._pause
        self._lines: list[str] = []
        self._written = 0

    def add(self, told: Mapping[str, Any]) -> None:
        """Adds an epoch, and writes if it is time."""
        if not self._lines:
            self._lines.append(json.dumps({"metric": self._metric, "epochs": told["epochs"]}))
        loss, value = told["loss"], told["value"] if told["scored"] else None
        # By hand, as epochs may take milliseconds; what is not finite is null.
        loss, value = (one if one is not None and math.isfinite(one) else "null" for one in (loss, value))
        self._lines.append(f"[{told['epoch']}, {told['seconds']:.3f}, {loss}, {value}]")
        began = time.monotonic()
        if began >= self._due:
            with contextlib.suppress(OSError):  # The row tells it later.
                self._write()
            ended = time.monotonic()
            self._due = ended + max(self._pause, (ended - began) / _SHARE)

    def close(self) -> None:
        """Deletes the file."""
        if self._written:
            _delete(self._place if not isinstance(self._place, Path) else str(self._place))

    def _write(self) -> None:
        if not isinstance(self._place, Path):
            storage.put(self._place, self._text(0))
        else:
            self._append(self._place)
        self._written = len(self._lines)

    def _append(self, place: Path) -> None:
        """Opened and closed each time: over NFS, other machines see it then."""
        if not self._written:
            place.parent.mkdir(parents=True, exist_ok=True)
            if storage.is_link(place.parent):
                raise OSError(f"{place.parent} is a link, which may lead out of the results")
        file = storage.open_to_lock(place, os.O_APPEND)
        try:
            os.write(file, self._text(self._written))
        finally:
            os.close(file)

    def _text(self, start: int) -> bytes:
        return "".join(f"{line}\n" for line in self._lines[start:]).encode()


def _delete(*files: storage.File) -> None:
    for file in files:
        with contextlib.suppress(OSError):
            storage.delete(file)
