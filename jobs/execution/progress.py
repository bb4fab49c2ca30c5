"""Progress of a running study: a table of what runs on a terminal, drawn again and again, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import shutil
import sys
import textwrap
import threading
import time
from collections import defaultdict
from collections.abc import Generator
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import TextIO

from cluster.executor import Event
from core.errors import counted
from jobs.analysis.estimates import score
from jobs.analysis.intervals import resolution, rounding
from jobs.analysis.pareto import Aims, violation
from jobs.analysis.scores import bounds, within_trial
from jobs.execution.stored import Before
from jobs.planning.plan import Plan
from jobs.present.bar import RunningRow, running_lines
from jobs.present.output import fitted, remarks_by
from jobs.present.tables import duration
from jobs.present.visible import control, one_line
from jobs.results.names import MEAN5

PLAIN_SECONDS = 15.0
LIVE_SECONDS = 0.2
_PLAIN_WIDTH = 80
_REST = 20
BETWEEN = " · "
_CLEAR, _CLEAR_ABOVE = "\r\x1b[K", "\x1b[1A\x1b[K"


@dataclass
class Underway:
    """A trial that runs, as its reports tell it; `first` is the epoch of the first report of it, and when it came."""

    seed: int | None
    config_key: str
    epoch: int = 0
    epochs: int = 0
    first: tuple[int, float] = (0, 0.0)
    heard: float = 0.0
    loss: float | None = None
    value: float | None = None

    def hear(self, data: dict[str, float], now: float) -> None:
        """Takes a report; every epoch is reported."""
        self.epoch, self.epochs, self.heard = int(data["epoch"]), int(data["epochs"]), now
        self.first = self.first if self.first[0] else (self.epoch, now)
        self.loss, self.value = data.get("loss"), data.get("value")

    @property
    def share(self) -> float:
        """The share of the trial that is done."""
        return self.epoch / self.epochs if self.epochs else 0.0

    @property
    def seconds(self) -> float | None:
        """Wall seconds that so many epochs take, scoring included; None before its second report.

        What comes before the first report is the start: imports, data, a worker's process.
        """
        epoch, heard = self.first
        return (self.heard - heard) / (self.epoch - epoch) * self.epochs if self.epoch > epoch else None

    def left(self, now: float) -> float | None:
        """Seconds left."""
        return None if self.seconds is None else max(0.0, self.seconds * (1 - self.share) - (now - self.heard))


@dataclass
class Progress:
    """Counts events and draws from time to time. `total` counts the plan, `done_before` the trials of earlier runs.

    `known` are the values of these, so that the best is that of the study, not of this run.
    """

    plan: Plan
    total: int
    done_before: int
    out: TextIO = field(default_factory=lambda: sys.stderr)
    known: Before = field(default_factory=Before)
    done: int = 0
    failed: int = 0
    early: int = 0
    running: dict[str, Underway] = field(default_factory=dict[str, Underway])
    means: dict[str, tuple[int, float]] = field(default_factory=dict[str, tuple[int, float]])
    seconds: list[float] = field(default_factory=list[float])
    drawn: float = 0.0
    started: float = field(default_factory=time.monotonic)
    waiting: str = ""

    def __post_init__(self) -> None:
        self.live = self.out.isatty()
        self._lines = 1
        self._said = self._best = ""
        self._has_drawn = self._is_over = False
        self._lock = threading.RLock()  # Notices are sent by a thread of their own, and a signal may come meanwhile.
        self._counted, self._due = -1, 0.0
        self.values: dict[str, list[float]] = defaultdict(list, self.known.values)
        self.limited: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for cell, each in self.known.limited.items():
            self.limited[cell] |= each
        self._planned = {one.trial_key: (one.seed, one.config_key) for one in self.plan.trials} if self.plan else {}

    def hear(self, event: Event) -> None:
        """Counts one event."""
        if event.kind == "told":
            self.say(event.error)
        elif event.kind == "started":
            seed, cell = self._planned.get(event.key, (None, ""))
            self.running[event.key] = Underway(seed, cell)
            if event.error:
                self.say(f"trial {event.key} goes on in another process: {event.error}")
        elif event.kind == "reported" and event.data.get("epochs"):
            one = self.running.setdefault(event.key, Underway(None, ""))
            one.hear(dict(event.data), time.monotonic())
        elif event.kind in {"finished", "ended", "died"}:
            self._end(event)
        elif event.kind == "waiting":
            self._wait(event.error)
            return
        self.draw()

    def _wait(self, text: str) -> None:
        """Shows at once that the run begins to wait; how much it waits for may change often."""
        begins, self.waiting = bool(text) and not self.waiting, text
        self.draw(now=begins)

    def _end(self, event: Event) -> None:
        ended = self.running.pop(event.key, None)
        if event.data.get("status") == "paused":
            self._say_trouble(event)
            return
        failed = event.kind == "died" or event.data.get("status") == "failed"
        self.failed += failed
        self.done += not failed
        if failed:
            reason = event.error or event.data["reason"]
            self.say(f"trial {event.key} failed: {reason}")
            return
        self._say_trouble(event)
        # One that was stopped has the value of the epoch that it reached, here as in every table.
        cell = event.data.get("config_key") or (ended.config_key if ended else "")
        for name, value in event.data.get("limited", {}).items():
            if value is not None:
                self.limited[cell][name].append(value)
        if cell and event.data.get("value") is not None:
            self.values[cell].append(event.data["value"])
        if event.kind == "ended" or event.data.get("status") == "stopped":
            self.early += 1
        else:
            self.seconds.append(event.data["seconds"])

    def _say_trouble(self, event: Event) -> None:
        """Prints why an attempt could not continue from its checkpoint, or who stopped it."""
        reason = event.data.get("reason", "")
        if reason.startswith(("RESTARTED", "RESUMED", "STOPPED")):
            self.say(f"trial {event.key}: {reason}")

    def say(self, text: str) -> None:
        """Prints a line that is not overwritten."""
        with self._lock:
            self._clear()
            self.out.write(fitted(one_line(text), self.out) + "\n")
            self.out.flush()
            self.drawn = 0.0

    def _clear(self) -> None:
        if self.live:
            control(self.out, _CLEAR + _CLEAR_ABOVE * (self._lines - 1))
            self._lines = 1

    def draw(self, *, now: bool = False) -> None:
        """Shows the progress if enough time has passed, or at once with `now`."""
        moment = time.monotonic()
        if not now and moment - self.drawn < (LIVE_SECONDS if self.live else PLAIN_SECONDS):
            return
        with self._lock:
            self.drawn, self._has_drawn = moment, True
            if self.live:
                lines = self.screen()
                self._clear()
                self.out.write("\n".join(lines))
                self._lines = len(lines)
            elif (told := "\n".join(_wrapped(self.parts(), _PLAIN_WIDTH))) != self._said:
                self._said = told
                self.out.write(f"{told}\n")
            self.out.flush()

    def screen(self) -> list[str]:
        """The lines for a terminal: the counts, and a table of the trials that run."""
        width, height = shutil.get_terminal_size()
        lines = [one_line(line)[: width - 1] for line in _wrapped(self.parts(), width - 1)]
        now = time.monotonic()
        trials = [
            RunningRow(key, one.seed, one.epoch, one.epochs or None, one.loss, one.value, one.left(now))
            for key, one in list(self.running.items())
        ]
        room = height - len(lines) - 4  # The table's head, what is left out, and the line of the cursor.
        metric = within_trial(self.plan.study.select.metric) if self.plan else "value"
        return [*lines, *(line[: width - 1] for line in running_lines(trials, metric, width - 1, min(12, room)))]

    @contextlib.contextmanager
    def standing(self) -> Generator[None]:
        """Within the with-block remarks are printed by `say`; at its end it is drawn a last time."""
        with contextlib.closing(self), remarks_by(self.say):
            yield

    def close(self) -> None:
        """Draws a last time, what has come of the run, and ends the line; nothing, if nothing has begun."""
        self._is_over = True
        if not self._has_drawn:
            return
        self.running.clear()
        self.draw(now=True)
        if self.live:
            self.out.write("\n")
            self.out.flush()

    def parts(self) -> list[str]:
        """The counts and the best, and until the run is over what runs, what it waits for, and the time left."""
        parts = [f"{self.done_before + self.done}/{self.total} done"]
        parts += [] if self._is_over else [f"{len(self.running)} running"]
        parts += [f"{self.failed} failed"] if self.failed else []
        parts += [f"{self.early} stopped early"] if self.early else []
        parts += [f"waiting: {one_line(self.waiting)}"] if self.waiting and not self._is_over else []
        return parts + [text for text in (self.best(), "" if self._is_over else self.remaining()) if text]

    def best_values(self) -> list[float]:
        """The values of the study's best configuration so far that breaks no constraint; empty without one.

        No score is compared across data sets, and none without labels across numbers of clusters.
        """
        if not self.values or self.plan.has_no_best:
            return []
        select = self.plan.study.select
        limits = Aims.of(asdict(select)).limits
        # `list`, since the thread that serves the summary reads it while the run goes on.
        kept = [
            cell
            for cell in list(self.values)
            if all((violation(self.limited[cell][name], limit) or 0) <= 0 for name, limit in limits.items())
        ]
        best = (max if select.mode == "max" else min)(kept, key=self._mean, default="")
        return self.values[best] if best else []

    def _mean(self, cell: str) -> float:
        """The mean of a configuration, counted anew only after another of its trials: the line is drawn often."""
        values = self.values[cell]
        known = self.means.get(cell)
        if known is None or known[0] != len(values):
            self.means[cell] = known = len(values), fmean(values)
        return known[1]

    def best(self) -> str:
        """The best configuration so far by its mean, with the 95 % interval over its seeds, as `aggregate` shows it.

        Empty where the plan has none.

        The consensus is a rank among all trials of a study; until they are done, the label-free score is used instead.
        Of a metric over several epochs, such as `mean5.npmi`, it is the last epoch's value, and says so.
        """
        count, began = sum(map(len, list(self.values.values()))), time.monotonic()
        # Of a hundred thousand trials it takes a tenth of a second, and the line is drawn often. The last line is true.
        if count != self._counted and (self._is_over or began >= self._due):
            self._counted, self._best = count, self._best_now()
            self._due = time.monotonic() + _REST * (time.monotonic() - began)
        return self._best

    def _best_now(self) -> str:
        chosen = self.best_values()
        if not chosen:
            return ""
        select = self.plan.study.select
        floor = rounding(resolution([value for values in list(self.values.values()) for value in values]))
        found = score(chosen, bounds(select.metric), floor)
        name, seeds = within_trial(select.metric), counted(len(chosen), "seed")
        if select.metric.startswith(("best.", MEAN5)):
            name += " of the last epoch"
        return f"best {name} {found.text} ({seeds})"

    def remaining(self) -> str:
        """The time left: from the trials that ended in this run, else in earlier ones, else from those that run."""
        shares = sum(one.share for one in self.running.values())
        left = max(0.0, self.total - self.done_before - self.done - self.failed - shares)
        if self.seconds:
            # Measured wall time per trial, with all overheads.
            each = (time.monotonic() - self.started) / (len(self.seconds) + shares)
        elif self.running and (
            lengths := self.known.seconds or [one.seconds for one in self.running.values() if one.seconds is not None]
        ):
            each = fmean(lengths) / len(self.running)
        else:
            return ""
        return f"about {duration(left * each)} left"


def _wrapped(parts: list[str], width: int) -> list[str]:
    """The parts on as few lines as their width allows; a part is broken only where it is longer than a line."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(BETWEEN) + len(part) <= width:
            lines[-1] += f"{BETWEEN}{part}"
        else:
            indent = "  " if lines else ""
            lines += textwrap.wrap(part, max(20, width), initial_indent=indent, subsequent_indent="    ")
    return lines
