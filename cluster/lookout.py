"""Notices that the head of a cluster is gone, and says so: Ray would end the process without a message later."""

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Generator

PERIOD_SECONDS = 2.0
PATIENCE_SECONDS = 20.0
"""A head that accepts no connection for so long counts as gone: after a restart it knows nothing of this run."""


@contextlib.contextmanager
def kept(address: str) -> Generator[None]:
    """Watches the head at ``host:port`` for a with-block.

    Once the head is gone, every call to the cluster hangs, so nothing can be shut down in order. Running trials have
    saved their results. So this process prints one line and exits at once with code 1.
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
    """Whether the address accepts a connection; a busy head does too, since the operating system accepts it."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PERIOD_SECONDS).close()
    except OSError:
        return False
    return True


def _leave(address: str) -> None:
    sys.stdout.flush()
    if sys.stderr.isatty():
        # The live display of jobs replaces stderr; it has a method of its own for control sequences.
        getattr(sys.stderr, "control", sys.stderr.write)("\r\x1b[K")
    sys.stderr.write(
        f"Error: the head of the cluster at {address} is gone (no answer for {PATIENCE_SECONDS:g} s): "
        "results are kept; run the same command again once the cluster is up.\n"
    )
    sys.stderr.flush()
    os._exit(1)
