"""Progress of a running study: one refreshing line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import TextIO

from cluster.executor import Event
from core.errors import counted
from jobs.analysis.estimates import score
from jobs.analysis.pareto import Aims, violation
from jobs.analysis.scores import bounds, within_trial
from jobs.planning.plan import Plan
from jobs.present.tables import duration
from jobs.present.visible import control, one_line
from jobs.results.names import MEAN5

PLAIN_SECONDS = 15.0
LIVE_SECONDS = 0.2


@dataclass
class Progress:
    """Counts events and draws from time to time. `total` counts the plan, `done_before` the trials of earlier runs."""

    plan: Plan
    total: int
    done_before: int
    out: TextIO = field(default_factory=lambda: sys.stderr)
    done: int = 0
    failed: int = 0
    early: int = 0
    running: dict[str, float] = field(default_factory=dict[str, float])
    values: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    means: dict[str, tuple[int, float]] = field(default_factory=dict[str, tuple[int, float]])
    limited: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    seconds: list[float] = field(default_factory=list[float])
    drawn: float = 0.0
    started: float = field(default_factory=time.monotonic)
    waiting: str = ""

    def __post_init__(self) -> None:
        self.live = self.out.isatty()

    def hear(self, event: Event) -> None:
        """Counts one event."""
        if event.kind == "told":
            self.say(event.error)
        elif event.kind == "started":
            self.running[event.key] = 0.0
            if event.error:
                self.say(f"trial {event.key} goes on in another process: {event.error}")
        elif event.kind == "reported" and event.data.get("epochs"):
            self.running[event.key] = event.data["epoch"] / event.data["epochs"]
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
        self.running.pop(event.key, None)
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
        if event.kind == "ended" or event.data.get("status") == "stopped":
            self.early += 1
            return
        self.seconds.append(event.data["seconds"])
        cell = event.data["config_key"]
        for name, value in event.data["limited"].items():
            if value is not None:
                self.limited[cell][name].append(value)
        if event.data["value"] is not None:
            self.values[cell].append(event.data["value"])

    def _say_trouble(self, event: Event) -> None:
        """Prints why an attempt could not continue from its checkpoint, or who stopped it."""
        reason = event.data.get("reason", "")
        if reason.startswith(("RESTARTED", "RESUMED", "STOPPED")):
            self.say(f"trial {event.key}: {reason}")

    def say(self, text: str) -> None:
        """Prints a line that is not overwritten."""
        self._clear()
        self.out.write(one_line(text) + "\n")
        self.out.flush()
        self.drawn = 0.0

    def _clear(self) -> None:
        if self.live:
            control(self.out, "\r\x1b[K")

    def draw(self, *, now: bool = False) -> None:
        """Shows the progress if enough time has passed, or at once with `now`."""
        moment = time.monotonic()
        if not now and moment - self.drawn < (LIVE_SECONDS if self.live else PLAIN_SECONDS):
            return
        self.drawn = moment
        if self.live:
            width = shutil.get_terminal_size().columns
            self._clear()
            self.out.write(one_line(self.line())[: width - 1])
        else:
            self.out.write(self.line() + "\n")
        self.out.flush()

    def close(self) -> None:
        """Draws a last time and ends the line; nothing, if nothing has begun."""
        if not self.drawn:
            return
        self.draw(now=True)
        if self.live:
            self.out.write("\n")
            self.out.flush()

    def line(self) -> str:
        """The progress in one line."""
        parts = [f"{self.done_before + self.done}/{self.total} done", f"{len(self.running)} running"]
        parts += [f"{self.failed} failed"] if self.failed else []
        parts += [f"{self.early} stopped early"] if self.early else []
        parts += [f"waiting: {one_line(self.waiting)}"] if self.waiting else []
        parts += [text for text in (self.best(), self.remaining()) if text]
        return " · ".join(parts)

    def best_values(self) -> list[float]:
        """The values of the best configuration of this run so far that breaks no constraint; empty without one.

        No score is compared across data sets, so there is none of a study on several.
        """
        if not self.values or self.plan.has_several_data_sets:
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
        """The best configuration of this run so far by its mean, with the 95 % interval over its seeds.

        Empty over several data sets, across which no score is compared.

        The consensus is a rank among all trials of a study; until they are done, the label-free score is used instead.
        Of a metric over several epochs, such as `mean5.npmi`, it is the last epoch's value, and says so.
        """
        chosen = self.best_values()
        if not chosen:
            return ""
        select = self.plan.study.select
        found = score(chosen, bounds(select.metric))
        name, seeds = within_trial(select.metric), counted(len(chosen), "seed")
        if select.metric.startswith(("best.", MEAN5)):
            name += " of the last epoch"
        return f"best {name} {found.text} ({seeds})"

    def remaining(self) -> str:
        """The time left, estimated from the trials that ended; empty before the first."""
        if not self.seconds:
            return ""
        left = self.total - self.done_before - self.done - self.failed - sum(self.running.values())
        # Measured wall time per trial, with all overheads.
        per_trial = (time.monotonic() - self.started) / (len(self.seconds) + sum(self.running.values()))
        return f"about {duration(max(0.0, left) * per_trial)} left"
