"""The provenance of results: hashes of the code and of the environment, and package versions."""

from __future__ import annotations

import getpass
import hashlib
import importlib.util
import json
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

PACKAGES = ("numpy", "pyarrow", "ray", "scikit-learn", "scipy", "torch")
BY = "CONCLUS_BY"
"""The environment variable that tells a submitted job who submitted it: on a cluster all jobs may be one user's."""


def environment() -> dict[str, str]:
    """The Python version, the kind of machine, and the versions of packages that affect numbers."""
    versions = {name: metadata.version(name) for name in PACKAGES}
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        **versions,
    }


def environment_hash(versions: dict[str, str]) -> str:
    """A short hash of the versions."""
    return hashlib.sha256(json.dumps(versions, sort_keys=True).encode()).hexdigest()[:16]


def code_hash(plug_ins: tuple[Path, ...] = ()) -> str:
    """A hash of the training code: packages `core` and `losses`, and the user's plug-in files."""
    digest = hashlib.sha256()
    for path in (*_sources("core"), *_sources("losses"), *sorted(plug_ins)):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _sources(package: str) -> list[Path]:
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    return sorted(Path(folders[0]).rglob("*.py")) if folders else []


def person() -> str:
    """The user name of whoever runs a study or submitted it; empty where the system knows none."""
    try:
        name = os.environ.get(BY) or getpass.getuser()
    except (KeyError, OSError):  # A container whose user id has no name.
        return ""
    return name.encode(errors="replace").decode()


def commit() -> str:
    """The git commit of a checkout of conclus, with "+changes" if files differ from it; empty outside a checkout."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return ""
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True)
        dirty = subprocess.run(["git", "status", "--porcelain"], cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.stdout.strip() + ("+changes" if dirty.stdout.strip() else "")
