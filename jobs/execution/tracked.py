"""Tells trackers (TensorBoard, W&B, MLflow, a user's own) of a trial's epochs, without ever harming the trial.

Each tracker works in a thread of its own, which the trial does not wait for until its end. One that fails, hangs or is
not installed is told of once, in the reason of the trial's row; it is told nothing more.
"""

from __future__ import annotations

import hashlib
import queue
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Protocol

from core.config import plugins
from core.errors import UserError
from jobs.execution import epochs
from jobs.execution.order import Order
from jobs.execution.verdict import joined
from jobs.results.layout import TRACKERS, study_folder
from jobs.results.schema import Attempt

KIND = "trackers"
"""The kind of plug-in."""
END_SECONDS = 30.0
"""How long a trial that has ended waits for all its trackers together: their packages alone take seconds to import."""
LEAVE_SECONDS = 0.3
"""The same of a trial that is interrupted, whose process has to leave."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a tracker knows of a trial when it opens.

    Attributes:
        id: 16 characters, the same for every attempt at one trial with the same code and data: a tracker goes on with
            the run of this id.
        name: what people see.
        study: the study's name.
        trial_key: of the trial.
        attempt_id: of this attempt, unlike any other.
        seed: of the trial.
        params: the configuration, dotted keys to scalars, None or lists.
        folder: for files, below the study's results; None where those are in an object store.
        after: the epoch after which the attempt goes on, 0 from the beginning. What the tracker has of later epochs is
            of an attempt that ended before it was kept.
    """

    id: str
    name: str
    study: str
    trial_key: str
    attempt_id: str
    seed: int
    params: Mapping[str, Any]
    folder: Path | None
    after: int


class Tracker(Protocol):
    """What the class `Tracker` of a tracker's file has; all its calls come from one thread.

    It opens in its constructor, which gets a `Run`. Whatever it raises ends it, and only it.
    """

    def log(self, epoch: int, seconds: float, values: Mapping[str, float]) -> None:
        """Takes what an epoch gave.

        Args:
            epoch: from 1; an attempt that goes on may repeat epochs that the tracker has.
            seconds: of the trial so far.
            values: losses and scores by name, signals as `health.<name>`, parameters that change as `hp.<key>`. Some
                may be infinite or NaN.
        """
        ...

    def close(self, status: str, reason: str) -> None:
        """Ends the run, or leaves it to a later attempt.

        Args:
            status: `ok`, `stopped`, `failed`, `paused` (a member of a population that waits) or `interrupted`.
            reason: why, else empty.
        """
        ...


class Tracked:
    """The trackers of one attempt at a trial, which its order names; until they are opened they are told nothing."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._followers: list[_Follower] = []

    def open(self, attempt_id: str, after: int) -> None:
        """Opens the trackers for an attempt that goes on after an epoch, or begins after 0; returns at once."""
        if self._order.track:
            run = _run(self._order, attempt_id, after)
            self._followers = [_Follower(name, run) for name in self._order.track]

    def log(self, attempt: Attempt) -> None:
        """Tells the trackers of the attempt's last epoch; returns at once."""
        for one in self._followers:
            one.tell((attempt.epochs_done, attempt.seconds, epochs.last(attempt)))

    def close(self, status: str, reason: str, *, leaving: bool = False) -> str:
        """Ends the trackers' runs, as `Tracker.close` says; returns the reason with what failed.

        Args:
            status: how the attempt ends.
            reason: why.
            leaving: whether the process has to leave.
        """
        for one in self._followers:
            one.tell((status, reason))
        end = time.monotonic() + (LEAVE_SECONDS if leaving else END_SECONDS)
        told = [one.ended(max(0.0, end - time.monotonic())) for one in self._followers]
        self._followers = []
        return joined(reason, *told)


def _run(order: Order, attempt_id: str, after: int) -> Run:
    folder = study_folder(order.results, order.study)
    same = f"{order.trial_key}\n{order.code_hash}\n{order.data_hash}"
    return Run(
        id=hashlib.sha256(same.encode()).hexdigest()[:16],
        name=f"{order.trial_key} seed {order.seed}",
        study=order.study,
        trial_key=order.trial_key,
        attempt_id=attempt_id,
        seed=order.seed,
        params=dict(order.parameters),
        folder=folder / TRACKERS if isinstance(folder, Path) else None,
        after=after,
    )


class _Follower:
    """One tracker and its thread. `_at` is the last epoch that it took, `_trouble` what ended it early."""

    def __init__(self, name: str, run: Run) -> None:
        self._name, self._run = name, run
        self._at, self._trouble = 0, ""
        self._told = queue.SimpleQueue[tuple[Any, ...]]()
        # A daemon: the process need not wait for a server that does not answer.
        self._thread = threading.Thread(target=self._work, name=f"tracker {name}", daemon=True)
        self._thread.start()

    def tell(self, what: tuple[Any, ...]) -> None:
        if self._thread.is_alive():
            self._told.put(what)

    def ended(self, patience: float) -> str:
        """Waits for its end; returns a sentence if it failed."""
        self._thread.join(patience)
        trouble = "it does not answer" if self._thread.is_alive() else self._trouble
        if not trouble:
            return ""
        has = f"it has the epochs up to {self._at}" if self._at else "it has no epoch"
        return f"TRACKER: {PurePath(self._name).name}: {trouble}, {has}".replace("; ", ", ")  # One of several reasons.

    def _work(self) -> None:
        try:
            tracker: Tracker = plugins.load(KIND, self._name)(self._run)
            while len(what := self._told.get()) == 3:
                tracker.log(*what)
                self._at = what[0]
            tracker.close(*what)
        except BaseException as error:  # noqa: BLE001 - whatever a tracker does, it does to itself alone
            self._trouble = _told(error)


def _told(error: BaseException) -> str:
    """What failed, without the error's own words: they may hold an address with a key, and the row would keep it."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, ImportError) and error.name:
        return f"{error.name} is not installed"
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {PurePath(place.filename).name}, line {place.lineno}"


def check(names: Sequence[str]) -> None:
    """Checks that the packages which trackers need are installed here.

    Raises:
        UserError: one is not, or there is no such tracker.
    """
    from importlib.util import find_spec

    for name in names:
        package = plugins.constant(KIND, name, "needs", "")
        if package and find_spec(package) is None:
            how = plugins.constant(KIND, name, "install", "install it")
            raise UserError(f"track: {name}: {package} is not installed: {how}")
