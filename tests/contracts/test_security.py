"""What docs/security.md claims: nothing that is read is run, and a private cluster listens to its own machine alone."""

import ast
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import conclus
from tests.cluster.nodes import descendants

ALLOWED = {
    "cluster/worker.py: pickle.loads",  # a task's payload, from the driver, through the cluster's own store
    "cluster/tune_compat.py: pickle.loads",  # the error that Tune has left in the run's own temporary folder
    "core/formats/decoding.py: pickle.load",  # between a process and the one that it has just started, by their pipes
    "core/formats/pictures.py: pickle.load",  # the other end of these pipes
    "core/config/plugins.py: exec",  # a plug-in whose content the person named or has run before
}

LOADERS = {
    "pickle.load", "pickle.loads", "pickle.Unpickler", "cloudpickle.load", "cloudpickle.loads", "dill.load",
    "dill.loads", "joblib.load", "marshal.load", "marshal.loads", "shelve.open", "pd.read_pickle",
    "pandas.read_pickle", "yaml.unsafe_load", "yaml.full_load", "eval", "exec",
}  # fmt: skip
SAFE_WITH = {
    "torch.load": lambda given: is_true(given.get("weights_only")),
    "np.load": lambda given: "allow_pickle" not in given or is_false(given["allow_pickle"]),
    "numpy.load": lambda given: "allow_pickle" not in given or is_false(given["allow_pickle"]),
    "npy.read_array": lambda given: "allow_pickle" not in given or is_false(given["allow_pickle"]),
    "yaml.load": lambda given: "Safe" in ast.unparse(given.get("Loader", ast.Constant(""))),
    "yaml.compose": lambda given: "Safe" in ast.unparse(given.get("Loader", ast.Constant(""))),
}


def is_true(node):
    return isinstance(node, ast.Constant) and node.value is True


def is_false(node):
    return isinstance(node, ast.Constant) and node.value is False


def dangerous(source):
    """The calls in some source that may run what they read."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = ".".join(ast.unparse(node.func).split(".")[-2:])
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        if name in LOADERS or (name in SAFE_WITH and not SAFE_WITH[name](given)):
            yield name


def test_nothing_that_is_read_is_run(root):
    paths = [root / "conclus.py", *(path for name in conclus.PACKAGES for path in (root / name).rglob("*.py"))]
    assert len(paths) > 50
    found = {f"{path.relative_to(root)}: {name}" for path in paths for name in dangerous(path.read_text())}
    assert found == ALLOWED


@pytest.mark.parametrize(
    "source",
    ["pickle.loads(x)", "ray.cloudpickle.loads(x)", "torch.load(f)", "torch.load(f, weights_only=False)",
     "np.load(f, allow_pickle=True)", "yaml.load(f)", "yaml.load(f, Loader=yaml.Loader)", "yaml.compose(f)", "eval(x)"],
)  # fmt: skip
def test_what_runs_what_it_reads_is_seen(source):
    assert len(list(dangerous(source))) == 1


@pytest.mark.parametrize(
    "source",
    ["torch.load(f, weights_only=True)", "np.load(f)", "yaml.safe_load(f)", "yaml.load(f, Loader=yaml.SafeLoader)",
     "json.loads(x)", "model.eval()"],
)  # fmt: skip
def test_what_does_not_is_let_alone(source):
    assert list(dangerous(source)) == []


def listening(pids):
    """Of these processes, the addresses that they listen at, as /proc writes them."""
    inodes = {inode for pid in pids for inode in sockets(pid)}
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:  # 0A is LISTEN
                yield fields[1].rpartition(":")[0]


def sockets(pid):
    for file in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            target = str(file.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            yield target[len("socket:[") : -1]


def is_loopback(address):
    """127.x.x.x, also as IPv6, and ::1: in /proc every four bytes stand the wrong way round."""
    return address.endswith("7F") or address[-8:][-2:] == "7F" or address == "0" * 24 + "01000000"


def strangers(pids):
    return [address for address in listening(pids) if not is_loopback(address)]


LOCAL = """
import sys
from pathlib import Path
from cluster import connect
from cluster.resources import Node
with connect.local(machine=Node("here", 1, 0), log=Path(sys.argv[1])):
    print("ready", flush=True)
    sys.stdin.read()
"""

linux = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="/proc/net/tcp says who listens")


@linux
@pytest.mark.ray
def test_a_private_cluster_listens_to_its_own_machine_alone(root, tmp_path):
    (tmp_path / "home").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", LOCAL, tmp_path / "log"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(root), "HOME": str(tmp_path / "home")},
    )
    try:
        assert process.stdout.readline() == b"ready\n"
        processes = descendants(process.pid)
        assert len(list(listening(processes))) > 3
        assert strangers(processes) == []
    finally:
        process.communicate(timeout=300)
    assert list((tmp_path / "home").iterdir()) == []


@linux
@pytest.mark.ray
def test_the_head_of_these_tests_does_too(nodes):
    head = nodes.processes["head"].pid  # further nodes have other addresses, for which Ray listens on every device
    processes = [head, *descendants(head)]
    assert len(list(listening(processes))) > 3
    assert strangers(processes) == []


@linux
@pytest.mark.parametrize(("host", "open_to_others"), [("", 1), ("127.0.0.1", 0), ("::1", 0), ("::", 1)])
def test_a_listener_that_others_reach_is_seen(host, open_to_others):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as own:
        try:
            own.bind((host, 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        before = len(strangers([os.getpid()]))
        own.listen()
        assert len(strangers([os.getpid()])) - before == open_to_others
