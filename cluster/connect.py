"""Starts Ray on this machine, or connects to a cluster: no output, closed to others, nothing left behind."""

import contextlib
import logging
import os
import secrets
import signal
import threading
import warnings
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path

from cluster import lookout, ray_compat, ray_head, scratch, watchdog
from cluster.executor import ACCELERATOR, ClusterError, RayError, TaskResources, one_line
from cluster.resources import Node, card_model, node, slices, this_machine

_OBJECT_STORE_BYTES = 100_000_000  # room for the payloads of a plan; data sets do not pass through the store

_LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_SETTINGS = {
    # Under `uv run` Ray would otherwise pack the current folder and install it again for every worker.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # A task that asks for no GPU sees none. By default it would see all of them and use the first.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    # Ray's memory monitor raises an error that Tune does not know; it ends the whole experiment. Without the monitor
    # the kernel kills the largest worker (Ray marks workers as the first to kill): one task dies and is tried again.
    "RAY_memory_monitor_refresh_ms": "0",
    # Tune never uses the workers that Ray starts in advance: they only delay the first task.
    "RAY_prestart_worker_first_driver": "0",
    "RAY_enable_worker_prestart": "0",
    # Ray gives its workers a low priority: on a busy machine a trial would make no progress and count as silent.
    "RAY_worker_niceness": "0",
    # No output: only the caller writes to the terminal.
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TQDM": "0",
    # The work writes its own results, so Tune writes neither logs nor state, and does not change the folder.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # Only reports with a score have a value for successive halving.
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    # The caller handles Ctrl-C: it requests a Stop.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}

# The variables that Ray itself sets in this process, on import and when it starts.
_SET_BY_RAY = ("RAY_CLIENT_MODE", "PYTHONBREAKPOINT")

# After so many seconds without the head Ray ends this process without a message: `cluster.lookout` must act first.
_PATIENCE = {"RAY_gcs_rpc_server_reconnect_timeout_s": str(int(10 * lookout.PATIENCE_SECONDS))}


@contextlib.contextmanager
def settings(**more: str) -> Generator[None]:
    """Sets the environment variables of Ray and Tune for a with-block; variables that the user has set stay.

    Ray reads some of them on import, so import it in such a block; its processes read the others when they start.

    Args:
        **more: further variables; these replace what the user has set.
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
    """Runs a private Ray on this machine for a with-block.

    It listens on the loopback device only and asks for a token. Without RAY_AUTH_MODE `ray.init` would write
    ~/.ray/auth_token, readable by everyone, and that file changes every later `ray start` of this user. So the token
    is made here and exists only in the environment of these processes.

    Args:
        machine: the cores and graphics cards that Ray may use.
        log: the file for the messages of Ray and Tune.

    Raises:
        ClusterError: Ray does not start.
    """
    token = secrets.token_hex(32)
    cards = {"CUDA_VISIBLE_DEVICES": names} if machine.gpu and (names := slices()) else {}
    with (
        scratch.folder() as folder,
        watchdog.watching(folder),
        _ray_settings(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token, **cards),
        quiet(log),
    ):
        # Ray's documentation names this path in its temporary folder for its logs.
        (folder / "session_latest").symlink_to("r/session_latest")
        try:
            _start(machine, folder / "r")
            yield
        finally:
            _shut_down()


@contextlib.contextmanager
def attached(address: str, log: Path) -> Generator[None]:
    """Connects to a running cluster for a with-block; this machine must be one of its nodes.

    RAY_AUTH_MODE is set as the cluster has it: Ray would guess it, try for twenty seconds and then say only that it
    failed to connect. When the head dies, this process prints one line and exits with code 1 (see
    ``cluster.lookout``).

    Args:
        address: ``host:port`` of the head, ``host``, or ``auto``; see ``cluster.ray_head.find``.
        log: the file for the messages of Ray and Tune.

    Raises:
        ClusterError: there is no cluster, the token is missing or wrong, this machine is not one of the nodes, or the
            cluster has another version of Ray or Python.
    """
    with settings():
        cluster = ray_head.ask(ray_head.find(address))
    if not any(map(ray_head.is_here, cluster.nodes)):
        raise ClusterError(
            f"This machine is not a node of the cluster at {cluster.address}: submit the study with "
            f"conclus submit STUDY --address http://{cluster.address.rpartition(':')[0]}:{ray_head.JOBS_PORT}"
        )
    with _ray_settings(RAY_AUTH_MODE=_mode(cluster), **_PATIENCE), quiet(log):
        _connect(cluster)
        try:
            with lookout.kept(cluster.address):
                yield
        finally:
            _shut_down()


def machine_for(wanted: TaskResources) -> Node:
    """This machine as a private Ray offers it to such tasks; its cards and their kind are looked up only if needed."""
    machine = this_machine(gpus=wanted.gpu > 0)
    if not (wanted.accelerator and machine.gpu):
        return machine
    with settings():
        kind = ray_compat.accelerator_of(card_model())
    return replace(machine, others={f"{ACCELERATOR}{kind}": 1})


def connected_nodes() -> list[Node] | None:
    """The live nodes of the cluster that this process is connected to; None if it is not connected."""
    with settings():
        import ray

    if not ray.is_initialized():
        return None
    return [node(one["NodeName"], one["Resources"], one["NodeID"]) for one in ray.nodes() if one["Alive"]]


def possible_nodes() -> list[Node] | None:
    """The nodes that an autoscaler of the connected cluster may have at most; see `ray_compat.node_types`."""
    kinds = ray_compat.node_types()
    if kinds is None:
        return None
    return [node("a new node", has) for has, most in kinds for _ in range(most)]


@contextlib.contextmanager
def quiet(log: Path) -> Generator[None]:
    """Writes Ray's messages to a file and drops its warnings, for a with-block."""
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
    """Restores the caller's signal handlers at the end: ray.init replaces that of SIGTERM, Tune that of SIGUSR1."""
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
    """A function that restores the present handler of SIGUSR1; outside the main thread it does nothing."""
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
                # Ray waits half a minute for its processes; on a busy machine they may need longer.
                logging.getLogger("ray").exception("Ray did not start; trying once more.")
                _shut_down()
                _init(machine, folder)
    except Exception as error:
        reason = one_line(error).rstrip(".")
        raise RayError(f"Ray does not start on this machine: {reason}. --workers 1 runs without Ray.") from error


def _init(machine: Node, folder: Path) -> None:
    ray_compat.start(
        folder,
        address="local",
        num_cpus=int(machine.cpu),
        num_gpus=int(machine.gpu),
        resources=dict(machine.others),
        object_store_memory=_OBJECT_STORE_BYTES,
        include_dashboard=False,
        logging_format=_LOG_FORMAT,
        log_to_driver=False,
    )


def _mode(cluster: ray_head.RayCluster) -> str:
    """The value of RAY_AUTH_MODE for this cluster.

    Raises:
        ClusterError: RAY_AUTH_MODE is `token` here, and the cluster asks for none.
    """
    if not cluster.asks_for_token and os.environ.get("RAY_AUTH_MODE", "").lower() == "token":
        raise ClusterError(
            f"RAY_AUTH_MODE is token here, but the cluster at {cluster.address} asks for none: start its nodes with "
            "RAY_AUTH_MODE=token too."
        )
    return "token" if cluster.asks_for_token else "disabled"


def _connect(cluster: ray_head.RayCluster) -> None:
    import ray

    try:
        with same_signal_handlers(), ray_compat.loopback() if cluster.on_loopback else contextlib.nullcontext():
            ray.init(address=cluster.address, logging_format=_LOG_FORMAT, log_to_driver=False)
    except Exception as error:
        _shut_down()  # Ray may be half connected
        raise ClusterError(f"Connecting to the cluster at {cluster.address} fails: {_sentence(error)}.") from error


def _sentence(error: Exception) -> str:
    """Ray's message in one line; all six lines of it if the versions differ, since each holds a part."""
    return " ".join(str(error).split()) if "Version mismatch" in str(error) else one_line(error)


def _shut_down() -> None:
    import ray

    ray.shutdown()


@contextlib.contextmanager
def _ray_settings(**more: str) -> Generator[None]:
    """As `settings`, and Ray's core reads them too; no Ray may run in this process yet."""
    try:
        with settings(**more):
            ray_compat.read_environment()
            yield
    finally:
        ray_compat.read_environment()
