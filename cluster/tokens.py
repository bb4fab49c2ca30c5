"""The token that a Ray cluster asks for: where it lies, and who may see it."""

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path

from cluster.executor import ClusterError, one_line


@dataclass(frozen=True)
class Token:
    """Never printed, written to a file or handed to a process.

    Attributes:
        value: The token.
        source: Where it was found, for sentences.
    """

    value: str = field(repr=False)
    source: str

    @property
    def warning(self) -> str:
        """A sentence when other users of this machine can read its file, else empty."""
        path = Path(self.source)
        is_open = path.is_file() and path.stat().st_mode & 0o077
        return f"others on this machine can read the token: chmod 600 {path}" if is_open else ""


def find() -> Token | None:
    """The token where Ray looks for it: RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH, ~/.ray/auth_token.

    None where there is none, or where RAY_AUTH_MODE is `disabled`.

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


def is_loopback(host: str) -> bool:
    """Whether an address is reached from its own machine alone; a name is, if it is `localhost`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _checked(text: str, source: str) -> Token:
    value = text.strip()
    # A line break in a header would make the HTTP library print the header.
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ClusterError(f"What {source} holds is not a token: make one with `ray get-auth-token --generate`.")
    return Token(value, source)
