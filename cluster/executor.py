"""The interface of every executor: it takes tasks, sends events, and stops when a flag is set."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

logger = logging.getLogger(__name__)

LEFT = 3
"""The exit code of a run that has left tasks to the next one, which goes on with them."""

Report = Callable[[Mapping[str, Any]], None]
"""The work may call it at any time; it raises SystemExit if the run is being stopped, and `EndedEarly` if only this
task is to end."""

Work = Callable[[Mapping[str, Any], Report], Mapping[str, Any]]
"""Does one task: it takes the payload and a report, and returns a small mapping. It saves its own results."""


class ClusterError(Exception):
    """The machines cannot do what was asked. The message is one sentence for the user; the exit code is 2."""


class EndedEarly(SystemExit):
    """Raised by a report: this task was stopped early and is done; the run goes on with the others."""


@dataclass(frozen=True)
class Task:
    """One piece of work: a key, which its events also have, and plain data that can be pickled."""

    key: str
    payload: Mapping[str, Any]


class Feed(Protocol):
    """A source of tasks that are made during the run; the next task may depend on the events so far."""

    def take(self) -> Task | None:
        """The next task; None if there is none now. None while no task runs means that there are no more."""
        ...


class TaskList:
    """The tasks of a list, in its order."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._tasks = iter(tasks)

    def take(self) -> Task | None:
        """The next task of the list."""
        return next(self._tasks, None)


@dataclass(frozen=True)
class TaskResources:
    """What one task needs: cores, graphics cards (fractions are allowed), and bytes of memory (0: not counted)."""

    cpu: float = 1
    gpu: float = 0
    memory: float = 0


@dataclass(frozen=True, kw_only=True)
class SuccessiveHalving:
    """Asynchronous successive halving, stopping variant (ASHA; Li et al., MLSys 2020).

    A task reports `epoch` and `value`. At each rung (`grace * reduction ** i` epochs) it is ended if its value is not
    among the best 1 / `reduction` of the values at that rung.

    Attributes:
        mode: whether a larger (`max`) or a smaller (`min`) value is better.
        epochs: the epochs of a whole task.
        grace: the epochs that every task may run.
        reduction: a share of 1 / reduction of the tasks goes on at each rung.
        past: the (epoch, value) pairs of each task of earlier runs; the rungs begin with these values.
    """

    mode: Literal["max", "min"]
    epochs: int
    grace: int
    reduction: float
    past: Sequence[Sequence[tuple[int, float]]] = ()


EventKind = Literal["started", "reported", "finished", "ended", "died", "told"]


@dataclass(frozen=True)
class Event:
    """Something that happened to a task; or, ``told``, to the whole run: it has no key, and `error` is one line on it.

    First it is ``started``, once per attempt (data: ``attempt``, from 1; error: one line on what ended the attempt
    before). Then it is ``reported`` any number of times. Its last event is ``finished`` (data: the work's result),
    ``ended`` (by successive halving; data: its last report) or ``died`` (error: one line). A task that was stopped or
    never started has no last event.
    """

    kind: EventKind
    key: str
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    error: str = ""


OnEvent = Callable[[Event], None]


class Stop:
    """A flag that ends a run; any thread or signal handler may set it.

    Attributes:
        signal: the number of the signal that set it; 0 if none did.
    """

    def __init__(self) -> None:
        # A plain bool, not threading.Event: its lock can deadlock when one signal interrupts another.
        self._requested = False
        self.signal = 0

    def request(self, *, signal: int = 0) -> None:
        """Ask the run to end; a second call changes nothing."""
        if not self._requested:
            self._requested, self.signal = True, signal

    @property
    def requested(self) -> bool:
        """Whether the run has been asked to end."""
        return self._requested


def guarded(on_event: OnEvent) -> OnEvent:
    """The same listener, but its exceptions are only logged: a display must never end a sweep."""

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
