"""Follows the state of one study: what has not changed is not counted again."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from jobs.health.status import StudyStatus, columns, standing, updated
from jobs.live.rows import FollowedRows
from jobs.results import lock

if TYPE_CHECKING:
    from jobs.results.storage import Place

_AGAIN_SECONDS = 15.0
"""After so long the state is counted without news, too: a trial that writes no more is silent at some time."""


class Following:
    """One study.

    Attributes:
        folder: Its folder.
        rows: Its rows.
        changes: How often they have changed.
        heard: When they changed last, or when this began to look; of `time.monotonic`.
        is_free: Whether it is certain that no process runs it.
    """

    def __init__(self, folder: Place) -> None:
        self.folder, self.rows = folder, FollowedRows(folder, columns(folder))
        self.changes, self.is_free, self.heard = 0, False, time.monotonic()
        self._found: StudyStatus | None = None
        self._counted: tuple[int, bool] = (-1, False)
        self._due = 0.0

    def look(self) -> StudyStatus:
        """The state as the study's files tell it now.

        With ten thousand rows the best takes half a second of work: at most half of the time goes into it.
        """
        if self.rows.look():
            self.changes, self.heard = self.changes + 1, time.monotonic()
        self.is_free = lock.is_free(self.folder)
        now = self.changes, self.is_free
        began = time.monotonic()
        is_new = now != self._counted or began >= self._due + _AGAIN_SECONDS
        if self._found is None or (is_new and began >= self._due):
            self._found, self._counted = standing(self.folder, loaded=self.rows.loaded()), now
            self._due = time.monotonic() + (time.monotonic() - began)
        begun = tuple(updated(self.folder, one) if one.state == "running" else one for one in self._found.begun)
        return replace(self._found, begun=begun)
