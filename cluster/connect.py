"""Ray on this machine: started quietly, closed to others, gone without a trace."""

import contextlib
import logging
import os
import secrets
import signal
import threading
import warnings
from collections.abc import Callable, Generator
from pathlib import Path

from cluster import lookout, ray_compat, ray_head, scratch, watchdog
from cluster.executor import ClusterError, one_line
from cluster.resources import Node

_OBJECT_STORE_BYTES = 100_000_000  # the payloads of a plan; data sets do not travel through it

_LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_SETTINGS = {
    # `uv run` would otherwise be mirrored: the current folder packed and installed again for every worker.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # A task that asks for no GPU sees none, instead of all of them and landing on the first.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    # Ray's memory monitor raises an error that Tune does not know and that ends the whole experiment. Without it
    # the kernel ends the largest worker (Ray marks workers as the first to go): one task dies and is tried again.
    "RAY_memory_monitor_refresh_ms": "0",
    # Tune never uses the workers that Ray starts in advance, so they would only delay the first task.
    "RAY_prestart_worker_first_driver": "0",
    "RAY_enable_worker_prestart": "0",
    # Ray gives its workers a low priority: beside other work a trial would stand still and be taken for silent.
    "RAY_worker_niceness": "0",
    # Silence: the terminal belongs to whoever called.
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TQDM": "0",
    # Files: results are written by the work itself, so Tune writes neither logs nor state, and stays where it is.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # Only reports with a score have a value for early stopping.
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    # Ctrl-C belongs to the caller, who raises a Stop.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}

# What Ray sets in this process by itself, on import and when it starts.
_SET_BY_RAY = ("RAY_CLIENT_MODE", "PYTHONBREAKPOINT")

# Ray itself gives a head that is gone so many seconds, then ends this process without a word: it must not be first.
_PATIENCE = {"RAY_gcs_rpc_server_reconnect_timeout_s": str(int(10 * lookout.PATIENCE_SECONDS))}


@contextlib.contextmanager
def settings(**more: str) -> Generator[None]:
    """What Ray and Tune read from the environment, for the length of a with-block; what the user has set stands.

    Some of it Ray reads on import, which therefore belongs in such a block too; its processes read it when they start.

    Args:
        **more: further variables, which are set whatever they were.
    """
    ours = {name: value for name, value in _SETTINGS.items() if name not in os.environ} | more
    before = {name: os.environ.get(name) for name in (*ours, *_SET_BY_RAY)}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


@contextlib.contextmanager
def local(*, machine: Node, log: Path) -> Generator[None]:
    """A private Ray on this machine for the length of a with-block.

    It listens on the loopback device alone and asks for a token. Without RAY_AUTH_MODE ray.init would write
    ~/.ray/auth_token, readable by everyone, and that file changes how every later `ray start` of this user
    behaves; so the token is made here and lives in the environment of these processes only.

    Args:
        machine: the cores and cards that Ray may hand out.
        log: the file that takes what Ray's and Tune's loggers say.

    Raises:
        ClusterError: Ray does not start.
    """
    token = secrets.token_hex(32)
    with (
        scratch.folder() as folder,
        watchdog.watching(folder),
        _ray_settings(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token),
        quiet(log),
    ):
        # Where Ray's documentation looks for its logs: in its temporary folder.
        (folder / "session_latest").symlink_to("r/session_latest")
        try:
            _start(machine, folder / "r")
            yield
        finally:
            _shut_down()


@contextlib.contextmanager
def attached(address: str, log: Path) -> Generator[None]:
    """Connection to a running cluster, of which this machine is a node, for the length of a with-block.

    RAY_AUTH_MODE is what the cluster itself answers to: Ray would guess it, try for twenty seconds and then say only
    that it failed to connect. When the head dies, this process says so in one line and leaves with exit code 1 (see
    ``cluster.lookout``).

    Args:
        address: ``host:port`` of the head, ``host``, or ``auto``; see ``cluster.ray_head.find``.
        log: the file that takes what Ray's and Tune's loggers say.

    Raises:
        ClusterError: there is no cluster, it asks for a token and there is none here, the token is wrong, this
            machine is not one of its nodes, or its Ray or Python is another.
    """
    with settings():
        cluster = ray_head.ask(ray_head.find(address))
    if not any(map(ray_head.is_here, cluster.nodes)):
        raise ClusterError(
            f"This machine is not a node of the cluster at {cluster.address}: hand the study over with "
            f"conclus submit STUDY --address http://{cluster.address.rpartition(':')[0]}:{ray_head.JOBS_PORT}"
        )
    with _ray_settings(RAY_AUTH_MODE=_mode(cluster), **_PATIENCE), quiet(log):
        _connect(cluster)
        try:
            with lookout.kept(cluster.address):
                yield
        finally:
            _shut_down()


def connected_nodes() -> list[Node] | None:
    """The living nodes of the cluster this process is connected to, or None when it is not connected."""
    with settings():
        import ray

    if not ray.is_initialized():
        return None
    return [
        Node(node["NodeName"], node["Resources"].get("CPU", 0), node["Resources"].get("GPU", 0))
        for node in ray.nodes()
        if node["Alive"]
    ]


@contextlib.contextmanager
def quiet(log: Path) -> Generator[None]:
    """What Ray says goes to a file and its warnings go nowhere for the length of a with-block."""
    logger = logging.getLogger("ray")
    with settings(), ray_compat.messages_to(lambda text: logger.warning("%s", text)):
        handlers, handler = logger.handlers, logging.FileHandler(log, delay=True)
        handler.setFormatter(logging.Formatter(_LOG_FORMAT))
        logger.handlers, logger.propagate = [handler], False
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            logger.handlers = handlers
            handler.close()


@contextlib.contextmanager
def same_signal_handlers() -> Generator[None]:
    """Put the caller's signal handlers back at the end: ray.init replaces SIGTERM's, Tune SIGUSR1's."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def usr1_keeper() -> Callable[[], None]:
    """What puts back the handler that SIGUSR1 has now; it does nothing outside of the main thread."""
    handler = signal.getsignal(signal.SIGUSR1)

    def put_back() -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGUSR1, handler)

    return put_back


def _start(machine: Node, folder: Path) -> None:
    try:
        with same_signal_handlers(), ray_compat.loopback():
            try:
                _init(machine, folder)
            except Exception:
                # Ray gives its own processes half a minute, which a machine that is busy elsewhere may exceed.
                logging.getLogger("ray").exception("Ray did not start; once more.")
                _shut_down()
                _init(machine, folder)
    except Exception as error:
        raise ClusterError(f"Ray does not start on this machine: {one_line(error)}.") from error


def _init(machine: Node, folder: Path) -> None:
    ray_compat.start(
        folder,
        address="local",
        num_cpus=int(machine.cpu),
        num_gpus=int(machine.gpu),
        object_store_memory=_OBJECT_STORE_BYTES,
        include_dashboard=False,
        logging_format=_LOG_FORMAT,
        log_to_driver=False,
    )


def _mode(cluster: ray_head.RayCluster) -> str:
    """What RAY_AUTH_MODE must be for this cluster.

    Raises:
        ClusterError: the user wants a token asked for and the cluster asks for none.
    """
    if not cluster.asks_for_token and os.environ.get("RAY_AUTH_MODE", "").lower() == "token":
        raise ClusterError(
            f"RAY_AUTH_MODE is token here, but the cluster at {cluster.address} lets everyone in: start its nodes with "
            "RAY_AUTH_MODE=token too."
        )
    return "token" if cluster.asks_for_token else "disabled"


def _connect(cluster: ray_head.RayCluster) -> None:
    import ray

    try:
        with same_signal_handlers(), ray_compat.loopback() if cluster.on_loopback else contextlib.nullcontext():
            ray.init(address=cluster.address, logging_format=_LOG_FORMAT, log_to_driver=False)
    except Exception as error:
        _shut_down()  # of what Ray has left half connected
        raise ClusterError(f"Connecting to the cluster at {cluster.address} fails: {_sentence(error)}.") from error


def _sentence(error: Exception) -> str:
    """What Ray says; of other versions it says so in six lines, of which each counts."""
    return " ".join(str(error).split()) if "Version mismatch" in str(error) else one_line(error)


def _shut_down() -> None:
    import ray

    ray.shutdown()


@contextlib.contextmanager
def _ray_settings(**more: str) -> Generator[None]:
    """The same as `settings`, while no Ray runs here: its core, too, goes by them."""
    try:
        with settings(**more):
            ray_compat.read_environment()
            yield
    finally:
        ray_compat.read_environment()
