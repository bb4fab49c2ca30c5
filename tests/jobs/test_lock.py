"""One driver for each study: whoever only looks keeps nobody out, and who is named lives."""

import fcntl
import os
import socket
import subprocess
import sys
import threading

import pytest

from core.errors import UserError
from jobs.results import lock
from jobs.results.layout import study_folder
from jobs.results.lock import exclusive, holder

LOOK = """
import sys
from pathlib import Path
from jobs.results.lock import holder
while True: holder(Path(sys.argv[1]))
"""


def test_those_who_look_keep_no_driver_from_starting(tmp_path, root, monkeypatch):
    """Of 2,000 starts 196 were refused."""
    monkeypatch.setattr(lock, "_LOOKING_SECONDS", 300)  # who looks may have to wait for a core
    folder = tmp_path / "study=s"
    folder.mkdir()
    (folder / "_run.lock").touch()
    command = [sys.executable, "-c", LOOK, str(folder)]
    looking = [subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(root)}) for _ in range(2)]
    try:
        seen = 0
        for _ in range(600):
            with exclusive(str(tmp_path), "s"):
                seen += holder(folder).startswith(f"process {os.getpid()} on ")
        assert seen == 600
    finally:
        for one in looking:
            assert one.poll() is None
            one.kill()
            one.wait()


def test_a_second_driver_is_refused_and_told_of_the_first(tmp_path):
    with exclusive(str(tmp_path), "s"), pytest.raises(UserError, match=f"process {os.getpid()} on "):
        exclusive(str(tmp_path), "s").__enter__()
    assert holder(tmp_path / "study=s") == ""


def test_an_owner_long_gone_is_not_named(tmp_path):
    gone = subprocess.Popen(["true"])
    gone.wait()
    (tmp_path / "study=s").mkdir()
    path = tmp_path / "study=s" / "_run.lock"
    path.write_text(f"process {gone.pid} on {socket.gethostname()}")
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert holder(path.parent) == "a process that is just starting"
        with pytest.raises(UserError, match="another process is running this study"):
            exclusive(str(tmp_path), "s").__enter__()
    assert holder(path.parent) == ""


def test_a_reader_that_was_stopped_while_it_looked_is_said_and_not_waited_for_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "_LOOKING_SECONDS", 0.1)
    (tmp_path / "study=s").mkdir()
    path = tmp_path / "study=s" / "_run.lock"
    path.touch()
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        with pytest.raises(UserError, match="by a process that reads it"):
            exclusive(str(tmp_path), "s").__enter__()


def test_a_driver_that_starts_while_another_looks_waits_a_moment(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "_LOOKING_SECONDS", 300)
    (tmp_path / "study=s").mkdir()
    path = tmp_path / "study=s" / "_run.lock"
    path.touch()
    file = path.open()
    fcntl.flock(file, fcntl.LOCK_SH)
    threading.Timer(0.3, file.close).start()
    with exclusive(str(tmp_path), "s"):
        assert file.closed


@pytest.mark.parametrize("kind", ["link", "FIFO", "folder"])
def test_a_lock_that_is_none_is_one_line_and_nothing_is_written_through_it(tmp_path, kind):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "study=s").mkdir()
    path = tmp_path / "study=s" / "_run.lock"
    {"link": lambda: path.symlink_to(precious), "FIFO": lambda: os.mkfifo(path), "folder": path.mkdir}[kind]()
    with pytest.raises(UserError, match="results cannot be written there"):
        exclusive(str(tmp_path), "s").__enter__()
    assert precious.read_text() == "mine"
    assert holder(path.parent) == ""


def test_it_is_certain_that_nobody_runs_a_study_while_its_lock_in_an_object_store_is_not_held(tmp_path, s3):
    for place in (s3(), str(tmp_path)):
        with exclusive(place, "s"):
            assert not lock.is_free(study_folder(place, "s"))
        assert lock.is_free(study_folder(place, "s"))
