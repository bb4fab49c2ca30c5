"""Facts about one machine. It is sent to nodes that may lack our packages, so it imports only the standard library.

Each function takes the plain data of `cluster.doctor.Question` and returns plain data.
"""

import importlib
import os
import platform
import re
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
_PATIENCE_SECONDS = 10.0  # a network file system may show a new file to others this much later


def examine(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Collects versions, code, access, cores, GPUs, memory and disk space, and leaves a file at the results path.

    Args:
        payload: ``results`` (absolute path or URI), ``mark`` (a folder's name for this examination), and the cluster's
            data on the node: ``node`` (its name), ``ray_cpus``, ``ray_gpus``.
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
    """Checks whether the files left by the nodes can be read here, and reads this machine's clock.

    Args:
        payload: as for `examine`, with ``nodes``: the nodes that left a file.
    """
    now = time.time()
    unseen = {node: _problem(lambda node=node: _find_file(payload, node)) for node in payload["nodes"]}
    return {"clock": now, "unseen": {node: problem for node, problem in unseen.items() if problem}}


def clean(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Removes what `examine` left.

    Args:
        payload: as for `examine`, with ``new``: whether `examine` created the results path.
    """
    _problem(lambda: _remove(payload))
    return {}


def _problem(action: Any) -> str:
    """The error of an action in one line; empty without one."""
    try:
        action()
    except Exception as error:  # noqa: BLE001 - the error is the result
        # Of what an S3 store says, the part that begins with its own error code.
        text = re.sub(r"^.*?AWS Error ", "", " ".join(str(error).split()))
        return f"{type(error).__name__}: {text[:120]}"
    return ""


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _code() -> str:
    """The hash of the training code; empty if conclus is not installed."""
    try:
        return importlib.import_module("jobs.results.provenance").code_hash()
    except ImportError:
        return ""


def _cards(ray_gpus: float | None) -> dict[str, int]:
    """Numbers of GPUs seen by the driver and by torch; torch takes seconds and is asked only if there may be one."""
    listed = sum(line.startswith("GPU ") for line in _output(["nvidia-smi", "-L"]).splitlines())
    if not listed and not ray_gpus:
        return {"driver": 0, "torch": 0}
    count = _output([sys.executable, "-c", "import torch; print(torch.cuda.device_count())"]).strip()
    return {"driver": listed, "torch": int(count) if count.isdecimal() else 0}


def _output(command: list[str]) -> str:
    # Ray hides GPUs from tasks that ask for none; this shows them again.
    env = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=env).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _available_memory() -> int | None:
    """Bytes of memory that are available to processes (Linux)."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _free(path: str) -> int | None:
    """Free bytes on the file system of a path or of its nearest existing parent."""
    try:
        return shutil.disk_usage(next(one for one in (Path(path), *Path(path).parents) if one.exists())).free
    except (OSError, StopIteration):
        return None


def _is_uri(path: str) -> bool:
    return "://" in path


def _leave_file(payload: Mapping[str, Any]) -> None:
    """Leaves a file in the way results are written: to a temporary name, then renamed; in an object store at once."""
    if _is_uri(payload["results"]):
        store, folder = _store(payload)
        store.create_dir(folder)
        with store.open_output_stream(f"{folder}/{_name(payload['node'])}") as file:
            file.write(payload["node"].encode())
        # Some stores take what comes without credentials, and keep it otherwise than it was sent.
        _compare(_held(payload, payload["node"]), payload["node"])
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
    _compare(held, node)


def _compare(held: bytes, node: str) -> None:
    if held != node.encode():
        raise OSError(f"the file holds {len(held)} bytes, and {len(node.encode())} were written")


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
    """The name of the node's file."""
    return quote(node, safe="")


def _store(payload: Mapping[str, Any]) -> tuple[Any, str]:
    store, folder = importlib.import_module("pyarrow.fs").FileSystem.from_uri(payload["results"])
    return store, f"{folder}/{payload['mark']}"
