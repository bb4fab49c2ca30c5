"""A small process that clears up after a driver that was killed; run as a file, with the standard library alone.

Ray's agents try for a minute to tell the dead driver that it is dead, and the session's folder would stay for ever.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

_PATIENCE_SECONDS = 1.0  # most of Ray's processes leave with the driver by themselves


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Watch over this process from now on: when its end of the pipe closes, the watchdog clears up."""
    command = [sys.executable, "-I", "-S", __file__, str(folder)]
    # A session of its own, so that what kills the driver's process group leaves it alone.
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def dismiss(watchdog: subprocess.Popen[bytes]) -> None:
    """Tell it that all is well."""
    watchdog.communicate(b"done")


def users(folder: str) -> list[int]:
    """The processes that have a file of this folder open, as all of Ray's have their logs (Linux; else none)."""
    return [int(process.name) for process in Path("/proc").glob("[0-9]*") if _uses(process, f"{folder}/")]


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
    for process in users(folder):
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _main(sys.argv[1])
