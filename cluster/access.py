"""Who may talk to a cluster from here: its address, the token, and what is refused for safety."""

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cluster.executor import ClusterError, one_line

DASHBOARD_PORT = 8265
_ANSWER_SECONDS = 8.0
_TUNNEL = "ssh -N -L 8265:127.0.0.1:8265 HEAD, then --address http://127.0.0.1:8265"


@dataclass(frozen=True)
class Token:
    """What a cluster asks for; never printed, written to a file or handed to a process.

    Attributes:
        value: The token.
        source: Where it was found, for sentences.
    """

    value: str = field(repr=False)
    source: str


@dataclass(frozen=True)
class Access:
    """How requests to one cluster's dashboard are made.

    Attributes:
        address: `http://host:port` or `https://…`.
        headers: What every request carries; the token, where the cluster asks for one.
        mode: The cluster's RAY_AUTH_MODE, `token` or `disabled`.
        warnings: Sentences for the user.
    """

    address: str
    headers: dict[str, str] = field(repr=False)
    mode: str
    warnings: tuple[str, ...]


def find(address: str, *, insecure: bool = False) -> Access:
    """Learns how the dashboard at `address` wants to be spoken to; answers within seconds.

    Beyond the loopback device the cluster must ask for a token and one must be there, unless `insecure`: a Ray
    cluster without one runs the code of anyone who reaches it (CVE-2023-48022).

    Raises:
        ClusterError: It is no address of a Ray dashboard, nothing answers, the token is missing or wrong, or the
            cluster is open to anyone.
    """
    url, token = normalised(address), find_token()
    beyond = not _is_loopback(url) and not insecure
    if beyond and token is None:
        raise ClusterError(
            f"{url} is not this machine and there is no token: put the cluster's into ~/.ray/auth_token "
            "(chmod 600) or RAY_AUTH_TOKEN_PATH, or give --insecure for a cluster without one."
        )
    if _status(url, {}) == 200:
        if beyond:
            raise ClusterError(
                f"The cluster at {url} asks for no token: whoever reaches it can run code on it. Start it with "
                "RAY_AUTH_MODE=token, or give --insecure."
            )
        return Access(url, {}, "disabled", ())
    if token is None:
        raise ClusterError(
            f"The cluster at {url} asks for a token: put it into ~/.ray/auth_token (chmod 600) or RAY_AUTH_TOKEN_PATH."
        )
    headers = {"Authorization": f"Bearer {token.value}"}
    if _status(url, headers) != 200:
        raise ClusterError(f"The cluster at {url} does not accept the token of {token.source}: it has another one.")
    return Access(url, headers, "token", _warnings(url, token))


def normalised(address: str) -> str:
    """The address with its scheme and port, without a slash at its end.

    Raises:
        ClusterError: It is no address of a dashboard.
    """
    parts = urlsplit(address if "://" in address else f"http://{address}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ClusterError(f"--address {address}: {error}.") from error
    if parts.scheme not in {"http", "https"} or not host or host == "auto" or parts.path.strip("/"):
        raise ClusterError(f"--address {address}: give the dashboard of the head node, such as http://head:8265.")
    if parts.username is not None:
        raise ClusterError("--address: leave out the user name and password, the token is looked up on its own.")
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}:{port or (443 if parts.scheme == 'https' else DASHBOARD_PORT)}"


def find_token() -> Token | None:
    """The token where Ray looks for it: RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH, ~/.ray/auth_token.

    Raises:
        ClusterError: The named file cannot be read, or what is there cannot be a token.
    """
    if os.environ.get("RAY_AUTH_MODE", "").lower() == "disabled":
        return None
    if value := os.environ.get("RAY_AUTH_TOKEN"):
        return _checked(value, "RAY_AUTH_TOKEN")
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named).expanduser() if named else Path.home() / ".ray" / "auth_token"
    if not named and not path.exists():
        return None
    try:
        return _checked(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ClusterError(f"The token file {path} cannot be read: {one_line(error)}.") from error


def _checked(text: str, source: str) -> Token:
    value = text.strip()
    # A line break in a header would make the HTTP library print the header.
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ClusterError(f"What {source} holds is not a token: make one with `ray get-auth-token --generate`.")
    return Token(value, source)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _status(url: str, headers: dict[str, str]) -> int:
    """What the dashboard answers: 200, or 401 where it wants a (better) token."""
    import requests

    try:
        answer = requests.get(f"{url}/api/version", headers=headers, timeout=_ANSWER_SECONDS, allow_redirects=False)
    except requests.exceptions.SSLError as error:
        raise ClusterError(
            f"The certificate of {url} is not trusted here: name its authority's file in REQUESTS_CA_BUNDLE."
        ) from error
    except requests.exceptions.RequestException as error:
        raise ClusterError(
            f"Nothing answers at {url} ({type(error).__name__}): is the head up, with ray[default] installed there, "
            f"and reachable from here? Its dashboard listens to its own machine alone: {_TUNNEL}."
        ) from error
    if answer.status_code in {401, 403}:
        return 401
    if answer.status_code != 200 or "ray_version" not in _content(answer):
        raise ClusterError(
            f"What answers at {url} is no Ray dashboard with the Jobs API (HTTP {answer.status_code}): give the head's "
            "dashboard, port 8265 by default; the cluster needs ray[default]."
        )
    return 200


def _content(answer: Any) -> dict[str, Any]:
    try:
        content = answer.json()
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _warnings(url: str, token: Token) -> tuple[str, ...]:
    found: list[str] = []
    if url.startswith("http://") and not _is_loopback(url):
        found.append(f"the token travels unencrypted to {url}: on a network that others use, tunnel: {_TUNNEL}")
    path = Path(token.source)
    if path.is_file() and path.stat().st_mode & 0o077:
        found.append(f"others on this machine can read the token: chmod 600 {path}")
    return tuple(found)
