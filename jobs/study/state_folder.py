"""State of the user in `$XDG_STATE_HOME/conclus`: the clusters that they submitted to, and some queues.

`jobs.study.trust` stores beside it the plug-ins that they ran.

Results may come from a stranger, so an address in them is not trusted with a token. An address that the user once
submitted to is trusted. The folder `clusters` has an empty file named after each, so that commands that run at the same
time do not overwrite each other's entries.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from urllib.parse import quote

from core.errors import UserError

_ENVIRONMENT = "RAY_ADDRESS"


def folder() -> Path:
    """The folder: `$XDG_STATE_HOME/conclus`, or `~/.local/state/conclus`.

    Raises:
        FileNotFoundError: there is no home folder.
    """
    root = os.environ.get("XDG_STATE_HOME")
    try:
        return (Path(root) if root else Path.home() / ".local" / "state") / "conclus"
    except RuntimeError as error:
        raise FileNotFoundError("there is no home folder: set XDG_STATE_HOME") from error


def queue(results: str) -> Path:
    """The folder in which the queue of results in an object store lies: such a store has no locks.

    Args:
        results: their address, without credentials.

    Raises:
        UserError: there is no home folder.
    """
    try:
        return folder() / "queues" / hashlib.sha256(results.encode()).hexdigest()[:16]
    except FileNotFoundError as error:
        raise UserError(f"the queue of {results} lies on this machine: {error}") from error


def remember_cluster(address: str) -> bool:
    """Stores a cluster's address in the form of `cluster.access.normalised`; returns whether it could."""
    try:
        place = folder() / "clusters"
        for one in (place.parent, place):
            one.mkdir(mode=0o700, parents=True, exist_ok=True)
            one.chmod(0o700)
        (place / quote(address, safe="")).touch(mode=0o600)
    except OSError:
        return False
    return True


def knows_cluster(address: str) -> bool:
    """Whether the user submitted to the cluster at this address, or has it in RAY_ADDRESS."""
    one = _normalised(address)
    if not one:
        return False
    if one == _normalised(os.environ.get(_ENVIRONMENT, "")):
        return True
    try:
        return (folder() / "clusters" / quote(one, safe="")).is_file()
    except OSError:
        return False


def _normalised(address: str) -> str:
    """The address as it is stored; empty if it is not a dashboard's address."""
    from cluster.access import normalised
    from cluster.executor import ClusterError

    try:
        return normalised(address)
    except ClusterError:
        return ""
