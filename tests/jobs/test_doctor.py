"""`conclus doctor`: on this machine, on a real cluster, and its verdicts on machines that are not as they should be."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cluster import doctor, ray_compat
from cluster.doctor import HeadAccess, NodeReply
from jobs.execution import health_check, node_facts
from jobs.results.provenance import code_hash
from tests.cluster.nodes import Nodes, new_token

ROOT = Path(__file__).resolve().parents[2]


def verdicts(lines):
    return {line.check: line.verdict for line in lines}


def examined(nodes, *arguments, **env):
    """`conclus doctor` as a process of its own: its exit code and its lines."""
    done = subprocess.run(
        [sys.executable, "-m", "conclus", "doctor", *arguments, "--format", "json"],
        env=nodes.env | {"PYTHONPATH": str(ROOT)} | env,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.stderr == ""
    return done.returncode, {line["check"]: line for line in json.loads(done.stdout)}


def test_this_machine_is_examined_without_a_ray(command, tmp_path):
    code, out, err = command("doctor", "--results", tmp_path / "results", "--format", "json")
    lines = {line["check"]: line for line in json.loads(out)}
    assert (code, err) == (0, "")
    assert lines["python"]["found"] == ".".join(map(str, sys.version_info[:3]))
    assert lines["conclus's code"]["found"] == code_hash()[:8]
    assert lines["results"]["found"] == "writable"
    assert list(tmp_path.iterdir()) == []


def test_the_table_fits_a_terminal(command, tmp_path):
    code, out, _ = command("doctor", "--results", tmp_path)
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="a folder that root cannot write either")
def test_a_path_that_cannot_be_written_is_wrong(command):
    code, out, _ = command("doctor", "--results", "/proc/conclus")
    assert code == 1
    assert "results: Every node may write to /proc/conclus. this machine: FileNotFoundError" in " ".join(out.split())


def test_what_is_no_address_is_bad_input(command):
    code, _, err = command("doctor", "--address", "head:port")
    assert code == 2
    assert err.startswith("Error: 'head:port' is not the address of a cluster")


def test_a_cluster_that_is_not_there_is_wrong_at_once(command):
    code, out, _ = command("doctor", "--address", "127.0.0.1:1")
    assert code == 1
    assert "connection: No Ray cluster answers at 127.0.0.1:1" in " ".join(out.split())


@pytest.mark.ray
def test_every_node_of_a_cluster_is_examined(nodes, tmp_path):
    code, lines = examined(nodes, "--address", nodes.address, "--results", str(tmp_path / "results"))
    assert {line["verdict"] for line in lines.values()} <= {"ok", "warning"}, lines
    assert code == 0
    assert lines["nodes"]["found"] == "2: head, one"
    assert lines["access"]["found"] == lines["RAY_AUTH_MODE"]["found"] == "token"
    assert lines["results"]["found"] == "written and read by every node"
    assert lines["clocks"]["verdict"] == "ok"
    assert lines["conclus's code"]["found"] == code_hash()[:8]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.ray
def test_a_wrong_token_is_the_one_line_of_a_cluster(nodes):
    code, lines = examined(nodes, "--address", nodes.address, RAY_AUTH_TOKEN=new_token())
    assert (code, list(lines)) == (1, ["connection"])
    assert "does not accept the token" in lines["connection"]["right"]


@pytest.mark.ray
@pytest.mark.slow
def test_a_cluster_that_lets_everyone_in_is_found_out(tmp_path):
    with Nodes(token=None) as nodes:
        assert doctor.heads(nodes.address) == [HeadAccess(nodes.address, "open")]
        code, lines = examined(nodes, "--address", nodes.address, "--results", str(tmp_path))
        assert (code, lines["access"]["found"]) == (0, "this machine alone")
        code, lines = examined(nodes, "--address", nodes.address, RAY_AUTH_MODE="token")
        assert code == 1
        assert "asks for none" in lines["connection"]["right"]


def test_an_open_head_is_wrong_unless_it_listens_to_its_own_machine_alone():
    assert (
        health_check.access([HeadAccess("10.0.0.5:6379", "open"), HeadAccess("127.0.0.1:6379", "open")]).verdict
        == "wrong"
    )
    assert (
        health_check.access([HeadAccess("127.0.0.1:6379", "open"), HeadAccess("10.0.0.5:6379", "token")]).verdict
        == "ok"
    )
    assert health_check.access([HeadAccess("10.0.0.5:6379", "silent")]).verdict == "warning"
    assert health_check.access([]).verdict == "ok"


def test_an_open_ray_of_another_user_is_named_and_a_warning():
    theirs = HeadAccess("192.0.2.2:7399", "open", "eve")
    line = health_check.access([theirs])
    assert line.verdict == "warning"
    assert line.found == "a Ray on this machine, 192.0.2.2:7399 (of user eve), lets everyone in"
    assert health_check.access([theirs, HeadAccess("10.0.0.5:6379", "open")]).verdict == "wrong"


@pytest.mark.ray
def test_the_ray_of_this_machine_is_found_with_its_user(nodes):
    assert ray_compat.local_heads()[nodes.address] == ""
    # Whose it is, is asked of the process, not of the environment.
    nobody = "import os; from cluster import ray_compat as r; r.local_heads(); os.setuid(65534); print(r.local_heads())"
    if os.getuid() == 0:
        env = nodes.env | {"PYTHONPATH": str(ROOT), "HOME": "/"}
        told = subprocess.run(
            [sys.executable, "-c", nobody], env=env, capture_output=True, text=True, check=True
        ).stdout
        assert f"'{nodes.address}': 'root'" in told


def two_machines(folders, change):
    """Asks this machine twice, as two with a disk of their own each, of which `change` makes one another."""

    def ask(question, payload):
        answers = []
        for name, folder in folders.items():
            sent = time.time()
            data = question({**payload, "results": str(folder), "node": name, "ray_cpus": 1, "ray_gpus": 0})
            if question is node_facts.examine and name == "b":
                change(data)
            answers.append(NodeReply(name, sent, time.time(), data))
        return answers

    return ask


def judged(folders, change=dict):
    path = str(folders["a"])
    return {line.check: line for line in health_check.examine(two_machines(folders, change), "", path)}


def test_two_machines_that_share_a_folder_are_well(tmp_path):
    lines = judged({"a": tmp_path, "b": tmp_path})
    assert lines["results"].found == "written and read by every node"
    assert {line.verdict for line in lines.values()} <= {"ok", "warning"}
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_shared_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setattr(node_facts, "_PATIENCE_SECONDS", 0.3)
    line = judged({"a": tmp_path / "a", "b": tmp_path / "b"})["results"]
    assert (line.verdict, line.found) == ("wrong", "a, b cannot read")
    assert "FileNotFoundError" in line.right
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


@pytest.mark.parametrize(
    ("key", "value", "check", "verdict"),
    [
        ("versions.ray", "2.59.0", "ray", "wrong"),
        ("versions.python", "3.12.1", "python", "wrong"),
        ("versions.torch", "2.1.0", "torch", "warning"),
        ("versions.torch", "", "torch", "wrong"),
        ("code", "other", "conclus's code", "wrong"),
        ("code", "", "conclus's code", "wrong"),
        ("threads", 0, "CPU threads", "warning"),
        ("ray_gpus", 1, "GPUs", "ok"),
        ("cards", {"driver": 2, "torch": 1}, "GPUs", "wrong"),
        ("memory", 10**8, "memory", "warning"),
        ("shm", 64 * 1024**2, "shm", "warning"),
        ("disk", 10**6, "disk", "warning"),
        ("written", "OSError: disk full", "results", "wrong"),
    ],
)
def test_one_machine_that_differs_is_named(tmp_path, key, value, check, verdict):
    def change(data):
        group, _, name = key.rpartition(".")
        (data[group] if group else data)[name] = value

    line = judged({"a": tmp_path, "b": tmp_path}, change)[check]
    assert line.verdict == verdict
    assert verdict == "ok" or ("b" in line.found and line.right)


def test_modes_and_silent_nodes_and_cards_of_a_cluster():
    facts = {"a": {"auth": "token", "ray_gpus": 2, "cards": {"driver": 2, "torch": 0}}}
    assert health_check.modes({**facts, "b": {"auth": ""}}).found == "token (a), unset (b)"
    assert health_check.modes(facts).verdict == "ok"
    assert health_check._cards(facts, has_ray=True).found == "a: Ray offers 2, torch sees 0"
    assert health_check.silent({"b": "it died"}, ["a"]) == health_check.CheckResult(
        "nodes", "wrong", "1 silent", "Every node answers. b: it died."
    )


@pytest.mark.parametrize(
    ("sent", "clock", "received", "off"), [(10, 11, 12, 0), (10, 9, 12, -1), (10, 15, 12, 3), (10, 10, 10, 0)]
)
def test_a_clock_is_off_by_what_cannot_be_the_way(sent, clock, received, off):
    assert health_check.skew(sent, clock, received) == off


def test_a_clock_that_is_off_is_a_warning():
    assert health_check.clocks({"a": 0.1, "b": -30.0}).found == "b is -30 s off"
    assert health_check.clocks({"a": 0.1, "b": 1.0}).verdict == "ok"


def test_a_uri_is_written_and_read_through_arrow(command, tmp_path):
    code, out, _ = command("doctor", "--results", f"file://{tmp_path}", "--format", "json")
    lines = {line["check"]: line for line in json.loads(out)}
    assert (code, lines["results"]["found"]) == (0, "writable")
    assert list(tmp_path.iterdir()) == []


def test_a_node_without_credentials_for_the_store_is_told_so(command, s3, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    code, out, _ = command("doctor", "--results", s3().replace("key:secret@", ""))
    assert code == 1
    assert "this machine could not write there and read it back: OSError: " in " ".join(out.split())
    assert "its environment has no credentials for this store, or they do not allow it" in " ".join(out.split())
    code, out, _ = command("doctor", "--results", s3().replace("bucket/", "nowhere/"), "--format", "json")
    right = {line["check"]: line["right"] for line in json.loads(out)}["results"]
    assert (code, "s3://nowhere/" in right, "secret" in right) == (1, True, False)
    out = command("doctor", "--results", s3(), "--format", "json")[1]
    assert {line["check"]: line["found"] for line in json.loads(out)}["results"] == "writable"
