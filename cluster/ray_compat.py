"""All uses of Ray's private names (for Tune's, see `tune_compat`): why each is needed, and what would replace it.

Ray may change a private name without notice. So pyproject.toml bounds the versions of Ray, and CI runs the tests at
both ends of these bounds. tests/cluster/test_ray_compat.py checks that no other module uses a private name of Ray.
The functions import Ray themselves, so that commands without Ray start fast.
"""

import contextlib
import json
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast


def start(folder: Path, **options: Any) -> None:
    """Calls `ray.init` so that Ray's files lie in `folder`.

    Private: the argument `_temp_dir`. Ray's default is /tmp/ray, which all users of a machine share.
    Public instead: an argument `temp_dir` of `ray.init`, as `ray start` has it.

    Args:
        folder: an absolute, short path: Ray's sockets lie in it.
        **options: further arguments of `ray.init`.
    """
    import ray

    ray.init(_temp_dir=str(folder), **options)


@contextlib.contextmanager
def loopback() -> Generator[None]:
    """Makes Ray listen on the loopback device, as it does on macOS, for a with-block.

    Private: the constant ENABLE_RAY_CLUSTER, which is read from the environment once, when Ray is imported.
    Public instead: `ray.init(_node_ip_address="127.0.0.1")` without the underscore; today Ray refuses this address.
    """
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def read_environment() -> None:
    """Makes Ray's core read its settings and its token from the environment again.

    Private: `Config.initialize` and `AuthenticationTokenLoader`. Ray reads the settings on import and the token once.
    Public instead: settings and a token as arguments of `ray.init`. `ray get-auth-token` uses the same private calls.
    """
    from ray._raylet import AuthenticationTokenLoader, Config  # pyright: ignore[reportAttributeAccessIssue]

    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


@contextlib.contextmanager
def messages_to(hear: Callable[[str], None]) -> Generator[None]:
    """Passes Ray's messages about its workers to `hear` instead of the terminal, for a with-block.

    Private: `print_to_stdstream`. The death of a worker is printed even with `log_to_driver=False`.
    Public instead: `log_to_driver=False`, once it covers these messages too.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ray._private import worker

    before = worker.print_to_stdstream
    worker.print_to_stdstream = lambda data, **_: hear(str(data))
    try:
        yield
    finally:
        worker.print_to_stdstream = before


def local_heads() -> dict[str, str]:
    """``host:port`` of the heads of all clusters that this machine is a node of, sorted.

    Each with the user of its node here; empty if that is this process's user.

    Private: the command line of the process `raylet`, which `services.find_gcs_addresses` searches without its user.
    Public instead: none; `ray.init(address="auto")` connects to one of them, but nothing lists them.
    """
    from ray._private import services

    psutil: Any = vars(services)["psutil"]  # it comes with Ray, which alone finds it
    option, own, found = "--gcs-address=", psutil.Process().username(), dict[str, str]()
    for process in psutil.process_iter(["cmdline", "username"]):
        words = process.info["cmdline"] or [""]
        if "raylet" in words[0]:
            name = str(process.info["username"] or "")
            user = "" if name == own else name
            found |= {word.removeprefix(option): user for word in words if word.startswith(option)}
    return dict(sorted(found.items()))


def before_the_command(function: str) -> dict[str, str]:
    """Environment variables of a job by which its workers, and the process that starts its command, call a function.

    Private: the variable of the field `worker_process_setup_hook`. Ray applies this field of a `runtime_env` to the
    workers of a job, and not to the process that starts its command.
    Public instead: that field, once it covers this process too; or a variable in it that names the interpreter.

    Args:
        function: `module.name`, to be imported from the folder that is sent.
    """
    from ray._private import ray_constants

    return {ray_constants.WORKER_PROCESS_SETUP_HOOK_ENV_VAR: function}


class Head:
    """The interface of a cluster's head on a gRPC channel, called without Ray's retries.

    Private: the generated stubs in `ray.core.generated`. `ray.init` tries for twenty seconds, says only that it failed
    to connect, and does not tell a wrong token from a dead head.
    Public instead: `ray.util.state.list_nodes`, where a dashboard runs; no public call checks a token.
    """

    def __init__(self, channel: Any) -> None:
        from ray.core.generated.gcs_service_pb2_grpc import NodeInfoGcsServiceStub

        self._stub = NodeInfoGcsServiceStub(channel)

    def check_alive(self, *, timeout: float, metadata: Sequence[tuple[str, str]]) -> None:
        """Checks that the head answers within `timeout` seconds.

        Raises:
            grpc.RpcError: the head does not answer, or refuses the request.
        """
        from ray.core.generated.gcs_service_pb2 import CheckAliveRequest  # pyright: ignore[reportAttributeAccessIssue]

        self._stub.CheckAlive(CheckAliveRequest(), timeout=timeout, metadata=metadata)

    def living_nodes(self, *, timeout: float, metadata: Sequence[tuple[str, str]]) -> list[Any]:
        """The live nodes, as Ray describes them (GcsNodeInfo).

        Raises:
            grpc.RpcError: the head does not answer within `timeout` seconds, or refuses the request.
        """
        from ray.core.generated.gcs_pb2 import GcsNodeInfo  # pyright: ignore[reportAttributeAccessIssue]
        from ray.core.generated.gcs_service_pb2 import GetAllNodeInfoRequest  # pyright: ignore[reportAttributeAccessIssue]

        reply = self._stub.GetAllNodeInfo(GetAllNodeInfoRequest(), timeout=timeout, metadata=metadata)
        return [node for node in reply.node_info_list if node.state == GcsNodeInfo.ALIVE]


def tls_files() -> tuple[bytes, bytes, bytes]:
    """The certificate, key and authority in RAY_TLS_SERVER_CERT, RAY_TLS_SERVER_KEY and RAY_TLS_CA_CERT.

    Private: `load_certs_from_env`. `Head` needs them exactly as Ray reads them.
    Public instead: none.

    Raises:
        OSError: a file cannot be read.
        RuntimeError: a variable is not set.
    """
    from ray._common.tls_utils import load_certs_from_env

    return load_certs_from_env()


class Notes:
    """The cluster's key-value store; all processes of the cluster can read and write it.

    Private: `internal_kv`. It needs no process of its own.
    Public instead: a named actor that holds the notes; it would need a process of its own for each run.
    """

    @staticmethod
    def put(key: str, value: bytes) -> None:
        """Write a value; it replaces an earlier one."""
        from ray.experimental.internal_kv import _internal_kv_put  # pyright: ignore[reportPrivateUsage]

        _internal_kv_put(key, value)

    @staticmethod
    def get(key: str) -> bytes:
        """The value of a key; empty if it does not exist."""
        from ray.experimental.internal_kv import _internal_kv_get  # pyright: ignore[reportPrivateUsage]

        return _internal_kv_get(key) or b""

    @staticmethod
    def has(key: str) -> bool:
        """Whether a key exists."""
        from ray.experimental.internal_kv import _internal_kv_exists  # pyright: ignore[reportPrivateUsage]

        return _internal_kv_exists(key)

    @staticmethod
    def keys(prefix: str) -> list[str]:
        """The keys that start with a text."""
        from ray.experimental.internal_kv import _internal_kv_list  # pyright: ignore[reportPrivateUsage]

        return [key.decode(errors="replace") for key in _internal_kv_list(prefix)]

    @staticmethod
    def remove(key: str) -> None:
        """Remove a key if it exists."""
        from ray.experimental.internal_kv import _internal_kv_del  # pyright: ignore[reportPrivateUsage]

        _internal_kv_del(key)


def accelerator_of(model: str) -> str:
    """Ray's name for the kind of a card, such as `A100`; empty if it has none.

    Private: the function by which Ray names a node's card. A machine must offer the kind that Ray will give it.
    Public instead: none; `ray.nodes()` tells it once Ray runs.

    Args:
        model: the card's name as the driver tells it, such as `NVIDIA A100-SXM4-40GB`.
    """
    from ray._private.accelerators.nvidia_gpu import NvidiaGPUAcceleratorManager

    named = NvidiaGPUAcceleratorManager._gpu_name_to_accelerator_type  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    return named(model) or ""


def node_of(actor: Any) -> str:
    """The id of the node that an actor runs on; empty if Ray does not know.

    Private: `ray._private.state.actors`, and the id of a handle. The driver has to know what a drained node runs.
    Public instead: `ray.util.state.get_actor`, where a dashboard runs.
    """
    from ray._private import state

    found: Any = state.actors(actor._actor_id.hex())  # noqa: SLF001 - a handle has no public id
    return found.get("Address", {}).get("NodeID", "")


def draining_nodes() -> frozenset[str]:
    """The ids of the nodes that are being drained: Ray places nothing more on them, and they soon end.

    Private: `GlobalState.get_draining_nodes`. `ray drain-node`, an autoscaler and, in newer versions, SIGTERM to
    `ray start --block` drain a node.
    Public instead: none; `ray.nodes` does not tell.
    """
    from ray._private import state

    return frozenset(state.state.get_draining_nodes())


def node_types() -> list[tuple[Mapping[str, float], int]] | None:
    """What an autoscaler of the connected cluster may start: the resources and the largest number of each kind of node.

    Private: the status that the autoscaler leaves in the cluster's key-value store (its version 1) or with the head
    (version 2), and its process on this machine, whose command line names its configuration.
    Public instead: none; `ray status` prints a part of it for people.

    Returns:
        None without an autoscaler; empty if its configuration cannot be read here. On Kubernetes it lies in another
        container.
    """
    if not _scales():
        return None
    import yaml

    try:
        (file, *_) = _options_of_monitor("--autoscaling-config=")
        config = yaml.safe_load(Path(file).expanduser().read_text())
        kinds, head, most = config["available_node_types"], config["head_node_type"], config.get("max_workers", 2)
        return [
            (one["resources"], 1 if name == head else min(one.get("max_workers", most), most))
            for name, one in kinds.items()
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        return []


def _scales() -> bool:
    """Whether an autoscaler reports kinds of nodes; one that only looks on calls each node by its id.

    Private: the key `__autoscaling_status`, and the status that the head's client gives.
    Public instead: see `node_types`.
    """
    from ray.core.generated.autoscaler_pb2 import GetClusterStatusReply  # pyright: ignore[reportAttributeAccessIssue]
    from ray.experimental.internal_kv import internal_kv_get_gcs_client

    status = json.loads(Notes.get("__autoscaling_status") or b"{}").get("autoscaler_report", {})
    if any(not name.startswith("node_") for name in status.get("active_nodes") or {}):
        return True
    reply, head = GetClusterStatusReply(), cast("Any", internal_kv_get_gcs_client())
    reply.ParseFromString(head.get_cluster_status())
    kinds = [node.ray_node_type_name for node in reply.cluster_resource_state.node_states]
    return reply.autoscaling_state.autoscaler_state_version > 0 and any(kinds)


def _options_of_monitor(option: str) -> list[str]:
    """The values of an option of the autoscalers of this cluster that run on this machine.

    Private: the command line of their process.
    Public instead: see `node_types`.
    """
    import psutil  # pyright: ignore[reportMissingModuleSource] - it comes with Ray
    import ray

    own = f"--gcs-address={ray.get_runtime_context().gcs_address}"
    lines = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return [word.removeprefix(option) for line in lines if own in line for word in line if word.startswith(option)]
