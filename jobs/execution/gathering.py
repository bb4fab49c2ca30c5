"""Gathers the rows of trials that have ended while the study runs: their files would be as many as its trials."""

from __future__ import annotations

import contextlib
import threading

from cluster.executor import Event
from jobs.results.layout import trial_files
from jobs.results.storage import Place, StorageError, name_of

ENDED = 1000
"""So many trials end between two times."""


class Gatherer:
    """Moves rows to files of many in a thread of its own, so that the driver goes on; see `jobs.results.compact`.

    It takes only trials whose end the driver knows: a trial whose process died before it told its end finds its row
    where it wrote it (`jobs.results.peek.has_finished`).
    """

    def __init__(self, folder: Place) -> None:
        self._folder = folder
        self._ended: set[str] = set()
        self._thread: threading.Thread | None = None

    def hear(self, event: Event) -> None:
        """Counts a trial that has ended, and gathers if they are enough."""
        if event.kind not in {"finished", "ended", "died"} or event.data.get("status") == "paused":
            return
        self._ended.add(event.key)
        if len(self._ended) >= ENDED and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._gather, args=(self._ended,), daemon=True)
            self._ended = set()
            self._thread.start()

    def close(self) -> None:
        """Waits for what is being gathered."""
        if self._thread is not None:
            self._thread.join()

    def _gather(self, ended: set[str]) -> None:
        from jobs.results.compact import gather  # pyarrow is slow to import.

        with contextlib.suppress(StorageError):  # The rows lie where they were; the end of the run tries it again.
            files = trial_files(self._folder)
            gather(self._folder, [file for file in files if name_of(file).partition(".")[0] in ended])
