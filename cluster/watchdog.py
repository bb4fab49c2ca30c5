"""A small process that cleans up after a killed driver; it runs as a file and needs only the standard library.

Without it Ray's agents would try to reach the dead driver for a minute, and the session's folder would stay.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

_PATIENCE_SECONDS = 1.0  # most of Ray's processes end with the driver by themselves
_TRIES, _PAUSE_SECONDS = 20, 0.1


@contextlib.contextmanager
def watching(folder: Path) -> Generator[None]:
    """Starts the watchdog for a with-block: if this process dies, its end of the pipe closes and the folder goes."""
    command = [sys.executable, "-I", "-S", __file__, str(folder)]
    # A session of its own, so that a signal to the driver's process group does not kill it.
    watchdog = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield
    finally:
        watchdog.communicate(b"done")


def users(folder: str) -> list[int]:
    """The processes with an open file in this folder: all of Ray's processes have their logs open (Linux only)."""
    return [int(process.name) for process in Path("/proc").glob("[0-9]*") if _uses(process, f"{folder}/")]


def clear(folder: str) -> None:
    """Kills all other processes with an open file in this folder, and removes the folder."""
    for process in users(folder):
        if process != os.getpid():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
    # Dying processes may still write while the folder is emptied.
    for _ in range(_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not Path(folder).exists():
            break
        time.sleep(_PAUSE_SECONDS)


def _uses(process: Path, folder: str) -> bool:
    try:
        files = list((process / "fd").iterdir())
    except OSError:
        return False
    return any(_target(file).startswith(folder) for file in files)


def _target(file: Path) -> str:
    try:
        return str(file.readlink())
    except OSError:
        return ""


def _main(folder: str) -> None:
    if sys.stdin.buffer.read() == b"done":
        return
    time.sleep(_PATIENCE_SECONDS)
    clear(folder)


if __name__ == "__main__":
    _main(sys.argv[1])
