"""Everything of Ray that Ray keeps private, in one place: each use says why, and which public call would replace it.

Ray may change any of it without notice. So the versions of Ray are bounded in pyproject.toml, and CI runs the tests at
both ends of these bounds. tests/cluster/test_ray_compat.py sees that no other module uses a private name of Ray.
Ray is imported inside the functions: commands that need no Ray stay quick.
"""

import contextlib
import pickle
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any


def start(folder: Path, **options: Any) -> None:
    """`ray.init` of a Ray whose files lie in `folder`.

    Private: the argument `_temp_dir`. Ray's own default is /tmp/ray, which all users of a machine share.
    Public instead: an argument `temp_dir` of `ray.init`, as `ray start` has it.

    Args:
        folder: absolute, with a short path: Ray's sockets lie in it.
        **options: further arguments of `ray.init`.
    """
    import ray

    ray.init(_temp_dir=str(folder), **options)


@contextlib.contextmanager
def loopback() -> Generator[None]:
    """Have Ray listen on the loopback device, as it does on macOS, for the length of a with-block.

    Private: the constant ENABLE_RAY_CLUSTER, read from the environment once, when Ray is imported.
    Public instead: `ray.init(_node_ip_address="127.0.0.1")` without the underscore; today Ray turns this address down.
    """
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def read_environment() -> None:
    """Have Ray's core read its settings and its token from the environment again.

    Private: `Config.initialize` and `AuthenticationTokenLoader`. Ray reads the settings on import and the token once.
    Public instead: settings and a token as arguments of `ray.init`; `ray get-auth-token` refreshes them in this way.
    """
    from ray._raylet import AuthenticationTokenLoader, Config  # pyright: ignore[reportAttributeAccessIssue]

    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


@contextlib.contextmanager
def messages_to(hear: Callable[[str], None]) -> Generator[None]:
    """Hand what Ray prints about its workers to `hear` instead of the terminal, for the length of a with-block.

    Private: `print_to_stdstream`. The death of a worker is printed even with `log_to_driver=False`.
    Public instead: `log_to_driver=False`, once it holds for these messages too.
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
    """``host:port`` of the heads of all clusters that this machine is a node of, in order.

    Private: `services.find_gcs_addresses`, which looks through the processes of this machine.
    Public instead: `ray.init(address="auto")` connects to one of them; nothing lists them.
    """
    from ray._private import services

    return sorted(services.find_gcs_addresses())


class Head:
    """A head's own interface on a gRPC channel, called once per question and without Ray's retries.

    Private: the generated stubs in `ray.core.generated`. `ray.init` tries for twenty seconds, says only that it failed
    to connect, and cannot tell a wrong token from a dead head.
    Public instead: `ray.util.state.list_nodes`, where a dashboard runs; nothing asks whether a token is right.
    """

    def __init__(self, channel: Any) -> None:
        from ray.core.generated.gcs_service_pb2_grpc import NodeInfoGcsServiceStub

        self._stub = NodeInfoGcsServiceStub(channel)

    def check_alive(self, *, timeout: float, metadata: Sequence[tuple[str, str]]) -> None:
        """Ask whether it lives, within so many seconds; the answer does not matter.

        Raises:
            grpc.RpcError: it does not answer, or turns this caller away.
        """
        from ray.core.generated.gcs_service_pb2 import CheckAliveRequest  # pyright: ignore[reportAttributeAccessIssue]

        self._stub.CheckAlive(CheckAliveRequest(), timeout=timeout, metadata=metadata)

    def living_nodes(self, *, timeout: float, metadata: Sequence[tuple[str, str]]) -> list[Any]:
        """The living nodes, as Ray describes them (GcsNodeInfo).

        Raises:
            grpc.RpcError: it does not answer within so many seconds, or turns this caller away.
        """
        from ray.core.generated.gcs_pb2 import GcsNodeInfo  # pyright: ignore[reportAttributeAccessIssue]
        from ray.core.generated.gcs_service_pb2 import GetAllNodeInfoRequest  # pyright: ignore[reportAttributeAccessIssue]

        reply = self._stub.GetAllNodeInfo(GetAllNodeInfoRequest(), timeout=timeout, metadata=metadata)
        return [node for node in reply.node_info_list if node.state == GcsNodeInfo.ALIVE]


def tls_files() -> tuple[bytes, bytes, bytes]:
    """Certificate, key and authority that RAY_TLS_SERVER_CERT, RAY_TLS_SERVER_KEY and RAY_TLS_CA_CERT name.

    Private: `load_certs_from_env`. `Head` needs them as Ray itself reads them.
    Public instead: none.

    Raises:
        OSError: a file cannot be read.
        RuntimeError: a variable is not set.
    """
    from ray._common.tls_utils import load_certs_from_env

    return load_certs_from_env()


class Notes:
    """The cluster's key-value store, which all its processes read and write.

    Private: `internal_kv`. It needs no process of its own.
    Public instead: a named actor that holds the notes, which takes a process of its own for each run.
    """

    @staticmethod
    def put(key: str, value: bytes) -> None:
        """Write a value; a former one goes."""
        from ray.experimental.internal_kv import _internal_kv_put  # pyright: ignore[reportPrivateUsage]

        _internal_kv_put(key, value)

    @staticmethod
    def get(key: str) -> bytes:
        """The value of a key that is there."""
        from ray.experimental.internal_kv import _internal_kv_get  # pyright: ignore[reportPrivateUsage]

        return _internal_kv_get(key)

    @staticmethod
    def has(key: str) -> bool:
        """Whether a key is there."""
        from ray.experimental.internal_kv import _internal_kv_exists  # pyright: ignore[reportPrivateUsage]

        return _internal_kv_exists(key)

    @staticmethod
    def remove(key: str) -> None:
        """Forget a key, if it is there."""
        from ray.experimental.internal_kv import _internal_kv_del  # pyright: ignore[reportPrivateUsage]

        _internal_kv_del(key)


def process_of(trial: Any) -> Any:
    """The actor that does a trial of Tune's.

    Private: `Trial.temporary_state`. Tune has no time limit for a trial's silence: whoever wants one kills the process.
    Public instead: none; a `Stopper` is asked only when a trial reports.
    """
    return trial.temporary_state.ray_actor


def error_of(trial: Any) -> BaseException | None:
    """What a trial of Tune's failed of last; None if Tune does not say.

    Private: `Trial.pickled_error_file`, in the run's own temporary folder.
    Public instead: `Trial.get_pickled_error`, once it finds what Tune has not yet copied to the storage path.
    """
    return pickle.loads(Path(trial.pickled_error_file).read_bytes()) if trial.pickled_error_file else None


class InOrder:
    """A scheduler of Tune's that starts trials in the order in which they were suggested; mixed in before its class.

    The choice of the plain FIFOScheduler is the first trial that is not running, also when a worker is starting for
    it: an idle worker then takes that trial over and the starting one is thrown away, so that of several workers
    only one ever gets up as long as tasks are shorter than the start of a process.

    Private: that Tune keeps its own queue where `choose_trial_to_run` gives None.
    Public instead: a scheduler's option for this order; there is none.
    """

    def choose_trial_to_run(self, *_controller: Any, **_info: Any) -> None:
        """None: Tune takes the next of its queue."""


def tell_past(scheduler: Any, trials: Sequence[Sequence[Mapping[str, float]]]) -> None:
    """Have ASHA's rungs hold what trials of earlier runs reported.

    Private: that ASHA needs only the `trial_id` of a trial, and no controller.
    Public instead: `Tuner.restore`, which needs Tune's own files of those runs.

    Args:
        scheduler: an `AsyncHyperBandScheduler`.
        trials: for each of them, its results in order.
    """
    for number, results in enumerate(trials):
        trial = SimpleNamespace(trial_id=f"past-{number}")
        scheduler.on_trial_add(None, trial)
        for result in results:
            scheduler.on_trial_result(None, trial, dict(result))
