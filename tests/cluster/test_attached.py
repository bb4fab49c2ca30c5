"""A connection to a running cluster, or one sentence on why there is none, from processes of their own."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import ray

from cluster import connect, ray_head
from cluster.executor import ClusterError
from tests.cluster.nodes import new_token

DRIVER = Path(__file__).with_name("attach_for_tests.py")


@pytest.fixture
def attach(nodes, tmp_path):
    """Runs the driver and gives its exit code and what it printed."""

    def run(address, **env):
        done = subprocess.run(
            [sys.executable, DRIVER, address, tmp_path / "log"],
            env=nodes.env | {"PYTHONPATH": str(DRIVER.parents[2])} | env,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.mark.ray
def test_it_connects_quietly_and_to_every_node(nodes, attach):
    assert attach(nodes.address) == (0, "token head one\n")
    assert attach(nodes.address, RAY_AUTH_MODE="disabled") == (0, "token head one\n")


@pytest.mark.ray
def test_a_missing_token_and_a_wrong_one_are_told_apart(nodes, attach):
    code, text = attach(nodes.address, RAY_AUTH_TOKEN="")
    assert code == 2
    assert text.startswith(f"The cluster at {nodes.address} asks for a token and there is none here")
    code, text = attach(nodes.address, RAY_AUTH_TOKEN=new_token())
    assert code == 2
    assert text.startswith(f"The cluster at {nodes.address} does not accept the token in RAY_AUTH_TOKEN")
    assert text.count("\n") == 1


@pytest.mark.ray
def test_the_right_token_in_a_file_opens(nodes, attach, tmp_path):
    (tmp_path / "token").write_text(f"{nodes.token}\n")
    assert attach(nodes.address, RAY_AUTH_TOKEN="", RAY_AUTH_TOKEN_PATH=str(tmp_path / "token"))[0] == 0


@pytest.mark.ray
def test_another_version_of_ray_is_named(nodes, attach):
    code, text = attach(nodes.address, PRETENDED_RAY="2.1.0")
    assert code == 2
    assert re.search(rf"Version mismatch: .* Ray: {re.escape(ray.__version__)}.* Ray: 2\.1\.0", text)
    assert "Traceback" not in text


def test_where_nothing_listens_is_said_at_once():
    with pytest.raises(ClusterError, match=r"No Ray cluster answers at 127\.0\.0\.1:1 \(Connection refused\)"):
        ray_head.ask(ray_head.find("127.0.0.1:1"))


def test_something_else_that_listens_is_no_cluster():
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(ClusterError, match="No Ray cluster answers"):
        ray_head.ask(f"127.0.0.1:{server.getsockname()[1]}")


@pytest.mark.parametrize(
    ("address", "meant"),
    [("head", "head:6379"), ("10.0.0.5:7000", "10.0.0.5:7000"), ("[fd00::1]:7000", "[fd00::1]:7000"),
     ("[fd00::1]", "[fd00::1]:6379")],
)  # fmt: skip
def test_an_address_has_a_port(address, meant):
    assert ray_head.find(address) == meant


@pytest.mark.parametrize("address", ["", ":6379", "head:", "head:port", "head:70000", "a:b:c", "fd00::1"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ClusterError, match="is not the address of a cluster"):
        ray_head.find(address)


@pytest.mark.parametrize("address", ["ray://head:10001", "http://head:8265", "head:8265"])
def test_other_doors_lead_to_submit(address):
    with pytest.raises(ClusterError, match=r"conclus submit STUDY"):
        ray_head.find(address)


def test_auto_is_what_the_environment_says(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "head:7000")
    assert ray_head.find("auto") == "head:7000"


def test_a_token_file_that_is_not_there_is_named(monkeypatch):
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/no/such/token")
    with pytest.raises(ClusterError, match="'/no/such/token', which cannot be read"):
        ray_head.token()


def test_the_token_is_looked_for_where_ray_does(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    assert ray_head.token() is None
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("home\n")
    assert ray_head.token() == ray_head.Token("home", "~/.ray/auth_token")
    (tmp_path / "other").write_text("path")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "other"))
    assert ray_head.token() == ray_head.Token("path", str(tmp_path / "other"))
    monkeypatch.setenv("RAY_AUTH_TOKEN", "plain")
    assert ray_head.token() == ray_head.Token("plain", "RAY_AUTH_TOKEN")


def test_which_addresses_are_this_machine_s():
    assert ray_head.is_here("127.0.0.1")
    assert not ray_head.is_here("192.0.2.250")
    assert os.name != "posix" or not ray_head.is_here("no such host")


def test_a_machine_that_is_no_node_is_sent_to_submit(monkeypatch, tmp_path):
    answer = ray_head.RayCluster("10.0.0.5:6379", asks_for_token=True, nodes=("192.0.2.250",))
    monkeypatch.setattr(ray_head, "ask", lambda _: answer)
    expected = r"not a node .* --address http://10\.0\.0\.5:8265"
    with pytest.raises(ClusterError, match=expected), connect.attached("10.0.0.5", tmp_path / "log"):
        pass
