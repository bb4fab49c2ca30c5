"""What Ray keeps private is used in two files, and Ray's settings stand in the environment only while Ray is used."""

import ast
import json
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from cluster import connect, ray_compat, tune_compat

# The product's two files; and the tests' own, which makes several machines of one and is no part of the product.
PLACES = {"cluster/ray_compat.py", "cluster/tune_compat.py", "tests/cluster/nodes.py"}

# Modules of Ray by their dotted name, also in text that is run as code elsewhere.
MODULE = re.compile(r"\bray(?:\.\w+)*\.(?:_\w+|core\.generated|internal_kv)\b|\bray\.core\.generated\b")
# What is private although nothing in its name says so.
NAMES = {
    "print_to_stdstream", "ENABLE_RAY_CLUSTER", "AuthenticationTokenLoader", "load_certs_from_env",
    "find_gcs_addresses", "get_node_ip_address", "temporary_state", "run_metadata", "pickled_error_file",
    "choose_trial_to_run", "RayActorManager",
}  # fmt: skip


def private(source):
    """The private names of Ray that some source uses."""
    of_ray = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] == "ray":
                of_ray |= {one.asname or one.name for one in node.names}
                yield from (one.name for one in node.names if MODULE.search(f"{module}.{one.name}"))
            case ast.Import():
                of_ray |= {(one.asname or one.name).split(".")[0] for one in node.names if one.name.startswith("ray")}
                yield from (one.name for one in node.names if MODULE.search(one.name))
            case ast.Constant(value=str(text)):
                yield from MODULE.findall(text)
            case ast.Attribute(attr=name) | ast.FunctionDef(name=name) if name in NAMES:
                yield name
            case ast.Attribute(attr=name) if re.match("_(?!_)", name) and root(node) in of_ray:
                yield ast.unparse(node)
            case ast.Call() if root(node.func) in of_ray:
                yield from (one.arg for one in node.keywords if one.arg and one.arg.startswith("_"))
            case _:
                pass


def root(node):
    """The name at the left end of a dotted one."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def test_what_ray_keeps_private_is_used_in_two_files(root):
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=root, capture_output=True, text=True, check=True)
    files = [one for one in listed.stdout.split() if (root / one).is_file()]
    assert set(files) > PLACES
    found = {one for one in files if set(private((root / one).read_text()))} - {"tests/cluster/test_ray_compat.py"}
    assert found == PLACES


def test_each_private_use_says_why_and_what_would_replace_it():
    places = (ray_compat, tune_compat)
    found = [(place, one) for place in places for one in vars(place).values()]
    parts = [one for place, one in found if getattr(one, "__module__", "") == place.__name__]
    assert len(parts) > 8
    for one in parts:
        assert re.search(r"^\s+Private: .+\n(.*\n)*?\s+Public instead: ", one.__doc__, re.MULTILINE), one.__name__


@pytest.mark.parametrize(
    "source",
    [
        "from ray._private import services", "from ray import _raylet", "import ray._private.worker as w",
        "from ray.core.generated import gcs_pb2", "from ray.core.generated.gcs_pb2 import GcsNodeInfo",
        "from ray.experimental.internal_kv import _internal_kv_put", "from ray.experimental import internal_kv",
        "from ray.air.execution._internal.actor_manager import RayActorManager", "from ray.tune.x import _y",
        "from ray._common.tls_utils import load_certs_from_env", "import ray\nray._private.worker",
        "import ray\nray.init(_temp_dir='/t')", "def f():\n    import ray\n    ray._raylet.Config",
        "from ray import tune\ntune.Tuner._x", "trial.temporary_state.ray_actor", "trial.pickled_error_file",
        "trial.run_metadata",
        "class A:\n    def choose_trial_to_run(self): ...", "CODE = 'from ray._private import node'",
    ],
)  # fmt: skip
def test_a_private_name_is_seen(source):
    assert list(private(source))


@pytest.mark.parametrize(
    "source",
    [
        "import ray\nray.init(address='auto')", "from ray import tune\ntune.run(print)", "import ray\nray.__version__",
        "from ray.tune.schedulers import FIFOScheduler", "self._x", "array._y", "print(_end='')", "trial.num_failures",
        "from cluster import ray_compat\nray_compat.start(folder)",
    ],
)  # fmt: skip
def test_a_public_name_is_let_alone(source):
    assert list(private(source)) == []


CHANGED = """
import json, os
before = dict(os.environ)
{code}
after = dict(os.environ)
print(json.dumps(sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))))
"""


def changed(root, code):
    """The variables that some code changes in its own process."""
    command = [sys.executable, "-c", CHANGED.format(code=code)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", ["cluster.tune", "cluster.connect", "cluster.submit", "cluster.doctor"])
def test_an_import_leaves_the_environment_alone(root, name):
    assert changed(root, f"import {name}") == []


def test_a_change_of_the_environment_is_seen(root):
    assert changed(root, "from cluster import connect; kept = connect.settings(); kept.__enter__()") != []


def test_settings_stand_for_the_length_of_a_block_and_the_user_s_go_before(monkeypatch):
    monkeypatch.setenv("RAY_TQDM", "mine")
    monkeypatch.setenv("RAY_AUTH_MODE", "theirs")
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    before = dict(connect.os.environ)
    with connect.settings(RAY_AUTH_MODE="token"):
        now = dict(connect.os.environ)
    assert (now["RAY_TQDM"], now["RAY_USAGE_STATS_ENABLED"], now["RAY_AUTH_MODE"]) == ("mine", "0", "token")
    assert dict(connect.os.environ) == before


def test_early_stopping_counts_a_task_once_however_often_it_is_tried():
    from cluster.executor import SuccessiveHalving
    from cluster.tune import _halving

    scheduler = _halving(SuccessiveHalving(mode="max", epochs=9, grace=3, reduction=2.0))

    def told(tried, task, epoch, value):
        trial = SimpleNamespace(trial_id=tried, config={"task": task})
        scheduler.on_trial_add(None, trial)
        return scheduler.on_trial_result(None, trial, {"epoch": epoch, "value": value})

    assert told("first", 1, 3, 10.0) == "CONTINUE"
    assert told("again", 1, 4, 12.0) == "CONTINUE"
    # Better than the 10 of the only task before it; with the 12 beside it, it would be below the median.
    assert told("other", 2, 3, 10.5) == "CONTINUE"
