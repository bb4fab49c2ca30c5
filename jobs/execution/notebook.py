"""Progress of a study that Python runs: a bar in a notebook, and what `conclus run` shows elsewhere."""

from __future__ import annotations

import html
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from jobs.execution import stored
from jobs.execution.progress import BETWEEN, LIVE_SECONDS, Progress
from jobs.execution.tasks import Ready
from jobs.present.visible import one_line

_TOLD = 10
"""So many of the last remarks stand below the bar."""


def progress_of(ready: Ready) -> Progress:
    """What shows the progress of a prepared study where this process prints."""
    kind = NotebookProgress if _in_notebook() else Progress
    done = len(ready.plan.trials) - len(ready.todo)
    known = stored.before(ready.results, ready.plan, ready.todo) if done else stored.Before()
    shown = kind(ready.plan, ready.plan.n_trials, done, known=known)
    for line in ready.told:
        shown.say(line)
    return shown


def _in_notebook() -> bool:
    """Whether a kernel runs this process; IPython at a terminal has none."""
    if "IPython" not in sys.modules:
        return False
    from IPython.core.getipython import get_ipython

    return hasattr(get_ipython(), "kernel")


@dataclass
class NotebookProgress(Progress):
    """A bar that is drawn anew in its place, with the last remarks below it."""

    told: list[str] = field(default_factory=list[str])
    handle: Any = None

    def say(self, text: str) -> None:
        """Keeps a remark below the bar."""
        self.told.append(one_line(text))
        self.draw(now=True)

    def draw(self, *, now: bool = False) -> None:
        """Shows the progress if enough time has passed, or at once with `now`."""
        moment = time.monotonic()
        if not now and moment - self.drawn < LIVE_SECONDS:
            return
        self.drawn = moment
        from IPython.core.display_functions import display

        if self.handle is None:
            self.handle = display(self._shown(), raw=True, display_id=True)
        else:
            self.handle.update(self._shown(), raw=True)

    def close(self) -> None:
        """Draws a last time; nothing, if nothing has begun."""
        self._is_over = True
        if self.handle is not None:
            self.draw(now=True)

    def _shown(self) -> dict[str, str]:
        """The bar as HTML, and as text where HTML is not shown."""
        line = one_line(BETWEEN.join(self.parts()))
        ended = self.done_before + self.done + self.failed + sum(one.share for one in self.running.values())
        texts = "".join(f"<br>{html.escape(one)}" for one in (line, *self.told[-_TOLD:]))
        bar = f'<progress value="{ended:.3f}" max="{self.total}" style="width: 20em"></progress>'
        return {"text/html": f"<div>{bar}{texts}</div>", "text/plain": "\n".join([line, *self.told[-_TOLD:]])}
