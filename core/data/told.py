"""How far a long work is: whoever does it tells, and whoever watches shows it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from contextvars import ContextVar

# Is told the work, how much of it is done and how much there is; see `told`.
Progress = Callable[[str, int, int], None]
_PROGRESS: ContextVar[Progress | None] = ContextVar("progress", default=None)


@contextlib.contextmanager
def watched(progress: Progress) -> Generator[None]:
    """Within the with-block, whoever does a long work tells `progress` how far it is."""
    token = _PROGRESS.set(progress)
    try:
        yield
    finally:
        _PROGRESS.reset(token)


def told(work: str, done: int, total: int) -> None:
    """Tells whoever watches that so much of a work is done, as `told("decoding images", 500, 10_000)`."""
    if (progress := _PROGRESS.get()) is not None:
        progress(work, done, total)
