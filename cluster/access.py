"""How requests reach a cluster's dashboard: its address and token, and which clusters are refused for safety."""

from dataclasses import dataclass, field
from http.client import BadStatusLine, RemoteDisconnected
from typing import Any
from urllib.parse import urlsplit

from cluster import ray_head
from cluster.executor import ClusterError
from cluster.ray_head import DEFAULT_PORT, JOBS_PORT, Token

_ANSWER_SECONDS = 8.0
_TUNNEL = "ssh -N -L 8265:127.0.0.1:8265 HEAD, then --address http://127.0.0.1:8265"


@dataclass(frozen=True)
class Access:
    """How requests to one cluster's dashboard are made.

    Attributes:
        address: `http://host:port` or `https://…`.
        headers: The headers of every request; they hold the token if the cluster asks for one.
        mode: The cluster's RAY_AUTH_MODE, `token` or `disabled`.
        warnings: Sentences for the user.
    """

    address: str
    headers: dict[str, str] = field(repr=False)
    mode: str
    warnings: tuple[str, ...]


def find(address: str, *, insecure: bool = False) -> Access:
    """Finds out how to send requests to the dashboard at `address`; this takes a few seconds at most.

    A cluster on another machine must ask for a token, and the token must be set here, unless `insecure` is true. A Ray
    cluster without a token runs the code of anyone who reaches it (CVE-2023-48022).

    Raises:
        ClusterError: The address is not that of a Ray dashboard, nothing answers, the token is missing or wrong, or
            the cluster is open to anyone.
    """
    url, token = normalised(address), ray_head.token()
    beyond = not _is_loopback(url) and not insecure
    if beyond and token is None:
        raise ClusterError(
            f"{url} is not this machine and there is no token: put the cluster's token into ~/.ray/auth_token "
            "(chmod 600) or RAY_AUTH_TOKEN_PATH, or give --insecure for a cluster without a token."
        )
    if _status(url, {}) == 200:
        if beyond:
            raise ClusterError(
                f"The cluster at {url} asks for no token: anyone who reaches it can run code on it. Start it with "
                "RAY_AUTH_MODE=token, or give --insecure."
            )
        return Access(url, {}, "disabled", ())
    if token is None:
        raise ClusterError(
            f"The cluster at {url} asks for a token: put it into ~/.ray/auth_token (chmod 600) or RAY_AUTH_TOKEN_PATH."
        )
    headers = {"Authorization": f"Bearer {token.text}"}
    if _status(url, headers) != 200:
        raise ClusterError(f"The cluster at {url} does not accept the token of {token.source}: it has another one.")
    return Access(url, headers, "token", _warnings(url, token))


def normalised(address: str) -> str:
    """The address with its scheme and port, without a slash at its end.

    Raises:
        ClusterError: The address is not that of a dashboard.
    """
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ClusterError(f"--address {address}: {error}.") from error
    if parts.scheme not in {"http", "https"} or not host or host == "auto" or parts.path.strip("/"):
        raise ClusterError(f"--address {address}: give the head node's dashboard, such as http://head:8265.")
    if parts.username is not None:
        raise ClusterError("--address: leave out the user name and password; the token is read from its file.")
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}:{port or (443 if parts.scheme == 'https' else JOBS_PORT)}"


def _is_loopback(url: str) -> bool:
    return ray_head.is_loopback(urlsplit(url).hostname or "")


def _speaks_no_http(error: Exception) -> bool:
    """Whether a server's answer was no HTTP/1, as that of gRPC is; one that is just being killed gives no answer."""
    reasons = [one for inner in error.args for one in getattr(inner, "args", ())]
    return any(isinstance(one, BadStatusLine) and not isinstance(one, RemoteDisconnected) for one in reasons)


def _status(url: str, headers: dict[str, str]) -> int:
    """The dashboard's answer: 200, or 401 if it asks for a token or for another token."""
    import requests

    try:
        answer = requests.get(f"{url}/api/version", headers=headers, timeout=_ANSWER_SECONDS, allow_redirects=False)
    except requests.exceptions.SSLError as error:
        is_tls = "CERTIFICATE" in str(error)
        mend = "set REQUESTS_CA_BUNDLE to the file of its certificate authority" if is_tls else "write http://"
        raise ClusterError(f"There is no trusted connection to {url}: {mend}.") from error
    except requests.exceptions.RequestException as error:
        if _speaks_no_http(error):
            raise ClusterError(
                f"The server at {url} speaks no HTTP: this may be the port of Ray's own processes, {DEFAULT_PORT} by "
                f"default; give that of the head's dashboard, {JOBS_PORT} by default."
            ) from error
        raise ClusterError(
            f"Nothing answers at {url} ({type(error).__name__}): is the head up, is ray[default] installed there, "
            f"and is it reachable from here? A dashboard listens only on its own machine by default: {_TUNNEL}."
        ) from error
    if answer.status_code in {401, 403}:
        return 401
    if answer.status_code != 200 or "ray_version" not in _content(answer):
        raise ClusterError(
            f"The server at {url} is not a Ray dashboard with the Jobs API (HTTP {answer.status_code}): give the "
            "head's dashboard, port 8265 by default; the cluster needs ray[default]."
        )
    return 200


def _content(answer: Any) -> dict[str, Any]:
    try:
        content = answer.json()
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _warnings(url: str, token: Token) -> tuple[str, ...]:
    travels = url.startswith("http://") and not _is_loopback(url)
    tunnel = f"the token is sent to {url} without encryption: on a shared network use a tunnel: {_TUNNEL}"
    return tuple(filter(None, [tunnel if travels else "", token.warning]))
