"""The temporary folder of a run: closed to others while Ray runs in it, and gone after whatever end."""

import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cluster import connect, scratch
from cluster.executor import ClusterError
from cluster.resources import Node

LONGEST = 18
"""Characters of the longest temporary folder that is still used."""

LOCAL = """
import sys
from pathlib import Path
from cluster import connect
from cluster.resources import Node
with connect.local(machine=Node("here", 1, 0), log=Path(sys.argv[1])):
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def home(monkeypatch):
    """A temporary folder of the longest name that is used as such."""
    with tempfile.TemporaryDirectory(prefix="", dir="/tmp") as above:
        folder = Path(above, "x" * (LONGEST - len(above) - 1))
        folder.mkdir()
        assert len(str(folder)) == LONGEST
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        monkeypatch.setenv("TMPDIR", str(folder))
        yield folder


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


def left(home):
    return list(home.glob("conclus-*"))


@pytest.fixture
def local(root, home, tmp_path):
    """Starts a process that runs a private Ray in `home` until its input ends."""
    started = []

    def start():
        process = subprocess.Popen(
            [sys.executable, "-c", LOCAL, tmp_path / "log"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(root)},
        )
        started.append(process)
        assert process.stdout.readline() == b"ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.ray
def test_while_ray_runs_nobody_else_reaches_its_sockets(home, local):
    process = local()
    (socket,) = home.rglob("sockets/raylet")
    assert stat.S_ISSOCK(socket.lstat().st_mode)
    first = home / socket.relative_to(home).parts[0]
    assert mode(first) == 0o700
    # Ray has opened its own to all: the one around it is what keeps others out.
    assert mode(first / "r") & 0o007
    # Ray's logs are where its documentation looks for them.
    assert (first / "session_latest" / "logs" / "raylet.out").is_file()
    process.communicate(timeout=300)
    assert left(home) == []


def test_a_start_that_fails_leaves_nothing(home, tmp_path, monkeypatch):
    def half_started(_machine, folder):
        (folder / "session").mkdir(parents=True, exist_ok=True)
        assert left(home)
        raise RuntimeError("no node")

    monkeypatch.setattr(connect, "_init", half_started)
    here = connect.local(machine=Node("here", 1, 0), log=tmp_path / "log")
    with pytest.raises(ClusterError, match="Ray does not start on this machine: RuntimeError: no node") as error, here:
        pytest.fail("it started")
    assert error.value.exit_code == 1  # no mistake of the command or the study file
    assert left(home) == []


@pytest.mark.ray
def test_what_a_killed_run_leaves_is_ended_and_removed_by_the_next(home, local):
    process = local()
    guards = [int(one) for one in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    guards = [pid for pid in guards if b"watchdog.py" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(guards) == 1
    (folder,) = left(home)
    # The power fails: nobody is left to clear up.
    os.kill(guards[0], signal.SIGKILL)
    process.kill()
    process.wait()
    assert folder.is_dir()
    with scratch.folder() as own:
        assert left(home) == [own]
    assert left(home) == []


def test_a_folder_that_is_held_or_not_ours_is_let_alone(home, tmp_path):
    held, dead, named = home / "conclus-run-held", home / "conclus-run-dead", home / "conclus-other"
    for folder in (held, dead, named):
        folder.mkdir(mode=0o700)
        (folder / "file").write_text("")
    (tmp_path / "file").write_text("")
    link, plain = home / "conclus-run-link", home / "conclus-run-file"
    link.symlink_to(tmp_path)
    plain.write_text("")
    lock = os.open(held, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with scratch.folder():
        pass
    assert sorted(left(home)) == sorted([held, named, link, plain])
    assert (tmp_path / "file").is_file()
    os.close(lock)
    with scratch.folder():
        assert not held.exists()


def test_a_folder_of_another_user_is_let_alone(home, monkeypatch):
    theirs = home / "conclus-run-theirs"
    theirs.mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: theirs.stat().st_uid + 1)
    with pytest.raises(ClusterError, match="cannot keep a folder closed to others"), scratch.folder():
        pytest.fail("it is not ours either")
    assert theirs.is_dir()


def test_runs_side_by_side_let_each_other_alone(home):
    with scratch.folder() as one, scratch.folder() as two:
        assert one != two
        assert sorted(left(home)) == sorted([one, two])
    assert left(home) == []


def test_what_is_being_made_is_not_taken_for_dead(home, monkeypatch):
    """Whoever sweeps between the making of a folder and its lock has it; its maker makes another."""
    made, make = [], tempfile.mkdtemp

    def swept_at_once(**options):
        made.append(Path(make(**options)))
        if len(made) == 1:
            shutil.rmtree(made[0])
        return str(made[-1])

    monkeypatch.setattr(tempfile, "mkdtemp", swept_at_once)
    with scratch.folder() as folder:
        assert folder == made[1]
    assert left(home) == []


@pytest.mark.parametrize(
    ("bits", "sentence"), [(0o777, "Other users can move files in"), (0o1777, ""), (0o775, ""), (0o700, "")]
)
def test_a_place_where_others_can_move_it_is_refused(home, bits, sentence):
    home.chmod(bits)
    if not sentence:
        with scratch.folder() as folder:
            assert mode(folder) == 0o700
        return
    with pytest.raises(ClusterError, match=sentence), scratch.folder():
        pytest.fail("it is open")
    assert left(home) == []


def test_a_file_system_that_keeps_no_modes_is_refused(home, monkeypatch):
    make = tempfile.mkdtemp

    def opened(**options):
        folder = make(**options)
        Path(folder).chmod(0o777)
        return folder

    monkeypatch.setattr(tempfile, "mkdtemp", opened)
    with pytest.raises(ClusterError, match="cannot keep a folder closed to others"), scratch.folder():
        pytest.fail("it is open")
    assert left(home) == []


def test_where_the_temporary_folder_s_name_is_too_long_for_sockets_it_is_another(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with scratch.folder() as folder:
        assert folder.parent == Path("/tmp")  # noqa: S108


def test_nothing_to_write_to_is_a_sentence(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with pytest.raises(ClusterError, match=r"^/nowhere: no folder can be made for Ray's files"), scratch.folder():
        pytest.fail("there is none")


def test_what_another_process_has_open_there_ends(home):
    with scratch.folder() as folder:
        writer = "import sys, time; file = open(sys.argv[1], 'w'); print('open', flush=True); time.sleep(600)"
        process = subprocess.Popen([sys.executable, "-c", writer, folder / "log"], stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"open\n"
        own = (folder / "own").open("w")
    own.close()
    assert process.wait(300) == -signal.SIGKILL
    process.stdout.close()
    assert left(home) == []
