"""A small process that clears up after a driver that was killed; run as a file, with the standard library alone.

Ray's agents try for a minute to tell the dead driver that it is dead, and the session's folder would stay for ever.
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

_PATIENCE_SECONDS = 1.0  # most of Ray's processes leave with the driver by themselves
_TRIES, _PAUSE_SECONDS = 20, 0.1


@contextlib.contextmanager
def watching(folder: Path) -> Generator[None]:
    """For the length of a with-block: when this process dies, its end of the pipe closes and the folder is cleared."""
    command = [sys.executable, "-I", "-S", __file__, str(folder)]
    # A session of its own, so that what kills the driver's process group leaves it alone.
    watchdog = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield
    finally:
        watchdog.communicate(b"done")


def users(folder: str) -> list[int]:
    """The processes that have a file of this folder open, as all of Ray's have their logs (Linux; else none)."""
    return [int(process.name) for process in Path("/proc").glob("[0-9]*") if _uses(process, f"{folder}/")]


def clear(folder: str) -> None:
    """End whoever else has a file of this folder open, and remove it."""
    for process in users(folder):
        if process != os.getpid():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
    # Those that are being ended may still write while it is emptied.
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
