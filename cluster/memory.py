"""Limits the memory of a task, and measures what a task needs by the same count.

A task above its limit fails alone. Without a limit the kernel kills the largest process.
"""

import contextlib
import multiprocessing
import resource
import signal
import sys
from collections.abc import Callable, Generator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from cluster.executor import ClusterError

_SAMPLE_SECONDS = 0.002


def check(limit: float | None) -> None:
    """Checks that a memory limit works on this machine.

    Raises:
        ClusterError: this is not Linux; only Linux counts a process's private memory against RLIMIT_DATA.
    """
    if limit is not None and not sys.platform.startswith("linux"):
        raise ClusterError("The memory of a trial can be limited on Linux only: leave out resources.memory_gb.")


@contextlib.contextmanager
def at_most(extra: int | None) -> Generator[None]:
    """Limits this process to `extra` bytes beyond what it has now, for a with-block; None sets no limit.

    An allocation beyond the limit raises MemoryError, or the error that the library makes of it. Private writable
    memory counts when it is allocated, not when it is used.
    """
    if extra is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (_taken() + extra, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def measured(prepare: Callable[[], object], work: Callable[..., Any], *arguments: Any) -> tuple[Any, int]:
    """Runs some work in a process of its own and measures its memory.

    Args:
        prepare: called first in that process; it loads what every task's process has loaded before its task.
        work: called there with the arguments.
        *arguments: the arguments of the work. All three must be picklable.

    Returns:
        What the work returned, and its largest number of bytes as `at_most` counts them, sampled every 2 ms.

    Raises:
        ClusterError: the process died, or this is not Linux.
    """
    if not sys.platform.startswith("linux"):
        raise ClusterError("The memory of a trial can be measured on Linux only.")
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_in_child, args=(there, prepare, work, arguments), daemon=True)
    process.start()
    there.close()
    try:
        before = here.recv()
        most = before
        while not here.poll(_SAMPLE_SECONDS):
            most = max(most, _taken(process.pid))
        return here.recv(), most - before
    except EOFError:
        process.join()
        raise ClusterError(_death(process.exitcode)) from None
    finally:
        process.kill()
        process.join()


def _in_child(pipe: Connection, prepare: Callable[[], object], work: Callable[..., Any], arguments: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C and ends this process
    prepare()
    pipe.send(_taken())
    pipe.send(work(*arguments))


def _death(code: int | None) -> str:
    why = "perhaps out of memory" if code == -signal.SIGKILL else f"exit code {code}"
    return f"The process that measured the work died before it was done ({why})."


def _taken(process: int | str | None = "self") -> int:
    """Bytes of private writable memory of a process; 0 if it has ended."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:")), 0)
