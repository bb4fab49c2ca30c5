"""All uses of Ray's private names: each says why it is needed, and which public call would replace it.

Ray may change a private name without notice. So pyproject.toml bounds the versions of Ray, and CI runs the tests at
both ends of these bounds. tests/cluster/test_ray_compat.py checks that no other module uses a private name of Ray.
The functions import Ray themselves, so that commands without Ray start fast.
"""

import contextlib
import json
import pickle
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
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


def local_heads() -> list[str]:
    """``host:port`` of the heads of all clusters that this machine is a node of, sorted.

    Private: `services.find_gcs_addresses`, which searches the processes of this machine.
    Public instead: none; `ray.init(address="auto")` connects to one of them, but nothing lists them.
    """
    from ray._private import services

    return sorted(services.find_gcs_addresses())


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
    def remove(key: str) -> None:
        """Remove a key if it exists."""
        from ray.experimental.internal_kv import _internal_kv_del  # pyright: ignore[reportPrivateUsage]

        _internal_kv_del(key)


def process_of(trial: Any) -> Any:
    """The actor that runs a trial of Tune.

    Private: `Trial.temporary_state`. Tune has no time limit for a trial without reports: such a limit has to kill the
    trial's process.
    Public instead: none; a `Stopper` is asked only when a trial reports.
    """
    return trial.temporary_state.ray_actor


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
    """Whether an autoscaler reports kinds of nodes; one that only looks on calls each node by its id."""
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
    """The values of an option of the autoscalers of this cluster that run on this machine."""
    import psutil  # pyright: ignore[reportMissingModuleSource] - it comes with Ray
    import ray

    own = f"--gcs-address={ray.get_runtime_context().gcs_address}"
    lines = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return [word.removeprefix(option) for line in lines if own in line for word in line if word.startswith(option)]


def error_of(trial: Any) -> BaseException | None:
    """The last error of a trial of Tune; None if Tune has none.

    Private: `Trial.pickled_error_file`, in the temporary folder of the run.
    Public instead: `Trial.get_pickled_error`, once it also finds errors that are not yet in the storage path.
    """
    return pickle.loads(Path(trial.pickled_error_file).read_bytes()) if trial.pickled_error_file else None


class InOrder:
    """A mix-in for Tune's schedulers: trials start in the order in which they were suggested.

    The plain FIFOScheduler chooses the first trial that is not running, even if a worker is already starting for it.
    An idle worker then takes that trial, and the starting worker is thrown away. So only one of several workers ever
    starts, as long as a task is shorter than the start of a process.

    Private: Tune uses its own queue where `choose_trial_to_run` returns None.
    Public instead: an option of a scheduler for this order; there is none.
    """

    def choose_trial_to_run(self, *_controller: Any, **_info: Any) -> None:
        """None: Tune takes the next trial of its queue."""


class ByTask:
    """A mix-in for ASHA: it knows a trial by its task, so that a task that is tried again is at each rung only once.

    Private: ASHA needs only the `trial_id` of a trial, and no controller.
    Public instead: Tune's own retries keep the trial, but they count the deaths of nodes as failures of the trial.
    """

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Notes a task."""
        super().on_trial_add(tune_controller, _task(trial))  # pyright: ignore[reportAttributeAccessIssue]

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Any) -> Any:
        """Decides whether a task goes on."""
        return super().on_trial_result(tune_controller, _task(trial), result)  # pyright: ignore[reportAttributeAccessIssue]

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: Any) -> None:
        """Forgets a task that is done, but not its values."""
        super().on_trial_complete(tune_controller, _task(trial), result)  # pyright: ignore[reportAttributeAccessIssue]

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Forgets a task that did not start."""
        super().on_trial_remove(tune_controller, _task(trial))  # pyright: ignore[reportAttributeAccessIssue]


def _task(trial: Any) -> SimpleNamespace:
    return SimpleNamespace(trial_id=f"task-{trial.config['task']}")


def tell_past(scheduler: Any, trials: Sequence[Sequence[Mapping[str, float]]]) -> None:
    """Adds the reports of trials of earlier runs to ASHA's rungs.

    Private: ASHA needs only the `trial_id` of a trial, and no controller.
    Public instead: `Tuner.restore`, which needs Tune's own files of those runs.

    Args:
        scheduler: an `AsyncHyperBandScheduler`.
        trials: the results of each trial, in order.
    """
    for number, results in enumerate(trials):
        trial = SimpleNamespace(config={"task": f"past-{number}"})
        scheduler.on_trial_add(None, trial)
        for result in results:
            scheduler.on_trial_result(None, trial, dict(result))
