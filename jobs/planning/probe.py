"""`conclus plan --probe`: measures what the largest configuration of a study needs, in a separate process."""

from __future__ import annotations

import contextlib
import importlib
import os
import tempfile
from collections.abc import Generator, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cluster import memory
from cluster.executor import one_line
from core.config import plugins
from core.config.trial import TrialConfig, to_mapping
from core.data.dataset import cache_folder
from core.data.prepared import entries_folder
from core.errors import UserError
from core.seal import canonical_json
from jobs.planning.plan import Plan, PlannedConfig, PlannedConfigs
from jobs.study.plug_ins import plug_in_files
from jobs.study.space import covering
from jobs.study.study import Study


@dataclass(frozen=True, kw_only=True)
class Found:
    """The result of a probe.

    Attributes:
        config: the largest configuration.
        n_parameters: number of its trained parameters.
        n_considered: number of configurations that were compared in size.
        device: `cpu`, or the GPU's name.
        memory_bytes: peak main memory beyond that of an idle process, as bounded by `resources.memory_gb`, with that of
            preparing the data: on another machine the first trial does it.
        gpu_bytes: peak GPU memory with that of CUDA itself; 0 on the CPU.
        gpu_total: bytes of the GPU's memory; 0 on the CPU.
        train_seconds: seconds of training per epoch.
        evaluation_seconds: seconds of one evaluation.
    """

    config: TrialConfig
    n_parameters: int
    n_considered: int
    device: str
    memory_bytes: int
    gpu_bytes: int
    gpu_total: int
    train_seconds: float
    evaluation_seconds: float


def probe(plan: Plan) -> Found:
    """Prepares the data anew and runs one epoch of the largest configuration, on a GPU if the study asks for one.

    The largest configuration has the largest product of parameters and batch size. If a search algorithm chooses the
    configurations, the ends of its ranges are compared.

    Raises:
        UserError: it cannot be trained; the message says why.
        ClusterError: the process died, or the system is not Linux.
    """
    cells = _cells(plan)
    candidates = list(_distinct(cells))
    load = partial(_load, [plugins.checked(file) for file in plug_in_files(plan.study)])
    orders = [(to_mapping(one.config), one.data_hash) for one in candidates]
    counts, _ = memory.measured(load, _count, (orders, "cuda" if plan.study.resources.gpu else "cpu"))
    _refuse(counts)
    sizes = [count * one.config.batch_size for count, one in zip(counts["parameters"], candidates, strict=True)]
    place = sizes.index(max(sizes))
    largest = candidates[place]
    with _unprepared() as cache:
        found, held = memory.measured(load, _measure, _order(plan.study, largest) | {"cache": cache})
    _refuse(found)
    return Found(
        config=largest.config,
        n_parameters=counts["parameters"][place],
        n_considered=len(cells),
        memory_bytes=held,
        **found,
    )


def _cells(plan: Plan) -> list[PlannedConfig]:
    """The distinct configurations of the plan."""
    if plan.open:
        return list(_ends(plan.study))
    made = {one.config_key: one for one in plan.trials}.values()
    return [PlannedConfig(one.config_key, one.config, one.parameters, one.data_hash, one.plug_ins) for one in made]


def _ends(study: Study) -> Iterable[PlannedConfig]:
    """Configurations that together contain each example of each range."""
    made = PlannedConfigs(study)
    for assignment in covering(study.space):
        yield made.make(assignment)


def _distinct(cells: Iterable[PlannedConfig]) -> Iterable[PlannedConfig]:
    """The configuration with the largest batch out of those with the same model and data."""
    largest: dict[str, PlannedConfig] = {}
    for cell in cells:
        trial = to_mapping(cell.config)
        key = canonical_json([trial[name] for name in ("data", "encoder", "method", "views", "n_clusters")])
        if key not in largest or cell.config.batch_size > largest[key].config.batch_size:
            largest[key] = cell
    return largest.values()


def _order(study: Study, cell: PlannedConfig) -> dict[str, Any]:
    return {
        "trial": to_mapping(cell.config),
        "data_hash": cell.data_hash,
        "seed": study.seeds[0],
        "threads": study.resources.cpu,
        "gpu": study.resources.gpu,
    }


@contextlib.contextmanager
def _unprepared() -> Generator[str]:
    """A cache that has what this machine's has, such as downloads, but no prepared data; it is removed at the end."""
    own = cache_folder()
    own.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="probe-", dir=own) as folder:
        new = Path(folder, own.name)
        new.mkdir()
        for one in own.iterdir():
            if one not in {entries_folder(), Path(folder)}:
                (new / one.name).symlink_to(one)
        yield folder


def _refuse(found: Mapping[str, Any]) -> None:
    if "error" in found:
        raise UserError(f"the probe failed: {found['error']}")


# The following functions run in the other process.


def _load(plug_ins: list[str]) -> None:
    """Loads what a worker loads before its first trial, and allows the plug-ins."""
    plugins.allow(*plug_ins)
    importlib.import_module("jobs.execution.trial")


def _count(order: tuple[list[tuple[Mapping[str, Any], str]], str]) -> dict[str, Any]:
    from core.training.footprint import count_parameters

    cells, device = order
    return _guarded(lambda: {"parameters": [count_parameters(*_read(*one, device)) for one in cells]})


def _measure(order: Mapping[str, Any]) -> dict[str, Any]:
    return _guarded(lambda: _measured(order))


def _measured(order: Mapping[str, Any]) -> dict[str, Any]:
    from core.training import device
    from core.training.footprint import measure

    os.environ["XDG_CACHE_HOME"] = order["cache"]
    where = "cuda" if order["gpu"] else "cpu"
    name = device.prepare(where, threads=order["threads"], share=1.0)
    config, data = _read(order["trial"], order["data_hash"], where)
    return {"device": name, **asdict(measure(config, data, seed=order["seed"], device=where))}


def _read(trial: Mapping[str, Any], data_hash: str, device: str) -> tuple[TrialConfig, Any]:
    from core.config.schema import Mistakes
    from core.config.trial import read_trial
    from core.training.data_cache import load_data

    config = read_trial(trial, ("trial",), Mistakes())
    return config, load_data(config, data_hash, device)


def _guarded(action: Any) -> dict[str, Any]:
    """The result of `action`, or the error in one line."""
    try:
        return action()
    except UserError as error:
        return {"error": str(error)}
    except Exception as error:  # noqa: BLE001 - any error of a plug-in is reported in one line
        return {"error": one_line(error)}
