"""Sees that the head of a cluster is gone, and says so: Ray itself would end the process after a minute of silence."""

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Generator

PERIOD_SECONDS = 2.0
PATIENCE_SECONDS = 20.0
"""A head that takes no connection for so long is given up: whoever restarts it has to begin anew anyway."""


@contextlib.contextmanager
def kept(address: str) -> Generator[None]:
    """Watches the head at ``host:port`` for the length of a with-block.

    Once it is gone nothing here can be ended in order: every call to the cluster hangs. What is running keeps its own
    results, so this process says one line and leaves at once, with exit code 1.
    """
    done = threading.Event()
    threading.Thread(target=_watch, args=(address, done), daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _watch(address: str, done: threading.Event) -> None:
    heard = time.monotonic()
    while not done.wait(PERIOD_SECONDS):
        if _listens(address):
            heard = time.monotonic()
        elif time.monotonic() - heard > PATIENCE_SECONDS:
            _leave(address)


def _listens(address: str) -> bool:
    """Whether anything takes a connection; a head that is merely busy does, as the system does it for it."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PERIOD_SECONDS).close()
    except OSError:
        return False
    return True


def _leave(address: str) -> None:
    sys.stdout.flush()
    if sys.stderr.isatty():
        # Where jobs stands before the terminal, a move of the cursor has a way of its own.
        getattr(sys.stderr, "control", sys.stderr.write)("\r\x1b[K")
    sys.stderr.write(
        f"Error: the head of the cluster at {address} is gone (no answer for {PATIENCE_SECONDS:g} s): "
        "results are kept; once the cluster is up again, the same command goes on.\n"
    )
    sys.stderr.flush()
    os._exit(1)
