"""What one machine says of itself. Travels to nodes that may lack our packages: the standard library alone.

Each function takes the plain data of `cluster.doctor.Question` and gives plain data back.
"""

import importlib
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

PACKAGES = ("ray", "torch", "numpy", "pyarrow", "scikit-learn")
_PATIENCE_SECONDS = 10.0  # a network file system may show a new file to others this late


def examine(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Versions, code, access, cores, cards, room; and a file of its own left at the results path.

    Args:
        payload: ``results`` (absolute path or URI), ``mark`` (a folder's name for this examination), and what
            the cluster knows of the node: ``node`` (its name), ``ray_cpus``, ``ray_gpus``.
    """
    results = payload["results"]
    written = _problem(lambda: _leave_file(payload))
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "code": _code(),
        "auth": os.environ.get("RAY_AUTH_MODE", ""),
        "threads": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "cards": _cards(payload["ray_gpus"]),
        "memory": _available_memory(),
        "shm": _free("/dev/shm"),  # noqa: S108 - not a temporary file: where Ray keeps its objects
        "disk": None if _is_uri(results) else _free(results),
        "ray_cpus": payload["ray_cpus"],
        "ray_gpus": payload["ray_gpus"],
        "written": written,
    }


def read(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Whether the files that the nodes left are seen from here; and this machine's clock.

    Args:
        payload: as for `examine`, with ``nodes``: those that have left a file.
    """
    now = time.time()
    unseen = {node: _problem(lambda node=node: _find_file(payload, node)) for node in payload["nodes"]}
    return {"clock": now, "unseen": {node: problem for node, problem in unseen.items() if problem}}


def clean(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Remove what `examine` has left.

    Args:
        payload: as for `examine`, with ``new``: whether the results path was not there before.
    """
    _problem(lambda: _remove(payload))
    return {}


def _problem(action: Any) -> str:
    """What goes wrong in it, in one line; empty when nothing does."""
    try:
        action()
    except Exception as error:  # noqa: BLE001 - it is what was asked for
        return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
    return ""


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _code() -> str:
    """The hash of the code that trains; empty where conclus is not installed."""
    try:
        return importlib.import_module("jobs.results.provenance").code_hash()
    except ImportError:
        return ""


def _cards(ray_gpus: float | None) -> dict[str, int]:
    """How many cards the driver shows, and torch; torch is asked only where there may be one: it takes seconds."""
    listed = sum(line.startswith("GPU ") for line in _output(["nvidia-smi", "-L"]).splitlines())
    if not listed and not ray_gpus:
        return {"driver": 0, "torch": 0}
    count = _output([sys.executable, "-c", "import torch; print(torch.cuda.device_count())"]).strip()
    return {"driver": listed, "torch": int(count) if count.isdecimal() else 0}


def _output(command: list[str]) -> str:
    # What Ray hides from a task that asked for no card is there all the same.
    env = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=env).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _available_memory() -> int | None:
    """Bytes that processes may still take (Linux)."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _free(path: str) -> int | None:
    """Free bytes on the file system of a path, or of the nearest folder above that exists."""
    try:
        return shutil.disk_usage(next(one for one in (Path(path), *Path(path).parents) if one.exists())).free
    except (OSError, StopIteration):
        return None


def _is_uri(path: str) -> bool:
    return "://" in path


def _leave_file(payload: Mapping[str, Any]) -> None:
    """As results are written: whole under another name first, then renamed; on an object store in one piece."""
    if _is_uri(payload["results"]):
        store, folder = _store(payload)
        store.create_dir(folder)
        with store.open_output_stream(f"{folder}/{_name(payload['node'])}") as file:
            file.write(payload["node"].encode())
        return
    folder = Path(payload["results"], payload["mark"])
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{_name(payload['node'])}.tmp"
    with temporary.open("xb") as file:
        file.write(payload["node"].encode())
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / _name(payload["node"]))


def _find_file(payload: Mapping[str, Any], node: str) -> None:
    end = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            held = _held(payload, node)
            break
        except FileNotFoundError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
    if held != node.encode():
        raise OSError(f"{len(held)} bytes of {len(node)}")


def _held(payload: Mapping[str, Any], node: str) -> bytes:
    if not _is_uri(payload["results"]):
        return Path(payload["results"], payload["mark"], _name(node)).read_bytes()
    store, folder = _store(payload)
    with store.open_input_stream(f"{folder}/{_name(node)}") as file:
        return file.read()


def _remove(payload: Mapping[str, Any]) -> None:
    if _is_uri(payload["results"]):
        store, folder = _store(payload)
        store.delete_dir(folder)
        return
    shutil.rmtree(Path(payload["results"], payload["mark"]), ignore_errors=True)
    if payload["new"]:
        Path(payload["results"]).rmdir()  # only while it is empty


def _name(node: str) -> str:
    """Of the node's file."""
    return quote(node, safe="")


def _store(payload: Mapping[str, Any]) -> tuple[Any, str]:
    store, folder = importlib.import_module("pyarrow.fs").FileSystem.from_uri(payload["results"])
    return store, f"{folder}/{payload['mark']}"
