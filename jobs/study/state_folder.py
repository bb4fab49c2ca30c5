"""What conclus knows of the person who runs it, in `$XDG_STATE_HOME/conclus`: the clusters that they submitted to.

Plug-ins that they ran are kept beside it by `jobs.study.trust`.

Results may come from a stranger, so that an address in them is no leave to send a token there. An address that a person
once submitted to is theirs: the folder `clusters` holds an empty file of its name, so that commands side by side lose
nothing of each other.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

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


def remember_cluster(address: str) -> bool:
    """Keeps the address of a cluster that was submitted to, as `cluster.access.normalised` gives it; whether it did."""
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
    """Whether this person submitted to the cluster at this address, or has it in RAY_ADDRESS."""
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
    """The address as it is remembered; empty where it is no dashboard's."""
    from cluster.access import normalised
    from cluster.executor import ClusterError

    try:
        return normalised(address)
    except ClusterError:
        return ""
