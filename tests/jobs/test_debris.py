"""Temporary files of processes that died: swept wherever they lie, and those of the living are spared."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.results import compact, debris, storage, writer
from jobs.results.schema import Attempt

WRITE = """import os, sys, threading
from pathlib import Path
from jobs.results import storage
os.fsync = lambda _: (sys.stdout.write("there\\n"), sys.stdout.flush(), sys.stdin.read())
for one in sys.argv[1:]:
    threading.Thread(target=storage.put, args=(Path(one), b"content")).start()
"""
PLACES = ["study=s/trials/a.parquet", "study=s/compact/b.parquet", "study=s/checkpoints/c.pt", "study=s/study.json",
          "study=s/models/key/best_model.pt", "study=s/logs/x.txt", "_queue/1.json"]  # fmt: skip


@pytest.fixture
def writing(tmp_path, root):
    """Two processes that stand still while they write: one into the last of the places, one into all others."""
    env = os.environ | {"PYTHONPATH": str(root)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    parts = [[tmp_path / one for one in part] for part in (PLACES[:-1], PLACES[-1:])]
    begun = [subprocess.Popen([sys.executable, "-c", WRITE, *part], env=env, **pipes) for part in parts]
    for one, part in zip(begun, parts, strict=True):
        assert [one.stdout.readline() for _ in part] == ["there\n"] * len(part)
    yield begun
    for one in begun:
        one.kill()
        one.communicate()


def temporary(folder):
    return sorted(str(one.parent.relative_to(folder)) for one in folder.rglob(".*.tmp"))


def test_orphans_go_wherever_they_lie_and_the_living_go_on(tmp_path, writing):
    row = Attempt(study="s", trial_key="k", config_key="k", seed=0, attempt_id="1", status="running")
    writer.write(str(tmp_path), row)
    places = sorted(str(Path(one).parent) for one in PLACES)
    assert temporary(tmp_path) == places
    compact.compact(str(tmp_path))
    assert temporary(tmp_path) == places
    os.kill(writing[0].pid, signal.SIGKILL)
    writing[0].wait()
    compact.compact(str(tmp_path))
    assert temporary(tmp_path) == ["_queue"]
    writing[-1].communicate("", timeout=300)
    assert (tmp_path / "_queue/1.json").read_bytes() == b"content"
    assert temporary(tmp_path) == []


def test_a_run_sweeps_even_where_it_has_nothing_to_do(tmp_path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trial = "{data: digits, encoder: {name: mlp, widths: [8]}, epochs: 1, method: cc}"
    (tmp_path / "s.yaml").write_text(f"study: s\ntrial: {trial}\n")
    assert command("run", "s.yaml", "--workers", 1)[0] == 0
    gone = subprocess.Popen(["true"])
    gone.wait()
    name = debris.temporary_name().replace(f"-{os.getpid()}-", f"-{gone.pid}-")
    orphans = [Path("results", "study=s", "trials", name), Path("results", "_queue", name)]
    for one in orphans:
        one.parent.mkdir(exist_ok=True)
        one.touch()
    assert command("run", "s.yaml", "--workers", 1)[0] == 0
    assert not any(one.exists() for one in orphans)


def test_of_another_machine_only_what_is_old_goes(tmp_path, monkeypatch):
    mine = debris.temporary_name()
    monkeypatch.setattr(debris, "_machine", lambda: "0123abcd")
    other = debris.temporary_name()
    monkeypatch.undo()
    a_persons = {".notes.tmp", ".tmp", "x.tmp", f"a{other}", f"{other}.tmp", other.replace("-", "_")}
    for name in (mine, other, *a_persons):
        (tmp_path / name).touch()
    assert debris.sweep(tmp_path) == 0
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))
    assert debris.sweep(tmp_path) == 1
    assert {path.name for path in tmp_path.iterdir()} == {mine, *a_persons}


def test_a_process_that_has_the_number_of_a_dead_one_is_not_taken_for_it(tmp_path):
    name = debris.temporary_name()
    started = name.rpartition("-")[2].removesuffix(".tmp")
    (tmp_path / name.replace(f"-{started}.", f"-{int(started) - 1}.")).touch()
    assert debris.sweep(tmp_path) == 1


def test_a_sweep_follows_no_links(tmp_path):
    gone = debris.temporary_name().replace(f"-{os.getpid()}-", "-999999999-")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / gone).touch()
    (tmp_path / "study=s").mkdir()
    (tmp_path / "study=s" / "trials").symlink_to(tmp_path / "other")
    (tmp_path / "_queue").symlink_to("other")
    (tmp_path / "study=t").symlink_to("other")
    for folder in ("study=s", "study=t", "_queue"):
        storage.sweep(tmp_path / folder)
    (compacted,) = [one for one in compact.compact(str(tmp_path)) if one.study == "t"]
    assert (tmp_path / "other" / gone).exists()
    assert len(compacted.skipped) == 1
    assert f"{tmp_path / 'study=t'} is left alone: it is a link" in compacted.skipped[0]
    storage.sweep(tmp_path / "other")
    assert not (tmp_path / "other" / gone).exists()


def test_a_name_as_long_as_names_can_be_is_written(tmp_path):
    storage.put(tmp_path / ("x" * 255), b"content")
    assert (tmp_path / ("x" * 255)).read_bytes() == b"content"
