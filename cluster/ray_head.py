"""Finds the head of a Ray cluster and asks it about the cluster, within seconds and with clear errors.

`ray.init` itself tries for twenty seconds and then says only that it failed to connect.
"""

import contextlib
import ipaddress
import os
import socket
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster import ray_compat
from cluster.executor import ClusterError, one_line

SECONDS = 5.0
"""How long an address may take to answer."""

DEFAULT_PORT = 6379
JOBS_PORT = 8265
_TOKEN_FILE = Path(".ray") / "auth_token"


@dataclass(frozen=True)
class Token:
    """A token of Ray and where it was found; it is never printed, written to a file or passed to a process."""

    text: str = field(repr=False)
    source: str

    @property
    def warning(self) -> str:
        """A sentence if other users of this machine can read the token's file; else empty."""
        path = Path(self.source).expanduser()
        keeps_modes = hasattr(os, "getuid")  # Windows does not.
        is_open = keeps_modes and path.is_file() and path.stat().st_mode & 0o077
        return f"others on this machine can read the token: chmod 600 {self.source}" if is_open else ""


@dataclass(frozen=True)
class RayCluster:
    """A running cluster, as its head describes it.

    Attributes:
        address: Host and port of the head.
        asks_for_token: Whether the head refuses requests without a token.
        nodes: The addresses of the live nodes, without ports.
    """

    address: str
    asks_for_token: bool
    nodes: tuple[str, ...]

    @property
    def on_loopback(self) -> bool:
        """Whether no node can be reached from other machines."""
        return all(is_loopback(node) for node in self.nodes)


def token() -> Token | None:
    """The token that Ray would find here: in RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH's file or ~/.ray/auth_token.

    Raises:
        ClusterError: RAY_AUTH_TOKEN_PATH names a file without a token (Ray would abort this process), or the text
            cannot be a token.
    """
    if text := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return _checked(text, "RAY_AUTH_TOKEN")
    if path := os.environ.get("RAY_AUTH_TOKEN_PATH", ""):
        text = _text(Path(path))
        if not text:
            raise ClusterError(f"RAY_AUTH_TOKEN_PATH names {path!r}, which cannot be read or is empty.")
        return _checked(text, path)
    text = _text(Path.home() / _TOKEN_FILE)
    return _checked(text, f"~/{_TOKEN_FILE}") if text else None


def find(address: str) -> str:
    """Host and port of the head of the cluster that an address names.

    Args:
        address: ``host:port``, ``host`` (port 6379), or ``auto``: the cluster in RAY_ADDRESS, or else the one that
            this machine is a node of.

    Raises:
        ClusterError: The address names no cluster, or more than one.
    """
    if address == "auto":
        return find(os.environ["RAY_ADDRESS"]) if os.environ.get("RAY_ADDRESS", "auto") != "auto" else _only_local()
    if address.startswith("ray://"):
        raise ClusterError(
            f"conclus cannot use {address}: Ray Client loses connections. On a node of the cluster give "
            f"HOST:{DEFAULT_PORT}; from elsewhere use: conclus submit STUDY --address http://HOST:{JOBS_PORT}"
        )
    if "://" in address or address.endswith(f":{JOBS_PORT}"):
        raise ClusterError(
            f"{address} is for submitting jobs (conclus submit STUDY --address {address}); to connect, give the "
            f"head's host:port, such as HOST:{DEFAULT_PORT}, or auto."
        )
    return _host_and_port(address)


def ask(address: str) -> RayCluster:
    """Asks the head at ``host:port`` about its cluster.

    Raises:
        ClusterError: There is no cluster, or the token is missing or wrong.
    """
    with _head(address) as head:
        if head.lets_in(None):
            return _cluster(address, head, None)
        own = token()
        if own is None:
            raise ClusterError(
                f"The cluster at {address} asks for a token and there is none here: set RAY_AUTH_TOKEN_PATH to a copy "
                "of the token file that its nodes were started with."
            )
        if not head.lets_in(own):
            raise ClusterError(
                f"The cluster at {address} does not accept the token in {own.source}: its nodes were started with "
                "another one."
            )
        return _cluster(address, head, own)


def asks_for_token(address: str) -> bool:
    """Whether the head at ``host:port`` refuses requests without a token.

    Raises:
        ClusterError: There is no cluster.
    """
    with _head(address) as head:
        return not head.lets_in(None)


def is_loopback(host: str) -> bool:
    """Whether only its own machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_here(host: str) -> bool:
    """Whether an address belongs to this machine."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as own:
        own.bind((host, 0))
        return True
    return False


def _checked(text: str, source: str) -> Token:
    # A line break in a header would make the HTTP library print the header.
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ClusterError(f"{source} does not hold a token: make one with `ray get-auth-token --generate`.")
    return Token(text, source)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _only_local() -> str:
    found = ray_compat.local_heads()
    if not found:
        raise ClusterError(
            "No Ray cluster runs on this machine: give its head's address, such as --address "
            f"HOST:{DEFAULT_PORT}, or start one with `ray start --head` (docs/cluster.md)."
        )
    if len(found) > 1:
        raise ClusterError(f"This machine is a node of {len(found)} clusters: give one of {', '.join(found)}.")
    return next(iter(found))


def _host_and_port(address: str) -> str:
    host, colon, port = address.rpartition(":") if not address.endswith("]") else (address, "", "")
    if not colon:
        host, port = address, str(DEFAULT_PORT)
    if not host or not port.isdecimal() or not 0 < int(port) < 65536 or (":" in host and not host.startswith("[")):
        raise ClusterError(
            f"{address!r} is not the address of a cluster: give host:port, such as HOST:{DEFAULT_PORT}, or auto."
        )
    return f"{host}:{port}"


def _cluster(address: str, head: "_Head", own: Token | None) -> RayCluster:
    nodes = tuple(node.node_manager_address for node in head.nodes(own))
    return RayCluster(address, asks_for_token=own is not None, nodes=nodes)


class _Head:
    """The gRPC interface of the head, called without Ray's retries."""

    def __init__(self, address: str, channel: Any) -> None:
        self._address, self._head = address, ray_compat.Head(channel)

    def lets_in(self, own: Token | None) -> bool:
        """Whether the head accepts this token, or a request without one."""
        import grpc

        try:
            self._head.check_alive(timeout=SECONDS, metadata=_bearer(own))
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                return False
            raise ClusterError(_silence(self._address, error.code(), error.details() or "")) from error
        return True

    def nodes(self, own: Token | None) -> list[Any]:
        """The live nodes, as Ray describes them (GcsNodeInfo)."""
        return self._head.living_nodes(timeout=SECONDS, metadata=_bearer(own))


@contextlib.contextmanager
def _head(address: str) -> Generator[_Head]:
    try:
        import grpc
    except ImportError as error:
        raise ClusterError("Clusters need more packages: uv sync --extra cluster --inexact --no-dev") from error
    options = [("grpc.enable_http_proxy", 0)]
    if os.environ.get("RAY_USE_TLS", "0").lower() in {"1", "true"}:
        channel = grpc.secure_channel(address, _credentials(), options)
    else:
        channel = grpc.insecure_channel(address, options)
    with channel:
        yield _Head(address, channel)


def _credentials() -> Any:
    import grpc

    try:
        certificate, key, authority = ray_compat.tls_files()
    except (OSError, RuntimeError) as error:
        raise ClusterError(f"RAY_USE_TLS is set, but {one_line(error)}.") from error
    return grpc.ssl_channel_credentials(authority, key, certificate)


def _bearer(own: Token | None) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {own.text}")] if own else []


def _silence(address: str, code: Any, details: str) -> str:
    import grpc

    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"No Ray cluster answers at {address} within {SECONDS:g} s: is a firewall in between?"
    reason = details.rpartition(": ")[2].strip()
    return f"No Ray cluster answers at {address} ({reason}): is its head running there, and is this its GCS port?"
