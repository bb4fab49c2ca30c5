"""A cluster of real Ray processes on the loopback device, whose nodes a test may kill."""

from __future__ import annotations

import contextlib
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from cluster import ray_head, watchdog

# Ray replaces 127.0.0.1 by this machine's own address and then listens to everyone; with LOOPBACK, as on macOS, it does
# not. There `ray start` would add no second node.
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
# Nodes of one machine share a folder for what jobs send, and the second to unpack it deletes it under the first.
RAY = """
import sys

# Three quarters of what it takes to start: commands that it leaves out where their modules cannot be imported.
for name in ("ray.serve.scripts", "ray.util.state.state_cli", "ray.dashboard.modules.job.cli"):
    sys.modules[name] = None

from ray._private import node, ray_constants, services, utils
from ray.scripts.scripts import main

services.get_node_ip_address = lambda *_: "127.0.0.1"
ray_constants.ENABLE_RAY_CLUSTER = True
ray_constants.DEFAULT_RUNTIME_ENV_DIR_NAME = "runtime_resources_" + sys.argv[sys.argv.index("--node-name") + 1]
# Half of what a node costs to start, of no use here: nobody connects by Ray's client, or asks an agent for statistics.
node.Node.start_ray_client_server = lambda self: None
if sys.argv.pop(1) == "plain":
    utils.get_dashboard_dependency_error = lambda: ImportError()
main()
"""

# A node gives up when its agents are not up after 15 seconds, or itself after 30, whatever it is told: a busy machine
# may need several tries.
STARTS = 6

# Several nodes share this machine: each gets ports of its own.
AGENT_PORTS = (
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "metrics-export-port",
    "runtime-env-agent-port",
)

# A dead node is noticed after about three seconds instead of fifteen.
QUICK = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 3000,
    "health_check_failure_threshold": 3,
}


# Ray's autoscaler with nodes on this machine, as `ray.cluster_utils.AutoscalingCluster` has it. That class itself first
# ends every Ray of this machine, and needs a file that no wheel of Ray holds.
AUTOSCALED = {
    "RAY_FAKE_CLUSTER": "1",
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    "RAY_OVERRIDE_NODE_ID_FOR_TESTING": "f" * 51 + "00000",
}


# Tells what nodes a cluster may have, before and after it has an autoscaler of Ray's version 2, as Kubernetes runs it.
SECOND_VERSION = """
import sys
from pathlib import Path

from cluster import connect

with connect.attached(sys.argv[1], Path(sys.argv[2])):
    from ray.core.generated.autoscaler_pb2 import AutoscalingState
    from ray.experimental.internal_kv import internal_kv_get_gcs_client

    print(connect.possible_nodes())
    state = AutoscalingState(autoscaler_state_version=1, last_seen_cluster_resource_state_version=1)
    internal_kv_get_gcs_client().report_autoscaling_state(state.SerializeToString())
    print(connect.possible_nodes())
"""


class Nodes:
    """A head and any number of further nodes, all of which end with the with-block.

    Args:
        token: What the nodes ask for; None lets everyone in.
        cpus: Of the head.
        jobs: Whether the head takes jobs, at `jobs_address` (the dashboard: two seconds and ten processes more).
        head: Further options of its `ray start`.
        grows: How many nodes of one core an autoscaler may start, beside none at first.
        env: Further variables of its nodes.
    """

    def __init__(
        self,
        *,
        token: str | None = None,
        cpus: int = 1,
        jobs: bool = False,
        head: tuple[str, ...] = (),
        grows: int = 0,
        env: Mapping[str, str] | None = None,
    ):
        self.token = token
        self.folder = Path(tempfile.mkdtemp(prefix="cn-", dir="/tmp"))  # a socket's path must be short
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.address, self.jobs_address = f"127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
        self._head_options = (
            "--head", "--port", self.address.rpartition(":")[2], "--temp-dir", str(self.folder / "ray"),
            "--include-dashboard", str(jobs).lower(), "--dashboard-host", "127.0.0.1",
            "--dashboard-port", self.jobs_address.rpartition(":")[2],
            *(("--autoscaling-config", self._scale(grows)) if grows else ("--no-monitor",)),
            "--system-config", json.dumps(QUICK), *head,
        )  # fmt: skip
        self._kind = "dashboard" if jobs else "plain"
        self._more = dict(env or {}) | (AUTOSCALED if grows else {})
        self._cpus = cpus
        self._hosts = 1

    def __enter__(self) -> Self:
        try:
            self.start_head()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def env(self) -> dict[str, str]:
        """The environment of a process that may connect."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        access = (
            {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token} if self.token else {"RAY_AUTH_MODE": "disabled"}
        )
        # Ray's workers have a low priority by default: where others are busy too, they would hardly move.
        others = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", "OMP_NUM_THREADS": "1"}
        # Below `uv run pytest` a node's own processes would each send this folder to the cluster.
        others["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
        # A worker that is started before it is known what for is one too many.
        others |= {"RAY_enable_worker_prestart": "0", "RAY_prestart_worker_first_driver": "0"}
        return kept | access | others | {"HOME": str(self.folder)}

    def start_head(self) -> None:
        """The head, also anew after its death, under the same address."""
        # `ray start` refuses an address that a node on the same machine still looks for, as no other machine would.
        (self.folder / "ray" / "ray_current_cluster").unlink(missing_ok=True)
        options = ("--num-cpus", str(self._cpus), "--node-ip-address", "127.0.0.1")
        self._start("head", *self._head_options, *options)

    def add(self, name: str, *options: str, cpus: int = 1, within: tuple[str, ...] = ()) -> str:
        """A further node of this name (`NodeName`), once the head knows it.

        It has an address of its own (127.0.0.2, …): a driver at 127.0.0.1 belongs to the head. Ray lets such a node
        listen on every device, whatever its address; it asks for the token.

        Args:
            name: Its name.
            options: Further options of its `ray start`.
            cpus: Of the node.
            within: A command that runs the one that is appended to it.
        """
        self._hosts += 1
        host = ("--node-ip-address", f"127.0.0.{self._hosts}")
        self._start(name, "--address", self.address, "--num-cpus", str(cpus), *host, *options, within=within)
        return name

    def alive(self) -> list[str]:
        """The names of the nodes that the head holds for alive; none when it does not answer itself."""
        own = ray_head.Token(self.token, "the test") if self.token else None
        with contextlib.suppress(Exception), ray_head._head(self.address) as head:
            return sorted(node.node_name for node in head.nodes(own))
        return []

    def kill(self, name: str) -> None:
        """End every process of a node at once, as a power cut would."""
        process = self.processes.pop(name)
        end([process.pid, *descendants(process.pid)])
        process.wait()

    def drain(self, name: str) -> None:
        """Tell the head that a node will soon end, as a cloud does before it takes a machine back; then it ends."""
        own = ray_head.Token(self.token, "the test") if self.token else None
        with ray_head._head(self.address) as head:
            (node,) = (one.node_id.hex() for one in head.nodes(own) if one.node_name == name)
        notice = ("--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot", "--node-id", node)
        command = [sys.executable, "-m", "ray.scripts.scripts", "drain-node", "--address", self.address, *notice]
        subprocess.run(command, check=True, capture_output=True, env=self.env | LOOPBACK)

    def close(self) -> None:
        """End all nodes, and whatever else has a file of theirs open; nothing is left."""
        for name in list(self.processes):
            self.kill(name)
        end(watchdog.users(str(self.folder)))
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self, name: str, *options: str, within: tuple[str, ...] = ()) -> None:
        for _ in range(STARTS):
            self.processes[name] = self._ray_start(name, *options, within=within)
            if self._is_up(name):
                return
            self.kill(name)
        raise AssertionError((self.folder / f"{name}.log").read_text())

    def _is_up(self, name: str) -> bool:
        """Wait until the head knows the node; False when its `ray start` gave up before."""
        while name not in self.alive():
            if self.processes[name].poll() is not None:
                return False
            time.sleep(0.1)
        return True

    def _ray_start(self, name: str, *options: str, within: tuple[str, ...]) -> subprocess.Popen[bytes]:
        common = (
            "--node-name", name, "--object-store-memory", "80000000",
            "--min-worker-port", "0", "--max-worker-port", "0", "--disable-usage-stats", "--block",
            "--include-log-monitor", "false",
            *(f"--{port}={free_port()}" for port in AGENT_PORTS),
        )  # fmt: skip
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [*within, sys.executable, "-c", RAY, self._kind, "start", *options, *common],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=self.env | LOOPBACK | self._more,
            )

    def _scale(self, most: int) -> str:
        """The file that tells Ray's autoscaler to start nodes on this machine."""
        head = "ray.head.default"
        kinds = {
            head: {"resources": {"CPU": 0}, "max_workers": 0, "node_config": {}},
            "small": {
                "resources": {"CPU": 1, "object_store_memory": 80_000_000},
                "max_workers": most,
                "node_config": {},
            },
        }
        provider = {"type": "fake_multinode", "use_node_id_as_ip": True, "disable_node_updaters": True}
        config = {
            "cluster_name": "fake", "max_workers": most, "available_node_types": kinds, "head_node_type": head,
            "provider": provider | {"gcs_address": self.address}, "upscaling_speed": 1.0, "idle_timeout_minutes": 1,
            **{key: {} for key in ("auth", "docker", "file_mounts")}, "file_mounts_sync_continuously": False,
            **{f"{who}commands": [] for who in ("initialization_", "setup_", "head_setup_", "worker_setup_")},
            **{f"{who}_start_ray_commands": [] for who in ("head", "worker")},
            **{key: [] for key in ("cluster_synced_files", "rsync_exclude", "rsync_filter")},
        }  # fmt: skip
        file = self.folder / "scale.json"
        file.write_text(json.dumps(config))
        return str(file)


def end(processes: list[int]) -> None:
    """SIGKILL them all."""
    for pid in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and those that they have."""
    table = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True).stdout
    parents = dict(map(int, line.split()) for line in table.splitlines()[1:])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found - {pid})


def free_port() -> int:
    """A port that nobody listens at, and that the kernel gives to nobody who asks for any."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port


def new_token() -> str:
    """A token for a cluster."""
    return secrets.token_hex(32)
