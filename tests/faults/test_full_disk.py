"""A study whose results' disk is full: one line, exit code 1, nothing half-written; with room again it goes on."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jobs.results import reader

STUDY = """study: s
trial:
  data: {name: file, path: mine.npz}
  method: {name: cc}
  encoder: {name: mlp, widths: [16, 8]}
  batch_size: 16
  epochs: 3
seeds: [0, 1]
"""
# Leaves the disk so many free bytes.
FILL = "head -c $(($(stat -f -c '%a * %S' results) - {free})) /dev/zero > results/filling 2>/dev/null"


@pytest.fixture
def shell(tmp_path):
    """Runs a script in a mount namespace of its own, with a disk of 1 MiB at `results`."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "mine.npz", X=rng.normal(size=(60, 5)), y=np.arange(60) % 3)
    (tmp_path / "study.yaml").write_text(STUDY)
    (tmp_path / "results").mkdir()
    (tmp_path / "kept").mkdir()

    def shell(script):
        mount = "mount -t tmpfs -o size=1m none results"
        keep = "code=$?; cp -r results/. kept; exit $code"
        command = ["unshare", "-rm", "sh", "-c", f"{mount} || exit 77; {script}; {keep}"]
        path = str(Path(__file__).resolve().parents[2])
        return subprocess.run(
            command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False
        )

    try:
        if shell("true").returncode == 77:
            pytest.skip("this system lets nobody mount a disk of their own")
    except FileNotFoundError:
        pytest.skip("there is no `unshare` here")
    return shell


RUN = f"{sys.executable} -m conclus run study.yaml --workers 1"


def test_a_full_disk_ends_the_run_with_one_line_and_with_room_again_it_goes_on(shell, tmp_path):
    full = f"mkdir -p results/study=s; {FILL.format(free=12288)}; {RUN} --quiet; echo code $?"
    done = shell(f"{full}; find results -name '*.tmp'; rm results/filling; {RUN} --quiet")
    assert done.stdout == "code 1\n"
    (line,) = done.stderr.splitlines()
    assert (
        "cannot be written: No space left on device; when results can be written, go on with: conclus run study.yaml"
        in line
    )
    assert done.returncode == 0
    assert reader.read_results(str(tmp_path / "kept"))["status"].to_pylist() == ["ok", "ok"]


def test_a_disk_too_full_for_the_plan_is_bad_input(shell):
    done = shell(f"mkdir -p results/study=s; {FILL.format(free=0)}; {RUN} --quiet")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "No space left on device" in done.stderr
