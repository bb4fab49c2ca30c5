"""Requests that one trial ends, as small files in its study's folder: no connection to the process that trains it.

A request in results from a stranger can end a trial and do nothing else, so it needs no trust.
"""

import contextlib
import re
import time
from datetime import UTC, datetime

from core.errors import UserError
from core.seal import seal_json
from jobs.results import records, storage
from jobs.results.layout import STOPS
from jobs.results.storage import Place, Remote, StorageError

_ENDING = ".json"
_LONGEST = 200
_KEY = re.compile(r"\w+")


def ask(folder: Place, trial_key: str, by: str) -> None:
    """Asks the trial to end after its epoch, and a later run not to start it again.

    Raises:
        UserError: Its key, which may come from a stranger's row, is no plain file name; or the folder for requests is a
            link.
        StorageError: The request cannot be written.
    """
    if not _KEY.fullmatch(trial_key):
        raise UserError(f"{trial_key!r} is no key of a trial that conclus made")
    _refuse_link(folder)
    storage.put(_file(folder, trial_key), seal_json({"by": by, "at": datetime.now(UTC).isoformat(timespec="seconds")}))


def withdraw(folder: Place, trial_key: str) -> None:
    """Deletes the request, so that the next run starts the trial again.

    Raises:
        UserError: The folder for requests is a link.
    """
    _refuse_link(folder)
    file = _file(folder, trial_key)
    storage.delete(file if isinstance(file, Remote) else str(file))


def asked(folder: Place) -> set[str]:
    """The keys of all trials that somebody asked to end."""
    if storage.is_link(folder / STOPS):
        return set()
    keys = {storage.name_of(file).removesuffix(_ENDING) for file in storage.files(folder / STOPS, _ENDING)}
    return set(filter(_KEY.fullmatch, keys))


class Request:
    """What a trial looks for at the end of its epochs, now and then: an object store needs some 20 ms for each look."""

    def __init__(self, folder: Place, trial_key: str) -> None:
        self._folder, self._trial_key = folder, trial_key
        self._place = _file(folder, trial_key)
        self._pause = 5.0 if isinstance(folder, Remote) else 1.0
        self._next = 0.0

    def came(self) -> str | None:
        """Who asked the trial to end; None if nobody did, or if nobody looked because it is too early."""
        if time.monotonic() < self._next:
            return None
        self._next = time.monotonic() + self._pause
        try:
            return self._by() if storage.is_file(self._place) else None
        except StorageError:
            return None  # It is looked for again.

    def forget(self) -> None:
        """Deletes a request that came too late: the trial has ended by itself. Run anew, it is not meant."""
        with contextlib.suppress(StorageError, UserError, FileNotFoundError):
            if storage.is_file(self._place):
                withdraw(self._folder, self._trial_key)

    def _by(self) -> str:
        try:
            return (records.read(self._place, {"by": str | None})["by"] or "somebody")[:_LONGEST]
        except (FileNotFoundError, KeyError, records.RecordError):
            return "somebody"


def _refuse_link(folder: Place) -> None:
    if storage.is_link(folder / STOPS):
        raise UserError(f"{folder / STOPS} is a link: requests lie in the results themselves")


def _file(folder: Place, trial_key: str) -> Place:
    return folder / STOPS / f"{trial_key}{_ENDING}"
