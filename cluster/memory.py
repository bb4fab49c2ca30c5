"""A bound on what a task takes of a machine's memory: it fails alone, instead of the kernel ending what is largest.

And what a task takes, measured as the bound counts it.
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
    """See that a limit can be kept on this machine.

    Raises:
        ClusterError: it is not Linux, which alone counts a process's private memory against RLIMIT_DATA.
    """
    if limit is not None and not sys.platform.startswith("linux"):
        raise ClusterError("Memory of a trial can be limited on Linux only: leave resources.memory_gb out.")


@contextlib.contextmanager
def at_most(extra: int | None) -> Generator[None]:
    """Have this process get no more than `extra` bytes beyond what it has, for the length of a with-block.

    What asks for more gets a MemoryError, or what its library makes of it. Private writable memory is counted when it
    is asked for, not when it is used; None sets no bound.
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
    """Do some work in a process of its own, and count.

    Args:
        prepare: called there first, for what every task's process has before its task.
        work: called there with the arguments.
        *arguments: of the work; all that is given travels as pickles.

    Returns:
        What the work returned, and the most bytes that it held as `at_most` counts them, seen every 2 ms.

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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's: it ends this process
    prepare()
    pipe.send(_taken())
    pipe.send(work(*arguments))


def _death(code: int | None) -> str:
    why = "perhaps for its memory" if code == -signal.SIGKILL else f"exit code {code}"
    return f"The process that measured the work died before its end ({why})."


def _taken(process: int | str | None = "self") -> int:
    """Bytes of private writable memory that a process has; 0 for one that is over."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:")), 0)
