"""The interface of every executor: it takes tasks, sends events, and stops when a flag is set."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

logger = logging.getLogger(__name__)

GRACE_SECONDS = 0.7
"""How long a task may take to stop when the run stops, unless the run was told of its end in good time."""

LEFT = 3
"""The exit code of a run that has left tasks to the next one, which goes on with them."""

ACCELERATOR = "accelerator_type:"
"""The start of the resource that Ray gives a node for its kind of card; a task with `accelerator_type` gets 0.001 of it
(Ray's scheduling documentation, "Accelerator types")."""

Report = Callable[[Mapping[str, Any]], None]
"""The work may call it at any time; it raises SystemExit if the run is being stopped, and `EndedEarly` if only this
task is to end."""

Work = Callable[[Mapping[str, Any], Report], Mapping[str, Any]]
"""Does one task: it takes the payload and a report, and returns a small mapping. It saves its own results."""


class ClusterError(Exception):
    """The machines cannot do what was asked. The message is one sentence for the user."""

    exit_code = 2


class RayError(ClusterError):
    """Ray does not start or fails again and again: nothing in the command or the study file is wrong."""

    exit_code = 1


class EndedEarly(SystemExit):
    """Raised by a report: this task was stopped early and is done; the run goes on with the others."""


@dataclass(frozen=True)
class Task:
    """One piece of work: a key, which its events also have, and plain data that can be pickled.

    When it is tried again, an entry `again` of its payload is true.
    """

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
    """What one task needs from the machine that it runs on.

    Attributes:
        cpu: cores; fractions are allowed.
        gpu: graphics cards; fractions are allowed.
        memory: bytes; 0 is not counted.
        accelerator: the kind of card, as Ray names it; empty for any.
        custom: amounts of custom resources, by the names that the nodes were started with.
    """

    cpu: float = 1
    gpu: float = 0
    memory: float = 0
    accelerator: str = ""
    custom: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def bundle(self) -> dict[str, float]:
        """The amounts above 0 by Ray's names of resources."""
        kind = {f"{ACCELERATOR}{self.accelerator}": 0.001} if self.accelerator else {}
        amounts = {"CPU": self.cpu, "GPU": self.gpu, "memory": self.memory, **self.custom, **kind}
        return {name: amount for name, amount in amounts.items() if amount}


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


EventKind = Literal["started", "reported", "finished", "ended", "died", "told", "waiting"]


@dataclass(frozen=True)
class Event:
    """Something that happened to a task, or to the whole run.

    First it is ``started``, once per attempt (data: ``attempt``, from 1; error: one line on what ended the attempt
    before). Then it is ``reported`` any number of times. Its last event is ``finished`` (data: the work's result),
    ``ended`` (by successive halving; data: its last report) or ``died`` (error: one line). A task that was stopped or
    never started has no last event.

    Of the whole run, without a key: ``told`` (error: one line), and ``waiting`` (error: what it waits for that others
    hold; empty once it does not). These lines may hold text of other runs of the cluster.
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
        grace: the seconds that running tasks have to get to their next report.
    """

    def __init__(self) -> None:
        # A plain bool, not threading.Event: its lock can deadlock when one signal interrupts another.
        self._requested = False
        self.signal, self.grace = 0, GRACE_SECONDS

    def request(self, *, signal: int = 0, grace: float = GRACE_SECONDS) -> None:
        """Ask the run to end; a second call changes nothing."""
        if not self._requested:
            self.signal, self.grace, self._requested = signal, grace, True

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
