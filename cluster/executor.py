"""What every executor offers: tasks in, events out, and a flag that ends the run."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

logger = logging.getLogger(__name__)

Report = Callable[[Mapping[str, Any]], None]
"""Called by the work as often as it likes; raises SystemExit when the run is being stopped, `EndedEarly` when this
task alone is to end."""

Work = Callable[[Mapping[str, Any], Report], Mapping[str, Any]]
"""Does one task: its payload and a report in, a small mapping out. It keeps its own results safe."""


class ClusterError(Exception):
    """The machines cannot do what was asked: one sentence for a person, exit code 2 at the front door."""


class EndedEarly(SystemExit):
    """Raised by a report: enough was seen of this task, it is over for good and the run goes on without it."""


@dataclass(frozen=True)
class Task:
    """One piece of work: a name that its events carry, and plain, picklable data."""

    key: str
    payload: Mapping[str, Any]


class Feed(Protocol):
    """Tasks that are made while others run: what comes next may depend on the events of those before."""

    def take(self) -> Task | None:
        """The next task; None when there is none now, and while nothing runs either: none any more."""
        ...


class TaskList:
    """The tasks of a list, in its order."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._tasks = iter(tasks)

    def take(self) -> Task | None:
        """The next of them."""
        return next(self._tasks, None)


@dataclass(frozen=True)
class TaskResources:
    """What one task takes: cores, (fractions of) graphics cards, and bytes of memory (0: not counted)."""

    cpu: float = 1
    gpu: float = 0
    memory: float = 0


@dataclass(frozen=True, kw_only=True)
class SuccessiveHalving:
    """Asynchronous successive halving, stopping variant (ASHA; Li et al., MLSys 2020).

    A task that reports `epoch` and `value` is ended at a rung (`grace * reduction ** i` epochs) where its value is
    not among the best 1 / `reduction` of those seen there.

    Attributes:
        mode: `max` or `min`, whichever is better.
        epochs: of a whole task.
        grace: no task is ended before so many epochs.
        reduction: the share that goes on is 1 / reduction.
        past: for each task of earlier runs its (epoch, value) pairs: the rungs begin with them.
    """

    mode: Literal["max", "min"]
    epochs: int
    grace: int
    reduction: float
    past: Sequence[Sequence[tuple[int, float]]] = ()


EventKind = Literal["started", "reported", "finished", "ended", "died"]


@dataclass(frozen=True)
class Event:
    """Something that happened to a task.

    A task is ``started`` (once per attempt; data: ``attempt``, from 1; error: one line on what ended the one before),
    then ``reported`` any number of times, then once and finally ``finished`` (data: the work's result), ``ended`` (by
    early stopping; data: its last report) or ``died`` (error: one line). A task that was stopped or never started has
    no final event.
    """

    kind: EventKind
    key: str
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    error: str = ""


OnEvent = Callable[[Event], None]


class Stop:
    """A flag that ends a run, to be raised from any thread or from a signal handler."""

    def __init__(self) -> None:
        # A plain bool, not threading.Event: its lock can deadlock when one signal interrupts another.
        self._requested = False

    def request(self) -> None:
        """Ask the run to end; asking again changes nothing."""
        self._requested = True

    @property
    def requested(self) -> bool:
        """Whether the run has been asked to end."""
        return self._requested


def guarded(on_event: OnEvent) -> OnEvent:
    """The same listener, but its exceptions are logged: a display must never end a sweep."""

    def send(event: Event) -> None:
        try:
            on_event(event)
        except Exception:
            logger.exception("The listener failed on %s of %s; the run goes on.", event.kind, event.key)

    return send


def one_line(error: BaseException) -> str:
    """The type and the first line of the message of an exception."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
