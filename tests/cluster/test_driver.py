"""Whole drivers in processes of their own, with a private Ray each: what they leave behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.ray

DRIVER = Path(__file__).with_name("driver_for_tests.py")
DEADLINE = 300
"""Seconds that anything may take: the machine may be busy. The tasks themselves would never end."""


@pytest.fixture
def driver(tmp_path):
    """A driver whose first task has died and whose two workers are busy."""
    (tmp_path / "home").mkdir()
    process = subprocess.Popen(
        [sys.executable, DRIVER, tmp_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env=os.environ | {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path)},
    )
    try:
        wait_for(lambda: events(tmp_path).count("started long") == 2)
        yield process
    finally:
        process.kill()
        process.communicate()


def events(folder):
    return (folder / "events").read_text() if (folder / "events").exists() else ""


def wait_for(condition):
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def descendants(pid):
    table = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True).stdout
    parents = dict(map(int, line.split()) for line in table.splitlines()[1:])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def alive(pids):
    return {pid for pid in pids if Path(f"/proc/{pid}").exists() and "Z (" not in status(pid)}


def status(pid):
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return "Z ("


def test_no_process_survives_a_killed_driver(driver):
    processes = descendants(driver.pid)
    assert len(processes) > 6
    driver.kill()
    driver.wait()
    wait_for(lambda: not alive(processes))


def test_ctrl_c_ends_a_silent_run_without_a_trace(driver, tmp_path):
    processes = descendants(driver.pid)
    os.killpg(driver.pid, signal.SIGINT)  # as a terminal does: to the driver and all that runs under it
    output, _ = driver.communicate(timeout=DEADLINE)
    assert (driver.returncode, output) == (0, b"")
    assert "died mortal" in events(tmp_path)
    assert len(list(tmp_path.glob("left-*"))) == 2
    wait_for(lambda: not alive(processes))
    assert list((tmp_path / "home").iterdir()) == []
