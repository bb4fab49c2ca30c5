"""A bound on what a task takes of a machine's memory: it fails alone, instead of the kernel ending what is largest."""

import contextlib
import resource
import sys
from collections.abc import Generator
from pathlib import Path

from cluster.executor import ClusterError

_STATUS = Path("/proc/self/status")


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


def _taken() -> int:
    """Bytes of private writable memory that this process has."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmData:"))
    return int(line.split()[1]) * 1024
